"""How much of the prompts that wait is read in a step beside the replies that run."""

from __future__ import annotations

from typing import Final

GAP: Final = 2.2  # so many times as long as one without may a step take in which a prompt is read, too
LEAST_TOKENS: Final = 16
_FIRST_TOKENS: Final = 48  # before anything was measured
_NEWEST: Final = 0.25  # weight of the newest step


class Pace:
    """Chunks that let a step take ``GAP`` times as long as the replies alone would, by what steps have taken lately.

    Both change: with how long the conversations are, and with what else the machine has to do. ``fixed`` leaves no choice.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self._fixed = fixed
        self._alone: dict[int, float] = {}  # replies in a step: seconds of it
        self._token: float | None = None  # seconds that each token of a prompt adds

    def chunk(self, replies: int) -> int:
        """Tokens of a prompt for a step with so many replies in it."""
        if self._fixed is not None:
            return self._fixed
        alone = self._step(replies)
        if alone is None or self._token is None:
            return _FIRST_TOKENS
        return max(LEAST_TOKENS, int((GAP - 1) * alone / self._token))

    def note(self, replies: int, read: int, seconds: float) -> None:
        """What a step took, in which so many tokens of prompts were read."""
        if not read:
            self._alone[replies] = _blend(self._alone.get(replies), seconds)
        elif read >= LEAST_TOKENS and (alone := self._step(replies) if replies else 0.0) is not None:
            self._token = _blend(self._token, max(0.0, seconds - alone) / read)

    def _step(self, replies: int) -> float | None:
        """Seconds of a step with so many replies; of the most similar one where there was none."""
        if not self._alone:
            return None
        return self._alone[min(self._alone, key=lambda known: abs(known - replies))]


def _blend(before: float | None, now: float) -> float:
    return now if before is None else before + _NEWEST * (now - before)
