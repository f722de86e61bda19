"""OpenAI's chat protocol: every character is a model, so any client that speaks it can talk to one.

    GET  /v1/models    /v1/models/{model}
    POST /v1/chat/completions

With ``user``, that user and the character have a conversation of their own that is remembered: the last user message is the new
turn, and what else the client sends is passed over. Without ``user`` the messages are all there is, and nothing is stored.
Whoever may use the API may name any ``user``. Errors have OpenAI's shape; a client that goes away ends the reply.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from aiohttp import web
from pydantic import ValidationError

from bot.characters.cast import Character
from bot.characters.prompt import Spoken
from bot.commands import character as company_commands
from bot.commands.desk import Caller, Desk
from bot.connectors import web_requests
from bot.connectors.web_api_port import ApiPort
from bot.connectors.web_api_shapes import (
    AnswerMessage,
    CachedTokens,
    ChatChunk,
    ChatCompletion,
    ChatMessageGiven,
    ChatRequest,
    Choice,
    ChunkChoice,
    Delta,
    ErrorAnswer,
    ErrorBody,
    ModelList,
    ModelShape,
    Usage,
)
from bot.connectors.web_requests import Handler, Refused, shown_name
from bot.errors import BotError, CardError, CharacterNotFound, EngineBusy, PromptTooLong
from bot.messages import ChannelKey, Counters, Incoming, Person, Piece, Wishes
from bot.sessions.session import GO_ON, SEED_LIMIT
from bot.sessions.unstored import Brought, answer_unstored

log = logging.getLogger(__name__)

T = TypeVar("T")

PLATFORM = "api"
ANYWHERE = ChannelKey(PLATFORM, "models")
USER = "User"
EXAMPLES = ("example_user", "example_assistant")
LOOK_SECONDS = 0.25  # how often it is looked whether the client is still there

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiRefused(Refused):
    """A refusal with what OpenAI's errors say besides: which parameter, and a word for programs."""

    def __init__(self, status: int, sentence: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(status, sentence)
        self.param, self.code = param, code


@dataclass(frozen=True, slots=True)
class _Reply:
    """What all parts of one answer have in common."""

    id: str
    created: int
    model: str
    build: str

    def chunk(self, *choices: ChunkChoice, usage: Usage | None = None) -> ChatChunk:
        return ChatChunk(
            id=self.id, created=self.created, model=self.model, system_fingerprint=self.build, choices=list(choices), usage=usage
        )


class WebApi:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._began = int(time.time())

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/models", self._models),
            web.get("/v1/models/{model}", _in_shape(self._model)),
            web.post("/v1/chat/completions", _in_shape(self._chat)),
        ]

    # ------------------------------------------------------------------ models

    async def _models(self, _request: web.Request) -> web.StreamResponse:
        return _json(ModelList(data=[self._shape(c) for c in self._desk.company.seen_in(ANYWHERE)]))

    async def _model(self, request: web.Request) -> web.StreamResponse:
        return _json(self._shape(self._character(request.match_info["model"])))

    def _shape(self, character: Character) -> ModelShape:
        return ModelShape(id=character.slug, created=self._began, name=character.name, description=character.settings.tagline)

    def _character(self, name: str) -> Character:
        try:
            return self._desk.company.find(ANYWHERE, name)
        except CharacterNotFound as error:
            sentence = f"{str(error)[:1].upper()}{str(error)[1:]}"
            raise ApiRefused(404, f"{sentence}. GET /v1/models lists everybody.", param="model", code="model_not_found") from error

    # ------------------------------------------------------------------ talking

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = await _read(request)
        character = self._character(asked.model)
        pieces = self._unstored(asked, character) if asked.user is None else self._remembered(asked, character, asked.user)
        reply = _Reply(f"chatcmpl-{uuid4().hex}", int(time.time()), character.slug, self._desk.engine.build)
        answer = self._stream(request, asked, reply, pieces) if asked.stream else self._whole(reply, pieces)
        return await while_connected(request, answer)

    async def _whole(self, reply: _Reply, pieces: AsyncGenerator[Piece]) -> web.StreamResponse:
        text, last = "", Piece("", "stop")
        async with aclosing(pieces):
            async for last in _translated(pieces):
                text += last.text
        return _json(
            ChatCompletion(
                id=reply.id,
                created=reply.created,
                model=reply.model,
                system_fingerprint=reply.build,
                choices=[Choice(message=AnswerMessage(content=text), finish_reason=_reason(last))],
                usage=_usage(last.counters),
            )
        )

    async def _stream(self, request: web.Request, asked: ChatRequest, reply: _Reply, pieces: AsyncGenerator[Piece]) -> web.StreamResponse:
        """The status is told with the first words: whatever is refused before them is a plain error."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        last = Piece("", "stop")
        try:
            async with aclosing(pieces):
                async for last in _translated(pieces):
                    role = None if response.prepared else "assistant"
                    if not response.prepared:
                        await response.prepare(request)
                    if last.text or role:
                        await _send(response, reply.chunk(ChunkChoice(delta=Delta(role=role, content=last.text))))
        except Refused as error:
            if not response.prepared:
                raise
            await response.write(b"data: " + _error(error).model_dump_json().encode() + b"\n\n")
            return response
        await _send(response, reply.chunk(ChunkChoice(delta=Delta(), finish_reason=_reason(last))))
        if asked.stream_options is not None and asked.stream_options.include_usage:
            await _send(response, reply.chunk(usage=_usage(last.counters)))
        await response.write(b"data: [DONE]\n\n")
        return response

    def _unstored(self, asked: ChatRequest, character: Character) -> AsyncGenerator[Piece]:
        brought = _brought(asked.messages, character)
        # The same conversation comes again with every turn; under one key the engine finds it in its cache.
        opening = hashlib.sha256(f"{character.id}\n{brought.spoken[0].text}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
        desk = self._desk
        return answer_unstored(
            desk.router.stage,
            character,
            desk.company.seen_in(ANYWHERE),
            brought,
            channel=ChannelKey(PLATFORM, f"unstored/{opening}"),
            wishes=_wishes(asked),
        )

    async def _remembered(self, asked: ChatRequest, character: Character, user: str) -> AsyncGenerator[Piece]:
        last = next((m for m in reversed(asked.messages) if m.role == "user"), None)
        if last is None:
            raise ApiRefused(400, "There is no message with the role user, so there is nothing to answer.", param="messages")
        desk, port = self._desk, ApiPort()
        channel = ChannelKey(PLATFORM, f"{user}/{character.slug}")
        person = Person(f"{PLATFORM}:{user}", shown_name(last.name or user))
        if [c.id for c in await desk.company.awake(channel)] != [character.id]:
            await company_commands.choose(desk, Caller(person, channel, port), character.slug)
        await desk.router.gate.refuse_blocked(person, channel)
        incoming = Incoming(
            channel=channel,
            message_id=uuid4().hex,
            author=person,
            text=last.text,
            reply_to=None,
            mentions=(character.id,),
            attachments=(),
            sent_at=datetime.now(UTC),
            channel_port=port,
            direct=True,
            wishes=_wishes(asked),
        )
        replies = await desk.router.hear(incoming)
        if replies is None:
            raise ApiRefused(403, "That message was not taken.")
        try:
            async with aclosing(port.pieces(replies)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            if not replies.done():  # the client went away
                await desk.router.stop(channel)


async def while_connected(request: web.Request, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; it is cancelled when the client goes away. Nothing else tells of that while there is nothing to send."""
    task = asyncio.create_task(work, name="api reply")
    try:
        while not task.done():
            await asyncio.wait([task], timeout=LOOK_SECONDS)
            if not task.done() and (request.transport is None or request.transport.is_closing()):
                raise ConnectionResetError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


