"""An adapter folded into the file answers as the adapter applied at run time does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gguf
from bot.engine.adapter_fold import adapter_prompt_version, fold
from bot.engine.models import check, prepare_starter
from bot.engine.native import Context, Model
from bot.errors import ModelNotLoadable
from tests.engine.tiny_model import INNER, LAYERS, WIDTH

RANK, ALPHA = 4, 16.0


def write_adapter(path: Path, *, width: int = WIDTH, inner: int = INNER, layers: int = LAYERS, scale: float = 0.1) -> Path:
    """A random LoRA on an attention and a feed-forward matrix of every layer, as llama.cpp's converter writes one."""
    rng = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    writer.add_uint32("troupe.prompt_version", 1)
    for layer in range(layers):
        for name, rows, columns in (("attn_q", width, width), ("ffn_down", width, inner)):
            weight = f"blk.{layer}.{name}.weight"
            writer.add_tensor(f"{weight}.lora_a", (rng.standard_normal((RANK, columns)) * scale).astype(np.float16))
            writer.add_tensor(f"{weight}.lora_b", (rng.standard_normal((rows, RANK)) * scale).astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def scores(model: Path, tokens: list[int], *, adapter: Path | None = None) -> np.ndarray:
    """The logits after ``tokens``, (vocabulary,)."""
    context = Context(Model(model), cells=256, sequences=1, batch_tokens=64, outputs=1, threads=1)
    if adapter is not None:
        context.set_adapter(adapter)
    for position, token in enumerate(tokens):
        index = context.add(token, position, 0, output=position == len(tokens) - 1)
    assert context.decode() == 0
    result = np.array(context.logits(index))
    context.close()
    return result


def test_a_folded_adapter_gives_the_scores_of_one_applied_at_run_time(tiny_model: Path, tmp_path: Path):
    """W + alpha/r · B·A, up to the rounding of the folded weights to f16."""
    adapter = write_adapter(tmp_path / "adapter.gguf")
    folded = tmp_path / "folded.gguf"
    tokens = Model(tiny_model).tokenize("The lamp is lit.", special=False)

    fold(tiny_model, adapter, folded)

    plain, applied, baked = scores(tiny_model, tokens), scores(tiny_model, tokens, adapter=adapter), scores(folded, tokens)
    assert np.abs(applied - plain).max() > 1.0, "an adapter that changes nothing proves nothing"
    assert np.abs(baked - applied).max() < 0.05
    assert int(baked.argmax()) == int(applied.argmax())


def test_folding_keeps_the_tokenizer_and_the_template(tiny_model: Path, tmp_path: Path):
    """Only weights change."""
    folded = tmp_path / "folded.gguf"
    fold(tiny_model, write_adapter(tmp_path / "adapter.gguf"), folded)

    before, after = Model(tiny_model), Model(folded)

    assert after.metadata("tokenizer.chat_template") == before.metadata("tokenizer.chat_template")
    assert after.tokenize("<|im_start|>é", special=True) == before.tokenize("<|im_start|>é", special=True)


@pytest.mark.parametrize(("shape", "words"), [({"layers": 5}, "there is no tensor blk.2"), ({"inner": 96}, "ffn_down.weight is ")])
def test_an_adapter_for_another_model_is_refused(tiny_model: Path, tmp_path: Path, shape: dict[str, int], words: str):
    """It names the first tensor that does not fit."""
    adapter = write_adapter(tmp_path / "adapter.gguf", **shape)

    with pytest.raises(ModelNotLoadable, match=words):
        fold(tiny_model, adapter, tmp_path / "folded.gguf")


def test_an_adapter_that_is_no_gguf_is_refused(tiny_model: Path, tmp_path: Path):
    """A download that broke off, say."""
    (tmp_path / "adapter.gguf").write_bytes(b"GGUF but not really, and long enough for a header")

    with pytest.raises(ModelNotLoadable, match="is not a GGUF file that can be read"):
        fold(tiny_model, tmp_path / "adapter.gguf", tmp_path / "folded.gguf")


def test_the_starter_is_made_with_the_adapter_beside_it_and_again_when_that_changes(tmp_path: Path):
    """The trainer commits ``starter-adapter.gguf``; every machine folds it into its own starter."""
    without = prepare_starter(tmp_path)
    adapter = write_adapter(tmp_path / "starter-adapter.gguf", width=576, inner=1536, layers=30, scale=0.02)

    tuned = prepare_starter(tmp_path)

    assert tuned.sha256 != without.sha256
    assert adapter_prompt_version(adapter) == 1
    assert prepare_starter(tmp_path) == check(tmp_path / "starter.gguf") == tuned
