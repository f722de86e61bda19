"""A transformers tokenizer as the prompt renderer wants one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainer.errors import BaseRefused


class TransformersTokenizer:
    """The same token ids as llama.cpp's own tokenizer of the same model; the export's gate checks that."""

    def __init__(self, tokenizer: Any) -> None:
        """Wrap a tokenizer that transformers loaded.

        Raises:
            BaseRefused: it has no chat template or no end token, so that no reply could ever learn to end.
        """
        template = tokenizer.chat_template
        if isinstance(template, dict):
            template = template.get("default")
        if not template:
            raise BaseRefused("the base model has no chat template; start from an instruction-tuned ('chat', 'instruct') model")
        if tokenizer.eos_token is None:
            raise BaseRefused("the base model has no end token, so a reply could never learn to end; start from a chat model")
        self.inner = tokenizer
        self._template = str(template)
        self._bos = tokenizer.bos_token or ""
        self._eos = str(tokenizer.eos_token)

    @property
    def chat_template(self) -> str:
        """Jinja source, from the model's own files."""
        return self._template

    @property
    def bos(self) -> str:
        return self._bos

    @property
    def eos(self) -> str:
        return self._eos

    @property
    def eos_id(self) -> int:
        return int(self.inner.eos_token_id)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Token ids; control tokens are recognised only with ``special``. Never adds BOS or EOS."""
        if not text:
            return []
        return list(self.inner.encode(text, add_special_tokens=False, split_special_tokens=not special))

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.inner.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))
