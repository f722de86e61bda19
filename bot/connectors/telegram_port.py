"""The way back into a chat of Telegram: what a session says becomes messages, drafts and signs of typing."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from telegram import InlineKeyboardMarkup, LinkPreviewOptions, MessageEntity
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, TelegramError

from bot.commands.desk import Desk
from bot.commands.voice import speaks
from bot.config import TelegramSettings
from bot.connectors.telegram_account import Account
from bot.connectors.telegram_border import (
    Address,
    is_missing,
    is_unchanged,
    refusals,
    refuses_entities,
    translated,
)
from bot.connectors.telegram_buttons import under_reply, while_speaking
from bot.connectors.telegram_words import ANSWER, HEAD_RESERVE, LONGEST, plainly, spoken, uncalled
from bot.errors import ChannelGone, ConnectorError
from bot.messages import Face, Limits
from bot.sessions.split_reply import split_reply

log = logging.getLogger(__name__)

TRIES = 3  # more of what has no session to try again: notices, answers, buttons
TYPING_SECONDS = 4.5  # Telegram shows it for five
REMEMBERED = 10_000  # sent messages whose face and bot are known without asking the store
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)  # an address that a model made up is not opened for everybody


@dataclass(frozen=True, slots=True)
class Sent:
    """How a message came to be there."""

    account: Account
    face: Face | None


class Door(Protocol):
    """What a port needs of the connector."""

    @property
    def desk(self) -> Desk: ...

    @property
    def settings(self) -> TelegramSettings: ...

    @property
    def sent(self) -> SentMessages: ...

    def speaker(self, address: Address, face: Face | None) -> Account:
        """Whose bot says it: the character's own where it has one and is here, else the company's."""
        ...

    def not_here(self, account: Account, address: Address) -> None:
        """A character's own bot may not write into a chat; for a while the company's does it."""
        ...

    def drafts_refused(self) -> None:
        """The Bot API that we talk to has no drafts."""
        ...

    @property
    def has_drafts(self) -> bool: ...

    def later(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Do something beside, held and logged by the connector."""
        ...

    async def moved(self, old: int, new: int) -> None:
        """Telegram says that a chat has another id now."""
        ...


