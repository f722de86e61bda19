"""Any server that speaks OpenAI's speech protocol: a bigger voice than espeak-ng's, on this machine or elsewhere."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import openai

from bot.characters.cast import Character
from bot.config import VoiceSettings
from bot.errors import SpeechError
from bot.voice.speech import Speech, speakable

ASKED: Final = "audio/mpeg"
WORDS_A_MINUTE: Final = 160  # what such servers call a speed of 1
_KINDS: Final = ("", "remote", "openai")  # engines in a card whose ``name`` is a voice of the server


class EndpointSpeaker:
    """A ``Speaker`` on a server."""

    def __init__(self, settings: VoiceSettings) -> None:
        self._settings = settings
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=os.environ.get(settings.api_key_env) or "none",
            timeout=settings.timeout_seconds,
            max_retries=1,
        )
        self._places = asyncio.Semaphore(settings.concurrent)

    @property
    def engine(self) -> str:
        return self._settings.model or "speech server"

    async def say(self, character: Character, text: str) -> Speech:
        voice = character.settings.voice
        words = speakable(text, self._settings.characters)
        if not words:
            raise SpeechError("there is nothing to say aloud")
        async with self._places:
            try:
                answer = await self._client.audio.speech.create(
                    model=self._settings.model,
                    voice=(voice.name if voice.engine in _KINDS else "") or self._settings.voice,
                    input=words,
                    speed=min(4.0, max(0.25, (voice.speed or WORDS_A_MINUTE) / WORDS_A_MINUTE)),
                    response_format="mp3",
                )
            except openai.OpenAIError as error:
                raise SpeechError(f"{self._settings.base_url} does not speak ({type(error).__name__}); see voice.base_url") from error
        kind = answer.response.headers.get("Content-Type", "").partition(";")[0].strip()
        return Speech(answer.content, kind if kind.startswith("audio/") else ASKED)  # some give what they have, whatever is asked

    async def close(self) -> None:
        await self._client.close()
