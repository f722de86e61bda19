"""What a teacher is told about a character, and pieces of its dialogue."""

from __future__ import annotations

import random
from collections.abc import Sequence

from bot.characters.cast import Character
from bot.characters.lines import Exemplar
from bot.characters.macros import fill_macros
from bot.characters.prompt import clean
from trainer.synthesis.prompts import Words, words
from trainer.synthesis.work import Room, language_of

PHRASES = 6
LORE_ENTRIES = 6
ABOUT_CHARACTERS = 2400  # of description, profile and lore together


def wording(character: Character) -> Words:
    return words(language_of(character))


def about(character: Character) -> str:
    """The card's own words, what a profile says, and the lore that goes with it; with names in place of macros."""
    card, own = character.card, character.settings
    lore = [entry.content for entry in (card.book.entries if card.book else ())][:LORE_ENTRIES]
    parts = [card.description, card.personality, *own.profile.values(), *lore]
    text = "\n".join(filled(part, character) for part in parts if part.strip())
    return text[:ABOUT_CHARACTERS].strip()


def phrases(character: Character) -> str:
    found = character.settings.catchphrases[:PHRASES]
    return wording(character).catchphrases.format(char=character.name, phrases=", ".join(f'"{p}"' for p in found)) if found else ""


def filled(text: str, character: Character) -> str:
    return fill_macros(text, char=character.card.char, user=wording(character).visitor).strip()


def spoken(line: Exemplar, character: Character, *, emotions: bool = False) -> str:
    """An exchange as two lines of dialogue."""
    w = wording(character)
    felt = f"({w.emotions.get(line.emotion, line.emotion)}) " if emotions and line.emotion else ""
    said, reply = (clean(filled(text, character), one_line=True) for text in (line.said, line.reply))
    return f"{line.with_name or w.visitor}: {said}\n{character.name}: {felt}{reply}"


def windows(character: Character, size: int) -> list[list[Exemplar]]:
    """A character's lines in order, as many to a window as fit into so many characters of dialogue."""
    found: list[list[Exemplar]] = []
    room = 0
    for line in character.lines:
        length = len(spoken(line, character))
        if not found or (length > room and found[-1]):
            found.append([])
            room = size
        found[-1].append(line)
        room -= length
    return found


def drawn(room: Room, items: Sequence[Exemplar], count: int, *what: object) -> list[Exemplar]:
    """Some of ``items``, in their order; the same in every attempt."""
    draw = random.Random("/".join(map(str, (room.settings.seed, *what))))
    return [items[i] for i in sorted(draw.sample(range(len(items)), min(count, len(items))))]
