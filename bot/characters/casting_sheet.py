"""What people read about characters: a casting sheet for one, and a page of voices to tell apart. Plain text."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len, chop_cells

from bot.characters.card import Card, fill_macros
from bot.characters.cast import Character
from bot.characters.prompt import system_text
from bot.config import SessionSettings
from bot.messages import Sampling

WIDTH = 88
LABEL = 14
MASK = "▇▇▇"
VISITOR = "you"
_PROFILE_LABELS = {
    "identity": "Who",
    "experiences": "Has lived",
    "achievements": "Is proud of",
    "relationships": "Knows",
    "interests": "Cares for",
    "viewpoints": "Believes",
    "others": "Besides",
    "linguistic_features": "Manner",
    "emotional_expression": "Feelings",
    "interaction_patterns": "With people",
}


def casting_sheet(character: Character, count: Callable[[str], int], budgets: SessionSettings) -> str:
    """One character on a page: who it is, how it speaks, what it brings, and what that costs of the prompt.

    ``count`` gives the tokens of a text for the model that is served.
    """
    card, settings = character.card, character.settings
    title = f"{settings.emoji} {character.name}".strip()
    lines = [title, "═" * len(title), *([f"“{settings.tagline}”"] if settings.tagline else []), ""]
    lines += _row("Part", _filled(card, card.description))
    lines += _row("Scene", _filled(card, card.scenario))
    for key, label in _PROFILE_LABELS.items():
        lines += _row(label, _filled(card, settings.profile.get(key, "")))
    lines += _row("Says often", " · ".join(settings.catchphrases))
    lines += _row("Cannot know", " · ".join(settings.cannot_know))
    lines += _row("Voice", _voice(character))
    lines += ["", *_row("Enters with", _filled(card, card.first_mes)), *_row("Or with", _others(card)), ""]
    lines += _row("Engaged", _engagement(character))
    lines += _row("Lore", _lore(character, count))
    lines += _row("Lines", _lines(character))
    lines += _row("Sampling", _sampling(character))
    lines += ["", *_row("Tokens", ""), *token_table(character, count, budgets)]
    lines += [
        "",
        *_row("From", _origin(card)),
        *_row("For staff", card.creator_notes),
        *_row("Revision", f"{character.id} @ {character.revision}"),
    ]
    lines += [row for warning in card.warnings for row in _row("Note", warning)]
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


def token_table(character: Character, count: Callable[[str], int], budgets: SessionSettings) -> list[str]:
    """What the parts of a character cost, each against its budget."""
    return [
        f"  {name:<26}{tokens:>6} of {budget:>5}  {_bar(tokens, budget)}"
        for name, tokens, budget in token_counts(character, count, budgets)
    ]


def token_counts(character: Character, count: Callable[[str], int], budgets: SessionSettings) -> list[tuple[str, int, int]]:
    """(part, tokens, budget) of what a prompt takes from this character; the card with the rules around it, as the prompt has it."""
    card = character.card
    lore, lore_budget = _lore_tokens(card, count), budgets.lore_tokens
    if card.book is not None and card.book.token_budget is not None:
        lore_budget = min(lore_budget, card.book.token_budget)
    lines = [count(line.said) + count(line.reply) for line in character.lines]
    average = round(sum(lines) / len(lines)) if lines else 0
    return [
        ("card", count(system_text(character)), budgets.card_tokens),
        ("lore, at most", min(lore, lore_budget), lore_budget),
        ("a line, on average", average, budgets.retrieved_tokens),
        ("the longest line", max(lines, default=0), budgets.retrieved_tokens),
    ]


def _lore_tokens(card: Card, count: Callable[[str], int]) -> int:
    entries = card.book.entries if card.book is not None else ()
    return sum(count(_filled(card, entry.content)) for entry in entries if entry.enabled and entry.content)


def _bar(tokens: int, budget: int) -> str:
    if budget <= 0:
        return ""
    filled = min(20, round(20 * tokens / budget))
    return "█" * filled + "░" * (20 - filled) + (" over" if tokens > budget else "")


def _row(label: str, text: str) -> list[str]:
    if not text.strip():
        return [label] if label == "Tokens" else []
    paragraphs = [part for part in text.strip().split("\n") if part.strip()]
    wrapped = [line for part in paragraphs for line in wrap(part, WIDTH - LABEL)]
    return [f"{label if at == 0 else '':<{LABEL}}{line}" for at, line in enumerate(wrapped)]


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` cells of a terminal; Chinese takes two a character and is parted anywhere."""
    lines: list[str] = []
    current = ""
    for word in text.split():
        joined = f"{current} {word}" if current else word
        if cell_len(joined) <= width:
            current = joined
            continue
        if current and cell_len(word) <= width:
            lines.append(current)
            current = word
            continue
        *whole, current = chop_cells(joined, width)
        lines += whole
    return [*lines, current] if current else lines


def _filled(card: Card, text: str) -> str:
    return fill_macros(text, char=card.char, user=VISITOR).strip()


def _others(card: Card) -> str:
    return "\n".join(_filled(card, greeting) for greeting in card.alternate_greetings)


