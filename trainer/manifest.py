"""What a finished stage says about itself: what went in, what was asked, what came out.

A stage's folder holds ``begun.json`` from its first moment and ``manifest.json`` from its last: a manifest that exists
means that the stage is finished, and a folder that was begun from other inputs is never taken for this one.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bot.characters.prompt import PROMPT_VERSION
from trainer.errors import RunRefused

MANIFEST = "manifest.json"
BEGUN = "begun.json"
LIBRARIES = ("troupe", "torch", "transformers", "peft", "trl", "llama-cpp-python", "gguf", "numpy")


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their names; what a stage leaves about itself does not count."""
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()
    if not path.is_dir():
        raise RunRefused(f"{path}: there is no such file or folder; check the path, or run the stage that makes it")
    for inner in sorted(p for p in path.rglob("*") if p.is_file() and p.name not in (MANIFEST, BEGUN)):
        digest.update(f"{inner.relative_to(path).as_posix()}\0{fingerprint(inner)}\n".encode())
    return digest.hexdigest()


def is_first_process() -> bool:
    """Whether this process writes: under ``accelerate launch`` several do the same work, and one speaks for all."""
    return os.environ.get("RANK", "0") == "0"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, a power cut included."""
    beside = path.with_name(f"{path.name}.partial")
    with beside.open("w", encoding="utf-8") as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; an empty one where there is no such file.

    Raises:
        RunRefused: the file is not JSON.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunRefused(f"{path}: is not JSON ({error}); delete it to run the stage again") from error
    if not isinstance(value, dict):
        raise RunRefused(f"{path}: holds no JSON object; delete it to run the stage again")
    return value


def versions() -> dict[str, str]:
    """The versions that decide what a stage makes."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


@dataclass(slots=True)
class Stage:
    """One stage at work in its folder. Use :func:`begin`; ``finished`` says that nothing is left to do."""

    folder: Path
    identity: dict[str, Any]
    finished: bool
    resumed: bool  # it was begun before and not finished
    _started: float = field(default_factory=time.monotonic)
    _minutes_before: float = 0.0

    def finish(self, figures: Mapping[str, Any]) -> Path:
        """Write the manifest, last of all. Returns the stage's folder."""
        minutes = self._minutes_before + (time.monotonic() - self._started) / 60
        document = {
            **self.identity,
            "prompt_version": PROMPT_VERSION,
            "versions": versions(),
            "minutes": round(minutes, 2),
            "figures": dict(figures),
        }
        write_json(self.folder / MANIFEST, document)
        self.finished = True
        return self.folder

    def count_minutes(self, begun: Mapping[str, Any]) -> None:
        """Add the minutes of earlier attempts, as ``begun.json`` states them."""
        self._minutes_before = float(begun.get("minutes", 0.0))

    def keep_time(self) -> None:
        """Remember the minutes so far, so that a killed and resumed stage states all of them."""
        minutes = self._minutes_before + (time.monotonic() - self._started) / 60
        write_json(self.folder / BEGUN, {**self.identity, "minutes": round(minutes, 2)})


def begin(folder: Path, stage: str, *, inputs: Mapping[str, Path | str], settings: Mapping[str, Any], seed: int) -> Stage:
    """Start a stage in its folder, or take it up again where it was left.

    ``inputs``: a path stands for its content, a string for itself.

    Raises:
        RunRefused: the folder holds the same stage made from other inputs or settings; names what differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    identity: dict[str, Any] = {
        "stage": stage,
        "inputs": {name: fingerprint(value) if isinstance(value, Path) else value for name, value in inputs.items()},
        "settings": json.loads(json.dumps(dict(settings), default=str)),
        "seed": seed,
    }
    made = read_json(folder / MANIFEST)
    begun = made or read_json(folder / BEGUN)
    different = [key for key in identity if begun and begun.get(key) != identity[key]]
    if different:
        what = ", ".join(_differences(begun, identity, different)[:6])
        raise RunRefused(
            f"{folder} was {'made' if made else 'begun'} from something else ({what}); "
            "choose another run name, or delete that folder to make it anew"
        )
    stage_at_work = Stage(folder, identity, finished=bool(made), resumed=bool(begun) and not made)
    stage_at_work.count_minutes(begun)
    if not begun and is_first_process():
        write_json(folder / BEGUN, {**identity, "minutes": 0.0})
    return stage_at_work


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], keys: list[str]) -> list[str]:
    found: list[str] = []
    for key in keys:
        old, new = before.get(key), now[key]
        if isinstance(old, dict) and isinstance(new, dict):
            found += [f"{key}.{name}" for name in {**old, **new} if old.get(name) != new.get(name)]
        else:
            found.append(key)
    return found
