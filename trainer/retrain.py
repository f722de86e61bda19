"""``troupe-train retrain``: what people agreed to give -> a build that they prefer, or a reason why not.

collect -> dataset -> lessons -> sft -> prefer -> merge -> export -> quantize -> evaluate (-> judge) -> gate -> publish. It
continues from the build that is served. Killed at any moment, the same command goes on where it was. Learning again from what people
wrote and chose in place of a model's replies is what CharacterGLM calls self-refinement (METHODS.md).
"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from bot.config import MemorySettings, Section, load_config
from bot.engine.models import find_model, read_manifest, set_canary, set_current
from bot.memory.collected import COLLECTED, TRAINED_ON, people_of
from bot.messages import Tokenizer
from trainer.collect import CollectSettings, collect
from trainer.dataset import DatasetSettings, dataset
from trainer.errors import GateFailed, RunRefused
from trainer.evaluate import evaluate
from trainer.evaluate_plan import EvaluateSettings
from trainer.export import MODEL_FILE, ExportSettings, export
from trainer.manifest import read_json, write_json
from trainer.merge import MergeSettings, merge
from trainer.options import add_run, add_settings, settings_from
from trainer.preferences import PreferSettings, prefer
from trainer.publish import place
from trainer.quantize import QuantizeSettings, quantize
from trainer.retrain_gate import NEW, OLD, TABLE, GateSettings, Verdict, gate
from trainer.retrain_judge import judge_replies
from trainer.retrain_lessons import PEOPLE_FILE, LessonSettings, lessons
from trainer.runs import run_folder, working_in
from trainer.served import Served
from trainer.teacher import TeacherSettings
from trainer.tune import TuneSettings, tune

BEGAN_FROM = "began_from.json"
PROOF = "It's five o'clock; 12,345 gulls! ça va — ‘quoted’ …"  # read by the bot before it serves: bot.engine.swap
SFT_SHARE = 0.4  # of the budget; the rest is for preferences


class RetrainSettings(Section):
    """One loop. The defaults fit two cores and a small model."""

    seed: int = 1
    method: str = Field("dpo", pattern="^(dpo|kto)$")
    tokens: int = Field(120_000, ge=1)  # read by training altogether
    approved_only: bool = False
    draws: int = Field(1, ge=1)  # of the company's lines
    sft_rate: float = Field(1e-4, gt=0)  # a fifth of what the starter was tuned with: it knows its company already
    prefer_rate: float = Field(5e-5, gt=0)
    beta: float = Field(0.1, gt=0)
    rank: int = Field(16, ge=1, le=512)
    epochs: int = Field(1, ge=1)  # over the pairs
    row_tokens: int = Field(1024, ge=64)
    types: tuple[str, ...] = ("Q8_0", "Q6_K")
    probes: int = Field(40, ge=0)
    questions: int = Field(6, ge=0)
    every: int = Field(2, ge=1)  # take every n-th held-out line of the company
    watch: int = Field(4, ge=1)
    judge: str = ""  # a third model that compares replies blindly: a GGUF, or the address of an OpenAI-compatible server; empty: nobody
    judge_model: str = ""  # the server's name of it
    judge_key_env: str = "TROUPE_REMOTE_KEY"
    threads: int | None = Field(None, ge=1)


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is."""

    data: Path
    characters: Path
    models: Path
    memory: MemorySettings = field(default_factory=MemorySettings)
    converter: ExportSettings = field(default_factory=ExportSettings)  # its cache and source package
    canary: bool = False  # a share of the channels tries what passes, before everybody has it


@dataclass(frozen=True, slots=True)
class Retrained:
    build: str
    verdict: Verdict


def retrain(
    run: Path,
    name: str,
    places: Places,
    settings: RetrainSettings,
    collecting: CollectSettings,
    judging: GateSettings | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Retrained:
    """Carry one loop out in a run's folder; a build that passes is published as ``name`` and served, or tried by some first.

    Raises:
        GateFailed: the new build is kept aside in the run's folder; says why.
        TrainerError: what was given is not enough, or does not fit together.
    """
    served = _began_from(run, places.models)
    base = os.path.relpath(served)  # it is written down in manifests, which do not tell where this machine keeps things
    judging = judging or GateSettings(threads=settings.threads)
    tell("collect")
    collected = collect(places.data, places.characters, run / COLLECTED, collecting, places.memory)
    tell("dataset")
    dealt = dataset(places.characters, run / "dataset", _dealing(base, settings))
    tell("lessons")
    told = LessonSettings(seed=settings.seed, approved_only=settings.approved_only)
    learnt = lessons(collected, dealt, places.characters, places.data, run / "lessons", base, told, places.memory)
    tell("sft")
    tuned = tune(learnt, run / "sft", _tuning(base, settings))
    tell("prefer")
    preferred = prefer(learnt, tuned, run / "prefer", _preferring(base, settings))
    whole = merge(preferred, run / "merge", MergeSettings(base=base))
    tell("export")
    exported = export(whole, dealt, run / "export", places.converter)
    sized = QuantizeSettings(base=base, types=settings.types, rounds=1, threads=settings.threads)
    quantized = quantize(exported, dealt, run / "quantize", sized)
    tell("evaluate")
    new = quantized / MODEL_FILE
    measured = evaluate({OLD: served, NEW: new}, places.characters, run / "evaluate", _evaluating(base, settings))
    opinion = None
    if settings.judge:
        tell("judge")
        asked = TeacherSettings(
            teacher=settings.judge, teacher_model=settings.judge_model, teacher_key_env=settings.judge_key_env, models=places.models
        )
        opinion = judge_replies(served, new, learnt, run / "judge", asked, settings.threads)
    tell("gate")
    verdict = gate(served, new, learnt, measured, run / "gate", judging, opinion)
    if not verdict.passed:
        raise GateFailed(f"{name} is not served and stays in {run}: {'; '.join(verdict.reasons)}")
    tell("publish")
    return Retrained(_published(run, name, served, places, verdict), verdict)


def _began_from(run: Path, models: Path) -> Path:
    """The file that was served when the run began; the same one after a kill, whatever is served by then."""
    told = read_json(run / BEGAN_FROM)
    if told:
        file = models / str(told["file"])
        if not file.is_file():
            raise RunRefused(f"{run} began from {told['build']}, which is gone; choose another run name")
        return file
    found = find_model("current", models)
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / BEGAN_FROM, {"build": found.build, "file": found.path.name})
    return found.path


