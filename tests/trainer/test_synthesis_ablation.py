"""Which mixes the ablation of synthesised data compares."""

import json

from benchmarks.synthesis_ablation import arms


def synthesized(run, method, kept):
    folder = run / f"synthesize-{method}"
    folder.mkdir(parents=True)
    (folder / "stats.json").write_text(json.dumps({"kept": kept}))
    return folder


def test_each_method_with_rows_is_an_arm_and_all_holds_every_one_of_them(tmp_path):
    lessons = tmp_path / "lessons.jsonl"
    dialogues, rolegpt = synthesized(tmp_path, "dialogues", 7), synthesized(tmp_path, "rolegpt", 30)
    synthesized(tmp_path, "people", 0)

    found = {arm.name: arm for arm in arms(tmp_path, lessons, seed=3)}

    assert list(found) == ["C", "A", "B", "A+rolegpt", "A+lessons", "all"]
    assert (found["C"].settings.preset, found["A"].settings.preset, found["B"].settings.preset) == ("C", "A", "B")
    assert found["B"].folders == (dialogues,) and found["A+rolegpt"].folders == (rolegpt,)
    assert found["all"].folders == (dialogues, rolegpt)
    assert found["A+lessons"].lessons == lessons and not any(arm.lessons for name, arm in found.items() if name != "A+lessons")


def test_a_run_without_rows_still_compares_the_two_ways_to_learn_own_lines(tmp_path):
    synthesized(tmp_path, "people", 0)

    assert [arm.name for arm in arms(tmp_path, tmp_path / "lessons.jsonl", seed=3)] == ["C", "A", "A+lessons"]
