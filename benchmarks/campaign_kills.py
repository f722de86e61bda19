"""Pulling the plug: ``troupe run`` killed with SIGKILL at random points of turns, on the page, Discord and Telegram at once.

Every message carries a mark, every reply repeats it, so a lost and a doubled reply can be told from any other. A doubled
message on Telegram counts as a hit of the documented window when the first copy's id was never stored: it was sent, and the
process died before it could write that down. On the page and on Discord that window is closed, so nothing may be doubled.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from bot.config import MemorySettings
from bot.memory.store import Store
from bot.messages import ChannelKey
from tests.loopback.openai_server import said_to

HERE = Path(__file__).resolve().parents[1]
MARA = "house/mara-quill"
TELEGRAM_TOKEN = "4242:loopback"
DISCORD_TOKEN = "MTA.loopback.token"
PATIENCE_SECONDS = 180.0
WINDOW_SECONDS = 2.5  # after a start, within which the plug is pulled: Discord has greeted us after about one


@dataclass
class Result:
    kills: int = 0
    said: Counter[str] = field(default_factory=Counter)  # platform -> messages
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)  # a reply that never got whole
    window_hits: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)  # of replies at the moments of the kills
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.half)


@asynccontextmanager
async def process(*arguments: str, env: dict[str, str] | None = None) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A Python process and the first line it printed; killed at the end."""
    command = [sys.executable, *arguments]
    errors = (env or {}).get("TROUPE_CAMPAIGN_LOG", os.devnull)
    log = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        child = await asyncio.create_subprocess_exec(
            *command, cwd=HERE, stdout=asyncio.subprocess.PIPE, stderr=log, env={**os.environ, **(env or {})}
        )
    finally:
        os.close(log)
    assert child.stdout is not None
    try:
        line = (await asyncio.wait_for(child.stdout.readline(), PATIENCE_SECONDS)).decode()
        if not line:
            raise RuntimeError(f"{arguments} ended before it said anything, with {await child.wait()}; see {errors}")
        yield child, line
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
        await child.communicate()


def configure(home: Path, engine_url: str, *, settle: float = 0.0, **sections: str) -> Path:
    """A config.toml for a house whose model is the loopback server."""
    home.mkdir(parents=True, exist_ok=True)
    lines = {
        "paths": f'characters = "{HERE / "characters"}"',
        "engine.remote": f'base_url = "{engine_url}"\nmodel = "echo"',
        "sessions": f"settle_seconds = {settle}\nattempts = 1000\nstale_minutes = 600\n"
        "person_messages_per_minute = 0\nchannel_messages_per_minute = 0",
        "web": "port = 0",
    }
    for name, text in sections.items():
        section = name.replace("__", ".")
        lines[section] = "\n".join(filter(None, (lines.get(section, ""), text)))
    file = home / "config.toml"
    file.write_text("".join(f"[{name}]\n{text}\n" for name, text in lines.items()))
    return file


@dataclass
class Web:
    """The page's side: a message is posted until it is taken, with the same id, as the page does."""

    session: aiohttp.ClientSession
    url: str = ""
    waiting: dict[str, tuple[str, str]] = field(default_factory=dict)  # id -> channel, text

    async def say(self, text: str, channel: str) -> None:
        self.waiting[uuid4().hex] = (channel, text)
        await self.bring()

    async def bring(self) -> None:
        for message_id, (channel, text) in list(self.waiting.items()):
            body = {"id": message_id, "text": text, "name": "Anna"}
            url = f"{self.url}/api/channels/{channel}/messages"
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self.session.post(url, json=body, headers={"X-Troupe-Person": "anna-of-the-campaign"}) as response:
                    if response.status in (200, 202):
                        self.waiting.pop(message_id, None)

    async def replies(self, channel: str) -> list[str]:
        found: list[str] = []
        before = ""
        while True:
            async with self.session.get(f"{self.url}/api/channels/{channel}", params={"before": before} if before else {}) as response:
                page = await response.json()
            found += [turn["text"] for turn in page["turns"] if turn["from"] == "character"]
            if not page["more"]:
                return found
            before = str(page["turns"][0]["turn"])


