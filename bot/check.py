"""Is everything there, and what is to be done: the ``troupe check`` command.

Examines without changing anything, so it can be run beside a serving Troupe.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bot.characters.cast import Cast
from bot.config import Config
from bot.engine import models, native
from bot.errors import BotError
from bot.house import somebody_speaks
from bot.voice.recording import Recorder

LEAST_FREE_BYTES = 500 * 1024 * 1024  # the starter model, the database and a backup of it


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``what`` says how it is, and what to do where that is not as it should be."""

    about: str
    ok: bool
    what: str


def examine(config: Config, path: Path) -> list[Finding]:
    """Everything, in the order in which a start needs it."""
    looks: Iterable[tuple[str, Callable[[], str]]] = (
        ("settings", lambda: f"{path} is as it should be"),
        ("characters", lambda: _characters(config)),
        ("data", lambda: _data(config)),
        ("model", lambda: _model(config)),
        ("GPU", _gpu),
        ("page", lambda: _page(config)),
        ("voice", lambda: _voice(config)),
    )
    return [*(_look(about, look) for about, look in looks), *_discord(config), *_telegram(config)]


def show(findings: Iterable[Finding], console: Console) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    for finding in findings:
        table.add_row("[green]✓[/green]" if finding.ok else "[red]✗[/red]", finding.about, finding.what)
    console.print(table)


def _look(about: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(about, ok=True, what=look())
    except BotError as error:
        return Finding(about, ok=False, what=str(error))


def _characters(config: Config) -> str:
    cast = Cast.load(config.paths.characters, config.characters)
    if cast.problems:
        raise BotError("; ".join(cast.problems))
    if not cast.house:
        raise BotError(f"{config.paths.characters} holds nobody; set paths.characters to a folder with characters")
    lines = sum(len(c.lines) for c in cast.house)
    return f"{len(cast.house)} characters with {lines} lines; awake at first: {', '.join(c.name for c in cast.house if c.settings.awake)}"


def _data(config: Config) -> str:
    folder = config.paths.data
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not os.access(existing, os.W_OK):
        raise BotError(f"{existing} cannot be written; set paths.data to a folder of yours")
    free = shutil.disk_usage(existing).free
    if free < LEAST_FREE_BYTES:
        raise BotError(f"{existing} has {free // 2**20} MB left; Troupe wants {LEAST_FREE_BYTES // 2**20} MB")
    return f"{folder} can be written, {free // 2**30} GB free"


def _model(config: Config) -> str:
    if config.engine.remote.base_url:
        return f"answers come from {config.engine.remote.base_url}"
    found = models.find_model(config.engine.model, config.paths.models)
    return f"{found.build}, {found.path.stat().st_size // 2**20} MB, from {found.path.name}"


def _page(config: Config) -> str:
    from bot.connectors.web_security import reachable_by_others, read_tokens

    tokens = read_tokens(config.web)
    if reachable_by_others(config.web) or tokens.visitor:
        return "whoever opens the page is asked for a token"
    who = "whoever has the operators' token" if tokens.operator else "whoever sits here"
    return f"only this machine reaches it; the control room is for {who}"


def _voice(config: Config) -> str:
    """Silence is no fault."""
    if not somebody_speaks(config.voice):
        return "nobody speaks aloud; install espeak-ng, or name a speech server under [voice]"
    recorded = "voice messages are Ogg/Opus" if Recorder.find() is not None else "voice messages go as files: libsndfile is missing"
    return f"characters speak by {config.voice.base_url or config.voice.espeak}; {recorded}"


def _gpu() -> str:
    if native.supports_gpu():
        return "llama.cpp can offload to the GPU; engine.gpu_layers decides how much"
    return "this llama.cpp was built for the CPU; for a GPU, run once: TROUPE_GPU=cuda make run (or metal, vulkan)"


def _discord(config: Config) -> list[Finding]:
    from bot.connectors.discord_chat import bot_token  # the platforms' libraries are loaded only to be asked
    from bot.connectors.discord_check import discord_facts

    token = bot_token(config.discord)
    if token is None:
        return [Finding("Discord", ok=True, what=f"not joined; set {config.discord.token_env} to a bot's token to join")]
    try:
        facts = asyncio.run(discord_facts(config.discord, token, voiced=somebody_speaks(config.voice)))
    except BotError as error:
        return [Finding("Discord", ok=False, what=str(error))]
    who = f"{facts.bot} is in {len(facts.servers)} servers; invite it with {facts.invite}"
    return [Finding("Discord", ok=True, what=who), *(Finding("Discord", ok=False, what=problem) for problem in facts.problems)]


def _telegram(config: Config) -> list[Finding]:
    from bot.connectors.telegram_chat import examine as examine_telegram

    try:
        facts = asyncio.run(examine_telegram(config.telegram))
    except BotError as error:
        return [Finding("Telegram", ok=False, what=str(error))]
    return [Finding("Telegram", ok=fact.ok, what=fact.what) for fact in facts]
