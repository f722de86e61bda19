"""News from Telegram: asked for by long polling, or brought by Telegram itself (webhook).

An update counts as taken only when whatever it holds is stored, so that a crash in between loses nothing: Telegram brings
it once more. The library's own updater confirms first, and asks for an update that it cannot read again for ever.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from telegram import Update
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError

from bot.connectors.telegram_account import ANSWER_SECONDS, POLL_SECONDS, Account
from bot.connectors.telegram_pace import seconds_of
from bot.errors import StoreError

log = logging.getLogger(__name__)

KINDS = ("message", "edited_message", "callback_query", "my_chat_member")
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 60.0
REFUSED_PAUSE_SECONDS = 300.0  # a wrong token does not become right by asking often
TAKEN = 2000  # updates that are known when they come a second time
LARGEST_BYTES = 4 * 1024 * 1024  # of one update; Telegram's are far smaller
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"

Take = Callable[[Account, Update], Awaitable[None]]


class Updates:
    """Hands the updates of one account to ``take``: those of a chat in their order, chats beside each other."""

    def __init__(self, account: Account, take: Take) -> None:
        self._account, self._take = account, take
        self._taken: OrderedDict[int, None] = OrderedDict()

    async def batch(self, updates: Sequence[Any]) -> int | None:
        """Take what came. Returns the number of the first update that has to come again; None when none has."""
        chats: defaultdict[object, list[dict[str, Any]]] = defaultdict(list)
        for update in updates:
            if isinstance(update, dict) and isinstance(update.get("update_id"), int):
                chats[_chat_of(update)].append(update)
            else:
                log.error("something that is no update was left out token=%d", self._account.id)
        missed = await asyncio.gather(*(self._chat(each) for each in chats.values()))
        return min((number for number in missed if number is not None), default=None)

    async def _chat(self, updates: list[dict[str, Any]]) -> int | None:
        for update in sorted(updates, key=lambda u: u["update_id"]):
            if not await self.one(update):
                return int(update["update_id"])
        return None

    async def one(self, raw: dict[str, Any]) -> bool:
        """False: it could not be stored, and has to come again."""
        number = raw["update_id"]
        if number in self._taken:
            return True
        try:
            update = Update.de_json(raw, self._account.bot)
        except Exception:
            # Whatever the library's parser met. The update is left out: asking for it again would bring the same.
            log.exception("an update could not be read and was left out update=%s kind=%s", number, "/".join(k for k in raw if k in KINDS))
            return self._note(number)
        try:
            await self._take(self._account, update)
        except StoreError as error:
            log.error("an update could not be stored and is asked for again update=%d error=%s", number, error)  # noqa: TRY400
            return False
        except Exception:
            log.exception("an update failed update=%d", number)  # a bug of ours must not stop the others
        return self._note(number)

    def _note(self, number: int) -> bool:
        self._taken[number] = None
        if len(self._taken) > TAKEN:
            self._taken.popitem(last=False)
        return True


class Polling:
    """Long polling of one account, for as long as the house serves. ``connected`` is called each time a connection is there anew."""

    def __init__(self, account: Account, updates: Updates, connected: Callable[[Account], Awaitable[None]]) -> None:
        self._account, self._updates, self._connected = account, updates, connected
        self._offset: int | None = None
        self._pause = FIRST_PAUSE_SECONDS

    async def run(self) -> None:
        ready = False
        while True:
            try:
                if not ready:
                    await self._account.connect()
                    await self._account.bot.delete_webhook()
                    await self._connected(self._account)
                    ready = True
                began = asyncio.get_running_loop().time()
                batch = await self._ask()
                held = asyncio.get_running_loop().time() - began
            except TelegramError as error:
                await asyncio.sleep(self._trouble(error))
                continue
            again_from = await self._updates.batch(batch)
            if again_from is not None:
                self._offset = again_from
                await asyncio.sleep(self._longer_pause())
                continue
            numbers = [u["update_id"] for u in batch if isinstance(u, dict) and isinstance(u.get("update_id"), int)]
            self._offset = max(numbers) + 1 if numbers else self._offset
            if (batch and not numbers) or (not batch and held < FIRST_PAUSE_SECONDS):
                await asyncio.sleep(self._longer_pause())  # a server that does not hold the question open is not asked in a ring
                continue
            self._pause = FIRST_PAUSE_SECONDS

    async def _ask(self) -> list[Any]:
        """Updates as they came: ``Bot.get_updates`` would read them, and fail for all when one cannot be read."""
        question = {"timeout": str(POLL_SECONDS), "allowed_updates": json.dumps(KINDS)}
        if self._offset is not None:
            question["offset"] = str(self._offset)
        address = f"{self._account.bot.base_url}/getUpdates?{urlencode(question)}"
        answer = await self._account.polling.post(address, read_timeout=POLL_SECONDS + ANSWER_SECONDS)
        return answer if isinstance(answer, list) else []

    def _trouble(self, error: TelegramError) -> float:
        """Say what is wrong, and give how long to wait."""
        number = self._account.id
        match error:
            case InvalidToken():
                log.error("telegram: the token of bot %d is not accepted; ask BotFather for a new one and start again", number)
                return REFUSED_PAUSE_SECONDS
            case Conflict():
                log.error("telegram: somebody else asks for the news of bot %d, perhaps another Troupe with its token; stop one", number)
                return self._longer_pause()
            case RetryAfter():
                return seconds_of(error)
            case _:
                pause = self._longer_pause()
                log.warning("telegram: cannot be reached error=%s, next try in %.0f s", type(error).__name__, pause)
                return pause

    def _longer_pause(self) -> float:
        pause = self._pause
        self._pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return pause


class Webhook:
    """Where Telegram brings its news: one address for each account, known to both sides by a secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._accounts: dict[str, Updates] = {}
        self._runner: web.AppRunner | None = None

    def add(self, account: Account, updates: Updates) -> str:
        """Returns the path of the account's address."""
        path = f"/telegram/{account.id}"
        self._accounts[path] = updates
        return path

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises ``OSError``."""
        app = web.Application(client_max_size=LARGEST_BYTES)
        app.router.add_post("/telegram/{account}", self._hear)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=3.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _hear(self, request: web.Request) -> web.StreamResponse:
        """200 only when it is stored: anything else, and Telegram brings the update again."""
        given = request.headers.get(SECRET_HEADER, "")
        updates = self._accounts.get(request.path)
        if updates is None or not hmac.compare_digest(given.encode(), self._secret.encode()):
            return web.Response(status=403)
        try:
            update = await request.json()
        except (ValueError, UnicodeDecodeError):
            return web.Response(status=400)
        if await updates.batch([update]) is not None:
            return web.Response(status=503)
        return web.Response()


def _chat_of(update: dict[str, Any]) -> object:
    for kind in KINDS:
        content = update.get(kind)
        if isinstance(content, dict):
            message = content.get("message", content) if kind == "callback_query" else content
            chat = message.get("chat") if isinstance(message, dict) else None
            if isinstance(chat, dict) and isinstance(chat.get("id"), int):
                return chat["id"]
    return None
