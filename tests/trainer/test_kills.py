"""A whole recipe, from a text to a served model, killed in every stage; and a disk that is full in the middle of it."""

import json
import os
import signal
import subprocess
import sys

import pytest

from bot.characters.cast import Cast
from bot.config import CharacterSettings
from bot.engine.models import check
from tests.house import HERE
from tests.trainer.company import MANNERS, QUESTIONS, THOUGHTS, UNSEEN, small_recipe
from trainer.__main__ import main
from trainer.dataset import TRAIN
from trainer.runs import list_runs

pytestmark = pytest.mark.trainer

STAGES = ("extract", "profile", "dataset", "tune", "merge", "export", "quantize")

KILLED_EVERYWHERE = """
import os, signal, sys
from pathlib import Path
from trainer.manifest import Stage
from trainer.recipe import load_recipe, run

recipe, runs = load_recipe(Path(sys.argv[1])), Path(sys.argv[2])
finish = Stage.finish


def until(name):
    def dying(stage, figures):
        if stage.identity["stage"] == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return finish(stage, figures)

    Stage.finish = dying
    run(recipe, runs)


for name in sys.argv[3:]:
    child = os.fork()
    if not child:
        until(name)
        os._exit(0)
    print("killed", name, os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture
def recipe(tmp_path, tiny_base, tools):
    """Two people of a script that is made here."""
    names = {who: manner for who, manner in MANNERS.values() if who != "Cy Ash"}
    lines = ["FIRST ACT", ""]
    for i, (subject, thought) in enumerate([*THOUGHTS.items(), *UNSEEN.items()]):
        for who, manner in names.items():
            # Each of them asks the other, so that everybody has lines with a question before them.
            other = next(name for name in names if name != who)
            lines += [f"{other.upper()}. {QUESTIONS[i % len(QUESTIONS)].format(f'{subject} of {who}')}", ""]
            lines += [f"{who.upper()}. {manner.format(f'{thought} {who[:2] * (i + 2)}')}", ""]
    (tmp_path / "script.txt").write_text("\n".join(lines), encoding="utf-8")
    path = tmp_path / "recipe.toml"
    people = '[extract]\ncharacters = ["Ada North", "Bo Rye"]'
    path.write_text(small_recipe(tiny_base, tools, 'source = "script.txt"', extract=people, publish='characters = "house"'))
    return path


def test_a_run_killed_at_the_last_moment_of_every_stage_ends_in_a_served_model(tmp_path, recipe, capsys):
    """SIGKILL just before each manifest, the moment at which most is lost; then the same command once more."""
    command = [sys.executable, "-c", KILLED_EVERYWHERE, str(recipe), str(tmp_path / "runs"), *STAGES]
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE, env=alone)

    told = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("killed ")]
    assert told == [[name, str(int(signal.SIGKILL))] for name in STAGES], done.stderr[-2000:]
    assert main(["run", str(recipe), "--runs", str(tmp_path / "runs")]) == 0
    assert [(row.stage, row.state) for row in list_runs(tmp_path / "runs")] == [(name, "finished") for name in STAGES]
    assert [c.name for c in Cast.load(tmp_path / "house", CharacterSettings()).house] == ["Ada North", "Bo Rye"]
    assert check(tmp_path / "gguf" / "small-1.gguf").sha256
    assert (tmp_path / "gguf" / "current").read_text(encoding="utf-8").strip() == "small-1"


def test_a_full_disk_ends_in_a_sentence_and_the_next_run_goes_on(tmp_path, company, tiny_base, capsys):
    """/dev/full is a disk without room: every byte written to it is refused by the system itself."""
    command = ["dataset", "--run", "full", "--runs", str(tmp_path), "--characters", str(company), "--base", str(tiny_base), "--watch", "1"]
    beside = tmp_path / "full" / "dataset" / f"{TRAIN}.partial"
    beside.parent.mkdir(parents=True)
    beside.symlink_to("/dev/full")

    assert main(command) == 1
    told = capsys.readouterr().err
    assert "No space left on device; free some space" in told
    assert "Traceback" not in told

    beside.unlink()
    assert main(command) == 0
    assert json.loads((tmp_path / "full" / "dataset" / "manifest.json").read_text(encoding="utf-8"))["figures"]["samples"]
