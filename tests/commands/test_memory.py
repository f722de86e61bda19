"""What characters remember of people: listed, changed, pinned and removed by those whom it is about."""

import pytest

from bot.commands import memory, privacy
from bot.errors import CommandRefused
from bot.messages import ChannelKey
from tests.commands.conftest import BEN, GUILD

ELSEWHERE = ChannelKey("discord", "1/11")


async def texts(found):
    return [fact.text for fact in await found]


async def test_a_person_lists_adds_changes_pins_and_removes_their_own(house, as_):
    tea = await memory.add(house.desk, as_(), "Ada", "  I like\n tea. ")
    await memory.add(house.desk, as_(), "Bo", "I row.", pinned=True)

    await memory.edit(house.desk, as_(), tea.id, "I like coffee.")
    await memory.pin(house.desk, as_(), tea.id)

    assert await texts(memory.facts(house.desk, as_())) == ["I like coffee.", "I row."]
    assert await texts(memory.facts(house.desk, as_(), "Ada")) == ["I like coffee."]
    assert (await memory.remove(house.desk, as_(), tea.id)).text == "I like coffee."
    assert await texts(memory.facts(house.desk, as_())) == ["I row."]


async def test_what_was_told_elsewhere_is_not_read_out_here(house, as_):
    """A list in one channel never gives away what was said in another, unless the answer is private."""
    await memory.add(house.desk, as_(channel=ELSEWHERE), "Ada", "I am ill.")
    await memory.add(house.desk, as_(channel=ELSEWHERE), "Ada", "I am Anna.", everywhere=True)

    assert await texts(memory.facts(house.desk, as_())) == ["I am Anna."]
    assert await texts(memory.facts(house.desk, as_(), everywhere=True)) == ["I am ill.", "I am Anna."]


async def test_moderators_look_after_their_own_channel_and_no_other(house, as_):
    here = await memory.add(house.desk, as_(), "Ada", "I like tea.")
    global_ = await memory.add(house.desk, as_(), "Ada", "I am Anna.", everywhere=True)
    elsewhere = await memory.add(house.desk, as_(channel=ELSEWHERE), "Ada", "I am ill.")
    moderator = as_("moderator", person=BEN)

    assert await texts(memory.facts_here(house.desk, moderator)) == ["I like tea."]
    await memory.remove(house.desk, moderator, here.id)
    for other in (global_, elsewhere):
        with pytest.raises(CommandRefused, match="no memory"):
            await memory.remove(house.desk, moderator, other.id)


async def test_a_fact_of_the_place_is_seen_by_all_and_changed_by_moderators(house, as_):
    fact = await memory.add(house.desk, as_("moderator", person=BEN), "Ada", "The ferry is late.", of_place=True)

    assert await texts(memory.facts(house.desk, as_())) == ["The ferry is late."]
    with pytest.raises(CommandRefused, match="no memory"):
        await memory.edit(house.desk, as_(), fact.id, "The ferry is early.")


async def test_somebody_who_does_not_want_to_be_remembered_is_asked_first(house, as_):
    await privacy.consent(house.desk, as_(), "remember", False)
    with pytest.raises(CommandRefused, match="/privacy consent remember"):
        await memory.add(house.desk, as_(), "Ada", "I like tea.")
    await privacy.consent(house.desk, as_(), "remember", True)
    assert (await memory.add(house.desk, as_(), "Ada", "I like tea.")).channel == GUILD


async def test_limits_are_said_with_their_numbers(house, as_, monkeypatch):
    for text, why in ((" \n ", "nothing to remember"), ("x" * 301, "301 characters; a memory has at most 300")):
        with pytest.raises(CommandRefused, match=why):
            await memory.add(house.desk, as_(), "Ada", text)
    for number in range(memory.FACTS_PER_CHARACTER):
        await memory.add(house.desk, as_(), "Ada", f"Thing {number}.", pinned=number < memory.PINNED_PER_CHARACTER)
    with pytest.raises(CommandRefused, match="remembers 100 things already"):
        await memory.add(house.desk, as_(), "Ada", "One more.")
    last = (await memory.facts(house.desk, as_()))[-1]
    with pytest.raises(CommandRefused, match="always has 10"):
        await memory.pin(house.desk, as_(), last.id)
    await memory.remove(house.desk, as_(), last.id)
    assert (await memory.add(house.desk, as_(), "Ada", "One more.")).text == "One more."
