"""One bot token: the library's bot behind it, and who it turned out to be."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from telegram import User
from telegram.ext import ExtBot
from telegram.request import HTTPXRequest

from bot.config import TelegramSettings
from bot.connectors.telegram_pace import Pace
from bot.errors import ConfigError

CONNECTIONS = 64
ANSWER_SECONDS = 15.0
POLL_SECONDS = 30  # how long Telegram holds a question for news open


class Account:
    """``character`` is the slug of the one that this bot is; "" for the company's own bot."""

    def __init__(self, settings: TelegramSettings, token: str, character: str = "", pace: Pace | None = None) -> None:
        self.character = character
        self.pace = pace or Pace()
        self.polling = HTTPXRequest(connection_pool_size=2, read_timeout=ANSWER_SECONDS)
        self.bot: ExtBot[int] = ExtBot(
            token=token,
            base_url=_ending_in_bot(settings.api_base),
            base_file_url=_ending_in_bot(settings.file_base),
            request=HTTPXRequest(connection_pool_size=CONNECTIONS, read_timeout=ANSWER_SECONDS, pool_timeout=ANSWER_SECONDS),
            get_updates_request=self.polling,
            rate_limiter=self.pace,
        )
        self.me: User | None = None  # until Telegram has told
        self.portraits: dict[Path, str] = {}  # pictures that Telegram has already -> their file ids

    async def connect(self) -> None:
        """Ask Telegram who we are. Raises what the library raises: ``InvalidToken`` when the token is not accepted."""
        await self.bot.initialize()
        self.me = self.bot.bot

    async def close(self) -> None:
        await self.bot.shutdown()

    @property
    def id(self) -> int:
        """The account's id is the first part of its token."""
        return int(self.bot.token.partition(":")[0])

    @property
    def username(self) -> str:
        return "" if self.me is None else (self.me.username or "")


def bot_tokens(settings: TelegramSettings, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Character slug ("" for the company) -> token, of those that are in the environment. Empty: Telegram is not joined.

    Raises:
        ConfigError: something that cannot be a token, or the same one twice.
    """
    names = {"": settings.token_env, **settings.bots}
    tokens = {slug: token for slug, name in names.items() if (token := environment.get(name, "").strip())}
    for slug, token in tokens.items():
        number, colon, secret = token.partition(":")
        if not (colon and secret and number.isascii() and number.isdecimal()):
            raise ConfigError(f"{names[slug]} holds no bot token; BotFather gives one that looks like 123456:ABC-DEF")
    if len(set(tokens.values())) < len(tokens):
        raise ConfigError("two settings under [telegram] lead to the same bot token; every bot needs its own")
    if tokens and "" not in tokens:
        raise ConfigError(f"telegram.bots needs the company's own bot too; set {settings.token_env}")
    return tokens


def point_library() -> None:
    """What python-telegram-bot wants to be told once for the whole process, and what it must not say."""
    os.environ["PTB_TIMEDELTA"] = "1"  # its own switch: times are timedeltas, as they will be in its next major version
    # These write addresses with the token in them, and what people said, at levels that an operator may switch on.
    for name in ("httpx", "httpcore", "telegram", "telegram.ext"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # And this one what could not be read of an answer, as an error.
    logging.getLogger("telegram.request.BaseRequest").setLevel(logging.CRITICAL)


def _ending_in_bot(address: str) -> str:
    """The library appends the token to it: ``https://api.telegram.org/bot``, with or without its last part in the settings."""
    bare = address.rstrip("/")
    return bare if bare.endswith("/bot") else f"{bare}/bot"
