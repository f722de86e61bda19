"""Stage ``collect``: consented conversations -> rows to learn from, each with the receipts of everybody in it.

``gold.jsonl``   replies that a person wrote in place of the model's           (supervised)
``pairs.jsonl``  of two replies to the same words, which people preferred      (DPO)
``kto.jsonl``    single replies with a thumb                                   (KTO)
``refused.json`` how many rows stayed out, and why; ``CARD.md`` tells all of it.

Nothing is taken from anybody who has not agreed, nothing from before they did, and nothing after they withdrew. Bystanders' words
are left out and their names masked. What Discord's gateway brought stays out unless the operator says that its policy is met.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from argparse import ArgumentParser, Namespace
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from rich.console import Console

from bot.characters.cast import Cast, Character
from bot.config import CharacterSettings, MemorySettings, Section, load_config
from bot.memory.collected import COLLECTED
from bot.memory.store import Lesson, Receipt, Store, Take
from bot.messages import ChannelKey
from trainer.collect_card import data_card
from trainer.collect_filters import Dangers, Names, read_words, redact
from trainer.counting import units
from trainer.dataset import PEOPLE
from trainer.duplicates import NearDuplicates
from trainer.errors import SourceRefused
from trainer.evaluate_faults import faults
from trainer.extract.exchanges import is_chinese
from trainer.manifest import begin, write_json
from trainer.options import add_run, add_settings, settings_from
from trainer.runs import run_folder, working_in

Kind = Literal["gold", "pairs", "kto"]
KINDS: tuple[Kind, ...] = ("gold", "pairs", "kto")
REFUSED, CARD = "refused.json", "CARD.md"
GOOD, BAD = 4, 2  # stars from which on, and up to which, a reply counts as liked or disliked


class CollectSettings(Section):
    """What may be taken, and how much of one person."""

    seed: int = 1
    discord_text: bool = False  # the operator's acknowledgement in config.toml, training.discord_text
    before: int = Field(1, ge=0, le=4)  # earlier exchanges of the same person that are shown with a row
    least_words: int = Field(2, ge=1)  # of a reply
    most_words: int = Field(110, ge=1)
    per_person: int = Field(100, ge=1)  # rows of each kind, so that no voice dominates
    regions: tuple[str, ...] = ("GB", "US", "DE")  # whose telephone numbers are known without a country code
    words: Path | None = None  # further words that keep a row out, one a line


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to learn. A pair has ``rejected``, a thumb has ``label``."""

    key: str
    kind: Kind
    why: str
    character: str  # slug
    name: str  # the person's name in the row, not their own
    said: str
    chosen: str
    rejected: str | None = None
    label: bool | None = None
    before: tuple[tuple[str, str], ...] = ()  # said, reply
    people: tuple[str, ...] = ()
    receipts: tuple[dict[str, Any], ...] = ()  # of everybody in ``people``, in that order
    turn: int = 0
    replies: tuple[int, ...] = ()
    build: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    kind: Kind
    why: str
    chosen: str
    take: Take  # whose stamp the row carries
    other: Take | None = None
    rejected: str | None = None
    label: bool | None = None
    judge: str | None = None  # who rated or wrote, besides whoever was answered

    @property
    def key(self) -> str:
        parts = [self.kind, str(self.take.id), *([str(self.other.id)] if self.other else []), *([self.why] if self.kind == "pairs" else [])]
        judged = hashlib.sha256((self.judge or "").encode()).hexdigest()[:6] if self.kind == "kto" else ""
        return "-".join([*parts, *([judged] if judged else [])]).replace(" ", "_")


@dataclass(slots=True)
class Collected:
    rows: dict[Kind, list[Row]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    refused: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)


class Refused(Exception):
    """Why a row stays out."""


