"""A house with two small characters, for commands: real rooms, a real database, a tiny real model."""

import json

import pytest

from bot.characters.card import new_card, to_v3
from bot.commands.desk import Caller
from bot.config import CharacterSettings
from bot.messages import ChannelKey, Counters, Person, Stamp
from tests.house import RecordingPort, open_test_house, said, settings

GUILD = ChannelKey("discord", "1/10")
OTHER = ChannelKey("discord", "2/20")  # another server
ANNA = Person("discord:501", "Anna")
BEN = Person("discord:502", "Ben")


@pytest.fixture
def config(tmp_path, tiny_model):
    for slug, name in (("ada", "Ada Finch"), ("bo", "Bo Reed")):
        folder = tmp_path / "cast" / slug
        folder.mkdir(parents=True)
        ours = {"troupe": {"talkativeness": 0.0 if slug == "bo" else 0.5}}  # Bo speaks when spoken to
        texts = {"description": f"{name} keeps a ferry.", "first_mes": "Come aboard."}
        card = new_card(name, CharacterSettings(), **texts, extensions=ours)
        (folder / "card.json").write_text(json.dumps(to_v3(card)), encoding="utf-8")
    config = settings(tmp_path / "data", tmp_path / "gguf", str(tiny_model))
    return config.model_copy(update={"paths": config.paths.model_copy(update={"characters": tmp_path / "cast"})})


@pytest.fixture
async def house(config):
    async with open_test_house(config) as house:
        yield house


@pytest.fixture
def port():
    return RecordingPort()


@pytest.fixture
def as_(port):
    """``as_("moderator")`` is who asks; others by keyword."""

    def who(rights="member", *, person=ANNA, channel=GUILD, **more):
        return Caller(person, channel, port, moderator=rights == "moderator", operator=rights == "operator", **more)

    return who


@pytest.fixture
def exchange(house, port):
    """Something said and answered, as the conversation leaves it in the database, without asking the model."""

    async def happened(text, *replies, author=ANNA, channel=GUILD, character="house/ada", direct=False):
        store = house.desk.store
        turn = await store.remember(said(text, port, channel=channel, author=author, direct=direct), [character], "answered")
        for take, reply in enumerate(replies):
            delivery = await store.claim(turn, 0, character, name="Ada Finch", seed=1, take=take)
            sent_id = next(iter((await store.takes(delivery))[0].sent_ids), None) or await port.open(_face(house, character), reply)
            await port.edit(sent_id, reply)
            await store.opened(delivery, sent_id)
            await store.finalise(delivery, reply, Stamp("build", character, "r1", 1, 1, counters=Counters()))
            await store.recorded(delivery)
        return turn

    return happened


def _face(house, character):
    return house.desk.company.by_id(character).face
