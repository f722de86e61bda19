"""Stage ``dataset``: characters' lines -> samples to train on and samples to measure by.

A training sample is one card with a dozen exchanges of that character, in the layout that the bot serves, and every reply
in it is trained. Each draw deals all exchanges out anew, so that a model sees every line in several companies. What is
measured is never dealt: ``held_out.jsonl`` beside a character's lines, or characters that are left out by name.
"""

from __future__ import annotations

import hashlib
import json
import random
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from bot.characters.cast import CARD_FILE, Cast, Character, make_character
from bot.characters.lines import LINES_FILE, Exemplar, read_lines
from bot.characters.prompt import Budget, Layout
from bot.config import CharacterSettings, Section
from bot.engine.models import STARTER
from bot.errors import CardError
from trainer.base import find_base, load_tokenizer
from trainer.conversations import VISITOR, Conversations, Talk
from trainer.duplicates import NearDuplicates
from trainer.errors import SourceRefused
from trainer.extract.exchanges import HELD_OUT_FILE
from trainer.manifest import begin, fingerprint, write_json
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import run_folder, working_in
from trainer.samples import Sample, read_samples, write_samples
from trainer.tokenizer import TransformersTokenizer

TRAIN, WATCH, TEST, WRONG, STATS = "train.jsonl", "watch.jsonl", "test.jsonl", "wrong_card.jsonl", "stats.json"

# Names of people in a channel, so that a model does not learn that everybody is "A visitor".
PEOPLE = ("Sam", "Alex", "Robin", "Noor", "Kit", "Jun", "Maria", "guest_42", "Theo", "Ada", "moth", "Lee")


class DatasetSettings(Section):
    """How samples are dealt and which characters are in."""

    base: str = STARTER  # whose tokenizer and chat template
    seed: int = 1
    draws: int = Field(4, ge=1)
    languages: tuple[str, ...] = ("en",)  # a character is in when its first language is one of these; empty: everybody
    only: tuple[str, ...] = ()  # slugs; empty: everybody
    leave_out: tuple[str, ...] = ()  # slugs that training never sees; they are measured
    fixed: tuple[int, ...] = (12, 12, 8, 4, 0)  # how many exchanges stand as exemplars, drawn with equal chance
    retrieved_share: float = Field(0.6, ge=0, le=1)  # of samples whose last turn shows retrieved exemplars
    named_share: float = Field(0.6, ge=0, le=1)  # of samples in which the person has a name
    watch: int = Field(4, ge=1)  # held-out exchanges of each character that training watches; the others are for the test
    tail: float = Field(0.15, gt=0, lt=0.9)  # last share of the lines that is held out where there is no held_out.jsonl
    wrong_cards: int = Field(2, ge=0)  # other characters whose card each test exchange is also measured with
    sample_tokens: int = Field(2048, ge=128)
    context_tokens: int = Field(4096, ge=512)
    instructions: tuple[Path, ...] = ()  # JSONL {instruction, character, reply}


@dataclass(frozen=True, slots=True)
class Part:
    """One character's exchanges, divided."""

    character: Character  # with the lines that training may show
    taught: tuple[Exemplar, ...]  # empty for a character that is left out
    watched: tuple[Exemplar, ...]
    tested: tuple[Exemplar, ...]


def dataset(characters: Path, into: Path, settings: DatasetSettings) -> Path:
    """Make the samples. Returns ``into``, which holds train, watch, test and wrong-card samples and their statistics.

    Raises:
        SourceRefused: there is nothing to learn from, or a sample whose end would not be trained.
        BaseRefused: the base's template cannot end a reply.
    """
    base = find_base(settings.base)
    inputs: dict[str, Path | str] = {"characters": texts_of(characters), "base": base.local or base.name}
    inputs |= {f"instructions-{number}": path for number, path in enumerate(settings.instructions, 1)}
    stage = begin(
        into, "dataset", inputs=inputs, settings=settings.model_dump(mode="json", exclude={"instructions", "seed"}), seed=settings.seed
    )
    if stage.finished:
        return into
    tokenizer = load_tokenizer(base)
    parts, removed = divide(characters, settings)
    conversations = Conversations(tokenizer, Budget(context=settings.context_tokens))
    draw = random.Random(settings.seed)
    train, too_long = _within(_dealt(parts, conversations, settings, draw), settings.sample_tokens)
    if not train:
        raise SourceRefused(f"no sample is shorter than {settings.sample_tokens} tokens; raise sample_tokens or shorten the cards")
    measured = _measured(parts, conversations, settings)
    write_samples(into / TRAIN, train)
    for name, samples in measured.items():
        write_samples(into / name, samples)
    figures = {
        **_figures(train, measured),
        "characters": [p.character.slug for p in parts if p.taught],
        "left_out": [p.character.slug for p in parts if not p.taught],
        "removed_as_duplicates": removed,
        "too_long": too_long,
    }
    write_json(into / STATS, figures)
    return stage.finish(figures)


# ------------------------------------------------------------------ who is in, and what is held out


