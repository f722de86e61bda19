"""Training: the loss is the plain one, padding is nowhere, a killed run ends where an undisturbed one does."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from tests.trainer.killed import kill_after_first_checkpoint
from trainer.base import find_base, load_model, load_tokenizer
from trainer.dataset import TEST, TRAIN, WATCH
from trainer.errors import BaseRefused, RunRefused, SourceRefused
from trainer.likelihood import measure, per_token
from trainer.packing import Pack, as_row, collate, pack, within_budget
from trainer.samples import Sample, read_samples, write_samples
from trainer.tune import ADAPTER, CHECKPOINTS, CURVE, LOG, keep_best, last_whole_checkpoint, tune


def a_sample(length, seed=0):
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, 40_000, (length,), generator=draw).tolist()
    return Sample([*tokens, 2], [[length // 2, length + 1]], "ada-north", "ada-north", "chat", [f"{seed}"])


def plain_loss(model, sample):
    """Nats of the trained tokens, by the whole logits of one unpacked sample."""
    ids = torch.tensor([sample.tokens])
    with torch.inference_mode():
        scores = model(input_ids=ids, use_cache=False).logits[0].float()
    at = [i for start, end in sample.spans for i in range(start, end)]
    return float(torch.nn.functional.cross_entropy(scores[[i - 1 for i in at]], ids[0, at], reduction="sum"))


def test_a_packed_row_has_the_loss_of_its_samples_alone(tiny_base):
    """No sample sees another: the mask begins anew with the positions."""
    model = load_model(find_base(str(tiny_base)))
    samples = [a_sample(40, 1), a_sample(25, 2), a_sample(60, 3)]
    batch = collate([as_row(Pack(tuple(samples)))])

    following = batch["labels"][0, 1:]
    at = (following != -100).nonzero().squeeze(-1)
    with torch.inference_mode():
        scores = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], logits_to_keep=at, use_cache=False).logits[0]
    packed = float(torch.nn.functional.cross_entropy(scores.float(), following[at], reduction="sum"))

    assert packed == pytest.approx(sum(plain_loss(model, s) for s in samples), rel=1e-5)
    assert batch["input_ids"].shape == (1, sum(len(s.tokens) for s in samples))


def test_rows_hold_every_sample_once_without_padding_and_within_their_room():
    samples = [a_sample(20 + 13 * i % 90, i) for i in range(150)]

    rows = pack(samples, 128, seed=1)

    assert sorted(s.lines[0] for r in rows for s in r.samples) == sorted(s.lines[0] for s in samples)
    assert all(r.tokens <= 128 for r in rows)
    assert sum(r.tokens for r in rows) / (128 * len(rows)) > 0.85
    assert rows == pack(samples, 128, seed=1) != pack(samples, 128, seed=2)


def test_a_budget_of_tokens_ends_the_rows():
    rows = pack([a_sample(99, i) for i in range(10)], 100, seed=1)

    assert sum(r.tokens for r in within_budget(rows, 350)) == 300
    assert len(within_budget(rows, 1)) == 1
    assert within_budget(rows, None) == rows


def test_a_shared_beginning_changes_no_loss(tiny_base, data):
    model = load_model(find_base(str(tiny_base)))
    samples = list(read_samples(data / TEST))

    found = measure(model, samples)

    assert [m.tokens for m in found] == [s.trained for s in samples]
    for sample, measured in zip(samples, found, strict=True):
        assert measured.nats == pytest.approx(plain_loss(model, sample), rel=1e-4)


def test_tuning_lowers_the_held_out_loss_and_leaves_a_curve(data, tuned):
    rows = [json.loads(line) for line in (tuned / LOG).read_text().splitlines()]
    manifest = json.loads((tuned / "manifest.json").read_text())

    held_out = [r["held_out_loss"] for r in rows if "held_out_loss" in r]
    assert len(held_out) >= 4
    assert manifest["figures"]["held_out_loss_best"] < manifest["figures"]["held_out_loss_base"] - 0.1
    assert {"loss", "rate", "tokens", "tokens_per_second"} <= set(next(r for r in rows if "loss" in r))
    assert manifest["figures"]["tokens"] == sum(len(s.tokens) for s in read_samples(data / TRAIN))
    assert (tuned / CURVE).read_text().lstrip().startswith("<?xml")
    assert not (tuned / CHECKPOINTS).exists()


def test_the_adapter_that_is_kept_is_the_best_one(data, tuned, tiny_base):
    """Measured again from its file it has the loss that the manifest states."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        model = PeftModel.from_pretrained(load_model(find_base(str(tiny_base))), str(tuned / ADAPTER))

    found = per_token(measure(model, list(read_samples(data / WATCH))))

    assert found == pytest.approx(json.loads((tuned / "manifest.json").read_text())["figures"]["held_out_loss_best"], abs=1e-4)
    assert {p.suffix for p in (tuned / ADAPTER).iterdir()} == {".json", ".safetensors"}
    assert str(Path.home()) not in (tuned / ADAPTER / "adapter_config.json").read_text()


TUNE = """
import sys
from pathlib import Path
from trainer.tune import TuneSettings, tune
tune(Path(sys.argv[1]), Path(sys.argv[2]), TuneSettings.model_validate_json(sys.argv[3]))
"""


