"""aiosqlite with one errand to its thread for each statement.

SQLAlchemy asks an aiosqlite cursor four things for one statement: to be made, to execute, for its rows, to close. Each is an errand to
the connection's thread and back, and costs more than the statement itself, of which a turn has some thirty.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import aiosqlite

_CHUNK = 64  # aiosqlite's own default; nothing here reads in chunks


class OneErrandConnection(aiosqlite.Connection):
    """What SQLAlchemy's ``async_creator_fn`` is asked for: awaited, it is open. Its thread ends with the process."""

    def __init__(self, database: str, **options: Any) -> None:
        super().__init__(partial(sqlite3.connect, database, **options), _CHUNK)
        self._thread.daemon = True  # as SQLAlchemy does for the connections it makes itself

    def cursor(self) -> OneErrandCursor:  # type: ignore[override]
        return OneErrandCursor(self)


class OneErrandCursor:
    """As much of an asynchronous cursor as SQLAlchemy uses. Rows are all read when ``execute`` returns, as SQLAlchemy does anyway."""

    def __init__(self, connection: OneErrandConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Self:
        return await self._on_thread(lambda cursor: cursor.execute(statement, parameters))

    async def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> Self:
        return await self._on_thread(lambda cursor: cursor.executemany(statement, rows))

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Closed already: where the rows were read."""

    async def _on_thread(self, run: Callable[[sqlite3.Cursor], object]) -> Self:
        await self._connection._execute(self._run, run)  # type: ignore[no-untyped-call]
        return self

    def _run(self, run: Callable[[sqlite3.Cursor], object]) -> None:
        cursor = self._connection._conn.cursor()
        try:
            run(cursor)
            self._rows = cursor.fetchall() if cursor.description else []
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()
