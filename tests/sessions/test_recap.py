"""The long past told in short: in the background, from what the character heard, and never at anybody's cost."""

import asyncio

import pytest

from bot.commands import privacy
from bot.commands.desk import Caller
from bot.messages import ChannelKey, Person
from bot.sessions import recap as recap_module
from tests.commands.conftest import config  # noqa: F401  (a fixture)
from tests.house import RecordingPort, open_test_house, said

ROOM = ChannelKey("web", "quay")
ANNA = Person("web:anna", "Anna")


@pytest.fixture
async def house(config):  # noqa: F811
    few = config.model_copy(update={"sessions": config.sessions.model_copy(update={"recap_turns": 6, "memory_tokens": 120})})
    async with open_test_house(few) as house:
        await house.desk.store.set_awake(ROOM, ["house/ada"])
        yield house


async def tell(house, count, start=0, **more):
    for number in range(start, start + count):
        incoming = said(f"Thing number {number} happened at the quay.", RecordingPort(), channel=ROOM, author=ANNA)
        turn = await house.desk.store.remember(incoming, ["house/ada"], "answered", **more)
    return turn


async def considered(house):
    ada = house.desk.company.by_id("house/ada")
    for _ in range(recap_module.LOOK_EVERY):
        house.router.recaps.consider(ROOM, ada)
    await asyncio.wait_for(house.router.recaps.settle(), 60)
    return await house.desk.store.recap(ROOM, "house/ada")


async def test_a_long_past_is_told_and_told_anew_when_more_has_happened(house):
    """All but the newest turns are in it; nothing happens until there is enough to tell."""
    await tell(house, 8)
    assert await considered(house) is None
    last = await tell(house, 8, 8)

    first = await considered(house)
    assert first.text and first.up_to_turn == last.id - recap_module.LEFT_ALONE
    assert await considered(house) == first
    await tell(house, 8, 16)

    assert (await considered(house)).up_to_turn == last.id


async def test_a_turn_in_the_house_leads_to_a_recap_by_itself(house):
    await tell(house, 20)
    [reply] = await asyncio.wait_for(await house.router.hear(said("Ada?", RecordingPort(), channel=ROOM, author=ANNA)), 60)
    await asyncio.wait_for(house.router.recaps.settle(), 60)

    assert reply.text
    assert await house.desk.store.recap(ROOM, "house/ada") is not None


async def test_words_that_are_not_kept_are_in_no_recap(house):
    await tell(house, 30, keep_words=False)

    assert await considered(house) is None


async def test_what_is_being_told_of_somebody_is_dropped_when_they_are_forgotten(house):
    await tell(house, 30)
    house.router.recaps.consider(ROOM, house.desk.company.by_id("house/ada"))

    await privacy.forget(house.desk, Caller(ANNA, ROOM, RecordingPort()))
    await asyncio.wait_for(house.router.recaps.settle(), 60)

    assert await house.desk.store.recap(ROOM, "house/ada") is None


async def test_a_recap_that_fails_is_tried_again_and_the_turns_are_still_there(house, caplog):
    """The engine is stopped: nothing is raised, nothing is written, nothing is lost."""
    await tell(house, 30)
    await house.desk.engine.close()

    assert await considered(house) is None
    assert len(await house.desk.store.history(ROOM, "house/ada", limit=100)) == 30
    assert not any(record.levelname == "ERROR" for record in caplog.records)


async def test_what_is_edited_hidden_or_deleted_is_in_no_recap_any_more(house):
    """A recap keeps people's words, so it goes with them, and is made anew of what is there."""
    await tell(house, 30)
    first = await considered(house)
    assert "happened at the quay" in first.text
    store, turns = house.desk.store, await house.desk.store.history(ROOM, "house/ada", limit=100)

    await store.edit_turn(ROOM, turns[-1].message_id, "The newest is in no recap yet.")
    assert await store.recap(ROOM, "house/ada") == first
    for change in (
        store.edit_turn(ROOM, turns[3].message_id, "Something else happened on Friday."),
        store.hide_turns([turns[4].id]),
        store.erase_turns(ROOM, [turns[5].message_id]),
    ):
        await change
        assert await store.recap(ROOM, "house/ada") is None
        assert await considered(house) is not None


async def test_what_is_deleted_while_it_is_being_told_is_not_written_down(house, monkeypatch):
    await tell(house, 30)
    store, made = house.desk.store, recap_module._made
    turns = await store.history(ROOM, "house/ada", limit=100)

    async def deleted_meanwhile(*given):
        await store.erase_turns(ROOM, [turns[3].message_id])
        return await made(*given)

    monkeypatch.setattr(recap_module, "_made", deleted_meanwhile)
    assert await considered(house) is None
    monkeypatch.undo()

    assert "number 3 " not in (await considered(house)).text
