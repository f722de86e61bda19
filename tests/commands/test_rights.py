"""Who may do what: every command as a member, a moderator and an operator, at home and from another server."""

import inspect

import pytest

from bot.commands import admin, character, chat, likeness, lore, memory, model, privacy, registering
from bot.commands.desk import MADE_UP
from bot.commands.help import COMMANDS, help_text
from bot.errors import BotError, CharacterNotFound, CommandRefused
from bot.messages import ChannelKey
from tests.commands.conftest import ANNA, BEN, OTHER

CARD = b'{"name": "Dov", "description": "Dov sells maps.", "first_mes": "Lost?"}'

# The lowest right that a command asks for in a server, and how it is called; every public command stands here.
EVERYBODY = {
    "characters": lambda desk, who: character.characters(desk, who),
    "info": lambda desk, who: character.info(desk, who, "Cora"),
    "wake": lambda desk, who: character.wake(desk, who, "Cora"),
    "sleep": lambda desk, who: character.sleep(desk, who, "Ada"),
    "reset": lambda desk, who: chat.reset(desk, who),
    "stop": lambda desk, who: chat.stop(desk, who),
    "scene": lambda desk, who: chat.scene(desk, who, "A quay."),
    "undo": lambda desk, who: chat.undo(desk, who),
    "rate": lambda desk, who: chat.rate(desk, who, "up"),
    "report": lambda desk, who: chat.report(desk, who, "none"),
    "questions": lambda desk, who: likeness.questions(desk, who),
    "answer": lambda desk, who: likeness.answer(desk, who, 1, True),
    "regenerate": lambda desk, who: chat.regenerate(desk, who),
    "go_on": lambda desk, who: chat.go_on(desk, who),
    "previous_take": lambda desk, who: chat.previous_take(desk, who),
    "next_take": lambda desk, who: chat.next_take(desk, who),
    "facts": lambda desk, who: memory.facts(desk, who),
    "add": lambda desk, who: memory.add(desk, who, "Cora", "I like tea."),
    "status": lambda desk, who: privacy.status(desk, who),
    "consent": lambda desk, who: privacy.consent(desk, who, "train", True),
    "export": lambda desk, who: privacy.export(desk, who),
    "forget": lambda desk, who: privacy.forget(desk, who),
}
MODERATORS = {
    "create": lambda desk, who: registering.create(desk, who, "Dov", description="Dov sells maps."),
    "import_card": lambda desk, who: registering.import_card(desk, who, CARD, "dov.json"),
    "export_card": lambda desk, who: registering.export_card(desk, who, "Cora", png=False),
    "edit": lambda desk, who: registering.edit(desk, who, "Cora", greeting="Yes?"),
    "delete": lambda desk, who: registering.delete(desk, who, "Cora"),
    "hide": lambda desk, who: chat.hide(desk, who, "none"),
    "edit reply": lambda desk, who: chat.edit(desk, who, "none", "Aye."),
    "facts_here": lambda desk, who: memory.facts_here(desk, who),
    "fact of place": lambda desk, who: memory.add(desk, who, "Cora", "The ferry is late.", of_place=True),
    "entries": lambda desk, who: lore.entries(desk, who, "Cora"),
    "add lore": lambda desk, who: lore.add(desk, who, "Cora", ["ferry"], "It is late."),
    "edit lore": lambda desk, who: lore.edit(desk, who, "Cora", "1", content="It is early."),
    "remove lore": lambda desk, who: lore.remove(desk, who, "Cora", "1"),
    "block": lambda desk, who: admin.block(desk, who, "user", "777"),
    "allow": lambda desk, who: admin.allow(desk, who, "user", "777"),
    "blocked": lambda desk, who: admin.blocked(desk, who),
    "quota": lambda desk, who: admin.quota(desk, who, person_per_minute=5),
    "channel": lambda desk, who: admin.channel(desk, who, cascade=1),
    "portray": lambda desk, who: likeness.portray(desk, who, BEN.id, "Tilda Wren"),
    "reports": lambda desk, who: admin.reports(desk, who),
    "settle": lambda desk, who: admin.settle(desk, who, 1),
    "admin status": lambda desk, who: admin.status(desk, who),
}
OPERATORS = {
    "share": lambda desk, who: registering.share(desk, who, "Cora"),
    "edit the house's": lambda desk, who: registering.edit(desk, who, "Ada", greeting="Yes?"),
    "delete the house's": lambda desk, who: registering.delete(desk, who, "Ada"),
    "avatar of the house's": lambda desk, who: registering.avatar(desk, who, "Ada", b""),
    "lore of the house's": lambda desk, who: lore.add(desk, who, "Ada", ["x"], "y"),
    "block everywhere": lambda desk, who: admin.block(desk, who, "user", "777", everywhere=True),
    "allow everywhere": lambda desk, who: admin.allow(desk, who, "user", "777", everywhere=True),
    "status of another": lambda desk, who: privacy.status(desk, who, BEN.id),
    "export of another": lambda desk, who: privacy.export(desk, who, BEN.id),
    "model status": lambda desk, who: model.status(desk, who),
    "model use": lambda desk, who: model.use(desk, who, "nothing"),
    "model try": lambda desk, who: model.try_out(desk, who, "nothing"),
    "model rollback": lambda desk, who: model.rollback(desk, who),
    "forget another": lambda desk, who: privacy.forget(desk, who, BEN.id),
}
NEEDED = {"member": EVERYBODY, "moderator": MODERATORS, "operator": OPERATORS}
RIGHTS = list(NEEDED)


