"""What a character has in mind: always, and for this turn; only what it was there for, only what still stands."""

import asyncio

import pytest

from bot.commands import memory, privacy
from bot.commands.desk import Caller
from bot.messages import ChannelKey, Person
from bot.sessions.recall import Recall
from tests.commands.conftest import config  # noqa: F401  (a fixture)
from tests.house import RecordingPort, open_test_house, said

ROOM = ChannelKey("web", "quay")
ANNA, BEN = Person("web:anna", "Anna"), Person("web:ben", "Ben")


@pytest.fixture
async def house(config):  # noqa: F811
    async with open_test_house(config) as house:
        yield house


async def tell(house, text, author=ANNA, present=("house/ada",), channel=ROOM, **more):
    return await house.desk.store.remember(said(text, RecordingPort(), channel=channel, author=author), present, "answered", **more)


def ada(house):
    return house.desk.company.by_id("house/ada")


async def mind(house, asked, *, window=1, recall=None):
    heard = (await house.desk.store.history(ROOM, "house/ada", limit=100))[-window:]
    return await (recall or Recall(ROOM, house.desk.store)).in_mind(ada(house), heard, asked)


async def test_pinned_facts_of_those_who_are_here_are_always_in_mind(house):
    anna, ben = (Caller(person, ROOM, RecordingPort()) for person in (ANNA, BEN))
    pinned = await memory.add(house.desk, anna, "Ada", "I am allergic to walnuts.", pinned=True)
    await memory.add(house.desk, anna, "Ada", "My brother sails.")
    await memory.add(house.desk, ben, "Ada", "I fear herons.", pinned=True)
    await tell(house, "Good morning.")

    found = await mind(house, "Good morning.")

    assert [(m.id, m.text) for m in found.always] == [(f"fact:{pinned.id}", "Anna: “I am allergic to walnuts.”")]
    assert found.recalled == ()
    assert [m.text for m in (await mind(house, "Who sails here?")).recalled] == ["Anna: “My brother sails.”"]


async def test_an_older_turn_comes_to_mind_with_who_and_when(house):
    old = await tell(house, "The heron sleeps under the old bridge.", BEN)
    for number in range(5):
        await tell(house, f"Small talk, part {number}.")

    found = await mind(house, "Where does the heron sleep?")

    assert [m.id for m in found.recalled] == [f"turn:{old.id}"]
    assert found.recalled[0].text == f"Ben, {old.sent_at:%Y-%m-%d}: “The heron sleeps under the old bridge.”"


async def test_a_character_recalls_only_what_it_was_there_for(house):
    await tell(house, "The heron sleeps under the old bridge.", present=("house/bo",))
    await tell(house, "The heron eats frogs.", channel=ChannelKey("web", "elsewhere"))
    for number in range(3):
        await tell(house, f"Small talk, part {number}.")

    assert (await mind(house, "What about the heron?")).recalled == ()


async def test_what_was_erased_or_edited_since_is_not_recalled_as_it_was(house):
    """The index is older than the change: the turn is read again before it is used."""
    gone = await tell(house, "The heron sleeps under the old bridge.")
    changed = await tell(house, "The heron eats frogs.")
    for number in range(3):
        await tell(house, f"Small talk, part {number}.")
    recall = Recall(ROOM, house.desk.store)
    assert len((await mind(house, "What about the heron?", recall=recall)).recalled) == 2

    await house.desk.store.erase_turns(ROOM, [gone.message_id])
    await house.desk.store.edit_turn(ROOM, changed.message_id, "The heron eats fish.")

    assert [m.text.partition(": ")[2] for m in (await mind(house, "What about the heron?", recall=recall)).recalled] == [
        "“The heron eats fish.”"
    ]


async def test_nothing_is_known_of_somebody_who_does_not_want_to_be_remembered(house):
    anna = Caller(ANNA, ROOM, RecordingPort())
    await memory.add(house.desk, anna, "Ada", "I am allergic to walnuts.", pinned=True)
    await tell(house, "Good morning.")
    await privacy.consent(house.desk, anna, "remember", False)

    assert (await mind(house, "Walnuts?")).always == ()


async def test_a_new_recap_waits_until_the_prompt_begins_with_another_turn(house):
    """What stands early in a prompt stays the same meanwhile, so that the engine's cache holds."""
    first = await tell(house, "Good morning.")
    recall = Recall(ROOM, house.desk.store)
    await mind(house, "Good morning.", recall=recall)
    await house.desk.store.put_recap(ROOM, "house/ada", first.id, "Anna came by.")

    assert (await mind(house, "Good morning.", recall=recall)).always == ()
    await tell(house, "Are you there?")
    assert [m.text for m in (await mind(house, "Are you there?", recall=recall)).always] == ["Anna came by."]


async def test_a_recap_is_out_of_mind_as_soon_as_something_in_it_is_deleted(house):
    """Not only when the prompt begins anew: it may hold the very words."""
    first = await tell(house, "Good morning, I have a secret.")
    await tell(house, "Are you there?")
    await house.desk.store.put_recap(ROOM, "house/ada", first.id, "Anna said: “I have a secret.”")
    recall = Recall(ROOM, house.desk.store)
    assert len((await mind(house, "Are you there?", recall=recall)).always) == 1

    await house.desk.store.erase_turns(ROOM, [first.message_id])

    assert (await mind(house, "Are you there?", recall=recall)).always == ()


async def test_memories_reach_the_prompt_and_the_stamp_and_leave_the_beginning_as_it_was(house):
    """The second turn recalls something, and still reuses all of the first prompt up to the new words."""
    port = RecordingPort()
    anna = Caller(ANNA, ROOM, port)
    await house.desk.store.set_awake(ROOM, ["house/ada"])
    pinned = await memory.add(house.desk, anna, "Ada", "I am allergic to walnuts.", pinned=True)
    loose = await memory.add(house.desk, anna, "Ada", "My brother sails to Bergen.")

    async def say(text):
        [reply] = await asyncio.wait_for(await house.router.hear(said(text, port, channel=ROOM, author=ANNA)), 60)
        return reply.stamp

    first = await say("Good morning, Ada.")
    second = await say("Who sails to Bergen, Ada?")

    assert first.memories == (f"fact:{pinned.id}",)
    assert second.memories == (f"fact:{pinned.id}", f"fact:{loose.id}")
    assert second.counters.reused_tokens >= first.counters.prompt_tokens - 10
