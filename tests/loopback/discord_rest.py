"""The loopback Discord's REST: the calls that a chat bot makes, with Discord's refusals and rate limits.

Reference: https://discord.com/developers/docs/reference. Every call is recorded in ``calls``; what the OpenAPI description
has against a request or an answer is collected in ``violations``.
"""

import asyncio
import base64
import json
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.loopback.discord_gateway import Gateway
from tests.loopback.discord_spec import Spec
from tests.loopback.discord_world import (
    ATTACH,
    BOT_NEEDS,
    DM,
    FORUM,
    HISTORY,
    MANAGE_WEBHOOKS,
    PUBLIC_THREAD,
    SEND,
    SEND_VOICE,
    TEXT,
    Refused,
    World,
)

JSON = {"Content-Type": "application/json"}  # compared with == by discord.py: a charset would make it text
LONGEST = 2000
VOICE_MESSAGE = 1 << 13  # a flag of messages


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    at: float  # monotonic seconds


@dataclass
class Fault:
    """Trouble for the next ``times`` calls that match.

    ``lost``: the call is carried out and its answer never arrives. ``hold``: it is carried out, and the answer waits for the event.
    """

    method: str
    path: str  # regular expression
    status: int = 500
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    lost: bool = False
    hold: asyncio.Event | None = None

    def takes(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method in (method, "*") and re.search(self.path, path) is not None


@dataclass
class Bucket:
    """At most ``limit`` calls in ``seconds`` per path that matches; beyond it 429, as Discord does."""

    method: str
    path: str
    limit: int
    seconds: float
    seen: dict[str, deque[float]] = field(default_factory=dict)


@dataclass(eq=False)
class Interaction:
    """Something a member did with a command, a button or a form, and what the bot answered."""

    id: str
    token: str
    kind: int
    channel_id: str
    began: float = field(default_factory=time.monotonic)
    callback: dict[str, Any] | None = None
    answered_after: float | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)  # the original first, follow-ups behind it
    source: dict[str, Any] | None = None  # the message that a button stands under
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, done: Callable[["Interaction"], bool], seconds: float = 30) -> "Interaction":
        async with asyncio.timeout(seconds):
            while not done(self):
                await self._changed.wait()
        return self

    async def answer(self, seconds: float = 30) -> dict[str, Any]:
        """The first message that says something: the answer, or what took a deferred one's place."""
        await self.until(lambda i: any(_says(m) for m in i.messages), seconds)
        return next(m for m in self.messages if _says(m))

    async def choices(self, seconds: float = 10) -> list[str]:
        await self.until(lambda i: i.callback is not None, seconds)
        assert self.callback is not None
        return [choice["value"] for choice in self.callback["data"]["choices"]]

    async def form(self, seconds: float = 10) -> dict[str, Any]:
        """The modal that was opened."""
        await self.until(lambda i: i.callback is not None, seconds)
        assert self.callback is not None and self.callback["type"] == 9, self.callback
        return self.callback["data"]


def _says(message: dict[str, Any]) -> bool:
    return bool(message["content"] or message["embeds"] or message["attachments"] or message["components"]) and not message.get("waiting")


Handler = Callable[..., Awaitable[tuple[int, Any]]]