def _published(run: Path, name: str, served: Path, places: Places, verdict: Verdict) -> str:
    used = read_json(run / "lessons" / PEOPLE_FILE)
    # A model that goes on from another has seen what that one saw.
    people = sorted({*used["people"], *people_of(read_manifest(served) or {})})
    stages = {stage: run / stage for stage in ("collect", "dataset", "lessons", "sft", "prefer", "export", "quantize")}
    file = run / "quantize" / MODEL_FILE
    with Served(file, context_tokens=512) as loaded:
        proof = proof_of(loaded.tokenizer)
    placed = place(
        file,
        places.models,
        name,
        stages=stages,
        continued_from=read_json(run / BEGAN_FROM)["build"],
        gate=asdict(verdict),
        proof=proof,
        **{TRAINED_ON: {"people": people, "rows": used["rows"], "run": run.name}},
    )
    (set_canary if places.canary else set_current)(places.models, name)
    return placed.build


def proof_of(tokenizer: Tokenizer) -> Mapping[str, Any]:
    """How a text is cut into tokens, for whoever serves the model to compare."""
    return {"text": PROOF, "tokens": tokenizer.encode(PROOF, special=False)}


def _dealing(base: str, settings: RetrainSettings) -> DatasetSettings:
    return DatasetSettings(base=base, seed=settings.seed, draws=settings.draws, watch=settings.watch)


def _tuning(base: str, settings: RetrainSettings) -> TuneSettings:
    return TuneSettings(
        base=base,
        seed=settings.seed,
        rank=settings.rank,
        alpha=2 * settings.rank,
        learning_rate=settings.sft_rate,
        row_tokens=settings.row_tokens,
        max_tokens=max(1, int(settings.tokens * SFT_SHARE)),
        watches=2,
        threads=settings.threads,
    )


def _preferring(base: str, settings: RetrainSettings) -> PreferSettings:
    return PreferSettings.model_validate(
        {
            "base": base,
            "method": settings.method,
            "seed": settings.seed,
            "learning_rate": settings.prefer_rate,
            "beta": settings.beta,
            "epochs": settings.epochs,
            "max_tokens": max(1, int(settings.tokens * (1 - SFT_SHARE) / settings.epochs)),
            "threads": settings.threads,
        }
    )


def _evaluating(base: str, settings: RetrainSettings) -> EvaluateSettings:
    return EvaluateSettings(
        base=base,
        seed=settings.seed,
        every=settings.every,
        watch=settings.watch,
        wrong_cards=1,
        questions=settings.questions,
        probes=settings.probes,
        talks=0,
        threads=settings.threads,
    )


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--name", required=True, help="the new build's name in gguf/")
    parser.add_argument("--config", type=Path, default=Path("config.toml"), metavar="FILE", help="Troupe's settings (default config.toml)")
    parser.add_argument("--nice", type=int, default=0, metavar="N", help="give way to other programs: 19 is the lowest priority")
    parser.add_argument("--sdist", type=Path, metavar="FILE", help="llama-cpp-python's source package, for a machine without a network")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    add_settings(parser, RetrainSettings)


def command(args: Namespace) -> None:
    if args.nice:
        os.nice(args.nice)
    config = load_config(args.config)
    settings = settings_from(args, RetrainSettings)
    paths, converter = config.paths, ExportSettings(sdist=args.sdist)
    places = Places(paths.data, paths.characters, paths.models, config.memory, converter, canary=config.canary.share > 0)
    collecting = CollectSettings(discord_text=config.training.discord_text)
    with working_in(run_folder(args.runs, args.run)) as run:
        done = retrain(run, args.name, places, settings, collecting, tell=lambda stage: print(f"{args.run}: {stage}", flush=True))
    print((run / "gate" / TABLE).read_text(encoding="utf-8"))
    if args.json:
        print(json.dumps({"build": done.build, "passed": done.verdict.passed}))
    print(f"{done.build} is {f'tried by {config.canary.share:.0%} of the channels' if places.canary else 'served'}.")
