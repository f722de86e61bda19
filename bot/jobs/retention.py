"""What is older than it may be goes, from the database's log too."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.config import MemorySettings
from bot.errors import StoreBusy
from bot.memory.store import Store


async def forget_old(store: Store, settings: MemorySettings, now: datetime) -> str:
    """Turns beyond ``retention_days``, and places that removed us ``left_days`` ago. Returns what was done.

    Copies in the backups folder are left alone: they go by their own age, and ``troupe data forget`` reaches into them.
    """
    turns = places = 0
    if settings.retention_days:
        turns = await store.forget_before(now - timedelta(days=settings.retention_days))
    if settings.left_days:
        left = await store.left_before(now - timedelta(days=settings.left_days))
        places = len(left)
        for place in left:
            turns += await store.forget_place(place)
    if turns:
        await empty_log(store)
    return f"{turns} turns deleted" + (f", {places} places forgotten" if places else "")


async def empty_log(store: Store) -> str:
    """Move the write-ahead log into the database's file. Somebody reading just now is no failure: the next time does it."""
    try:
        await store.checkpoint()
    except StoreBusy:
        return "put off, somebody was reading"
    return "log emptied"
