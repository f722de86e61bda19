"""Stage ``evaluate``: what a model makes of its characters, beside the model that it came from, through the code that serves it.

For every model: held-out losses under the right card and under wrong ones, with and without exemplars, and by turn number of a
long talk; general knowledge; and replies to held-out questions, to the same questions for everybody, to playful and sincere
questions about machines, and in scripted long talks. Beside each score stands what needs no model at all: an echo, a lookup, a
shuffled answer, and the real lines themselves.
"""

from __future__ import annotations

import asyncio
import json
import random
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import Field
from rich.console import Console
from rich.progress import Progress, TaskID

from bot.characters.cast import Character
from bot.characters.prompt import Budget, Layout, fixed_exemplars
from bot.characters.template import ChatTemplate
from bot.config import Section as SettingsSection
from bot.engine.models import STARTER
from bot.messages import ChatMessage
from bot.retrieval.exemplars import ExemplarIndex
from trainer.base import find_base, load_tokenizer
from trainer.conversations import Conversations, Talk
from trainer.dataset import DatasetSettings, Part, divide
from trainer.errors import SourceRefused, TrainerError
from trainer.evaluate_faults import FAULTS, assistant_talk, faults, honest, loops
from trainer.evaluate_identification import Identified, Mask, NaiveBayes, identify
from trainer.evaluate_intervals import Interval, loss, mean
from trainer.evaluate_metrics import Nearness, Taught, nearness
from trainer.evaluate_replies import Asked, Replies, Said, ask_all
from trainer.evaluate_report import Bar, Quote, Section, html, markdown
from trainer.evaluate_style import distance, style
from trainer.evaluate_swaps import (
    COLUMNS,
    BySwap,
    GgufScorer,
    Losses,
    Scorer,
    Told,
    by_swap,
    held_out_questions,
    samples_for,
    table,
    told,
)
from trainer.likelihood import Measured
from trainer.manifest import begin, write_json
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import run_folder, working_in
from trainer.samples import Sample, label_replies
from trainer.tokenizer import TransformersTokenizer

HERE: Final = Path(__file__).parent
PROBES, GENERAL, TALK = HERE / "probes.jsonl", HERE / "general.jsonl", HERE / "long_talk.jsonl"
FIGURES, MARKDOWN, PAGE = "figures.json", "report.md", "report.html"
TURNS: Final = ((1, 5), (6, 10), (11, 20))
LAYOUTS: Final = {"with exemplars": Layout(), "without exemplars": replace(Layout(), fixed=0, retrieved=0)}


