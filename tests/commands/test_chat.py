"""Taking back, choosing, changing, hiding and rating what was said."""

import asyncio

import pytest

from bot.commands import chat
from bot.errors import CommandRefused
from tests.commands.conftest import BEN, GUILD
from tests.house import open_test_house, said


async def heard(house):
    return [t.text for t in await house.desk.store.history(GUILD, "house/ada", limit=50)]


async def sent(house, turn):
    return (await house.desk.store.deliveries(turn.id))[0].sent_ids[0]


async def test_undo_takes_back_what_the_caller_said_last_with_its_reply(house, port, as_, exchange):
    await exchange("Hello?", "Aye.")
    await exchange("Where to?", "Over.")

    await chat.undo(house.desk, as_())

    assert await heard(house) == ["Hello?", "Aye."]
    assert list(port.messages.values()) == ["Aye."]


async def test_undo_of_somebody_elses_words_is_for_moderators(house, as_, exchange):
    await exchange("Hello?", "Aye.")

    with pytest.raises(CommandRefused, match="Only moderators"):
        await chat.undo(house.desk, as_(person=BEN))
    assert await heard(house) == ["Hello?", "Aye."]
    await chat.undo(house.desk, as_("moderator", person=BEN))
    assert await heard(house) == []
    with pytest.raises(CommandRefused, match="Nothing has been said"):
        await chat.undo(house.desk, as_("moderator"))


async def test_the_chosen_take_is_the_one_in_the_channel_and_in_memory(house, port, as_, exchange):
    """Going back and forth; what the other bots get wrong: memory keeps what is no longer shown."""
    turn = await exchange("Hello?", "One.", "Two.", "Three.")
    message = await sent(house, turn)

    assert (await chat.previous_take(house.desk, as_(), message)).text == "Two."
    assert (port.messages[message], await heard(house)) == ("Two.", ["Hello?", "Two."])
    assert (await chat.previous_take(house.desk, as_())).text == "One."
    with pytest.raises(CommandRefused, match="first take"):
        await chat.previous_take(house.desk, as_())
    assert (await chat.next_take(house.desk, as_(), message)).text == "Two."
    assert (await chat.next_take(house.desk, as_(), message)).text == "Three."
    with pytest.raises(CommandRefused, match="newest take"):
        await chat.next_take(house.desk, as_(), message)
    assert await heard(house) == ["Hello?", "Three."]


async def test_a_take_that_needs_more_messages_gets_them_and_gives_them_back(house, port, as_, exchange):
    long = "This is one sentence of it. " * 150  # 4,200 characters; a message holds 2,000
    turn = await exchange("Tell me.", long[:100], "Short.")
    store = house.desk.store
    first, _ = await store.takes((await store.deliveries(turn.id))[0])
    await chat.edit(house.desk, as_("moderator"), first.sent_ids[0], long)

    shown = (await store.last_delivery(GUILD)).sent_ids
    assert len(shown) == len(port.messages) == 3
    assert "".join(port.messages[i] for i in shown).strip() == long.strip()
    await chat.previous_take(house.desk, as_(), shown[2])

    assert list(port.messages) == [shown[0]] == list((await store.last_delivery(GUILD)).sent_ids)


async def test_a_moderators_edit_is_heard_and_the_models_own_words_stay_with_the_reply(house, port, as_, exchange):
    turn = await exchange("Hello?", "One.")

    await chat.edit(house.desk, as_("moderator"), await sent(house, turn), "  Better.  ")

    assert await heard(house) == ["Hello?", "Better."]
    assert list(port.messages.values()) == ["Better."]
    assert (await house.desk.store.deliveries(turn.id))[0].text == "One."
    for text, why in (("  ", "hide the message"), ("x" * 8001, "8,001")):
        with pytest.raises(CommandRefused, match=why):
            await chat.edit(house.desk, as_("moderator"), await sent(house, turn), text)


async def test_a_hidden_message_is_out_of_the_channel_and_out_of_mind(house, port, as_, exchange):
    turn = await exchange("Hello?", "Something awful.")

    await chat.hide(house.desk, as_("moderator"), await sent(house, turn))
    await chat.hide(house.desk, as_("moderator"), turn.message_id)

    assert (await heard(house), port.messages) == ([], {})


async def test_a_rating_belongs_to_the_take_that_was_seen_and_to_one_person(house, as_, exchange):
    """Thumbs and stars are one scale; a second answer takes the place of the first."""
    turn = await exchange("Hello?", "One.", "Two.")
    store = house.desk.store
    await chat.rate(house.desk, as_(), "down")
    await chat.rate(house.desk, as_(), 4)
    await chat.rate(house.desk, as_(person=BEN), "up")
    await chat.previous_take(house.desk, as_())
    await chat.rate(house.desk, as_(), "down")

    one, two = await store.takes((await store.deliveries(turn.id))[0])
    assert [(r.person_id, r.value) for r in await store.ratings(two.id)] == [("discord:501", 4), ("discord:502", 5)]
    assert [r.value for r in await store.ratings(one.id)] == [1]
    await chat.rate(house.desk, as_(), None)
    assert await store.ratings(one.id) == []
    for wrong in (0, 6, "sideways"):
        with pytest.raises(CommandRefused, match="from 1 to 5"):
            await chat.rate(house.desk, as_(), wrong)


async def test_a_scene_is_set_and_taken_away(house, as_):
    assert await chat.scene(house.desk, as_(), "A  quay,\nat night.") == "The scene: A quay, at night."
    assert await house.desk.store.place(GUILD) == "A quay, at night."
    await chat.scene(house.desk, as_(), "")
    assert await house.desk.store.place(GUILD) == ""
    with pytest.raises(CommandRefused, match="has 401 characters; the limit is 400"):
        await chat.scene(house.desk, as_(), "x" * 401)


async def test_a_take_is_not_changed_under_somebody_who_speaks(house, port, as_, exchange):
    """A real reply is being made meanwhile; afterwards the command works again."""
    await exchange("Hello?", "One.", "Two.")
    done = await house.router.hear(said("Ada, how is the river?", port, channel=GUILD, mentions=("house/ada",)))
    with pytest.raises(CommandRefused, match="speaking here"):
        await chat.previous_take(house.desk, as_())
    await asyncio.wait_for(done, 60)

    with pytest.raises(CommandRefused, match="first take"):
        await chat.previous_take(house.desk, as_())


async def test_a_shorter_regenerated_reply_leaves_no_message_that_is_gone(config, port, as_):
    """A regenerated reply took messages away, and the store went on naming them."""
    async with open_test_house(config) as house:
        [reply] = await asyncio.wait_for(await house.router.hear(said("Ada?", port, channel=GUILD, mentions=("house/ada",))), 60)
        store = house.desk.store
        delivery = await store.last_delivery(GUILD)
        await store.shown_in(delivery, [reply.message_id, await port.open(reply.character, "a second piece")])

        await asyncio.wait_for(await chat.regenerate(house.desk, as_(), reply.message_id), 60)

        assert list((await store.last_delivery(GUILD)).sent_ids) == list(port.messages)
