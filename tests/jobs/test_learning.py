"""Retraining by schedule: not before there is enough, in a process of its own, and taken up again after a stop."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta

import pytest

from bot.config import Config, MemorySettings, Paths, load_config
from bot.errors import BotError, ConfigError
from bot.jobs import learning
from bot.jobs.learning import STATE, command, learn, read_loop
from bot.jobs.plan import planned
from bot.memory.store import Store
from tests.trainer.talks import ANNA, BEN, agree, exchange

NOW = datetime.now(UTC)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "characters").mkdir()
    (tmp_path / "config.toml").write_text("[training]\nnew_pairs = 2\nretrain_hours = 24\nmethod = 'kto'\n")
    return load_config(tmp_path / "config.toml")


@pytest.fixture
async def store(config):
    store = await Store.open(MemorySettings(), config.paths.data)
    yield store
    await store.close()


async def rated(store, person, value=5):
    _, [take] = await exchange(store, person, f"Words of {person.name} {value}?", "An answer.")
    await store.rate(take.id, person.id, value)


async def test_it_waits_until_enough_was_given_by_people_who_agreed(store, config):
    await agree(store, ANNA)
    await rated(store, ANNA)
    await rated(store, BEN)
    await rated(store, BEN, 1)

    assert await learn(store, config, NOW) == "1 new preferences of 2"
    assert read_loop(config.paths.data).run == ""


@pytest.fixture
def trainer(config, monkeypatch):
    """Another program in the trainer's place: what it prints and how it ends is up to the test."""
    script = config.paths.data / "trainer.py"
    monkeypatch.setattr(learning, "command", lambda _config, run: (sys.executable, str(script), run))
    return script


async def test_what_the_trainer_refuses_is_told_and_not_tried_again_before_there_is_more(store, config, trainer):
    await agree(store, ANNA)
    for value in (1, 5):
        await rated(store, ANNA, value)
    trainer.write_text("import sys\nsys.exit('troupe-train retrain: 1 pairs are not enough; wait')\n")

    with pytest.raises(BotError, match=r"^retraining failed: 1 pairs are not enough; wait; all of it is in .*retrain\.log"):
        await learn(store, config, datetime.now(UTC))

    assert read_loop(config.paths.data).ended
    assert await learn(store, config, datetime.now(UTC)) == "0 new preferences of 2"


async def test_a_retraining_that_was_stopped_goes_on_where_it_was(store, config, trainer):
    """On the way home its process is ended; the next process takes the same run up, though nobody rated since."""
    trainer.write_text("import os, sys, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    await agree(store, ANNA)
    for value in (1, 5):
        await rated(store, ANNA, value)

    begun = asyncio.create_task(learn(store, config, NOW))
    told = config.paths.data / "runs" / f"loop-{NOW:%Y%m%d-%H%M%S}" / "retrain.log"
    async with asyncio.timeout(30):
        while not (told.is_file() and told.read_text().endswith("\n")):  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.01)
    begun.cancel()
    await asyncio.gather(begun, return_exceptions=True)

    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)
    stopped = read_loop(config.paths.data)
    assert (stopped.run, stopped.ended) == (told.parent.name, "")
    trainer.write_text(
        "import sys\nprint('troupe-train retrain: ' + sys.argv[1] + ' is not served and stays in data: worse')\nsys.exit(1)\n"
    )
    assert "is not served and stays in" in await learn(store, config, NOW + timedelta(days=1))
    assert read_loop(config.paths.data).run == stopped.run


def test_the_trainer_is_asked_with_the_houses_own_settings_and_low_priority(config):
    words = list(command(config, "loop-1"))

    assert words[:4] == [sys.executable, "-m", "trainer", "retrain"]
    assert words[words.index("--config") + 1] == str(config.file)
    assert words[words.index("--nice") + 1] == "15"
    assert words[words.index("--method") + 1] == "kto"
    with pytest.raises(ConfigError, match=r"needs a config\.toml"):
        command(Config(paths=Paths(data=config.paths.data)), "loop-1")


async def test_it_is_a_job_only_where_somebody_switched_it_on(store, config):
    assert "retrain" in [job.name for job in planned(config, store)]
    assert "retrain" not in [job.name for job in planned(Config(paths=config.paths), store)]


def test_a_note_that_cannot_be_read_is_no_retraining(tmp_path):
    (tmp_path / STATE).write_text("[1")
    assert read_loop(tmp_path).run == ""
    (tmp_path / STATE).write_text(json.dumps({"run": "loop-1"}))
    assert read_loop(tmp_path).run == "loop-1"
