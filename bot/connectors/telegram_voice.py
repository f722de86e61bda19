"""A character's words as a voice message of Telegram; as a file where that cannot be.

https://core.telegram.org/bots/api#sendvoice
"""

from __future__ import annotations

import logging

from telegram import InputFile, ReplyParameters
from telegram.error import BadRequest, TelegramError

from bot.commands import voice
from bot.connectors.telegram_answers import Asked
from bot.connectors.telegram_port import TRIES
from bot.errors import BotError
from bot.voice.recording import Recording

log = logging.getLogger(__name__)

LARGEST_BYTES = 50 * 1024 * 1024  # that a bot may send
RECORDING = "Recording …"
_FORBIDDEN = "voice_messages_forbidden"  # people with Premium may refuse voice messages, and then take files


async def send_aloud(asked: Asked, message_id: str | None) -> None:
    """Say a reply aloud; it is recorded and sent beside everything else. Raises ``BotError`` for what cannot be heard at all."""
    line = await voice.wanted(asked.desk, asked.caller, message_id)
    asked.office.later(_recorded(asked, line), "voice message")


async def _recorded(asked: Asked, line: voice.Line) -> None:
    await _show_recording(asked)
    try:
        message = await voice.voice_message(asked.desk, line, most_bytes=LARGEST_BYTES)
    except BotError as error:
        asked.answer(str(error))
        return
    if message.recording is not None:
        try:
            await _send_voice(asked, message, message.recording)
            return
        except BadRequest as error:
            if _FORBIDDEN not in error.message.casefold():
                raise
            log.info("voice messages are not taken here, it goes as a file channel=%s", asked.address.key)
    await _send_file(asked, message)


async def _send_voice(asked: Asked, message: voice.VoiceMessage, recording: Recording) -> None:
    await asked.account.bot.send_voice(
        asked.address.chat_id,
        InputFile(recording.audio, message.recording_name),
        duration=round(recording.seconds) or 1,
        message_thread_id=asked.address.thread_id,
        reply_parameters=_reply_to(message),
        rate_limit_args=TRIES,
    )


async def _send_file(asked: Asked, message: voice.VoiceMessage) -> None:
    """What Telegram plays as music is MP3; everything else is a document, which people open."""
    file = InputFile(message.speech.audio, message.file_name)
    bot, chat_id, thread_id = asked.account.bot, asked.address.chat_id, asked.address.thread_id
    if message.speech.media_type == "audio/mpeg":
        await bot.send_audio(
            chat_id,
            file,
            title=message.line.character.name,
            message_thread_id=thread_id,
            reply_parameters=_reply_to(message),
            rate_limit_args=TRIES,
        )
        return
    await bot.send_document(
        chat_id,
        file,
        message_thread_id=thread_id,
        reply_parameters=_reply_to(message),
        rate_limit_args=TRIES,
    )


async def _show_recording(asked: Asked) -> None:
    """Nothing depends on it."""
    try:
        await asked.account.bot.send_chat_action(asked.address.chat_id, "record_voice", message_thread_id=asked.address.thread_id)
    except TelegramError as error:
        log.debug("recording is not shown channel=%s error=%s", asked.address.key, type(error).__name__)


def _reply_to(message: voice.VoiceMessage) -> ReplyParameters:
    return ReplyParameters(int(message.line.message_id), allow_sending_without_reply=True)