@dataclass
class Platforms:
    """The loopbacks, by their controls."""

    session: aiohttp.ClientSession
    discord: str = ""
    telegram: str = ""
    channel: str = ""
    guild: str = ""
    user: str = ""

    async def control(self, base: str, what: str, **arguments: Any) -> Any:
        async with self.session.post(f"{base}/control/{what}", json=arguments) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return answer

    async def open(self) -> None:
        if self.discord:
            self.guild = await self.control(self.discord, "guild", name="Harbour")
            self.channel = await self.control(self.discord, "channel", guild=self.guild, name="tavern")
            self.user = await self.control(self.discord, "user", name="Anna")
        if self.telegram:
            await self.control(self.telegram, "bot", token=TELEGRAM_TOKEN, name="Troupe", username="troupe_bot")
            await self.control(self.telegram, "person", id=5, name="Anna")

    async def say(self, platform: str, text: str) -> None:
        if platform == "discord":
            await self.control(self.discord, "say", channel=self.channel, user=self.user, text=text)
        else:
            await self.control(self.telegram, "say", token=TELEGRAM_TOKEN, person=5, text=text)

    async def replies(self, platform: str) -> list[tuple[str, str]]:
        """Id and text of what stands there of ours."""
        if platform == "discord":
            messages = await self.control(self.discord, "messages", channel=self.channel)
            return [(m["id"], m["content"]) for m in messages if m.get("webhook_id")]
        seen = await self.control(self.telegram, "seen")
        messages = [m for chat in seen["chats"].values() for m in chat]
        return [(str(m["message_id"]), m.get("text", "")) for m in messages if m.get("from", {}).get("is_bot")]


async def run_kills(
    folder: Path, *, kills: int, seed: int, platforms: tuple[str, ...] = ("web", "discord", "telegram"), opening: asyncio.Lock | None = None
) -> Result:
    """``kills`` times: start, say something on each platform, pull the plug. Then start once more and look at everything."""
    random_ = random.Random(seed)
    result, began = Result(), time.monotonic()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS)))
        _, line = await stack.enter_async_context(process("-m", "tests.loopback.openai_server", "--pause", "0.01"))
        sections, env = {}, {"TROUPE_CAMPAIGN_LOG": str(folder / "troupe.log")}
        there = Platforms(session)
        if "discord" in platforms:
            _, said = await stack.enter_async_context(process("-m", "tests.loopback.discord_server"))
            addresses = json.loads(said)
            there.discord = addresses["api_base"].removesuffix("/api/v10")
            sections["discord"] = (
                f'api_base = "{addresses["api_base"]}"\ngateway_url = "{addresses["gateway_url"]}"\nmissed_messages = 1000'
            )
            env["DISCORD_BOT_TOKEN"] = DISCORD_TOKEN
        if "telegram" in platforms:
            _, said = await stack.enter_async_context(process("-m", "tests.loopback.telegram_server"))
            addresses = json.loads(said)
            there.telegram = addresses["api_base"].removesuffix("/bot")
            pointed = f'api_base = "{addresses["api_base"]}"\nfile_base = "{addresses["file_base"]}"'
            sections["telegram"] = f'{pointed}\nprivate_streaming = "edit"\nedit_seconds = 1'
            env["TELEGRAM_BOT_TOKEN"] = TELEGRAM_TOKEN
        await there.open()
        config = configure(folder, json.loads(line)["base_url"], **sections)
        async with opening or asyncio.Lock():  # alembic migrates one database at a time in a process
            await _wake(folder, there)
        web, number = Web(session), 0
        for _ in range(kills):
            async with process("-m", "bot", "run", "--config", str(config), env=env) as (child, announced):
                web.url = re.findall(r"http://[\d.]+:\d+", announced)[0]
                until = time.monotonic() + WINDOW_SECONDS * random_.random()
                await web.bring()
                for platform in platforms:
                    number += 1
                    result.said[platform] += 1
                    text = f"Mara, this is #{number} from {platform}."
                    if platform == "web":
                        await web.say(text, random_.choice(("lobby", "attic")))
                    else:
                        await there.say(platform, text)
                await asyncio.sleep(max(0.0, until - time.monotonic()))
                child.send_signal(signal.SIGKILL)
                await child.wait()
            result.kills += 1
            result.states.update(_states(folder))
        async with process("-m", "bot", "run", "--config", str(config), env=env) as (_, announced):
            web.url = re.findall(r"http://[\d.]+:\d+", announced)[0]
            while web.waiting:
                await web.bring()
            await _quiet(folder, there, platforms, result)
            await _judge(result, folder, web, there, platforms)
    result.seconds = time.monotonic() - began
    return result


