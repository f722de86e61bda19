"""Speech as platforms want a voice message: Ogg with Opus, how long it is, and how loud it is where.

libsndfile does it, which the package ``soundfile`` carries; it reads what espeak-ng gives (WAV) and what servers give (MP3, WAV, Ogg).
"""

from __future__ import annotations

import asyncio
import io
import logging
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy as np

from bot.errors import SpeechError
from bot.voice.speech import Speech

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "audio/ogg"
RATES: Final = (8000, 12000, 16000, 24000, 48000)  # what Opus knows, in samples a second
COMPRESSION: Final = 0.9  # of libsndfile's scale from 0 to 1: 30 kbit/s, at which speech loses nothing that is heard
STEP_SECONDS, STEPS = 0.1, 256  # of a waveform: https://discord.com/developers/docs/resources/message#voice-messages
LONGEST_SECONDS: Final = 1800  # of sound that is decoded; some minutes are what ``voice.characters`` allows

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Recording:
    audio: bytes
    seconds: float
    waveform: bytes  # loudness, a byte for each step of at least a tenth of a second


class Recorder:
    """``find`` says whether it can be."""

    def __init__(self, sound: ModuleType) -> None:
        self._sound = sound

    @classmethod
    def find(cls) -> Recorder | None:
        """None where libsndfile is missing or writes no Opus: then sound goes out as the file that it came as."""
        try:
            import soundfile  # opens its library, which not every machine has; and only whoever speaks needs it
        except (ImportError, OSError) as error:
            log.warning("voice messages are sent as files: libsndfile is missing error=%s", type(error).__name__)
            return None
        if "OPUS" not in soundfile.available_subtypes("OGG"):
            log.warning("voice messages are sent as files: libsndfile %s writes no Opus", soundfile.__libsndfile_version__)
            return None
        return cls(soundfile)

    async def record(self, speech: Speech) -> Recording:
        """In a thread: a minute of speech takes two seconds of a core.

        Raises:
            SpeechError: what was said is no sound that libsndfile knows.
        """
        return await asyncio.to_thread(self._record, speech.audio)

    def _record(self, audio: bytes) -> Recording:
        sound: Any = self._sound
        try:
            with sound.SoundFile(io.BytesIO(audio)) as file:
                rate = int(file.samplerate)
                heard = file.read(rate * LONGEST_SECONDS, dtype="float32", always_2d=True).mean(axis=1)
            if not len(heard):
                raise SpeechError("there is no sound in what was said")
            samples, rate = _in_a_rate_of_opus(heard, rate)
            written = io.BytesIO()
            with sound.SoundFile(written, "w", rate, 1, format="OGG", subtype="OPUS", compression_level=COMPRESSION) as file:
                file.write(samples)
        except sound.LibsndfileError as error:
            raise SpeechError(f"what was said is no sound that can be recorded ({error.error_string})") from error
        return Recording(written.getvalue(), len(samples) / rate, _waveform(samples, rate))


def _in_a_rate_of_opus(samples: Samples, rate: int) -> tuple[Samples, int]:
    """The same sound at the next rate that Opus has, by its spectrum: nothing is lost, and nothing comes in that was not there."""
    wanted = next((known for known in RATES if known >= rate), RATES[-1])
    if wanted == rate:
        return samples, rate
    length = max(1, round(len(samples) * wanted / rate))
    spectrum = np.fft.rfft(samples)[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length) * (length / len(samples))).astype(np.float32), wanted


def _waveform(samples: Samples, rate: int) -> bytes:
    """The loudest moment of each step, against the loudest of all."""
    steps = int(min(STEPS, max(1, len(samples) / rate / STEP_SECONDS)))
    loudest = np.array([np.abs(part).max() for part in np.array_split(samples, steps)])
    return (255 * loudest / max(float(loudest.max()), 1e-6)).astype(np.uint8).tobytes()
