"""The loopback Discord's gateway: sessions that can be resumed, zlib-stream, and scripted trouble.

Protocol: https://discord.com/developers/docs/events/gateway. Payloads that a session was sent are kept, so RESUME replays
what was missed; a session that was invalidated gets op 9.
"""

import asyncio
import json
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.loopback.discord_world import World

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, MEMBERS, INVALID, HELLO, ACK = 0, 1, 2, 6, 7, 8, 9, 10, 11
MESSAGE_CONTENT = 1 << 15
GUILD_MESSAGES, DIRECT_MESSAGES = 1 << 9, 1 << 12


@dataclass(eq=False)
class Session:
    """What one shard of the bot has been told. ``line`` is its connection, None while it is away."""

    id: str
    shard: tuple[int, int]
    intents: int
    seq: int = 0
    sent: list[dict[str, Any]] = field(default_factory=list)
    line: "Line | None" = None


class Line:
    """One websocket. Frames go out in order, whoever sends them."""

    def __init__(self, socket: web.WebSocketResponse, *, compressed: bool) -> None:
        self.socket = socket
        self._deflate = zlib.compressobj() if compressed else None
        self._sending = asyncio.Lock()

    async def send(self, payload: dict[str, Any]) -> None:
        async with self._sending:
            text = json.dumps(payload)
            with suppress(ConnectionError):  # the bot is gone: what it missed it gets by RESUME
                if self._deflate is None:
                    await self.socket.send_str(text)
                else:
                    await self.socket.send_bytes(self._deflate.compress(text.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH))


