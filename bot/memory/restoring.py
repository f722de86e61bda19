"""Putting a copy in the database's place. Everything here blocks."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from bot.errors import StoreError
from bot.memory.database import copy_file
from bot.memory.upgrade import judge_copy


def put_back(copy: Path, database: Path, backups: Path, busy_seconds: float, now: datetime) -> Path:
    """``database`` becomes what ``copy`` holds; what was there moves to the returned path, damaged or not.

    The exchange is one rename: after a crash there is the old database or the new one.

    Raises:
        StoreError: the copy is no whole database of Troupe, somebody has the database open, or there is no room.
    """
    if not copy.is_file():
        raise StoreError(f"{copy}: there is no such file; the copies are in {backups}")
    judge_copy(copy, busy_seconds)
    backups.mkdir(parents=True, exist_ok=True)
    aside = backups / f"{database.stem}-{now:%Y%m%d-%H%M%S}-before-restore{database.suffix}"
    if database.exists():
        _close_log(database, busy_seconds)
        with suppress(FileNotFoundError):  # of an earlier restore in the same second
            aside.unlink()
        _keep(database, aside)
    copy_file(copy, database, busy_seconds)
    return aside


def _close_log(database: Path, busy_seconds: float) -> None:
    """Bring the write-ahead log into the file and remove it: beside another file it would be read as that one's.

    Only whoever has the database alone may do that, so this also finds out whether somebody else has it open. The log of a
    damaged database cannot be brought in, and is of no use either.
    """
    try:
        with closing(sqlite3.connect(database, timeout=busy_seconds)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError(
                f"{database} is open in another process (a chat in a terminal?); close that, and nothing was changed"
            ) from error
    for beside in ("-wal", "-shm"):
        database.with_name(database.name + beside).unlink(missing_ok=True)


def _keep(database: Path, aside: Path) -> None:
    try:
        os.link(database, aside)  # costs no room, and a damaged file is kept as it is
    except OSError:
        try:
            aside.write_bytes(database.read_bytes())  # a file system without second names
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise StoreError(f"{aside} could not be written ({error.strerror}); nothing was changed") from error
