"""What went wrong lately: the warnings and errors that this process has logged, kept for a day for the control room."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

KEPT = 500
DAY_SECONDS = 86_400.0
LINE_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Trouble:
    at: float  # seconds since 1970
    level: str
    where: str  # the logger
    what: str


class Troubles(logging.Handler):
    """Attach it to the root logger. ``clock`` tells the time in seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(logging.WARNING)
        self._clock = clock
        self._kept: deque[Trouble] = deque(maxlen=KEPT)
        self.counted: Counter[str] = Counter()  # by level, since the start

    def emit(self, record: logging.LogRecord) -> None:
        # Our own lines are written without anybody's words; a library's may quote an address or an answer.
        own = record.name == "bot" or record.name.startswith("bot.")
        what = record.getMessage() if own else "(see the log)"
        self.counted[record.levelname.lower()] += 1
        self._kept.append(Trouble(self._clock(), record.levelname, record.name, what[:LINE_CHARACTERS]))

    def lately(self) -> list[Trouble]:
        """Of the last day, the newest first."""
        since = self._clock() - DAY_SECONDS
        return [trouble for trouble in reversed(self._kept) if trouble.at >= since]
