"""What ``troupe data`` and ``troupe jobs`` do: the database without the rest of the house, beside a running server too."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from bot.commands import privacy
from bot.commands.build_report import build_report
from bot.config import Config
from bot.errors import CommandRefused, ConfigError
from bot.house import serving
from bot.jobs.backups import copy_name
from bot.jobs.jobs import Job, Ran, read_runs
from bot.jobs.plan import planned
from bot.memory.store import ConsentKind, Store
from bot.messages import Person
from bot.sessions.company import OPEN_PLATFORMS

_PERSON = re.compile(r"terminal|(web|discord|telegram):\S{1,100}")


async def jobs_table(config: Config) -> Table:
    """Every job with its last and next run. A server that runs keeps the file up to date."""
    async with _store(config) as store:
        jobs = planned(config, store)
    runs = read_runs(config.paths.data)
    table = Table(box=None, pad_edge=False)
    for heading in ("job", "does", "every", "last run", "next run", "came of it"):
        table.add_column(heading)
    for job in jobs:
        table.add_row(*_row(job, runs.get(job.name, Ran())))
    return table


async def status(config: Config, person: str | None) -> str:
    async with _store(config) as store:
        if person is not None:
            return str(await privacy.status_of(store, _known(person)))
        stored = await store.status()
        copies = sorted(f.name for f in store.backups.glob("*.db")) if store.backups.is_dir() else []
    return "\n".join(
        [
            f"turns: {_counted(stored.turns)}",
            f"replies: {_counted(stored.replies)}",
            f"people: {stored.people:,}; registered characters: {stored.characters:,}; facts: {stored.facts:,}",
            f"size: {stored.file_bytes / 1e6:.1f} MB",
            f"copies: {len(copies)}" + (f", the newest is {copies[-1]}" if copies else ""),
        ]
    )


async def backup(config: Config) -> str:
    """A copy beyond those of the schedule's; it counts as one of them when the oldest give way."""
    async with _store(config) as store:
        to = store.backups / copy_name(datetime.now(UTC))
        await store.backup(to)
    return f"{to} has everything up to now ({to.stat().st_size / 1e6:.1f} MB)."


async def restore(config: Config, copy: Path) -> str:
    """Raises ``ConfigError`` while a server has the data folder, ``StoreError`` when the copy is not whole."""
    with serving(config.paths.data):
        aside = await Store.restore(config.memory, config.paths.data, copy, now=datetime.now(UTC))
        async with _store(config) as store:  # brings an older copy to this version
            turns = sum((await store.status()).turns.values())
    kept = f" What was there before is {aside}." if aside.exists() else ""
    return f"The database is {copy.name} now, with {turns:,} turns.{kept}"


async def export(config: Config, person: str) -> str:
    """Into the current folder, readable by its owner alone."""
    async with _store(config) as store:
        name, data = await privacy.export_of(store, _known(person))
    await asyncio.to_thread(_write, Path(name), data)
    return f"{name} has everything that is stored about {person}."


async def consent(config: Config, person: str, kind: ConsentKind, answer: str) -> str:
    """A withdrawal may be noted for anybody. Only who sits at this machine can be agreed for here: nobody agrees for others.

    Raises:
        CommandRefused: it is somebody else's to say.
    """
    _known(person)
    granted = answer == "yes"
    if granted and person.partition(":")[0] not in OPEN_PLATFORMS:
        raise CommandRefused(f"only {person} can agree to that, with /privacy consent; here a refusal can be noted, with: no")
    async with _store(config) as store:
        known = await store.person(person)
        who = Person(person, known.name if known is not None else person)
        await store.record_consent(who, kind, granted, channel=None, wording=privacy.WORDINGS[kind].version)
        reached = "" if granted or kind != "train" else privacy.told_of(await privacy.leave_training(store, config.paths.models, person))
    return f"{person}: {kind} is {'allowed' if granted else 'refused'} from the next message on.{reached}"


async def forget(config: Config, person: str) -> str:
    async with _store(config) as store:
        rows = await store.forget(_known(person))
        await asyncio.to_thread(privacy.note_forgetting, config.paths.data)
        return str(await privacy.forget_traces(store, config.paths.models, person, rows))


async def model_report(config: Config, name: str) -> str:
    """What is known of one build. Raises ``CommandRefused``: there is no such model."""
    async with _store(config) as store:
        return await build_report(store, config.paths.models, name)


@asynccontextmanager
async def _store(config: Config) -> AsyncIterator[Store]:
    store = await Store.open(config.memory, config.paths.data)
    try:
        yield store
    finally:
        await store.close()


def _known(person: str) -> str:
    if not _PERSON.fullmatch(person):
        raise ConfigError(f"{person!r} is not a person; write terminal, web:…, discord:<user id> or telegram:<user id>")
    return person


def _write(file: Path, data: bytes) -> None:
    try:
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}; move it away, or run this in another folder") from error


def _counted(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "none"


def _row(job: Job, ran: Ran) -> tuple[str, ...]:
    hours = job.every.total_seconds() / 3600
    came = f"failed {ran.failed} times: {ran.error}" if ran.error else ran.did
    return job.name, job.about, f"{hours:g} h", _shown(ran.last) or "never", _shown(ran.next) or "when Troupe serves", came


def _shown(moment: str) -> str:
    return f"{moment[:16].replace('T', ' ')} UTC" if moment else ""
