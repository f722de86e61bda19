"""What was measured or said so far: a file of JSON lines that outlives a kill."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.errors import RunRefused


def read_kept(path: Path) -> list[dict[str, Any]]:
    """All whole lines. Half a line at the end, from a process that was killed while it wrote, is cut off the file.

    Raises:
        RunRefused: a line before the last is no JSON object.
    """
    if not path.is_file():
        return []
    kept = path.read_bytes()
    whole = kept[: kept.rfind(b"\n") + 1]
    if whole != kept:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    found: list[dict[str, Any]] = []
    for number, line in enumerate(whole.decode("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise RunRefused(f"{path}:{number}: is not JSON ({error}); delete the file to measure again") from error
        if not isinstance(row, dict):
            raise RunRefused(f"{path}:{number}: is no JSON object; delete the file to measure again")
        found.append(row)
    return found


def keep(path: Path, *rows: Mapping[str, Any]) -> None:
    """Add rows, in one write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