class Gateway:
    def __init__(self, world: World) -> None:
        self._world = world
        self.url = ""
        self.sessions: dict[str, Session] = {}
        self.identified = 0  # how often a bot introduced itself
        self.resumed = 0
        self.heartbeat_ms = 41250
        self.answer_heartbeats = True
        self.refused_connects = 0  # the next so many connections are refused
        self.out_of_order: set[str] = set()  # servers that are named as unavailable and do not come
        self.silent = False  # connections are taken and never greeted
        self.connected = asyncio.Event()  # somebody has identified or resumed and is on the line
        self._lines: set[Line] = set()

    @property
    def connections(self) -> int:
        return len(self._lines)

    # ------------------------------------------------------------------ what tests do to it

    async def dispatch(self, event: str, data: dict[str, Any], *, guild_id: str | None = None) -> None:
        for session in list(self.sessions.values()):
            shard, shards = session.shard
            if (int(guild_id) >> 22) % shards == shard if guild_id else shard == 0:
                await self._tell(session, event, self._as_allowed(session, event, data))

    async def drop(self, code: int = 4000) -> None:
        """Break every connection; the sessions can be resumed."""
        self.connected.clear()
        for line in list(self._lines):
            await line.socket.close(code=code)

    async def ask_to_reconnect(self) -> None:
        """Op 7."""
        self.connected.clear()
        for line in list(self._lines):
            await line.send({"op": RECONNECT, "d": None})

    async def invalidate(self, *, resumable: bool) -> None:
        """Op 9. Without ``resumable`` what the sessions missed is lost."""
        self.connected.clear()
        lines = list(self._lines)
        if not resumable:
            self.sessions.clear()
        for line in lines:
            await line.send({"op": INVALID, "d": resumable})

    async def forget_sessions(self) -> None:
        """As after a restart of Discord: connections break and no session is known any more."""
        self.sessions.clear()
        await self.drop()

    async def close(self) -> None:
        for line in list(self._lines):
            await line.socket.close(code=1001)

    # ------------------------------------------------------------------ the protocol

    async def connect(self, request: web.Request) -> web.StreamResponse:
        if self.refused_connects:
            self.refused_connects -= 1
            return web.Response(status=503)
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        line = Line(socket, compressed=request.query.get("compress") == "zlib-stream")
        self._lines.add(line)
        session: Session | None = None
        try:
            if not self.silent:
                await line.send({"op": HELLO, "d": {"heartbeat_interval": self.heartbeat_ms}, "s": None, "t": None})
            async for frame in socket:
                if frame.type is not WSMsgType.TEXT:
                    continue
                payload = json.loads(frame.data)
                match payload["op"]:
                    case 1:
                        if self.answer_heartbeats:
                            await line.send({"op": ACK, "d": None})
                    case 2:
                        session = await self._identify(line, payload["d"])
                    case 6:
                        session = await self._resume(line, payload["d"])
                    case 8:
                        await self._members(line, payload["d"])
        finally:
            self._lines.discard(line)
            if session is not None and session.line is line:
                session.line = None
        return socket

    async def _identify(self, line: Line, data: dict[str, Any]) -> Session | None:
        if data["token"] != self._world.token:
            await line.socket.close(code=4004)
            return None
        if data["intents"] & ~self._world.intents_allowed:
            await line.socket.close(code=4014)
            return None
        shard = tuple(data.get("shard") or (0, 1))
        session = Session(self._world.snowflake(), (shard[0], shard[1]), data["intents"], line=line)
        self.sessions[session.id] = session
        guilds = [g for g in self._world.guilds if (int(g) >> 22) % shard[1] == shard[0]]
        await self._tell(
            session,
            "READY",
            {
                "v": 10,
                "user": self._world.bot,
                "guilds": [{"id": g, "unavailable": True} for g in guilds],
                "session_id": session.id,
                "resume_gateway_url": self.url,
                "shard": list(shard),
                "application": {"id": self._world.application_id, "flags": self._world.application()["flags"]},
            },
        )
        for guild_id in [g for g in guilds if g not in self.out_of_order]:
            await self._tell(session, "GUILD_CREATE", self._world.guild_document(guild_id, [self._world.bot]))
        self.identified += 1
        self.connected.set()
        return session

    async def _resume(self, line: Line, data: dict[str, Any]) -> Session | None:
        session = self.sessions.get(data["session_id"])
        if session is None or data["token"] != self._world.token:
            await line.send({"op": INVALID, "d": False})
            return None
        session.line = line
        for payload in [p for p in session.sent if p["s"] > (data["seq"] or 0)]:
            await line.send(payload)
        await self._tell(session, "RESUMED", {})
        self.resumed += 1
        self.connected.set()
        return session

    async def _members(self, line: Line, data: dict[str, Any]) -> None:
        members = [self._world.member(data["guild_id"], self._world.users[u]) for u in data.get("user_ids", []) if u in self._world.users]
        chunk = {"guild_id": data["guild_id"], "members": members, "chunk_index": 0, "chunk_count": 1, "nonce": data.get("nonce")}
        await line.send({"op": DISPATCH, "t": "GUILD_MEMBERS_CHUNK", "d": chunk, "s": None})

    async def _tell(self, session: Session, event: str, data: dict[str, Any] | None) -> None:
        if data is None:
            return
        session.seq += 1
        payload = {"op": DISPATCH, "t": event, "s": session.seq, "d": data}
        session.sent.append(payload)
        del session.sent[:-5000]
        if session.line is not None:
            await session.line.send(payload)

    def _as_allowed(self, session: Session, event: str, data: dict[str, Any]) -> dict[str, Any] | None:
        """Without the intents a message does not come, or comes without its words."""
        if event not in ("MESSAGE_CREATE", "MESSAGE_UPDATE") or "author" not in data:
            return data
        if not session.intents & (GUILD_MESSAGES if "guild_id" in data else DIRECT_MESSAGES):
            return None
        own = data["author"]["id"] == self._world.bot["id"] or data.get("application_id") == self._world.application_id
        mentioned = any(user["id"] == self._world.bot["id"] for user in data["mentions"])
        if session.intents & MESSAGE_CONTENT or own or mentioned or "guild_id" not in data:
            return data
        return {**data, "content": "", "attachments": [], "embeds": [], "components": []}
