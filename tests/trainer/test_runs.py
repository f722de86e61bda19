"""Runs and recipes: one process at a time, nothing twice, and every mistake named before any work is done."""

import json
import subprocess
import sys

import pytest

from tests.trainer.company import small_recipe
from trainer.__main__ import main
from trainer.errors import RunRefused, TrainerError
from trainer.manifest import BEGUN, MANIFEST, begin, fingerprint
from trainer.recipe import load_recipe, steps
from trainer.runs import list_runs, run_folder, working_in

HOLD = """
import sys, time
from pathlib import Path
from trainer.runs import working_in
with working_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_process_is_refused_and_a_killed_one_leaves_the_run_free(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"

    with pytest.raises(RunRefused, match="another process works in this run"), working_in(tmp_path / "run"):
        pass
    holder.kill()
    holder.communicate()

    with working_in(tmp_path / "run") as folder:
        assert folder.is_dir()


def test_a_stage_is_finished_only_when_its_manifest_is_written(tmp_path):
    (tmp_path / "input.txt").write_text("one")
    asked = {"inputs": {"text": tmp_path / "input.txt"}, "settings": {"size": 3}, "seed": 1}

    first = begin(tmp_path / "stage", "tune", **asked)
    again = begin(tmp_path / "stage", "tune", **asked)
    again.finish({"loss": 1.5})
    finished = begin(tmp_path / "stage", "tune", **asked)

    assert (first.finished, first.resumed) == (False, False)
    assert (finished.finished, finished.resumed) == (True, False)
    manifest = json.loads((tmp_path / "stage" / MANIFEST).read_text())
    assert manifest["figures"] == {"loss": 1.5}
    assert manifest["versions"]["transformers"]
    assert manifest["inputs"]["text"] == fingerprint(tmp_path / "input.txt")


def test_minutes_of_a_killed_stage_count(tmp_path):
    asked = {"inputs": {}, "settings": {}, "seed": 1}
    stage = begin(tmp_path, "tune", **asked)
    told = json.loads((tmp_path / BEGUN).read_text())
    (tmp_path / BEGUN).write_text(json.dumps({**told, "minutes": 40.0}))

    stage = begin(tmp_path, "tune", **asked)
    stage.finish({})

    assert stage.resumed
    assert json.loads((tmp_path / MANIFEST).read_text())["minutes"] >= 40


def test_a_stage_begun_from_another_input_is_refused_and_says_which(tmp_path):
    text = tmp_path / "input.txt"
    text.write_text("one")
    begin(tmp_path / "stage", "tune", inputs={"text": text}, settings={}, seed=1)
    text.write_text("two")

    with pytest.raises(RunRefused, match=r"begun from something else \(inputs\.text\); choose another run name"):
        begin(tmp_path / "stage", "tune", inputs={"text": text}, settings={}, seed=1)
    with pytest.raises(RunRefused, match="there is no such file"):
        begin(tmp_path / "stage", "tune", inputs={"text": tmp_path / "gone"}, settings={}, seed=1)


@pytest.mark.parametrize("name", ["", "..", "A B", "a/b", "x" * 80])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path, name):
    with pytest.raises(RunRefused, match="cannot be a run's name"):
        run_folder(tmp_path, name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('name = "a"\n[tune]\nlerning_rate = 1', "tune.lerning_rate: Extra inputs are not permitted"),
        ('name = "a"\n[tune]\nrank = 0\n[dataset]\ndraws = "many"', "tune.rank: .*"),
        ('name = "a"\nbase = "starter"\n[tune]\nbase = "other"', "needs the same base"),
        ("name = ", "is not valid TOML"),
        ("[tune]", "name: Field required"),
        ('name = "a"\nbase = "starter"\n[prefer]\nbase = "other"', "needs the same base"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_before_anything_is_done(tmp_path, text, says):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)

    with pytest.raises(TrainerError, match=says):
        load_recipe(recipe)

    recipe.write_text('name = "a"')
    assert load_recipe(recipe).tune.rank == 16


def test_a_recipes_paths_start_at_its_own_folder_and_its_base_is_everybodys(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "a"\nbase = "some/model"\ncharacters = "people"\n[dataset]\ninstructions = ["a.jsonl", "b.jsonl"]\n'
        '[evaluate]\nprobes = 5\nitems = "items.jsonl"\n[publish]\nname = "a-1"\nadapter = "a-adapter"'
    )

    loaded = load_recipe(recipe)

    assert loaded.characters == tmp_path / "people"
    assert loaded.dataset.instructions == (tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert loaded.evaluate is not None and loaded.evaluate.items == tmp_path / "items.jsonl"
    assert {loaded.dataset.base, loaded.tune.base, loaded.merge.base, loaded.evaluate.base} == {"some/model"}
    assert [s.name for s in steps(loaded, tmp_path)] == [
        "dataset",
        "tune",
        "merge",
        "export-adapter",
        "export",
        "quantize",
        "evaluate",
        "publish adapter",
        "publish",
    ]


def test_the_whole_recipe_runs_from_lines_to_a_served_model_and_then_has_nothing_to_do(tmp_path, company, tiny_base, tools, capsys):
    """From characters to ``gguf/current`` in one command; the second time every stage is found finished."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(small_recipe(tiny_base, tools, f'characters = "{company}"'))

    assert main(["run", str(recipe), "--runs", str(tmp_path / "runs")]) == 0
    made = (tmp_path / "gguf" / "small-1.gguf").read_bytes()
    assert main(["run", str(recipe), "--runs", str(tmp_path / "runs")]) == 0

    assert (tmp_path / "gguf" / "current").read_text().strip() == "small-1"
    assert (tmp_path / "gguf" / "small-1.gguf").read_bytes() == made
    rows = list_runs(tmp_path / "runs")
    assert [(r.stage, r.state) for r in rows] == [(s, "finished") for s in ("dataset", "tune", "merge", "export", "quantize")]
    capsys.readouterr()
    assert main(["runs", "--runs", str(tmp_path / "runs")]) == 0
    assert "quantize" in capsys.readouterr().out


def test_the_command_tells_its_stages_and_refuses_what_it_does_not_know(capsys):
    assert main(["--help"]) == 0
    assert "quantize" in capsys.readouterr().out
    assert main([]) == 2
    assert main(["bake"]) == 2
    assert "there is no stage 'bake'" in capsys.readouterr().err


def test_a_foreseen_failure_ends_in_one_sentence_and_no_traceback(tmp_path, capsys):
    code = main(["dataset", "--run", "x", "--runs", str(tmp_path), "--characters", str(tmp_path / "nowhere")])

    told = capsys.readouterr().err
    assert code == 1
    assert "no character is left to learn from" in told
    assert "Traceback" not in told
    assert main(["tune", "--run", "x", "--runs", str(tmp_path), "--rank", "none"]) == 1
    assert "--rank: Input should be a valid integer" in capsys.readouterr().err


def test_help_does_not_load_torch():
    script = "import sys; from trainer.__main__ import main; main(['--help']); assert 'torch' not in sys.modules"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
