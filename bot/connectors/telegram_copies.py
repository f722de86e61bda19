"""One message, several bots: a basic group tells each of them under another number; only supergroups count for all.

The company's bot hears for everybody there, and speaks for everybody. A character's own bot is listened to only for what
is said to it by name, which the company's may not be told of (privacy mode).
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

from telegram import Message

from bot.connectors.telegram_account import Account
from bot.connectors.telegram_border import Address

KNOWN = 2000  # messages

_Said = tuple[int, int, datetime, str]  # chat, author, second, words


class Copies:
    """Who brought a message first. What the last process was brought is asked of the store."""

    def __init__(self) -> None:
        self._brought_by: OrderedDict[_Said, int] = OrderedDict()

    def is_one(self, account: Account, message: Message) -> bool:
        """Whether another bot has brought this already."""
        author = message.sender_chat or message.from_user
        said = (message.chat.id, author.id if author is not None else 0, message.date, message.text or message.caption or "")
        first = self._brought_by.setdefault(said, account.id)
        if len(self._brought_by) > KNOWN:
            self._brought_by.popitem(last=False)
        return first != account.id


def is_for(account: Account, message: Message, address: Address) -> bool:
    """Whether this bot is the one to listen to."""
    if not (address.basic and account.character):
        return True
    text = (message.text or message.caption or "").casefold()
    return bool(account.username) and f"@{account.username.casefold()}" in text


def stored_number(account: Account, address: Address, number: int) -> str:
    """The id under which a message is stored; numbers that only a character's own bot knows are kept apart from the others."""
    return f"{account.character}:{number}" if address.basic and account.character else str(number)
