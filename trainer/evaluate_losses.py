"""The losses of an evaluation: under right and wrong cards, with and without exemplars, by turn of a long talk, of general knowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress

from bot.characters.prompt import Layout, fixed_exemplars
from bot.characters.template import ChatTemplate
from bot.messages import ChatMessage
from trainer.conversations import Conversations, Talk
from trainer.dataset import Part
from trainer.evaluate_intervals import Interval, loss
from trainer.evaluate_plan import GENERAL, EvaluateSettings, Plan, rows_of
from trainer.evaluate_swaps import BySwap, GgufScorer, Losses, by_swap, held_out_questions, samples_for
from trainer.likelihood import Measured
from trainer.samples import Sample, label_replies
from trainer.tokenizer import TransformersTokenizer

TURNS: Final = ((1, 5), (6, 10), (11, 20))
LAYOUTS: Final = {"with exemplars": Layout(), "without exemplars": replace(Layout(), fixed=0, retrieved=0)}


def losses_of(
    path: Path, folder: Path, planned: Plan, settings: EvaluateSettings, progress: Progress, name: str
) -> tuple[dict[str, Any], dict[str, BySwap]]:
    """Losses by layout and swap, of general knowledge, and by turn where talks are measured; what was measured is kept in ``folder``."""
    questions = held_out_questions(planned.parts, settings.wrong_cards)
    sets = {
        layout: samples_for(planned.conversations, questions, shape, ("right", "both") if shape.fixed else ("right",))
        for layout, shape in LAYOUTS.items()
    }
    general = general_samples(planned.tokenizer, planned.conversations.ending)
    talking = [p for p in planned.parts if p.tested and "talks" in settings.measure]
    turns = [each for p in talking for each in talk_samples(planned.conversations, p)]
    task = progress.add_task(f"{name}: losses", total=sum(map(len, sets.values())) + len(general) + len(turns))

    def tick() -> None:
        progress.advance(task)

    with Losses(folder / "losses.jsonl", lambda: GgufScorer(path, threads=settings.threads)) as kept:
        measured: dict[str, BySwap] = {layout: by_swap(samples, kept.of(layout, samples, tick)) for layout, samples in sets.items()}
        by_turn = kept.of("turns", [talk for _, talk in turns], tick)
        known = kept.of("general", general, tick)
    speakers = {q.exchange.id: q.speaker.slug for q in questions}
    return {
        "general": loss(known),
        "by_turn": _by_turn([stretch for stretch, _ in turns], by_turn),
        "by_character": _by_character(measured["with exemplars"]["right"], speakers),
    }, measured


def talk_samples(conversations: Conversations, part: Part) -> list[tuple[str, Sample]]:
    """One character's held-out exchanges as one long talk, its own real replies between them; one sample a stretch of turns."""
    shown = fixed_exemplars(part.character, Layout().fixed)
    whole = conversations.trained(part.character, Talk(shown=shown, spoken=part.tested, lore=False, kind="talk", person="Sam"))
    spans = whole.spans[-len(part.tested) :]
    found: list[tuple[str, Sample]] = []
    for low, high in TURNS:
        of = spans[low - 1 : high]
        if of:
            stretch = f"{low}-{high}"
            found.append((stretch, replace(whole, tokens=whole.tokens[: of[-1][1]], spans=of, lines=[f"turns {stretch}"])))
    return found


def general_samples(tokenizer: TransformersTokenizer, ending: Sequence[int]) -> list[Sample]:
    """Plain questions and short answers, without any character: what tuning may have made the model forget."""
    template = ChatTemplate(tokenizer)
    found: list[Sample] = []
    for row in rows_of(GENERAL):
        messages = [ChatMessage("user", row["said"]), ChatMessage("assistant", row["reply"])]
        tokens, spans = label_replies(template.segments(messages, reply_follows=False), messages, tokenizer, ending, last_only=True)
        found.append(Sample(tokens[: spans[-1][1]], spans, "", "general", "general", [row["id"]]))
    return found


def _by_turn(stretches: Sequence[str], measured: Sequence[Measured]) -> dict[str, Interval]:
    return {
        stretch: loss([m for each, m in zip(stretches, measured, strict=True) if each == stretch]) for stretch in dict.fromkeys(stretches)
    }


def _by_character(right: Mapping[str, Measured], speakers: Mapping[str, str]) -> dict[str, Interval]:
    return {who: loss([m for line, m in right.items() if speakers[line] == who]) for who in sorted(set(speakers.values()))}
