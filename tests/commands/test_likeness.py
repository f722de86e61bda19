"""Characters made from a member's messages: only with that member's own agreement, and gone without a trace when it ends."""

import asyncio

import pytest

from bot import data_desk
from bot.commands import character, likeness, privacy, registering
from bot.commands.likeness import AskedFor
from bot.errors import CharacterNotFound, CommandRefused
from bot.messages import ChannelKey
from tests.commands.conftest import ANNA, BEN, GUILD, OTHER
from tests.commands.test_privacy import found_in
from tests.house import open_test_house, said

MANNER = "crumbs and comets"  # what only Anna says


@pytest.fixture
async def talkative(exchange):
    """Anna has said enough here to be recognised, and something elsewhere."""
    for number in range(14):
        await exchange(f"Well, {MANNER}, that makes {number} of them.", "Aye.", author=ANNA)
    await exchange("Something from another server, of all things.", "Aye.", author=ANNA, channel=OTHER)
    await exchange("<@502> was here too, by the way.", "Aye.", author=ANNA)


async def ask(house, as_, name="Tilda Wren"):
    return await likeness.portray(house.desk, as_("moderator", person=BEN), ANNA.id, name, person_name="Anna")


async def agree(house, as_):
    [question] = await likeness.questions(house.desk, as_())
    return await likeness.answer(house.desk, as_(), question.id, True)


async def test_a_character_is_made_from_somebodys_messages_only_after_they_agreed(house, as_, port, talkative):
    asked = await ask(house, as_)
    assert isinstance(asked, AskedFor) and "was asked about Tilda Wren" in str(asked)
    assert port.notices == ["Anna, a moderator would like to make a character from what you said here. /privacy has the question for you."]
    assert isinstance(await ask(house, as_), AskedFor)

    assert "may be made" in await agree(house, as_)
    made = await ask(house, as_)

    lines = [line.reply for line in made.character.lines]
    assert len(lines) == 14 and all(MANNER in line for line in lines)
    assert {line.said for line in made.character.lines} == {"…", "Aye."}
    [receipt] = await likeness.questions(house.desk, as_())
    assert (receipt.state, receipt.channel, receipt.wording, receipt.slug) == ("agreed", GUILD, "likeness-1", "tilda-wren")
    assert "likenesses" in (await privacy.status(house.desk, as_())).stored


async def test_only_moderators_ask_and_only_the_person_answers(house, as_, talkative):
    with pytest.raises(CommandRefused, match="Only moderators"):
        await likeness.portray(house.desk, as_(person=BEN), ANNA.id, "Tilda")
    await ask(house, as_)
    [question] = await likeness.questions(house.desk, as_())
    for other in (as_("moderator", person=BEN), as_("operator", person=BEN)):
        with pytest.raises(CommandRefused, match="You were not asked"):
            await likeness.answer(house.desk, other, question.id, True)
    assert isinstance(await ask(house, as_), AskedFor)
    with pytest.raises(CommandRefused, match="said nothing here"):
        await likeness.portray(house.desk, as_("moderator", person=BEN), "discord:999", "Nobody At All")


async def test_whoever_refused_is_not_asked_again(house, as_, port, talkative):
    await ask(house, as_)
    [question] = await likeness.questions(house.desk, as_())
    await likeness.answer(house.desk, as_(), question.id, False)
    port.notices.clear()

    assert "has not agreed" in str(await ask(house, as_))
    assert port.notices == []


async def test_too_few_messages_make_no_character(house, as_, exchange):
    await exchange("Hello there, you.", "Aye.", author=ANNA)
    await ask(house, as_)
    await agree(house, as_)

    with pytest.raises(CommandRefused, match="There are 1 messages"):
        await ask(house, as_)


async def test_such_a_character_stays_where_its_person_can_withdraw_it(house, as_, talkative):
    await ask(house, as_)
    await agree(house, as_)
    await ask(house, as_)

    with pytest.raises(CommandRefused, match="stays here"):
        await registering.export_card(house.desk, as_("moderator"), "tilda-wren", png=True)
    with pytest.raises(CommandRefused, match="stays here"):
        await registering.share(house.desk, as_("operator"), "tilda-wren")


