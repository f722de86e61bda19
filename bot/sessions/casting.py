"""Who answers. Pure decisions: the same call gives the same cast, whatever the clock or the platform."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from bot.characters.cast import Character

_OUT_OF_CHARACTER = re.compile(r"\s*(\(\(|\(ooc\b|//)", re.IGNORECASE)
_HAN = re.compile(r"[\u3400-\u9fff]")

LAST_SPEAKER_BONUS = 0.35  # whoever spoke last is probably the one being talked to


@dataclass(frozen=True, slots=True)
class Call:
    """What casting looks at when somebody has spoken."""

    text: str
    awake: Sequence[Character]  # who is in the channel
    addressed: Sequence[Character] = ()  # marked by the platform, or by the command: they answer even when asleep
    replied_to: Character | None = None
    last_speaker: str | None = None  # id of the character who spoke last in this channel
    direct: bool = False


def cast_reply(call: Call, *, speakers: int, always: bool, seed: int) -> list[Character]:
    """The characters who answer, in order; at most ``speakers``.

    Whoever is replied to comes first, then those the platform marked, then those named in the text in the order of their
    names. When nobody is addressed, each of the awake answers with the chance of its talkativeness; with ``always``,
    somebody does.
    """
    if is_out_of_character(call.text):
        return []
    called = [c for c in (call.replied_to, *call.addressed, *named_in(call.text, call.awake)) if c is not None]
    if called:
        return _unique(called)[:speakers]
    if call.direct:
        return list(call.awake[:1])
    dice = random.Random(seed)
    chances = [(c, min(1.0, c.settings.talkativeness + (LAST_SPEAKER_BONUS if c.id == call.last_speaker else 0))) for c in call.awake]
    drawn = [(c, chance) for c, chance in chances if dice.random() < chance]
    if not drawn and always and chances:
        drawn = dice.choices(chances, weights=[max(chance, 0.01) for _, chance in chances], k=1)
    dice.shuffle(drawn)
    return [c for c, _ in drawn][:speakers]


def named_in(text: str, characters: Sequence[Character]) -> list[Character]:
    """Characters whose name, or first name, stands in the text as a whole word, in order of appearance."""
    folded = fold(text)
    found: list[tuple[int, Character]] = []
    for character in characters:
        places = [at for name in names_of(character) if (at := _whole_word(name, folded)) >= 0]
        if places:
            found.append((min(places), character))
    return [c for _, c in sorted(found, key=lambda pair: pair[0])]


def names_of(character: Character) -> list[str]:
    """What somebody may call a character: shown name, nickname, and the first word of the name where that is telling."""
    names = [character.name, character.card.nickname]
    first = character.name.split()[0] if character.name.split() else ""
    if len(first) > 2 and first.casefold() not in _TITLES:
        names.append(first)
    return [n for n in names if n]


_TITLES = frozenset("the dr dr. mr mr. mrs mrs. ms ms. miss sir lady lord captain capt. professor prof. brother sister old".split())


def is_out_of_character(text: str) -> bool:
    """Text in double parentheses, or after ``(ooc`` or ``//``, is said beside the play: kept, never answered."""
    return _OUT_OF_CHARACTER.match(text) is not None


def fold(text: str) -> str:
    """Lower case, compatibility forms joined, accents off: the same name however it was typed."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _whole_word(name: str, folded_text: str) -> int:
    wanted = fold(name)
    if _HAN.search(wanted):
        return folded_text.find(wanted)
    for found in re.finditer(re.escape(wanted), folded_text):
        before, after = folded_text[: found.start()][-1:], folded_text[found.end() :][:1]
        if not (before.isalnum() or after.isalnum()):
            return found.start()
    return -1


def _unique(characters: Sequence[Character]) -> list[Character]:
    seen: dict[str, Character] = {}
    for character in characters:
        seen.setdefault(character.id, character)
    return list(seen.values())
