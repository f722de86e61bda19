"""`troupe run` on the loopback Discord as a process of its own, which can be killed at any moment."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.config import Config

HERE = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def troupe_process(config: Config, token: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Started; killed at the end if it still lives."""
    path = config.paths.data / "config.toml"
    values = config.model_dump(mode="json")
    values["web"]["port"] = 0
    path.write_text("\n".join(_toml(values)), encoding="utf-8")
    environment = {**os.environ, "DISCORD_BOT_TOKEN": token, "PYTHONPATH": str(HERE), "PYTHONWARNINGS": "ignore"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bot", "run", "--config", str(path), cwd=HERE, env=environment)
    try:
        yield process
    finally:
        await kill(process)


async def kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.wait()


def _toml(section: Mapping[str, Any], name: str = "") -> list[str]:
    """The settings as a file: JSON's plain values are TOML's as well."""
    tables = {key: value for key, value in section.items() if isinstance(value, dict)}
    plain = {key: value for key, value in section.items() if key not in tables and value is not None}
    lines = [f"[{name}]"] if name else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for key, table in tables.items():
        lines += _toml(table, f"{name}.{key}" if name else key)
    return lines
