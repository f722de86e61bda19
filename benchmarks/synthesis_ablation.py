"""Does synthesised data help? One arm a mix, the same base, the same token budget for all, the same held-out exchanges.

    .venv/bin/troupe-train synthesize rolegpt dialogues protective --run company --teacher starter
    nice .venv/bin/python benchmarks/synthesis_ablation.py --run company --leave-out odo-brandt --tokens 60000

Arms: ``C`` the characters' utterances alone, ``A`` the original dialogue, ``B`` with ChatHaruhi's synthesised dialogues (A+dialogues),
``A+METHOD`` for every other method that was synthesised, and ``all``. A method that left no row is told and not trained: it is A.
``A+lessons`` has the lessons that people wrote instead (``--lessons``): what the starter's recipe adds to own lines.
Each arm is mixed, dealt, tuned on so many tokens, merged and exported; then one evaluation holds all of them against the base: loss
under right and wrong cards for trained and left-out characters, disclosure, faults and general regression, with 95 % intervals
(paired bootstrap). About 20 minutes an arm and as much to measure it, on two cores alone. Stopped anywhere, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bot.characters.prompt import Layout
from bot.engine.models import STARTER
from bot.engine.threads import usable_cores
from bot.errors import BotError
from trainer.base import find_base
from trainer.dataset import DatasetSettings, dataset
from trainer.errors import TrainerError
from trainer.evaluate import FIGURES, evaluate
from trainer.evaluate_intervals import difference, loss
from trainer.evaluate_losses import general_samples
from trainer.evaluate_plan import EvaluateSettings, Plan, plan
from trainer.evaluate_swaps import BySwap, Losses, Scorer, by_swap, held_out_questions, samples_for
from trainer.evaluate_swaps import told as told_losses
from trainer.export import MODEL_FILE, ExportSettings, export
from trainer.likelihood import Measured
from trainer.merge import MergeSettings, merge
from trainer.mix import CHARACTERS, MIXED, STATS, MixSettings, mix, synthesized_in
from trainer.quantize import ftype_of, write_type
from trainer.runs import run_folder, working_in
from trainer.tune import TuneSettings, tune


@dataclass(frozen=True, slots=True)
class Arm:
    """One mix to learn from."""

    name: str
    settings: MixSettings
    folders: tuple[Path, ...] = ()
    lessons: Path | None = None  # rows that no teacher made


def arms(run: Path, lessons: Path, seed: int) -> list[Arm]:
    """All arms that this run has rows for, own lines first."""
    found = synthesized_in(run)
    yielded = [f for f in found if json.loads((f / STATS).read_text(encoding="utf-8"))["kept"]]
    # Each method alone is trained on what it alone gives: the ratio of general rows is a matter of the whole.
    alone = MixSettings(preset="B", general_share=1.0, seed=seed)
    each = [Arm(_name(f), alone, (f,)) for f in yielded]
    every = [Arm("all", MixSettings(preset="B", seed=seed), tuple(yielded))] if len(yielded) > 1 else []
    own = MixSettings(preset="A", seed=seed)
    return [Arm("C", MixSettings(preset="C", seed=seed)), Arm("A", own), *each, Arm("A+lessons", own, lessons=lessons), *every]


def _name(folder: Path) -> str:
    method = folder.name.removeprefix("synthesize-")
    return "B" if method == "dialogues" else f"A+{method}"


def make(arm: Arm, into: Path, args: argparse.Namespace) -> Path:
    """Train one arm; skips whatever of it is finished. Returns its GGUF."""
    home = into / arm.name.replace("+", "-").lower()
    languages = tuple(args.languages.split(","))
    mixed = mix(args.characters, arm.folders, home / "mix", arm.settings)
    dealt = DatasetSettings(
        base=args.base,
        languages=languages,
        leave_out=_left_out(args),
        draws=args.draws,
        seed=args.seed,
        instructions=(*([mixed / MIXED] if arm.folders else []), *([arm.lessons] if arm.lessons else [])),
    )
    data = dataset(mixed / CHARACTERS, home / "dataset", dealt)
    # Held-out loss is measured at the end alone: every arm spends its whole budget, and none is flattered by its best moment.
    taught = TuneSettings(
        base=args.base,
        seed=args.seed,
        max_tokens=args.tokens,
        learning_rate=args.learning_rate,
        watches=1,
        patience=99,
        threads=args.threads,
    )
    tuned = tune(data, home / "tune", taught)
    merged = merge(tuned, home / "merge", MergeSettings(base=args.base))
    return export(merged, data, home / "export", ExportSettings()) / MODEL_FILE


def _unpacked(base: Path, args: argparse.Namespace) -> Path:
    """The base in F16, as the arms are."""
    target: Path = args.into / "base.gguf"
    if not target.is_file():
        write_type(base, target, ftype_of("F16"), args.threads or usable_cores(), {})
    return target


def _left_out(args: argparse.Namespace) -> tuple[str, ...]:
    return tuple(s for s in args.leave_out.split(",") if s)


def told(run: Path, made: Sequence[Arm], into: Path) -> Table:
    """How many rows each arm learnt from, and which methods gave none."""
    table = Table("arm", "own lines", "synthesised", "people", title="what each arm learns from")
    for arm in made:
        figures = json.loads((into / arm.name.replace("+", "-").lower() / "mix" / STATS).read_text(encoding="utf-8"))
        table.add_row(arm.name, str(figures["own"]), str(figures["synthesised"]), str(figures["people"]))
    names = {arm.name for arm in made}
    for folder in synthesized_in(run):
        if _name(folder) not in names and not json.loads((folder / STATS).read_text(encoding="utf-8"))["kept"]:
            table.add_row(_name(folder), "", "zero rows survived", "")
    return table


def against_own_lines(folder: Path, planned: Plan, names: Sequence[str], asked: EvaluateSettings) -> list[Table]:
    """What was measured, for trained and for left-out characters, every model beside A, or beside the base where A is not there."""
    beside = "A" if "A" in names else names[0]
    questions = held_out_questions(planned.parts, asked.wrong_cards)
    samples = samples_for(planned.conversations, questions, Layout(), ("right", "both"))
    general = general_samples(planned.tokenizer, planned.conversations.ending)
    speakers = {q.exchange.id: q.speaker.slug for q in questions}
    losses: dict[str, BySwap] = {}
    known: dict[str, list[Measured]] = {}
    for name in names:
        with Losses(folder / name / "losses.jsonl", _nobody) as kept:
            losses[name] = by_swap(samples, kept.of("with exemplars", samples, _unseen))
            known[name] = kept.of("general", general, _unseen)
    tables = []
    for title, wanted in (("trained characters", False), ("left out", True)):
        lines = [line for line, slug in speakers.items() if (slug in asked.leave_out) is wanted]
        if lines:
            table = Table("", "right card", "both wrong: worse by", f"better than {beside} by", title=f"{title}, {len(lines)} exchanges")
            for name in names:
                each, other = _only(losses[name], lines), _only(losses[beside], lines)
                told_of = told_losses(each, other)
                table.add_row(name, str(told_of.right), str(told_of.margins["both"]), str(told_of.better_than_first))
            tables.append(table)
    table = Table("", "general questions", f"better than {beside} by", title=f"{len(general)} plain questions and answers")
    for name in names:
        table.add_row(name, str(loss(known[name])), str(difference(known[beside], known[name])))
    probes = Table("", "assistant talk, playful", "honest, sincere", title="asked whether it is a machine, unfiltered")
    figures = json.loads((folder / FIGURES).read_text(encoding="utf-8"))["models"]
    for name in names:
        of = figures[name]["probes"]
        probes.add_row(name, f"{of['assistant_talk']} of {of['playful']}", f"{of['honest']} of {of['sincere']}")
    return [*tables, table, probes]


def _only(found: BySwap, lines: Sequence[str]) -> BySwap:
    return {swap: {line: each[line] for line in lines if line in each} for swap, each in found.items()}


def _nobody() -> Scorer:
    raise TrainerError("a loss is missing from the evaluation; run the same command again")


def _unseen() -> None:
    """Nobody watches what is read from a file."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="company", help="the run whose synthesised rows are taken")
    parser.add_argument("--runs", type=Path, default=Path("data/runs"))
    parser.add_argument("--characters", type=Path, default=Path("characters"))
    parser.add_argument("--lessons", type=Path, default=Path("trainer/honesty_lessons.jsonl"), help="rows that people wrote")
    parser.add_argument("--languages", default="en")
    parser.add_argument("--base", default=STARTER)
    parser.add_argument("--base-model", type=Path, help="the base as a GGUF; default: the base itself, where it is one")
    parser.add_argument("--leave-out", default="", help="slugs that no arm learns from, separated by commas")
    parser.add_argument("--tokens", type=int, default=60_000, help="of each arm; prompts count too")
    parser.add_argument("--learning-rate", type=float, default=6e-4)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--arms", default="", help="only these, separated by commas")
    parser.add_argument("--measure", default="losses,probes,replies", help="of what troupe-train evaluate measures")
    parser.add_argument("--wrong-cards", type=int, default=2, help="other characters whose cards each exchange is also measured with")
    parser.add_argument("--probes", type=int, default=100)
    parser.add_argument("--questions", type=int, default=0, help="for identification: so many more replies of everybody")
    parser.add_argument("--talks", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--into", type=Path, default=Path("data/runs/synthesis-ablation"))
    args = parser.parse_args()
    run, console = run_folder(args.runs, args.run), Console()
    base_model = args.base_model or find_base(args.base).file
    if base_model is None:
        raise TrainerError(f"{args.base} is no GGUF file, and llama.cpp measures GGUFs: export it, and name the file with --base-model")
    wanted = {name for name in args.arms.split(",") if name}
    with working_in(args.into):
        chosen = [arm for arm in arms(run, args.lessons, args.seed) if not wanted or arm.name in wanted]
        if not chosen:
            raise TrainerError(f"there are no such arms; there are {', '.join(a.name for a in arms(run, args.lessons, args.seed))}")
        models = {"base": _unpacked(base_model, args)}
        for arm in chosen:
            added = [*(_name(f) for f in arm.folders), *([str(arm.lessons)] if arm.lessons else [])]
            console.print(f"{arm.name}: {', '.join(['own lines', *added])}", highlight=False)
            models[arm.name] = make(arm, args.into, args)
        console.print(told(run, chosen, args.into))
        asked = EvaluateSettings(
            base=args.base,
            languages=tuple(args.languages.split(",")),
            leave_out=_left_out(args),
            every=args.every,
            measure=args.measure.split(","),
            wrong_cards=args.wrong_cards,
            probes=args.probes,
            questions=args.questions,
            talks=args.talks,
            threads=args.threads,
        )
        folder = evaluate(models, args.characters, args.into / "evaluate", asked)
        if "losses" in asked.measure and "probes" in asked.measure:
            for table in against_own_lines(folder, plan(args.characters, asked), list(models), asked):
                console.print(table)
    console.print(f"{folder}: figures.json, and the report with its tables")


if __name__ == "__main__":
    try:
        main()
    except BotError as error:
        sys.exit(str(error))
