"""What is wrong in a character's folder, all of it at once: each problem names file, field and limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bot.characters.card import Card, parse_card
from bot.characters.cast import CARD_FILE, PORTRAIT_FILE, make_character
from bot.characters.casting_sheet import token_counts
from bot.characters.images import portrait_png
from bot.characters.lines import LINES_FILE, Exemplar, parse_lines
from bot.characters.names import is_slug
from bot.config import CharacterSettings, SessionSettings
from bot.errors import CardError
from bot.messages import HOUSE

HELD_OUT_FILE = "held_out.jsonl"  # lines for evaluation; the bot never reads them, only this check does
PORTRAIT_BYTES = 150_000  # what a shipped portrait may take of everybody's download


def validate_folder(
    folder: Path,
    limits: CharacterSettings,
    *,
    count: Callable[[str], int] | None = None,
    budgets: SessionSettings | None = None,
) -> list[str]:
    """The problems of one character's folder; empty when all is well.

    With ``count`` (tokens of a text) and ``budgets`` the card's size is checked as well.
    """
    if not folder.is_dir():
        return [f"{folder}: is no folder"]
    problems: list[str] = []
    if not is_slug(folder.name):
        problems.append(f"{folder}: the folder's name is the slug; use small letters, numbers and single hyphens, like mara-quill")
    card = _card(folder / CARD_FILE, limits, problems)
    lines = _lines(folder / LINES_FILE, limits, problems)
    held_out = _lines(folder / HELD_OUT_FILE, limits, problems)
    problems += _shared(folder, lines, held_out)
    problems += _portrait(folder / PORTRAIT_FILE, limits)
    if card is not None:
        problems += _fit_card(folder, card, lines)
        if count is not None and budgets is not None and is_slug(folder.name):
            character = make_character(HOUSE, folder.name, card, tuple(lines))
            problems += [
                f"{folder / CARD_FILE}: {part} takes {tokens} tokens; the budget is {budget} (sessions)"
                for part, tokens, budget in token_counts(character, count, budgets)
                if tokens > budget
            ]
    return problems


def _card(path: Path, limits: CharacterSettings, problems: list[str]) -> Card | None:
    try:
        card = parse_card(path.read_bytes(), limits, str(path))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return None
    except CardError as error:
        problems.append(str(error))
        return None
    problems += [warning if str(path) in warning else f"{path}: {warning}" for warning in card.warnings]
    return card


def _lines(path: Path, limits: CharacterSettings, problems: list[str]) -> list[Exemplar]:
    """Every line that can be read; each that cannot is a problem of its own."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path}: cannot be read: {error}")
        return []
    found: list[Exemplar] = []
    places: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        try:
            read = parse_lines(line, f"{path}:{number}", limits)
        except CardError as error:
            problems.append(str(error).replace(f"{path}:{number}:1", f"{path}:{number}", 1))
            continue
        for exemplar in read:
            if exemplar.id in places:
                problems.append(f"{path}:{number}: id {exemplar.id!r} stands already in line {places[exemplar.id]}")
            places.setdefault(exemplar.id, number)
            found.append(exemplar)
    if len(found) > limits.lines:
        problems.append(f"{path}: has {len(found)} lines; the limit is {limits.lines} (characters.lines)")
    return found


def _shared(folder: Path, lines: list[Exemplar], held_out: list[Exemplar]) -> list[str]:
    """Held-out lines must be new to a model that has learnt the others."""
    ids = {line.id for line in lines}
    said = {(line.said.casefold(), line.reply.casefold()) for line in lines}
    path = folder / HELD_OUT_FILE
    twice = [line for line in held_out if (line.said.casefold(), line.reply.casefold()) in said]
    return [f"{path}: id {line.id!r} is also in {LINES_FILE}" for line in held_out if line.id in ids] + [
        f"{path}: {line.id} is the same exchange as one in {LINES_FILE}" for line in twice
    ]


def _portrait(path: Path, limits: CharacterSettings) -> list[str]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{path}: cannot be read: {error.strerror}"]
    problems = [f"{path}: has {len(data):,} bytes; the limit is {PORTRAIT_BYTES:,}"] if len(data) > PORTRAIT_BYTES else []
    try:
        portrait_png(data, limits, str(path))
    except CardError as error:
        problems.append(str(error))
    return problems


def _fit_card(folder: Path, card: Card, lines: list[Exemplar]) -> list[str]:
    path = folder / CARD_FILE
    problems = [f"{path}: data.{field} is empty" for field in ("description", "first_mes") if not getattr(card, field).strip()]
    for line in lines:
        where = f"{folder / LINES_FILE}: {line.id}"
        if line.reply.casefold().startswith((f"{card.name.casefold()}:", f"{card.char.casefold()}:")):
            problems.append(f"{where}: reply begins with the character's own name; the prompt adds it where it is wanted")
        if "{{user}}" in (line.said + line.reply).lower():
            problems.append(f"{where}: contains {{{{user}}}}; lines are spoken to somebody else, never to the present person")
    return problems
