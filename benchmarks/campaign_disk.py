"""A disk that is full at each write in turn: a small tmpfs, filled to the last pages before every message.

Needs to be allowed to mount; says so where not.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bot.config import Config, Paths
from bot.errors import StoreError
from bot.house import House, open_house
from bot.messages import ChannelKey, Incoming, Person
from tests.house import HERE, RecordingPort
from tests.loopback.openai_server import openai_server

PAGE = 4096
ROOM_SECONDS = 0.3  # how long the disk stays full after a message came
PATIENCE_SECONDS = 60.0


@dataclass
class Full:
    rounds: int = 0
    refused: int = 0  # messages that could not be stored: their author was told
    met: int = 0  # rounds in which the full disk was met after the message was stored
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    impossible: str = ""

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.untold or self.damaged)


async def run_disk_full(folder: Path, *, rounds: int, megabytes: int = 4) -> Full:
    full = Full()
    try:
        with _tmpfs(folder, megabytes):
            await _rounds(folder, full, rounds)
    except PermissionError as error:
        full.impossible = str(error)
    return full


async def _rounds(disk: Path, full: Full, rounds: int) -> None:
    async with openai_server(behaviour="echo", pause_seconds=0.002, remembers=False) as server:
        engine = {"remote": {"base_url": server.base_url, "model": "echo"}}
        sessions = {"settle_seconds": 0}
        config = Config(
            paths=Paths(characters=HERE / "characters", models=disk / "gguf", data=disk / "data"), engine=engine, sessions=sessions
        )
        async with open_house(config) as house:
            for number in range(rounds):
                await _round(disk, full, house, number)
                full.rounds += 1
        with closing(sqlite3.connect(disk / "data" / "troupe.db")) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchone()
        if found != ("ok",):
            full.damaged.append(str(found))


async def _round(disk: Path, full: Full, house: House, number: int) -> None:
    """The disk has room for ``number`` more pages when the message comes, and for plenty a moment later."""
    channel, port = ChannelKey("web", f"room-{number}"), RecordingPort()
    incoming = Incoming(channel, f"m{number}", Person("web:anna", "Anna"), f"Mara, #{number}", None, (), (), datetime.now(UTC), port)
    ballast = disk / "ballast"
    await house.desk.store.checkpoint()  # an empty log: every write needs new pages
    _fill(ballast, number * PAGE)
    done = None
    try:
        done = await house.router.hear(incoming)
    except StoreError:
        full.refused += 1
        if not port.notices:
            full.untold.append(incoming.message_id)
    if done is not None:
        await asyncio.wait([done], timeout=ROOM_SECONDS)
    ballast.unlink()
    if done is None:
        done = await house.router.hear(incoming)  # the author says it again
    else:
        full.met += bool(port.notices)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while house.router.speaking(channel) and time.monotonic() < deadline:  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.02)
    replies = [text for text in port.messages.values() if f"#{number}" in text]
    if not replies:
        full.lost.append(f"#{number}")
    if len(port.messages) > 1:
        full.doubled.append(f"#{number}")


def _fill(ballast: Path, left: int) -> None:
    """Until nothing more fits, then give ``left`` bytes back."""
    size = 0
    with ballast.open("wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                size += file.write(b"\0" * PAGE)
        file.truncate(max(0, size - left))


@contextmanager
def _tmpfs(at: Path, megabytes: int) -> Iterator[None]:
    if os.geteuid() != 0:
        raise PermissionError("a small disk of its own can only be mounted by root")
    at.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(at)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise PermissionError(f"mount was refused: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)