class SentMessages:
    """What is known of messages that this process has sent."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, str], Sent] = OrderedDict()

    def note(self, chat_id: int, message_id: str, sent: Sent) -> None:
        self._known[chat_id, message_id] = sent
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def of(self, chat_id: int, message_id: str) -> Sent | None:
        return self._known.get((chat_id, message_id))


class TelegramPort:
    """A ``Channel``, and in private chats one with previews. Any number of them may stand for the same chat."""

    def __init__(self, door: Door, address: Address) -> None:
        self._door, self._address = door, address
        self._what = str(address.key)
        self._stoppable = ""  # the message that has a button to stop it, while its reply grows
        self._growing = False
        self._draft_id = 0

    @property
    def limits(self) -> Limits:
        settings, private = self._door.settings, self._address.private
        streaming = settings.private_streaming if private else settings.group_streaming
        return Limits(
            units="utf16",
            length=LONGEST - HEAD_RESERVE,
            edit_seconds=None if streaming == "none" else settings.edit_seconds if private else max(settings.edit_seconds, 4.0),
            previews=streaming == "draft" and self._door.has_drafts,
        )

    # ------------------------------------------------------------------ replies

    async def open(self, character: Face, text: str) -> str:
        with refusals(self._what):
            account = self._door.speaker(self._address, character)
            try:
                sent_id = await self._send(account, character, text)
            except ChatMigrated as error:  # the reply is made again there, once everything is
                self._door.later(self._door.moved(self._address.chat_id, error.new_chat_id), "supergroup")
                raise
            except (Forbidden, BadRequest) as error:
                company = self._door.speaker(self._address, None)
                if company is account or not isinstance(translated(self._what, error), ChannelGone):
                    raise
                self._door.not_here(account, self._address)
                account = company
                sent_id = await self._send(account, character, text)
        self._door.sent.note(self._address.chat_id, sent_id, Sent(account, character))
        if self._stoppable:  # the reply goes on in this message: the one before needs no buttons
            self._door.later(self._rebutton(self._stoppable, None), "buttons")
        self._stoppable = sent_id if self._edits_grow else ""
        return sent_id

    async def edit(self, sent_id: str, text: str) -> None:
        with refusals(self._what):
            sent = await self._sent(sent_id)
            face = self._shown_face(sent)
            words, entities = spoken(face, text)
            try:
                await self._rewrite(sent, sent_id, words, entities)
            except BadRequest as error:
                if is_unchanged(error):
                    return
                if is_missing(error):
                    log.info("a message that was to be changed is gone channel=%s", self._what)
                    return
                if not refuses_entities(error):
                    raise
                log.warning("entities were refused, the text goes without channel=%s", self._what)
                await self._rewrite(sent, sent_id, plainly(face, text), [])
        if self._edits_grow:
            self._stoppable = sent_id

    async def remove(self, sent_id: str) -> None:
        with refusals(self._what):
            sent = await self._sent(sent_id)
            try:
                await sent.account.bot.delete_message(self._address.chat_id, int(sent_id))
            except BadRequest as error:
                if not is_missing(error):
                    raise
                log.info("a message could not be taken back channel=%s", self._what)
        if self._stoppable == sent_id:
            self._stoppable = ""

    async def preview(self, character: Face, text: str) -> None:
        """Show a growing reply as a draft: it vanishes by itself, and the message is sent when it is whole."""
        self._draft_id = self._draft_id or secrets.randbelow(2**31 - 1) + 1
        account = self._door.speaker(self._address, character)
        words, entities = spoken(self._face(account, character), split_reply(text, self.limits)[-1])
        with refusals(self._what):
            try:
                await account.bot.send_message_draft(
                    self._address.chat_id, self._draft_id, words, message_thread_id=self._address.thread_id, entities=entities
                )
            except (InvalidToken, BadRequest) as error:  # a method that a server does not have is "not found", like a wrong token
                log.info("drafts are not shown here, replies grow by edits instead: %s", type(error).__name__)
                self._door.drafts_refused()

    def typing(self, character: Face) -> AbstractAsyncContextManager[None]:
        return self._typing(character)

    @asynccontextmanager
    async def _typing(self, character: Face) -> AsyncGenerator[None]:
        task = asyncio.create_task(self._keep_typing(character), name=f"typing {self._what}")
        self._growing, self._draft_id = True, 0
        try:
            yield
        finally:
            self._growing = False
            task.cancel()
            await asyncio.wait({task})
            if self._stoppable:
                self._door.later(self._rebutton(self._stoppable, self._buttons()), "buttons")
                self._stoppable = ""

    async def _keep_typing(self, character: Face) -> None:
        """Beside the reply, never before it: a chat that does not show it may still be spoken in."""
        while True:
            await self.show_typing(character)
            await asyncio.sleep(TYPING_SECONDS)

    async def show_typing(self, character: Face | None = None) -> None:
        """Once, for five seconds. Never raises: nothing depends on it."""
        account = self._door.speaker(self._address, character)
        if account.pace.held(self._address.chat_id):
            return
        try:
            await account.bot.send_chat_action(self._address.chat_id, "typing", message_thread_id=self._address.thread_id)
        except TelegramError as error:
            log.debug("typing is not shown channel=%s error=%s", self._what, type(error).__name__)

    async def notice(self, text: str) -> None:
        """Beside everything else: whoever has something to say does not wait for Telegram's limits."""
        self._door.later(self._notice(text), "notice")

    async def _notice(self, text: str) -> None:
        account, where = self._door.speaker(self._address, None), self._address
        for piece in split_reply(uncalled(text, account.username), ANSWER):
            await account.bot.send_message(
                where.chat_id, piece, message_thread_id=where.thread_id, link_preview_options=NO_PREVIEW, rate_limit_args=TRIES
            )

    # ------------------------------------------------------------------ pieces

    @property
    def _edits_grow(self) -> bool:
        """Whether a reply is growing by edits, so that it can be stopped by a button."""
        limits = self.limits
        return self._growing and limits.edit_seconds is not None and not limits.previews

    def _buttons(self) -> InlineKeyboardMarkup | None:
        if not self._door.settings.buttons:
            return None
        return while_speaking() if self._edits_grow else under_reply(voiced=speaks(self._door.desk))

    async def _send(self, account: Account, character: Face, text: str) -> str:
        face = self._face(account, character)
        words, entities = spoken(face, text)
        try:
            return await self._send_words(account, words, entities)
        except BadRequest as error:
            if not refuses_entities(error):
                raise
            log.warning("entities were refused, the text goes without channel=%s", self._what)
            return await self._send_words(account, plainly(face, text), [])

    async def _send_words(self, account: Account, words: str, entities: list[MessageEntity]) -> str:
        message = await account.bot.send_message(
            self._address.chat_id,
            words,
            entities=entities,
            message_thread_id=self._address.thread_id,
            link_preview_options=NO_PREVIEW,
            reply_markup=self._buttons(),
        )
        return str(message.message_id)

    async def _rewrite(self, sent: Sent, sent_id: str, words: str, entities: list[MessageEntity]) -> None:
        await sent.account.bot.edit_message_text(
            words,
            self._address.chat_id,
            int(sent_id),
            entities=entities,
            link_preview_options=NO_PREVIEW,
            reply_markup=self._buttons(),
        )

    async def _rebutton(self, sent_id: str, buttons: InlineKeyboardMarkup | None) -> None:
        sent = await self._sent(sent_id)
        try:
            await sent.account.bot.edit_message_reply_markup(
                self._address.chat_id, int(sent_id), reply_markup=buttons, rate_limit_args=TRIES
            )
        except TelegramError as error:
            log.info("buttons could not be changed channel=%s error=%s", self._what, type(error).__name__)

    async def _sent(self, sent_id: str) -> Sent:
        """How a message was sent; of one from an earlier process, the store knows who spoke."""
        known = self._door.sent.of(self._address.chat_id, sent_id)
        if known is not None:
            return known
        desk = self._door.desk
        if not sent_id.isdecimal():
            raise ConnectorError(f"{self._what}: {sent_id!r} is no message of Telegram")
        delivery = await desk.store.delivery_of(self._address.key, sent_id)
        if delivery is None:
            return Sent(self._door.speaker(self._address, None), None)
        character = desk.company.by_id(delivery.character_id)
        slug = delivery.character_id.rpartition("/")[2]
        face = character.face if character is not None else Face(delivery.character_id, slug, delivery.character_name)
        sent = Sent(self._door.speaker(self._address, face), face)
        self._door.sent.note(self._address.chat_id, sent_id, sent)
        return sent

    def _face(self, account: Account, character: Face) -> Face | None:
        """A character's own bot shows its name already."""
        return None if account.character == character.slug else character

    def _shown_face(self, sent: Sent) -> Face | None:
        return None if sent.face is None else self._face(sent.account, sent.face)
