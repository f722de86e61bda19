"""A conversation that has gone on for long costs a turn no more than a young one."""

import sqlite3
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import Engine, event

from bot.messages import Stamp

MARA = "house/mara-quill"
STAMP = Stamp(build="starter", character=MARA, revision="9f3", prompt_version=1, seed=7)


@contextmanager
def heard_statements():
    """What every SQLAlchemy engine of this process asks meanwhile, with its parameters."""
    asked = []

    def hear(_connection, _cursor, statement, parameters, _context, _many):
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def steps(file, statement, parameters):
    """How many of its virtual machine's steps SQLite takes for one statement."""
    taken = 0

    def count():
        nonlocal taken
        taken += 1

    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        connection.set_progress_handler(count, 1)
        connection.execute(statement, parameters).fetchall()
    return taken


@pytest.fixture
def talk(store, said):
    async def talking(first, last):
        for number in range(first, last):
            cause = await store.remember(said(f"m{number}", f"Number {number}?"), [MARA])
            delivery = await store.claim(cause, 0, MARA, name="Mara Quill", seed=7)
            await store.opened(delivery, f"s{number}")
            await store.finalise(delivery, f"Number {number}.", STAMP)
            await store.recorded(delivery)
            await store.set_state(cause.id, "answered")
        return cause

    return talking


async def test_nothing_that_a_turn_asks_reads_the_whole_conversation(store, said, talk, lobby, tmp_path):
    async def costs(last):
        moment = said("elsewhere").sent_at
        with heard_statements() as asked:
            await store.history(lobby, MARA, limit=8, answering=last.id)
            await store.last_delivery(lobby)
            await store.last_delivery(lobby, MARA)
            await store.delivery_of(lobby, "s3")
            await store.turn_by_message(lobby, "m3")
            await store.heard_otherwise(lobby, "elsewhere", "web:ada", moment, "Number 3?")
            await store.pending(lobby)
            await store.unfinished(lobby)
            await store.deliveries(last.id)
            await store.next_position(last.id)
        return {statement: steps(tmp_path / "troupe.db", statement, parameters) for statement, parameters in asked}

    young = await costs(await talk(0, 12))
    old = await costs(await talk(12, 120))

    assert len(young) >= 10
    assert young.keys() == old.keys()
    grown = {statement: (few, old[statement]) for statement, few in young.items() if old[statement] > 1.5 * few + 50}
    assert grown == {}
