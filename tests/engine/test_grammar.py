"""A reply that is asked for in a form has that form, whatever the model would say."""

import re

import pytest

from bot.config import EngineSettings
from bot.engine.engine import LlamaEngine
from bot.errors import EngineError
from bot.messages import ChannelKey, Prompt, Sampling

FORM = r"""root ::= "Sure: " ("yes" | "no") "\nAnswer: " [a-zA-Z ]{1,12} "\n"
"""


async def said(engine, sampling):
    prompt = Prompt(tuple(engine.tokenizer.encode("Are you sure?", special=False)), 0, ())
    return "".join([piece.text async for piece in engine.stream(prompt, sampling, channel=ChannelKey("teacher", "a"))])


@pytest.mark.parametrize("temperature", [0.0, 1.5])
async def test_even_random_weights_keep_to_a_form(tiny_model, tmp_path, temperature):
    engine = await LlamaEngine.load(EngineSettings(model=str(tiny_model), context_tokens=512, prefix_megabytes=0), tmp_path)
    try:
        for seed in range(5):
            text = await said(engine, Sampling(temperature=temperature, seed=seed, max_tokens=64, grammar=FORM))

            assert re.fullmatch(r"Sure: (yes|no)\nAnswer: [a-zA-Z ]{1,12}\n", text), text
    finally:
        await engine.close()


async def test_a_form_that_is_none_is_refused_before_anything_is_decoded(tiny_model, tmp_path):
    engine = await LlamaEngine.load(EngineSettings(model=str(tiny_model), context_tokens=512, prefix_megabytes=0), tmp_path)
    try:
        with pytest.raises(EngineError, match="cannot read the grammar"):
            await said(engine, Sampling(max_tokens=8, grammar="root ::= nothing-of-that-name"))

        assert await said(engine, Sampling(max_tokens=8, seed=1))
    finally:
        await engine.close()