# ------------------------------------------------------------------ in


async def _read(request: web.Request) -> ChatRequest:
    try:
        return ChatRequest.model_validate_json(await request.read())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part in _FIELDS)
        raise ApiRefused(400, f"{where or 'The body'}: {first['msg']}.", param=where or None, code="invalid_value") from error


_FIELDS = {*ChatRequest.model_fields, *ChatMessageGiven.model_fields, "text", "type", "include_usage"}


def _brought(messages: list[ChatMessageGiven], character: Character) -> Brought:
    """What the client tells: its system messages are where the conversation plays, the rest is what was said.

    Examples of how the character talks, which clients mark by these names, are passed over: it has its own.
    """
    told = [m for m in messages if m.role in ("system", "developer") and m.name not in EXAMPLES]
    place = "\n".join(m.text for m in told if m.text.strip())
    spoken = [
        Spoken(m.name or (character.name if m.role == "assistant" else USER), m.text, own=m.role == "assistant")
        for m in messages
        if m.role in ("user", "assistant") and m.text.strip()
    ]
    if not spoken and not place:
        raise ApiRefused(400, "There is no message with the role user that has a text, so there is nothing to answer.", param="messages")
    if not spoken or spoken[-1].own:  # asked to begin, or to go on
        spoken.append(Spoken(USER, GO_ON))
    return Brought(spoken, place)