def test_a_run_killed_without_warning_ends_exactly_where_an_undisturbed_one_does(tmp_path, data, tuned, tune_settings):
    """Weights, optimizer, random numbers of the dropout and the order of the data all come back."""
    into = tmp_path / "tune"
    kill_after_first_checkpoint(into, TUNE, data, into, tune_settings.model_dump_json())

    tune(data, into, tune_settings)

    one, other = load_file(tuned / ADAPTER / "adapter_model.safetensors"), load_file(into / ADAPTER / "adapter_model.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    steps = [json.loads(line)["step"] for line in (into / LOG).read_text().splitlines() if '"loss"' in line]
    assert steps == list(range(1, steps[-1] + 1))


def test_a_stopped_run_can_end_with_its_best_checkpoint_and_says_that_it_was_cut_short(tmp_path, data, tuned, tune_settings):
    """Somebody has seen enough, or the held-out loss only rises: what was best so far is kept, honestly labelled."""
    into = tmp_path / "tune"
    kill_after_first_checkpoint(into, TUNE, data, into, tune_settings.model_dump_json())

    keep_best(into)

    figures = json.loads((into / "manifest.json").read_text())["figures"]
    assert figures["held_out_loss_best"] < figures["held_out_loss_base"]
    assert f"the adapter is that of step {figures['best_step']}" in figures["stopped_early"]
    assert load_file(into / ADAPTER / "adapter_model.safetensors").keys() == load_file(tuned / ADAPTER / "adapter_model.safetensors").keys()
    assert keep_best(into) == into
    with pytest.raises(RunRefused, match="no checkpoint was written yet"):
        keep_best(tmp_path / "nothing")


def test_two_processes_take_the_same_steps_as_one_with_twice_the_rows(tmp_path, data, tune_settings):
    """What ``accelerate launch`` does on several GPUs: every step's loss is over the labels of all processes."""
    alone = tune_settings.model_copy(update={"dropout": 0.0, "step_rows": 4})
    together = alone.model_copy(update={"step_rows": 2})
    script = tmp_path / "train.py"
    script.write_text(TUNE)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]

    tune(data, tmp_path / "alone", alone)
    done = subprocess.run(
        [*launch, str(data), str(tmp_path / "together"), together.model_dump_json()],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert losses(tmp_path / "together" / LOG)[:-1] == pytest.approx(losses(tmp_path / "alone" / LOG)[:-1], rel=2e-4)


def losses(log):
    """Of the steps; the last of two processes may hold a row twice, so that each of them has one."""
    return [row["loss"] for line in log.read_text().splitlines() if "loss" in (row := json.loads(line))]


def test_a_checkpoint_that_was_cut_off_is_passed_over(tmp_path):
    """A kill while a checkpoint is written leaves a folder without its last file."""
    whole, cut = tmp_path / "checkpoint-4", tmp_path / "checkpoint-8"
    whole.mkdir()
    cut.mkdir()
    (whole / "trainer_state.json").write_text("{}")
    (cut / "trainer_state.json").write_text('{"global_st')

    assert last_whole_checkpoint(tmp_path) == whole
    assert not cut.exists()
    assert last_whole_checkpoint(tmp_path / "nothing") is None


def test_a_finished_tuning_is_not_repeated_and_other_settings_are_refused(data, tuned, tune_settings):
    before = (tuned / ADAPTER / "adapter_model.safetensors").stat().st_mtime_ns

    assert tune(data, tuned, tune_settings) == tuned

    assert (tuned / ADAPTER / "adapter_model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(RunRefused, match=r"settings\.rank"):
        tune(data, tuned, tune_settings.model_copy(update={"rank": 4}))


def test_samples_of_another_vocabulary_are_refused(tmp_path, data, tune_settings):
    strange = replace(a_sample(20), tokens=[1, 60_000, 2], spans=[[1, 3]])
    write_samples(tmp_path / TRAIN, [strange])
    write_samples(tmp_path / WATCH, [a_sample(20)])

    with pytest.raises(BaseRefused, match="use token 60000, the base has 49152"):
        tune(tmp_path, tmp_path / "tune", tune_settings)


def test_a_dataset_that_was_cut_off_is_named_with_its_line(tmp_path, tune_settings):
    (tmp_path / TRAIN).write_text('{"tokens": [1, 2')

    with pytest.raises(SourceRefused, match=r"train\.jsonl:1: is no sample .*run the dataset stage again"):
        tune(tmp_path, tmp_path / "tune", tune_settings)


def test_pickled_weights_and_unknown_bases_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")

    with pytest.raises(BaseRefused, match="pickled weights can run code"):
        find_base(str(tmp_path))
    with pytest.raises(BaseRefused, match="is no GGUF file, no folder"):
        find_base("no such thing")
    assert find_base("owner/model").gguf is None
    assert find_base("starter").gguf


def test_the_tokenizer_of_a_file_is_the_callers_own_and_read_anew_when_the_file_is_another(tiny_gguf, tmp_path):
    file = tmp_path / "model.gguf"
    shutil.copyfile(tiny_gguf, file)
    ours = load_tokenizer(find_base(str(file)))
    ours.inner.eos_token = "<|endoftext|>"

    theirs = load_tokenizer(find_base(str(file)))

    assert (ours.inner.eos_token, theirs.eos) == ("<|endoftext|>", "<|im_end|>")
    assert theirs.encode("six buckets, one tuba", special=False) == ours.encode("six buckets, one tuba", special=False)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(BaseRefused, match="tokenizer of model"):
        load_tokenizer(find_base(str(file)))


def test_an_untouched_adapter_changes_nothing(tiny_base, data):
    """LoRA starts at zero: the loss before the first step is the base's own."""
    samples = list(read_samples(data / WATCH))
    model = load_model(find_base(str(tiny_base)))
    before = per_token(measure(model, samples))

    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))

    assert per_token(measure(adapted, samples)) == pytest.approx(before, abs=1e-6)
