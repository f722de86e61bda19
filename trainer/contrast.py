"""Stage ``contrast``: the same question answered by several characters -> pairs in which somebody else's answer is the rejected one.

Telling characters apart is the hard part: tuning on lines teaches the manner of all of them together. A pair holds the question fixed,
so that nothing but the card and the exemplars in the prompt can say which reply is the right one. ``prefer`` learns from them.
"""

from __future__ import annotations

import random
import re
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from bot.characters.cast import Character
from bot.characters.lines import Exemplar
from bot.characters.prompt import Budget
from bot.config import Section
from bot.engine.models import STARTER
from trainer.base import find_base, load_tokenizer
from trainer.conversations import Conversations, Talk
from trainer.dataset import DatasetSettings, Part, divide, texts_of
from trainer.errors import SourceRefused
from trainer.manifest import begin
from trainer.options import add_run, add_settings, settings_from
from trainer.retrain_lessons import PAIRS, Preference, write_rows
from trainer.runs import run_folder, working_in

Answer = tuple[Character, Exemplar]


class ContrastSettings(Section):
    """Which questions count, and how many of the others' answers each is set against."""

    base: str = STARTER
    seed: int = 1
    languages: tuple[str, ...] = ("en",)
    leave_out: tuple[str, ...] = ()  # slugs that training never sees
    answered_by: int = Field(3, ge=2)  # characters at least, that a question must have
    others: int = Field(2, ge=1)  # of their answers that are rejected, one a pair
    fixed: tuple[int, ...] = (12, 4, 0)  # how many exemplars stand before the question, drawn with equal chance
    watch: int = Field(4, ge=1)  # as the dataset stage has it


def contrast(characters: Path, into: Path, settings: ContrastSettings) -> Path:
    """Make the pairs. Returns ``into``, which ``prefer`` takes.

    Raises:
        SourceRefused: no question has answers of so many characters.
    """
    base = find_base(settings.base)
    asked = settings.model_dump(mode="json", exclude={"seed", "base"})
    inputs = {"characters": texts_of(characters), "base": base.local or base.name}
    dealt = DatasetSettings(base=settings.base, languages=settings.languages, leave_out=settings.leave_out, watch=settings.watch)
    questions = shared_questions(divide(characters, dealt)[0], settings.answered_by)
    if not questions:
        raise SourceRefused(
            f"{characters}: no question is answered by {settings.answered_by} characters; ask them all the same, or lower answered_by"
        )
    stage = begin(into, "contrast", inputs=inputs, settings=asked, seed=settings.seed)
    if stage.finished:
        return into
    conversations = Conversations(load_tokenizer(base), Budget(context=dealt.context_tokens))
    draw = random.Random(settings.seed)
    pairs = [pair for answers in questions for pair in _pairs(answers, conversations, settings, draw)]
    draw.shuffle(pairs)
    write_rows(into / PAIRS, pairs)
    return stage.finish({"questions": len(questions), "pairs": len(pairs), "tokens": sum(p.tokens for p in pairs)})


def shared_questions(parts: Sequence[Part], least: int) -> list[list[Answer]]:
    """Answers to questions that several characters were asked, in whatever case and with whatever marks."""
    found: dict[str, dict[str, Answer]] = defaultdict(dict)
    for part in parts:
        for exchange in part.taught:
            question = " ".join(re.findall(r"\w+", exchange.said.casefold()))
            found[question].setdefault(part.character.slug, (part.character, exchange))
    return [list(answers.values()) for answers in found.values() if len(answers) >= least]


def _pairs(answers: Sequence[Answer], conversations: Conversations, settings: ContrastSettings, draw: random.Random) -> list[Preference]:
    pairs: list[Preference] = []
    for character, exchange in answers:
        others = [e for c, e in answers if c.slug != character.slug]
        # Never the exchange itself: what stands there already would be no question any more.
        lines = [e for e in character.lines if e.id != exchange.id]
        shown = draw.sample(lines, min(draw.choice(settings.fixed), len(lines)))
        for other in draw.sample(others, min(settings.others, len(others))):
            pairs.append(_pair(conversations, character, exchange, other, shown))
    return pairs


def _pair(conversations: Conversations, character: Character, exchange: Exemplar, other: Exemplar, shown: Sequence[Exemplar]) -> Preference:
    chosen, rejected = (
        conversations.trained(character, Talk(shown=shown, spoken=(replace(exchange, reply=reply),)))
        for reply in (exchange.reply, other.reply)
    )
    start = chosen.spans[-1][0]
    assert chosen.tokens[:start] == rejected.tokens[:start], "both replies follow the same prompt"
    return Preference(f"{exchange.id}/{other.id}", chosen.tokens[:start], chosen.tokens[start:], rejected.tokens[start:])


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--characters", type=Path, default=Path("characters"), metavar="FOLDER", help="default characters")
    add_settings(parser, ContrastSettings)


def command(args: Namespace) -> None:
    with working_in(run_folder(args.runs, args.run)) as run:
        folder = contrast(args.characters, run / "contrast", settings_from(args, ContrastSettings))
    print(f"{folder / PAIRS}: the pairs; next: troupe-train prefer --run {args.run}")