async def _wake(folder: Path, there: Platforms) -> None:
    """Mara alone is there, and every message names her: one message, one reply."""
    store = await Store.open(MemorySettings(), folder / "data")
    places = [ChannelKey("web", "lobby"), ChannelKey("web", "attic"), ChannelKey("telegram", "5")]
    if there.discord:
        places.append(ChannelKey("discord", f"{there.guild}/{there.channel}"))
        await store.set_last_seen(places[-1], there.channel)  # as if it had been read before: what is missed is read
    for place in places:
        await store.set_awake(place, [MARA])
        await store.change_channel_settings(place, {"always_answer": True})
    await store.close()


def _rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "data" / "troupe.db", timeout=30)) as connection:
        return connection.execute(query).fetchall()


def _states(folder: Path) -> dict[str, int]:
    """What the kill left half done."""
    left = _rows(folder, "SELECT state, count(*) FROM replies WHERE state IN ('claimed', 'opened', 'final') GROUP BY state")
    heard = _rows(folder, "SELECT count(*) FROM turns WHERE state = 'heard' AND id NOT IN (SELECT cause_id FROM replies)")[0][0]
    return {**dict(left), **({"heard": heard} if heard else {})}


async def _quiet(folder: Path, there: Platforms, platforms: tuple[str, ...], result: Result) -> None:
    """Until everything that was said is stored and nothing is under way."""
    wanted = sum(result.said.values())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        heard = _rows(folder, "SELECT count(*) FROM turns WHERE by_character = 0")[0][0]
        if heard >= wanted and not _states(folder):
            return
        await asyncio.sleep(0.2)
    # Not quiet: what is missing shows in the judgement.


async def _judge(result: Result, folder: Path, web: Web, there: Platforms, platforms: tuple[str, ...]) -> None:
    noted = {row[0] for row in _rows(folder, "SELECT message_id FROM pieces")}
    shown: dict[str, list[tuple[str, str]]] = {"web": []}
    for channel in ("lobby", "attic"):
        shown["web"] += [("", text) for text in await web.replies(channel)]
    for platform in platforms:
        if platform != "web":
            shown[platform] = await there.replies(platform)
    # Messages that came within one burst share a reply: it carries the mark of the last of them.
    causes = {
        m for row in _rows(folder, "SELECT t.text FROM replies r JOIN turns t ON t.id = r.cause_id") for m in re.findall(r"#\d+", row[0])
    }
    answered_with_another = {
        m
        for row in _rows(folder, "SELECT text FROM turns WHERE by_character = 0 AND state = 'answered'")
        for m in re.findall(r"#\d+", row[0])
    } - causes
    said = {m: p for p in platforms for m in _marks(folder, f"channel LIKE '{p}:%'")}
    for platform in platforms:
        copies: Counter[str] = Counter()
        hits: Counter[str] = Counter()
        for message_id, text in shown[platform]:
            for mark in re.findall(r"#\d+", text)[:1]:
                copies[mark] += 1
                if platform != "web" and message_id not in noted:
                    hits[mark] += 1
                elif not text.strip().endswith("".join(said_to([mark])).strip()):  # Telegram shows the name before it
                    result.half.append(f"{platform} {mark}: {text}")
        for mark in [m for m, p in said.items() if p == platform]:
            if copies[mark] > 1:
                result.window_hits[platform] += hits[mark]
                if platform != "telegram" or copies[mark] - hits[mark] > 1:
                    result.doubled.append(f"{platform} {mark}")
            if not copies[mark] and mark not in answered_with_another:
                result.lost.append(f"{platform} {mark}")
    missing = {p: n - sum(1 for q in said.values() if q == p) for p, n in result.said.items()}
    result.lost += [f"{platform}: {n} never stored" for platform, n in missing.items() if n > 0]


def _marks(folder: Path, which: str) -> set[str]:
    rows = _rows(folder, f"SELECT text FROM turns WHERE by_character = 0 AND {which}")
    return {mark for row in rows for mark in re.findall(r"#\d+", row[0])}