def collect(data: Path, characters: Path, into: Path, settings: CollectSettings, memory: MemorySettings | None = None) -> Path:
    """Take what may be taken from the database in ``data``. Returns ``into``.

    Beside a running server, too: it only reads. Finished once, it is not made anew; a later collecting has a run of its own.

    Raises:
        SourceRefused: a setting or a character cannot be used.
        StoreError: the database cannot be read.
    """
    asked = settings.model_dump(mode="json", exclude={"seed", "words"})
    stage = begin(into, "collect", inputs={"database": "conversations"}, settings=asked, seed=settings.seed)
    if stage.finished:
        return into
    cast = {c.id: c for c in Cast.load(characters, CharacterSettings()).house}
    lessons, receipts, names = asyncio.run(_read(data, memory or MemorySettings()))
    found = chosen_rows(lessons, receipts, names, cast, settings)
    for kind, rows in found.rows.items():
        write_rows(into / f"{kind}.jsonl", rows)
    write_json(into / REFUSED, {"refused": dict(found.refused.most_common()), "redacted": dict(found.redacted.most_common())})
    (into / CARD).write_text(data_card(into.parent.name, found.rows, found.refused, found.redacted, asked), encoding="utf-8")
    return stage.finish(
        {
            **{kind: len(rows) for kind, rows in found.rows.items()},
            "people": len({p for rows in found.rows.values() for row in rows for p in row.people}),
            "refused": sum(found.refused.values()),
        }
    )


async def _read(data: Path, memory: MemorySettings) -> tuple[list[Lesson], dict[str, list[Receipt]], dict[ChannelKey, dict[str, str]]]:
    if not memory.url and not (data / "troupe.db").is_file():
        raise SourceRefused(f"{data}: there is no database; name the folder that Troupe writes to with --config FILE")
    store = await Store.open(memory, data)
    try:
        return await store.lessons(), await store.receipts(), await store.names_in()
    finally:
        await store.close()


def chosen_rows(
    lessons: Sequence[Lesson],
    receipts: Mapping[str, Sequence[Receipt]],
    names: Mapping[ChannelKey, Mapping[str, str]],
    cast: Mapping[str, Character],
    settings: CollectSettings,
) -> Collected:
    """Every row that passes, and the reasons of the others."""
    picker = _Picker(receipts, names, cast, settings)
    found = Collected()
    said_before: dict[tuple[ChannelKey, str, str], list[Lesson]] = defaultdict(list)
    seen: dict[Kind, NearDuplicates] = {kind: NearDuplicates() for kind in KINDS}
    of_person: Counter[tuple[Kind, str]] = Counter()
    for lesson in lessons:
        earlier = said_before[lesson.cause.channel, lesson.character_id, lesson.cause.author_id]
        for candidate in candidates(lesson):
            try:
                row, kinds = picker.row(lesson, candidate, earlier)
            except Refused as reason:
                found.refused[str(reason)] += 1
                continue
            text = f"{row.character} {row.said} {row.chosen} {row.rejected or row.label}"
            if seen[row.kind].like(text) is not None:
                found.refused["nearly the same as another row"] += 1
                continue
            if of_person[row.kind, row.people[0]] >= settings.per_person:
                found.refused["enough of this person"] += 1
                continue
            seen[row.kind].add(text)
            of_person[row.kind, row.people[0]] += 1
            found.redacted.update(kinds)
            found.rows[row.kind].append(row)
        if not lesson.hidden:
            earlier.append(lesson)
    return found


def candidates(lesson: Lesson) -> Iterator[_Candidate]:
    """What one reply and its takes could teach, before anybody is asked whether it may."""
    shown = next((take for take in lesson.takes if take.chosen), None)
    if shown is None or not shown.text:
        return
    paired: set[tuple[int, int]] = set()
    if lesson.edited and lesson.shown != shown.text:
        editor = next((person for person, kind in reversed(shown.signals) if kind == "edit"), "")
        yield _Candidate("gold", "edited", lesson.shown, shown, judge=editor)
        yield _Candidate("pairs", "edited", lesson.shown, shown, rejected=shown.text, judge=editor)
    elif not _liked(shown, below=BAD):
        picked = any(kind == "choose" for _, kind in shown.signals)
        for other in lesson.takes:
            if other is not shown and other.text and other.text != shown.text:
                paired.add((shown.id, other.id))
                yield _Candidate("pairs", "chosen" if picked else "made again", shown.text, shown, other=other, rejected=other.text)
    for good in lesson.takes:
        for bad in lesson.takes:
            if (good.id, bad.id) not in paired and _liked(good, above=GOOD) and _liked(bad, below=BAD) and good.text and bad.text:
                judge = next(p for p, value in good.ratings if value >= GOOD)
                yield _Candidate("pairs", "rated", good.text, good, other=bad, rejected=bad.text, judge=judge)
    for take in lesson.takes:
        for person, value in take.ratings:
            if take.text and not BAD < value < GOOD:
                yield _Candidate("kto", "thumb", take.text, take, label=value >= GOOD, judge=person)


