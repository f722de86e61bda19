"""What a synthesis tells about itself: figures, a page of them, and a sheet of rows for a person's eyes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SHEET, REPORT = "sheet.md", "report.md"
SHOWN = 30  # rows of each kind on the sheet


def figures(kept: Sequence[Mapping[str, Any]], dropped: Sequence[Mapping[str, Any]], *, asked: int, teacher: str) -> dict[str, Any]:
    return {
        "asked": asked,
        "rows": len(kept) + len(dropped),
        "kept": len(kept),
        "dropped": dict(Counter(r["dropped"] for r in dropped).most_common()),
        "kept_by_character": dict(sorted(Counter(r["character"] for r in kept).items())),
        "kept_by_kind": dict(sorted(Counter(r["kind"] for r in kept).items())),
        "teacher": teacher,
    }


def write_report(into: Path, method: str, told: Mapping[str, Any]) -> None:
    kept, rows = told["kept"], told["rows"]
    lines = [f"# {method}: {kept} of {rows} rows are kept", "", f"Teacher: {told['teacher']}; {told['asked']} questions.", ""]
    for title, name in (("Dropped, by reason", "dropped"), ("Kept, by kind", "kept_by_kind"), ("Kept, by character", "kept_by_character")):
        lines += [f"## {title}", "", *(f"- {key}: {count}" for key, count in told[name].items()), ""]
    beside = {
        k: v for k, v in told.items() if k not in ("asked", "rows", "kept", "dropped", "kept_by_kind", "kept_by_character", "teacher")
    }
    lines += ["## Besides", "", *(f"- {key.replace('_', ' ')}: {value}" for key, value in beside.items()), ""] if beside else []
    (into / REPORT).write_text("\n".join(lines), encoding="utf-8")


def write_sheet(into: Path, kept: Sequence[Mapping[str, Any]], dropped: Sequence[Mapping[str, Any]], seed: int) -> None:
    """Thirty kept and thirty dropped rows, drawn by chance: whether the filters are right is for a person to say."""
    draw = random.Random(f"{seed}/sheet")
    lines = ["# Rows to look at", ""]
    for title, rows in (("Kept", kept), ("Dropped", dropped)):
        lines += [f"## {title}: {min(SHOWN, len(rows))} of {len(rows)}", ""]
        for row in draw.sample(list(rows), min(SHOWN, len(rows))):
            reason = f" · **{row['dropped']}**" if "dropped" in row else ""
            lines += [f"- `{row['id']}` {row['character']} · {row['kind']}{reason}", f"  - asked: {_short(row['instruction'])}"]
            lines += [f"  - reply: {_short(row['reply'])}"]
        lines.append("")
    (into / SHEET).write_text("\n".join(lines), encoding="utf-8")


def _short(text: str) -> str:
    return " ".join(text.split())[:500] or "(nothing)"
