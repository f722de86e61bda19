"""Rows -> a character's exchanges with their true context, what is held out of them, and a card to begin with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.characters.card import Card, new_card, write_card
from bot.characters.cast import CARD_FILE
from bot.characters.lines import LINES_FILE, TEXT_CHARACTERS, Exemplar
from bot.characters.names import slugify
from bot.config import CharacterSettings
from trainer.errors import SourceRefused
from trainer.extract.speech import Row

HELD_OUT_FILE = "held_out.jsonl"  # beside a character's lines: what is measured and never taught
LEAST = 8  # exchanges: what dataset needs at least, and some to hold out
_HAN = re.compile(r"[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(slots=True)
class Part:
    """What one speaker says in answer to others."""

    name: str
    taught: list[Exemplar] = field(default_factory=list)
    held_out: list[Exemplar] = field(default_factory=list)
    without_context: int = 0  # opened a scene, and nothing was told before either
    too_long: int = 0
    beyond_limit: int = 0  # more than a character may have

    @property
    def slug(self) -> str:
        return slugify(self.name)


def exchanges(rows: Iterable[Row], name: str, source: str, *, unsure: bool) -> Iterator[tuple[Row, Exemplar | None]]:
    """Each line of ``name`` with what was said right before it, by whoever said it; None where nothing was.

    Who goes on after a stage direction answers the same thing as before. A line that opens a scene answers what the stage
    direction tells.
    """
    said: tuple[str | None, str] | None = None  # the last thing that somebody else said
    told = ""
    scene = None
    for row in rows:
        if row.scene != scene:
            scene, said, told = row.scene, None, ""
        if not row.spoken:
            told = " ".join(row.stage) or told
            continue
        if row.speaker != name:
            said = (row.speaker, row.line)
            continue
        if row.attribution != "attributed" and not (unsure and row.attribution == "unsure"):
            continue
        context = said or ((None, f"({told})") if told else None)
        exchange = None
        if context is not None:
            exchange = Exemplar(f"{slugify(name)}-{row.id}", context[0], context[1], row.line, None, row.scene, source)
        yield row, exchange


def part(rows: Iterable[Row], name: str, source: str, held_out: Sequence[str], tail: float, *, unsure: bool) -> Part:
    """A speaker's exchanges, divided by scenes that are held out, or else by time: the last ``tail`` of them.

    Raises:
        SourceRefused: there are too few.
    """
    limits = CharacterSettings()
    found = Part(name)
    for row, exchange in exchanges(rows, name, source, unsure=unsure):
        if exchange is None:
            found.without_context += 1
        elif max(len(exchange.said), len(exchange.reply)) > TEXT_CHARACTERS:
            found.too_long += 1
        elif is_held_out(row.scene, held_out):
            found.held_out.append(exchange)
        elif len(found.taught) >= limits.lines:
            found.beyond_limit += 1
        else:
            found.taught.append(exchange)
    if not held_out and tail:
        kept = len(found.taught) - int(len(found.taught) * tail)
        found.taught, found.held_out = found.taught[:kept], found.taught[kept:]
    if len(found.taught) < LEAST:
        have = len(found.taught) + len(found.held_out)
        raise SourceRefused(
            f"{name} has {have} lines that answer something, {len(found.taught)} of them to learn from; a character needs at least "
            f"{LEAST}, better 60: leave {name} out, add text, or say with --aliases what else {name} is called"
        )
    return found


def is_held_out(scene: str, held_out: Sequence[str]) -> bool:
    return any(scene == h or scene.startswith(f"{h}/") for h in held_out)


def starting_card(found: Part, title: str, company: Sequence[str]) -> Card:
    """A card that says no more than the rows do; ``profile`` writes a better one."""
    texts = "".join(e.reply for e in found.taught[:200])
    chinese = is_chinese(texts)
    talks = [name for name in company if name != found.name][:3]
    if chinese:
        description = f"{{{{char}}}}是《{title}》中的人物" + (f"，常与{'、'.join(talks)}交谈。" if talks else "。")
    else:
        description = f"{{{{char}}}} is a character of {title}" + (f", most often in talk with {', '.join(talks)}." if talks else ".")
    return new_card(
        found.name,
        CharacterSettings(),
        description=description,
        creator_notes="Made by counting from a text; the stage profile writes more.",
        extensions={"troupe": {"languages": ["zh" if chinese else "en"]}},
    )


def is_chinese(text: str) -> bool:
    letters = len(_LETTER.findall(text))
    return bool(letters) and len(_HAN.findall(text)) > 0.3 * letters


def write_character(folder: Path, card: Card, taught: Sequence[Exemplar], held_out: Sequence[Exemplar]) -> None:
    """A folder as the cast has them: card, lines, and beside them what is held out."""
    folder.mkdir(parents=True, exist_ok=True)
    write_exemplars(folder / LINES_FILE, taught)
    write_exemplars(folder / HELD_OUT_FILE, held_out)
    (folder / CARD_FILE).write_bytes(write_card(card))


def write_exemplars(path: Path, lines: Sequence[Exemplar]) -> None:
    path.write_text("".join(json.dumps(e.record(), ensure_ascii=False) + "\n" for e in lines), encoding="utf-8")
