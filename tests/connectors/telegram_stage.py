"""A house with a Telegram beside it: real rooms, the real library, real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.config import Config
from bot.connectors.telegram_chat import TelegramChat
from bot.connectors.telegram_pace import Pace
from bot.house import House, open_house
from bot.messages import ChannelKey, Turn
from tests.house import settings
from tests.loopback.telegram_server import PATIENCE_SECONDS, TOKEN, LoopbackTelegram
from tests.loopback.telegram_world import Bot, Chat

MARA_TOKEN = "4343:mara"
GROUP, FORUM = -1_001_000_000_001, -1_001_000_000_002
BASIC = -1003
BRISK = 50


@dataclass
class Stage:
    telegram: LoopbackTelegram
    bot: Bot
    config: Config
    house: House = field(init=False)
    chat: TelegramChat = field(init=False)

    def __post_init__(self) -> None:
        world = self.telegram.world
        self.anna = world.add_person(5, "Anna", "anna_here")
        self.ben = world.add_person(6, "Ben")

    @property
    def private(self) -> Chat:
        return self.telegram.world.private(self.anna, self.bot)

    def group(self, *awake: str, chat_id: int = GROUP, **more: Any) -> Chat:
        chat = self.telegram.world.add_group(chat_id, "Harbour", self.anna, self.ben, **more)
        chat.members[self.bot.user["id"]] = "member"
        return chat

    def basic_group(self, *others: Bot) -> Chat:
        """A small group of the old kind, with the company's bot and others."""
        chat = self.group(chat_id=BASIC, kind="group")
        chat.members |= {bot.user["id"]: "member" for bot in others}
        return chat

    async def wake(self, chat: Chat, *slugs: str, topic: int = 0) -> None:
        key = f"{chat.id}/{topic}" if topic else str(chat.id)
        ids = [f"house/{slug}" for slug in slugs]
        await self.house.desk.store.set_awake(ChannelKey("telegram", key), ids)

    async def answered(self, chat: Chat, messages: int) -> list[str]:
        """What bots have said in a chat, once there are so many messages of theirs."""
        return await self.telegram.until(
            lambda: shown if len(shown := self.telegram.shown(chat)) >= messages else None, f"{messages} messages"
        )

    async def history(self, key: ChannelKey) -> list[Turn]:
        """What was said, once everything that was heard is answered: a message is seen a moment before it is stored."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                now = await self.house.desk.store.status()
                if not (now.turns.get("heard") or any(now.replies.get(state) for state in ("claimed", "opened", "final"))):
                    return await self.house.desk.store.history(key, None, limit=60)
                await asyncio.sleep(0.02)

    async def still_answers(self) -> None:
        """The end of every bad-input test."""
        before = len(self.telegram.shown(self.private))
        self.telegram.say(self.anna, self.private, "Are you there?")
        await self.answered(self.private, before + 1)


def brisk() -> Pace:
    """Telegram's limits in a world that is fifty times faster; ``test_telegram_pace`` is about them as they are."""
    return Pace(lambda: time.monotonic() * BRISK, lambda seconds: asyncio.sleep(seconds / BRISK))


def telegram_config(data: Path, model: Path, server: LoopbackTelegram, **sections: dict[str, Any]) -> Config:
    ours = {"api_base": server.api_base, "file_base": server.file_base, "private_streaming": "none"}
    sections.setdefault("voice", {"engine": "none"})  # whether or not this machine has espeak-ng
    sections["telegram"] = ours | sections.get("telegram", {})
    return settings(data / "data", data / "gguf", str(model), **sections)


@asynccontextmanager
async def stage(
    data: Path, model: Path, server: LoopbackTelegram | None = None, *, environment: dict[str, str] | None = None, **sections: Any
) -> AsyncIterator[Stage]:
    """Everything open, and Telegram connected."""
    async with LoopbackTelegram() as fresh:
        own = server or fresh
        bot = own.world.bots.get(TOKEN) or own.world.add_bot(TOKEN, "Troupe", "troupe_bot", reads_all=sections.pop("reads_all", False))
        for slug, token in (environment or {}).items():
            if slug != "secret":
                own.world.add_bot(token, slug.split("-")[0].title(), f"{slug.replace('-', '_')}_bot")
        here = Stage(own, bot, telegram_config(data, model, own, **sections))
        async with open_serving(here, environment):
            yield here
        assert own.problems == [], own.problems[:5]


@asynccontextmanager
async def open_serving(here: Stage, environment: dict[str, str] | None = None) -> AsyncIterator[None]:
    async with open_house(here.config) as house:
        here.house = house
        tokens = {"": TOKEN, **{slug: token for slug, token in (environment or {}).items() if slug != "secret"}}
        here.chat = TelegramChat(
            here.config.telegram, house.desk, tokens, {"TELEGRAM_WEBHOOK_SECRET": (environment or {}).get("secret", "")}, pace=brisk
        )
        await here.chat.start()
        try:
            await house.router.take_up(here.chat.port)
            yield
        finally:
            await here.chat.stop()
