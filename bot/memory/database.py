"""The one border to SQLAlchemy's drivers: connections, transactions, errors, and what differs between databases.

The subject modules hand in plain functions of a ``Connection``; each runs in one transaction. All that is SQLite's own
stands here (pragmas, ``BEGIN IMMEDIATE``, checkpoint, online backup), so that everything above runs on PostgreSQL too.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, NullPool, Table, event, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bot.errors import StoreBusy, StoreError, StoreFull
from bot.memory.driver import OneErrandConnection
from bot.memory.schema import storable

log = logging.getLogger(__name__)

T = TypeVar("T")

_READERS = 4  # connections; one thread each
_WAL_BYTES = 64 * 1024 * 1024  # what the write-ahead log is cut back to after a burst


class Database:
    """Engines and the writer's turn. One per process and database; safe to call from any task of one event loop.

    SQLite lets one connection write at a time and answers "database is locked" to the others. Here every write of this
    process waits for one lock, in order of arrival, so that answer can only come from another process.
    """

    def __init__(self, url: URL, busy_seconds: float) -> None:
        self.url = url
        self.path = sqlite_path(url)
        self._busy_seconds = busy_seconds
        if self.path is not None:
            self._writer = _sqlite_engine(url, busy_seconds, begin="BEGIN IMMEDIATE", pool_size=1, max_overflow=0)
            self._reader = _sqlite_engine(url, busy_seconds, begin="BEGIN", read_only=True, pool_size=_READERS, max_overflow=0)
        else:
            self._writer = self._reader = create_async_engine(url, hide_parameters=True, json_serializer=_json)
        self._turn_to_write = asyncio.Lock()
        self._stuck_since = float("-inf")  # when the last write that met a lock began to wait
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on one consistent view of the database. Raises as ``write`` does."""
        return await self._finish(self._transact(self._reader, work))

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one transaction: all of it is stored, or nothing.

        Once called it is carried through even when the caller is cancelled: "sent" must not stay unwritten because
        somebody pressed stop in that millisecond.

        Raises:
            StoreBusy: another process held its lock for longer than ``memory.busy_seconds``.
            StoreFull: there is no room on the disk.
            StoreError: anything else; says what to do.
        """
        return await self._finish(self._write(work))

    def insert(self, table: Table) -> sqlite.Insert:
        """An INSERT that knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``.

        Both databases spell them alike, SQLAlchemy keeps them in two dialects.
        """
        if self.path is not None:
            return sqlite.insert(table)
        return postgresql.insert(table)  # type: ignore[return-value]  # same methods, see above

    async def checkpoint(self) -> None:
        """Move everything from SQLite's write-ahead log into the file, and empty the log."""
        if self.path is None:
            return
        with translating(self.url):
            async with self._turn_to_write:
                busy = await asyncio.to_thread(_checkpoint, self.path, self._busy_seconds)
        if busy:
            raise StoreBusy(f"{self.path}: somebody is still reading; the log was not emptied. Try again in a moment")

    async def backup(self, to: Path) -> None:
        """Write a whole, consistent copy to ``to``, while others go on reading and writing.

        Raises:
            StoreError: it could not be written, or the database is not a file (its own tools make the copy).
        """
        if self.path is None:
            raise StoreError(f"{shown(self.url)} is not a file; make the copy with the database's own tool, such as pg_dump")
        await asyncio.to_thread(copy_file, self.path, to, self._busy_seconds)

    def file_bytes(self) -> int:
        """How much room the database takes on disk, its log included; 0 where it is not a file."""
        if self.path is None:
            return 0
        beside = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in beside if file.exists())

    async def close(self) -> None:
        """Let what was begun end, then close every connection. A second call does nothing."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)
        await self._reader.dispose()
        await self._writer.dispose()

    async def _write(self, work: Callable[[Connection], T]) -> T:
        arrived = asyncio.get_running_loop().time()
        async with self._turn_to_write:
            # Whoever already stood here when the lock was met has waited as long as the one who met it; without this
            # a thousand waiting turns would be told one after the other, busy_seconds apart.
            if arrived <= self._stuck_since:
                raise _busy(self.url)
            began = asyncio.get_running_loop().time()
            try:
                return await self._transact(self._writer, work)
            except StoreBusy:
                self._stuck_since = began
                raise

    async def _transact(self, engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
        with translating(self.url):
            async with engine.begin() as connection:
                return await connection.run_sync(work)

    async def _finish(self, run: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            run.close()
            raise StoreError("the memory is closed; this came after the end")
        task = asyncio.create_task(run, name="memory transaction")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_of_failure)  # its caller is gone
            raise


def sqlite_path(url: URL) -> Path | None:
    """The database file, or None where the database is a server."""
    if url.get_backend_name() != "sqlite":
        return None
    return Path(url.database or "")


def shown(url: URL) -> str:
    """The database as it may be shown: a file's path, or a URL without its password."""
    return str(sqlite_path(url) or url.render_as_string(hide_password=True))


