"""Rows that people agreed to give -> samples and pairs, laid out as the bot asks, beside at least as much of what was taught before.

``train.jsonl`` holds what a person wrote or liked together with the company's own lines, of which it is never more than half: that is
what keeps a small model from forgetting. ``pairs.jsonl`` is what preferences are learnt from. ``test_chosen.jsonl`` and
``test_rejected.jsonl`` are pairs that nothing learns from, line by line: what the gate measures by.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from bot.characters.cast import Cast, Character
from bot.characters.lines import Exemplar
from bot.characters.prompt import Budget, Layout
from bot.config import CharacterSettings, MemorySettings, Section
from bot.memory.collected import digest
from bot.memory.store import Receipt, Store
from trainer.base import find_base, load_tokenizer
from trainer.collect import Kind, Row, read_rows
from trainer.conversations import Conversations, Talk
from trainer.curation import curated, decisions
from trainer.dataset import TEST, TRAIN, WATCH
from trainer.errors import SourceRefused
from trainer.manifest import begin, write_json
from trainer.samples import Sample, read_samples, write_samples

PAIRS, THUMBS, PEOPLE_FILE = "pairs.jsonl", "thumbs.jsonl", "people.json"
TEST_CHOSEN, TEST_REJECTED = "test_chosen.jsonl", "test_rejected.jsonl"
LEAST_TESTED = 4  # pairs: with fewer nothing can be said of a model


class LessonSettings(Section):
    """How much of what goes in."""

    seed: int = 1
    approved_only: bool = False
    liked: bool = True  # replies that people chose or praised are learnt like edits: CharacterGLM's self-refinement
    held_out: float = Field(0.25, gt=0, lt=1)  # share of pairs that the gate keeps for itself
    exemplars: tuple[int, ...] = (4, 2, 0)  # fixed exemplars in a training prompt, drawn: fewer tokens than the dozen that are served
    original: float = Field(0.5, ge=0.5, lt=1)  # the least share of tokens that are the company's own lines
    context_tokens: int = Field(4096, ge=512)


@dataclass(frozen=True, slots=True)
class Preference:
    """One prompt and two replies to it, as token ids; each reply with its end token."""

    key: str
    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def tokens(self) -> int:
        return len(self.prompt) + len(self.chosen) + len(self.rejected)


@dataclass(frozen=True, slots=True)
class Thumb:
    key: str
    prompt: list[int]
    reply: list[int]
    liked: bool

    @property
    def tokens(self) -> int:
        return len(self.prompt) + len(self.reply)


def lessons(
    collected: Path,
    dataset: Path,
    characters: Path,
    data: Path,
    into: Path,
    base: str,
    settings: LessonSettings,
    memory: MemorySettings | None = None,
) -> Path:
    """Make samples and pairs. Returns ``into``.

    ``data`` is the folder of the database and of the operator's decisions: whoever has withdrawn since the collecting is left out.

    Raises:
        SourceRefused: too little is left to learn from, or to measure by.
    """
    stage = begin(
        into,
        "lessons",
        inputs={"collected": collected, "dataset": dataset},
        settings={**settings.model_dump(mode="json", exclude={"seed"}), "base": Path(base).name},
        seed=settings.seed,
    )
    if stage.finished:
        return into
    held = asyncio.run(_receipts(data, memory or MemorySettings()))
    decided = decisions(data)
    rows, withdrawn = _still_agreed(curated(read_rows(collected), decided, approved_only=settings.approved_only), held)
    cast = {c.slug: c for c in Cast.load(characters, CharacterSettings()).house}
    teller = _Teller(Conversations(load_tokenizer(find_base(base)), Budget(context=settings.context_tokens)), cast, settings)
    taught, tested = divided(rows["pairs"], settings)
    if len(tested) < LEAST_TESTED:
        raise SourceRefused(
            f"{len(rows['pairs'])} pairs are not enough: the gate needs {LEAST_TESTED} of them for itself; wait until more was chosen,"
            " edited or rated, and collect again"
        )
    # Thumbs about a reply whose pair is the gate's teach nothing: the gate would measure what was learnt by heart.
    kept_back = {row.turn for row in tested}
    gold = [row for row in rows["gold"] if row.turn not in kept_back]
    thumbs = [row for row in rows["kto"] if row.turn not in kept_back]
    liked = _liked(taught, thumbs, gold) if settings.liked else []
    samples = [teller.sample(row) for row in (*gold, *liked)]
    mixed, figures = _mixed(samples, list(read_samples(dataset / TRAIN)), settings)
    write_samples(into / TRAIN, mixed)
    for name in (WATCH, TEST):
        shutil.copyfile(dataset / name, into / name)
    write_rows(into / PAIRS, [teller.pair(row) for row in taught])
    write_rows(into / THUMBS, [teller.thumb(row) for row in thumbs])
    write_samples(into / TEST_CHOSEN, [teller.served(row, row.chosen) for row in tested])
    write_samples(into / TEST_REJECTED, [teller.served(row, row.rejected or "") for row in tested])
    used = [*gold, *taught, *thumbs, *tested]
    people = sorted({digest(person) for row in used for person in row.people})
    write_json(into / PEOPLE_FILE, {"people": people, "rows": len(used)})
    return stage.finish(
        {
            **figures,
            "gold": len(gold),
            "liked": len(liked),
            "pairs": len(taught),
            "thumbs": len(thumbs),
            "tested_pairs": len(tested),
            "people": len(people),
            "withdrawn_since": withdrawn,
        }
    )


def read_pairs(path: Path) -> list[Preference]:
    return [Preference(**row) for row in _objects(path)]


def read_thumbs(path: Path) -> list[Thumb]:
    return [Thumb(**row) for row in _objects(path)]


async def _receipts(data: Path, memory: MemorySettings) -> dict[str, list[Receipt]]:
    store = await Store.open(memory, data)
    try:
        return await store.receipts()
    finally:
        await store.close()


def _still_agreed(rows: Mapping[Kind, list[Row]], held: Mapping[str, Sequence[Receipt]]) -> tuple[dict[Kind, list[Row]], int]:
    def agreed(row: Row) -> bool:
        pairs = zip(row.people, row.receipts, strict=True)
        return all(any(r.id == receipt["consent"] for r in held.get(person, ())) for person, receipt in pairs)

    kept = {kind: [row for row in of if agreed(row)] for kind, of in rows.items()}
    return kept, sum(len(of) for of in rows.values()) - sum(len(of) for of in kept.values())


def divided(pairs: Sequence[Row], settings: LessonSettings) -> tuple[list[Row], list[Row]]:
    """Taught and tested, by what was said: two pairs about the same words never part."""
    share = settings.held_out
    tested = [row for row in pairs if _draw(settings.seed, row.turn) < share]
    taught = [row for row in pairs if row not in tested]
    random.Random(settings.seed).shuffle(taught)  # a budget that cuts the end off cuts nobody's in particular
    return taught, tested


def _draw(seed: int, turn: int) -> float:
    return int(hashlib.sha256(f"{seed}/{turn}".encode()).hexdigest()[:8], 16) / 2**32


def _liked(pairs: Iterable[Row], thumbs: Iterable[Row], gold: Iterable[Row]) -> list[Row]:
    """Replies that somebody chose or praised, each once, and none that an edit has taken the place of."""
    edited = {row.turn for row in gold}
    seen: set[tuple[int, str]] = set()
    found: list[Row] = []
    for row in (*pairs, *(t for t in thumbs if t.label)):
        mark = (row.turn, row.chosen)
        if row.turn not in edited and mark not in seen:
            seen.add(mark)
            found.append(row)
    return found


def _mixed(own: Sequence[Sample], company: Sequence[Sample], settings: LessonSettings) -> tuple[list[Sample], dict[str, Any]]:
    """All that people gave, and at least as many tokens of the company's own lines, shuffled."""
    draw = random.Random(settings.seed)
    given = sum(len(s.tokens) for s in own)
    wanted = given * settings.original / (1 - settings.original)
    added: list[Sample] = []
    pool = list(company)
    draw.shuffle(pool)
    tokens = 0
    for sample in _again(pool):
        if tokens >= wanted and added:
            break
        added.append(sample)
        tokens += len(sample.tokens)
    mixed = [replace(s, draw=0) for s in (*own, *added)]
    draw.shuffle(mixed)
    return mixed, {"given_tokens": given, "original_tokens": tokens, "original_share": round(tokens / max(tokens + given, 1), 3)}


