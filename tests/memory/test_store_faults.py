"""A database that cannot be used says why and what to do, is left as it was, and works again afterwards."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import traceback
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bot.config import MemorySettings
from bot.errors import StoreBusy, StoreError, StoreNewer
from bot.memory.store import Store
from bot.messages import ChannelKey

MARA = "house/mara-quill"

LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(file: Path):
    process = subprocess.Popen([sys.executable, "-c", LOCKER, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "locked\n"
        yield
    finally:
        process.communicate()


@contextmanager
def mounted(*arguments: object, at: Path):
    """A mount for the time of a test; only root may do this, and not in every container."""
    if subprocess.run(["mount", *map(str, arguments), str(at)], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


@pytest.fixture
async def file(open_store, said, tmp_path):
    """A database with one turn, closed."""
    store = await open_store()
    await store.remember(said("m1", "before"), [MARA])
    await store.close()
    return tmp_path / "troupe.db"


async def still_answers(store, said, lobby, *, remembered=("before",)):
    await store.remember(said("after", "and it still answers"), [MARA])
    assert [t.text for t in await store.history(lobby, MARA, limit=10)] == [*remembered, "and it still answers"]


async def test_locked_by_another_process_is_busy_for_writers_and_nothing_for_readers(file, open_store, said, lobby):
    """Reading goes on; a write waits for busy_seconds, says so, and works when the other is gone."""
    store = await open_store()

    with locked_by_another_process(file):
        with pytest.raises(StoreBusy, match=r"troupe\.db is locked by another process; try again"):
            await store.remember(said("m2", "during"), [MARA])
        assert [t.text for t in await store.history(lobby, MARA, limit=10)] == ["before"]

    await still_answers(store, said, lobby)


async def test_a_thousand_turns_behind_a_lock_are_all_told_and_none_is_stored(file, open_store, said, lobby):
    """They have waited together: nobody waits busy_seconds once more for each one before them."""
    store = await open_store()

    with locked_by_another_process(file):
        loop = asyncio.get_running_loop()
        began = loop.time()
        results = await asyncio.gather(*(store.remember(said(f"m{n}"), [MARA]) for n in range(2, 1002)), return_exceptions=True)
        waits = (loop.time() - began) / 0.2  # in units of busy_seconds; one after the other it would be 1,000

    assert {type(result) for result in results} == {StoreBusy}
    assert waits < 100
    await still_answers(store, said, lobby)


async def test_opening_while_another_process_writes_is_busy_and_works_afterwards(file, open_store, said, lobby):
    with locked_by_another_process(file), pytest.raises(StoreBusy, match="is locked by another process"):
        await open_store()

    await still_answers(await open_store(), said, lobby)


async def test_a_newer_database_is_refused_and_not_touched(file, open_store, said, lobby):
    """Not one byte changes; with its own version it opens again."""
    with closing(sqlite3.connect(file)) as connection:
        (ours,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = file.read_bytes()

    with pytest.raises(StoreNewer, match=r"was written by a newer Troupe \(its tables are at 9999, this one knows .*Update Troupe"):
        await open_store()

    assert file.read_bytes() == before
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (ours,))
        connection.commit()
    await still_answers(await open_store(), said, lobby)


def garbage(whole: bytes) -> bytes:
    return b"This is a diary, not a database. " * 500


def half(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def holes(whole: bytes) -> bytes:
    """Every second page from the third on overwritten."""
    pages = [whole[at : at + 4096] for at in range(0, len(whole), 4096)]
    return b"".join(b"\xa5" * 4096 if n > 2 and n % 2 else page for n, page in enumerate(pages))


def first_bytes(whole: bytes) -> bytes:
    return whole[:40]


@pytest.mark.parametrize("damage", [garbage, half, holes, first_bytes])
async def test_a_damaged_file_is_refused_and_never_made_anew(file, open_store, said, lobby, damage):
    """What is in it may still be worth saving. A copy put in its place works."""
    whole = file.read_bytes()
    file.write_bytes(damage(whole))

    with pytest.raises(StoreError, match=r"is damaged, or is not a database; it was left as it is\. Put a copy from the backups folder"):
        await open_store()

    assert file.read_bytes() == damage(whole)
    file.write_bytes(whole)
    await still_answers(await open_store(), said, lobby)


async def test_pages_that_go_bad_while_the_house_is_open_are_an_error_and_not_an_empty_history(file, open_store, said, lobby):
    """Reading less than there is would be the worst answer."""
    whole = file.read_bytes()
    store = await open_store()
    file.write_bytes(holes(whole))  # before this connection has read them

    with pytest.raises(StoreError, match="is damaged"):
        await store.history(lobby, MARA, limit=10)

    await store.close()
    file.write_bytes(whole)
    for beside in file.parent.glob("troupe.db-*"):
        beside.unlink()
    await still_answers(await open_store(), said, lobby)


async def test_somebody_elses_database_is_refused_and_not_touched(open_store, said, lobby, tmp_path):
    file = tmp_path / "troupe.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()
    before = file.read_bytes()

    with pytest.raises(StoreError, match=r"not one of Troupe \(it has a table recipes\); it was left as it is"):
        await open_store()

    assert file.read_bytes() == before
    file.unlink()
    await still_answers(await open_store(), said, lobby, remembered=())


async def test_a_start_that_was_cut_short_before_the_first_table_goes_on(open_store, said, lobby, tmp_path):
    """SQLite leaves an empty file behind, or one with an empty table of versions."""
    (tmp_path / "troupe.db").touch()

    await still_answers(await open_store(), said, lobby, remembered=())


async def test_a_file_that_may_not_be_written_is_refused_at_the_start(file, open_store, said, lobby):
    """At the start, and not at the first message."""
    if os.geteuid() == 0:
        read_only = mounted("--bind", "-o", "ro", file.parent, at=file.parent)
    else:
        read_only = forbidden(file)

    with read_only, pytest.raises(StoreError, match=r"cannot be (opened|written)"):
        await open_store()

    await still_answers(await open_store(), said, lobby)


@contextmanager
def forbidden(file: Path):
    file.chmod(0o444)
    file.parent.chmod(0o555)
    try:
        yield
    finally:
        file.parent.chmod(0o755)
        file.chmod(0o644)


async def test_a_folder_that_cannot_be_made_is_named(open_store, said, lobby, tmp_path):
    (tmp_path / "data").write_text("a file where a folder should be")

    with pytest.raises(StoreError, match=r"data.troupe\.db cannot be (made|read)"):
        await open_store(tmp_path / "data")

    await still_answers(await open_store(), said, lobby, remembered=())


async def test_a_full_disk_loses_no_turn_that_was_stored_and_goes_on_when_there_is_room(open_store, said, lobby, tmp_path):
    """Filled to the last byte by turns of 10 kB, then emptied of something else."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=3m", "tmpfs", at=disk):
        (disk / "ballast").write_bytes(b"x" * 1_000_000)
        store = await open_store(disk)
        stored = []
        with pytest.raises(StoreError, match=r"the disk is full; nothing of this was stored\. Make room"):
            for n in range(1000):
                stored.append((await store.remember(said(f"m{n}", f"{n} " + "x" * 10_000), [MARA])).text)
        assert len(stored) > 10
        with pytest.raises(StoreError, match="the disk is full"):
            await store.remember(said("once more", "y" * 10_000), [MARA])
        assert [t.text for t in await store.history(lobby, MARA, limit=1000)] == stored

        (disk / "ballast").unlink()
        await still_answers(store, said, lobby, remembered=stored[-9:])
        await store.close()
        reopened = await open_store(disk)
        assert len(await reopened.history(lobby, MARA, limit=1000)) == len(stored) + 1
        await reopened.close()


