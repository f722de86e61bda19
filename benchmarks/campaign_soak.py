"""Talking for a long time: memory, open files and the database of ``troupe run``, watched from outside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from benchmarks.campaign_kills import configure, process

CHANNELS = 8
WORDS = 6  # of a reply: here turns are counted, streams of words are measured elsewhere
SAMPLES = 40  # looks at the process over the whole time
WARM_SHARE = 0.25  # of the samples: caches fill
MEMORY_SHARE, MEMORY_BYTES = 0.10, 16 * 2**20  # what may come on top of the warm process and count as flat


@dataclass
class Soak:
    turns: int = 0
    seconds: float = 0.0
    memory_mb: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    looked: list[tuple[int, float]] = field(default_factory=list)  # turns, and the process's seconds on a processor until then
    database_mb: float = 0.0

    def look_at(self, pid: int) -> None:
        """Memory and open files of a process, now."""
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.memory_mb.append(resident / 1e6)
        self.files.append(len(os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        self.looked.append((self.turns, (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")))

    @property
    def warm_mb(self) -> float:
        first = int(len(self.memory_mb) * WARM_SHARE)
        return statistics.median(self.memory_mb[first : first + max(1, len(self.memory_mb) // 5)])

    @property
    def last_mb(self) -> float:
        return statistics.median(self.memory_mb[-max(1, len(self.memory_mb) // 5) :])

    @property
    def processor_ms_per_turn(self) -> float:
        """Of the warm process."""
        (turns, seconds), (last_turns, last_seconds) = self.looked[int(len(self.looked) * WARM_SHARE)], self.looked[-1]
        return (last_seconds - seconds) * 1000 / max(1, last_turns - turns)

    @property
    def bytes_per_turn(self) -> float:
        return self.database_mb * 1e6 / max(1, self.turns)

    @property
    def clean(self) -> bool:
        warm_files = self.files[int(len(self.files) * WARM_SHARE) :]
        flat = (self.last_mb - self.warm_mb) * 1e6 <= max(MEMORY_BYTES, MEMORY_SHARE * self.warm_mb * 1e6)
        return flat and max(warm_files) - min(warm_files) <= 2 * CHANNELS


async def run_soak(folder: Path, *, seconds: float, turns: int = 100_000) -> Soak:
    """Until ``turns`` are answered or ``seconds`` are over."""
    soak = Soak()
    async with AsyncExitStack() as stack:
        _, line = await stack.enter_async_context(process("-m", "tests.loopback.openai_server", "--words", str(WORDS)))
        config = configure(folder, json.loads(line)["base_url"])
        child, said = await stack.enter_async_context(
            process("-m", "bot", "run", "--config", str(config), env={"TROUPE_CAMPAIGN_LOG": str(folder / "troupe.log")})
        )
        url = re.findall(r"http://[\d.]+:\d+", said)[0]
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)))
        began = time.monotonic()
        talks = [asyncio.create_task(_talk(session, url, n, soak, began + seconds, turns)) for n in range(CHANNELS)]
        watching = asyncio.create_task(_watch(child.pid, soak, seconds / SAMPLES))
        await asyncio.gather(*talks)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        soak.seconds = time.monotonic() - began
    soak.database_mb = sum(f.stat().st_size for f in (folder / "data").glob("troupe.db*")) / 1e6
    return soak


async def _talk(session: aiohttp.ClientSession, url: str, channel: int, soak: Soak, until: float, turns: int) -> None:
    """Say something, wait for the reply, and so on."""
    number = 0
    async with session.get(f"{url}/api/channels/room-{channel}/events") as events:
        while time.monotonic() < until and soak.turns < turns:
            number += 1
            body = {"id": f"message-{channel}-{number}", "text": f"Mara, this is #{number} of them.", "name": "Anna"}
            async with session.post(f"{url}/api/channels/room-{channel}/messages", json=body) as response:
                assert response.status == 202, response.status
            async for line in events.content:
                if line.startswith(b"event: final"):
                    soak.turns += 1
                    break


async def _watch(pid: int, soak: Soak, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        soak.look_at(pid)  # a few bytes of the kernel's
