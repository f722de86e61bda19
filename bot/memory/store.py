"""The door to the memory: everything that is stored, and nothing that is only thought of.

Subjects have a module each; a caller sees one ``Store``. Every call is one transaction, may come from any task of the
event loop, and raises ``StoreError`` (``StoreBusy`` when trying again can help) rather than giving less than there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL, Connection, Table, exc, func, make_url, select

from bot.config import MemorySettings
from bot.errors import StoreError
from bot.memory import schema
from bot.memory.blocks import Block, BlockKind, Blocks
from bot.memory.channels import Channels
from bot.memory.database import Database, sqlite_path
from bot.memory.deliveries import Deliveries, Delivery
from bot.memory.facts import Fact, Facts, Recap
from bot.memory.figures import BuildStanding, CharacterStanding, Comparison, ConsentCount, Figures
from bot.memory.forgetting import Forgetting, change_copy, forget_in
from bot.memory.lessons import Lesson, Lessons, Receipt, Take
from bot.memory.likenesses import Likeness, Likenesses, Spoken, withdraw
from bot.memory.moving import Moving
from bot.memory.people import Consent, ConsentKind, People, PersonRecord
from bot.memory.ratings import Rating, Ratings
from bot.memory.registry import CharacterRecord, Registry, Revision
from bot.memory.restoring import put_back
from bot.memory.retention import Retention
from bot.memory.signals import Report, Signal, SignalKind, Signals
from bot.memory.standing import Beside, LastTalk, Standing, Standings
from bot.memory.turns import PendingTurn, Turns
from bot.memory.upgrade import bring_up_to_date

__all__ = [
    "Beside",
    "Block",
    "BlockKind",
    "BuildStanding",
    "CharacterRecord",
    "CharacterStanding",
    "Comparison",
    "Consent",
    "ConsentCount",
    "ConsentKind",
    "Delivery",
    "Fact",
    "LastTalk",
    "Lesson",
    "Likeness",
    "PendingTurn",
    "PersonRecord",
    "Rating",
    "Recap",
    "Receipt",
    "Report",
    "Revision",
    "Signal",
    "SignalKind",
    "Spoken",
    "Standing",
    "Store",
    "StoreStatus",
    "Take",
]

FILE = "troupe.db"
BACKUPS = "backups"


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What is stored, in numbers."""

    turns: dict[str, int]  # state -> how many
    replies: dict[str, int]  # state -> how many
    people: int
    characters: int  # registered and not deleted
    facts: int
    file_bytes: int  # with the log; 0 where the database is not a file