async def refused_for_rights(call, desk, who):
    """Whether a command was refused for want of rights; whatever else it says is about its matter."""
    try:
        await call(desk, who)
    except CommandRefused as error:
        return str(error).startswith(("Only moderators can", "Only whoever runs this Troupe can"))
    except BotError:
        return False
    return False


@pytest.mark.parametrize("rights", RIGHTS)
async def test_each_command_asks_for_the_right_it_needs(house, as_, rights):
    """The handler decides, whatever the platform's menu shows."""
    await registering.create(house.desk, as_("moderator"), "Cora", description="Cora mends clocks.")
    who = as_(rights)
    for needed, commands in NEEDED.items():
        expected = RIGHTS.index(rights) < RIGHTS.index(needed)
        for name, call in commands.items():
            assert await refused_for_rights(call, house.desk, who) is expected, (rights, name)


@pytest.mark.parametrize("rights", RIGHTS)
async def test_what_changes_the_house_on_its_own_page_is_the_operators(house, as_, rights):
    """A channel of the page belongs to no server: what is registered there is seen everywhere."""
    who = as_(rights, channel=ChannelKey("web", "lobby"))
    for name in ("create", "import_card", "block", "allow"):
        assert await refused_for_rights(MODERATORS[name], house.desk, who) is (rights != "operator"), name


@pytest.mark.parametrize("rights", RIGHTS[:2])
async def test_another_servers_character_is_not_found_by_any_command(house, as_, rights):
    """Not refused but not found: nobody learns what other servers have."""
    await registering.create(house.desk, as_("moderator"), "Cora", description="Cora mends clocks.")
    stranger = as_(rights, channel=OTHER)
    asked = 0
    for commands in NEEDED.values():
        for name, call in commands.items():
            if "Cora" not in inspect.getsource(call).split(f'"{name}":')[-1].split("\n")[0]:
                continue
            if await refused_for_rights(call, house.desk, stranger):
                continue
            asked += 1
            with pytest.raises(CharacterNotFound, match="no character called 'Cora'"):
                await call(house.desk, stranger)
    assert asked >= 3
    assert house.desk.company.find(as_().channel, "Cora").name == "Cora"


async def test_another_servers_messages_and_memories_are_not_found(house, as_, exchange):
    """Ids are easy to guess; a moderator of another server gets the same answer for a real one as for none."""
    turn = await exchange("My secret is the ferry.", "I keep it.")
    sent = (await house.desk.store.deliveries(turn.id))[0].sent_ids[0]
    fact = await memory.add(house.desk, as_(), "Ada", "I like tea.")
    stranger = as_("moderator", person=BEN, channel=OTHER)

    for call in (
        lambda: chat.hide(house.desk, stranger, sent),
        lambda: chat.edit(house.desk, stranger, sent, "Nothing."),
        lambda: chat.rate(house.desk, stranger, "up", sent),
        lambda: chat.next_take(house.desk, stranger, sent),
        lambda: chat.regenerate(house.desk, stranger, sent),
        lambda: memory.edit(house.desk, stranger, fact.id, "I hate tea."),
        lambda: memory.pin(house.desk, stranger, fact.id),
        lambda: memory.remove(house.desk, stranger, fact.id),
        lambda: memory.edit(house.desk, as_(person=BEN), fact.id, "I hate tea."),
    ):
        with pytest.raises(CommandRefused, match=r"no such|no memory|no reply") as refusal:
            await call()
        assert "tea" not in str(refusal.value)
    assert (await house.desk.store.fact(fact.id)).text == "I like tea."
    assert [t.text for t in await house.desk.store.history(turn.channel, None, limit=9)] == ["My secret is the ferry.", "I keep it."]


async def test_help_shows_each_the_commands_that_are_theirs(house, as_):
    member, moderator, operator = (help_text(house.desk, as_(rights)) for rights in RIGHTS)

    assert "/privacy forget" in member and "/character create" not in member
    assert "/character create" in moderator and "/character share" not in moderator
    assert "/character share" in operator
    assert all(text.endswith(MADE_UP) for text in (member, moderator, operator))
    assert help_text(house.desk, as_(), "/memory").count("\n") == 5
    assert all(len(command.words) <= 100 for command in COMMANDS.values())


async def test_a_blocked_person_may_still_look_after_their_own_data(house, as_):
    await admin.block(house.desk, as_("moderator", person=BEN), "user", ANNA.id)

    for name in ("wake", "reset", "scene", "undo", "rate", "regenerate", "go_on", "add", "next_take", "stop"):
        with pytest.raises(CommandRefused, match="not heard here"):
            await EVERYBODY[name](house.desk, as_())
    for name in ("status", "consent", "export", "forget"):
        await EVERYBODY[name](house.desk, as_())