def _liked(take: Take, *, above: int | None = None, below: int | None = None) -> bool:
    if not take.ratings:
        return False
    mean = sum(value for _, value in take.ratings) / len(take.ratings)
    return (above is None or mean >= above) and (below is None or mean <= below)


class _Picker:
    """Decides about one candidate at a time."""

    def __init__(
        self,
        receipts: Mapping[str, Sequence[Receipt]],
        names: Mapping[ChannelKey, Mapping[str, str]],
        cast: Mapping[str, Character],
        settings: CollectSettings,
    ) -> None:
        self._receipts = receipts
        self._names = names
        self._cast = cast
        self._settings = settings
        self._dangers = Dangers(read_words(settings.words))

    def row(self, lesson: Lesson, candidate: _Candidate, earlier: Sequence[Lesson]) -> tuple[Row, list[str]]:
        """The row, and what kinds of personal data were taken out of it. Raises ``Refused``."""
        author = lesson.cause.author_id
        if lesson.cause.channel.platform == "discord" and not self._settings.discord_text:
            raise Refused("text of Discord's gateway, not acknowledged in config.toml (training.discord_text)")
        receipts = [self._receipt(author, lesson.heard_at)]
        if candidate.judge is not None and candidate.judge != author:
            receipts.append(self._judges(candidate.judge))
        if lesson.hidden:
            raise Refused("taken back or hidden")
        if any(kind in ("report", "hide") for take in lesson.takes for _, kind in take.signals):
            raise Refused("reported")
        character = self._cast.get(lesson.character_id)
        if character is None:
            raise Refused("a character that is not of this house")
        alias = PEOPLE[int(hashlib.sha256(author.encode()).hexdigest(), 16) % len(PEOPLE)]
        here = self._names.get(lesson.cause.channel, {})
        names = Names(here.get(author, lesson.cause.author_name), alias, [n for p, n in here.items() if p != author], _called(self._cast))
        kinds: list[str] = []
        said = self._heard(lesson.cause.text, names, kinds)
        before = self._before(earlier, author, names, character, kinds)
        chosen = self._spoken(candidate.chosen, names, character, good=candidate.label is not False)
        rejected = None if candidate.rejected is None else self._spoken(candidate.rejected, names, character, good=False)
        if rejected is not None and rejected == chosen:
            raise Refused("both replies are the same")
        return (
            Row(
                key=candidate.key,
                kind=candidate.kind,
                why=candidate.why,
                character=character.slug,
                name=alias,
                said=said,
                chosen=chosen,
                rejected=rejected,
                label=candidate.label,
                before=before,
                people=tuple(r.person_id for r in receipts),
                receipts=tuple(_told(r) for r in receipts),
                turn=lesson.cause.id,
                replies=(candidate.take.id, *([candidate.other.id] if candidate.other else [])),
                build=candidate.take.build,
                revision=candidate.take.revision,
            ),
            kinds,
        )

    def _receipt(self, person: str, at: datetime) -> Receipt:
        held = self._receipts.get(person)
        if not held:
            raise Refused("no agreement to training")
        valid = [receipt for receipt in held if receipt.at <= at]
        if not valid:
            raise Refused("said before the agreement")
        return valid[-1]

    def _judges(self, person: str) -> Receipt:
        if not person:
            raise Refused("changed by somebody unknown")
        held = self._receipts.get(person)
        if not held:
            raise Refused("rated or changed by somebody without an agreement")
        return held[-1]

    def _before(
        self, earlier: Sequence[Lesson], author: str, names: Names, character: Character, kinds: list[str]
    ) -> tuple[tuple[str, str], ...]:
        """What the same two said just before; an exchange that would be no row is no context either."""
        held = self._receipts.get(author, ())
        shown: list[tuple[str, str]] = []
        for each in reversed(earlier):
            if len(shown) >= self._settings.before:
                break
            if each.edited or not any(receipt.at <= each.heard_at for receipt in held):
                break
            try:
                shown.append((self._heard(each.cause.text, names, kinds), self._spoken(each.shown, names, character)))
            except Refused:
                break
        return tuple(reversed(shown))

    def _heard(self, text: str, names: Names, kinds: list[str]) -> str:
        if not text.strip():
            raise Refused("words that are not kept")
        if text in self._dangers:
            raise Refused("dangerous words")
        cleaned, found = redact(names.mask(text), self._settings.regions)
        kinds += found
        return cleaned.strip()

    def _spoken(self, text: str, names: Names, character: Character, *, good: bool = True) -> str:
        """A reply as it may be learnt from; one that is to be avoided may have faults, and no dangers."""
        if text in self._dangers:
            raise Refused("dangerous words")
        if names.names_somebody_else(text):
            raise Refused("a reply names somebody else")
        if redact(text, self._settings.regions)[1]:
            raise Refused("personal data in a reply")
        masked = names.mask(text).strip()
        words = len(units(masked))
        if not words:
            raise Refused("words that are not kept")
        if not good:
            return masked
        if is_chinese(masked) != (character.settings.languages[:1] == ("zh",)):
            raise Refused("another language than the character's")
        if not self._settings.least_words <= words <= self._settings.most_words:
            raise Refused("too short or too long")
        others = [c.name for c in self._cast.values() if c.id != character.id]
        if wrong := faults(masked, "stop", others):
            raise Refused(f"a fault: {wrong[0]}")
        return masked