def migration_engine(url: URL, busy_seconds: float) -> AsyncEngine:
    """An engine for changing the tables themselves.

    Foreign keys are off on SQLite: changing a table there means building a new one and dropping the old, and dropping
    a parent with the keys on deletes its children. ``dangling_rows`` looks afterwards.
    """
    if sqlite_path(url) is None:
        return create_async_engine(url, hide_parameters=True, poolclass=NullPool)
    return _sqlite_engine(url, busy_seconds, begin="BEGIN IMMEDIATE", foreign_keys=False, poolclass=NullPool)


def dangling_rows(connection: Connection) -> bool:
    """Whether some row points at one that is not there. PostgreSQL never lets it come to that."""
    return connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None


def read_only(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """A plain connection that cannot change the file. For worker threads, not for the event loop."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=busy_seconds)


def copy_file(source: Path, to: Path, busy_seconds: float) -> None:
    """Copy a database that may be in use into one file, readable by the owner alone. Blocking.

    ``to`` appears when it is whole, and replaces what was there; a failure leaves nothing behind.
    """
    partial = to.with_name(to.name + ".partial")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        with closing(read_only(source, busy_seconds)) as here, closing(sqlite3.connect(partial)) as there:
            here.backup(there)  # all pages at once: in WAL mode this holds up no writer, and none makes it start again
            there.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(to)
    except (sqlite3.Error, OSError) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StoreError(f"the copy {to} could not be made: {error}; see that its folder can be written and has room") from error


@contextmanager
def translating(url: URL) -> Iterator[None]:
    """The border: whatever a driver raises inside leaves as a ``StoreError``."""
    try:
        yield
    except exc.DBAPIError as error:
        raise translated(error.orig, url) from error
    except sqlite3.Error as error:  # from a connection's first pragmas, and from plain connections
        raise translated(error, url) from error
    except exc.TimeoutError as error:  # every reading connection was in use for half a minute
        raise _busy(url) from error
    except OSError as error:  # a server that is not there
        raise StoreError(f"{shown(url)} cannot be reached: {error}") from error


def translated(error: BaseException | None, url: URL) -> StoreError:
    """What a driver's error means, as a sentence that says what to do. Never holds what people said."""
    where = shown(url)
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return StoreError(f"{where}: the database refused: {type(error).__name__}: {error}")
    match code & 0xFF:  # the low byte is the kind, the rest says where in SQLite it happened
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return _busy(url)
        case sqlite3.SQLITE_READONLY:
            return StoreError(f"{where} cannot be written; give this user the right to write the file and its folder")
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"{where}: the disk is full; nothing of this was stored. Make room, then go on")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(where)
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StoreError(f"{where} cannot be opened; see that it and its folder are there and may be read and written")
        case sqlite3.SQLITE_IOERR:
            return StoreFull(f"{where}: the disk could not be read or written ({error}); see whether it is full or failing")
        case sqlite3.SQLITE_TOOBIG:
            return StoreError(f"{where}: a text is longer than the database can hold; shorten it")
        case _:
            return StoreError(f"{where}: the database refused: {error}")


def damaged(where: str) -> StoreError:
    return StoreError(
        f"{where} is damaged, or is not a database; it was left as it is. "
        "Put a copy from the backups folder in its place, or move it away to start anew"
    )


def _busy(url: URL) -> StoreBusy:
    return StoreBusy(f"{shown(url)} is locked by another process; try again, or close what has it open")


def _sqlite_engine(
    url: URL, busy_seconds: float, *, begin: str, foreign_keys: bool = True, read_only: bool = False, **pool: Any
) -> AsyncEngine:
    # Every transaction here is committed or rolled back where it is begun: nothing is left for the pool to roll back.
    engine = create_async_engine(url, hide_parameters=True, json_serializer=_json, pool_reset_on_return=None, **pool)

    @event.listens_for(engine.sync_engine, "do_connect")
    def open_with_ours(_dialect: object, _record: object, _arguments: object, options: dict[str, Any]) -> None:
        options["async_creator_fn"] = OneErrandConnection

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # The driver's own idea of when a transaction begins leaves out SELECT and CREATE TABLE. SQLAlchemy's way
        # around it: no transactions by the driver, BEGIN by us.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(busy_seconds * 1000)}")
        cursor.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        if read_only:
            cursor.execute("PRAGMA query_only=ON")
        else:
            cursor.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not wait for each other
            # NORMAL syncs at checkpoints only: a killed process loses nothing, a power cut may lose the last moments
            # (never half of one) and with them the note that a reply was sent, which would then be sent again. FULL
            # costs one sync more for each write: 0.45 ms beside 1.07 ms on an SSD, about five times for a reply.
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten, not only unlinked
            cursor.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def open_transaction(connection: Connection) -> None:
        # IMMEDIATE takes the write lock at once. A transaction that reads first and asks for it later can be refused
        # without any waiting, because somebody else wrote in between.
        connection.exec_driver_sql(begin)

    return engine


def _checkpoint(path: Path, busy_seconds: float) -> bool:
    with closing(sqlite3.connect(path, timeout=busy_seconds)) as connection:
        busy, _log_pages, _moved = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return bool(busy)


def _json(value: Any) -> str:
    return storable(json.dumps(value, ensure_ascii=False))


def _tell_of_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("memory write failed after its caller was cancelled error=%s", error)
