"""What was collected from conversations to train on, as files beside the database, and how a person leaves them.

Rows name the people in them (``people``); whoever withdraws or is forgotten goes out of every file, and what was made of a file
with them in it (samples, adapters, merged weights) is deleted with its folder. A published model cannot unlearn: its manifest
holds digests of the people whose words it saw, so that it can be named.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

log = logging.getLogger(__name__)

RUNS, EXPORTS = "runs", "exports"  # folders of data/
PREFIXES = "prefixes"  # folder of gguf/
DECISIONS = "curation.jsonl"
COLLECTED = "collect"  # the folder of a run that holds rows; everything else in the run is made of them
TRAINED_ON = "trained_on"  # in a model's manifest

Verdict = Literal["approve", "edit", "drop"]


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a person was found."""

    rows: int = 0  # taken out of files
    runs: tuple[str, ...] = ()  # whose samples and weights were deleted
    builds: tuple[str, ...] = ()  # models that were trained with their words


def write_decision(data: Path, key: str, verdict: Verdict, text: str, people: Sequence[str]) -> None:
    """What an operator has decided of a row, with who is in it: forgetting them takes it away. Blocking.

    The newest counts. Half a line at the end, of a process that was killed while it wrote, gives way.
    """
    row = json.dumps({"key": key, "verdict": verdict, "text": text, "people": list(people)}, ensure_ascii=False)
    data.mkdir(parents=True, exist_ok=True)
    with (data / DECISIONS).open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(f"{row}\n".encode())


def digest(person_id: str) -> str:
    """Stands for a person in a manifest: it can be compared, and is not their id."""
    return hashlib.sha256(f"troupe person {person_id}".encode()).hexdigest()[:24]


def leave_files(data: Path, models: Path, person_id: str) -> Reached:
    """Take a person out of everything that was collected. Blocking.

    Raises:
        OSError: a file could not be read or changed.
    """
    rows = _leave(data / DECISIONS, person_id)
    rows += sum(_leave(file, person_id) for file in sorted((data / EXPORTS).rglob("*.jsonl")))
    cleared = []
    for run in sorted(path for path in (data / RUNS).glob("*") if path.is_dir()):
        here = sum(_leave(file, person_id) for file in sorted(run.rglob("*.jsonl")))
        if here:
            rows += here
            cleared.append(run.name)
            _clear(run)
    return Reached(rows, tuple(cleared), trained_with(models, person_id))


def trained_with(models: Path, person_id: str) -> tuple[str, ...]:
    """The models whose manifests say that they saw a person's words."""
    wanted = digest(person_id)
    return tuple(name for name, people in _people_of(models) if wanted in people)


def people_of(manifest: dict[str, Any]) -> frozenset[str]:
    """Digests of the people whose words a model saw, itself or by way of the model that it was continued from."""
    told = manifest.get(TRAINED_ON)
    return frozenset(told.get("people", ())) if isinstance(told, dict) else frozenset()


def forget_saved_states(models: Path) -> int:
    """Delete what the engine saved of prompts: it is no text, so it cannot be searched, and it is made again when it is wanted."""
    folder = models / PREFIXES
    states = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    for path in states:
        path.unlink(missing_ok=True)
    return len(states)


def _people_of(models: Path) -> Iterator[tuple[str, frozenset[str]]]:
    for path in sorted(models.glob("*.manifest.json")):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            log.warning("manifest cannot be read file=%s error=%s", path.name, type(error).__name__)
            continue
        if isinstance(manifest, dict):
            yield path.name.removesuffix(".manifest.json"), people_of(manifest)


def _leave(file: Path, person_id: str) -> int:
    """Lines that name the person go; the file is replaced whole."""
    named = json.dumps(person_id, ensure_ascii=False).encode()
    if not file.is_file() or named not in (held := file.read_bytes()):
        return 0
    lines = held.splitlines(keepends=True)
    kept = [line for line in lines if named not in line]
    beside = file.with_name(f"{file.name}.partial")
    beside.write_bytes(b"".join(kept))
    beside.replace(file)
    return len(lines) - len(kept)


def _clear(run: Path) -> None:
    for path in run.iterdir():
        if path.is_dir() and path.name != COLLECTED:
            shutil.rmtree(path)
