"""Texts before which a reply ends, when whoever asked for it named some. Pure text in, pure text out."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """For one reply. A tail that may yet become one of them is held back until it is known."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(string for string in strings if string)
        self.reached = False  # nothing that follows belongs to the reply

    def shown(self, text: str, *, final: bool = False) -> str:
        """What may be seen of the whole text so far."""
        found = [at for string in self._strings if (at := text.find(string)) >= 0]
        if found:
            self.reached = True
            return text[: min(found)]
        return text if final else text[: len(text) - self._held_back(text)]

    def _held_back(self, text: str) -> int:
        lengths = (n for string in self._strings for n in range(1, min(len(string), len(text) + 1)) if text.endswith(string[:n]))
        return max(lengths, default=0)
