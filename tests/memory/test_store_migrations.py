"""From every released database to this one, all or nothing, with a copy made first."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, make_url
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from bot.errors import StoreError
from bot.memory import schema
from bot.memory.upgrade import MIGRATIONS, bring_up_to_date

MARA = "house/mara-quill"
RELEASES = Path(__file__).with_name("releases")
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)

STEP = '''
"""Remembers the weather."""
import sqlalchemy as sa
from alembic import op
revision = "9000"
down_revision = "{head}"

def upgrade() -> None:
    with op.batch_alter_table("turns", recreate="always") as turns:
        turns.add_column(sa.Column("weather", sa.Text(), nullable=False, server_default="fair"))
    with op.batch_alter_table("people") as people:
        people.alter_column("name", new_column_name="shown_name")
    {then}
'''


def newest() -> str:
    return sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("0*.py"))[-1]


def with_a_later_step(tmp_path: Path, then: str) -> Path:
    migrations = tmp_path / "later 100%"
    shutil.copytree(MIGRATIONS, migrations, ignore=shutil.ignore_patterns("__pycache__"))
    (migrations / "versions" / "9000_weather.py").write_text(STEP.format(head=newest(), then=then))
    return migrations


def rows(file: Path, query: str) -> list:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
async def file(open_store, said, lobby, tmp_path):
    """A database with a conversation in it, closed."""
    store = await open_store()
    cause = await store.remember(said("m1", "before"), [MARA])
    await store.opened(await store.claim(cause, 0, MARA, name="Mara", seed=7), "s1")
    await store.close()
    return tmp_path / "troupe.db"


def test_the_migrations_build_what_the_schema_page_says(file):
    """Two descriptions of the tables, and no difference between them."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), schema.metadata)
    engine.dispose()

    assert differences == []


def test_the_tables_can_be_written_down_for_postgresql():
    """No type, default or option that only SQLite knows."""
    for table in schema.metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


async def test_opening_again_changes_nothing(file, open_store):
    """A database of this version gets no copy and no new row of versions."""
    await (await open_store()).close()

    assert rows(file, "SELECT version_num FROM alembic_version") == [(newest(),)]
    assert not (file.parent / "backups").exists()


def test_every_release_has_a_database_to_migrate_from():
    """A step added without ``releases/<number>.sql`` would never be tested with data."""
    assert {file.stem for file in RELEASES.glob("*.sql")} == {file.name[:4] for file in (MIGRATIONS / "versions").glob("0*.py")}


@pytest.mark.parametrize("release", sorted(RELEASES.glob("*.sql")), ids=lambda file: file.stem)
async def test_a_database_of_every_release_comes_with_everything_in_it(open_store, said, lobby, tmp_path, release):
    """Dumped from the release itself; what was in it is read through today's store."""
    with closing(sqlite3.connect(tmp_path / "troupe.db")) as connection:
        connection.executescript(release.read_text(encoding="utf-8"))

    store = await open_store()

    assert [(t.author_name, t.text) for t in await store.history(lobby, MARA, limit=10)] == [
        ("Ada", "Mara, what is the sea like today?"),
        ("Mara Quill", "Grey, and in no mood for visitors."),
        ("Ada", "And tomorrow?"),
    ]
    delivery = await store.last_delivery(lobby)
    assert (delivery.state, delivery.sent_ids, delivery.stamp.exemplars, delivery.stamp.counters.reply_tokens) == (
        "recorded",
        ("s1",),
        ("m-001",),
        9,
    )
    assert [p.turn.message_id for p in await store.pending()] == ["m2"]
    assert await store.awake(lobby) == (MARA,)
    assert not await store.consented("web:ada", "train")
    assert [c.granted for c in await store.consents("web:ada")] == [True, False]
    assert (await store.character("discord:1", "zoe")).card == {"data": {"name": "Zoë"}}
    assert [f.text for f in await store.facts(person_id="web:ada")] == ["likes the sea"]
    assert (await store.recap(lobby, MARA)).text == "They spoke of the sea."
    await store.remember(said("m3", "and it still answers"), [MARA])


