"""Retraining by schedule: when enough was chosen, edited and rated, the trainer runs beside the house, and gives way to it.

A process of its own: the bot never loads the trainer's libraries, and a killed run is taken up where it was. The new build is
noticed in ``gguf/current`` like any other.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.config import Config
from bot.errors import BotError, ConfigError
from bot.memory.collected import RUNS
from bot.memory.store import Store

log = logging.getLogger(__name__)

STATE = "learning.json"
LOG = "retrain.log"
KEPT_ASIDE = "is not served and stays in"  # the trainer's words for a build that did not pass its gate
END_SECONDS = 5.0  # for a trainer that was told to stop; its checkpoints are whole either way


@dataclass(frozen=True, slots=True)
class Loop:
    """The newest retraining. ``ended``: "" while it runs, or was stopped on its way."""

    run: str = ""
    began: str = ""  # ISO 8601, UTC
    ended: str = ""


async def learn(store: Store, config: Config, now: datetime) -> str:
    """Retrain if there is enough to learn from, or go on with a retraining that was stopped. Returns what was done.

    Raises:
        ConfigError: it cannot be begun.
        BotError: it failed; the sentence is the trainer's.
    """
    data = config.paths.data
    last = await asyncio.to_thread(read_loop, data)
    if last.run and not last.ended:
        return await _run(config, last)
    since = datetime.fromisoformat(last.began) if last.began else datetime.fromtimestamp(0, UTC)
    given = await store.preferences_since(since)
    if given < config.training.new_pairs:
        return f"{given} new preferences of {config.training.new_pairs}"
    return await _run(config, Loop(f"loop-{now:%Y%m%d-%H%M%S}", now.isoformat()))


async def _run(config: Config, loop: Loop) -> str:
    words = command(config, loop.run)
    data = config.paths.data
    folder = data / RUNS / loop.run
    await asyncio.to_thread(_begin, data, folder, loop)
    log.info("retraining run=%s", loop.run)
    with (folder / LOG).open("ab") as told:
        process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL, stdout=told, stderr=told)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
    last = await asyncio.to_thread(_last_line, folder / LOG)
    await asyncio.to_thread(_write, data, Loop(loop.run, loop.began, last or f"exit {code}"))
    if code and KEPT_ASIDE not in last:
        raise BotError(f"retraining failed: {last.removeprefix('troupe-train retrain: ')}; all of it is in {folder / LOG}")
    return last.removeprefix("troupe-train retrain: ")


def command(config: Config, run: str) -> Sequence[str]:
    """What is carried out; an operator could type it.

    Raises:
        ConfigError: the trainer is not installed, or there is no config.toml for it to read.
    """
    if importlib.util.find_spec("trl") is None:
        raise ConfigError("training.retrain_hours needs the trainer; run: pip install 'troupe[trainer]', or set it to 0")
    if config.file is None:
        raise ConfigError("training.retrain_hours needs a config.toml that the trainer can read too")
    training = config.training
    words = ["retrain", "--run", run, "--name", run, "--runs", str(config.paths.data / RUNS), "--config", str(config.file)]
    words += ["--nice", str(training.niceness), "--tokens", str(training.tokens), "--method", training.method]
    words += ["--approved-only", str(training.approved_only)]
    words += ["--judge", training.judge, "--judge-model", training.judge_model, "--judge-key-env", training.judge_key_env]
    return (sys.executable, "-m", "trainer", *words)


def read_loop(data: Path) -> Loop:
    """What is known of the newest retraining; nothing where the file cannot be read."""
    try:
        told = json.loads((data / STATE).read_text(encoding="utf-8"))
        return Loop(**{name: str(told.get(name, "")) for name in Loop.__slots__})
    except FileNotFoundError:
        return Loop()
    except (OSError, ValueError, AttributeError) as error:
        log.warning("the last retraining is not known error=%s", type(error).__name__)
        return Loop()


def _begin(data: Path, folder: Path, loop: Loop) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write(data, loop)


def _write(data: Path, loop: Loop) -> None:
    partial = data / f"{STATE}.partial"
    partial.write_text(json.dumps(asdict(loop)), encoding="utf-8")
    partial.replace(data / STATE)


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


async def _end(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
