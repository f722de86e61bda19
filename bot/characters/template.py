"""The model's own chat template, rendered so that what people wrote can never become a control token.

The template is rendered once with a placeholder for each message's text. What stands between the placeholders is the
template's own and is tokenised with control tokens on; what replaces them was written by people or cards and is tokenised
with control tokens off. A GGUF is code-adjacent input, so Jinja runs in its sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bot.errors import ModelNotLoadable
from bot.messages import ChatMessage, Tokenizer

# Private-use characters: a placeholder cannot be part of a template's own text, and a message's text is never in the template.
_PLACEHOLDER = re.compile("\ue000(\\d+)\ue001")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a rendered prompt. ``special``: it is the template's own text."""

    text: str
    special: bool


class ChatTemplate:
    """Renders messages to segments with one model's template. Holds no state between calls."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now(UTC).strftime(form)
        try:
            self._template = environment.from_string(tokenizer.chat_template)
        except TemplateError as error:
            raise ModelNotLoadable(f"the model's chat template cannot be read: {error}; use another model") from error
        self._bos, self._eos = tokenizer.bos, tokenizer.eos

    def segments(self, messages: Sequence[ChatMessage], *, reply_follows: bool) -> list[Segment]:
        """The whole prompt, in order; with ``reply_follows`` it ends where the assistant's text begins.

        Templates differ in what they allow. One that refuses a system message in the middle gets it folded into the
        person's message that follows; one that refuses system messages at all gets the first folded too.
        """
        attempts = (lambda m: list(m), fold_later_system, fold_all_system)
        refusal: TemplateError | None = None
        for arrange in attempts:
            arranged = arrange(messages)
            try:
                return self._render(arranged, reply_follows)
            except TemplateError as error:
                refusal = error
        raise ModelNotLoadable(f"the model's chat template refuses a conversation: {refusal}; use another model") from refusal

    def _render(self, messages: Sequence[ChatMessage], reply_follows: bool) -> list[Segment]:
        rows = [{"role": m.role, "content": f"\ue000{i}\ue001"} for i, m in enumerate(messages)]
        text = self._template.render(messages=rows, add_generation_prompt=reply_follows, bos_token=self._bos, eos_token=self._eos)
        segments: list[Segment] = []
        at = 0
        for found in _PLACEHOLDER.finditer(text):
            segments.append(Segment(text[at : found.start()], special=True))
            segments.append(Segment(messages[int(found.group(1))].text, special=False))
            at = found.end()
        segments.append(Segment(text[at:], special=True))
        return [s for s in segments if s.text]


def fold_later_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """System messages after the first become the beginning of the next person's message."""
    return _fold(messages, keep_first=True)


def fold_all_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    return _fold(messages, keep_first=False)


def _fold(messages: Sequence[ChatMessage], *, keep_first: bool) -> list[ChatMessage]:
    folded: list[ChatMessage] = []
    waiting: list[str] = []
    for i, message in enumerate(messages):
        if message.role == "system" and not (keep_first and i == 0):
            waiting.append(message.text)
        elif message.role == "user" and waiting:
            folded.append(ChatMessage("user", "\n\n".join([*waiting, message.text])))
            waiting = []
        elif waiting:
            # An assistant's line follows: a template that wants strict alternation needs a person's turn between.
            folded += [ChatMessage("user", "\n\n".join(waiting)), message]
            waiting = []
        else:
            folded.append(message)
    if waiting:
        folded.append(ChatMessage("user", "\n\n".join(waiting)))
    return _alternate(folded)


def _alternate(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    joined: list[ChatMessage] = []
    for message in messages:
        if joined and joined[-1].role == message.role == "user":
            joined[-1] = ChatMessage("user", f"{joined[-1].text}\n{message.text}")
        else:
            joined.append(message)
    return joined


def encode(segments: Sequence[Segment], tokenizer: Tokenizer) -> list[int]:
    """Token ids, segment by segment: no token ever spans the border between the template and somebody's words."""
    tokens: list[int] = []
    for segment in segments:
        tokens += tokenizer.encode(segment.text, special=segment.special)
    return tokens


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)