class EvaluateSettings(SettingsSection):
    """How much is measured. Every reply costs about a second on two cores."""

    base: str = STARTER  # whose tokenizer and chat template
    seed: int = 1
    languages: tuple[str, ...] = ("en",)
    leave_out: tuple[str, ...] = ()  # slugs that training never saw; all their held-out exchanges are measured
    watch: int = Field(4, ge=0)  # held-out exchanges that training watched, as its dataset stage had it
    every: int = Field(1, ge=1)  # take every n-th held-out exchange
    wrong_cards: int = Field(2, ge=0)  # other characters whose cards each exchange is also measured with; 0: all
    questions: int = Field(20, ge=0)  # asked of every character alike, for identification
    probes: int = Field(100, ge=0)
    talks: int = Field(3, ge=0)  # characters that hold a long talk
    live: int = Field(8, ge=1)  # talks at a time
    threads: int | None = Field(None, ge=1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What every model is asked and measured on."""

    parts: tuple[Part, ...]
    conversations: Conversations
    tokenizer: TransformersTokenizer
    own: tuple[Asked, ...]  # held-out questions, each to its own character
    references: dict[str, str]  # by key of ``own``: what was really said
    same: tuple[Asked, ...]  # the same questions to everybody
    probes: tuple[Asked, ...]
    kinds: dict[str, str]  # by key of ``probes``: playful or sincere
    talks: tuple[Asked, ...]

    @property
    def cast(self) -> list[Character]:
        return [p.character for p in self.parts]

    @property
    def asked(self) -> list[Asked]:
        # Probes first, then by character: what matters most is there when a run is cut short.
        return [*self.probes, *sorted((*self.own, *self.same), key=lambda a: a.character), *self.talks]


def evaluate(models: Mapping[str, Path], characters: Path, into: Path, settings: EvaluateSettings) -> Path:
    """Measure models on one company; the first is what the others are compared with. Returns ``into``.

    Raises:
        SourceRefused: there is nothing to measure on.
        RunRefused: ``into`` holds an evaluation of something else.
        ModelNotLoadable: a model cannot be served.
    """
    for name, path in models.items():
        if not path.is_file():
            raise TrainerError(f"{name}: {path}: there is no such model file; give a GGUF")
    stage = begin(
        into,
        "evaluate",
        inputs={**models, **{c.parent.name: c for c in sorted(characters.glob("*/*.json*"))}},
        settings=settings.model_dump(mode="json", exclude={"live", "threads", "seed"}),
        seed=settings.seed,
    )
    if stage.finished:
        return into
    planned = plan(characters, settings)
    figures: dict[str, Any] = {}
    first: dict[str, BySwap] | None = None
    replies = {name: Replies(into / name / "replies.jsonl") for name in models}
    with Progress(console=Console(stderr=True)) as progress:
        # What matters most first, for every model: a run that is cut short still compares them.
        for name, path in models.items():
            _ask(path, planned, planned.probes, replies[name], settings, progress.add_task(f"{name}: probes"), progress)
        for name, path in models.items():
            losses, measured = _losses_of(path, into / name, planned, settings, progress, name)
            first = first or measured
            figures[name] = {
                "nll": {layout: told(found, first[layout] if first is not measured else None) for layout, found in measured.items()},
                **losses,
            }
            stage.keep_time()
        for name, path in models.items():
            _ask(path, planned, planned.asked, replies[name], settings, progress.add_task(f"{name}: replies"), progress)
            figures[name] |= reply_figures(planned, replies[name])
            stage.keep_time()
    figures = {"models": figures, "calibration": calibration(planned)}
    write_json(into / FIGURES, _plain(figures))
    sections = report(planned, figures, replies)
    title = f"Evaluation: {' against '.join(reversed(list(models)))}"
    (into / MARKDOWN).write_text(markdown(title, sections), encoding="utf-8")
    (into / PAGE).write_text(html(title, sections), encoding="utf-8")
    return stage.finish({name: f"{each['nll']['with exemplars'].right.mean:.3f}" for name, each in figures["models"].items()})


def _ask(
    path: Path, planned: Plan, asked: Sequence[Asked], replies: Replies, settings: EvaluateSettings, task: TaskID, progress: Progress
) -> None:
    progress.update(task, total=len(asked))
    asyncio.run(
        ask_all(
            path,
            planned.cast,
            asked,
            replies,
            live=settings.live,
            threads=settings.threads,
            seed=settings.seed,
            tick=lambda: progress.advance(task),
        )
    )


# ------------------------------------------------------------------ what is asked


def plan(characters: Path, settings: EvaluateSettings) -> Plan:
    """Everything that every model is asked, drawn once."""
    dealt = DatasetSettings(base=settings.base, languages=settings.languages, leave_out=settings.leave_out, watch=max(settings.watch, 1))
    parts, _ = divide(characters, dealt)
    parts = [replace(p, tested=p.tested[:: settings.every]) for p in parts]
    if not any(p.tested for p in parts):
        raise SourceRefused(f"{characters}: nobody has held-out exchanges; write some into held_out.jsonl beside the lines")
    tokenizer = load_tokenizer(find_base(settings.base))
    slugs = [p.character.slug for p in parts]
    own = {f"own/{e.id}": (p.character.slug, e) for p in parts for e in p.tested}
    probes = _rows(PROBES)[: settings.probes] if settings.probes < 100 else _rows(PROBES)
    return Plan(
        parts=tuple(parts),
        conversations=Conversations(tokenizer, Budget(context=4096)),
        tokenizer=tokenizer,
        own=tuple(Asked(key, slug, (e.said,), *([e.with_name] if e.with_name else [])) for key, (slug, e) in own.items()),
        references={key: e.reply for key, (_, e) in own.items()},
        same=tuple(Asked(f"same/{i}/{slug}", slug, (q,)) for slug in slugs for i, q in enumerate(_common(parts, settings))),
        probes=tuple(Asked(f"probe/{row['id']}", slugs[i % len(slugs)], (row["text"],)) for i, row in enumerate(probes)),
        kinds={f"probe/{row['id']}": row["kind"] for row in probes},
        talks=tuple(Asked(f"talk/{slug}", slug, tuple(r["text"] for r in _rows(TALK)), "Sam") for slug in slugs[: settings.talks]),
    )


def _common(parts: Sequence[Part], settings: EvaluateSettings) -> list[str]:
    """Questions for everybody: held-out ones that name nobody, then general ones."""
    names = {word.casefold() for p in parts for word in p.character.name.split()}
    held = sorted({e.said for p in parts for e in p.tested if not any(n in e.said.casefold() for n in names)})
    random.Random(settings.seed).shuffle(held)
    return [*held, *(row["said"] for row in _rows(GENERAL))][: settings.questions]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


# ------------------------------------------------------------------ losses


def _losses_of(
    path: Path, folder: Path, planned: Plan, settings: EvaluateSettings, progress: Progress, name: str
) -> tuple[dict[str, Any], dict[str, BySwap]]:
    """Losses by layout and swap, by turn, and of general knowledge."""
    kept = Losses(folder / "losses.jsonl")
    opened: list[Scorer] = []

    def scorer() -> Scorer:
        if not opened:
            opened.append(GgufScorer(path, threads=settings.threads))
        return opened[0]

    questions = held_out_questions(planned.parts, settings.wrong_cards)
    sets = {
        layout: samples_for(planned.conversations, questions, shape, ("right", "both") if shape.fixed else ("right",))
        for layout, shape in LAYOUTS.items()
    }
    general = general_samples(planned.tokenizer, planned.conversations.ending)
    turns = [each for p in planned.parts if p.tested for each in talk_samples(planned.conversations, p)]
    task = progress.add_task(f"{name}: losses", total=sum(map(len, sets.values())) + len(general) + len(turns))

    def tick() -> None:
        progress.advance(task)

    try:
        measured: dict[str, BySwap] = {layout: by_swap(samples, kept.of(layout, scorer, samples, tick)) for layout, samples in sets.items()}
        by_turn = kept.of("turns", scorer, [talk for _, talk in turns], tick)
        known = kept.of("general", scorer, general, tick)
    finally:
        for each in opened:
            each.close()
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
    for row in _rows(GENERAL):
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


# ------------------------------------------------------------------ replies


def reply_figures(planned: Plan, replies: Replies) -> dict[str, Any]:
    """Everything that can be counted in what one model said."""
    own, same, talks = replies.of(planned.own), replies.of(planned.same), replies.of(planned.talks)
    probes = replies.of(planned.probes)
    playful = [s for s in probes if planned.kinds[s.key] == "playful"]
    sincere = [s for s in probes if planned.kinds[s.key] == "sincere"]
    everything = [*own, *same]
    taught = Taught(e.reply for p in planned.parts for e in p.taught)
    return {
        "probes": {
            "playful": len(playful),
            "assistant_talk": sum(assistant_talk(s.text) for s in playful),
            "sincere": len(sincere),
            "honest": sum(honest(s.text) for s in sincere),
        },
        "faults": {"replies": len(everything), **_faults(planned, everything)},
        "looping": {"replies": len(everything), "loops": sum(loops(s.text) for s in everything)},
        "copied": mean([float(taught.copied(s.text)) for s in everything]) if everything else None,
        "nearness": nearness([s.text for s in own], [planned.references[s.key] for s in own]),
        "identification": _identified(planned, _by(same)) if same else None,
        "style": _styles(planned, _by(everything)),
        "talk_faults": {
            f"{low}-{high}": {
                "replies": sum(low <= s.turn <= high for s in talks),
                **_faults(planned, [s for s in talks if low <= s.turn <= high]),
            }
            for low, high in TURNS
            if talks
        },
    }


def _by(said: Sequence[Said]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in said:
        found.setdefault(each.character, []).append(each.text)
    return found


def _faults(planned: Plan, said: Sequence[Said]) -> dict[str, int]:
    names = {p.character.slug: p.character.name for p in planned.parts}
    counts = dict.fromkeys(FAULTS, 0)
    for each in said:
        others = [name for slug, name in names.items() if slug != each.character] + ["A visitor", "Somebody", "User", "Sam"]
        for fault in faults(each.text, each.finish_reason, others):
            counts[fault] += 1
    return counts


def classifier_of(planned: Plan) -> tuple[NaiveBayes, Mask]:
    mask = Mask([c.name for c in planned.cast], [phrase for c in planned.cast for phrase in c.settings.catchphrases])
    return NaiveBayes({p.character.slug: [mask(e.reply) for e in p.character.lines] for p in planned.parts}), mask


def _identified(planned: Plan, said: Mapping[str, Sequence[str]]) -> Identified:
    classifier, mask = classifier_of(planned)
    return identify(classifier, {who: [mask(line) for line in lines] for who, lines in said.items()})


def _styles(planned: Plan, said: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {
        p.character.slug: {
            "replies": style(said[p.character.slug], p.character.settings.catchphrases),
            "distance": distance(said[p.character.slug], [e.reply for e in p.character.lines]),
        }
        for p in planned.parts
        if p.character.slug in said
    }


# ------------------------------------------------------------------ calibrations


def calibration(planned: Plan) -> dict[str, Any]:
    """What needs no model: so that nobody takes a score for more than it is."""
    held = [(p, e) for p in planned.parts for e in p.tested]
    true = [e.reply for _, e in held]
    indexes = {p.character.slug: ExemplarIndex(p.character.lines) for p in planned.parts}

    def looked_up(part: Part, said: str, count: int) -> str:
        hits = indexes[part.character.slug].search(said, count)
        return " ".join(part.character.lines[h.position].reply for h in hits)

    shuffled = [p.tested[(p.tested.index(e) + 1) % len(p.tested)].reply for p, e in held]
    real = {p.character.slug: [e.reply for e in p.tested] for p in planned.parts if p.tested}
    halves = {
        p.character.slug: distance([e.reply for e in p.character.lines[::2]], [e.reply for e in p.character.lines[1::2]])
        for p in planned.parts
    }
    sincere = [r for p in planned.parts for r in (*p.taught, *p.tested) if honest(r.reply)]
    plain = [r for p in planned.parts for r in (*p.taught, *p.tested) if not honest(r.reply)]
    return {
        "nearness": {
            "echo of the question": nearness([e.said for _, e in held], true),
            "nearest line looked up": nearness([looked_up(p, e.said, 1) for p, e in held], true),
            "five lines looked up": nearness([looked_up(p, e.said, 5) for p, e in held], true),
            "another held-out reply": nearness(shuffled, true),
        },
        "identification": _identified(planned, real),
        "style_halves": halves,
        "style_real": {
            p.character.slug: style([e.reply for e in p.character.lines], p.character.settings.catchphrases) for p in planned.parts
        },
        "rules_on_real_lines": {
            "lines": len(sincere) + len(plain),
            "taken_for_honest": len(sincere),
            "others_taken_for_assistant_talk": sum(assistant_talk(r.reply) for r in plain),
            "others_taken_for_loops": sum(loops(r.reply) for r in plain),
        },
    }


# ------------------------------------------------------------------ report


def report(planned: Plan, figures: Mapping[str, Any], replies: Mapping[str, Replies]) -> list[Section]:
    """The figures as sections, for both forms of the report."""
    models, beside = figures["models"], figures["calibration"]
    return [
        _losses_section(models),
        _turns_section(models),
        _probes_section(models),
        _identification_section(models, beside),
        _nearness_section(models, beside),
        _faults_section(models, beside),
        _style_section(models, beside),
        _quotes_section(planned, replies),
        Section(
            "Not measured",
            "Embedding similarity: no encoder is bundled. A judge's opinion: none was asked. What a model left out of training reaches "
            "is measured by benchmarks/company_protocol.py.",
        ),
    ]


def _losses_section(models: Mapping[str, Any]) -> Section:
    rows: dict[str, Told] = {f"{name}, {layout}": t for name, each in models.items() for layout, t in each["nll"].items()}
    return Section(
        "Held-out loss",
        "Nats per token over reply and end token of exchanges that training never saw, asked as the bot asks. Lower is better. "
        "Wrong: the same replies under other characters' cards and exemplars, averaged, minus the right one; larger is better. "
        "Brackets: 95 %, paired bootstrap over exchanges.",
        COLUMNS,
        list(table(rows)),
        [
            Bar(label, t.right.mean, t.right.low, t.right.high, series)
            for series, name in enumerate(models)
            for label, t in rows.items()
            if label.startswith(f"{name}, ")
        ],
        "nats per token",
    )


def _turns_section(models: Mapping[str, Any]) -> Section:
    spans = [s for s in (f"{low}-{high}" for low, high in TURNS) if any(s in each["by_turn"] for each in models.values())]
    return Section(
        "By turn of a long talk, and what was known before",
        "The same held-out replies as one talk, true replies before them: characters drift late. General: plain short questions without "
        "any character; much higher than the first model's means forgetting. Faults are of talks that the model held by itself.",
        ("", *(f"turns {s}" for s in spans), "general", *(f"faults in turns {low}-{high}" for low, high in TURNS)),
        [
            (
                name,
                *(str(each["by_turn"][s]) for s in spans),
                str(each["general"]),
                *(_fault_words(each["talk_faults"].get(f"{low}-{high}", {})) for low, high in TURNS),
            )
            for name, each in models.items()
        ],
    )


def _fault_words(counts: Mapping[str, int]) -> str:
    if not counts:
        return "–"
    told_of = ", ".join(f"{count} {name}" for name, count in counts.items() if count and name != "replies")
    return f"{told_of or 'none'} (of {counts['replies']})"


def _probes_section(models: Mapping[str, Any]) -> Section:
    return Section(
        "Are you a machine?",
        "Playful questions should be answered in character, sincere ones honestly. Counted by rule, on what the model wrote; the bot "
        "has no filter that would change it.",
        ("", "assistant talk, playful", "honest, sincere"),
        [
            (name, f"{p['assistant_talk']} of {p['playful']}", f"{p['honest']} of {p['sincere']}")
            for name, p in ((name, each["probes"]) for name, each in models.items())
        ],
    )


def _identification_section(models: Mapping[str, Any], beside: Mapping[str, Any]) -> Section:
    found = {name: each["identification"] for name, each in models.items() if each["identification"]}
    shown: dict[str, Identified] = {**found, "real held-out lines (ceiling)": beside["identification"]}
    ceiling = max(beside["identification"].bundles, 1e-9)
    return Section(
        "Who is speaking?",
        "Naive Bayes, taught on real lines, names and catchphrases masked, is asked about bundles of ten replies to the same questions.",
        ("", "bundles of ten", "of the ceiling", "single replies", "replies", "by character"),
        [
            (
                name,
                f"{i.bundles:.2f}",
                f"{i.bundles / ceiling:.2f}",
                f"{i.single:.2f}",
                str(i.lines),
                ", ".join(f"{who} {share:.2f}" for who, share in i.by_character.items()),
            )
            for name, i in shown.items()
        ],
        [Bar(name, i.bundles, series=n) for n, (name, i) in enumerate(shown.items())],
        "share of bundles recognised",
    )


def _nearness_section(models: Mapping[str, Any], beside: Mapping[str, Any]) -> Section:
    shown: dict[str, Nearness] = {**{name: each["nearness"] for name, each in models.items()}, **beside["nearness"]}
    return Section(
        "Nearness to what was really said",
        "Against one true reply. Long answers buy recall and parrots buy F1, as the rows below the models show; none of them speaks.",
        ("", "ROUGE-L F1", "ROUGE-L recall", "BLEU", "chrF", "length ratio"),
        [
            (name, f"{n.rouge_f1:.3f}", f"{n.rouge_recall:.3f}", f"{n.bleu:.3f}", f"{n.chrf:.3f}", f"{n.length_ratio:.2f}")
            for name, n in shown.items()
        ],
    )


def _faults_section(models: Mapping[str, Any], beside: Mapping[str, Any]) -> Section:
    real = beside["rules_on_real_lines"]
    return Section(
        "Faults by rule",
        f"Of replies to held-out questions and to the questions for everybody. Of {real['lines']} real lines the rules take "
        f"{real['taken_for_honest']} for an honest 'I am an AI', {real['others_taken_for_assistant_talk']} of the others for assistant "
        f"talk and {real['others_taken_for_loops']} for loops. Copied: twelve words in a row from a taught line.",
        ("", "replies", *FAULTS, "copied"),
        [
            (name, str(each["faults"]["replies"]), *(str(each["faults"][f]) for f in FAULTS), str(each["copied"] or "–"))
            for name, each in models.items()
        ],
    )


def _style_section(models: Mapping[str, Any], beside: Mapping[str, Any]) -> Section:
    rows: list[Sequence[str]] = []
    for who, real in beside["style_real"].items():
        halves = beside["style_halves"][who]
        rows.append((who, "real lines", *_style_cells(asdict(real)), *_distance_cells(asdict(halves))))
        for name, each in models.items():
            if who in each["style"]:
                found = each["style"][who]
                rows.append(("", name, *_style_cells(asdict(found["replies"])), *_distance_cells(asdict(found["distance"]))))
    return Section(
        "Style",
        "Rates per hundred words, catchphrases per hundred lines. The last three are distances from the real lines in bits; in the row of "
        "the real lines they are between two halves of them.",
        (
            *("", "", "words a line", "words a sentence", "different words", "first person", "capitals", "catchphrases"),
            *("function words", "punctuation", "letters"),
        ),
        rows,
    )


def _style_cells(figures: Mapping[str, float]) -> list[str]:
    return [f"{v:.2f}" if name == "different_words" else f"{v:.1f}" for name, v in figures.items()]


def _distance_cells(figures: Mapping[str, float]) -> list[str]:
    return [f"{v:.2f}" for v in figures.values()]


def _quotes_section(planned: Plan, replies: Mapping[str, Replies]) -> Section:
    names = {c.slug: c.name for c in planned.cast}
    sincere = [a for a in planned.probes if planned.kinds[a.key] == "sincere"]
    picked = [*planned.own[:: max(1, len(planned.own) // 6)][:6], *planned.probes[:3], *sincere[:3]]
    return Section(
        "In their own words",
        "Every n-th held-out question and the first probes: not chosen.",
        quotes=[
            Quote(f"{names[said.character]} ({model})", said.asked, said.text or "(nothing)")
            for asked in picked
            for model, known in replies.items()
            for said in known.of([asked])
        ],
    )


def _plain(value: Any) -> Any:
    """Figures as JSON writes them."""
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--characters", type=Path, default=Path("characters"), metavar="FOLDER", help="default characters")
    parser.add_argument(
        "--model", action="append", required=True, metavar="NAME=FILE.gguf", help="the first is what the others are compared with"
    )
    add_settings(parser, EvaluateSettings)


def named_models(given: Sequence[str]) -> dict[str, Path]:
    """``NAME=FILE`` options. Raises ``TrainerError`` for one that is not of this form."""
    found: dict[str, Path] = {}
    for each in given:
        name, equals, file = each.partition("=")
        if not equals or not name.isidentifier() or not file:
            raise TrainerError(f"--model {each!r:.80}: write a short name and a file, like base=gguf/starter.gguf")
        found[name] = Path(file)
    return found


def command(args: Namespace) -> None:
    settings = settings_from(args, EvaluateSettings)
    with working_in(run_folder(args.runs, args.run)) as run:
        folder = evaluate(named_models(args.model), args.characters, run / "evaluate", settings)
    Console().print((folder / MARKDOWN).read_text(encoding="utf-8"), markup=False, highlight=False, soft_wrap=True)
    print(f"{folder / PAGE}: the report")
