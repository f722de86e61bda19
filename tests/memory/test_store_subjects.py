"""Channels, people, registered characters, facts and recaps."""

import asyncio
from dataclasses import replace

import pytest

from bot.errors import CharacterNotFound
from bot.messages import ChannelKey, Person

MARA, ODO = "house/mara-quill", "house/odo-brandt"
ADA = Person("web:ada", "Ada")
GUILD = "discord:1"


async def test_a_channel_where_nobody_chose_is_not_one_where_everybody_sleeps(store, lobby):
    """The first may start with the cards' own wishes, the second stays silent. The order of coming is kept."""
    await store.set_place(lobby, "A quiet harbour.")
    assert await store.awake(lobby) is None

    await store.set_awake(lobby, [ODO, MARA])
    assert await store.awake(lobby) == (ODO, MARA)
    await store.set_awake(lobby, [])
    assert await store.awake(lobby) == ()
    assert await store.place(lobby) == "A quiet harbour."


async def test_channel_settings_change_one_by_one(store, lobby):
    assert await store.channel_settings(lobby) == {}

    await store.change_channel_settings(lobby, {"talkative": 0.5, "language": "de"})
    assert await store.change_channel_settings(lobby, {"language": None, "quiet": True}) == {"talkative": 0.5, "quiet": True}
    await store.set_last_seen(lobby, "m42")

    assert await store.channel_settings(lobby) == {"talkative": 0.5, "quiet": True}
    assert await store.last_seen(lobby) == "m42"
    assert await store.last_seen(ChannelKey.parse("web:elsewhere")) is None


async def test_a_person_is_known_by_the_platforms_id_under_todays_name(store, said):
    """Renaming makes nobody else, and nobody becomes another by taking a name."""
    await store.remember(said("m1", author=ADA), [MARA])
    before = await store.person(ADA.id)
    after = await store.touch(Person(ADA.id, "Countess"))

    assert (before.name, after.name, after.first_seen) == ("Ada", "Countess", before.first_seen)
    assert after.last_seen > before.last_seen
    assert await store.person("web:nobody") is None


async def test_consents_are_two_and_every_answer_is_kept(store, lobby):
    """Remembering is on until refused, training off until granted; the newest answer of a kind counts."""
    assert await store.consented(ADA.id, "remember")
    assert not await store.consented(ADA.id, "train")

    await store.record_consent(ADA, "train", True, channel=lobby, wording="train-1")
    await store.record_consent(ADA, "remember", False, channel=None, wording="remember-1")
    assert await store.consented(ADA.id, "train")
    assert not (await store.person(ADA.id)).remember
    await store.record_consent(ADA, "train", False, channel=lobby, wording="train-1")

    assert not await store.consented(ADA.id, "train")
    given = [(c.kind, c.granted, c.channel, c.wording) for c in await store.consents(ADA.id)]
    assert given == [("train", True, lobby, "train-1"), ("remember", False, None, "remember-1"), ("train", False, lobby, "train-1")]


async def test_seeing_somebody_again_does_not_undo_what_they_refused(store, said):
    await store.record_consent(ADA, "remember", False, channel=None, wording="remember-1")

    await store.remember(said("m1", author=ADA), [MARA], keep_words=False)

    assert not (await store.person(ADA.id)).remember


async def test_a_registered_character_comes_back_whole(store):
    """Any JSON, any bytes; seen in its own scope only."""
    card = {"spec": "chara_card_v3", "data": {"name": "Zoë \ud800", "extensions": {"x": [1, 2.5, None, {"深": "い"}]}}}
    lines = [{"id": "z-1", "with": None, "said": "Hi", "reply": "Hm."}]

    made = await store.save_character(GUILD, "zoe", name="Zoë", card=card, lines=lines, portrait=b"\x89PNG\x00", by=ADA.id)

    (listed,) = await store.characters(GUILD)
    read = await store.character(GUILD, "zoe")
    assert read == made and listed == replace(made, portrait=None)
    assert read.card["data"] == {"name": "Zoë \ufffd", "extensions": {"x": [1, 2.5, None, {"深": "い"}]}}
    assert (read.lines, read.portrait, read.creator, read.revision) == (lines, b"\x89PNG\x00", ADA.id, 1)
    assert await store.characters("discord:2") == []
    assert await store.character("discord:2", "zoe") is None


async def test_each_change_of_a_character_is_a_new_revision_also_after_a_deletion(store):
    """An index built for a revision is never met again under other content."""
    content = {"card": {}, "lines": [], "portrait": None}
    await store.save_character(GUILD, "zoe", name="Zoë", by="discord:5", **content)
    changed = await store.save_character(GUILD, "zoe", name="Zoë the Second", by="discord:6", **content)
    assert (changed.revision, changed.creator) == (2, "discord:5")

    await store.delete_character(GUILD, "zoe")
    assert await store.characters() == []
    with pytest.raises(CharacterNotFound, match="zoe"):
        await store.delete_character(GUILD, "zoe")

    again = await store.save_character(GUILD, "zoe", name="Zoë the Third", by="discord:7", **content)
    assert (again.revision, again.creator) == (3, "discord:7")
    assert (await store.status()).characters == 1


async def test_twenty_people_registering_the_same_name_make_twenty_revisions_of_one(store):
    save = store.save_character
    records = await asyncio.gather(*(save(GUILD, "zoe", name=f"Zoë {n}", card={}, lines=[], portrait=None, by=ADA.id) for n in range(20)))

    assert sorted(record.revision for record in records) == list(range(1, 21))
    assert len(await store.characters(GUILD)) == 1


async def test_facts_can_be_listed_changed_pinned_and_removed(store, said, lobby):
    """A fact of one channel is not known in another; one without a channel is known everywhere."""
    turn = await store.remember(said("m1", "I keep bees."), [MARA])
    bees = await store.add_fact(MARA, ADA.id, "keeps bees", channel=lobby, source_turn_id=turn.id)
    tea = await store.add_fact(MARA, ADA.id, "drinks tea")
    await store.add_fact(ODO, ADA.id, "owes him a book", channel=lobby)

    pinned = await store.change_fact(tea.id, pinned=True)
    assert (pinned.text, pinned.pinned) == ("drinks tea", True)
    assert [f.text for f in await store.facts(person_id=ADA.id, character_id=MARA, channel=lobby)] == ["drinks tea", "keeps bees"]
    assert [f.text for f in await store.facts(character_id=MARA, channel=ChannelKey.parse("web:elsewhere"))] == ["drinks tea"]

    assert (await store.change_fact(bees.id, text="keeps wasps")).source_turn_id == turn.id
    assert (await store.fact(bees.id)).text == "keeps wasps"
    assert await store.remove_fact(bees.id)
    assert not await store.remove_fact(bees.id)
    assert await store.change_fact(bees.id, text="gone") is None


async def test_a_recap_takes_the_place_of_the_one_before_and_ends_with_a_reset(store, said, lobby):
    turn = await store.remember(said("m1"), [MARA])
    await store.put_recap(lobby, MARA, turn.id, "They met.")
    await store.put_recap(lobby, MARA, turn.id, "They met and spoke of bees.")
    assert (await store.recap(lobby, MARA)).text == "They met and spoke of bees."
    assert await store.recap(lobby, ODO) is None

    await store.reset(lobby, MARA)
    assert await store.recap(lobby, MARA) is None

    later = await store.remember(said("m2"), [MARA])
    await store.put_recap(lobby, MARA, later.id, "A new beginning.")
    assert (await store.recap(lobby, MARA)).up_to_turn == later.id
