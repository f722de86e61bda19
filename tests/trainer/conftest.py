"""A base model with random weights and the starter's tokenizer, and one finished small run that several tests look at."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from tests.trainer.company import write_company
from trainer.base import find_base, load_tokenizer
from trainer.converter import convert, converter, default_cache
from trainer.dataset import DatasetSettings, dataset
from trainer.errors import ToolMissing
from trainer.tune import TuneSettings, tune

pytestmark = pytest.mark.trainer

transformers_logging.disable_progress_bar()


@pytest.fixture(scope="session")
def tokenizer():
    return load_tokenizer(find_base("starter"))


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory, tokenizer) -> Path:
    """A model in Hugging Face's form: two layers, 32 wide, heads that share keys, so that an export has to permute rows."""
    folder = tmp_path_factory.mktemp("base") / "tiny-base"
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.4,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.inner.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def company(tmp_path_factory) -> Path:
    return write_company(tmp_path_factory.mktemp("company") / "characters")


@pytest.fixture(scope="session")
def data(tmp_path_factory, company, tiny_base) -> Path:
    settings = DatasetSettings(base=str(tiny_base), draws=3, watch=1, fixed=(4, 2, 0))
    return dataset(company, tmp_path_factory.mktemp("run") / "dataset", settings)


@pytest.fixture(scope="session")
def tune_settings(tiny_base) -> TuneSettings:
    return TuneSettings(base=str(tiny_base), learning_rate=5e-3, row_tokens=512, watches=4, patience=9, threads=1)


@pytest.fixture(scope="session")
def tuned(data, tune_settings) -> Path:
    return tune(data, data.parent / "tune", tune_settings)


@pytest.fixture(scope="session")
def tools() -> Path:
    """The converter's cache; a machine without it and without a network cannot run what needs it."""
    try:
        converter(default_cache())
    except ToolMissing as error:
        pytest.skip(str(error))
    return default_cache()


@pytest.fixture(scope="session")
def tiny_gguf(tiny_base, tools, tmp_path_factory) -> Path:
    """The same model as a file that the bot serves."""
    path = tmp_path_factory.mktemp("served") / "first.gguf"
    convert(converter(tools), "convert_hf_to_gguf.py", str(tiny_base), "--outfile", str(path), "--outtype", "f16")
    return path
