"""A character's words as a voice message of Discord; as a file to listen to where that may not be.

discord.py has no voice messages of its own: they are messages with a flag and one file of Ogg/Opus that tells its length and its
loudness (https://discord.com/developers/docs/resources/message#voice-messages). No webhook may send one, so it is the bot's, as a
reply to the character's message.
"""

from __future__ import annotations

import base64
import io
import logging
from typing import Any

import discord
from discord.http import handle_message_parameters

from bot.commands import voice
from bot.commands.voice import VoiceMessage
from bot.connectors.discord_answers import Asked
from bot.connectors.discord_border import NOBODY, Place, refusals
from bot.errors import CommandRefused
from bot.voice.recording import Recording

log = logging.getLogger(__name__)

LARGEST_BYTES = 10 * 1024 * 1024  # in a direct chat; servers say what they take
NO_VOICE_HERE = 50173  # "You cannot send voice messages in this channel"


async def send_aloud(asked: Asked, message_id: str | None) -> None:
    """Say a reply aloud in its channel. Raises ``BotError``."""
    place = asked.interaction.channel
    if not isinstance(place, Place):
        raise CommandRefused("Nobody can be heard here.")
    line = await voice.wanted(asked.desk, asked.caller, message_id)
    most = LARGEST_BYTES if place.guild is None else place.guild.filesize_limit
    message = await voice.voice_message(asked.desk, line, most_bytes=most)
    shown_id = asked.interaction.client.presence.shown(int(line.message_id))
    answered = discord.MessageReference(message_id=shown_id, channel_id=place.id, fail_if_not_exists=False)
    with refusals(str(asked.caller.channel)):
        if message.recording is not None and _may_speak(place):
            try:
                await _send_voice(asked.interaction.client, place, message, message.recording, answered)
                return
            except discord.HTTPException as error:
                if not isinstance(error, discord.Forbidden) and error.code != NO_VOICE_HERE:
                    raise
                log.info("no voice messages in a channel, it goes as a file channel=%s code=%d", asked.caller.channel, error.code)
        await _send_file(place, message, answered)


def _may_speak(place: Place) -> bool:
    return place.guild is None or place.permissions_for(place.guild.me).send_voice_messages


async def _send_voice(
    client: discord.Client, place: Place, message: VoiceMessage, recording: Recording, answered: discord.MessageReference
) -> None:
    flags = discord.MessageFlags(voice=True)
    reference = answered.to_message_reference_dict()
    file = _VoiceFile(recording, message.recording_name)
    with handle_message_parameters(file=file, flags=flags, message_reference=reference, allowed_mentions=NOBODY) as params:
        await client.http.send_message(place.id, params=params)


async def _send_file(place: Place, message: VoiceMessage, answered: discord.MessageReference) -> None:
    audio, name = message.speech.audio, message.file_name
    if message.recording is not None:  # much smaller, and played in Discord as well
        audio, name = message.recording.audio, message.recording_name
    await place.send(file=discord.File(io.BytesIO(audio), name), reference=answered, allowed_mentions=NOBODY)


class _VoiceFile(discord.File):
    """A file that tells what Discord wants to know of a voice message."""

    def __init__(self, recording: Recording, name: str) -> None:
        super().__init__(io.BytesIO(recording.audio), name)
        self._recording = recording

    def to_dict(self, index: int) -> dict[str, Any]:
        waveform = base64.b64encode(self._recording.waveform).decode("ascii")
        return {**super().to_dict(index), "duration_secs": round(self._recording.seconds, 2), "waveform": waveform}
