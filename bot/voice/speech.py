"""What the house knows of speaking: somebody who speaks, and what comes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from bot.characters.cast import Character

_DEED = re.compile(r"\*{1,2}[^*\n]+\*{1,2}")


@dataclass(frozen=True, slots=True)
class Speech:
    audio: bytes
    media_type: str


class Speaker(Protocol):
    """Gives characters their voices. Several may be asked for at once; they wait for each other."""

    @property
    def engine(self) -> str:
        """Its name, for people."""
        ...

    async def say(self, character: Character, text: str) -> Speech:
        """The text as the character says it; what is too long is cut at a sentence. Cancelling ends it.

        Raises:
            SpeechError: it could not be spoken.
        """
        ...

    async def close(self) -> None: ...


def speakable(text: str, characters: int) -> str:
    """What of a reply is said aloud: not what it *does*, unless that is all; and no more than so many characters."""
    words = " ".join(_DEED.sub(" ", text).split()) or " ".join(text.replace("*", " ").split())
    if len(words) <= characters:
        return words
    cut = words[:characters]
    end = max(cut.rfind(mark) for mark in ".!?…。！？")
    return cut[: end + 1] if end > characters // 2 else cut