class Store(
    Turns,
    Deliveries,
    Channels,
    People,
    Registry,
    Facts,
    Ratings,
    Signals,
    Likenesses,
    Lessons,
    Standings,
    Figures,
    Blocks,
    Forgetting,
    Retention,
    Moving,
):
    """Use ``await Store.open(...)``, and ``close`` at the end."""

    def __init__(self, database: Database, now: Callable[[], datetime], backups: Path) -> None:
        super().__init__(database, now)
        self.backups = backups

    @classmethod
    async def open(cls, settings: MemorySettings, data: Path, *, clock: Callable[[], datetime] | None = None) -> Store:
        """Open the database, make it if there is none, and bring it to this version.

        ``data`` is the folder that holds ``troupe.db`` and ``backups`` unless ``memory.url`` says otherwise.

        Raises:
            StoreNewer, StoreBusy, StoreError: it is left as it was; the sentence says what to do.
        """
        now = clock or _utc_now
        url = _url(settings, data)
        try:
            await bring_up_to_date(url, settings.busy_seconds, data / BACKUPS, now())
            database = Database(url, settings.busy_seconds)
        except ImportError as error:
            raise StoreError(f"memory.url needs the package {error.name}, which is not installed; pip install it") from error
        store = cls(database, now, data / BACKUPS)
        try:
            await database.write(lambda c: c.execute(select(1)))  # a file that cannot be written is better known now
        except StoreError:
            await store.close()
            raise
        return store

    @property
    def is_file(self) -> bool:
        """Whether copies are ours to make; another database has its own tools."""
        return self._database.path is not None

    async def close(self) -> None:
        """Finish what was begun and let go of the database. A second call does nothing."""
        await self._database.close()

    async def status(self) -> StoreStatus:
        registered = select(func.count()).select_from(schema.characters).where(schema.characters.c.deleted_at.is_(None))

        def work(connection: Connection) -> StoreStatus:
            return StoreStatus(
                turns=_by_state(connection, schema.turns),
                replies=_by_state(connection, schema.replies),
                people=connection.execute(select(func.count()).select_from(schema.people)).scalar_one(),
                characters=connection.execute(registered).scalar_one(),
                facts=connection.execute(select(func.count()).select_from(schema.facts)).scalar_one(),
                file_bytes=self._database.file_bytes(),
            )

        return await self._database.read(work)

    async def checkpoint(self) -> None:
        """Bring everything into the one file; after a deletion, so that the log does not keep what is gone."""
        await self._database.checkpoint()

    async def backup(self, to: Path) -> None:
        """Write a whole copy to ``to`` while the house goes on. To restore it, stop Troupe and put it in the database's place."""
        await self._database.backup(to)

    @staticmethod
    async def restore(settings: MemorySettings, data: Path, copy: Path, *, now: datetime) -> Path:
        """Put a copy in the database's place; returns where the database that was there is now. Nobody may have it open.

        Raises:
            StoreError: the copy is not whole, or something has the database open; nothing was changed.
        """
        path = sqlite_path(_url(settings, data))
        if path is None:
            raise StoreError("memory.url names no file; bring the copy back with the database's own tool, such as pg_restore")
        return await asyncio.to_thread(put_back, copy, path, data / BACKUPS, settings.busy_seconds, now)

    async def forget_in_backups(self, person_id: str) -> int:
        """Take a person out of every copy in the backups folder too; returns in how many they were.

        Raises:
            StoreError: a copy could not be read or changed; the others were.
        """
        named = person_id.partition(":")[2] or person_id
        return await asyncio.to_thread(_forget_in_copies, self.backups, named, lambda c: forget_in(c, person_id))

    async def withdraw_likeness_in_backups(self, scope: str, slug: str) -> int:
        """The same for a character made from somebody's messages: no copy that is put back brings it back."""
        return await asyncio.to_thread(_forget_in_copies, self.backups, slug, lambda c: withdraw(c, scope, slug))


def _forget_in_copies(folder: Path, named: str, take_away: Callable[[Connection], object]) -> int:
    changed, failed = 0, []
    for copy in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            changed += change_copy(copy, named, take_away)
        except OSError as error:
            failed.append(f"{copy} ({error.strerror})")
    if failed:
        raise StoreError(f"somebody was forgotten, but not in {', '.join(failed)}; delete that by hand")
    return changed


def _url(settings: MemorySettings, data: Path) -> URL:
    if not settings.url:
        return URL.create("sqlite+aiosqlite", database=str(data / FILE))
    try:
        url = make_url(settings.url)
    except exc.ArgumentError as error:
        raise StoreError("memory.url is not an address of a database; write sqlite+aiosqlite:///FILE or postgresql+asyncpg://…") from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"memory.url names {url.get_backend_name()}; only sqlite+aiosqlite and postgresql+asyncpg are known")
    if sqlite_path(url) is not None and url.database in (None, "", ":memory:"):
        raise StoreError("memory.url names no file: what is only in memory would be lost at the end; write sqlite+aiosqlite:///FILE")
    return url


def _by_state(connection: Connection, table: Table) -> dict[str, int]:
    counted = connection.execute(select(table.c.state, func.count().label("rows")).group_by(table.c.state))
    return {row.state: row.rows for row in counted}


def _utc_now() -> datetime:
    return datetime.now(UTC)
