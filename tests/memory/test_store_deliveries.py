"""Replies on their way: every state can be met again after a restart, and takes share one turn."""

import asyncio

import pytest

from bot.errors import StoreError
from bot.memory.deliveries import stamp_of
from bot.messages import Counters, Stamp

MARA, ODO = "house/mara-quill", "house/odo-brandt"

STAMP = Stamp(
    build="starter-q6_k",
    character=MARA,
    revision="9f3",
    prompt_version=1,
    seed=7,
    exemplars=("m-001", "m-002"),
    memories=("recap:3",),
    lore=("harbour",),
    finish_reason="length",
    counters=Counters(prompt_tokens=300, reused_tokens=250, evaluated_tokens=50, reply_tokens=48, first_token_seconds=0.25),
)


@pytest.fixture
async def cause(store, said):
    return await store.remember(said("m1", "Mara, a story!"), [MARA, ODO])


async def done(store, cause, text, *, take=0, position=0, character=MARA, sent=("s1",)):
    delivery = await store.claim(cause, position, character, name="Mara Quill", seed=7 + take, take=take)
    for sent_id in sent:
        await store.opened(delivery, sent_id)
    await store.finalise(delivery, text, STAMP)
    return await store.recorded(delivery)


async def test_a_reply_goes_through_its_states_with_a_restart_after_each(open_store, said, lobby):
    """What a step stored is there for the next process, and the step can be made once more."""

    async def after_restart(step):
        nonlocal store
        for _ in range(2):
            result = await step()
            await store.close()
            store = await open_store()
        return result

    store = await open_store()
    cause = await store.remember(said("m1", "Mara, a story!"), [MARA])
    delivery = await after_restart(lambda: store.claim(cause, 0, MARA, name="Mara Quill", seed=7))
    assert (delivery.state, delivery.seed, delivery.sent_ids) == ("claimed", 7, ())
    assert [p.turn for p in await store.pending()] == [cause]

    delivery = await after_restart(lambda: store.opened(delivery, "s1"))
    delivery = await after_restart(lambda: store.opened(delivery, "s2"))
    assert (delivery.state, delivery.sent_ids, delivery.turn_id) == ("opened", ("s1", "s2"), None)
    assert await store.deliveries(cause.id) == [delivery]

    turn = await after_restart(lambda: store.finalise(delivery, "Once, at sea.", STAMP))
    (delivery,) = await store.deliveries(cause.id)
    assert (delivery.state, delivery.text, delivery.stamp, delivery.turn_id, delivery.chosen) == (
        "final",
        "Once, at sea.",
        STAMP,
        turn.id,
        True,
    )
    assert (turn.message_id, turn.author_id, turn.author_name, turn.by_character, turn.reply_to) == ("s1", MARA, "Mara Quill", True, "m1")

    delivery = await after_restart(lambda: store.recorded(delivery))
    assert delivery.state == "recorded"
    assert [t.text for t in await store.history(lobby, MARA, limit=10)] == ["Mara, a story!", "Once, at sea."]
    assert (await store.status()).replies == {"recorded": 1}


async def test_whoever_claimed_first_answers(store, cause):
    """After a crash casting may choose somebody else; the reply that was begun goes on with its character and seed."""
    claims = await asyncio.gather(*(store.claim(cause, 0, who, name=who, seed=n) for n, who in enumerate([MARA, ODO] * 5)))

    assert len(set(claims)) == 1
    assert await store.deliveries(cause.id) == [claims[0]]


async def test_a_step_in_the_wrong_order_is_refused_and_changes_nothing(store, cause):
    """The sentence names the reply, its state and what it would need; and it still answers."""
    delivery = await store.claim(cause, 0, MARA, name="Mara", seed=7)

    with pytest.raises(StoreError, match=f"reply {delivery.id} is claimed and cannot be stored; it would have to be opened or final"):
        await store.finalise(delivery, "too early", STAMP)
    with pytest.raises(StoreError, match="cannot be done"):
        await store.recorded(delivery)
    with pytest.raises(StoreError, match="cannot be chosen"):
        await store.choose(delivery)

    assert await store.deliveries(cause.id) == [delivery]
    assert (await done(store, cause, "in order")).state == "recorded"
    with pytest.raises(StoreError, match="is recorded and cannot become failed"):
        await store.fail(delivery, "too late")


