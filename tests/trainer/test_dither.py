"""What a short training adds survives being quantised into the steps that the weights came from. Rounded by llama.cpp itself."""

import ctypes
import json

import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from llama_cpp import _ggml
from llama_cpp import llama_cpp as lib

import gguf
from trainer.dither import GRIDS, dithered
from trainer.export import MODEL_FILE
from trainer.quantize import QuantizeSettings, quantize, write_type

pytestmark = pytest.mark.trainer

LEARNT = 0.01  # of a weight's usual size: a fraction of a step of every type


def rounded(weights, kind):
    """As llama.cpp writes a tensor, read back."""
    block, size = GGML_QUANT_SIZES[kind]
    given = np.ascontiguousarray(weights, dtype=np.float32)
    out = np.empty((given.shape[0], given.shape[1] // block * size), np.uint8)
    call = _ggml.libggml.ggml_quantize_chunk
    call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    call.restype = ctypes.c_size_t
    call(int(kind), given.ctypes.data, out.ctypes.data, 0, *given.shape, None)
    return dequantize(out, kind)


def kept(before, after, learnt):
    """The share of what was learnt that is in the difference."""
    return float(((after - before) * learnt).sum() / (learnt**2).sum())


@pytest.mark.parametrize("kind", GRIDS, ids=lambda kind: kind.name)
def test_a_small_change_is_kept_on_average(kind):
    draw = np.random.default_rng(3)
    before = rounded(draw.standard_normal((512, 512)), kind)
    learnt = LEARNT * draw.standard_normal(before.shape).astype(np.float32)
    trained = before + learnt

    by_lot = rounded(trained + GRIDS[kind].noise(trained, draw), kind)

    assert kept(before, by_lot, learnt) == pytest.approx(1, abs=0.1)
    if kind.name != "Q8_0":  # whose steps are fine: there a hundredth is nearly a step
        assert kept(before, rounded(trained, kind), learnt) < 0.5


@pytest.fixture(scope="module")
def trained(tiny_gguf, tmp_path_factory):
    """A Q8_0 file, and an F16 file that went on from it: every weight of two tensors has moved by a tenth of a step."""
    home = tmp_path_factory.mktemp("dither")
    base, full = home / "base.gguf", home / "export" / MODEL_FILE
    full.parent.mkdir()
    write_type(tiny_gguf, base, lib.LLAMA_FTYPE_MOSTLY_Q8_0, 1, {})
    old = {t.name: t for t in gguf.GGUFReader(base).tensors}
    full.write_bytes(tiny_gguf.read_bytes())
    draw = np.random.default_rng(5)
    for tensor in gguf.GGUFReader(full, "r+").tensors:
        if tensor.data.ndim == 1:
            continue
        weights = dequantize(old[tensor.name].data, old[tensor.name].tensor_type)
        moves = tensor.name.startswith("blk.") and "ffn" in tensor.name
        steps = np.repeat(np.abs(weights.reshape(-1, 32)).max(1), 32).reshape(weights.shape) / 127
        tensor.data[...] = (weights + moves * 0.1 * steps * draw.choice([-1, 1], weights.shape)).astype(np.float16)
    return base, full


def weights_of(path):
    return {t.name: dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors if t.data.ndim > 1}


def test_a_model_that_goes_on_from_a_quantised_one_keeps_what_it_learnt(trained, data, tmp_path):
    base, full = trained
    settings = QuantizeSettings(base=str(base), types=("Q8_0",), samples=2, rounds=1, threads=1, nll_gap=9)

    served = quantize(full.parent, data, tmp_path / "quantize", settings)

    old, learnt, nearest = weights_of(base), weights_of(full), tmp_path / "nearest.gguf"
    write_type(full, nearest, lib.LLAMA_FTYPE_MOSTLY_Q8_0, 1, {})
    moved = [name for name in old if "ffn" in name]
    figures = json.loads((served / "manifest.json").read_text())["figures"]
    assert figures["rounded_by_lot"] == {"Q8_0": len(moved)}
    with_noise, without = (
        [kept(old[n], weights_of(path)[n], learnt[n] - old[n]) for n in moved] for path in (served / MODEL_FILE, nearest)
    )
    assert np.mean(with_noise) == pytest.approx(1, abs=0.2)
    assert np.mean(without) < 0.2


def test_what_was_not_trained_or_has_another_type_is_rounded_as_ever(trained, tiny_gguf, tmp_path):
    base, full = trained
    smaller = tmp_path / "smaller.gguf"
    write_type(full, smaller, lib.LLAMA_FTYPE_MOSTLY_Q4_0, 1, {})

    assert dithered(full, base, smaller, tmp_path / "noisy.gguf", seed=0) == 0
    assert dithered(full, tiny_gguf, smaller, tmp_path / "noisy.gguf", seed=0) == 0
    assert not (tmp_path / "noisy.gguf").exists()
