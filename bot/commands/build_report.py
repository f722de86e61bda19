"""What is known of one build: what it was made of, what the gate measured, how it fared when it was tried, and what people think of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.engine import models
from bot.errors import CommandRefused
from bot.memory.store import CharacterStanding, Store

FIGURE_CHARACTERS = 60


async def build_report(store: Store, folder: Path, name: str) -> str:
    """As Markdown, for a page and for a file. It names nobody. Whoever asks may know it was settled before.

    Raises:
        CommandRefused: there is no such model here.
    """
    path = folder / f"{name}.gguf"
    if path.parent != folder or not await asyncio.to_thread(path.is_file):
        raise CommandRefused(f"There is no model called {name[:80]!r} here.")
    manifest = await asyncio.to_thread(models.read_manifest, path) or {}
    tried = await asyncio.to_thread(models.read_canary, folder, name)
    digest = manifest.get("sha256")
    build = f"{name}@{digest[:8]}" if isinstance(digest, str) else f"unmanaged:{name}"
    standings = await store.character_standings(build)
    return "\n".join(_written(build, manifest, tried, standings)) + "\n"


def _written(build: str, manifest: Mapping[str, Any], tried: Mapping[str, str], standings: Sequence[CharacterStanding]) -> Iterator[str]:
    yield f"# {build}"
    yield from _origin(manifest)
    yield from _gate(manifest.get("gate"))
    if tried:
        when = " to ".join(str(tried.get(end, ""))[:16].replace("T", " ") for end in ("began", "ended"))
        yield f"\n## Tried by a share of the channels\n\n{when} UTC: {tried.get('came_of_it', '')}"
    yield "\n## What people think of it\n"
    if not standings:
        yield "Nobody has talked with it here."
        return
    yield "| character | replies | ratings | stars |\n|---|---|---|---|"
    for one in standings:
        yield f"| {one.name} | {one.replies} | {one.ratings} | {f'{one.stars:.2f}' if one.ratings else ''} |"


def _origin(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## What went in\n"
    if before := manifest.get("continued_from"):
        yield f"It goes on from {before}."
    trained_on = manifest.get("trained_on")
    if isinstance(trained_on, dict):
        people = len(trained_on.get("people", ()))
        rows, run = trained_on.get("rows", 0), trained_on.get("run", "")
        yield f"{rows} rows; {people} people agreed to it, those of earlier loops counted; run {run}."
    made_by = manifest.get("made_by")
    stages = made_by if isinstance(made_by, dict) else {}
    if not stages and not manifest.get("continued_from"):
        yield "Nothing is noted: it was put here by hand, or came with Troupe."
    for stage, told in stages.items():
        figures = told.get("figures") if isinstance(told, dict) else None
        if isinstance(figures, dict):
            shown = (f"{key} {value}" for key, value in figures.items() if len(str(value)) <= FIGURE_CHARACTERS)
            yield f"- {stage}: {', '.join(shown)}"


def _gate(gate: object) -> Iterator[str]:
    if not isinstance(gate, dict) or not isinstance(gate.get("checks"), list):
        return
    yield "\n## The gate\n\n| | before | this build | passed | good enough is |\n|---|---|---|---|---|"
    for check in gate["checks"]:
        passed = "yes" if check.get("passed") else "**no**"
        yield f"| {check.get('name', '')} | {check.get('old', '')} | {check.get('new', '')} | {passed} | {check.get('rule', '')} |"
