"""The border to python-telegram-bot: its chats as our keys, its refusals as our errors. Nothing here talks to Telegram."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpx
from telegram import Message
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError, TimedOut

from bot.connectors.telegram_pace import seconds_of
from bot.errors import ChannelGone, ConnectorError, RateLimited
from bot.messages import ChannelKey, Person

PLATFORM: Final = "telegram"
FIRST_SUPERGROUP: Final = -(10**12)  # and below; https://core.telegram.org/api/bots/ids
TRY_AGAIN_SECONDS = 2.0

# Descriptions of the Bot API server; there are no codes finer than the HTTP status.
_GONE = (
    "chat not found",
    "chat_write_forbidden",
    "have no rights to send",
    "not enough rights to send",
    "message thread not found",
    "topic_closed",
    "topic_deleted",
    "group chat was upgraded",
    "peer_id_invalid",
    "user is deactivated",
)
UNCHANGED = "message is not modified"
MISSING = (
    "message to edit not found",
    "message can't be edited",
    "message to delete not found",
    "message can't be deleted",
    "message_id_invalid",
)
NO_ENTITIES = ("can't parse entities", "entity_", "entities_")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a key points to. ``own`` is the character whose own bot has this private chat; "" for the company's."""

    chat_id: int
    thread_id: int | None = None
    own: str = ""

    @property
    def private(self) -> bool:
        """People have positive ids, groups and channels negative ones."""
        return self.chat_id > 0

    @property
    def basic(self) -> bool:
        """A small group of the old kind, in which every bot knows a message under another number."""
        return FIRST_SUPERGROUP < self.chat_id < 0

    @property
    def key(self) -> ChannelKey:
        """A private chat with a character's own bot has the same id as the one with the company's: the character is named in it."""
        parts = [str(self.chat_id), *([f"@{self.own}"] if self.own else []), *([str(self.thread_id)] if self.thread_id else [])]
        return ChannelKey(PLATFORM, "/".join(parts))

    @classmethod
    def of(cls, key: ChannelKey) -> Address | None:
        """None for a key that is not Telegram's."""
        first, *rest = key.path.split("/")
        own = rest.pop(0)[1:] if rest and rest[0].startswith("@") else ""
        if key.platform != PLATFORM or not first.lstrip("-").isdecimal() or len(rest) > 1 or not all(r.isdecimal() for r in rest):
            return None
        return cls(int(first), int(rest[0]) if rest else None, own)


def address_of(message: Message, own: str = "") -> Address:
    """A thread is a topic of a forum; threads of replies in other groups are no places of their own."""
    thread = message.message_thread_id if message.is_topic_message else None
    return Address(message.chat.id, thread, own if message.chat.type == "private" else "")


def person_of(message: Message) -> Person | None:
    """Who speaks: somebody, or a group (its anonymous administrators) or channel that speaks as such. None: a bot, or nobody."""
    if message.sender_chat is not None:
        name = message.author_signature or message.sender_chat.title or message.sender_chat.full_name or ""
        return Person(f"{PLATFORM}:{message.sender_chat.id}", _shown(name, message.sender_chat.id))
    if message.from_user is None or message.from_user.is_bot:
        return None
    return Person(f"{PLATFORM}:{message.from_user.id}", _shown(message.from_user.full_name, message.from_user.id))


def _shown(name: str, number: int) -> str:
    return " ".join(name.split()) or str(number)


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Telegram's refusals as ours, around one call. ``what`` names the place for the sentence.

    Raises:
        ChannelGone, RateLimited, ConnectorError
    """
    try:
        yield
    except TelegramError as error:
        raise translated(what, error) from error


def translated(what: str, error: TelegramError) -> ConnectorError:
    match error:
        case RetryAfter():
            return RateLimited(f"{what}: Telegram asks us to wait", retry_after_seconds=seconds_of(error))
        case Forbidden():
            return ChannelGone(f"{what}: {error.message}")
        case ChatMigrated():
            return ChannelGone(f"{what}: the group has become a supergroup, and has a new id")
        case BadRequest() if any(words in error.message.casefold() for words in _GONE):
            return ChannelGone(f"{what}: {error.message}")
        case InvalidToken():
            return ConnectorError(f"{what}: the token is not accepted; `troupe check` says which")
        case NetworkError() if not isinstance(error, BadRequest) and never_arrived(error):
            return RateLimited(f"{what}: Telegram cannot be reached", retry_after_seconds=TRY_AGAIN_SECONDS)
        case TimedOut():
            return ConnectorError(f"{what}: Telegram did not answer in time; nobody knows whether the call was carried out")
        case _:
            return ConnectorError(f"{what}: {error.message}")


def never_arrived(error: TelegramError) -> bool:
    """Whether a call certainly was not carried out, so that it may be made again."""
    refused = isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return refused or "(502)" in error.message or "bad gateway" in error.message.casefold()


def is_unchanged(error: BadRequest) -> bool:
    return UNCHANGED in error.message.casefold()


def is_missing(error: BadRequest) -> bool:
    """The message is not there any more, or not ours to change."""
    return any(words in error.message.casefold() for words in MISSING)


def refuses_entities(error: BadRequest) -> bool:
    return any(words in error.message.casefold() for words in NO_ENTITIES)
