"""Stage ``evaluate``: what a model makes of its characters, beside the model that it came from, through the code that serves it.

For every model: held-out losses under the right card and under wrong ones, with and without exemplars, and by turn number of a
long talk; general knowledge; and replies to held-out questions, to the same questions for everybody, to playful and sincere
questions about machines, and in scripted long talks. Beside each score stands what needs no model at all: an echo, a lookup, a
shuffled answer, and the real lines themselves.
"""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID

from bot.engine.embedding import LlamaEmbedder
from trainer.errors import TrainerError
from trainer.evaluate_figures import calibration, reply_figures
from trainer.evaluate_judge import Judged, Opinions, judge
from trainer.evaluate_losses import losses_of
from trainer.evaluate_plan import EvaluateSettings, Plan, plan
from trainer.evaluate_replies import Asked, Replies, ask_all
from trainer.evaluate_report import html, markdown
from trainer.evaluate_sections import report
from trainer.evaluate_swaps import BySwap, told
from trainer.manifest import begin, write_json
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import run_folder, working_in
from trainer.teacher import TeacherSettings, open_teacher

FIGURES, MARKDOWN, PAGE = "figures.json", "report.md", "report.html"


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
    if settings.judge and "replies" not in settings.measure:
        raise TrainerError("a judge is shown replies to held-out questions; add replies to measure")
    if settings.items and "items" not in settings.measure:
        raise TrainerError(f"{settings.items} is given and not measured; add items to measure")
    given = {name: path for name, path in (("items", settings.items), ("encoder", settings.encoder)) if path}
    stage = begin(
        into,
        "evaluate",
        inputs={**models, **given, **{c.parent.name: c for c in sorted(characters.glob("*/*.json*"))}},
        settings=settings.model_dump(mode="json", exclude={"live", "threads", "seed", "judge_key_env", *given}),
        seed=settings.seed,
    )
    if stage.finished:
        return into
    planned = plan(characters, settings)
    of_models: dict[str, dict[str, Any]] = {name: {} for name in models}
    first: dict[str, BySwap] | None = None
    replies = {name: Replies(into / name / "replies.jsonl") for name in models}
    with Progress(console=Console(stderr=True)) as progress, _encoder(settings) as encoder:
        # What matters most first, for every model: a run that is cut short still compares them.
        for name, path in models.items():
            _ask(path, planned, planned.probes, replies[name], settings, progress.add_task(f"{name}: probes"), progress)
        for name, path in models.items() if "losses" in settings.measure else ():
            losses, measured = losses_of(path, into / name, planned, settings, progress, name)
            first = first or measured
            of_models[name] = {
                "nll": {layout: told(found, first[layout] if first is not measured else None) for layout, found in measured.items()},
                **losses,
            }
            stage.keep_time()
        for name, path in models.items():
            _ask(path, planned, planned.asked, replies[name], settings, progress.add_task(f"{name}: replies"), progress)
            of_models[name] |= reply_figures(planned, replies[name], encoder)
            stage.keep_time()
        beside = calibration(planned, encoder)
        judged = _judged(planned, replies, into, settings, progress) if settings.judge else None
    figures = {"models": of_models, "calibration": beside, "judge": judged}
    write_json(into / FIGURES, _plain(figures))
    sections = report(planned, figures, replies)
    title = f"Evaluation: {' against '.join(reversed(list(models)))}"
    (into / MARKDOWN).write_text(markdown(title, sections), encoding="utf-8")
    (into / PAGE).write_text(html(title, sections), encoding="utf-8")
    return stage.finish({name: f"{each['nll']['with exemplars'].right.mean:.3f}" for name, each in of_models.items() if "nll" in each})


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


@contextmanager
def _encoder(settings: EvaluateSettings) -> Iterator[LlamaEmbedder | None]:
    if settings.encoder is None:
        yield None
        return
    encoder = LlamaEmbedder(settings.encoder)
    try:
        yield encoder
    finally:
        encoder.close()


def _judged(planned: Plan, replies: Mapping[str, Replies], into: Path, settings: EvaluateSettings, progress: Progress) -> Judged:
    """An opinion of replies to held-out questions that every model has answered, evenly drawn."""
    asked = planned.own[:: max(1, len(planned.own) // settings.judged)][: settings.judged]
    said = {name: known.of(asked) for name, known in replies.items()}
    task = progress.add_task("judge", total=len(asked) * (2 * len(said) - 1))

    async def act() -> Judged:
        who = TeacherSettings(teacher=settings.judge, teacher_model=settings.judge_model, teacher_key_env=settings.judge_key_env)
        async with open_teacher(who) as teacher:
            opinions = Opinions(into / "judge.jsonl", teacher)
            return await judge(said, {c.slug: c for c in planned.cast}, opinions, teacher.name, lambda: progress.advance(task))

    return asyncio.run(act())


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
