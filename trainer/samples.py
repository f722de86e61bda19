"""One thing to learn from, or to be measured on: token ids, and which of them are the character's own words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.characters.template import Segment
from bot.messages import ChatMessage, Tokenizer
from trainer.errors import BaseRefused, SourceRefused

IGNORED = -100  # the label that torch's cross entropy leaves out


@dataclass(frozen=True, slots=True)
class Sample:
    """``spans``: half-open ranges of ``tokens`` that are trained, each a reply with its end token."""

    tokens: list[int]
    spans: list[list[int]]
    character: str  # whose replies these are
    card: str  # whose card and exemplars stand in the prompt; another's when a wrong card is measured
    kind: str
    lines: list[str]  # ids of the exchanges in it
    draw: int = 0

    @property
    def trained(self) -> int:
        """Tokens that carry loss."""
        return sum(end - start for start, end in self.spans)

    def labels(self) -> list[int]:
        labels = [IGNORED] * len(self.tokens)
        for start, end in self.spans:
            labels[start:end] = self.tokens[start:end]
        return labels


def reply_ending(ending: Sequence[int], eos_id: int) -> list[int]:
    """The tokens after a reply that are trained: up to and including the end token.

    Raises:
        BaseRefused: the template closes a reply without the model's end token.
    """
    if eos_id not in ending:
        raise BaseRefused(
            "the base's chat template closes a reply without the model's end token, so replies would never end; "
            "use a model whose template and tokenizer agree (eos_token is the end-of-turn token)"
        )
    return list(ending[: list(ending).index(eos_id) + 1])


def label_replies(
    segments: Sequence[Segment], messages: Sequence[ChatMessage], tokenizer: Tokenizer, ending: Sequence[int], *, last_only: bool
) -> tuple[list[int], list[list[int]]]:
    """Token ids of a rendered conversation and the spans of the character's replies in it.

    A reply is found by its whole text: what others say always has a name in front, so nobody else's words can equal it.

    Raises:
        SourceRefused: a reply's end token would not be trained.
    """
    replies = [m.text for m in messages if m.role == "assistant"]
    tokens: list[int] = []
    spans: list[list[int]] = []
    opened: int | None = None
    for segment in segments:
        ids = tokenizer.encode(segment.text, special=segment.special)
        if opened is not None:
            if ids[: len(ending)] != list(ending):
                raise SourceRefused(f"the end token after reply {len(spans) + 1} would not be trained: {segment.text[:40]!r} follows it")
            spans.append([opened, len(tokens) + len(ending)])
            opened = None
        elif not segment.special and len(spans) < len(replies) and segment.text == replies[len(spans)]:
            opened = len(tokens)
        tokens += ids
    if opened is not None or len(spans) != len(replies):
        raise SourceRefused(f"{len(replies)} replies were rendered and {len(spans)} have a trained end; the chat template loses some")
    return tokens, spans[-1:] if last_only else spans


def check_ends(sample: Sample, eos_id: int) -> None:
    """Raises ``SourceRefused`` unless every trained reply ends with the end token, and is more than it."""
    for start, end in sample.spans:
        if end - start < 2 or sample.tokens[end - 1] != eos_id:
            raise SourceRefused(f"sample of {sample.character} ({', '.join(sample.lines[:3])}): the end token of a reply is not trained")
    if not sample.spans:
        raise SourceRefused(f"sample of {sample.character} ({', '.join(sample.lines[:3])}): nothing in it is trained")


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    beside = path.with_name(f"{path.name}.partial")
    with beside.open("w", encoding="utf-8") as file:
        for sample in samples:
            file.write(json.dumps(asdict(sample), ensure_ascii=False, separators=(",", ":")) + "\n")
    beside.replace(path)


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a file, one by one.

    Raises:
        SourceRefused: names the file and the line.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield Sample(**json.loads(line))
                except (json.JSONDecodeError, TypeError) as error:
                    raise SourceRefused(f"{path}:{number}: is no sample ({error}); run the dataset stage again") from error
    except OSError as error:
        raise SourceRefused(f"{path}: cannot be read ({error.strerror}); run the dataset stage first") from error
