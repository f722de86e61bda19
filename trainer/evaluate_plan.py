"""What every model of an evaluation is asked and measured on, drawn once: questions, probes, long talks, items."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from bot.characters.cast import Character
from bot.characters.prompt import Budget
from bot.config import Section
from bot.engine.models import STARTER
from trainer.base import find_base, load_tokenizer
from trainer.conversations import Conversations
from trainer.dataset import DatasetSettings, Part, divide
from trainer.errors import SourceRefused
from trainer.evaluate_items import Items, read_items
from trainer.evaluate_replies import Asked
from trainer.instructions import INSTRUCTIONS, read_instructions
from trainer.tokenizer import TransformersTokenizer

HERE: Final = Path(__file__).parent
PROBES, GENERAL, TALK = HERE / "probes.jsonl", HERE / "general.jsonl", HERE / "long_talk.jsonl"

Measure = Literal["losses", "probes", "replies", "talks", "items"]
EVERYTHING: Final[tuple[Measure, ...]] = ("losses", "probes", "replies", "talks", "items")


class EvaluateSettings(Section):
    """How much is measured. Every reply costs about a second on two cores."""

    base: str = STARTER  # whose tokenizer and chat template
    seed: int = 1
    measure: tuple[Measure, ...] = EVERYTHING
    languages: tuple[str, ...] = ("en",)
    leave_out: tuple[str, ...] = ()  # slugs that training never saw; every one of their held-out exchanges is measured
    watch: int = Field(4, ge=0)  # held-out exchanges that training watched, as its dataset stage had it
    every: int = Field(1, ge=1)  # take every n-th held-out exchange of characters that training saw
    wrong_cards: int = Field(2, ge=0)  # other characters whose cards each exchange is also measured with; 0: all
    questions: int = Field(20, ge=0)  # asked of every character alike, for identification
    probes: int = Field(100, ge=0)
    talks: int = Field(3, ge=0)  # characters that hold a long talk; everybody's real one is measured by turn beside them
    items: Path | None = None  # JSONL {character, profile, question, references, kind}: RoleBench's rows, field by field
    encoder: Path | None = None  # a GGUF encoder: nearness in meaning is measured, too
    judge: str = ""  # a teacher that gives its opinion: a model as in engine.model, or an address; empty: nobody is asked
    judge_model: str = ""  # the server's name of it
    judge_key_env: str = "TROUPE_REMOTE_KEY"
    judged: int = Field(24, ge=1)  # replies of each model that it sees
    live: int = Field(8, ge=1)  # talks at a time
    threads: int | None = Field(None, ge=1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What every model is asked and measured on."""

    parts: tuple[Part, ...]
    conversations: Conversations
    tokenizer: TransformersTokenizer
    own: tuple[Asked, ...]  # held-out questions, each to its own character
    references: dict[str, str]  # by key of ``own``: what was really said
    same: tuple[Asked, ...]  # the same questions to everybody
    probes: tuple[Asked, ...]
    kinds: dict[str, str]  # by key of ``probes``: playful or sincere
    talks: tuple[Asked, ...]
    items: Items = field(default_factory=Items)

    @property
    def characters(self) -> list[Character]:
        return [p.character for p in self.parts]

    @property
    def cast(self) -> list[Character]:
        """Everybody who is asked something, those of the items too."""
        return [*self.characters, *self.items.people]

    @property
    def asked(self) -> list[Asked]:
        # Probes first, then by character: what matters most is there when a run is cut short.
        return [*self.probes, *sorted((*self.own, *self.same), key=lambda a: a.character), *self.items.asked, *self.talks]


def plan(characters: Path, settings: EvaluateSettings) -> Plan:
    """Everything that every model is asked, drawn once."""
    dealt = DatasetSettings(base=settings.base, languages=settings.languages, leave_out=settings.leave_out, watch=max(settings.watch, 1))
    parts, _ = divide(characters, dealt)
    parts = [p if p.character.slug in settings.leave_out else replace(p, tested=p.tested[:: settings.every]) for p in parts]
    if not any(p.tested for p in parts):
        raise SourceRefused(f"{characters}: nobody has held-out exchanges; write some into held_out.jsonl beside the lines")
    tokenizer = load_tokenizer(find_base(settings.base))
    slugs = [p.character.slug for p in parts]
    wanted = frozenset(settings.measure)
    talking = slugs[: settings.talks] if "talks" in wanted else []
    own = {f"own/{e.id}": (p.character.slug, e) for p in parts for e in p.tested if "replies" in wanted}
    same = _common(parts, settings) if "replies" in wanted else []
    probes = _spread(rows_of(PROBES), settings.probes) if "probes" in wanted else []
    given = settings.items if "items" in wanted else None
    return Plan(
        parts=tuple(parts),
        conversations=Conversations(tokenizer, Budget(context=4096)),
        tokenizer=tokenizer,
        own=tuple(Asked(key, slug, (e.said,), *([e.with_name] if e.with_name else [])) for key, (slug, e) in own.items()),
        references={key: e.reply for key, (_, e) in own.items()},
        same=tuple(Asked(f"same/{i}/{slug}", slug, (q,)) for slug in slugs for i, q in enumerate(same)),
        probes=tuple(Asked(f"probe/{row['id']}", slugs[i % len(slugs)], (row["text"],)) for i, row in enumerate(probes)),
        kinds={f"probe/{row['id']}": row["kind"] for row in probes},
        talks=tuple(Asked(f"talk/{slug}", slug, tuple(r["text"] for r in rows_of(TALK)), "Sam") for slug in talking),
        items=read_items(given, [p.character for p in parts]) if given else Items(),
    )


def _spread(rows: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """So many of them, evenly: fewer probes are still playful and sincere ones."""
    count = min(count, len(rows))
    return [rows[(2 * i + 1) * len(rows) // (2 * count)] for i in range(count)]


def _common(parts: Sequence[Part], settings: EvaluateSettings) -> list[str]:
    """Questions for everybody: held-out ones that name nobody, then general ones, then everyday instructions."""
    names = {word.casefold() for p in parts for word in p.character.name.split()}
    held = sorted({e.said for p in parts for e in p.tested if not any(n in e.said.casefold() for n in names)})
    random.Random(settings.seed).shuffle(held)
    general = [row["said"] for row in rows_of(GENERAL)]
    everyday = [i.text for i in read_instructions(INSTRUCTIONS) if i.language in settings.languages]
    return [*held, *general, *everyday][: settings.questions]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
