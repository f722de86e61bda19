"""Lore of registered characters, blocks, quotas, a channel's own settings, and the model that is served."""

import asyncio
import shutil

import pytest

from bot.commands import admin, character, lore, model, registering
from bot.errors import CommandRefused
from bot.messages import ChannelKey
from tests.commands.conftest import ANNA, BEN, GUILD, OTHER
from tests.house import open_test_house, said


async def cora(house, as_):
    await registering.create(house.desk, as_("moderator"), "Cora", description="Cora mends clocks.")


async def test_lore_is_added_changed_listed_and_removed(house, as_):
    await cora(house, as_)
    moderator = as_("moderator")
    bridge = await lore.add(house.desk, moderator, "Cora", [" bridge ", ""], "It fell in spring.")
    always = await lore.add(house.desk, moderator, "Cora", [], "It is winter.", constant=True)

    await lore.edit(house.desk, moderator, "Cora", bridge.id, keys=["bridge", "river"])
    changed = await lore.edit(house.desk, moderator, "Cora", bridge.id, content="It fell in May.", enabled=False)

    assert (changed.keys, changed.content, changed.enabled) == (("bridge", "river"), "It fell in May.", False)
    assert [e.id for e in await lore.entries(house.desk, moderator, "Cora")] == [bridge.id, always.id] == ["1", "2"]
    await lore.remove(house.desk, moderator, "Cora", bridge.id)
    assert [e.content for e in await lore.entries(house.desk, moderator, "Cora")] == ["It is winter."]
    for number in (bridge.id, "9", "../1"):
        with pytest.raises(CommandRefused, match="no lore entry"):
            await lore.edit(house.desk, moderator, "Cora", number, content="x")


async def test_lore_without_key_or_content_is_refused_and_a_budget_is_told(house, as_):
    await cora(house, as_)
    moderator = as_("moderator")
    for keys, content, why in (([], "x", "needs a key"), (["x"], " ", "needs content"), (["x"], "y" * 4001, "4,001")):
        with pytest.raises(CommandRefused, match=why):
            await lore.add(house.desk, moderator, "Cora", keys, content)
    assert await lore.entries(house.desk, moderator, "Cora") == ()


async def test_a_blocked_person_is_not_heard_and_leaves_no_row_also_after_a_restart(config, as_, port):
    """No reply, no row, no place in a queue; others are heard."""
    async with open_test_house(config) as house:
        await admin.block(house.desk, as_("moderator", person=BEN), "user", "501", reason="rude")
        assert await house.router.hear(said("Ada?", port, channel=GUILD, author=ANNA)) is None
    async with open_test_house(config) as house:
        assert await house.router.hear(said("Ada?", port, channel=GUILD, author=ANNA)) is None
        assert await house.router.hear(said("Ada?", port, channel=OTHER, author=ANNA)) is not None
        assert await house.router.hear(said("Ada?", port, channel=GUILD, author=BEN)) is not None
        assert await house.desk.store.history(GUILD, None, limit=9) != []
        assert all(t.author_id == BEN.id for t in await house.desk.store.history(GUILD, None, limit=9))
        assert port.notices == []

        await admin.allow(house.desk, as_("moderator", person=BEN), "user", "discord:501")

        assert await house.router.hear(said("Ada?", port, channel=GUILD, author=ANNA)) is not None
        with pytest.raises(CommandRefused, match="no such block"):
            await admin.allow(house.desk, as_("moderator", person=BEN), "user", "501")


async def test_roles_and_channels_can_be_blocked_and_the_house_blocks_everywhere(house, as_, port):
    moderator = as_("moderator", person=BEN)
    thread = ChannelKey("discord", "1/10/99")
    await admin.block(house.desk, moderator, "role", "r7", minutes=5)
    assert await house.router.hear(said("Ada?", port, channel=GUILD, author=ANNA, roles=("r1", "r7"))) is None
    await admin.block(house.desk, moderator, "channel", str(GUILD))
    assert await house.router.hear(said("Ada?", port, channel=thread, author=ANNA)) is None
    await admin.block(house.desk, as_("operator", person=BEN), "user", ANNA.id, everywhere=True)
    assert await house.router.hear(said("Ada?", port, channel=OTHER, author=ANNA)) is None

    assert [(b.kind, b.subject) for b in await admin.blocked(house.desk, moderator)] == [("role", "r7"), ("channel", "discord:1/10")]
    assert len(await admin.blocked(house.desk, as_("operator"))) == 3
    for kind, subject, why in (
        ("channel", "discord:2/20", "no such channel"),
        ("channel", "20", "not a channel"),
        ("user", " ", "by its id"),
        ("user", BEN.id, "ask somebody else"),
        ("planet", "x", "can be blocked"),
    ):
        with pytest.raises(CommandRefused, match=why):
            await admin.block(house.desk, moderator, kind, subject)


