"""Troupe on the loopback Discord: the house, the real discord.py, and an engine that repeats what it was asked.

So tests see which reply belongs to which message.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.config import Config, DiscordSettings
from bot.connectors.discord_chat import DiscordChat
from bot.house import House, open_house
from bot.messages import ChannelKey
from tests.house import settings
from tests.loopback.discord_server import LoopbackDiscord


@dataclass
class EchoEngine:
    """An OpenAI-compatible server. Its n-th reply is "Take <n>: <last words it was sent>", in ``pieces`` of a few characters."""

    base_url: str = ""
    asked: int = 0
    pause_seconds: float = 0.0  # between two pieces
    tail: str = ""  # what every reply ends with
    hold: asyncio.Event | None = None  # set it: replies wait after their first pieces
    hold_from: int = 16  # characters said before that
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    questions: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        question = await request.json()
        self.questions.append(question)
        self.asked += 1
        last = next(m["content"] for m in reversed(question["messages"]) if m["role"] == "user")
        words = f"Take {self.asked}: {last.strip().splitlines()[-1].partition(':')[2].strip()}{self.tail}"
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for i in range(0, len(words), 16):
            if i >= self.hold_from and self.hold is not None:
                self.holding.set()
                await self.hold.wait()
            await self._send(response, {"content": words[i : i + 16]}, None)
            if self.pause_seconds:
                await asyncio.sleep(self.pause_seconds)
        await self._send(response, {}, "stop")
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _send(self, response: web.StreamResponse, delta: dict[str, str], finish: str | None) -> None:
        chunk = {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())


@asynccontextmanager
async def echo_engine() -> AsyncIterator[EchoEngine]:
    echo = EchoEngine()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", echo.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    echo.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield echo
    finally:
        if echo.hold is not None:
            echo.hold.set()
        await runner.cleanup()


@dataclass
class Stage:
    """One server with a channel, two members, and the bot in it."""

    discord: LoopbackDiscord
    echo: EchoEngine
    house: House
    chat: DiscordChat
    config: Config
    guild: dict[str, Any]
    tavern: dict[str, Any]
    anna: dict[str, Any]
    moderator: dict[str, Any]

    def key(self, channel: dict[str, Any]) -> ChannelKey:
        if "guild_id" not in channel:
            return ChannelKey("discord", f"@me/{channel['id']}")
        parent = f"{channel['parent_id']}/" if "thread_metadata" in channel else ""
        return ChannelKey("discord", f"{channel['guild_id']}/{parent}{channel['id']}")

    async def wake(self, channel: dict[str, Any], *slugs: str) -> None:
        """Without a command: for tests that are about something else."""
        for slug in slugs:
            key = self.key(channel)
            await self.house.desk.company.wake(key, self.house.desk.company.find(key, slug))

    async def hear(self, channel: dict[str, Any], text: str, *, more: int = 1, by: str | None = None, **how: Any) -> list[dict[str, Any]]:
        """Say something and wait for ``more`` finished replies; returns those."""
        before = len(self.discord.said_by(channel, by))
        await self.discord.say(channel, how.pop("user", self.anna), text, **how)
        return await self.spoken(channel, before + more, by=by, last=more)

    async def spoken(self, channel: dict[str, Any], count: int, *, by: str | None = None, last: int = 1) -> list[dict[str, Any]]:
        """Wait until so many replies stand in a channel and nobody is speaking any more."""

        def there() -> list[dict[str, Any]] | None:
            said = self.discord.said_by(channel, by)
            return said if len(said) >= count and not self.house.router.speaking(self.key(channel)) else None

        said: list[dict[str, Any]] = await self.discord.until(there, f"{count} replies in {channel.get('name', 'the direct chat')}")
        return said[-last:]

    async def quiet(self, channel: dict[str, Any]) -> None:
        await self.discord.until(lambda: not self.house.router.speaking(self.key(channel)), "an end of speaking")

    async def settled(self) -> None:
        """Every event so far has been heard: a command is answered after them, in the order of the gateway."""
        asked = await self.discord.slash(self.tavern, self.moderator, "help", command="why")
        await asked.answer()

    async def turns(self, channel: dict[str, Any]) -> list[str]:
        history = await self.house.desk.store.history(self.key(channel), None, limit=1000)
        return [f"{t.author_name}: {t.text}" for t in history]


def world(discord: LoopbackDiscord) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
    anna, moderator = discord.world.add_user("Anna"), discord.world.add_user("Mod")
    guild = discord.world.add_guild("Harbour", owner=moderator)
    return guild, discord.world.add_channel(guild, "tavern"), anna, moderator


def configured(data: Path, server: LoopbackDiscord, echo: EchoEngine, /, **sections: dict[str, Any]) -> Config:
    remote = {"base_url": echo.base_url, "model": "echo", "concurrent": 64}
    ours = {"engine": {"remote": remote}, "voice": {"engine": "none"}, **sections}  # whether or not this machine has espeak-ng
    ours["discord"] = {"api_base": server.api_base, "gateway_url": server.gateway_url, **sections.get("discord", {})}
    ours["sessions"] = {"person_messages_per_minute": 0, "channel_messages_per_minute": 0, **sections.get("sessions", {})}
    return settings(data, data / "models", **ours)


@asynccontextmanager
async def troupe(
    config: Config, discord: LoopbackDiscord, *, connected: bool = True, token: str | None = None
) -> AsyncIterator[tuple[House, DiscordChat]]:
    """The house with its Discord connector, as ``troupe run`` joins them."""
    async with open_house(config) as house:
        chat = DiscordChat(config.discord, house.desk, token or discord.world.token)
        await chat.start()
        try:
            await house.router.take_up(chat.port)
            if connected:
                await discord.until(lambda: discord.world.commands[""], "the commands' registration")
            yield house, chat
        finally:
            await chat.stop()


@asynccontextmanager
async def open_stage(data: Path, **sections: dict[str, Any]) -> AsyncIterator[Stage]:
    async with LoopbackDiscord() as discord, echo_engine() as echo:
        guild, tavern, anna, moderator = world(discord)
        config = configured(data, discord, echo, **sections)
        async with troupe(config, discord) as (house, chat):
            yield Stage(discord, echo, house, chat, config, guild, tavern, anna, moderator)
        assert not discord.violations, "against Discord's own description: " + "; ".join(dict.fromkeys(discord.violations))


async def eventually(check: Callable[[], Awaitable[Any]], what: str, seconds: float = 20) -> Any:
    """Wait until something that the house knows is so."""
    try:
        async with asyncio.timeout(seconds):
            while not (found := await check()):  # noqa: ASYNC110  the database tells nobody when it changes
                await asyncio.sleep(0.01)
            return found
    except TimeoutError:
        raise TimeoutError(f"{what} did not happen within {seconds:.0f} s") from None


def take_number(message: dict[str, Any]) -> int:
    found = re.match(r"(?:\*\*.+?:\*\* )?Take (\d+)", message["content"])
    assert found is not None, message["content"]
    return int(found.group(1))


__all__ = ["DiscordSettings", "Stage", "configured", "echo_engine", "eventually", "open_stage", "take_number", "troupe", "world"]
