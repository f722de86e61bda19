"""A copy in the database's place: whole or not at all, and what was there before is kept."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime

import pytest

from bot.config import MemorySettings
from bot.errors import StoreError
from bot.memory.store import Store

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MARA = "house/mara-quill"


async def restore(tmp_path, copy):
    return await Store.restore(MemorySettings(busy_seconds=0.2), tmp_path, copy, now=NOW)


async def texts(store, lobby):
    return [t.text for t in await store.history(lobby, None, limit=99)]


@pytest.fixture
async def copied(open_store, said, tmp_path):
    """A copy with one turn; the database beside it has two."""
    store = await open_store()
    await store.remember(said("m1", "in the copy"), [MARA])
    copy = tmp_path / "backups" / "copy.db"
    await store.backup(copy)
    await store.remember(said("m2", "said since"), [MARA])
    await store.close()
    return copy


async def test_a_copy_takes_the_databases_place_and_the_old_one_is_kept(copied, open_store, lobby, tmp_path, said):
    aside = await restore(tmp_path, copied)

    store = await open_store()
    assert await texts(store, lobby) == ["in the copy"]
    await store.remember(said("m3", "and it goes on"), [MARA])
    with closing(sqlite3.connect(aside)) as old:
        assert old.execute("SELECT text FROM turns ORDER BY id").fetchall() == [("in the copy",), ("said since",)]
    assert copied.exists()


async def test_the_log_of_the_old_database_does_not_leak_into_the_new_one(copied, open_store, lobby, tmp_path):
    """A killed process leaves a write-ahead log; beside another file it would be read as that one's."""
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute(\"UPDATE turns SET text = 'from the log'\"); c.commit(); os._exit(9)"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, str(tmp_path / "troupe.db")], check=False)
    assert (tmp_path / "troupe.db-wal").stat().st_size > 0

    aside = await restore(tmp_path, copied)

    assert await texts(await open_store(), lobby) == ["in the copy"]
    with closing(sqlite3.connect(aside)) as old:
        assert old.execute("SELECT DISTINCT text FROM turns").fetchall() == [("from the log",)]


async def test_a_damaged_database_is_replaced_and_kept_as_it_is(copied, open_store, lobby, tmp_path):
    damaged = b"SQLite format 3\x00" + b"\xff" * 8192
    (tmp_path / "troupe.db").write_bytes(damaged)

    aside = await restore(tmp_path, copied)

    assert aside.read_bytes() == damaged
    assert await texts(await open_store(), lobby) == ["in the copy"]


async def test_where_there_is_no_database_a_copy_makes_one(copied, open_store, lobby, tmp_path):
    (tmp_path / "troupe.db").unlink()

    assert not (await restore(tmp_path, copied)).exists()
    assert await texts(await open_store(), lobby) == ["in the copy"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no such file"),
        (b"", "is damaged, or is not a database"),
        (b"not a database at all" * 100, "is damaged, or is not a database"),
        ("half", "is damaged"),
        ("other", "not one of Troupe"),
        ("newer", "newer Troupe"),
    ],
)
async def test_what_is_no_whole_copy_is_refused_and_nothing_changes(copied, open_store, lobby, tmp_path, content, sentence):
    bad = tmp_path / "bad.db"
    if content == "half":
        whole = copied.read_bytes()
        bad.write_bytes(whole[: len(whole) // 2])
    elif content in ("other", "newer"):
        if content == "newer":
            bad.write_bytes(copied.read_bytes())
        with closing(sqlite3.connect(bad)) as connection:
            statement = "CREATE TABLE recipes (name TEXT)" if content == "other" else "UPDATE alembic_version SET version_num = '9999'"
            connection.execute(statement)
            connection.commit()
    elif content is not None:
        bad.write_bytes(content)

    with pytest.raises(StoreError, match=sentence):
        await restore(tmp_path, bad)

    assert await texts(await open_store(), lobby) == ["in the copy", "said since"]


async def test_a_database_that_somebody_has_open_is_not_exchanged(copied, open_store, lobby, tmp_path):
    store = await open_store()

    with pytest.raises(StoreError, match="is open in another process"):
        await restore(tmp_path, copied)

    assert await texts(store, lobby) == ["in the copy", "said since"]
