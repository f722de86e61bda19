"""SQLite under SQLAlchemy, by a cursor that goes to the database's thread once a statement."""

import aiosqlite
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, delete, make_url, select, update

from bot.errors import StoreError
from bot.memory.database import Database

WORDS = Table("words", MetaData(), Column("number", Integer, primary_key=True), Column("word", Text, nullable=False))


@pytest.fixture
async def database(tmp_path):
    database = Database(make_url(f"sqlite+aiosqlite:///{tmp_path / 'words.db'}"), busy_seconds=0.2)
    await database.write(WORDS.metadata.create_all)
    await database.write(lambda c: c.execute(WORDS.insert(), [{"word": word} for word in ("fog", "rope", "tide")]))
    yield database
    await database.close()


@pytest.fixture
def errands(monkeypatch):
    """Every errand to a connection's thread."""
    seen = []
    errand = aiosqlite.Connection._execute

    async def counted(self, function, *arguments, **named):
        seen.append(function)
        return await errand(self, function, *arguments, **named)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    return seen


async def test_a_statement_is_one_errand_and_so_are_the_beginning_and_the_end_of_a_transaction(database, errands):
    await database.read(lambda c: c.execute(select(WORDS)).all())  # the connection is made
    errands.clear()

    rows = await database.read(lambda c: [c.execute(select(WORDS.c.word).where(WORDS.c.number == n)).scalar() for n in (1, 2, 3)])

    assert rows == ["fog", "rope", "tide"]
    assert len(errands) == 3 + 2


async def test_what_a_statement_reports_is_what_sqlite_reported(database):
    def work(connection):
        many = connection.execute(WORDS.insert(), [{"word": "mud"}, {"word": "mud"}])
        one = connection.execute(WORDS.insert().values(word="oar"))
        changed = connection.execute(update(WORDS).where(WORDS.c.word == "mud").values(word="silt"))
        gone = connection.execute(delete(WORDS).where(WORDS.c.word == "silt").returning(WORDS.c.number))
        nothing = connection.execute(update(WORDS).where(WORDS.c.number == 99).values(word="ice"))
        named = connection.exec_driver_sql("SELECT number AS n, word AS w FROM words WHERE n > ? ORDER BY n", (2,))
        return many.rowcount, one.inserted_primary_key[0], changed.rowcount, gone.all(), nothing.rowcount, list(named.keys()), named.all()

    assert await database.write(work) == (2, 6, 2, [(4,), (5,)], 0, ["n", "w"], [(3, "tide"), (6, "oar")])


async def test_after_a_statement_that_fails_nothing_of_its_transaction_is_stored_and_it_still_answers(database):
    def work(connection):
        connection.execute(WORDS.insert().values(word="ice"))
        connection.execute(WORDS.insert().values(number=1, word="again"))

    with pytest.raises(StoreError):
        await database.write(work)

    assert await database.read(lambda c: c.execute(select(WORDS.c.word)).scalars().all()) == ["fog", "rope", "tide"]
