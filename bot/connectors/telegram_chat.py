"""Troupe on Telegram: the company's bot, bots of single characters beside it, and their news for as long as the house serves."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from telegram.error import InvalidToken, TelegramError

from bot.characters.cast import Character
from bot.commands.desk import Desk
from bot.commands.voice import speaks
from bot.config import TelegramSettings
from bot.connectors.telegram_account import Account, bot_tokens, point_library
from bot.connectors.telegram_border import Address
from bot.connectors.telegram_hearing import Hearing
from bot.connectors.telegram_menu import register
from bot.connectors.telegram_pace import Pace
from bot.connectors.telegram_port import SentMessages, TelegramPort
from bot.connectors.telegram_rights import Rights
from bot.connectors.telegram_updates import (
    FIRST_PAUSE_SECONDS,
    KINDS,
    LONGEST_PAUSE_SECONDS,
    REFUSED_PAUSE_SECONDS,
    Polling,
    Updates,
    Webhook,
)
from bot.errors import CharacterNotFound, ConfigError
from bot.messages import Channel, ChannelKey, Face

log = logging.getLogger(__name__)

NOT_HERE_SECONDS = 600.0  # how long the company's bot speaks for a character whose own bot is not in a chat
LEAVING_SECONDS = 3.0  # for answers that are on their way when the house closes
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


class TelegramChat:
    """``start`` returns at once and connects in the background. ``tokens`` come from ``bot_tokens``."""

    def __init__(
        self,
        settings: TelegramSettings,
        desk: Desk,
        tokens: Mapping[str, str],
        environment: Mapping[str, str] = os.environ,
        *,
        pace: Callable[[], Pace] = Pace,
    ) -> None:
        """``pace`` makes what keeps one bot to Telegram's limits."""
        point_library()
        self.settings, self.desk = settings, desk
        self.rights = Rights()
        self.sent = SentMessages()
        self.accounts = {slug: Account(settings, token, slug, pace()) for slug, token in tokens.items()}
        self._secret = environment.get(settings.webhook_secret_env, "").strip()
        self._hearing = Hearing(self)
        self._webhook: Webhook | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._beside: set[asyncio.Task[None]] = set()
        self._absent: dict[tuple[str, int], float] = {}
        self._drafts = True

    async def start(self) -> None:
        """Raises ``ConfigError`` for settings that cannot be meant."""
        for slug in filter(None, self.accounts):
            self.desk.company.find(ChannelKey("telegram", "0"), slug)  # a bot of somebody who is not there
        if self.settings.webhook_url:
            await self._open_webhook()
        for account in self.accounts.values():
            updates = Updates(account, self._hearing.take)
            if self._webhook is None:
                work = Polling(account, updates, self._connected).run()
            else:
                work = self._announce(account, self._webhook.add(account, updates))
            self._running.add(asyncio.create_task(work, name=f"telegram {account.id}"))

    async def stop(self) -> None:
        """Leave Telegram. What is being said is taken up at the next start."""
        if self._webhook is not None:
            await self._webhook.stop()
        await _end(self._running)
        if self._beside:
            await asyncio.wait(set(self._beside), timeout=LEAVING_SECONDS)
        await _end(self._beside)
        for account in self.accounts.values():
            await account.close()

    def port(self, channel: ChannelKey) -> Channel | None:
        """The way into a chat by its key; None for a key that is not Telegram's, or needs a bot that is not here."""
        address = Address.of(channel)
        if address is None or address.own not in self.accounts:
            return None
        return self.port_to(address)

    # ------------------------------------------------------------------ for ports and commands

    def port_to(self, address: Address) -> TelegramPort:
        return TelegramPort(self, address)

    def speaker(self, address: Address, face: Face | None) -> Account:
        company = self.accounts[""]
        if address.own:
            return self.accounts.get(address.own, company)
        own = self.accounts.get(face.slug) if face is not None else None
        if own is None or address.private or address.basic or self._absent.get((own.character, address.chat_id), 0.0) > time.monotonic():
            return company
        return own

    def not_here(self, account: Account, address: Address) -> None:
        self._absent[account.character, address.chat_id] = time.monotonic() + NOT_HERE_SECONDS

    async def moved(self, old: int, new: int) -> None:
        await self._hearing.moved(old, new)

    @property
    def has_drafts(self) -> bool:
        return self._drafts

    def drafts_refused(self) -> None:
        self._drafts = False

    def own_character(self, account: Account) -> Character | None:
        """The one that an account is; None for the company's."""
        if not account.character:
            return None
        try:
            return self.desk.company.find(ChannelKey("telegram", "0"), account.character)
        except CharacterNotFound:
            return None

    def later(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Do something beside; what goes wrong with it is logged."""
        task = asyncio.create_task(_logged(work, what), name=f"telegram {what}")
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    # ------------------------------------------------------------------ connections

    async def _connected(self, account: Account) -> None:
        log.info("telegram: connected bot=%d username=%s", account.id, account.username)
        self.later(register(account.bot, own=bool(account.character), voiced=speaks(self.desk)), "menu")

    async def _open_webhook(self) -> None:
        if not self.settings.webhook_url.startswith("https://"):
            raise ConfigError("telegram.webhook_url must begin with https://; Telegram brings its news to nothing else")
        if not _SECRET.fullmatch(self._secret):
            raise ConfigError(
                f"telegram.webhook_url needs a secret: set {self.settings.webhook_secret_env} to 1 to 256 letters, digits, _ or -"
            )
        webhook = Webhook(self._secret)
        try:
            port = await webhook.start(self.settings.webhook_host, self.settings.webhook_port)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {self.settings.webhook_host}:{self.settings.webhook_port} ({error.strerror}); "
                "set webhook_host and webhook_port under [telegram]"
            ) from error
        self._webhook = webhook
        log.info("telegram: listening for news host=%s port=%d", self.settings.webhook_host, port)

    async def _announce(self, account: Account, path: str) -> None:
        """Tell Telegram where to bring the news, until it has understood."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await account.connect()
                url = f"{self.settings.webhook_url.rstrip('/')}{path}"
                await account.bot.set_webhook(url, secret_token=self._secret, allowed_updates=KINDS)
                await self._connected(account)
                return
            except InvalidToken:
                log.error("telegram: the token of bot %d is not accepted; ask BotFather for a new one", account.id)  # noqa: TRY400
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)
            except TelegramError as error:
                log.warning("telegram: cannot be reached error=%s, next try in %.0f s", type(error).__name__, pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that ``troupe check`` can say. ``what`` tells what to do where it is not as it should be."""

    ok: bool
    what: str


async def examine(settings: TelegramSettings, environment: Mapping[str, str] = os.environ) -> list[Fact]:
    """What there is to say of Telegram, asked from it now. Changes nothing, and may be run beside a serving Troupe.

    Raises:
        ConfigError: the settings or the tokens cannot be meant.
    """
    tokens = bot_tokens(settings, environment)
    if not tokens:
        return [Fact(True, f"not joined; set {settings.token_env} to a token from BotFather to join")]
    point_library()
    facts = []
    for slug, token in tokens.items():
        account = Account(settings, token, slug)
        whose = f"{slug}'s own bot" if slug else "the company's bot"
        try:
            facts += await _examined(account, settings, whose)
        except InvalidToken:
            facts.append(Fact(False, f"{whose}: the token is not accepted; ask BotFather for a new one"))
        except TelegramError as error:
            facts.append(Fact(False, f"{whose}: Telegram cannot be reached ({type(error).__name__}); look at telegram.api_base"))
        finally:
            await account.close()
    return facts


async def _examined(account: Account, settings: TelegramSettings, whose: str) -> list[Fact]:
    await account.connect()
    assert account.me is not None, "connected, and nobody"
    facts = [Fact(True, f"{whose} is @{account.username}")]
    if account.me.can_join_groups is False:
        facts.append(Fact(False, f"@{account.username} cannot be added to groups; BotFather, /setjoingroups"))
    if not account.me.can_read_all_group_messages:
        hears = "hears in groups only commands, replies and its name, unless it is an administrator; BotFather, /setprivacy changes that"
        facts.append(Fact(True, f"@{account.username} {hears}"))
    hook = await account.bot.get_webhook_info()
    if hook.url and not settings.webhook_url:
        facts.append(Fact(True, "Telegram brings its news to another address now; `troupe run` takes that back"))
    if hook.last_error_message and settings.webhook_url:
        facts.append(Fact(False, f"Telegram could not bring its news: {hook.last_error_message}; look at telegram.webhook_url"))
    return facts


async def _logged(work: Coroutine[Any, Any, None], what: str) -> None:
    try:
        await work
    except TelegramError as error:
        log.warning("telegram: %s did not reach the chat error=%s: %s", what, type(error).__name__, error.message)
    except Exception:
        log.exception("telegram: %s crashed", what)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(set(tasks))
    tasks.clear()
