"""Who may look after a chat: asked from Telegram at that moment, and believed for a few seconds. Never from a name."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

from telegram import Message, User
from telegram.error import TelegramError

from bot.connectors.telegram_account import Account
from bot.errors import CommandRefused

log = logging.getLogger(__name__)

BELIEVED_SECONDS = 10.0
KNOWN = 1000
CANNOT_ASK = "Telegram does not tell just now who looks after this chat; please try again in a moment."


class Rights:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[int, int], tuple[bool, float]] = OrderedDict()

    async def of_message(self, account: Account, message: Message) -> bool:
        """Whether whoever wrote a message looks after its chat. Raises ``CommandRefused`` when Telegram does not say."""
        if message.chat.type == "private":
            return True  # one's own chat
        if message.sender_chat is not None:
            # Only a group's administrators can speak as the group itself; a channel that speaks in it is a visitor.
            return message.sender_chat.id == message.chat.id
        return message.from_user is not None and await self.of(account, message.chat.id, message.from_user)

    async def of(self, account: Account, chat_id: int, user: User) -> bool:
        """Raises ``CommandRefused`` when Telegram does not say."""
        if chat_id == user.id:
            return True
        known, until = self._known.get((chat_id, user.id), (False, 0.0))
        if self._clock() < until:
            return known
        try:
            member = await account.bot.get_chat_member(chat_id, user.id)
        except TelegramError as error:
            log.warning("rights could not be asked chat=%d error=%s", chat_id, type(error).__name__)
            raise CommandRefused(CANNOT_ASK) from error
        may = member.status in ("creator", "administrator")
        self._known[chat_id, user.id] = (may, self._clock() + BELIEVED_SECONDS)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return may

    def forget(self, chat_id: int) -> None:
        """Something has changed there."""
        for key in [key for key in self._known if key[0] == chat_id]:
            del self._known[key]
