"""Stage ``publish``: a finished file -> ``gguf/``, its manifest last, and ``gguf/current`` swapped in one step."""

from __future__ import annotations

import re
import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bot.characters.cast import CARD_FILE
from bot.characters.prompt import PROMPT_VERSION
from bot.engine.models import ModelFile, set_current, write_manifest
from trainer.errors import RunRefused
from trainer.export import ADAPTER_FILE, MODEL_FILE
from trainer.manifest import MANIFEST, read_json, versions
from trainer.options import add_run
from trainer.runs import learnt_last, run_folder, working_in

_TAUGHT = {"tune": ("dataset", "tune"), "prefer": ("dataset", "tune", "contrast", "prefer")}  # stages that made an adapter, by the last
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def publish(file: Path, models: Path, name: str, *, stages: Mapping[str, Path], serve: bool = True) -> ModelFile:
    """Bring a model into the house. With ``serve`` a running bot takes it up after its running turns.

    ``stages``: the folders of the run's stages, whose manifests become the model's history.

    Raises:
        RunRefused: the name is none, or the file is not there.
    """
    placed = place(file, models, name, stages=stages)
    if serve:
        set_current(models, name)
    return placed


def publish_model(run: Path, learnt: str, models: Path, name: str, *, serve: bool) -> ModelFile:
    """Publish what a run's ``quantize`` chose. ``learnt``: the stage whose adapter is in it, ``tune`` or ``prefer``."""
    stages = {stage: run / stage for stage in (*_TAUGHT[learnt], "merge", "export", "quantize")}
    return publish(run / "quantize" / MODEL_FILE, models, name, stages=stages, serve=serve)


def publish_adapter(run: Path, learnt: str, models: Path, name: str, **facts: object) -> ModelFile:
    """Place a run's adapter beside the models. The starter's is folded into the bundled model at the bot's next start.

    ``learnt`` as above; ``facts`` go into its manifest: what was measured of it.
    """
    stages = {stage: run / stage for stage in (*_TAUGHT[learnt], "export-adapter")}
    return place(run / "export-adapter" / ADAPTER_FILE, models, name, stages=stages, **facts)


def publish_characters(made: Path, house: Path) -> list[str]:
    """Bring the characters of a run into the folder that the bot reads at its next start. Returns the names of those that are new.

    A folder that is there already is left as it is, whoever changed it since.

    Raises:
        RunRefused: the folder cannot be written.
    """
    new: list[str] = []
    try:
        house.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=house, prefix=".bringing-") as beside:
            for home in sorted(path.parent for path in made.glob(f"*/{CARD_FILE}")):
                if not (house / home.name).exists():
                    shutil.copytree(home, Path(beside) / home.name).replace(house / home.name)
                    new.append(home.name)
    except OSError as error:
        raise RunRefused(f"{house}: cannot be written ({error.strerror}); free some space or set publish.characters") from error
    return new


def place(file: Path, models: Path, name: str, *, stages: Mapping[str, Path], **facts: object) -> ModelFile:
    """Copy a file beside its manifest, which is written last: a reader sees the old pair or the new one."""
    if not _NAME.fullmatch(name):
        raise RunRefused(f"{name!r:.80} cannot be a model's name; use small letters, numbers, points and hyphens, like company-2")
    if not file.is_file():
        raise RunRefused(f"{file}: there is no such file; run the stages before publish first")
    target = models / f"{name}.gguf"
    try:
        models.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        shutil.copyfile(file, partial)
        target.with_suffix(".manifest.json").unlink(missing_ok=True)
        partial.replace(target)
    except OSError as error:
        raise RunRefused(f"{target}: cannot be written ({error.strerror}); free {file.stat().st_size:,} bytes and publish again") from error
    return write_manifest(
        target,
        prompt_version=PROMPT_VERSION,
        versions=versions(),
        made_by={stage: _told(folder) for stage, folder in stages.items()},
        **facts,
    )


def _told(folder: Path) -> dict[str, Any]:
    told = read_json(folder / MANIFEST)
    if not told:
        raise RunRefused(f"{folder}: this stage is not finished, so nothing can vouch for its model; run it again")
    return {key: told[key] for key in ("inputs", "settings", "seed", "minutes", "figures") if key in told}


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--name", required=True, help="the model's name in gguf/")
    parser.add_argument("--models", type=Path, default=Path("gguf"), metavar="FOLDER", help="where models are served from (default gguf)")
    parser.add_argument("--adapter", action="store_true", help="the adapter alone; it is placed and nothing is swapped")
    parser.add_argument("--characters", type=Path, metavar="FOLDER", help="bring this run's characters there, too")
    parser.add_argument("--no-serve", action="store_true", help="place the model without serving it")


def command(args: Namespace) -> None:
    with working_in(run_folder(args.runs, args.run)) as run:
        if args.adapter:
            placed = publish_adapter(run, learnt_last(run).name, args.models, args.name)
        else:
            placed = publish_model(run, learnt_last(run).name, args.models, args.name, serve=not args.no_serve)
        brought = publish_characters(run / "profile" / "characters", args.characters) if args.characters else []
    print(f"{placed.path}: published as {placed.build}")
    if args.characters:
        print(f"{args.characters}: {', '.join(brought) or 'nobody'} new there; troupe characters list shows who is in the house")
