"""Bring a database to this version of Troupe, or refuse it and leave it alone.

All steps run in one transaction: after a crash the database is the old one or the new one. Before an existing file is
changed, a copy goes to the backups folder.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, inspect, text

from bot.errors import StoreError, StoreNewer
from bot.memory.database import copy_file, damaged, dangling_rows, migration_engine, read_only, shown, sqlite_path, translating

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION_TABLE = "alembic_version"
_FIRST_BYTES = b"SQLite format 3\x00"


async def bring_up_to_date(url: URL, busy_seconds: float, backups: Path, now: datetime, *, migrations: Path = MIGRATIONS) -> None:
    """Create the tables, or change them from an older version.

    Several processes may do this at once; one of them does the work.

    Raises:
        StoreNewer: a newer Troupe wrote it.
        StoreError: it is damaged, somebody else's, or cannot be opened.
    """
    config = _config(migrations)
    path = sqlite_path(url)
    if path is not None and await asyncio.to_thread(_prepare_file, path, url, config, busy_seconds, backups, now):
        return
    engine = migration_engine(url, busy_seconds)
    try:
        with translating(url):
            async with engine.begin() as connection:
                await connection.run_sync(_migrate, config, shown(url))
    finally:
        await engine.dispose()


def judge_copy(path: Path, busy_seconds: float, *, migrations: Path = MIGRATIONS) -> None:
    """Whether a file is a whole database of this Troupe or an older one. Blocking; reads all of it.

    Raises:
        StoreNewer, StoreError: it is not, in a sentence.
    """
    url = URL.create("sqlite", database=str(path))
    steps = ScriptDirectory.from_config(_config(migrations))
    if _version_of_file(path, url, steps, busy_seconds, look="integrity_check(1)") is None:
        raise StoreError(f"{path} is an empty database; name a copy from the backups folder")


def _config(migrations: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))  # the file format knows %(name)s
    config.set_main_option("path_separator", "os")
    return config


def _prepare_file(path: Path, url: URL, config: Config, busy_seconds: float, backups: Path, now: datetime) -> bool:
    """Look at the file, and copy it if it is older. True: it is of this version already. Blocking."""
    if not _holds_something(path):
        _create_file(path)
        return False
    steps = ScriptDirectory.from_config(config)
    head = steps.get_current_head()
    version = _version_of_file(path, url, steps, busy_seconds)
    if version is None or version == head:
        return version is not None
    copy = backups / f"{path.stem}-{now:%Y%m%d-%H%M%S}-before-{head}{path.suffix}"
    copy_file(path, copy, busy_seconds)
    log.info("memory migrates from=%s to=%s copy=%s", version, head, copy)
    return False


def _migrate(connection: Connection, config: Config, where: str) -> None:
    tables = set(inspect(connection).get_table_names())
    versions = []
    if _VERSION_TABLE in tables:
        versions = list(connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalars())
    _judge(tables, versions, ScriptDirectory.from_config(config), where)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if dangling_rows(connection):
        raise StoreError(f"{where} has rows that point at nothing; it was left as it is. Put a copy from the backups folder in its place")


def _judge(tables: Iterable[str], versions: list[str], steps: ScriptDirectory, where: str) -> str | None:
    """The version of the database; None when it has no tables yet."""
    others = set(tables) - {_VERSION_TABLE}
    if not versions:
        if others:
            raise StoreError(
                f"{where} is a database, but not one of Troupe (it has a table {min(others)}); "
                "it was left as it is. Name another file in memory.url, or move it away"
            )
        return None
    known = {step.revision for step in steps.walk_revisions()}
    if unknown := [version for version in versions if version not in known]:
        raise StoreNewer(
            f"{where} was written by a newer Troupe (its tables are at {unknown[0]}, this one knows {steps.get_current_head()}); "
            "it was left as it is. Update Troupe, or put a copy from the backups folder in its place"
        )
    return versions[0]


def _holds_something(path: Path) -> bool:
    """Whether there is a database in the file: SQLite itself leaves an empty one behind when a first start is cut short."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def _create_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # conversations; SQLite gives its log the same rights
    except OSError as error:
        raise StoreError(f"{path} cannot be made: {error.strerror}; give this user the right to write {path.parent}") from error


def _version_of_file(path: Path, url: URL, steps: ScriptDirectory, busy_seconds: float, look: str = "quick_check(1)") -> str | None:
    """Look at the file without being able to change it."""
    try:
        with path.open("rb") as file:
            if file.read(len(_FIRST_BYTES)) != _FIRST_BYTES:
                raise damaged(str(path))
        with translating(url), closing(read_only(path, busy_seconds)) as connection:
            if connection.execute(f"PRAGMA {look}").fetchone() != ("ok",):
                raise damaged(str(path))
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")} - {"sqlite_sequence"}
            versions = []
            if _VERSION_TABLE in tables:
                versions = [version for (version,) in connection.execute(f"SELECT version_num FROM {_VERSION_TABLE}")]
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}; give this user the right to read it") from error
    return _judge(tables, versions, steps, str(path))