def texts_of(characters: Path) -> str:
    """What is learnt from: cards and lines. A new portrait does not make a finished dataset stale."""
    texts = sorted(p for p in characters.glob("*/*") if p.name in (CARD_FILE, LINES_FILE, HELD_OUT_FILE))
    return hashlib.sha256("\n".join(f"{p.parent.name}/{p.name} {fingerprint(p)}" for p in texts).encode()).hexdigest()


def divide(characters: Path, settings: DatasetSettings) -> tuple[list[Part], int]:
    """The characters that take part, each with what is taught and what is held out; and how many lines were too alike.

    Raises:
        SourceRefused: nobody is left, a name is not known, or a character has too few lines.
    """
    limits = CharacterSettings()
    cast = Cast.load(characters, limits)
    house = {c.slug: c for c in cast.house}
    unknown = sorted({*settings.only, *settings.leave_out} - set(house))
    if unknown:
        raise SourceRefused(f"{characters}: there is no character {unknown[0]!r}; there are {', '.join(house) or 'none'}")
    chosen = [
        c
        for c in house.values()
        if (not settings.only or c.slug in settings.only or c.slug in settings.leave_out)
        and (not settings.languages or c.settings.languages[:1] == () or c.settings.languages[0] in settings.languages)
    ]
    extra = _instructions(settings.instructions, house)
    held = {c.slug: _held_out(characters / c.slug / HELD_OUT_FILE, c, settings, limits) for c in chosen}
    everything_held = NearDuplicates()
    for lines in held.values():
        for line in lines:
            everything_held.add(line.reply)
    parts: list[Part] = []
    removed = 0
    for character in chosen:
        held_out = held[character.slug]
        candidates = [e for e in (*character.lines, *extra.get(character.slug, ())) if e not in held_out]
        kept = _unlike(candidates, held_out, everything_held)
        removed += len(candidates) - len(kept)
        shown = tuple(e for e in kept if e in character.lines)
        left_out = character.slug in settings.leave_out
        if not left_out and len(kept) < 4:
            raise SourceRefused(f"{character.slug} has {len(kept)} lines to learn from; a character needs at least 4, better 60")
        parts.append(
            Part(
                make_character(character.scope, character.slug, character.card, shown),
                () if left_out else tuple(kept),
                tuple(held_out[: settings.watch]) if not left_out else (),
                tuple(held_out[settings.watch :]) if not left_out else tuple(held_out),
            )
        )
    if not any(p.taught for p in parts):
        raise SourceRefused(f"{characters}: no character is left to learn from; check 'only', 'leave_out' and 'languages'")
    return parts, removed


def _held_out(path: Path, character: Character, settings: DatasetSettings, limits: CharacterSettings) -> list[Exemplar]:
    """What is measured: the file that says so, or the end of the lines. Never lines from among those that are taught."""
    try:
        lines = list(read_lines(path, limits))
    except CardError as error:
        raise SourceRefused(str(error)) from error
    return lines or list(character.lines[len(character.lines) - int(len(character.lines) * settings.tail) :])


def _unlike(candidates: Sequence[Exemplar], held_out: Sequence[Exemplar], everything_held: NearDuplicates) -> list[Exemplar]:
    """Without what repeats a held-out reply of anybody, a held-out question of the same character, or an earlier line.

    A question that several characters answer is no repetition: it shows who they are.
    """
    questions, pairs = NearDuplicates(), NearDuplicates()
    for line in held_out:
        questions.add(line.said)
    kept: list[Exemplar] = []
    for line in candidates:
        pair = f"{line.said}\n{line.reply}"
        if questions.like(line.said) is None and everything_held.like(line.reply) is None and pairs.like(pair) is None:
            pairs.add(pair)
            kept.append(line)
    return kept


def _instructions(paths: Sequence[Path], house: Mapping[str, Character]) -> dict[str, list[Exemplar]]:
    """General instructions answered in role, as exchanges of the character that answered them."""
    found: dict[str, list[Exemplar]] = {}
    for place, (slug, instruction, reply) in enumerate((row for path in paths for row in _answered(path, house)), 1):
        exchange = Exemplar(f"{slug}-instruction-{place}", None, instruction, reply, None, None, "instruction")
        found.setdefault(slug, []).append(exchange)
    return found