async def test_moderators_narrow_a_quota_and_only_operators_widen_it(house, as_, port):
    quota = await admin.quota(house.desk, as_("moderator"), person_per_minute=2, person_per_day=3)
    assert dict(quota) == {"person_messages_per_minute": 2, "person_messages_per_day": 3, "channel_messages_per_minute": 120}
    with pytest.raises(CommandRefused, match=r"31 is more than the house allows \(30\)"):
        await admin.quota(house.desk, as_("moderator"), person_per_minute=31)
    assert (await admin.quota(house.desk, as_("operator"), person_per_minute=31))["person_messages_per_minute"] == 31
    assert (await admin.quota(house.desk, as_("moderator"), person_per_minute=0))["person_messages_per_minute"] == 30
    with pytest.raises(CommandRefused, match="one's own machine"):
        await admin.quota(house.desk, as_("operator", channel=ChannelKey("web", "lobby")), person_per_day=1)


async def test_an_age_restricted_character_keeps_to_places_for_adults(house, as_, port):
    """A thread is what its channel is; when the channel changes, a character that was awake is silent."""
    await cora(house, as_)
    await registering.edit(house.desk, as_("moderator"), "Cora", age_restricted=True)
    thread = ChannelKey("discord", "1/10/99")
    with pytest.raises(CommandRefused, match="for adults"):
        await character.wake(house.desk, as_(channel=thread), "Cora")
    called = await house.router.hear(said("Cora?", port, channel=thread, mentions=("discord:1/cora",)))
    assert await asyncio.wait_for(called, 60) == []

    await admin.note_adults(house.desk, GUILD, adults=True)
    await character.wake(house.desk, as_(channel=thread), "Cora")
    assert [c.name for c in await house.desk.company.awake(thread)] == ["Cora"]
    await admin.note_adults(house.desk, GUILD, adults=False)

    assert await house.desk.company.awake(thread) == []
    with pytest.raises(CommandRefused, match="Discord says itself"):
        await admin.channel(house.desk, as_("moderator"), adults=True)
    chat = ChannelKey("telegram", "-5")
    assert (await admin.channel(house.desk, as_("moderator", channel=chat), adults=True))["adults"] is True
    assert await house.desk.company.for_adults(ChannelKey("telegram", "-5/3"))


async def test_a_channel_may_be_quiet_until_somebody_is_called(house, as_, port):
    await character.wake(house.desk, as_(), "Bo")

    async def replies_to(text):
        return len(await asyncio.wait_for(await house.router.hear(said(text, port, channel=GUILD)), 60))

    assert dict(await admin.channel(house.desk, as_("moderator"), always_answer=False, cascade=0)) == {"always_answer": False, "cascade": 0}
    assert await replies_to("Fine weather.") == 0  # Bo speaks when spoken to
    assert await replies_to("Bo Reed, are you there?") == 1
    with pytest.raises(CommandRefused, match="from 0 to 10"):
        await admin.channel(house.desk, as_("moderator"), cascade=11)


async def test_status_tells_moderators_of_their_place_and_operators_of_the_house(house, as_, exchange):
    await exchange("Hello?", "Aye.")

    moderators, operators = await admin.status(house.desk, as_("moderator")), await admin.status(house.desk, as_("operator"))

    assert moderators.store is None and "tiny" in str(moderators) and moderators.characters == 2
    assert operators.store.people == 1 and "turns 2 answered" in str(operators)


async def test_an_operator_chooses_the_model_of_the_next_start_and_goes_back(house, config, as_, tiny_model):
    config.paths.models.mkdir(exist_ok=True)
    shutil.copy(tiny_model, config.paths.models / "second.gguf")

    assert "second" in await model.use(house.desk, as_("operator"), "second")
    status = await model.status(house.desk, as_("operator"))
    assert (status.next, status.known) == ("second", ("second", "starter"))
    assert "From the next start on it is second." in str(status)
    assert "starter" in await model.rollback(house.desk, as_("operator"))
    for wrong in ("third", "../second", ""):
        with pytest.raises(CommandRefused, match="no model called"):
            await model.use(house.desk, as_("operator"), wrong)
