"""The model's own tokenizer, as the prompt renderer sees it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bot.engine.native import Model

log = logging.getLogger(__name__)

# For models that bring no template; most small ones were tuned on it.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class LlamaTokenizer:
    """Safe from any thread, and still valid after the engine was closed."""

    def __init__(self, model: Model) -> None:
        self._model = model
        template = model.metadata("tokenizer.chat_template")
        if not template:
            log.warning("model has no chat template, using ChatML model=%s", model.path.name)
        self._template = template or CHATML

    @property
    def chat_template(self) -> str:
        return self._template

    @property
    def bos(self) -> str:
        return self._spell(self._model.bos)

    @property
    def eos(self) -> str:
        return self._spell(self._model.eos)

    def encode(self, text: str, *, special: bool) -> list[int]:
        return self._model.tokenize(text, special=special)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of ``tokens``, control tokens written out; bytes that form no character are left out, as in a reply."""
        return self._model.spelling(tokens).decode("utf-8", "ignore")

    def _spell(self, token: int) -> str:
        return "" if token < 0 else self.decode([token])