def _answered(path: Path, house: Mapping[str, Character]) -> Iterator[tuple[str, str, str]]:
    """Slug, instruction and reply of every row."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceRefused(f"{path}: cannot be read as UTF-8 text ({error})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            instruction, slug, reply = str(row["instruction"]).strip(), str(row["character"]), str(row["reply"]).strip()
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise SourceRefused(f'{path}:{number}: is no {{"instruction", "character", "reply"}} object ({error})') from error
        if slug not in house:
            raise SourceRefused(f"{path}:{number}: there is no character {slug!r}; use the name of its folder")
        if not instruction or not reply:
            raise SourceRefused(f"{path}:{number}: the instruction or the reply is empty")
        yield slug, instruction, reply


# ------------------------------------------------------------------ dealing


def _dealt(parts: Sequence[Part], conversations: Conversations, settings: DatasetSettings, draw: random.Random) -> list[Sample]:
    """All training samples in the order in which they are trained: draw by draw, characters mixed."""
    samples: list[Sample] = []
    taught = [p for p in parts if p.taught]
    for number in track(range(settings.draws), description="dealing", transient=True):
        of_draw = [
            conversations.trained(part.character, talk)
            for part in taught
            for talk in deal(part.taught, settings, draw, number, shown=frozenset(e.id for e in part.character.lines))
        ]
        draw.shuffle(of_draw)
        samples += of_draw
    return samples


def deal(
    exchanges: Sequence[Exemplar], settings: DatasetSettings, draw: random.Random, number: int, *, shown: frozenset[str]
) -> Iterable[Talk]:
    """Every exchange once, in groups: some stand as exemplars, the others are said in the channel.

    ``shown``: ids of those that may stand as exemplars; instructions may not, because no served prompt shows them so.
    """
    left = list(exchanges)
    draw.shuffle(left)
    while left:
        fixed = draw.choice(settings.fixed)
        spoken = draw.randint(1, 4) if fixed >= 8 else draw.randint(3, 8)
        group, left = left[: fixed + spoken], left[fixed + spoken :]
        aside = [e for e in group if e.id in shown][: min(fixed, len(group) - 1)]
        said = [e for e in group if e not in aside]
        yield Talk(
            shown=aside,
            spoken=said,
            retrieved=draw.randint(1, 3) if draw.random() < settings.retrieved_share else 0,
            person=draw.choice(PEOPLE) if draw.random() < settings.named_share else VISITOR,
            draw=number,
        )


def _measured(parts: Sequence[Part], conversations: Conversations, settings: DatasetSettings) -> dict[str, list[Sample]]:
    layout = Layout()
    cards = [p.character for p in parts]
    watched = [conversations.served(p.character, e, p.character, layout) for p in parts for e in p.watched]
    tested = [conversations.served(p.character, e, p.character, layout) for p in parts for e in p.tested]
    wrong: list[Sample] = []
    for part in parts:
        others = [c for c in cards if c.slug != part.character.slug]
        for i, exchange in enumerate(part.tested):
            # Others in turn, so that every other card is met about equally often.
            for k in range(min(settings.wrong_cards, len(others))):
                other = others[(i * settings.wrong_cards + k) % len(others)]
                wrong.append(replace(conversations.served(other, exchange, part.character, layout), kind="wrong card"))
    return {WATCH: watched, TEST: tested, WRONG: wrong}


def _within(samples: Iterable[Sample], limit: int) -> tuple[list[Sample], int]:
    whole = list(samples)
    kept = [s for s in whole if len(s.tokens) <= limit]
    return kept, len(whole) - len(kept)


# ------------------------------------------------------------------ showing


def _figures(train: Sequence[Sample], measured: Mapping[str, Sequence[Sample]]) -> dict[str, Any]:
    lengths = sorted(len(s.tokens) for s in train)
    return {
        "samples": len(train),
        "replies": sum(len(s.spans) for s in train),
        "tokens": sum(lengths),
        "trained_tokens": sum(s.trained for s in train),
        "draws": 1 + max(s.draw for s in train),
        "length": {"shortest": lengths[0], "median": lengths[len(lengths) // 2], "longest": lengths[-1]},
        "replies_by_character": dict(sorted(Counter(s.character for s in train for _ in s.spans).items())),
        **{name.removesuffix(".jsonl"): len(samples) for name, samples in measured.items()},
    }


def show(folder: Path, console: Console, tokenizer: TransformersTokenizer) -> None:
    """Counts, lengths, and one sample with its trained tokens in colour."""
    samples = list(read_samples(folder / TRAIN))
    figures = json.loads((folder / STATS).read_text(encoding="utf-8"))
    table = Table(title="dataset", show_header=False)
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), json.dumps(value, ensure_ascii=False))
    console.print(table)
    console.print(coloured(min(samples[:40], key=lambda s: len(s.tokens)), tokenizer))
    console.print("[bold green]green[/] is trained, the end token of every reply included; the rest is only read")


def coloured(sample: Sample, tokenizer: TransformersTokenizer) -> Text:
    """A sample as text; the trained stretches, end tokens included, are green."""
    text, at = Text(), 0
    for start, end in sample.spans:
        text.append(tokenizer.decode(sample.tokens[at:start]), style="dim")
        text.append(tokenizer.decode(sample.tokens[start:end]), style="bold green")
        at = end
    text.append(tokenizer.decode(sample.tokens[at:]), style="dim")
    return text


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--characters", type=Path, default=Path("characters"), metavar="FOLDER", help="default characters")
    add_settings(parser, DatasetSettings)


def command(args: Namespace) -> None:
    settings = settings_from(args, DatasetSettings)
    with working_in(run_folder(args.runs, args.run)) as run:
        folder = dataset(args.characters, run / "dataset", settings)
        show(folder, Console(), load_tokenizer(find_base(settings.base)))
