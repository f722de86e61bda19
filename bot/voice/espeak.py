"""espeak-ng, as Debian brings it: a process for each text, which takes hundredths of a second."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import shutil
import struct
from typing import Final

from bot.characters.cast import Character
from bot.config import VoiceSettings
from bot.errors import SpeechError
from bot.voice.speech import Speech, speakable

log = logging.getLogger(__name__)

NAME: Final = "espeak-ng"
_VOICE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}(?:\+[A-Za-z0-9]{1,20})?")
_LANGUAGES: Final = {"zh": "cmn", "en": "en-gb"}
_HEADER = 44  # bytes of the WAV header that it writes before it knows how long the sound is
AUDIO_BYTES: Final = 32 * 1024 * 1024
WORDS_A_MINUTE: Final = 160


class EspeakSpeaker:
    """A ``Speaker``. ``find`` says whether it can be."""

    def __init__(self, command: str, settings: VoiceSettings) -> None:
        self._command, self._settings = command, settings
        self._places = asyncio.Semaphore(settings.concurrent)

    @classmethod
    def find(cls, settings: VoiceSettings) -> EspeakSpeaker | None:
        command = shutil.which(settings.espeak)
        return None if command is None else cls(command, settings)

    @property
    def engine(self) -> str:
        return NAME

    async def say(self, character: Character, text: str) -> Speech:
        voice = character.settings.voice
        words = speakable(text, self._settings.characters)
        if not words:
            raise SpeechError("there is nothing to say aloud")
        language = _LANGUAGES.get(next(iter(character.settings.languages), "en")[:2], "en")
        own = voice.name if voice.engine in ("", NAME) and _VOICE.fullmatch(voice.name) else ""
        pitch = _pitch(character.slug) if voice.pitch is None else voice.pitch
        speed = voice.speed or WORDS_A_MINUTE
        async with self._places:
            if own:
                try:
                    return await self._run(own, pitch, speed, words)
                except SpeechError as error:
                    log.warning("a character's own voice does not speak character=%s voice=%s error=%s", character.id, own, error)
            return await self._run(language, pitch, speed, words)

    async def close(self) -> None:
        """Nothing is left open."""

    async def _run(self, voice: str, pitch: int, speed: int, words: str) -> Speech:
        """One process, ended with us and after ``voice.timeout_seconds``; the text goes in by its standard input."""
        arguments = ("--stdin", "--stdout", "-b", "1", "-v", voice, "-p", str(pitch), "-s", str(speed))
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                self._command, *arguments, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            raise SpeechError(f"{self._command} cannot be run ({error.strerror}); set voice.espeak, or voice.engine to none") from error
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                audio, _ = await process.communicate(words.encode("utf-8", "replace"))
        except TimeoutError as error:
            raise SpeechError(f"{NAME} took longer than voice.timeout_seconds={self._settings.timeout_seconds:g}") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode or len(audio) <= _HEADER or not audio.startswith(b"RIFF"):
            raise SpeechError(f"{NAME} gave no sound for the voice {voice}")
        if len(audio) > AUDIO_BYTES:
            raise SpeechError(f"{NAME} gave more than {AUDIO_BYTES:,} bytes; lower voice.characters")
        return Speech(_with_length(audio), "audio/wav")


def _pitch(slug: str) -> int:
    """Whoever's card names no pitch has one of its own, the same every day."""
    return 30 + hashlib.sha256(slug.encode()).digest()[0] % 41


def _with_length(audio: bytes) -> bytes:
    """The same sound with its real length in its header; espeak-ng writes the header before it knows."""
    if audio[36:40] != b"data":
        return audio
    return audio[:4] + struct.pack("<I", len(audio) - 8) + audio[8:40] + struct.pack("<I", len(audio) - _HEADER) + audio[_HEADER:]
