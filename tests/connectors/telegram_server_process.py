"""A Troupe on Telegram as a process of its own, to be killed: ``python -m tests.connectors.telegram_server_process CONFIG``."""

import asyncio
import sys
from pathlib import Path

from bot.config import load_config
from bot.connectors.telegram_chat import TelegramChat
from bot.house import open_house
from tests.connectors.telegram_stage import brisk
from tests.loopback.telegram_server import TOKEN


async def main(path: Path) -> None:
    config = load_config(path)
    async with open_house(config) as house:
        chat = TelegramChat(config.telegram, house.desk, {"": TOKEN}, {}, pace=brisk)
        await chat.start()
        await house.router.take_up(chat.port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
