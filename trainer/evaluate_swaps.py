"""One reply under the right card and under others': samples for a protocol, their losses, and what the differences are.

"Wrong" is the mean over other characters. Card and exemplars are swapped each alone and together, because a model may have
learnt to read one and not the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self

from rich.table import Table

from bot.characters.cast import Character, make_character
from bot.characters.lines import Exemplar
from bot.characters.prompt import Layout
from trainer.base import find_base, load_model
from trainer.conversations import Conversations
from trainer.dataset import Part
from trainer.evaluate_intervals import Interval, average, difference, loss
from trainer.evaluate_kept import keep, read_kept
from trainer.likelihood import Measured, measure
from trainer.samples import Sample
from trainer.served import Served

Swap = Literal["right", "card", "exemplars", "both"]
WRONG: Final[tuple[Swap, ...]] = ("card", "exemplars", "both")


class Scorer(Protocol):
    """Whatever gives losses: llama.cpp on a GGUF, or torch on a folder."""

    def measure(self, samples: Sequence[Sample], tick: Callable[[], None]) -> list[Measured]: ...

    def close(self) -> None: ...


class GgufScorer:
    """A GGUF, as the bot loads it; ``adapter`` is applied beside it."""

    def __init__(self, path: Path, *, adapter: Path | None = None, threads: int | None = None) -> None:
        self._served = Served(path, threads=threads, adapter=adapter)

    def measure(self, samples: Sequence[Sample], tick: Callable[[], None]) -> list[Measured]:
        return self._served.measure(samples, tick)

    def close(self) -> None:
        self._served.__exit__(None, None, None)


class TorchScorer:
    """A model in Hugging Face's form."""

    def __init__(self, name: str) -> None:
        self._model = load_model(find_base(name))

    def measure(self, samples: Sequence[Sample], tick: Callable[[], None]) -> list[Measured]:
        return measure(self._model, samples, tick)

    def close(self) -> None:
        del self._model


def open_scorer(given: str, *, threads: int | None = None) -> Scorer:
    """``FILE.gguf``, ``FILE.gguf+ADAPTER.gguf``, or a folder or id in Hugging Face's form."""
    file, _, adapter = given.partition("+")
    if Path(file).suffix == ".gguf":
        return GgufScorer(Path(file), adapter=Path(adapter) if adapter else None, threads=threads)
    return TorchScorer(given)


# ------------------------------------------------------------------ samples


@dataclass(frozen=True, slots=True)
class Question:
    """One held-out exchange, and whose cards it is to be asked under besides the right one."""

    speaker: Character
    exchange: Exemplar
    others: Sequence[Character]


def held_out_questions(parts: Sequence[Part], wrong_cards: int) -> list[Question]:
    """Every held-out exchange, with other characters in turn, so that each is met about equally often; 0: all of them."""
    found: list[Question] = []
    for part in parts:
        others = [p.character for p in parts if p.character.slug != part.character.slug]
        for i, exchange in enumerate(part.tested):
            few = min(wrong_cards or len(others), len(others))
            found.append(Question(part.character, exchange, [others[(i * few + k) % len(others)] for k in range(few)]))
    return found


def swapped(card: Character, lines: Character) -> Character:
    """Somebody with one character's card and another's exemplars."""
    if card.slug == lines.slug:
        return card
    return make_character(card.scope, f"{card.slug}-with-{lines.slug}", card.card, lines.lines)


def samples_for(conversations: Conversations, questions: Sequence[Question], layout: Layout, swaps: Sequence[Swap]) -> list[Sample]:
    """All samples of a protocol; a sample's ``kind`` is its swap."""
    found: list[Sample] = []
    for question in questions:
        for swap in swaps:
            for performer in _performers(question, swap):
                sample = conversations.served(performer, question.exchange, question.speaker, layout)
                found.append(replace(sample, kind=swap))
    return found


def _performers(question: Question, swap: Swap) -> list[Character]:
    own = question.speaker
    match swap:
        case "right":
            return [own]
        case "card":
            return [swapped(other, own) for other in question.others]
        case "exemplars":
            return [swapped(own, other) for other in question.others]
        case "both":
            return list(question.others)


# ------------------------------------------------------------------ losses


