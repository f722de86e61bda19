"""Deciding about a build that a share of the channels tries: people's ratings of both, with an interval.

Worse: it is taken away. Not worse after enough ratings, or after its hours: everybody has it. It has passed its gate before, so
without ratings nothing speaks against it.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

from bot.config import CanarySettings
from bot.engine import models
from bot.engine.swap import SwappingEngine
from bot.memory.store import Comparison, Store


async def judge(store: Store, engine: SwappingEngine, folder: Path, settings: CanarySettings, now: datetime) -> str:
    """Decide, or wait for more. Returns what was done.

    Raises:
        ModelNotLoadable: it was not worse and cannot be given to everybody; what there was goes on.
    """
    canary, since = engine.canary, await asyncio.to_thread(models.canary_since, folder)
    if canary is None or since is None:
        return "nothing is tried"
    seen = await store.compare_builds(canary.build, engine.build, since)
    verdict = decide(seen, settings, over=now - since >= timedelta(hours=settings.hours))
    if verdict is None:
        return f"tried on: {seen}"
    if not verdict:
        await engine.give_up(f"taken away: {seen}")
        return f"taken away: {seen}"
    await engine.adopt(f"given to everybody: {seen}")
    return f"given to everybody: {seen}"


def decide(seen: Comparison, settings: CanarySettings, *, over: bool) -> bool | None:
    """Whether everybody is to have it; None while that is open."""
    if min(seen.ratings, seen.others) >= settings.least_ratings and seen.high < 0:
        return False
    if over or min(seen.ratings, seen.others) >= settings.ratings:
        return True
    return None
