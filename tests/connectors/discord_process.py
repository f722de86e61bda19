"""Troupe on Discord as a process of its own, which can be killed at any moment."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.config import Config
from bot.connectors.discord_chat import DiscordChat
from bot.house import open_house

HERE = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def troupe_process(config: Config, token: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Started; killed at the end if it still lives."""
    environment = {**os.environ, "DISCORD_BOT_TOKEN": token, "PYTHONPATH": str(HERE), "PYTHONWARNINGS": "ignore"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.connectors.discord_process", stdin=asyncio.subprocess.PIPE, cwd=HERE, env=environment
    )
    assert process.stdin is not None
    process.stdin.write(config.model_dump_json().encode())
    process.stdin.close()
    try:
        yield process
    finally:
        await kill(process)


async def kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.wait()


async def _serve(config: Config) -> None:
    async with open_house(config) as house:
        chat = DiscordChat(config.discord, house.desk, os.environ["DISCORD_BOT_TOKEN"])
        await chat.start()
        await house.router.take_up(chat.port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Config.model_validate(json.load(sys.stdin))))