class Losses:
    """Losses of samples in a file, one a line, so that a killed measurement goes on where it was.

    The model is opened for the first loss that is not known, and closed on leaving.
    """

    def __init__(self, path: Path, opens: Callable[[], Scorer]) -> None:
        self._path = path
        self._opens = opens
        self._scorer: Scorer | None = None
        self._known = {str(row["key"]): Measured(float(row["nats"]), int(row["tokens"])) for row in read_kept(path)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._scorer is not None:
            self._scorer.close()

    def of(self, name: str, samples: Sequence[Sample], tick: Callable[[], None]) -> list[Measured]:
        """One loss for each sample of the set ``name``, in their order; measures what is not known."""
        keys = [f"{name}/{s.kind}/{s.card}/{'+'.join(s.lines)}" for s in samples]
        todo = sorted((i for i, key in enumerate(keys) if key not in self._known), key=lambda i: samples[i].card)
        for _ in range(len(samples) - len(todo)):
            tick()
        for _, group in groupby(todo, key=lambda i: samples[i].card):
            indexes = list(group)
            self._scorer = self._scorer or self._opens()
            measured = self._scorer.measure([samples[i] for i in indexes], tick)
            self._known |= {keys[i]: each for i, each in zip(indexes, measured, strict=True)}
            keep(self._path, *({"key": keys[i], **asdict(self._known[keys[i]])} for i in indexes))
        return [self._known[key] for key in keys]


# ------------------------------------------------------------------ figures

BySwap = Mapping[str, Mapping[str, Measured]]  # swap -> id of the exchange -> loss; wrong ones are means over characters


def by_swap(samples: Sequence[Sample], measured: Sequence[Measured]) -> dict[str, dict[str, Measured]]:
    found: dict[str, dict[str, list[Measured]]] = defaultdict(lambda: defaultdict(list))
    for sample, each in zip(samples, measured, strict=True):
        found[sample.kind][sample.lines[0]].append(each)
    return {swap: {line: average(each) for line, each in of.items()} for swap, of in found.items()}


@dataclass(frozen=True, slots=True)
class Told:
    """What one model reaches in one layout, in nats per token."""

    exchanges: int
    tokens: int
    right: Interval
    margins: dict[str, Interval]  # wrong minus right, by what was swapped
    better_than_first: Interval | None  # the first model's loss minus this one's, right card
    margins_gained: dict[str, Interval]  # these margins minus the first model's


def told(found: BySwap, first: BySwap | None = None) -> Told:
    right = found["right"]
    order = sorted(right)
    return Told(
        exchanges=len(order),
        tokens=sum(right[line].tokens for line in order),
        right=loss([right[line] for line in order]),
        margins={swap: _margin(found[swap], right) for swap in WRONG if swap in found},
        better_than_first=difference([first["right"][line] for line in order], [right[line] for line in order]) if first else None,
        margins_gained={swap: _gained(found, first, swap) for swap in WRONG if swap in found and first and swap in first},
    )


def _margin(wrong: Mapping[str, Measured], right: Mapping[str, Measured]) -> Interval:
    order = sorted(wrong.keys() & right.keys())
    return difference([wrong[line] for line in order], [right[line] for line in order])


def _gained(found: BySwap, first: BySwap, swap: str) -> Interval:
    """Paired, line by line, which two intervals beside each other are not."""
    order = sorted(found[swap].keys() & first[swap].keys())
    minds, minded = (
        [Measured(of[swap][line].nats - of["right"][line].nats, of["right"][line].tokens) for line in order] for of in (found, first)
    )
    return difference(minds, minded)


def as_json(of: Mapping[str, Told]) -> dict[str, Any]:
    return {name: asdict(each) for name, each in of.items()}


def table(of: Mapping[str, Told]) -> Iterable[Sequence[str]]:
    """Rows: name, exchanges, right, the three margins, better than the first, and by how much more the last margin is than the first's."""
    for name, each in of.items():
        yield (
            name,
            str(each.exchanges),
            str(each.right),
            *(str(each.margins[swap]) if swap in each.margins else "–" for swap in WRONG),
            str(each.better_than_first) if each.better_than_first else "–",
            str(each.margins_gained.get("both", "–")),
        )


COLUMNS: Final = (
    "",
    "exchanges",
    "right",
    "wrong card",
    "wrong exemplars",
    "both wrong",
    "better than the first",
    "both wrong: more than the first",
)


def printed(of: Mapping[str, Told], title: str) -> Table:
    """For a terminal, where there is no room for columns that hold nothing."""
    rows = list(table(of))
    kept = [i for i in range(len(COLUMNS)) if any(row[i] != "–" for row in rows)]
    shown = Table(*(COLUMNS[i] for i in kept), title=title)
    for row in rows:
        shown.add_row(*(row[i] for i in kept))
    return shown
