"""Between a command that somebody typed and the house: who asks, with which rights, and how the answer gets back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from telegram import ForceReply, InlineKeyboardButton, InlineKeyboardMarkup, InputFile, Message, MessageEntity, ReplyParameters
from telegram.error import BadRequest, Forbidden, TelegramError

from bot.characters.cast import Character
from bot.commands.desk import Caller, Desk
from bot.config import TelegramSettings
from bot.connectors.telegram_account import Account
from bot.connectors.telegram_border import Address, refuses_entities
from bot.connectors.telegram_copies import stored_number
from bot.connectors.telegram_port import NO_PREVIEW, TRIES, TelegramPort
from bot.connectors.telegram_rights import Rights
from bot.connectors.telegram_tongue import in_language
from bot.connectors.telegram_words import ANSWER, LONGEST_CAPTION, plainly, spoken, uncalled, units
from bot.errors import BotError, CommandRefused
from bot.messages import Channel, ChannelKey, Reply
from bot.sessions.split_reply import split_reply

log = logging.getLogger(__name__)

LARGEST_FILE_BYTES = 20 * 1024 * 1024  # more the Bot API does not hand out
WENT_WRONG = "Something went wrong with that; it is in the log of whoever runs this Troupe."
WRITE_TO_ME = "That is between you and me: press the button, and I answer where nobody else reads it."


class Office(Protocol):
    """What commands need of the connector."""

    @property
    def desk(self) -> Desk: ...

    @property
    def settings(self) -> TelegramSettings: ...

    @property
    def rights(self) -> Rights: ...

    @property
    def accounts(self) -> dict[str, Account]: ...

    def port_to(self, address: Address) -> TelegramPort: ...

    def port(self, channel: ChannelKey) -> Channel | None: ...

    def own_character(self, account: Account) -> Character | None: ...

    def later(self, work: Coroutine[Any, Any, None], what: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One command or press that is being answered. Answers go out beside it, in their order: nothing waits for Telegram's limits."""

    office: Office
    account: Account
    message: Message  # of the command, or of the button that was pressed
    address: Address
    caller: Caller
    words: str = ""  # what stands behind the command
    language: str = ""  # of whoever asks

    @property
    def desk(self) -> Desk:
        return self.office.desk

    @property
    def private(self) -> bool:
        return self.address.private

    @property
    def about(self) -> str | None:
        """The message that a command was given as a reply to."""
        answered = self.message.reply_to_message
        if answered is None or answered.forum_topic_created is not None:
            return None
        return stored_number(self.account, self.address, answered.message_id)

    def answer(self, text: str, buttons: InlineKeyboardMarkup | ForceReply | None = None) -> None:
        """Say it as Troupe, in as many messages as it takes."""
        self.office.later(self._say(self.address, in_language(text, self.language), buttons), "answer")

    def answer_with_file(self, text: str, name: str, data: bytes) -> None:
        self.office.later(self._send_file(self.address, text, name, data), "answer")

    def privately(
        self, text: str, buttons: InlineKeyboardMarkup | None = None, *, ask_again: str, file: tuple[str, bytes] | None = None
    ) -> None:
        """Say it where nobody else reads it; ``ask_again`` is the command that does the same in a private chat."""
        self.office.later(self._say_privately(in_language(text, self.language), buttons, ask_again, file), "answer")

    def show(self, character: Character, text: str, buttons: InlineKeyboardMarkup | None = None) -> None:
        """A character with its portrait, saying ``text``."""
        self.office.later(self._show(character, text, buttons), "portrait")

    def unless_spoken(self, turn: asyncio.Future[list[Reply]], said: str) -> None:
        """A reply appears by itself; ``said`` when nothing came of it."""

        async def wait() -> None:
            try:
                if not await turn:
                    await self._say(self.address, in_language(said, self.language), None)
            except BotError as error:
                log.info("a wish was not carried out channel=%s error=%s", self.address.key, type(error).__name__)

        self.office.later(wait(), "reply")

    # ------------------------------------------------------------------ sending

    async def _say(self, address: Address, text: str, buttons: InlineKeyboardMarkup | ForceReply | None) -> None:
        pieces = split_reply(uncalled(text, self.account.username), ANSWER) or ["…"]
        for n, piece in enumerate(pieces):
            await self.account.bot.send_message(
                address.chat_id,
                piece,
                message_thread_id=address.thread_id,
                link_preview_options=NO_PREVIEW,
                reply_parameters=self._reply_to(address) if n == 0 else None,
                reply_markup=buttons if n == len(pieces) - 1 else None,
                rate_limit_args=TRIES,
            )

    async def _send_file(self, address: Address, text: str, name: str, data: bytes) -> None:
        caption = text if units(text) <= LONGEST_CAPTION else None
        await self.account.bot.send_document(
            address.chat_id, InputFile(data, name), caption=caption, message_thread_id=address.thread_id, rate_limit_args=TRIES
        )

    async def _say_privately(self, text: str, buttons: InlineKeyboardMarkup | None, ask_again: str, file: tuple[str, bytes] | None) -> None:
        user = self.message.from_user
        if self.private or user is None:
            await self._say_or_file(self.address, text, buttons, file)
            return
        try:
            await self._say_or_file(Address(user.id), text, buttons, file)
        except (Forbidden, BadRequest):  # they have never written to us; only they can begin
            link = f"https://t.me/{self.account.username}?start={ask_again}"
            await self._say(
                self.address, in_language(WRITE_TO_ME, self.language), InlineKeyboardMarkup([[InlineKeyboardButton("Read it", url=link)]])
            )

    async def _say_or_file(self, address: Address, text: str, buttons: InlineKeyboardMarkup | None, file: tuple[str, bytes] | None) -> None:
        if file is None:
            await self._say(address, text, buttons)
        else:
            await self._send_file(address, text, *file)

    async def _show(self, character: Character, text: str, buttons: InlineKeyboardMarkup | None) -> None:
        face = None if self.account.character == character.slug else character.face
        words, entities = spoken(face, text)
        fits = units(words) <= LONGEST_CAPTION
        portrait = character.portrait
        if portrait is not None:
            try:
                await self._send_portrait(portrait, (words, entities) if fits else ("", []), buttons if fits else None)
            except TelegramError as error:
                log.warning("a portrait could not be shown character=%s error=%s", character.id, type(error).__name__)
                fits = False
        if portrait is not None and fits:
            return
        pieces = split_reply(text, self.office.port_to(self.address).limits)
        for n, piece in enumerate(pieces):
            last = buttons if n == len(pieces) - 1 else None
            words, entities = spoken(face if n == 0 else None, piece)
            try:
                await self._say_formatted(words, entities, last)
            except BadRequest as error:
                if not refuses_entities(error):
                    raise
                await self._say_formatted(plainly(face if n == 0 else None, piece), [], last)

    async def _say_formatted(self, words: str, entities: list[MessageEntity], buttons: InlineKeyboardMarkup | None) -> None:
        await self.account.bot.send_message(
            self.address.chat_id,
            words,
            entities=entities,
            message_thread_id=self.address.thread_id,
            link_preview_options=NO_PREVIEW,
            reply_markup=buttons,
            rate_limit_args=TRIES,
        )

    async def _send_portrait(self, portrait: Path, said: tuple[str, list[MessageEntity]], buttons: InlineKeyboardMarkup | None) -> None:
        """Telegram keeps what it was sent once, under an id that holds for this bot."""
        words, entities = said
        known = self.account.portraits.get(portrait)
        picture = known or InputFile(await asyncio.to_thread(portrait.read_bytes), portrait.name)
        message = await self.account.bot.send_photo(
            self.address.chat_id,
            picture,
            caption=words or None,
            caption_entities=entities,
            message_thread_id=self.address.thread_id,
            reply_markup=buttons,
            rate_limit_args=TRIES,
        )
        if known is None and message.photo:
            self.account.portraits[portrait] = message.photo[-1].file_id

    def _reply_to(self, address: Address) -> ReplyParameters | None:
        """In a group it is seen whom an answer is for."""
        if address.private or address != self.address:
            return None
        return ReplyParameters(self.message.message_id, allow_sending_without_reply=True)


async def downloaded(account: Account, file_id: str, size: int | None, limit: int) -> bytes:
    """A file that somebody sent. Raises ``CommandRefused`` when it is too big or cannot be had."""
    most = min(limit, LARGEST_FILE_BYTES)
    if size is not None and size > most:
        raise CommandRefused(f"The file has {size:,} bytes; at most {most:,} can be read.")
    try:
        file = await account.bot.get_file(file_id)
        return bytes(await file.download_as_bytearray())
    except TelegramError as error:
        log.warning("a file could not be fetched error=%s", type(error).__name__)
        raise CommandRefused("Telegram does not hand the file out just now; please send it again in a moment.") from error