def _wishes(asked: ChatRequest) -> Wishes:
    seed = asked.seed if asked.seed is not None and asked.seed >= 0 else None  # some clients say -1 for "any"
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    return Wishes(
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        seed=None if seed is None else seed % SEED_LIMIT,
        stop=tuple(text for text in stop if text),
    )


# ------------------------------------------------------------------ out


async def _translated(pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
    """The pieces; what the house says when it cannot, in the words and numbers of this protocol."""
    try:
        async for piece in pieces:
            yield piece
    except PromptTooLong as error:
        sentence = f"The conversation has {error.tokens:,} tokens and {error.limit:,} fit. Send less of it, or a shorter system message."
        raise ApiRefused(400, sentence, param="messages", code="context_length_exceeded") from error
    except EngineBusy as error:
        raise ApiRefused(429, "Too many replies are waiting; try again in a moment.", code="rate_limit_exceeded") from error
    except CardError as error:
        raise ApiRefused(503, "This character's card does not fit the model; its makers have to shorten it.", param="model") from error
    except BotError as error:
        log.warning("api reply failed error=%s: %s", type(error).__name__, error)
        raise ApiRefused(503, "The reply could not be made just now; try again in a moment.") from error


def _json(shape: ModelList | ModelShape | ChatCompletion) -> web.Response:
    return web.json_response(text=shape.model_dump_json())


async def _send(response: web.StreamResponse, chunk: ChatChunk) -> None:
    await response.write(b"data: " + chunk.model_dump_json(exclude_none=True).encode("utf-8", "replace") + b"\n\n")


def _reason(last: Piece) -> Any:
    return "length" if last.finish_reason == "length" else "stop"


def _usage(counters: Counters) -> Usage:
    return Usage(
        prompt_tokens=counters.prompt_tokens,
        completion_tokens=counters.reply_tokens,
        total_tokens=counters.prompt_tokens + counters.reply_tokens,
        prompt_tokens_details=CachedTokens(cached_tokens=counters.reused_tokens),
    )


# ------------------------------------------------------------------ errors


@web.middleware
async def shape_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Outermost of all: what others refuse under these addresses is said in this protocol's shape, too."""
    response = await handler(request)
    if not request.path.startswith(web_requests.OPEN_ROOT) or response.status < 400 or not isinstance(response, web.Response):
        return response
    said = json.loads(response.text or "{}").get("error")
    if not isinstance(said, str):
        return response
    code = "invalid_api_key" if response.status == 401 else None
    shaped = _refusal(ApiRefused(response.status, said, code=code))
    shaped.headers.update({name: value for name, value in response.headers.items() if name in _KEPT_HEADERS})
    return shaped


_KEPT_HEADERS = ("WWW-Authenticate", "Retry-After", "Allow")


def _in_shape(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as error:
            return _refusal(error)

    return answer


def _refusal(error: Refused) -> web.Response:
    return web.json_response(text=_error(error).model_dump_json(), status=error.status)


def _error(error: Refused) -> ErrorAnswer:
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    return ErrorAnswer(
        error=ErrorBody(message=str(error), type=kind, param=getattr(error, "param", None), code=getattr(error, "code", None))
    )