async def test_an_older_database_is_copied_and_then_migrated(file, tmp_path, open_store):
    """The copy is the old database, whole, and opens as it was; children of rebuilt tables are still there."""
    migrations = with_a_later_step(tmp_path, "")
    url = make_url(f"sqlite+aiosqlite:///{file}")

    await bring_up_to_date(url, 1, tmp_path / "backups", NOW, migrations=migrations)

    assert rows(file, "SELECT text, weather FROM turns") == [("before", "fair")]
    assert rows(file, "SELECT shown_name FROM people") == [("Ada",)]
    assert rows(file, "SELECT count(*) FROM presence") == rows(file, "SELECT count(*) FROM pieces") == [(1,)]
    (copy,) = (tmp_path / "backups").iterdir()
    assert copy.name == "troupe-20260501-120000-before-9000.db"
    assert copy.stat().st_mode & 0o077 == 0
    assert rows(copy, "SELECT version_num FROM alembic_version") == [(newest(),)]

    await bring_up_to_date(url, 1, tmp_path / "backups", NOW, migrations=migrations)
    assert rows(file, "SELECT version_num FROM alembic_version") == [("9000",)]


async def test_a_migration_that_breaks_leaves_the_old_database(file, tmp_path, open_store, said, lobby):
    """The steps before the break are undone too, and the old version opens it."""
    migrations = with_a_later_step(tmp_path, "op.execute('INSERT INTO nowhere VALUES (1)')")
    tables = rows(file, "SELECT sql FROM sqlite_master ORDER BY name")

    with pytest.raises(StoreError, match="no such table: nowhere"):
        await bring_up_to_date(make_url(f"sqlite+aiosqlite:///{file}"), 1, tmp_path / "backups", NOW, migrations=migrations)

    assert rows(file, "SELECT sql FROM sqlite_master ORDER BY name") == tables
    store = await open_store()
    await store.remember(said("m2", "and it still answers"), [MARA])
    assert [t.text for t in await store.history(lobby, MARA, limit=10)] == ["before", "and it still answers"]


async def test_a_migration_that_would_leave_rows_pointing_at_nothing_is_undone(file, tmp_path):
    """Foreign keys are off while tables are rebuilt, so this is looked at before the end."""
    migrations = with_a_later_step(tmp_path, "op.execute('DELETE FROM turns')")

    with pytest.raises(StoreError, match="rows that point at nothing; it was left as it is"):
        await bring_up_to_date(make_url(f"sqlite+aiosqlite:///{file}"), 1, tmp_path / "backups", NOW, migrations=migrations)

    assert rows(file, "SELECT text FROM turns") == [("before",)]


async def test_a_backup_made_while_the_house_is_busy_restores(store, open_store, said, lobby, tmp_path):
    """Stop, put it in the database's place, start: the conversation of that moment is there."""
    for n in range(20):
        await store.remember(said(f"m{n}", str(n)), [MARA])
    copy = tmp_path / "backups" / "today.db"

    busy = [store.remember(said(f"n{n}", "meanwhile"), [MARA]) for n in range(50)]
    await asyncio.gather(store.backup(copy), *busy)

    assert sorted(file.name for file in copy.parent.iterdir()) == ["today.db"]
    assert copy.stat().st_mode & 0o077 == 0
    (tmp_path / "restored").mkdir()
    shutil.copy(copy, tmp_path / "restored" / "troupe.db")
    restored = await open_store(tmp_path / "restored")
    assert [t.text for t in await restored.history(lobby, MARA, limit=100)][:20] == [str(n) for n in range(20)]
    await restored.remember(said("later", "and it still answers"), [MARA])
    assert len(await store.history(lobby, MARA, limit=100)) == 70
