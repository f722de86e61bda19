"""What sets characters apart: pairs that hold the question fixed, and a recipe that learns from them."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.company import MANNERS, QUESTIONS, THOUGHTS, write_company, write_lines
from trainer.contrast import ContrastSettings, contrast
from trainer.dataset import DatasetSettings, divide
from trainer.errors import SourceRefused
from trainer.recipe import load_recipe, steps
from trainer.retrain_lessons import PAIRS, read_pairs
from trainer.tune import ADAPTER

pytestmark = pytest.mark.trainer


@pytest.fixture
def pairs(tmp_path, company, tiny_base):
    def made(**more):
        return read_pairs(contrast(company, tmp_path / "contrast", ContrastSettings(base=str(tiny_base), watch=1, **more)) / PAIRS)

    return made


def test_the_rejected_reply_is_somebody_elses_answer_to_the_same_question(pairs, company, tiny_base, tokenizer):
    """The prompt shows one character; both replies end with the end token, and neither stands among the exemplars."""
    taught = {e.id: (p.character, e) for p in divide(company, DatasetSettings(base=str(tiny_base), watch=1))[0] for e in p.taught}

    found = pairs(others=1)

    assert len(found) > 10
    for pair in found:
        (own, mine), (other, theirs) = (taught[line] for line in pair.key.split("/"))
        assert own.slug != other.slug
        assert mine.said == theirs.said
        assert tokenizer.decode(pair.chosen[:-1]).strip() == mine.reply
        assert tokenizer.decode(pair.rejected[:-1]).strip() == theirs.reply
        assert pair.chosen[-1] == pair.rejected[-1] == tokenizer.eos_id
        shown = tokenizer.decode(pair.prompt)
        assert f"Speak only as {own.name}" in shown
        assert mine.said in shown
        assert mine.reply not in shown


def test_whoever_is_left_out_is_in_no_pair(pairs):
    assert not any("cy-ash" in pair.key for pair in pairs(answered_by=2, leave_out=("cy-ash",)))


def test_a_company_in_which_nobody_is_asked_the_same_is_refused_with_what_to_do(tmp_path, tiny_base):
    company = write_company(tmp_path / "characters")
    for i, (slug, (_, manner)) in enumerate(MANNERS.items()):
        subjects = list(THOUGHTS.items())[i * 4 : i * 4 + 4]
        write_lines(company / slug / "lines.jsonl", slug, manner, dict(subjects))

    with pytest.raises(SourceRefused, match="ask them all the same, or lower answered_by"):
        contrast(company, tmp_path / "contrast", ContrastSettings(base=str(tiny_base), watch=1))

    for slug, (_, manner) in MANNERS.items():
        write_lines(company / slug / "lines.jsonl", slug, manner, dict(list(THOUGHTS.items())[: len(QUESTIONS)]))
    assert contrast(company, tmp_path / "contrast", ContrastSettings(base=str(tiny_base), watch=1))


def test_a_recipe_learns_from_pairs_and_publishes_one_adapter(tmp_path, company, tiny_base, tools):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'name = "apart"\nbase = "{tiny_base}"\ncharacters = "{company}"\nmodels = "gguf"\n[export]\ncache = "{tools}"\n'
        "[dataset]\ndraws = 1\nwatch = 1\nfixed = [2, 0]\n"
        "[tune]\nwatches = 1\nthreads = 1\nmax_tokens = 2000\n[contrast]\nwatch = 1\nothers = 1\n"
        "[prefer]\nmax_tokens = 4000\nstep_rows = 1\nlearning_rate = 1e-2\nthreads = 1\n"
        '[publish]\nadapter = "apart-adapter"\n'
    )
    planned = steps(load_recipe(recipe), tmp_path / "run")
    run = tmp_path / "run"

    for step in planned:
        if step.name not in ("export", "quantize"):
            step.act()

    assert [s.name for s in planned][:6] == ["dataset", "tune", "contrast", "prefer", "merge", "export-adapter"]
    assert json.loads((run / "prefer" / "manifest.json").read_text(encoding="utf-8"))["figures"]["rows"] >= 2
    tuned, preferred = (load_file(run / stage / ADAPTER / "adapter_model.safetensors") for stage in ("tune", "prefer"))
    assert {name: w.shape for name, w in preferred.items()} == {name: w.shape for name, w in tuned.items()}
    assert any(not torch.equal(w, tuned[name]) for name, w in preferred.items())
    made_by = json.loads((tmp_path / "gguf" / "apart-adapter.manifest.json").read_text(encoding="utf-8"))["made_by"]
    assert set(made_by) == {"dataset", "tune", "contrast", "prefer", "export-adapter"}
