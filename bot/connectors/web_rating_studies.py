"""Studies for the blind rating: what is compared, and what raters said, in files that outlive the process.

``data/rating/<id>/`` holds ``study.json``, ``items.jsonl`` and ``ratings.jsonl``; rows are only ever added, the newest of a rater
about an item counts. A rater is a hash that belongs to one study: it leads back to nobody. Everything here blocks.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from bot.errors import CommandRefused, StoreError
from bot.memory.rows import read_rows

# CharacterGLM rates dialogues on these seven, from 1 to 5.
DIMENSIONS: Final = ("overall", "consistency", "human-likeness", "engagement", "quality", "safety", "correctness")
LOWEST, HIGHEST = 1, 5
STUDIES, ITEMS = 100, 500
_ID = re.compile(r"[0-9a-f]{8}")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Side = Literal["a", "b"]
Choice = Literal["a", "b", "tie"]
SIDES: Final[tuple[Side, Side]] = ("a", "b")


@dataclass(frozen=True, slots=True)
class Item:
    """One question and what both sides said to it. ``character`` is a slug, "" where the sides are two characters."""

    id: str
    asked: str
    character: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class About:
    """A study. ``a`` and ``b`` name what is compared; no rater is told."""

    id: str
    title: str
    kind: Literal["builds", "characters"]
    a: str
    b: str
    secret: str
    made_at: float


@dataclass(slots=True)
class Study:
    """One study, read into memory. Not for two threads at once."""

    folder: Path
    about: About
    items: dict[str, Item] = field(default_factory=dict)
    pairwise: dict[tuple[str, str], Choice] = field(default_factory=dict)  # (item, rater)
    pointwise: dict[tuple[str, Side, str], dict[str, int]] = field(default_factory=dict)

    # ------------------------------------------------------------------ what a rater sees

    def rater(self, person_id: str) -> str:
        return self._mark("rater", person_id)[:16]

    def turned(self, item_id: str, rater: str) -> bool:
        """Whether this rater sees b on the left: settled for each, so that nothing is learnt from looking again."""
        return int(self._mark("order", item_id, rater)[:8], 16) % 2 == 1

    def next_pair(self, rater: str) -> Item | None:
        """What this rater has not compared yet, in an order of their own."""
        left = [item for item in self.items.values() if (item.id, rater) not in self.pairwise]
        return min(left, key=lambda item: self._mark("pair", item.id, rater), default=None)

    def next_point(self, rater: str) -> tuple[Item, Side] | None:
        left = [(item, side) for item in self.items.values() for side in SIDES if (item.id, side, rater) not in self.pointwise]
        return min(left, key=lambda one: self._mark("point", one[0].id, one[1], rater), default=None)

    def point_mark(self, item_id: str, side: Side, rater: str) -> str:
        """Names one side of an item without telling which."""
        return self._mark("mark", item_id, side, rater)[:20]

    def of_point_mark(self, mark: str, rater: str) -> tuple[Item, Side] | None:
        every = ((item, side) for item in self.items.values() for side in SIDES)
        return next(((item, side) for item, side in every if self.point_mark(item.id, side, rater) == mark), None)

    # ------------------------------------------------------------------ what a rater says

    def compare(self, item_id: str, rater: str, choice: Choice) -> None:
        self._add("ratings.jsonl", {"item": item_id, "rater": rater, "choice": choice, "at": round(time.time(), 1)})
        self.pairwise[item_id, rater] = choice

    def score(self, item_id: str, side: Side, rater: str, scores: Mapping[str, int]) -> None:
        self._add("ratings.jsonl", {"item": item_id, "side": side, "rater": rater, "scores": dict(scores), "at": round(time.time(), 1)})
        self.pointwise[item_id, side, rater] = dict(scores)

    def add_items(self, items: Sequence[Item]) -> None:
        self._add("items.jsonl", *(asdict(item) for item in items))
        self.items.update((item.id, item) for item in items)

    # ------------------------------------------------------------------ for whoever asked

    def rows(self) -> list[dict[str, Any]]:
        """Every judgement with what it is about, unblinded."""
        found: list[dict[str, Any]] = []
        for (item_id, rater), choice in self.pairwise.items():
            chosen = {"a": self.about.a, "b": self.about.b}.get(choice, "tie")
            found.append({"form": "pairwise", **self._of(item_id), "rater": rater, "chosen": chosen})
        for (item_id, side, rater), scores in self.pointwise.items():
            rated = self.about.a if side == "a" else self.about.b
            found.append({"form": "pointwise", **self._of(item_id), "rater": rater, "rated": rated, **scores})
        return found

    def _of(self, item_id: str) -> dict[str, str]:
        item = self.items[item_id]
        return {"study": self.about.id, "item": item.id, "character": item.character, "asked": item.asked, "a": item.a, "b": item.b}

    def _mark(self, *parts: str) -> str:
        return hashlib.sha256("\0".join((self.about.secret, *parts)).encode("utf-8", "surrogatepass")).hexdigest()

    def _add(self, name: str, *rows: Mapping[str, Any]) -> None:
        """In one write. Raises ``StoreError``: nothing of it counts."""
        try:
            with (self.folder / name).open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows))
        except OSError as error:
            raise StoreError(f"{self.folder / name}: cannot be written ({error.strerror})") from error


class Studies:
    """All of them. Not for two threads at once."""

    def __init__(self, data: Path) -> None:
        self._folder, self._runs = data / "rating", data / "runs"
        self._read: dict[str, Study] = {}

    def all(self) -> list[Study]:
        """The newest first. A folder that cannot be read is passed over."""
        ids = [path.name for path in self._folder.iterdir() if _ID.fullmatch(path.name)] if self._folder.is_dir() else []
        found = [study for study_id in ids if (study := self.get(study_id)) is not None]
        return sorted(found, key=lambda study: -study.about.made_at)

    def get(self, study_id: str) -> Study | None:
        if study_id not in self._read and _ID.fullmatch(study_id):
            study = _open(self._folder / study_id)
            if study is not None:
                self._read[study_id] = study
        return self._read.get(study_id)

    def create(self, title: str, kind: Literal["builds", "characters"], a: str, b: str) -> Study:
        if len(self.all()) >= STUDIES:
            raise CommandRefused(f"There are {STUDIES} studies already; move a folder out of data/rating first.")
        about = About(secrets.token_hex(4), title, kind, a, b, secrets.token_hex(16), time.time())
        folder = self._folder / about.id
        try:
            folder.mkdir(parents=True)
            (folder / "study.json").write_text(json.dumps(asdict(about)), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"{folder}: cannot be written ({error.strerror})") from error
        self._read[about.id] = Study(folder, about)
        return self._read[about.id]

    def sources(self) -> dict[str, list[str]]:
        """Evaluated runs, each with the models whose replies were kept."""
        found: dict[str, list[str]] = {}
        for path in sorted(self._runs.glob("*/evaluate/*/replies.jsonl")):
            found.setdefault(path.parts[-4], []).append(path.parent.name)
        return {run: names for run, names in found.items() if len(names) > 1}

    def of_run(self, run: str, a: str, b: str) -> list[Item]:
        """What two models answered to the same questions of an evaluation. Raises ``CommandRefused``."""
        if a == b or not all(_PART.fullmatch(part) for part in (run, a, b)) or not {a, b} <= set(self.sources().get(run, ())):
            raise CommandRefused("That run has no kept replies of two models of these names; run troupe-train evaluate on both first.")
        left, right = (_replies(self._runs / run / "evaluate" / name / "replies.jsonl") for name in (a, b))
        pairs = [(key, left[key], right[key]) for key in left if key in right and left[key][1] != right[key][1]]
        return [Item(secrets.token_hex(6), asked, key[1], text, other) for key, (asked, text), (_, other) in pairs[:ITEMS]]


def _open(folder: Path) -> Study | None:
    about = next(iter(read_rows(folder / "study.json")), None)
    try:
        study = Study(folder, About(**about)) if about else None
    except TypeError:
        return None
    if study is None or study.about.id != folder.name:
        return None
    for row in read_rows(folder / "items.jsonl"):
        if all(isinstance(row.get(name), str) for name in Item.__slots__):
            study.items[row["id"]] = Item(**{name: row[name] for name in Item.__slots__})
    for row in read_rows(folder / "ratings.jsonl"):
        if row.get("item") not in study.items or not isinstance(row.get("rater"), str):
            continue
        if row.get("choice") in ("a", "b", "tie"):
            study.pairwise[row["item"], row["rater"]] = row["choice"]
        elif row.get("side") in SIDES and isinstance(row.get("scores"), dict):
            study.pointwise[row["item"], row["side"], row["rater"]] = row["scores"]
    return study


def _replies(path: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """(question's key, character) -> what was asked and said; of a longer talk only its first turn, which both have heard alike."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for row in read_rows(path):
        if row.get("turn", 1) == 1 and all(isinstance(row.get(name), str) for name in ("key", "character", "asked", "text")):
            found[row["key"], row["character"]] = (row["asked"], row["text"])
    return found
