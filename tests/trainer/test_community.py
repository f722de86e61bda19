"""The whole loop in small: people talk, rate, agree; a build is made of it, judged, and swapped in while they go on talking."""

import pytest

from benchmarks.community import Plan, run_community
from trainer.export import ExportSettings
from trainer.retrain_gate import GateSettings

pytestmark = pytest.mark.trainer


async def test_a_small_community_goes_once_round_the_loop(tmp_path, tiny_gguf, company, tools):
    """With random weights the gate may say what it likes; nothing is lost, and nobody is in it who did not agree."""
    plan = Plan(
        people=6, turns=72, after=8, budget=6_000, bad_budget=0, seed=3, types=("Q8_0",), probes=1, watch=1, reply_tokens=14,
        short_words=5, patience=0.3, cast=("ada-north", "bo-rye", "cy-ash"), threads=1,
    )  # fmt: skip
    loose = GateSettings(general_share=9, lines_share=9, count_share=9, identification=9, threads=1)
    converter = ExportSettings(outtype="f32", cache=tools, gate_samples=2, gate_prompts=0)
    told = []

    done = await run_community(
        tmp_path, plan, model=tiny_gguf, gate=loose, converter=converter, characters=company, tell=told.append
    )  # fmt: skip

    assert (done.turns, done.agreed) == (72, 3)
    assert done.rated and done.taken_again
    assert done.collected["pairs"] >= 8
    assert (done.rows_without_consent, done.words_without_consent) == (0, 0)
    assert (done.lost, done.doubled) == (0, 0)
    assert sum(done.replies_across_swap.values()) == 32
    assert done.found_after_forgetting == 0
    assert "cut-off" in done.cut_off_refused and done.answered_after_cut_off == "8 of 8 by the one before"
    steps = [line.split(":")[0].split(" ")[0] for line in told if ":" in line and not line.startswith("talk 40")]
    assert steps == ["seed", "talk", "talk", "rate", "gate", "swap", "talk", "short", "words", "cut", "forget"]
