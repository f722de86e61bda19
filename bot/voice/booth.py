"""Where characters are recorded, for every platform together: so many wait at once, and the same words are made once."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bot.characters.cast import Character
from bot.errors import SpeechBusy, SpeechError
from bot.voice.recording import Recorder, Recording
from bot.voice.speech import Speaker, Speech

KEPT_BYTES: Final = 32 * 1024 * 1024
WAITING: Final = 16  # sounds asked for at once; whoever asks for more is told to wait


class Booth:
    def __init__(self, speaker: Speaker, recorder: Recorder | None) -> None:
        self._speaker, self._recorder = speaker, recorder
        self._kept: OrderedDict[str, Speech | Recording] = OrderedDict()
        self._asked = 0
        self._recording = asyncio.Lock()  # one at a time: it takes a core from the model for some tenths of a second

    @property
    def engine(self) -> str:
        return self._speaker.engine

    async def say(self, character: Character, text: str) -> Speech:
        """The text as the character says it.

        Raises:
            SpeechBusy: so many wait already. ``SpeechError``: it could not be spoken.
        """
        mark = mark_of(character, text)
        known = self._known(mark)
        if isinstance(known, Speech):
            return known
        with self._place():
            speech = await self._speaker.say(character, text)
        self._keep(mark, speech)
        return speech

    async def record(self, character: Character, text: str) -> Recording | None:
        """The same as a voice message; None where none can be made of it, and what was said is a file at least. Raises like ``say``."""
        mark = f"recording {mark_of(character, text)}"
        known = self._known(mark)
        if self._recorder is None or isinstance(known, Recording):
            return known if isinstance(known, Recording) else None
        speech = await self.say(character, text)
        with self._place():
            async with self._recording:
                try:
                    recording = await self._recorder.record(speech)
                except SpeechError:  # a format of the server's own
                    return None
        self._keep(mark, recording)
        return recording

    async def close(self) -> None:
        await self._speaker.close()

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._asked >= WAITING:
            raise SpeechBusy("too many are speaking at once just now; please try again in a moment")
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1

    def _known(self, mark: str) -> Speech | Recording | None:
        known = self._kept.get(mark)
        if known is not None:
            self._kept.move_to_end(mark)
        return known

    def _keep(self, mark: str, sound: Speech | Recording) -> None:
        self._kept[mark] = sound
        while sum(len(kept.audio) for kept in self._kept.values()) > KEPT_BYTES and len(self._kept) > 1:
            self._kept.popitem(last=False)


def mark_of(character: Character, text: str) -> str:
    """The same for the same words of the same character, and for no others."""
    return hashlib.sha256(f"{character.revision}\0{character.id}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
