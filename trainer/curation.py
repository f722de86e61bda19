"""``troupe-train curate``: an operator looks through what was collected, approves, edits or drops it.

Decisions are kept in ``data/curation.jsonl`` by a row's key, so that they hold for every later collecting that finds the same reply.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bot.memory.collected import COLLECTED, DECISIONS, Verdict, write_decision
from trainer.collect import Kind, Row, read_rows
from trainer.errors import SourceRefused
from trainer.evaluate_kept import read_kept
from trainer.options import add_run
from trainer.runs import run_folder


@dataclass(frozen=True, slots=True)
class Decision:
    verdict: Verdict
    text: str = ""  # the reply, where it was edited


def decisions(data: Path) -> dict[str, Decision]:
    """By a row's key; the newest counts."""
    found: dict[str, Decision] = {}
    for record in read_kept(data / DECISIONS):
        found[str(record.get("key"))] = Decision(record.get("verdict", "drop"), str(record.get("text", "")))
    return found


def decide(data: Path, row: Row, verdict: Verdict, text: str = "") -> None:
    """Write it down, with who is in the row: forgetting them takes it away."""
    write_decision(data, row.key, verdict, text, row.people)


def curated(rows: Mapping[Kind, list[Row]], decided: Mapping[str, Decision], *, approved_only: bool) -> dict[Kind, list[Row]]:
    """The rows that may be trained on, as they were edited."""
    return {
        kind: [r for row in of if (r := _as_decided(row, decided.get(row.key), approved_only)) is not None] for kind, of in rows.items()
    }


def _as_decided(row: Row, decision: Decision | None, approved_only: bool) -> Row | None:
    if decision is None:
        return None if approved_only else row
    match decision.verdict:
        case "drop":
            return None
        case "edit":
            return replace(row, chosen=decision.text)
        case _:
            return row


def find(rows: Mapping[Kind, list[Row]], key: str) -> Row:
    """Raises ``SourceRefused``: there is no such row."""
    for of in rows.values():
        for row in of:
            if row.key == key:
                return row
    raise SourceRefused(f"there is no row {key!r:.80}; troupe-train curate list shows their keys")


def queue(rows: Mapping[Kind, list[Row]], decided: Mapping[str, Decision]) -> Table:
    """What is still to be looked at, and what was decided."""
    table = Table("key", "character", "said", "chosen", "rejected", "decided")
    for of in rows.values():
        for row in of:
            decision = decided.get(row.key)
            thumb = "" if row.label is None else ("liked" if row.label else "disliked")
            table.add_row(row.key, row.character, row.said, row.chosen, row.rejected or thumb, decision.verdict if decision else "")
    return table


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("action", choices=("list", "approve", "edit", "drop"), help="what to do")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="of the rows; 'all' approves whatever was not decided yet")
    parser.add_argument("--text", default="", help="with edit: the reply as it should have been")
    parser.add_argument("--json", action="store_true", help="with list: one row a line")


def command(args: Namespace) -> None:
    run = run_folder(args.runs, args.run)
    data = args.runs.parent
    rows = read_rows(run / COLLECTED)
    decided = decisions(data)
    if args.action == "list":
        _show(rows, decided, as_json=args.json)
        return
    if not args.keys:
        raise SourceRefused(f"say which rows to {args.action}; troupe-train curate list shows their keys")
    if args.action == "edit" and (len(args.keys) != 1 or not args.text.strip()):
        raise SourceRefused("edit takes one key and --text with the reply as it should have been")
    if args.keys == ["all"] and args.action == "approve":
        chosen = [row for of in rows.values() for row in of if row.key not in decided]
    else:
        chosen = [find(rows, key) for key in args.keys]
    for row in chosen:
        decide(data, row, args.action, args.text.strip() if args.action == "edit" else "")
    print(f"{len(chosen)} rows: {args.action}")


def _show(rows: Mapping[Kind, list[Row]], decided: Mapping[str, Decision], *, as_json: bool) -> None:
    if not as_json:
        Console().print(queue(rows, decided))
        return
    for of in rows.values():
        for row in of:
            decision = decided.get(row.key)
            told: dict[str, Any] = {"key": row.key, "character": row.character, "said": row.said, "chosen": row.chosen}
            told |= {"rejected": row.rejected, "label": row.label, "decided": decision.verdict if decision else None}
            print(json.dumps(told, ensure_ascii=False))