def _voice(character: Character) -> str:
    voice = character.settings.voice
    details = [
        f"{voice.engine} {voice.name}".strip(),
        "" if voice.pitch is None else f"pitch {voice.pitch}",
        "" if voice.speed is None else f"{voice.speed} words a minute",
    ]
    spoken = ", ".join(detail for detail in details if detail)
    return f"{voice.description} ({spoken})" if voice.description and spoken else voice.description or spoken


def _engagement(character: Character) -> str:
    settings = character.settings
    facts = [
        "awake from the start" if settings.awake else "asleep until somebody wakes them",
        f"joins in {settings.talkativeness:.0%} of the time",
        "speaks " + ", ".join(settings.languages) if settings.languages else "",
        ", ".join(settings.categories),
        "adults only" if settings.age_restricted else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def _lore(character: Character, count: Callable[[str], int]) -> str:
    book = character.card.book
    if book is None or not book.entries:
        return ""
    keys = [entry.keys[0] for entry in book.entries if entry.keys]
    shown = ", ".join(keys[:8]) + (" …" if len(keys) > 8 else "")
    return f"{len(book.entries)} entries, {_lore_tokens(character.card, count)} tokens if all came up at once: {shown}"


def _lines(character: Character) -> str:
    lines = character.lines
    if not lines:
        return "none; the card's example dialogue stands in for them"
    moods = Counter(line.emotion for line in lines if line.emotion)
    partners = Counter(line.with_name for line in lines if line.with_name)
    told = f"{len(lines)} exchanges, {sum(line.with_name is None for line in lines)} of them with visitors"
    if partners:
        told += "; most with " + ", ".join(name for name, _ in partners.most_common(3))
    if moods:
        told += "; " + ", ".join(f"{mood} {number}" for mood, number in moods.most_common(4))
    return told


def _sampling(character: Character) -> str:
    changes = character.settings.sampling_changes
    base = Sampling()
    return ", ".join(f"{name} {value:g} (usually {getattr(base, name)})" for name, value in changes) or "as everybody"


def _origin(card: Card) -> str:
    by = f"by {card.creator}" if card.creator else ""
    version = f"version {card.character_version}" if card.character_version else ""
    tags = "tagged " + ", ".join(card.tags[:12]) if card.tags else ""
    return " · ".join(part for part in (f"Character Card {card.spec.upper()}", by, version, tags) if part)


# ------------------------------------------------------------------ telling them apart


def voices_sheet(characters: Sequence[Character], seed: int, lines_each: int = 6) -> str:
    """Lines of everybody without their names, in mixed order, and the key at the end.

    Names of the company and catchphrases are masked, so that only the manner is left to go by. The same seed gives the
    same sheet.
    """
    chance = random.Random(seed)
    mask = _mask(characters)
    speakers = [character for character in characters if character.lines]
    chance.shuffle(speakers)
    page = [f"Who is who? {lines_each} lines each, seed {seed}. Names and catchphrases are masked; the key is at the end.", ""]
    for letter, speaker in zip(_letters(len(speakers)), speakers, strict=True):
        page.append(f"── {letter} " + "─" * (WIDTH - 5))
        page += _anonymous(speaker, mask, chance, lines_each)
        page.append("")
    page.append("── Key " + "─" * (WIDTH - 7))
    page.append(", ".join(f"{letter}: {speaker.name}" for letter, speaker in zip(_letters(len(speakers)), speakers, strict=True)))
    return "\n".join(page) + "\n"


def _letters(count: int) -> list[str]:
    return [chr(ord("A") + at) if at < 26 else str(at + 1) for at in range(count)]


def _anonymous(speaker: Character, mask: Callable[[str], str], chance: random.Random, wanted: int) -> list[str]:
    """Lines that need no mask come first; masked ones fill up what is missing."""
    masked = [(mask(line.reply), line) for line in chance.sample(speaker.lines, len(speaker.lines))]
    masked.sort(key=lambda pair: MASK in pair[0])
    chosen = masked[:wanted]
    chance.shuffle(chosen)
    shown: list[str] = []
    for text, _ in chosen:
        shown += [("    " if at else "  – ") + line for at, line in enumerate(wrap(text, WIDTH - 4))]
    return shown


def _mask(characters: Iterable[Character]) -> Callable[[str], str]:
    words: set[str] = set()
    for character in characters:
        words.update(character.settings.catchphrases)
        for name in (character.name, character.card.char):
            words |= {name, *name.split()}
            if re.fullmatch(r"[\u3400-\u9fff]{3,4}", name):  # a Chinese name without its family name
                words.add(name[1:])
    kept = sorted({word.strip().rstrip(".!?,;…。！？，；") for word in words} - {""}, key=len, reverse=True)
    latin = "|".join(re.escape(word) for word in kept if word.isascii())
    other = "|".join(re.escape(word) for word in kept if not word.isascii())
    patterns = [rf"\b(?:{latin})\b" if latin else "", other]
    pattern = re.compile("|".join(filter(None, patterns)) or r"(?!)", re.IGNORECASE)
    return lambda text: pattern.sub(MASK, " ".join(text.split()))
