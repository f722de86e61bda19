"""The buttons under messages, and what a press of one means. Callback data has at most 64 bytes, whatever names there are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from bot.characters.cast import Character

AGAIN, EARLIER, LATER, UP, DOWN, STOP, HEAR = "again", "earlier", "later", "up", "down", "stop", "hear"
PICK, SLEEP, CONSENT, FORGET, EXPORT, SET, LIKENESS = "pick", "sleep", "consent", "forget", "export", "set", "like"

COLUMNS, MOST_OFFERED = 2, 40


def under_reply(*, voiced: bool) -> InlineKeyboardMarkup:
    """``voiced``: somebody speaks aloud here."""
    row = [("‹", EARLIER), ("›", LATER), ("🔄", AGAIN), *([("🔊", HEAR)] if voiced else []), ("👍", UP), ("👎", DOWN)]
    return _keyboard([row])


def while_speaking() -> InlineKeyboardMarkup:
    return _keyboard([(("⏹", STOP),)])


def to_pick(characters: Sequence[Character], what: str = PICK) -> InlineKeyboardMarkup:
    """One button a character; more than ``MOST_OFFERED`` would bury the chat, and are called by name."""
    shown = [(f"{c.face.emoji} {c.name}".strip(), f"{what}:{short(c)}") for c in characters[:MOST_OFFERED]]
    return _keyboard([shown[n : n + COLUMNS] for n in range(0, len(shown), COLUMNS)])


def to_answer(kind: str) -> InlineKeyboardMarkup:
    """The question of a consent."""
    return _keyboard([(("I agree", f"{CONSENT}:{kind}:yes"), ("I do not agree", f"{CONSENT}:{kind}:no"))])


def to_lend(number: int) -> InlineKeyboardMarkup:
    """The question whether a character may be made from somebody's messages."""
    return _keyboard([(("I agree", f"{LIKENESS}:{number}:yes"), ("I do not agree", f"{LIKENESS}:{number}:no"))])


def about_privacy() -> InlineKeyboardMarkup:
    return _keyboard(
        [
            (("Being remembered …", f"{CONSENT}:remember"), ("Use for training …", f"{CONSENT}:train")),
            (("Characters made from my messages …", LIKENESS),),
            (("Give me everything", EXPORT), ("Forget me …", FORGET)),
        ]
    )


def to_forget() -> InlineKeyboardMarkup:
    return _keyboard([(("Remove everything", f"{FORGET}:yes"),)])


def of_settings(*, always: bool, adults: bool) -> InlineKeyboardMarkup:
    """Each button says what pressing it brings."""
    return _keyboard(
        [
            (("Answer only when called" if always else "Answer everything", f"{SET}:always:{'no' if always else 'yes'}"),),
            (("No longer for adults" if adults else "This is a place for adults", f"{SET}:adults:{'no' if adults else 'yes'}"),),
        ]
    )


def short(character: Character) -> str:
    """Names a character in a button: its id may be longer than a button can hold."""
    return hashlib.sha256(character.id.encode()).hexdigest()[:16]


def found(characters: Sequence[Character], named: str) -> Character | None:
    return next((c for c in characters if short(c) == named), None)


def _keyboard(rows: Sequence[Sequence[tuple[str, str]]]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup([[InlineKeyboardButton(label, callback_data=data) for label, data in row] for row in rows])
