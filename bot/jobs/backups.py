"""Copies of the database by schedule: ``data/backups/troupe-<when>.db``, the newest few."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from datetime import datetime
from pathlib import Path

from bot.errors import StoreError
from bot.memory.store import Store

log = logging.getLogger(__name__)

# Copies made before a migration or a restore are named so and are nobody's to delete but the operator's.
SCHEDULED = re.compile(r"troupe-\d{8}-\d{6}\.db")
LEFTOVER_SECONDS = 3600.0  # a copy that is begun and not done after so long belongs to a process that was killed


def copy_name(now: datetime) -> str:
    return f"troupe-{now:%Y%m%d-%H%M%S}.db"


async def back_up(store: Store, now: datetime, *, keep: int) -> str:
    """Make a copy while everybody goes on, then let the oldest go. Returns what was done.

    Raises:
        StoreError: no copy was made; the older ones are all still there.
    """
    to = store.backups / copy_name(now)
    await store.backup(to)
    removed = await asyncio.to_thread(thin_out, store.backups, keep)
    return f"{to.name}, {to.stat().st_size / 1e6:.1f} MB" + (f", {removed} older removed" if removed else "")


def thin_out(folder: Path, keep: int) -> int:
    """Delete scheduled copies beyond the newest ``keep``, and what killed processes left half made. Blocking.

    Raises:
        StoreError: something could not be deleted.
    """
    try:
        copies = sorted((file for file in folder.iterdir() if SCHEDULED.fullmatch(file.name)), key=lambda f: f.name, reverse=True)
        begun = [file for file in folder.glob("*.partial") if time.time() - file.stat().st_mtime > LEFTOVER_SECONDS]
        for file in [*copies[keep:], *begun]:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: an old copy could not be deleted ({error.strerror}); see whose it is") from error
    return len(copies[keep:])
