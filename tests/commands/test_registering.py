"""Registering characters: who may, what is refused, and that a card comes back as it came."""

import asyncio
import io
import json

import pytest
from PIL import Image

from bot.commands import character, registering
from bot.errors import CharacterNotFound, CommandRefused
from bot.messages import ChannelKey
from tests.commands.conftest import BEN, OTHER
from tests.house import open_test_house


def picture(colour="red", side=64):
    written = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(written, "JPEG")
    return written.getvalue()


async def create(house, caller, name="Cora Vance", **fields):
    return await registering.create(house.desk, caller, name, **{"description": "Cora mends clocks.", **fields})


async def names(house, caller):
    return [p.character.name for p in await character.characters(house.desk, caller)]


async def test_a_created_character_is_seen_in_its_own_server_alone(house, as_):
    made = await create(
        house, as_("moderator"), tagline="Clocks, mostly.", greeting="Hm?", definition="Never hurries.", categories=["craft"]
    )

    assert (made.character.id, made.character.card.first_mes) == ("discord:1/cora-vance", "Hm?")
    assert (made.character.card.personality, made.character.settings.tagline) == ("Never hurries.", "Clocks, mostly.")
    assert made.character.settings.categories == made.character.card.tags == ("craft",)
    assert await names(house, as_()) == ["Ada Finch", "Bo Reed", "Cora Vance"]
    assert await names(house, as_(channel=OTHER)) == ["Ada Finch", "Bo Reed"]
    with pytest.raises(CharacterNotFound):
        await registering.delete(house.desk, as_("moderator", channel=OTHER), "Cora Vance")


async def test_a_portrait_is_written_anew_as_a_file_and_drawn_where_none_came(house, config, as_):
    """The file's name is made of the picture, so a connector may keep what it uploaded; nothing of the JPEG itself is kept."""
    drawn = (await create(house, as_("moderator"))).character.portrait
    given = (await registering.avatar(house.desk, as_("moderator"), "cora-vance", picture())).character.portrait

    assert drawn.parent == given.parent == config.paths.data / "portraits"
    assert drawn.name != given.name
    with Image.open(given) as shown:
        assert (shown.format, shown.size) == ("PNG", (64, 64))


async def test_a_registered_character_is_there_after_a_restart(config, as_):
    async with open_test_house(config) as house:
        made = await create(house, as_("moderator"))
    async with open_test_house(config) as house:
        again = house.desk.company.find(as_().channel, "Cora Vance")

    assert again == made.character
    assert again.portrait.is_file()


@pytest.mark.parametrize("name", ["Ada Finch", "ada  finch", "\u0410da Finch", "Аdа Finсh", "Bo-Reed"])
async def test_a_name_that_could_be_taken_for_another_characters_is_refused(house, as_, name):
    """Case, blanks, hyphens and look-alike letters do not make another name."""
    with pytest.raises(CommandRefused, match="here already"):
        await create(house, as_("moderator"), name)


async def test_a_name_that_could_be_taken_for_a_members_is_refused(house, as_):
    with pytest.raises(CommandRefused, match="could be taken for Ben Hall, who is a person"):
        await create(house, as_("moderator"), "BEN HALL", members=["Ben Hall"])


@pytest.mark.parametrize(
    ("name", "why"),
    [("Clyde", "clyde"), ("my discord friend", "discord"), ("everyone", "keeps for itself"), ("", "empty"), ("x" * 81, "81")],
)
async def test_a_name_that_a_platform_refuses_is_refused_at_once(house, as_, name, why):
    with pytest.raises(CommandRefused, match=why):
        await create(house, as_("moderator"), name)
    assert (await create(house, as_("moderator"), "Theresa Grounds")).character.name == "Theresa Grounds"


async def test_a_card_over_its_budget_is_refused_with_both_numbers(house, as_):
    limit = house.config.sessions.card_tokens
    with pytest.raises(CommandRefused, match=rf"has \d+ tokens; the budget is {limit}"):
        await create(house, as_("moderator"), description="clock " * 2 * limit)

    assert await names(house, as_()) == ["Ada Finch", "Bo Reed"]
    assert await house.desk.store.characters() == []


async def test_example_dialogue_that_will_not_be_shown_whole_is_told_of(house, as_):
    made = await create(house, as_("moderator"), example_dialogue="<START>\n{{user}}: Hello\n{{char}}: " + "tick tock " * 400)

    assert any("example dialogue has" in warning and "600" in warning for warning in made.warnings)


async def test_a_picture_that_is_none_is_refused(house, as_):
    with pytest.raises(CommandRefused, match="not a picture"):
        await create(house, as_("moderator"), portrait=b"GIF89a, or so it says")
    assert await names(house, as_()) == ["Ada Finch", "Bo Reed"]


