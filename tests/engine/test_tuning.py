"""What this machine was found to be quickest with counts for that model alone, and only where nobody has said otherwise."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bot.bench.command import tune_here
from bot.config import Config, EngineSettings, Paths
from bot.engine.models import ModelFile, find_model
from bot.engine.threads import usable_cores
from bot.engine.tuning import Choice, choose, write_tuning
from tests.engine.talk import engine_on, prompt, say
from tests.engine.tiny_model import write_tiny_model

ODD = Choice(threads=1, cache_type="q8_0", flash_attention="on", batch_tokens=77)


@pytest.fixture
def file(tmp_path: Path) -> ModelFile:
    return find_model(str(write_tiny_model(tmp_path / "tiny.gguf")), tmp_path)


def test_without_a_measurement_it_is_what_is_usually_best(file: ModelFile):
    """On a CPU all cores, no flash attention, whole numbers in the cache."""
    choice = choose(EngineSettings(gpu_layers=0), file)

    assert choice == Choice(threads=usable_cores(), cache_type="f16", flash_attention="off", batch_tokens=512)
    assert choose(EngineSettings(gpu_layers=1), file).flash_attention == "on"
    assert choose(EngineSettings(gpu_layers=0, cache_type="q8_0"), file).flash_attention == "on"


def test_what_was_measured_counts_until_a_setting_says_otherwise(file: ModelFile):
    """``auto`` is filled in; everything else is the operator's."""
    write_tuning(ODD, EngineSettings(), file)

    assert choose(EngineSettings(), file) == ODD
    mine = choose(EngineSettings(threads=3, batch_tokens=64, cache_type="f16", flash_attention="off"), file)
    assert mine == Choice(threads=3, cache_type="f16", flash_attention="off", batch_tokens=64)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"threads": 0}'])
def test_a_damaged_measurement_is_left_aside(file: ModelFile, content: str):
    """It costs speed, not a start."""
    path = write_tuning(ODD, EngineSettings(), file)
    path.write_text(content)

    assert choose(EngineSettings(), file).batch_tokens != ODD.batch_tokens


@pytest.mark.parametrize("key", ["model", "llama_cpp_python", "processor", "cores", "gpu_layers"])
def test_a_measurement_of_something_else_is_left_aside(file: ModelFile, key: str):
    """Another file under that name, another llama.cpp, another machine."""
    path = write_tuning(ODD, EngineSettings(), file)
    known = json.loads(path.read_text())
    known[key] = 7 if isinstance(known[key], int) else "other"
    path.write_text(json.dumps(known))

    assert choose(EngineSettings(), file).batch_tokens != ODD.batch_tokens


async def test_tuning_measures_writes_and_is_read_at_the_next_start(file: ModelFile, tmp_path: Path):
    """One of the candidates is chosen, and the engine answers with it."""
    config = Config(paths=Paths(models=tmp_path), engine=EngineSettings(model=str(file.path), live_replies=3))
    told = Console(file=StringIO(), width=160)

    await tune_here(config, told)

    written = json.loads((tmp_path / "tiny.tuning.json").read_text())
    assert choose(EngineSettings(), file).model_dump() == {name: written[name] for name in Choice.model_fields}
    assert "chosen" in told.file.getvalue()
    async with engine_on(file.path) as engine:
        assert (await say(engine, prompt(engine, "Hello")))[0]