def _again(pool: Sequence[Sample]) -> Iterator[Sample]:
    while pool:
        yield from pool


class _Teller:
    """Rows -> token ids, through the one renderer."""

    def __init__(self, conversations: Conversations, cast: Mapping[str, Character], settings: LessonSettings) -> None:
        self._conversations = conversations
        self._cast = cast
        self._settings = settings

    def sample(self, row: Row) -> Sample:
        return self._told(row, row.chosen, self._layout(row))

    def served(self, row: Row, reply: str) -> Sample:
        return self._told(row, reply, Layout())

    def pair(self, row: Row) -> Preference:
        assert row.rejected is not None, row.key
        chosen, rejected = (self._told(row, reply, self._layout(row)) for reply in (row.chosen, row.rejected))
        start = chosen.spans[-1][0]
        assert chosen.tokens[:start] == rejected.tokens[:start], "both replies follow the same prompt"
        return Preference(row.key, chosen.tokens[:start], chosen.tokens[start:], rejected.tokens[start:])

    def thumb(self, row: Row) -> Thumb:
        told = self._told(row, row.chosen, self._layout(row))
        start = told.spans[-1][0]
        return Thumb(row.key, told.tokens[:start], told.tokens[start:], bool(row.label))

    def _layout(self, row: Row) -> Layout:
        shown = self._settings.exemplars[int(hashlib.sha256(row.key.encode()).hexdigest(), 16) % len(self._settings.exemplars)]
        return replace(Layout(), fixed=shown, retrieved=0)

    def _told(self, row: Row, reply: str, layout: Layout) -> Sample:
        character = self._cast.get(row.character)
        if character is None:
            raise SourceRefused(f"{row.key}: there is no character {row.character!r} any more; drop the row with troupe-train curate")
        before = [Exemplar(f"{row.key}/{i}", row.name, said, answer, None, None, "") for i, (said, answer) in enumerate(row.before)]
        spoken = [*before, Exemplar(row.key, row.name, row.said, reply, None, None, "conversation")]
        talk = Talk(shown=(), spoken=spoken, retrieved=layout.retrieved, kind=row.kind, person=row.name)
        return self._conversations.heard(character, talk, layout)


def write_rows(path: Path, rows: Iterable[Preference | Thumb]) -> None:
    """Write pairs or thumbs as ``prefer`` reads them."""
    beside = path.with_name(f"{path.name}.partial")
    beside.write_text("".join(json.dumps(asdict(row), separators=(",", ":")) + "\n" for row in rows), encoding="utf-8")
    beside.replace(path)


def _objects(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise SourceRefused(f"{path}: cannot be read ({error}); delete the folder {path.parent.name} and run retrain again") from error
