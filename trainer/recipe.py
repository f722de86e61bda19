"""``troupe-train run recipe.toml``: every stage that a recipe names, in order, without those that are finished.

A recipe is a TOML file. Paths in it start at its own folder.

    name = "company"
    base = "starter"              # for every stage
    characters = "characters"
    [dataset]
    draws = 4
    [tune]
    max_tokens = 400000
    [publish]
    name = "company-1"

With a ``source`` the characters come out of a text: ``extract`` reads it and ``profile`` writes their cards; with a ``[synthesize]``
section a teacher makes more by the ``methods`` that are named, and ``[mix]`` says how much of it is learnt from; with a ``[prefer]``
section what one character would say is preferred to what another did to the same question; with an ``[evaluate]`` section the model
that comes out is measured beside the one that it came from.

    name = "play"
    source = "play.txt"
    [extract]
    characters = ["Anna", "Mr. Bolt"]
    held_out = ["ACT 3"]
"""

from __future__ import annotations

import tomllib
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from rich.console import Console

from bot.config import Section
from bot.engine.models import STARTER
from trainer.base import find_base
from trainer.contrast import ContrastSettings, contrast
from trainer.dataset import DatasetSettings, dataset
from trainer.errors import TrainerError
from trainer.evaluate import evaluate
from trainer.evaluate_plan import EvaluateSettings
from trainer.export import MODEL_FILE, AdapterSettings, ExportSettings, export, export_adapter
from trainer.extract.stage import CHARACTERS, ExtractSettings, extract, lent_voices
from trainer.merge import MergeSettings, merge
from trainer.mix import MIXED, MixSettings, mix
from trainer.preferences import PreferSettings, prefer
from trainer.profile import ProfileSettings, profile
from trainer.publish import publish_adapter, publish_characters, publish_model
from trainer.quantize import QuantizeSettings, quantize
from trainer.runs import run_folder, working_in
from trainer.synthesize import SynthesizeSettings, folder_of, synthesize
from trainer.tune import TuneSettings, tune


class PublishSettings(Section):
    name: str = ""  # of the model in gguf/; empty: no model is published
    adapter: str = ""  # name for the adapter alone; empty: it is not published
    serve: bool = True
    characters: Path | None = None  # the bot's folder, for those whom a source was made into; None: they stay in the run


