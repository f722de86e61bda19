"""A place that gets another key: a group of Telegram that becomes a supergroup."""

from dataclasses import replace

from bot.messages import ChannelKey, Person, Stamp

OLD, NEW = ChannelKey.parse("telegram:-123"), ChannelKey.parse("telegram:-1001234567890")
TOPIC = ChannelKey.parse("telegram:-123/7")
NEIGHBOUR = ChannelKey.parse("telegram:-1234")
MARA, OURS = "house/mara-quill", "telegram:-123/sela-frost"
OURS_NOW = "telegram:-1001234567890/sela-frost"
ADA = Person("telegram:5", "Ada")
STAMP = Stamp("build", OURS, "1", 1, 7)


async def furnished(store, said):
    """Two channels of a group: talked in, set up, with somebody registered, something kept, somebody blocked."""
    await store.save_character(str(OLD), "sela-frost", name="Sela", card={"name": "Sela"}, lines=[], portrait=None, by=ADA.id)
    await store.set_awake(OLD, [MARA, OURS])
    await store.change_channel_settings(OLD, {"cascade": 1, "left_at": "2026-05-01T12:00:00+00:00"})
    cause = await store.remember(said("41", "The boat is blue.", channel=OLD, author=ADA), [MARA, OURS])
    delivery = await store.claim(cause, 0, OURS, name="Sela", seed=7)
    await store.opened(delivery, "42")
    await store.finalise(delivery, "So it is.", STAMP)
    await store.recorded(delivery)
    await store.set_state(cause.id, "answered")
    await store.remember(said("43", "In a topic.", channel=TOPIC, author=ADA), [MARA], "answered")
    await store.add_fact(OURS, ADA.id, "has a blue boat", channel=OLD)
    await store.put_recap(OLD, OURS, cause.id, "They spoke of a boat.")
    await store.reset(TOPIC, MARA)
    await store.block(str(OLD), "channel", str(TOPIC), until=None, reason="", by=ADA.id)
    await store.remember(said("44", "Somewhere else.", channel=NEIGHBOUR, author=ADA), [MARA], "answered")
    return cause


async def test_everything_of_a_place_goes_along_and_its_neighbours_stay(store, said):
    """The neighbour's key begins with the same digits."""
    await furnished(store, said)

    assert await store.move_place(OLD, NEW) > 0

    assert [(t.text, t.author_id) for t in await store.history(NEW, OURS_NOW, limit=9)] == [
        ("The boat is blue.", ADA.id),
        ("So it is.", OURS_NOW),
    ]
    assert await store.history(OLD, None, limit=9) == []
    assert await store.awake(NEW) == (MARA, OURS_NOW)
    assert await store.channel_settings(NEW) == {"cascade": 1}
    assert [f.text for f in await store.known_facts(OURS_NOW, NEW, [ADA.id])] == ["has a blue boat"]
    assert (await store.recap(NEW, OURS_NOW)).text == "They spoke of a boat."
    assert (await store.character(str(NEW), "sela-frost")).name == "Sela"
    moved_topic = ChannelKey.parse("telegram:-1001234567890/7")
    assert [(b.kind, b.subject) for b in await store.blocks(str(NEW))] == [("channel", str(moved_topic))]
    assert [t.text for t in await store.history(moved_topic, None, limit=9)] == ["In a topic."]
    assert await store.history(moved_topic, MARA, limit=9) == []  # it had begun afresh there
    assert [t.text for t in await store.history(NEIGHBOUR, None, limit=9)] == ["Somewhere else."]
    assert (await store.last_delivery(NEW)).character_id == OURS_NOW


async def test_a_second_word_of_the_same_move_changes_nothing(store, said):
    await furnished(store, said)
    await store.move_place(OLD, NEW)
    before = await store.everything_of(ADA.id)

    assert await store.move_place(OLD, NEW) == 0
    assert await store.everything_of(ADA.id) == before


async def test_a_number_that_the_new_place_gives_again_is_another_message(store, said):
    await furnished(store, said)
    await store.move_place(OLD, NEW)

    assert await store.remember(said("41", "Counted anew.", channel=NEW, author=ADA), [MARA]) is not None
    assert await store.delivery_of(NEW, "42") is None


async def test_what_was_settled_in_the_new_place_first_holds(store, said):
    """Somebody was quicker there than Telegram's word of the move."""
    await furnished(store, said)
    await store.set_awake(NEW, ["house/odo-brandt"])
    await store.change_channel_settings(NEW, {"cascade": 3})

    await store.move_place(OLD, NEW)

    assert await store.awake(NEW) == ("house/odo-brandt",)
    assert await store.channel_settings(NEW) == {"cascade": 3}


async def test_replies_under_way_are_made_again_given_up_or_done(store, said):
    """What was shown stands in the old place, where nobody can change it any more."""
    answered = await furnished(store, said)
    waiting = await store.remember(said("50", "Still there?", channel=OLD, author=ADA, mentions=(OURS,)), [OURS])
    opened = await store.opened(await store.claim(waiting, 0, OURS, name="Sela", seed=1), "51")
    whole = await store.opened(await store.claim(waiting, 1, MARA, name="Mara", seed=2), "52")
    await store.finalise(whole, "All of it.", replace(STAMP, character=MARA))
    take = await store.opened(await store.claim(answered, 0, OURS, name="Sela", seed=8, take=1), "42")

    await store.move_place(OLD, NEW)

    states = {d.id: (d.state, d.sent_ids) for cause in (waiting, answered) for d in await store.deliveries(cause.id)}
    assert states[opened.id] == ("claimed", ())
    assert states[whole.id][0] == "recorded"
    assert [d.state for d in await store.takes(take)] == ["recorded", "failed"]
    [pending] = await store.pending(NEW)
    assert (pending.turn.text, pending.addressed) == ("Still there?", (OURS_NOW,))
    assert await store.unfinished() == []
