"""The data card of a collecting: what is in it, from how many people, on what grounds, and what stayed out. Names nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol


class Told(Protocol):
    """What the card needs to know of a row."""

    @property
    def character(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def build(self) -> str: ...
    @property
    def people(self) -> tuple[str, ...]: ...
    @property
    def receipts(self) -> tuple[dict[str, Any], ...]: ...


def data_card(
    run: str, rows: Mapping[Any, Sequence[Told]], refused: Mapping[str, int], redacted: Mapping[str, int], settings: Mapping[str, Any]
) -> str:
    every = [row for of in rows.values() for row in of]
    by_person = Counter(row.people[0] for row in every)
    wordings = Counter(receipt["wording"] for row in every for receipt in row.receipts)
    given = sorted(receipt["at"][:10] for row in every for receipt in row.receipts)
    most = max(by_person.values(), default=0)
    lines = [
        f"# Data card: {run}",
        "",
        f"Collected {datetime.now(UTC):%Y-%m-%d} from conversations with characters of this house. Everybody in a row has agreed to",
        "it; each row names the receipts. Bystanders' words are left out and their names masked; people have other names than their own.",
        "",
        f"- rows: {', '.join(f'{len(of)} {kind}' for kind, of in rows.items())}",
        f"- people answered: {len(by_person)}; the most of one person: {most} rows of {len(every)}",
        f"- agreements: {_listed(wordings)}" + (f", given {given[0]} to {given[-1]}" if given else ""),
        f"- by character: {_listed(Counter(row.character for row in every))}",
        f"- by what people did: {_listed(Counter(row.why for row in every))}",
        f"- by the build that was answered with: {_listed(Counter(row.build for row in every))}",
        f"- personal data taken out: {_listed(redacted)}",
        f"- settings: {_listed(settings)}",
        "",
        "## What stayed out",
        "",
        *(f"- {count}: {reason}" for reason, count in sorted(refused.items(), key=lambda each: -each[1])),
        *(["- nothing"] if not refused else []),
        "",
        "A person who withdraws or is forgotten goes out of these files by `/privacy`, and everything made of them is deleted. Rules",
        "do not find all personal data: look through the rows with `troupe-train curate` before training on them.",
        "",
    ]
    return "\n".join(lines)


def _listed(counts: Mapping[Any, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
