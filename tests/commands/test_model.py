"""An operator changes the model of a house that is full of people."""

import asyncio
import shutil

import pytest

from bot.commands import model
from bot.engine.models import current_name, set_current, write_manifest
from bot.errors import CommandRefused, ModelNotLoadable
from tests.commands.conftest import ANNA, GUILD
from tests.engine.tiny_model import write_tiny_model
from tests.house import open_test_house, said


@pytest.fixture
async def house(config, tiny_model):
    """One that follows ``gguf/current``, with a second model to choose and a broken one."""
    gguf = config.paths.models
    gguf.mkdir()
    shutil.copy(tiny_model, gguf / "first.gguf")
    write_tiny_model(gguf / "second.gguf", seed=8)
    (gguf / "broken.gguf").write_bytes((gguf / "second.gguf").read_bytes()[:90_000])
    for name in ("first", "second", "broken"):
        write_manifest(gguf / f"{name}.gguf")
    set_current(gguf, "first")
    engine = config.engine.model_copy(update={"model": "current"})
    async with open_test_house(config.model_copy(update={"engine": engine})) as house:
        yield house


async def answered_by(house, port):
    heard = await house.router.hear(said("Ada?", port, channel=GUILD, author=ANNA, mentions=("house/ada",)))
    [reply] = await asyncio.wait_for(heard, 60)
    return reply.stamp.build.partition("@")[0]


async def test_an_operator_lets_some_channels_try_a_model_and_takes_it_away(house, as_, port):
    """The house was opened without a share: so nobody tries anything. With a share its rooms have it at once."""
    with pytest.raises(ModelNotLoadable, match=r"set canary\.share"):
        await model.try_out(house.desk, as_("operator"), "second")
    with pytest.raises(CommandRefused, match="Only whoever runs this Troupe"):
        await model.try_out(house.desk, as_("moderator"), "second")
    house.desk.engine._share = 1.0

    assert "answers 100% of the channels" in await model.try_out(house.desk, as_("operator"), "second")
    assert await answered_by(house, port) == "second"
    assert "too few to compare" in str(await model.status(house.desk, as_("operator")))
    assert "is tried no more" in await model.rollback(house.desk, as_("operator"))
    assert await answered_by(house, port) == "first"
    await model.try_out(house.desk, as_("operator"), "second")
    assert "answers everybody from now on" in await model.use(house.desk, as_("operator"), "second")
    assert await answered_by(house, port) == "second"


async def test_another_model_answers_from_now_on_and_the_one_before_can_be_had_again(house, as_, port):
    assert await answered_by(house, port) == "first"

    told = await model.use(house.desk, as_("operator"), "second")

    assert "second@" in told and "from now on" in told
    assert await answered_by(house, port) == "second"
    assert "answers already" in await model.use(house.desk, as_("operator"), "second")
    assert "first@" in await model.rollback(house.desk, as_("operator"))
    assert await answered_by(house, port) == "first"


async def test_a_truncated_model_is_refused_and_the_old_one_answers(house, config, as_, port):
    with pytest.raises(ModelNotLoadable, match=r"broken\.gguf is not a model that llama\.cpp can load.*; first@\w+ goes on"):
        await model.use(house.desk, as_("operator"), "broken")

    assert await answered_by(house, port) == "first"
    assert current_name(config.paths.models) == "first"
    assert "was not taken" in str(await model.status(house.desk, as_("operator")))
    with pytest.raises(CommandRefused, match="Only whoever runs this Troupe"):
        await model.use(house.desk, as_("moderator"), "second")