async def test_a_copy_that_does_not_fit_is_refused_and_leaves_nothing_behind(store, said, lobby, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    await store.remember(said("m1", "x" * 500_000), [MARA])
    with mounted("-t", "tmpfs", "-o", "size=100k", "tmpfs", at=disk):
        with pytest.raises(StoreError, match=r"the copy .*copy\.db could not be made"):
            await store.backup(disk / "copy.db")
        assert list(disk.iterdir()) == []

    await store.remember(said("m2", "and it still answers"), [MARA])
    assert len(await store.history(lobby, MARA, limit=10)) == 2


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("troupe.db", "memory.url is not an address of a database"),
        ("mysql+aiomysql://localhost/troupe", "only sqlite\\+aiosqlite and postgresql\\+asyncpg are known"),
        ("sqlite+aiosqlite://", "names no file"),
        ("sqlite+aiosqlite:///:memory:", "names no file"),
        ("postgresql+asyncpg://troupe:secret@localhost/troupe", "needs the package asyncpg"),
    ],
)
async def test_an_address_that_cannot_be_used_is_refused_without_showing_its_password(tmp_path, url, sentence):
    with pytest.raises(StoreError, match=sentence) as refused:
        await Store.open(MemorySettings(url=url), tmp_path)

    assert "secret" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


async def test_another_file_can_be_named(said, lobby, tmp_path):
    store = await Store.open(MemorySettings(url=f"sqlite+aiosqlite:///{tmp_path}/else where.db"), tmp_path)
    await still_answers(store, said, lobby, remembered=())
    await store.close()

    assert [file.name for file in tmp_path.iterdir()] == ["else where.db"]


async def test_after_the_end_every_call_is_refused_and_closing_twice_does_nothing(store, said, lobby):
    await store.close()
    await store.close()

    with pytest.raises(StoreError, match="the memory is closed"):
        await store.history(lobby, MARA, limit=1)


async def test_closing_waits_for_what_was_begun(open_store, said, lobby):
    """Nothing that was under way at the end is lost."""
    store = await open_store()
    writes = [asyncio.ensure_future(store.remember(said(f"m{n}"), [MARA])) for n in range(50)]
    await asyncio.sleep(0)  # all have begun

    await store.close()

    assert None not in await asyncio.gather(*writes)
    again = await open_store()
    assert len(await again.history(lobby, MARA, limit=100)) == 50


async def test_an_error_never_shows_what_people_said(file, open_store, said, lobby):
    """Neither the sentence nor the traceback behind it; both end up in logs."""
    store = await open_store()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("ALTER TABLE turns RENAME TO elsewhere")

    secret = "canary-sentence".upper()  # not as it stands here, which a traceback quotes
    with pytest.raises(StoreError, match="no such table: turns") as refused:
        await store.remember(said("m2", secret), [MARA])

    assert secret not in "".join(traceback.format_exception(refused.value))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("ALTER TABLE elsewhere RENAME TO turns")
    await still_answers(store, said, lobby)


async def test_only_the_owner_may_read_the_file(file):
    """It holds conversations."""
    assert file.stat().st_mode & 0o077 == 0


async def test_a_channel_of_another_platform_is_not_mixed_up(store, said):
    """The same path on two platforms is two channels."""
    web, terminal = ChannelKey.parse("web:me"), ChannelKey.parse("terminal:me")
    await store.remember(said("1", "page", channel=web), [MARA])

    assert await store.history(terminal, MARA, limit=5) == []