async def test_two_moderators_cannot_register_one_name_at_once(house, as_):
    made = await asyncio.gather(*(create(house, as_("moderator", person=p)) for p in (as_().person, BEN)), return_exceptions=True)

    assert sorted(type(each).__name__ for each in made) == ["CommandRefused", "Registered"]
    assert len(await house.desk.store.characters()) == 1


@pytest.mark.parametrize("png", [True, False])
async def test_a_card_comes_back_as_it_came_with_what_we_do_not_know_in_it(house, as_, png):
    document = {
        "spec": "chara_card_v2",
        "spec_version": "2.0",
        "data": {
            "name": "Dov",
            "description": "Dov sells maps.",
            "personality": "",
            "scenario": "",
            "first_mes": "Lost?",
            "mes_example": "",
            "extensions": {"somebody/else": {"kept": [1, 2]}},
        },
    }
    await registering.import_card(house.desk, as_("moderator"), json.dumps(document).encode(), "dov.json")

    filename, data = await registering.export_card(house.desk, as_("moderator"), "Dov", png=png)
    await registering.delete(house.desk, as_("moderator"), "Dov")
    again = await registering.import_card(house.desk, as_("moderator"), data, filename)

    assert filename == f"dov.{'png' if png else 'json'}"
    assert again.character.card.document()["data"]["extensions"] == {"somebody/else": {"kept": [1, 2]}}
    assert (again.character.card.description, again.character.card.first_mes) == ("Dov sells maps.", "Lost?")


async def test_an_import_may_bring_another_name(house, as_):
    card = json.dumps({"name": "Ada Finch", "description": "Another Ada.", "first_mes": "Hi"}).encode()
    with pytest.raises(CommandRefused, match="Ada Finch is here already"):
        await registering.import_card(house.desk, as_("moderator"), card, "ada.json")

    made = await registering.import_card(house.desk, as_("moderator"), card, "ada.json", name="Ada the Second")

    assert made.character.card.description == "Another Ada."


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"not a card", b"\x89PNG\r\n\x1a\n" + bytes(30), b"PK\x03\x04" + bytes(30), b'{"name": "\xff"}']
)
async def test_a_broken_file_is_refused_with_a_sentence_and_it_still_answers(house, as_, data):
    with pytest.raises(CommandRefused, match=r"^x\.png"):
        await registering.import_card(house.desk, as_("moderator"), data, "x.png")
    assert (await create(house, as_("moderator"))).character.slug == "cora-vance"


async def test_an_edit_changes_what_is_given_and_keeps_the_rest(house, as_):
    await create(house, as_("moderator"), tagline="Clocks.", greeting="Hm?")

    edited = (await registering.edit(house.desk, as_("moderator"), "Cora Vance", new_name="Cora V.", age_restricted=True)).character

    assert (edited.slug, edited.name, edited.settings.tagline, edited.card.first_mes) == ("cora-vance", "Cora V.", "Clocks.", "Hm?")
    assert edited.settings.age_restricted
    with pytest.raises(CommandRefused, match="Nothing was given"):
        await registering.edit(house.desk, as_("moderator"), "Cora V.")


async def test_of_two_edits_at_once_the_second_is_told(house, as_):
    made = (await create(house, as_("moderator"))).character
    await registering.edit(house.desk, as_("moderator"), "Cora Vance", greeting="One.")

    with pytest.raises(CommandRefused, match="just changed"):
        await registering.change_card(house.desk, as_("moderator"), made, made.card)


async def test_an_operator_may_change_a_shipped_character_and_get_it_back(house, as_):
    operator = as_("operator", channel=ChannelKey("web", "lobby"))
    await registering.edit(house.desk, operator, "Ada Finch", greeting="Off.")
    assert house.desk.company.find(OTHER, "ada").card.first_mes == "Off."

    await registering.delete(house.desk, operator, "Ada Finch")

    assert house.desk.company.find(OTHER, "ada").card.first_mes == "Come aboard."
    with pytest.raises(CommandRefused, match="came with Troupe"):
        await registering.delete(house.desk, operator, "Ada Finch")


async def test_an_operator_may_show_a_servers_character_to_all(house, as_):
    await create(house, as_("moderator"))

    await registering.share(house.desk, as_("operator"), "Cora Vance")

    assert "Cora Vance" in await names(house, as_(channel=OTHER))


async def test_nobody_registers_in_the_place_that_all_direct_chats_share(house, as_):
    with pytest.raises(CommandRefused, match="direct chat"):
        await create(house, as_("moderator", channel=ChannelKey("discord", "@me/77")))


async def test_a_server_has_room_for_so_many(config, as_):
    few = config.model_copy(update={"characters": config.characters.model_copy(update={"registered": 1})})
    async with open_test_house(few) as house:
        await create(house, as_("moderator"))
        with pytest.raises(CommandRefused, match=r"the limit is 1 \(characters.registered\)"):
            await create(house, as_("moderator"), "Dora")