async def test_a_reply_that_was_given_up_says_why_and_is_not_taken_up(store, cause):
    failed = await store.fail(await store.claim(cause, 0, MARA, name="Mara", seed=7), "the model gave no words")
    cancelled = await store.cancel(await store.claim(cause, 1, ODO, name="Odo", seed=7))

    assert (failed.state, failed.reason) == ("failed", "the model gave no words")
    assert cancelled.state == "cancelled"
    assert await store.last_delivery(cause.channel) is None
    with pytest.raises(StoreError, match="is failed and cannot be shown"):
        await store.opened(failed, "s1")


async def test_another_take_changes_the_turn_and_the_first_can_be_chosen_again(store, cause, lobby):
    """Regenerate, and ‹ ›: one turn in the conversation, whatever is chosen; ratings keep every take apart."""
    first = await done(store, cause, "first take", sent=("s1", "s2"))
    assert await store.next_take(first) == 1
    second = await done(store, cause, "second take", take=1)

    assert [(t.take, t.text, t.chosen) for t in await store.takes(second)] == [(0, "first take", False), (1, "second take", True)]
    assert [t.text for t in await store.history(lobby, MARA, limit=10)] == ["Mara, a story!", "second take"]
    assert (await store.delivery_of(lobby, "s1")).take == 1
    assert (await store.delivery_of(lobby, "s2")).take == 0

    turn = await store.choose(first)
    assert (turn.id, turn.text) == (second.turn_id, "first take")
    assert (await store.delivery_of(lobby, "s1")).take == 0
    assert [t.text for t in await store.history(lobby, MARA, limit=10)] == ["Mara, a story!", "first take"]


async def test_a_take_sent_as_another_message_moves_the_turn_there(store, cause, lobby):
    """Where a platform cannot edit, the new take is a new message; both lead to the reply."""
    await done(store, cause, "first take", sent=("s1",))
    second = await done(store, cause, "second take", take=1, sent=("s9",))

    assert (await store.turn_by_message(lobby, "s9")).text == "second take"
    assert (await store.turn_by_message(lobby, "s1")).id == second.turn_id


async def test_the_last_reply_of_a_channel_and_of_a_character(store, cause, lobby):
    """Hidden replies do not count; the next position comes after the last."""
    assert await store.next_position(cause.id) == 0
    await done(store, cause, "from Mara")
    odo = await done(store, cause, "from Odo", position=1, character=ODO, sent=("s2",))

    assert await store.next_position(cause.id) == 2
    assert (await store.last_delivery(lobby)).text == "from Odo"
    assert (await store.last_delivery(lobby, MARA)).text == "from Mara"
    await store.hide_turns([odo.turn_id])
    assert (await store.last_delivery(lobby)).text == "from Mara"


async def test_a_take_cut_short_is_unfinished_although_its_turn_was_answered(open_store, said, lobby):
    """Killed during regenerate: the message on the screen shows half of the new take."""
    store = await open_store()
    cause = await store.remember(said("m1"), [MARA])
    await done(store, cause, "first take")
    await store.set_state(cause.id, "answered")
    half = await store.opened(await store.claim(cause, 0, MARA, name="Mara", seed=8, take=1), "s1")
    await store.close()

    again = await open_store()

    assert await again.pending() == []
    assert await again.unfinished(lobby) == [half]
    await again.finalise(half, "second take", STAMP)
    await again.recorded(half)
    assert await again.unfinished() == []


async def test_what_a_character_said_at_first_is_kept_when_its_message_is_edited(store, cause, lobby):
    """A moderator's correction is worth having beside what the model wrote."""
    delivery = await done(store, cause, "as the model wrote it")

    await store.edit_turn(lobby, "s1", "as it should be")

    assert (await store.turn(delivery.turn_id)).text == "as it should be"
    assert (await store.takes(delivery))[0].text == "as the model wrote it"


def test_a_stamp_of_another_version_can_still_be_read():
    """A field that came later has its default; one that is gone is left out."""
    old = {
        "build": "b",
        "character": MARA,
        "revision": "1",
        "prompt_version": 1,
        "seed": 7,
        "moon": "full",
        "counters": {"tides": 2, "reply_tokens": 5},
    }

    assert stamp_of(old) == Stamp("b", MARA, "1", 1, 7, counters=Counters(reply_tokens=5))
    assert stamp_of(None) is None