def _called(cast: Mapping[str, Character]) -> list[str]:
    return [character.name for character in cast.values()]


def _told(receipt: Receipt) -> dict[str, Any]:
    return {
        "consent": receipt.id,
        "at": receipt.at.isoformat(),
        "channel": str(receipt.channel) if receipt.channel else None,
        "wording": receipt.wording,
    }


# ------------------------------------------------------------------ files


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    beside = path.with_name(f"{path.name}.partial")
    with beside.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
    beside.replace(path)


def read_rows(folder: Path) -> dict[Kind, list[Row]]:
    """The rows of a collecting. Raises ``SourceRefused``: names the file and the line."""
    return {kind: _read_file(folder / f"{kind}.jsonl") for kind in KINDS}


def _read_file(path: Path) -> list[Row]:
    rows: list[Row] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SourceRefused(f"{path}: cannot be read ({error.strerror}); run: troupe-train collect") from error
    for number, line in enumerate(lines, 1):
        try:
            raw = json.loads(line)
            row = Row(**raw)
        except (ValueError, TypeError) as error:
            raise SourceRefused(f"{path}:{number}: is no row ({error}); collect again under another run name") from error
        if not row.people or len(row.people) != len(row.receipts):
            raise SourceRefused(f"{path}:{number}: names no receipt for everybody in it; no model learns from that")
        before = tuple((said, reply) for said, reply in row.before)
        rows.append(replace(row, before=before, people=tuple(row.people), receipts=tuple(row.receipts), replies=tuple(row.replies)))
    return rows


# ------------------------------------------------------------------ command


def arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--config", type=Path, default=Path("config.toml"), metavar="FILE", help="Troupe's settings (default config.toml)")
    add_settings(parser, CollectSettings, without=("discord_text",))


def command(args: Namespace) -> None:
    config = load_config(args.config)
    settings = settings_from(args, CollectSettings).model_copy(update={"discord_text": config.training.discord_text})
    with working_in(run_folder(args.runs, args.run)) as run:
        folder = collect(config.paths.data, config.paths.characters, run / COLLECTED, settings, config.memory)
    Console().print((folder / CARD).read_text(encoding="utf-8"), markup=False, highlight=False, soft_wrap=True)
    print(f"{folder}: what was collected; look through it with: troupe-train curate list --run {args.run}")
