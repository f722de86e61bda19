"""A flood on the page: many messages at once in many channels, against ``troupe run``'s own code in a process of its own.

That process also measures how late its event loop is: a task that sleeps 10 ms notes by how much it overslept.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sqlite3
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also run as a file, as the served process

from benchmarks.campaign_kills import PATIENCE_SECONDS, configure, process

TICK_SECONDS = 0.01


@dataclass
class Flood:
    sent: int = 0
    accepted: int = 0
    refused: Counter[int] = field(default_factory=Counter)  # by status; the author was told
    states: dict[str, int] = field(default_factory=dict)
    told_full: int = 0  # channels that were told that messages stay unanswered
    lag_p50_ms: float = 0.0
    lag_p99_ms: float = 0.0
    lag_max_ms: float = 0.0
    drained_seconds: float = 0.0

    @property
    def clean(self) -> bool:
        left = {state for state, count in self.states.items() if count} - {"answered", "skipped"}
        return not left and (not self.states.get("skipped") or self.told_full > 0)


async def run_flood(
    folder: Path, *, messages: int, seconds: float, people: int = 20, channels: int = 20, pause: float = 0.01, inbox: int = 64
) -> Flood:
    flood = Flood()
    async with AsyncExitStack() as stack:
        _, line = await stack.enter_async_context(process("-m", "tests.loopback.openai_server", "--pause", str(pause)))
        config = configure(folder, json.loads(line)["base_url"], settle=0.2, sessions=f"inbox = {inbox}")
        env = {"TROUPE_CAMPAIGN_LOG": str(folder / "troupe.log")}
        child, said = await stack.enter_async_context(process(str(Path(__file__)), str(config), env=env))
        url = re.findall(r"http://[\d.]+:\d+", said)[0]
        connector = aiohttp.TCPConnector(limit=200)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        notices = [asyncio.create_task(_notices(session, f"{url}/api/channels/room-{n}/events")) for n in range(channels)]
        began = time.monotonic()
        posts = [
            asyncio.create_task(_post(session, url, flood, began + seconds * n / messages, n, n % people, n % channels))
            for n in range(messages)
        ]
        await asyncio.gather(*posts)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            flood.states = _states(folder)
            if not flood.states.get("heard"):
                break
            await asyncio.sleep(0.2)
        flood.drained_seconds = time.monotonic() - began
        for task in notices:
            task.cancel()
        told = await asyncio.gather(*notices, return_exceptions=True)
        flood.told_full = sum(1 for each in told if each is True)
        child.send_signal(signal.SIGTERM)
        assert child.stdout is not None
        rest = (await asyncio.wait_for(child.stdout.read(), PATIENCE_SECONDS)).decode()
        lag = json.loads(rest.strip().splitlines()[-1])
        flood.lag_p50_ms, flood.lag_p99_ms, flood.lag_max_ms = lag["p50"], lag["p99"], lag["max"]
    return flood


async def _post(session: aiohttp.ClientSession, url: str, flood: Flood, at: float, number: int, person: int, channel: int) -> None:
    await asyncio.sleep(max(0.0, at - time.monotonic()))
    flood.sent += 1
    body = {"id": f"message-{number:06}", "text": f"Mara, this is #{number}.", "name": f"Person {person}"}
    headers = {"X-Troupe-Person": f"person-{person:04}"}
    async with session.post(f"{url}/api/channels/room-{channel}/messages", json=body, headers=headers) as response:
        if response.status == 202:
            flood.accepted += 1
        else:
            flood.refused[response.status] += 1


async def _notices(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether the channel was told that something stays unanswered. Ends when cancelled."""
    told = False
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as response:
            async for line in response.content:
                told = told or (line.startswith(b"data:") and b"stay unanswered" in line)
    except asyncio.CancelledError:
        pass
    return told


def _states(folder: Path) -> dict[str, int]:
    with closing(sqlite3.connect(folder / "data" / "troupe.db", timeout=30)) as connection:
        return dict(connection.execute("SELECT state, count(*) FROM turns WHERE by_character = 0 GROUP BY state").fetchall())


# ------------------------------------------------------------------ the served process


async def _serve_and_measure(config: Path) -> None:
    from bot.config import load_config
    from bot.serve import serve

    late: list[float] = []

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            late.append((time.perf_counter() - before - TICK_SECONDS) * 1000)

    def announce(line: str) -> None:
        print(line, flush=True)
        if not line.startswith("Going home"):
            late.clear()  # the start is not the flood

    watching = asyncio.create_task(watch())
    try:
        await serve(load_config(config), announce)
    finally:
        watching.cancel()
        ordered = sorted(late) or [0.0]
        p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
        print(json.dumps({"p50": round(p50, 2), "p99": round(p99, 2), "max": round(ordered[-1], 2)}), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve_and_measure(Path(sys.argv[1])))