class Rest:
    def __init__(self, world: World, gateway: Gateway, spec: Spec | None) -> None:
        self._world, self._gateway, self._spec = world, gateway, spec
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.faults: list[Fault] = []
        self.buckets: list[Bucket] = []
        self.interactions: dict[str, Interaction] = {}
        self.interaction_seconds = 3.0
        self.base = ""
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "$"), handler)
            for method, path, handler in self._table()
        ]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/api/v10")
        body, files = await _body(request)
        self.calls.append(Call(request.method, path, dict(request.query), body, time.monotonic()))
        authorised = request.headers.get("Authorization") == f"Bot {self._world.token}"
        if not authorised and not re.match(r"/(webhooks/\d+/|interactions/)", path):
            return _answer(401, {"message": "401: Unauthorized", "code": 0})
        fault = next((f for f in self.faults if f.takes(request.method, path)), None)
        if fault is not None:
            fault.times -= 1
            if not fault.lost and fault.hold is None:
                return _answer(fault.status, fault.body if fault.body is not None else {"message": "scripted", "code": 0}, fault.headers)
        headers, wait = self._count(request.method, path)
        if wait is not None:
            limited = {"message": "You are being rate limited.", "retry_after": wait, "global": False}
            return _answer(429, limited, {**headers, "Via": "1.1 loopback", "Retry-After": str(int(wait) + 1)})
        status, answer = await self._carry_out(request, path, body, files)
        if fault is not None and fault.hold is not None:
            await fault.hold.wait()
        elif fault is not None and request.transport is not None:
            request.transport.abort()
        if self._spec is not None and status < 400:
            for problem in (
                self._spec.request(request.method, path, body),
                self._spec.answer(request.method, path, status, answer),
            ):
                if problem:
                    self.violations.append(problem)
        return _answer(status, answer, headers)

    async def _carry_out(self, request: web.Request, path: str, body: Any, files: dict[str, Any]) -> tuple[int, Any]:
        for method, pattern, handler in self._routes:
            found = pattern.match(path)
            if found and method == request.method:
                try:
                    return await handler(body or {}, files, dict(request.query), **found.groupdict())
                except Refused as error:
                    return error.status, {"message": error.message, "code": error.code}
        self.violations.append(f"{request.method} {path}: the loopback does not know this call")
        return 404, {"message": "404: Not Found", "code": 0}

    def _count(self, method: str, path: str) -> tuple[dict[str, str], float | None]:
        for bucket in self.buckets:
            if bucket.method not in (method, "*") or not re.search(bucket.path, path):
                continue
            key = "/".join(path.split("/")[:3])  # Discord counts per channel or webhook
            seen = bucket.seen.setdefault(key, deque())
            now = time.monotonic()
            while seen and seen[0] <= now - bucket.seconds:
                seen.popleft()
            reset = round((seen[0] + bucket.seconds - now) if seen else bucket.seconds, 3)
            if len(seen) >= bucket.limit:
                return _limits(bucket, 0, reset), reset
            seen.append(now)
            return _limits(bucket, bucket.limit - len(seen), reset), None
        return {}, None

    def _table(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/users/@me", self._me),
            ("GET", "/users/{user}", self._user),
            ("GET", "/oauth2/applications/@me", self._application),
            ("GET", "/applications/@me", self._application),
            ("GET", "/gateway/bot", self._gateway_bot),
            ("POST", "/users/@me/channels", self._open_dm),
            ("GET", "/users/@me/guilds", self._guilds),
            ("GET", "/guilds/{guild}", self._guild),
            ("GET", "/guilds/{guild}/channels", self._guild_channels),
            ("GET", "/guilds/{guild}/members/{user}", self._member),
            ("GET", "/channels/{channel}", self._channel),
            ("GET", "/channels/{channel}/messages", self._history),
            ("POST", "/channels/{channel}/messages", self._send),
            ("GET", "/channels/{channel}/messages/{message}", self._message),
            ("PATCH", "/channels/{channel}/messages/{message}", self._edit),
            ("DELETE", "/channels/{channel}/messages/{message}", self._delete),
            ("PUT", "/channels/{channel}/messages/{message}/reactions/{emoji}/@me", self._react),
            ("POST", "/channels/{channel}/typing", self._typing),
            ("GET", "/channels/{channel}/webhooks", self._webhooks),
            ("POST", "/channels/{channel}/webhooks", self._create_webhook),
            ("DELETE", "/webhooks/{webhook}", self._delete_webhook),
            ("POST", "/webhooks/{webhook}/{token}", self._execute),
            ("GET", "/webhooks/{webhook}/{token}/messages/{message}", self._webhook_message),
            ("PATCH", "/webhooks/{webhook}/{token}/messages/{message}", self._webhook_edit),
            ("DELETE", "/webhooks/{webhook}/{token}/messages/{message}", self._webhook_delete),
            ("POST", "/interactions/{interaction}/{token}/callback", self._callback),
            ("GET", "/applications/{app}/commands", self._commands),
            ("PUT", "/applications/{app}/commands", self._put_commands),
            ("GET", "/applications/{app}/guilds/{guild}/commands", self._commands),
            ("PUT", "/applications/{app}/guilds/{guild}/commands", self._put_commands),
            ("GET", "/applications/{app}/emojis", self._emojis),
            ("POST", "/applications/{app}/emojis", self._create_emoji),
            ("DELETE", "/applications/{app}/emojis/{emoji}", self._delete_emoji),
        ]

    # ------------------------------------------------------------------ who we are

    async def _me(self, body: Any, files: Any, query: Any) -> tuple[int, Any]:
        return 200, {**self._world.bot, "mfa_enabled": False, "locale": "en-US", "verified": True, "email": None}

    async def _user(self, body: Any, files: Any, query: Any, user: str) -> tuple[int, Any]:
        if user not in self._world.users:
            raise Refused(404, 10013, "Unknown User")
        return 200, self._world.users[user]

    async def _application(self, body: Any, files: Any, query: Any) -> tuple[int, Any]:
        return 200, self._world.application()

    async def _gateway_bot(self, body: Any, files: Any, query: Any) -> tuple[int, Any]:
        limit = {"max_concurrency": 1, "remaining": 999, "reset_after": 0, "total": 1000}
        return 200, {"url": self._gateway.url, "shards": 1, "session_start_limit": limit}

    async def _open_dm(self, body: Any, files: Any, query: Any) -> tuple[int, Any]:
        return 200, self._world.dm(self._world.users[str(body["recipient_id"])])

    async def _member(self, body: Any, files: Any, query: Any, guild: str, user: str) -> tuple[int, Any]:
        if guild not in self._world.guilds or user not in self._world.users:
            raise Refused(404, 10007, "Unknown Member")
        return 200, self._world.member(guild, self._world.users[user])

    async def _guilds(self, body: Any, files: Any, query: Any) -> tuple[int, Any]:
        permissions = str(BOT_NEEDS)
        return 200, [
            {"id": g["id"], "name": g["name"], "icon": None, "banner": None, "owner": False, "permissions": permissions, "features": []}
            for g in self._world.guilds.values()
        ]

    async def _guild(self, body: Any, files: Any, query: Any, guild: str) -> tuple[int, Any]:
        if guild not in self._world.guilds:
            raise Refused(404, 10004, "Unknown Guild")
        return 200, self._world.guild_answer(guild)

    async def _guild_channels(self, body: Any, files: Any, query: Any, guild: str) -> tuple[int, Any]:
        return 200, [c for c in self._world.channels.values() if c.get("guild_id") == guild and c["type"] != PUBLIC_THREAD]

    # ------------------------------------------------------------------ channels and messages

    async def _channel(self, body: Any, files: Any, query: Any, channel: str) -> tuple[int, Any]:
        found = self._world.channel(channel)
        self._world.require(found)
        return 200, found

    async def _history(self, body: Any, files: Any, query: dict[str, str], channel: str) -> tuple[int, Any]:
        self._world.require(self._world.channel(channel), HISTORY)
        limit = int(query.get("limit", "50"))
        return 200, self._world.history(channel, before=query.get("before"), after=query.get("after"), limit=limit)

    async def _send(self, body: Any, files: Any, query: Any, channel: str) -> tuple[int, Any]:
        place = self._world.channel(channel)
        self._world.require(place, SEND, *([ATTACH] if files else []))
        voice = self._voice(place, body, files) if (body.get("flags") or 0) & VOICE_MESSAGE else None
        return 200, await self._post(channel, self._world.bot, body, files, voice=voice)

    def _voice(self, place: dict[str, Any], body: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> dict[str, Any]:
        """The rules for voice messages: https://discord.com/developers/docs/resources/message#voice-messages."""
        if "guild_id" in place and not self._world.bot_may(place, SEND_VOICE):
            raise Refused(403, 50173, "Cannot send voice messages in this channel")
        if body.get("content") or body.get("embeds") or body.get("components"):
            raise Refused(400, 50159, "Voice messages do not support additional content")
        attachments = body.get("attachments") or []
        if len(files) != 1 or len(attachments) != 1:
            raise Refused(400, 50160, "Voice messages must have a single audio attachment")
        [about], [(_, data)] = attachments, files.values()
        if not about.get("duration_secs") or not about.get("waveform"):
            raise Refused(400, 50161, "Voice messages must have supporting metadata")
        waveform = base64.b64decode(about["waveform"], validate=True)
        if not 1 <= len(waveform) <= 256 or not (data[:4] == b"OggS" and b"OpusHead" in data[:64]):
            raise Refused(400, 50160, "Voice messages must have a single audio attachment")
        return {key: about[key] for key in ("duration_secs", "waveform")}

    async def _message(self, body: Any, files: Any, query: Any, channel: str, message: str) -> tuple[int, Any]:
        self._world.require(self._world.channel(channel), HISTORY)
        return 200, self._world.message(channel, message)

    async def _edit(self, body: Any, files: Any, query: Any, channel: str, message: str) -> tuple[int, Any]:
        self._world.require(self._world.channel(channel))
        found = self._world.message(channel, message)
        if found["author"]["id"] != self._world.bot["id"]:
            raise Refused(403, 50005, "Cannot edit a message authored by another user")
        return 200, await self._change(found, body, files)

    async def _delete(self, body: Any, files: Any, query: Any, channel: str, message: str) -> tuple[int, Any]:
        self._world.require(self._world.channel(channel))
        self._world.message(channel, message)
        await self.take_away(channel, message)
        return 204, None

    async def _react(self, body: Any, files: Any, query: Any, channel: str, message: str, emoji: str) -> tuple[int, Any]:
        self._world.message(channel, message)
        return 204, None

    async def _typing(self, body: Any, files: Any, query: Any, channel: str) -> tuple[int, Any]:
        self._world.require(self._world.channel(channel), SEND)
        return 204, None

    async def _post(
        self,
        channel_id: str,
        author: dict[str, Any],
        body: dict[str, Any],
        files: dict[str, Any],
        *,
        voice: dict[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        content = body.get("content") or ""
        _check_content(content, body, files)
        reference = body.get("message_reference") or {}
        message = self._world.add_message(
            channel_id,
            author,
            content,
            reply_to=str(reference["message_id"]) if reference else None,
            attachments=[self._file(channel_id, name, data) for name, data in files.values()],
            **more,
        )
        if voice is not None:
            message["flags"] |= VOICE_MESSAGE
            message["attachments"][0] |= {**voice, "content_type": "audio/ogg"}
        message["embeds"] = [_embed(e) for e in body.get("embeds") or []]
        message["components"] = _components(body.get("components") or [])
        message["allowed_mentions_asked"] = body.get("allowed_mentions")
        await self._told("MESSAGE_CREATE", message)
        return _public(message)

    async def _change(self, message: dict[str, Any], body: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
        if "content" in body:
            _check_content(body["content"] or "", {**message, **body}, files)
            message["content"] = body["content"] or ""
        if "embeds" in body:
            message["embeds"] = [_embed(e) for e in body["embeds"] or []]
        if "components" in body:
            message["components"] = _components(body["components"] or [])
        message["allowed_mentions_asked"] = body.get("allowed_mentions")
        message["edited_timestamp"] = datetime.now(UTC).isoformat()
        message.setdefault("versions", []).append(message["content"])
        await self._told("MESSAGE_UPDATE", message)
        return _public(message)

    async def take_away(self, channel_id: str, message_id: str) -> None:
        del self._world.messages[channel_id][message_id]
        place = self._world.channels[channel_id]
        where = {"guild_id": place["guild_id"]} if "guild_id" in place else {}
        await self._gateway.dispatch(
            "MESSAGE_DELETE", {"id": message_id, "channel_id": channel_id, **where}, guild_id=place.get("guild_id")
        )

    async def _told(self, event: str, message: dict[str, Any]) -> None:
        place = self._world.channels[message["channel_id"]]
        await self._gateway.dispatch(event, self._world.event_message(_public(message)), guild_id=place.get("guild_id"))

    def _file(self, channel_id: str, name: str, data: bytes) -> dict[str, Any]:
        return self.attachment(channel_id, name, data)

    def attachment(self, channel_id: str, name: str, data: bytes, media_type: str = "application/octet-stream") -> dict[str, Any]:
        """Keep a file, as the CDN would; gives the attachment that messages and interactions carry."""
        attachment_id = self._world.snowflake()
        path = f"/attachments/{channel_id}/{attachment_id}/{name}"
        self._world.files[path] = (media_type, data)
        url = f"{self.base}{path}"
        return {"id": attachment_id, "filename": name, "size": len(data), "url": url, "proxy_url": url, "content_type": media_type}

    # ------------------------------------------------------------------ webhooks

    async def _webhooks(self, body: Any, files: Any, query: Any, channel: str) -> tuple[int, Any]:
        self._world.require(self._world.channel(channel), MANAGE_WEBHOOKS)
        here = [w for w in self._world.webhooks.values() if w["channel_id"] == channel]
        # Discord shows the token of an application's own webhooks only.
        return 200, [w if w["application_id"] == self._world.application_id else {k: v for k, v in w.items() if k != "token"} for w in here]

    async def _create_webhook(self, body: Any, files: Any, query: Any, channel: str) -> tuple[int, Any]:
        place = self._world.channel(channel)
        self._world.require(place, MANAGE_WEBHOOKS)
        if place["type"] not in (TEXT, FORUM):
            raise Refused(400, 50024, "Cannot execute action on this channel type")
        _check_name(body["name"])
        if len([w for w in self._world.webhooks.values() if w["channel_id"] == channel]) >= 15:
            raise Refused(400, 30007, "Maximum number of webhooks reached (15)")
        return 200, self._world.add_webhook(channel, body["name"], application_id=self._world.application_id)

    async def _delete_webhook(self, body: Any, files: Any, query: Any, webhook: str) -> tuple[int, Any]:
        if self._world.webhooks.pop(webhook, None) is None:
            raise Refused(404, 10015, "Unknown Webhook")
        return 204, None

    async def _execute(self, body: Any, files: Any, query: dict[str, str], webhook: str, token: str) -> tuple[int, Any]:
        if webhook == self._world.application_id:
            return await self._follow_up(body, files, token)
        hook = self._world.webhook(webhook, token)
        where = hook["channel_id"]
        if query.get("thread_id"):
            where = query["thread_id"]
            if self._world.channel(where).get("parent_id") != hook["channel_id"]:
                raise Refused(400, 10003, "Unknown Channel")
        elif self._world.channels[where]["type"] == FORUM:
            raise Refused(400, 220001, "Webhooks posted to forum channels must have a thread_name or thread_id")
        name = body.get("username") or hook["name"]
        _check_name(name)
        if body.get("components") and hook["application_id"] != self._world.application_id:
            raise Refused(400, 50035, "Invalid Form Body")
        author = {**self._world._user(name, webhook, bot=True), "username": name, "global_name": None, "discriminator": "0000"}
        message = await self._post(where, author, body, files, webhook_id=webhook, application_id=hook["application_id"])
        self._world.messages[where][message["id"]]["avatar_url"] = body.get("avatar_url")
        return (200, message) if query.get("wait") in ("1", "true") else (204, None)

    async def _webhook_message(
        self, body: Any, files: Any, query: dict[str, str], webhook: str, token: str, message: str
    ) -> tuple[int, Any]:
        if webhook == self._world.application_id:
            return 200, _public(self._interaction_message(token, message))
        return 200, _public(self._own(webhook, token, query, message))

    async def _webhook_edit(self, body: Any, files: Any, query: dict[str, str], webhook: str, token: str, message: str) -> tuple[int, Any]:
        if webhook == self._world.application_id:
            found = self._interaction_message(token, message)
            found.pop("waiting", None)
            answer = await self._change_answer(found, body, files)
            self._by_token(token).note()
            return 200, answer
        return 200, await self._change(self._own(webhook, token, query, message), body, files)

    async def _webhook_delete(
        self, body: Any, files: Any, query: dict[str, str], webhook: str, token: str, message: str
    ) -> tuple[int, Any]:
        if webhook == self._world.application_id:
            interaction = self._by_token(token)
            interaction.messages.remove(self._interaction_message(token, message))
            interaction.note()
            return 204, None
        found = self._own(webhook, token, query, message)
        await self.take_away(found["channel_id"], message)
        return 204, None

    def _own(self, webhook: str, token: str, query: dict[str, str], message_id: str) -> dict[str, Any]:
        hook = self._world.webhook(webhook, token)
        message = self._world.message(query.get("thread_id") or hook["channel_id"], message_id)
        if message.get("webhook_id") != webhook:
            raise Refused(404, 10008, "Unknown Message")
        return message

    # ------------------------------------------------------------------ interactions

    async def _callback(self, body: Any, files: Any, query: dict[str, str], interaction: str, token: str) -> tuple[int, Any]:
        known = self.interactions.get(interaction)
        if known is None or known.token != token:
            raise Refused(404, 10062, "Unknown interaction")
        if known.callback is not None:
            raise Refused(400, 40060, "Interaction has already been acknowledged.")
        elapsed = time.monotonic() - known.began
        if elapsed > self.interaction_seconds:
            raise Refused(404, 10062, "Unknown interaction")
        data = body.get("data") or {}
        message: dict[str, Any] | None = None
        if body["type"] in (4, 5):
            if body["type"] == 4:
                _check_content(data.get("content") or "", data, files)
            message = self._answer_message(known, data, files)
            if body["type"] == 5:
                message["waiting"] = True
        elif body["type"] == 7 and known.source is not None:
            message = known.source
            await self._change(message, data, files)
        elif body["type"] == 8 and len(data["choices"]) > 25:
            raise Refused(400, 50035, "Invalid Form Body")
        known.callback, known.answered_after = body, elapsed
        known.note()
        if query.get("with_response") not in ("1", "true"):
            return 204, None
        about: dict[str, Any] = {"id": known.id, "type": known.kind}
        if message is not None:
            about["response_message_id"] = message["id"]
            about |= {"response_message_loading": body["type"] == 5, "response_message_ephemeral": bool(data.get("flags", 0) & 64)}
        if body["type"] not in (4, 7) or message is None:
            return 200, {"interaction": about}
        return 200, {"interaction": about, "resource": {"type": body["type"], "message": _public(message)}}

    async def _follow_up(self, body: Any, files: Any, token: str) -> tuple[int, Any]:
        interaction = self._by_token(token)
        _check_content(body.get("content") or "", body, files)
        if interaction.messages and interaction.messages[0].pop("waiting", False):
            message = interaction.messages[0]  # the first follow-up takes the place of "thinking …"
            await self._change_answer(message, body, files)
        else:
            message = self._answer_message(interaction, body, files)
        interaction.note()
        return 200, _public(message)

    def _answer_message(self, interaction: Interaction, data: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
        message = {
            **self._world.add_message(interaction.channel_id, self._world.bot, data.get("content") or ""),
            "flags": data.get("flags", 0) & 64,
            "embeds": [_embed(e) for e in data.get("embeds") or []],
            "components": _components(data.get("components") or []),
            "attachments": [self._file(interaction.channel_id, name, content) for name, content in files.values()],
            "webhook_id": self._world.application_id,
            "application_id": self._world.application_id,
            "allowed_mentions_asked": data.get("allowed_mentions"),
        }
        del self._world.messages[interaction.channel_id][message["id"]]
        if not message["flags"] & 64:
            self._world.messages[interaction.channel_id][message["id"]] = message
        interaction.messages.append(message)
        return message

    async def _change_answer(self, message: dict[str, Any], body: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
        _check_content(body.get("content") or "", {**message, **body}, files)
        message["content"] = body.get("content") or ""
        message["embeds"] = [_embed(e) for e in body.get("embeds") or []]
        message["components"] = _components(body.get("components") or [])
        message["attachments"] += [self._file(message["channel_id"], name, content) for name, content in files.values()]
        message["allowed_mentions_asked"] = body.get("allowed_mentions")
        return _public(message)

    def _by_token(self, token: str) -> Interaction:
        for interaction in self.interactions.values():
            if interaction.token == token and interaction.callback is not None:
                return interaction
        raise Refused(404, 10015, "Unknown Webhook")

    def _interaction_message(self, token: str, message_id: str) -> dict[str, Any]:
        interaction = self._by_token(token)
        if message_id == "@original":
            if interaction.source is not None and interaction.callback is not None and interaction.callback["type"] in (6, 7):
                return interaction.source
            if interaction.messages:
                return interaction.messages[0]
        for message in interaction.messages:
            if message["id"] == message_id:
                return message
        raise Refused(404, 10008, "Unknown Message")

    # ------------------------------------------------------------------ commands and emojis

    async def _commands(self, body: Any, files: Any, query: Any, app: str, guild: str = "") -> tuple[int, Any]:
        return 200, self._world.commands.get(guild, [])

    async def _put_commands(self, body: Any, files: Any, query: Any, app: str, guild: str = "") -> tuple[int, Any]:
        for kind, most in ((1, 100), (2, 5), (3, 5)):
            if len([c for c in body if c.get("type", 1) == kind]) > most:
                raise Refused(400, 30032, "Maximum number of application commands reached")
        old = {(c["name"], c["type"]): c["id"] for c in self._world.commands.get(guild, [])}
        self._world.commands[guild] = [
            {
                "id": old.get((c["name"], c.get("type", 1))) or self._world.snowflake(),
                "application_id": app,
                "version": self._world.snowflake(),
                "default_member_permissions": _text(c.get("default_member_permissions")),
                "type": c.get("type", 1),
                "name": c["name"],
                "name_localizations": None,
                "description": c.get("description", ""),
                "description_localizations": None,
                "dm_permission": c.get("dm_permission", True),
                "contexts": c.get("contexts"),
                "integration_types": c.get("integration_types") or [0],
                "nsfw": c.get("nsfw", False),
                **({"options": c["options"]} if c.get("options") else {}),
                **({"guild_id": guild} if guild else {}),
            }
            for c in body
        ]
        return 200, self._world.commands[guild]

    async def _emojis(self, body: Any, files: Any, query: Any, app: str) -> tuple[int, Any]:
        return 200, {"items": [{k: v for k, v in e.items() if k != "image"} for e in self._world.emojis.values()]}

    async def _create_emoji(self, body: Any, files: Any, query: Any, app: str) -> tuple[int, Any]:
        if not re.fullmatch(r"\w{2,32}", body["name"]):
            raise Refused(400, 50035, "Invalid Form Body")
        if any(emoji["name"] == body["name"] for emoji in self._world.emojis.values()):
            raise Refused(400, 50035, "Invalid Form Body: name: APPLICATION_EMOJI_NAME_ALREADY_TAKEN")
        if len(self._world.emojis) >= 2000:
            raise Refused(400, 30008, "Maximum number of emojis reached (2000)")
        emoji_id = self._world.snowflake()
        emoji = {
            "id": emoji_id,
            "name": body["name"],
            "roles": [],
            "require_colons": True,
            "managed": False,
            "animated": False,
            "available": True,
            "user": self._world.bot,
        }
        self._world.emojis[emoji_id] = {**emoji, "image": body["image"]}
        return 201, emoji

    async def _delete_emoji(self, body: Any, files: Any, query: Any, app: str, emoji: str) -> tuple[int, Any]:
        if self._world.emojis.pop(emoji, None) is None:
            raise Refused(404, 10014, "Unknown Emoji")
        return 204, None


async def _body(request: web.Request) -> tuple[Any, dict[str, tuple[str, bytes]]]:
    """The JSON of a request and its files; multipart carries the JSON as ``payload_json``."""
    if not request.content_type.startswith("multipart/"):
        text = await request.text()
        return (json.loads(text) if text else None), {}
    body: Any = {}
    files: dict[str, tuple[str, bytes]] = {}
    async for part in await request.multipart():
        if part.name == "payload_json":
            body = json.loads(await part.text())
        else:
            files[part.name] = (part.filename or "file", bytes(await part.read()))
    return body, files


def _answer(status: int, body: Any, headers: dict[str, str] | None = None) -> web.Response:
    if body is None:
        return web.Response(status=status, headers=headers)
    return web.Response(status=status, body=json.dumps(body).encode(), headers={**JSON, **(headers or {})})


def _limits(bucket: Bucket, remaining: int, reset: float) -> dict[str, str]:
    return {
        "X-RateLimit-Bucket": f"{abs(hash(bucket.path)):x}",
        "X-RateLimit-Limit": str(bucket.limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(round(time.time() + reset, 3)),
        "X-RateLimit-Reset-After": str(reset),
    }


def _check_content(content: str, body: dict[str, Any], files: dict[str, Any]) -> None:
    if len(content) > LONGEST:
        raise Refused(400, 50035, f"Invalid Form Body: content: Must be {LONGEST} or fewer in length.")
    if not (content.strip() or body.get("embeds") or files or body.get("components")):
        raise Refused(400, 50006, "Cannot send an empty message")


def _check_name(name: str) -> None:
    """The rules for names of webhooks: https://discord.com/developers/docs/resources/webhook#create-webhook."""
    low = name.strip().lower()
    if not 1 <= len(low) <= 80 or "clyde" in low or "discord" in low or low in ("everyone", "here"):
        raise Refused(400, 50035, "Invalid Form Body: username")


def _embed(embed: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rich", **{k: v for k, v in embed.items() if k != "type"}}


def _components(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As Discord gives components back: each with a number."""
    number = 0

    def numbered(component: dict[str, Any]) -> dict[str, Any]:
        nonlocal number
        number += 1
        mine = {**component, "id": number}
        if "emoji" in mine:
            mine["emoji"] = {key: value for key, value in mine["emoji"].items() if value is not None}
        if "components" in component:
            mine["components"] = [numbered(inner) for inner in component["components"]]
        return mine

    return [numbered(row) for row in rows]


def _text(number: Any) -> str | None:
    return None if number is None else str(number)


def _public(message: dict[str, Any]) -> dict[str, Any]:
    """Without what only the tests look at."""
    private = ("allowed_mentions_asked", "avatar_url", "versions", "waiting")
    return {k: v for k, v in message.items() if k not in private}


__all__ = ["DM", "Bucket", "Call", "Fault", "Interaction", "Rest"]