class Recipe(Section):
    """What one run is made of. A stage without a section runs with its defaults."""

    name: str
    base: str = STARTER
    source: Path | None = None  # a text, or a folder of texts; empty: the characters are there already
    characters: Path = Path("characters")
    models: Path = Path("gguf")
    config: Path = Path("config.toml")  # names the database that knows who lends a character their voice; read for a chat alone
    extract: ExtractSettings = ExtractSettings()
    profile: ProfileSettings = ProfileSettings()
    methods: tuple[str, ...] = ()  # that synthesize goes through, one after the other; empty: the one that its section names
    synthesize: SynthesizeSettings | None = None  # None: nothing is synthesised
    mix: MixSettings = MixSettings()  # of what was synthesised with the characters' own lines
    dataset: DatasetSettings = DatasetSettings()
    tune: TuneSettings = TuneSettings()
    merge: MergeSettings = MergeSettings()
    contrast: ContrastSettings = ContrastSettings()
    prefer: PreferSettings | None = None  # None: nothing is learnt from what sets characters apart
    export: ExportSettings = ExportSettings()
    quantize: QuantizeSettings = QuantizeSettings()
    evaluate: EvaluateSettings | None = None  # None: nothing is measured but what the stages measure themselves
    publish: PublishSettings = Field(default_factory=PublishSettings)


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    act: Callable[[], object]


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe whole.

    Raises:
        TrainerError: names the file and everything that is wrong in it.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainerError(f"{path}: cannot be read ({error.strerror}); name a recipe, for example recipe.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainerError(f"{path}: is not valid TOML: {error}") from error
    for stage in ("profile", "dataset", "tune", "merge", "contrast", "quantize", *(name for name in ("prefer", "evaluate") if name in raw)):
        section = raw.setdefault(stage, {})
        if "base" in raw and isinstance(section, dict):
            section.setdefault("base", raw["base"])
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise TrainerError(f"{path}: {problems}") from error
    bases = {recipe.dataset.base, recipe.tune.base, recipe.merge.base, recipe.contrast.base, recipe.quantize.base}
    bases |= {section.base for section in (recipe.prefer, recipe.evaluate) if section}
    if bases != {recipe.base}:
        raise TrainerError(f"{path}: every stage needs the same base; set 'base' once, at the top")
    home = path.resolve().parent
    return recipe.model_copy(
        update={
            "source": home / recipe.source if recipe.source else None,
            "extract": _from(home, recipe.extract, "aliases"),
            "characters": home / recipe.characters,
            "models": home / recipe.models,
            "synthesize": _from(home, recipe.synthesize, "instructions", "human", "prototype"),
            "evaluate": _from(home, recipe.evaluate, "items", "encoder"),
            "publish": _from(home, recipe.publish, "characters"),
            "config": home / recipe.config,
            "dataset": recipe.dataset.model_copy(update={"instructions": tuple(home / path for path in recipe.dataset.instructions)}),
        }
    )


def _from(home: Path, section: Section | None, *names: str) -> Section | None:
    """A section whose files, where they are named, start at the recipe's folder."""
    if section is None:
        return None
    return section.model_copy(update={name: home / path for name in names if (path := getattr(section, name))})


def steps(recipe: Recipe, run: Path) -> list[Step]:
    """The stages of a run, in order; each is a function from paths to a path and skips itself when it is finished."""
    found, characters = _characters_steps(recipe, run)
    dealt = recipe.dataset
    if recipe.synthesize is not None:
        found += _synthesis_steps(recipe, recipe.synthesize, characters, run)
        dealt = dealt.model_copy(update={"instructions": (*dealt.instructions, run / "mix" / MIXED)})
    taught = characters if recipe.synthesize is None else run / "mix" / CHARACTERS
    found += [
        Step("dataset", lambda: dataset(taught, run / "dataset", dealt)),
        Step("tune", lambda: tune(run / "dataset", run / "tune", recipe.tune)),
    ]
    learnt = "tune"
    if recipe.prefer is not None:
        found += _preferring_steps(recipe, recipe.prefer, taught, run)
        learnt = "prefer"
    found.append(Step("merge", lambda: merge(run / learnt, run / "merge", recipe.merge)))
    if recipe.publish.adapter:
        alone = AdapterSettings(base=recipe.base, cache=recipe.export.cache, sdist=recipe.export.sdist)
        found.append(Step("export-adapter", lambda: export_adapter(run / learnt, run / "merge", run / "export-adapter", alone)))
    found += [
        Step("export", lambda: export(run / "merge", run / "dataset", run / "export", recipe.export)),
        Step("quantize", lambda: quantize(run / "export", run / "dataset", run / "quantize", recipe.quantize)),
    ]
    if recipe.evaluate is not None:
        measuring = recipe.evaluate
        found.append(Step("evaluate", lambda: evaluate(_beside_its_base(recipe, run), characters, run / "evaluate", measuring)))
    if recipe.publish.adapter:
        found.append(Step("publish adapter", lambda: publish_adapter(run, learnt, recipe.models, recipe.publish.adapter)))
    house = recipe.publish.characters
    if house is not None:
        found.append(Step("publish characters", lambda: publish_characters(characters, house)))
    if recipe.publish.name:
        found.append(Step("publish", lambda: publish_model(run, learnt, recipe.models, recipe.publish.name, serve=recipe.publish.serve)))
    return found


def _preferring_steps(recipe: Recipe, given: PreferSettings, characters: Path, run: Path) -> list[Step]:
    """What sets characters apart, learnt by the adapter that was tuned."""
    return [
        Step("contrast", lambda: contrast(characters, run / "contrast", recipe.contrast)),
        Step("prefer", lambda: prefer(run / "contrast", run / "tune", run / "prefer", given)),
    ]


def _synthesis_steps(recipe: Recipe, given: SynthesizeSettings, characters: Path, run: Path) -> list[Step]:
    """Each method into a folder of its own, then all of it mixed with the characters' own lines."""
    asked = [given.model_copy(update={"method": method}) for method in recipe.methods or (given.method,)]
    folders = [run / folder_of(each.method) for each in asked]

    def act(each: SynthesizeSettings, into: Path) -> Callable[[], object]:
        return lambda: synthesize(characters, into, each)

    steps = [Step(f"synthesize {each.method}", act(each, into)) for each, into in zip(asked, folders, strict=True)]
    return [*steps, Step("mix", lambda: mix(characters, folders, run / "mix", recipe.mix))]


def _beside_its_base(recipe: Recipe, run: Path) -> dict[str, Path]:
    """What is evaluated. A base that is no GGUF was never exported, so there is nothing that llama.cpp could serve of it."""
    base = find_base(recipe.base).file
    return ({"base": base} if base else {}) | {"tuned": run / "quantize" / MODEL_FILE}


def _characters_steps(recipe: Recipe, run: Path) -> tuple[list[Step], Path]:
    """What has to be done before there are characters, and where they are then."""
    if recipe.source is None:
        return [], recipe.characters
    source, extracted, profiled = recipe.source, run / "extract", run / "profile"
    return [
        Step("extract", lambda: extract(source, extracted, recipe.extract, lambda: lent_voices(recipe.config))),
        Step("profile", lambda: profile(extracted / CHARACTERS, profiled, recipe.profile)),
    ], profiled / CHARACTERS


def run(recipe: Recipe, runs: Path, tell: Callable[[str], None] = lambda _: None) -> Path:
    """Carry a recipe out. Stopped at any moment, the same call goes on where it was. Returns the run's folder."""
    with working_in(run_folder(runs, recipe.name)) as folder:
        for step in steps(recipe, folder):
            tell(step.name)
            step.act()
    return folder


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="a recipe in TOML")
    parser.add_argument("--runs", type=Path, default=Path("data/runs"), metavar="FOLDER", help="where runs live (default data/runs)")


def command(args: Namespace) -> None:
    console = Console(stderr=True)
    recipe = load_recipe(args.recipe)
    folder = run(recipe, args.runs, tell=lambda stage: console.print(f"{recipe.name}: {stage}", highlight=False))
    print(f"{folder}: finished")
