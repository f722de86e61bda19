"""Training from pairs goes on with the adapter that was tuned, against what it was, and after a kill where it had been."""

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.killed import kill_after_first_checkpoint
from trainer.contrast import ContrastSettings, contrast
from trainer.errors import BaseRefused
from trainer.preferences import PreferSettings, prefer
from trainer.tune import ADAPTER

pytestmark = pytest.mark.trainer

PREFER = """
import sys
from pathlib import Path
from trainer.preferences import PreferSettings, prefer

prefer(*map(Path, sys.argv[1:4]), PreferSettings.model_validate_json(sys.argv[4]))
"""


@pytest.fixture
def pairs(tmp_path, company, tiny_base):
    return contrast(company, tmp_path / "contrast", ContrastSettings(base=str(tiny_base), watch=1, others=1, fixed=(2, 0)))


@pytest.fixture
def settings(tiny_base) -> PreferSettings:
    return PreferSettings(base=str(tiny_base), learning_rate=1e-2, step_rows=1, max_tokens=8_000, threads=1)


def weights(folder):
    return load_file(folder / ADAPTER / "adapter_model.safetensors")


def test_a_killed_run_ends_exactly_where_an_undisturbed_one_does(tmp_path, pairs, tuned, settings):
    """The adapter that it is trained against comes back, too."""
    into = tmp_path / "killed"
    kill_after_first_checkpoint(into, PREFER, pairs, tuned, into, settings.model_dump_json())

    undisturbed, resumed = (weights(prefer(pairs, tuned, folder, settings)) for folder in (tmp_path / "undisturbed", into))

    assert undisturbed.keys() == resumed.keys() == weights(tuned).keys()
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)
    assert any(not torch.equal(undisturbed[name], before) for name, before in weights(tuned).items())
    assert [path.name for path in (into / ADAPTER).iterdir() if path.is_dir()] == []


def test_an_adapter_of_another_base_is_refused_and_that_of_its_own_still_learns(tmp_path, pairs, tuned, settings):
    with pytest.raises(BaseRefused, match="adapter does not belong to"):
        prefer(pairs, tuned, tmp_path / "refused", settings.model_copy(update={"base": "starter"}))

    assert weights(prefer(pairs, tuned, tmp_path / "prefer", settings.model_copy(update={"max_tokens": 1_000})))
