"""The web channel: a page on this machine, and the small API that the page uses.

Requests and events in, requests and events out; who answers and what a command does is decided below. Every error is
``{"error": sentence}``. A person is whoever sends the random id of their browser in ``X-Troupe-Person``.

    GET  /                                      the page; ?channel=name looks at another channel than the lobby
    GET  /api/channels/{name}                   company, history, what is being said now; ?name= who is greeted,
                                                ?before= gives the turns before that turn id
    GET  /api/channels/{name}/events            server-sent events behind ?after= or Last-Event-ID
    POST /api/channels/{name}/messages          {id, text, name, reply_to?}: the same id twice is one message
    POST /api/channels/{name}/stop              {}
    POST /api/channels/{name}/regenerate        {message_id?}
    POST /api/channels/{name}/continue          {message_id?}
    POST /api/channels/{name}/reset             {character?}
    POST /api/channels/{name}/awake             {character, awake}
    GET  /api/channels/{name}/why/{message_id}  what made a reply
    GET  /healthz
    and what ``web_talk``, ``web_privacy``, ``web_gallery`` and ``web_workshop`` list

Events: ``turn`` (a person spoke), ``typing``, ``begin`` (a reply's first words), ``edit`` (``text``: the whole; ``more``: what was added),
``final``, ``remove``, ``again`` (a reply is about to be made anew), ``take`` (another take is shown), ``notice``, ``awake``, ``scene``,
``reset``, and ``resync`` when too much was missed: read the channel anew.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from bot.commands import character as company_commands
from bot.commands import chat as chat_commands
from bot.commands.desk import MADE_UP, Caller, Desk
from bot.commands.why import why
from bot.config import WebSettings
from bot.connectors import web_api, web_api_document, web_requests, web_shapes
from bot.connectors.web_callers import Callers
from bot.connectors.web_control import WebControl
from bot.connectors.web_curation import WebCuration
from bot.connectors.web_events import EventHub
from bot.connectors.web_files import PageFiles
from bot.connectors.web_gallery import WebGallery
from bot.connectors.web_port import WebPort
from bot.connectors.web_privacy import WebPrivacy
from bot.connectors.web_rating import WebRating
from bot.connectors.web_requests import Refused
from bot.connectors.web_security import WebSecurity, read_tokens
from bot.connectors.web_talk import WebTalk
from bot.connectors.web_voice import WebVoice
from bot.connectors.web_workshop import WebWorkshop
from bot.errors import ConfigError
from bot.memory.store import Beside
from bot.messages import Channel, ChannelKey, Incoming, Turn

log = logging.getLogger(__name__)

HISTORY_TURNS = 80
OPEN_PAGES = 512
FRESH_AFTER = "web_fresh_after"  # channel setting: the last turn before everybody began anew
STOP_SECONDS = 3.0


class WebChat:
    """Serves the page. ``start`` and ``stop`` once each."""

    def __init__(self, settings: WebSettings, desk: Desk) -> None:
        self._settings = settings
        self._desk = desk
        self._hub = EventHub()
        self._runner: web.AppRunner | None = None
        self._callers = Callers(settings.host, self.port)

    async def start(self) -> str:
        """Listen. Returns the page's address.

        Raises:
            ConfigError: the port is taken or not allowed, the host is not this machine's, or a token is wanted and there is none.
        """
        host, port = self._settings.host, self._settings.port
        security = WebSecurity(self._settings, read_tokens(self._settings))
        files = await asyncio.to_thread(PageFiles)
        runner = web.AppRunner(self.make_app(files, security), access_log=None, shutdown_timeout=STOP_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(_cannot_listen(host, port, error)) from error
        self._runner = runner
        return f"http://{_reachable(host)}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Let every page go and close the port. Pages keep trying, and are back after a restart."""
        self._hub.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def port(self, channel: ChannelKey) -> Channel:
        """The way back to a channel of the web, whether a page looks at it or not."""
        return WebPort(self._hub, channel.path)

    def make_app(self, files: PageFiles, security: WebSecurity) -> web.Application:
        """Every module of the web brings its routes; they stand together here."""
        guard = web_requests.guard(self._settings.host, self._settings.names)
        middlewares = [web_api.shape_errors, web_requests.answer_errors, guard, security.middleware]
        app = web.Application(client_max_size=web_requests.BODY_BYTES, middlewares=middlewares)
        app.on_response_prepare.append(_secure)
        control = WebControl(self._desk, self._callers, files, lambda: self._hub.listeners)
        rating = WebRating(self._desk, self._callers, files)
        app.cleanup_ctx.extend([control.listening, rating.making])
        app.add_routes(
            [
                *self._routes(files),
                *WebTalk(self._desk, self._callers, self._hub).routes(),
                *security.routes(files),
                *web_api.WebApi(self._desk).routes(),
                *web_api_document.routes(),
                *control.routes(),
                *WebCuration(self._desk, self._callers).routes(),
                *rating.routes(),
                *WebPrivacy(self._desk, self._callers).routes(),
                *WebVoice(self._desk, self._callers).routes(),
                *WebGallery(self._desk, self._callers, files, self._settings.featured).routes(),
                *WebWorkshop(self._desk, self._callers, files).routes(),
            ]
        )
        return app

    def _routes(self, files: PageFiles) -> list[web.RouteDef]:
        async def index(request: web.Request) -> web.StreamResponse:
            return files.answer(request, "index.html")

        async def file(request: web.Request) -> web.StreamResponse:
            return files.answer(request, request.match_info["file"])

        here = "/api/channels/{channel}"
        return [
            web.get("/", index),
            web.get("/page/{file}", file),
            web.get("/healthz", self._health),
            web.get(here, self._look),
            web.get(f"{here}/events", self._events, allow_head=False),
            web.get(f"{here}/why/{{message_id}}", self._why),
            web.post(f"{here}/messages", self._say),
            web.post(f"{here}/stop", self._stop),
            web.post(f"{here}/regenerate", self._regenerate),
            web.post(f"{here}/continue", self._continue),
            web.post(f"{here}/reset", self._reset),
            web.post(f"{here}/awake", self._awake),
        ]

    # ------------------------------------------------------------------ reading

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "ok", "open_pages": self._hub.listeners})

    async def _look(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request, name=request.query.get("name", ""))
        before = request.query.get("before", "")
        if before and not (before.isascii() and before.isdigit() and len(before) < 16):
            raise Refused(400, "'before' must be the number of a turn.")
        feed = self._hub.feed(caller.channel.path)
        # All taken at one moment, before the store is read: what happens meanwhile comes again as an event. A reply that
        # began later must not be shown from here, because the question before it would then come behind it.
        after, saying, thinking = feed.position, [one.shape() for one in feed.saying.values()], list(feed.thinking)
        store = self._desk.store
        turns = await store.history(caller.channel, None, limit=HISTORY_TURNS + 1, before=int(before) if before else None)
        more, turns = len(turns) > HISTORY_TURNS, turns[-HISTORY_TURNS:]
        fresh_after = (await store.channel_settings(caller.channel)).get(FRESH_AFTER, 0)
        company = await self._company(caller)
        beside = await store.beside([turn.id for turn in turns if turn.by_character], caller.person.id)
        return web.json_response(
            {
                "channel": caller.channel.path,
                "characters": company,
                "turns": [self._turn(turn, beside.get(turn.id)) for turn in turns],
                "more": more,
                "fresh_after": fresh_after,
                "place": await store.place(caller.channel),
                "moderates": caller.moderates,
                "saying": saying,
                "thinking": thinking,
                "after": after,
                "you": web_shapes.badge(caller.person.id),
                "notice": MADE_UP,
            }
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        channel = web_requests.channel_name(request)
        if self._hub.listeners >= OPEN_PAGES:
            raise Refused(503, "Too many pages are open just now. Please close one, or try again later.")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        await response.prepare(request)
        after = request.headers.get("Last-Event-ID") or request.query.get("after")
        async with aclosing(self._hub.listen(channel, after, lambda: _hang_up(request))) as events:
            try:
                async for event in events:
                    await response.write(event)
            except ConnectionResetError:  # the page was closed, or was too slow and let go
                return response
        return response

    async def _why(self, request: web.Request) -> web.StreamResponse:
        message_id = web_requests.identifier(request.match_info["message_id"], "A message's id")
        return web.json_response(web_shapes.explanation_shape(await why(self._desk, self._caller(request), message_id)))

    # ------------------------------------------------------------------ doing

    async def _say(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"id": str, "text": str, "name": str, "reply_to": str})
        caller = self._caller(request, name=body.get("name", ""))
        incoming = Incoming(
            channel=caller.channel,
            message_id=web_requests.identifier(body.get("id", ""), "A message's id"),
            author=caller.person,
            text=body.get("text", ""),
            reply_to=body.get("reply_to"),
            mentions=(),
            attachments=(),
            sent_at=datetime.now(UTC),
            channel_port=caller.port,
        )
        known = await self._desk.router.hear(incoming) is None
        # Nothing was awaited since the message was queued, so this event stands before those of the answer.
        if not known:
            shape = _turn_as_heard(incoming)
            self._hub.feed(caller.channel.path).publish("turn", shape)
        return web.json_response({"id": incoming.message_id, "known": known}, status=200 if known else 202)

    async def _stop(self, request: web.Request) -> web.StreamResponse:
        await web_requests.read_body(request, {})
        return web.json_response({"text": await chat_commands.stop(self._desk, self._caller(request))})

    async def _regenerate(self, request: web.Request) -> web.StreamResponse:
        caller, message_id = await self._about_message(request)
        await chat_commands.regenerate(self._desk, caller, message_id)
        if message_id is not None:
            self._hub.feed(caller.channel.path).publish("again", {"id": message_id})
        return web.json_response({"id": message_id}, status=202)

    async def _continue(self, request: web.Request) -> web.StreamResponse:
        caller, message_id = await self._about_message(request)
        await chat_commands.go_on(self._desk, caller, message_id)
        return web.json_response({"id": message_id}, status=202)

    async def _reset(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"character": str})
        caller = self._caller(request)
        name = body.get("character")
        text = await chat_commands.reset(self._desk, caller, name)
        if name is None:
            last = await self._desk.store.history(caller.channel, None, limit=1)
            await self._desk.store.change_channel_settings(caller.channel, {FRESH_AFTER: max((t.id for t in last), default=None)})
        self._hub.feed(caller.channel.path).publish("reset", {"text": text, "everybody": name is None})
        return web.json_response({"text": text})

    async def _awake(self, request: web.Request) -> web.StreamResponse:
        body = await web_requests.read_body(request, {"character": str, "awake": bool})
        if "character" not in body or "awake" not in body:
            raise Refused(400, "Say which 'character', and whether it is 'awake' (true or false).")
        caller = self._caller(request)
        change = company_commands.wake if body["awake"] else company_commands.sleep
        await change(self._desk, caller, body["character"])
        present = [p.character.slug for p in await company_commands.characters(self._desk, caller) if p.awake]
        self._hub.feed(caller.channel.path).publish("awake", {"awake": present})
        return web.json_response({"awake": present})

    # ------------------------------------------------------------------ shared

    async def _about_message(self, request: web.Request) -> tuple[Caller, str | None]:
        body = await web_requests.read_body(request, {"message_id": str})
        message_id = body.get("message_id")
        return self._caller(request), message_id and web_requests.identifier(message_id, "A message's id")

    def _caller(self, request: web.Request, name: str = "") -> Caller:
        return self._callers.of(request, channel=web_requests.channel_name(request), name=name)

    async def _company(self, caller: Caller) -> list[dict[str, Any]]:
        present = await company_commands.characters(self._desk, caller)
        return [web_shapes.character_shape(p.character, awake=p.awake, visitor=caller.person.name) for p in present]

    def _turn(self, turn: Turn, beside: Beside | None) -> dict[str, Any]:
        character = self._desk.company.by_id(turn.author_id) if turn.by_character else None
        return web_shapes.turn_shape(turn, character.slug if character else None, beside)


def _turn_as_heard(incoming: Incoming) -> dict[str, Any]:
    return {
        "id": incoming.message_id,
        "from": "person",
        "author": web_shapes.badge(incoming.author.id),
        "name": incoming.author.name,
        "text": incoming.text,
        "at": incoming.sent_at.isoformat(),
        "reply_to": incoming.reply_to,
    }


async def _secure(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(web_requests.headers_of(request))


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _reachable(host: str) -> str:
    """An address that a browser on this machine can open."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{shown}]" if ":" in shown and not shown.startswith("[") else shown


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by another program, perhaps another Troupe; stop it, "
            "or choose another port under [web] in config.toml (0 takes any free one)"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} may not be used by this account; choose one above 1023 under [web] in config.toml"
    return f"cannot listen on {host}:{port} ({error.strerror or error}); set host under [web] in config.toml to an address of this machine"
