"""How soon people on Discord and Telegram see that they were heard, and whether many channels at once lose anything.

    python benchmarks/platforms.py [--only discord,telegram,fifty]

The real connectors and libraries over real sockets to the loopback platforms; an engine that echoes slowly. Eight channels
generate while a ninth is asked twenty times. Bot, platform and engine share one process here, so figures are upper bounds.
Targets: typing under 100 ms (both platforms), first visible text under 150 ms (Discord, no settling, engine's time excluded).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, so that `tests` is found

from tests.connectors import discord_stage, telegram_stage
from tests.loopback.openai_server import openai_server

BUSY, ASKED = 8, 20
CHANNELS, MESSAGES = 50, 10
PATIENCE_SECONDS = 600.0


async def discord(folder: Path) -> None:
    async with discord_stage.open_stage(folder, discord={"buttons": False}) as here:
        channels = [await here.discord.open_channel(here.guild, f"room-{n}") for n in range(BUSY + 1)]
        await here.settled()
        for channel in channels:
            await here.wake(channel, "mara-quill")
            await here.hear(channel, "warm up")
        *busy, asked = channels
        here.echo.pause_seconds, here.echo.tail = 0.1, " and" * 100
        talks = [asyncio.create_task(_talk_on(here, channel)) for channel in busy]
        typing, text = [], []
        for number in range(ASKED):
            path = f"/channels/{asked['id']}/typing"
            calls, said = len(here.discord.calls("POST", path)), len(here.discord.said_by(asked))
            began = time.monotonic()
            await here.discord.say(asked, here.anna, f"question {number}")
            await _seen(lambda path=path, calls=calls: len(here.discord.calls("POST", path)) > calls)
            typing.append(here.discord.calls("POST", path)[calls].at - began)
            await _seen(lambda said=said: len(here.discord.said_by(asked)) > said)
            text.append(time.monotonic() - began)
            await here.quiet(asked)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
    print(f"Discord, {BUSY} channels generating: typing after {_shown(typing)}, first text after {_shown(text)}")


async def _talk_on(here: discord_stage.Stage, channel: dict[str, Any]) -> None:
    while True:
        await here.hear(channel, "go on and on")


async def fifty(folder: Path) -> None:
    async with discord_stage.open_stage(folder, discord={"buttons": False}) as here:
        channels = [await here.discord.open_channel(here.guild, f"room-{n}") for n in range(CHANNELS)]
        await here.settled()
        for channel in channels:
            await here.wake(channel, "mara-quill")
        began = time.monotonic()

        async def talk(channel: dict[str, Any]) -> None:
            for number in range(MESSAGES):
                await here.discord.say(channel, here.anna, f"line {number} of {channel['name']}")
                await here.discord.until(lambda number=number: _answered(here, channel, number), "a reply", PATIENCE_SECONDS)

        await asyncio.gather(*map(talk, channels))
        wrong = [
            channel["name"]
            for channel in channels
            if [m["content"].partition(": ")[2] for m in here.discord.said_by(channel)]
            != [f"line {number} of {channel['name']}" for number in range(MESSAGES)]
        ]
    seconds = time.monotonic() - began
    print(f"Discord, {CHANNELS} channels x {MESSAGES}: {seconds:.0f} s; channels with a lost, doubled or misplaced reply: {len(wrong)}")


def _answered(here: discord_stage.Stage, channel: dict[str, Any], number: int) -> bool:
    return len(here.discord.said_by(channel)) > number and not here.house.router.speaking(here.key(channel))


async def telegram(folder: Path) -> None:
    async with openai_server(behaviour="echo", pause_seconds=0.3) as server:
        engine = {"remote": {"base_url": server.base_url, "model": "m", "concurrent": 64}}
        quotas = {"person_messages_per_minute": 0, "channel_messages_per_minute": 0, "settle_seconds": 0.3}
        async with telegram_stage.stage(folder, folder / "none", engine=engine, sessions=quotas) as here:
            world, loop = here.telegram.world, asyncio.get_running_loop()
            for n in range(BUSY):
                person = world.add_person(100 + n, f"Busy {n}")
                here.telegram.say(person, world.private(person, here.bot), "Tell me everything")
            await here.telegram.until(lambda: len(here.telegram.of("sendChatAction")) >= BUSY)
            waits = []
            for n in range(ASKED):
                person = world.add_person(200 + n, f"Guest {n}")
                chat = world.private(person, here.bot)
                began = loop.time()
                here.telegram.say(person, chat, "Hello")
                [first, *_] = await here.telegram.until(lambda chat=chat: here.telegram.of("sendChatAction", chat=chat))
                waits.append(first.at - began)
    print(f"Telegram, {BUSY} chats generating: chat action after {_shown(waits)}")


async def _seen(there: Any) -> None:
    while not there():  # noqa: ASYNC110  the loopback tells nobody
        await asyncio.sleep(0.001)


def _shown(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    return f"{statistics.median(ordered) * 1000:.0f} ms (median), {ordered[int(len(ordered) * 0.9)] * 1000:.0f} ms (p90)"


async def main(wanted: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        for name, work in (("discord", discord), ("telegram", telegram), ("fifty", fifty)):
            if name in wanted:
                folder = Path(place) / name
                folder.mkdir()
                await work(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="discord,telegram,fifty")
    asyncio.run(main(parser.parse_args().only.split(",")))
