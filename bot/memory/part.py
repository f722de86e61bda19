"""What every subject of the memory stands on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bot.memory.database import Database


class Part:
    """One subject. ``Store`` is all of them together, on one database and one clock."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now  # aware; a test brings its own