@pytest.mark.parametrize("forgotten", [False, True], ids=["withdrawn", "forgotten"])
async def test_its_end_leaves_no_trace_of_it(config, as_, port, forgotten):
    """The cast, revisions, what it said and remembers, its place in channels, its picture, backups, saved prompts."""
    scope = GUILD.scope
    async with open_test_house(config) as house:
        desk, store = house.desk, house.desk.store
        for number in range(14):
            await store.remember(said(f"Well, {MANNER}, {number} of them.", port, channel=GUILD, author=ANNA), ["house/ada"], "answered")
        await ask(house, as_)
        await agree(house, as_)
        await ask(house, as_)
        await ask(house, as_)  # made anew: a second revision
        bens = as_("moderator", person=BEN)
        await character.wake(desk, bens, "tilda-wren")
        await character.wake(desk, bens, "ada")
        [reply] = await asyncio.wait_for(
            await house.router.hear(said("Tilda?", port, channel=GUILD, author=BEN, mentions=(f"{scope}/tilda-wren",))), 60
        )
        assert reply.character.slug == "tilda-wren"
        await store.put_recap(GUILD, f"{scope}/tilda-wren", reply.turn_id, f"They spoke of {MANNER}.")
        await store.backup(config.paths.data / "backups" / "before.db")
        (config.paths.models / "prefixes").mkdir(parents=True, exist_ok=True)
        (config.paths.models / "prefixes" / "tilda.state").write_bytes(b"state")
        pictures = set((config.paths.data / "portraits").glob("*.png"))
        assert pictures

        if forgotten:
            await privacy.forget(desk, as_())
        else:
            [question] = await likeness.questions(desk, as_())
            assert "is gone, with everything it said" in await likeness.answer(desk, as_(), question.id, False)
            await store.checkpoint()

        assert desk.company.by_id(f"{scope}/tilda-wren") is None
        assert await store.awake(GUILD) == ("house/ada",)
        assert [turn.text for turn in await store.history(GUILD, None, limit=50) if turn.by_character] == []
        assert not [path for path in pictures if path.exists()]
        assert not list((config.paths.models / "prefixes").iterdir())
        assert found_in(config.paths.data, "tilda-wren") == []
        if forgotten:
            assert found_in(config.paths.data, MANNER) == []
        else:
            assert isinstance(await ask(house, as_), AskedFor)
        [answered] = await asyncio.wait_for(
            await house.router.hear(said("Ada?", port, channel=GUILD, author=BEN, mentions=("house/ada",))), 60
        )
        assert answered.text


async def test_a_running_house_lets_go_of_whom_a_command_beside_it_forgets(house, config, as_, port, talkative):
    """``troupe data forget`` is another process: the cast and the sessions here had gone on with what it deleted."""
    await ask(house, as_)
    await agree(house, as_)
    await ask(house, as_)
    scope = house.desk.company.by_id("discord:1/tilda-wren").scope
    following = asyncio.create_task(privacy.follow_forgetting(house.desk, config.paths.data, 0.05))
    try:
        await data_desk.forget(config, ANNA.id)
        async with asyncio.timeout(20):
            while house.desk.company.by_id(f"{scope}/tilda-wren") is not None:  # noqa: ASYNC110 - the cast tells nobody when it changes
                await asyncio.sleep(0.05)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    with pytest.raises(CharacterNotFound):
        await character.wake(house.desk, as_("moderator", person=BEN), "tilda-wren")
    assert found_in(config.paths.data, MANNER) == []
    [answered] = await asyncio.wait_for(await house.router.hear(said("Ada?", port, channel=GUILD, author=BEN, mentions=("house/ada",))), 60)
    assert answered.text


async def test_a_withdrawal_takes_the_agreement_out_of_chat_exports_too(house, as_, talkative):
    """The trainer asks the same register before it learns from an exported chat."""
    assert await house.desk.store.lent_voices() == frozenset()
    await ask(house, as_)
    await agree(house, as_)
    assert await house.desk.store.lent_voices() == {ANNA.id}

    [question] = await likeness.questions(house.desk, as_())
    await likeness.answer(house.desk, as_(channel=ChannelKey("discord", "@me/1")), question.id, False)

    assert await house.desk.store.lent_voices() == frozenset()
