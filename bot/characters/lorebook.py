"""Lorebooks: what a character knows, brought to mind by what was said.

Source: the Lorebook object of the Character Card V2 and V3 specifications, with V3's decorators where they mean
something in a chat. Knows nothing of prompts: it says which entries match, where they want to stand and what they cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import re2

from bot.characters.card_json import mended
from bot.config import CharacterSettings
from bot.errors import CardError

Position = Literal["before_char", "after_char"]
Role = Literal["system", "user", "assistant"]

SCAN_DEPTH = 4  # messages looked at when the book does not say
RECURSION_ROUNDS = 3  # how often found lore may bring up more lore
SCANNED_CHARACTERS = 20_000  # the newest so many; a message of a platform has at most 4096
OCCURRENCES = 100  # of one key inside other words, before it counts as not there
KEYS_PER_ENTRY = 64
KEYS_PER_BOOK = 5000
PATTERNS_PER_BOOK = 32  # entries with more are left out
PATTERN_SCANNED_CHARACTERS = 2000
PATTERN_CHARACTERS = 300
PATTERN_MEMORY_BYTES = 1 << 17  # RE2 refuses a pattern that would need more


@dataclass(frozen=True, slots=True)
class Decorators:
    """The ``@@`` lines of an entry that we follow; the rest of V3's is for other kinds of application."""

    activate: bool = False
    dont_activate: bool = False
    keep_activate_after_match: bool = False
    dont_activate_after_match: bool = False
    activate_only_after: int = 0  # replies of the character so far
    activate_only_every: int = 1
    scan_depth: int | None = None
    depth: int | None = None  # how many messages before the newest the content wants to stand
    role: Role | None = None
    is_greeting: int | None = None
    additional_keys: tuple[str, ...] = ()
    exclude_keys: tuple[str, ...] = ()
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece of lore. ``content`` has no decorators any more and still has its macros."""

    id: str
    keys: tuple[str, ...]
    secondary_keys: tuple[str, ...]
    content: str
    enabled: bool
    constant: bool
    selective: bool
    case_sensitive: bool
    whole_words: bool
    use_regex: bool
    insertion_order: float
    priority: float | None
    position: Position
    decorators: Decorators


@dataclass(frozen=True, slots=True)
class Book:
    """A lorebook, read."""

    name: str
    entries: tuple[Entry, ...]
    scan_depth: int
    token_budget: int | None
    recursive: bool


@dataclass(frozen=True, slots=True)
class Lore:
    """An entry that matched. ``text`` has its macros filled."""

    id: str
    text: str
    position: Position
    depth: int | None
    role: Role | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What a book is matched against: what was said, and what is known of the talk."""

    recent: Sequence[str]  # what was said, oldest first
    replies: int | None = None  # of this character in this channel so far; None: not known
    greeting: int | None = None  # which greeting opened the chat; None: not known
    matched_before: Collection[str] | None = None  # ids of entries; None: not known


# ------------------------------------------------------------------ matching


def match_book(
    book: Book,
    heard: Heard,
    *,
    count: Callable[[str], int],
    budget: int,
    fill: Callable[[str], str] = str,
) -> tuple[Lore, ...]:
    """The lore that this brings to mind, in the order in which it is to stand.

    ``count`` gives the tokens of a text and ``fill`` puts names in place of macros. At most ``budget`` tokens, or the
    book's own budget where that is smaller: what has the lowest priority is left out first (the lowest insertion
    order where no priority is given), and an entry that does not fit leaves the place to smaller ones.
    """
    found = _triggered(book, heard)
    if book.token_budget is not None:
        budget = min(budget, book.token_budget)
    by_worth = sorted(found, key=lambda entry: (_worth(entry), entry.insertion_order), reverse=True)
    kept: dict[str, Lore] = {}
    for entry in by_worth:
        text = fill(entry.content).strip()
        tokens = count(text) if text else 0
        if not text or tokens > budget:
            continue
        budget -= tokens
        marks = entry.decorators
        kept[entry.id] = Lore(entry.id, text, marks.position or entry.position, marks.depth, marks.role, tokens)
    in_order = sorted(found, key=lambda entry: entry.insertion_order)
    return tuple(kept[entry.id] for entry in in_order if entry.id in kept)


def _worth(entry: Entry) -> float:
    return entry.insertion_order if entry.priority is None else entry.priority


def _triggered(book: Book, heard: Heard) -> list[Entry]:
    """Entries whose conditions are met, by what was said and then, in a recursive book, by each other's content."""
    said = {depth: _Searched(_last(heard.recent, depth)) for depth in {_depth(entry, book) for entry in book.entries}}
    found = {entry.id: entry for entry in book.entries if _matches(entry, heard, said[_depth(entry, book)])}
    rounds = RECURSION_ROUNDS if book.recursive else 0
    fresh = list(found.values())
    while fresh and rounds:
        rounds -= 1
        told = _Searched("\n".join(entry.content for entry in fresh)[:SCANNED_CHARACTERS])
        fresh = [entry for entry in book.entries if entry.id not in found and _matches(entry, heard, told)]
        found.update((entry.id, entry) for entry in fresh)
    return [entry for entry in book.entries if entry.id in found]


class _Searched:
    """A text to look into, as it is and folded: made once for all the keys that want it."""

    __slots__ = ("folded", "folded_words", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = mended(text)
        self.folded = self.text.casefold()
        self.words = frozenset(_WORD.findall(self.text))
        self.folded_words = frozenset(_WORD.findall(self.folded))


def _depth(entry: Entry, book: Book) -> int:
    return book.scan_depth if entry.decorators.scan_depth is None else entry.decorators.scan_depth


def _last(recent: Sequence[str], depth: int) -> str:
    return "\n".join(recent[-depth:] if depth > 0 else ())[-SCANNED_CHARACTERS:]


def _matches(entry: Entry, heard: Heard, text: _Searched) -> bool:
    marks = entry.decorators
    if not entry.enabled or not entry.content:
        return False
    if marks.activate:
        return True
    if marks.dont_activate:
        return False
    if heard.matched_before is not None and entry.id in heard.matched_before:
        if marks.dont_activate_after_match:
            return False
        if marks.keep_activate_after_match:
            return True
    if heard.replies is not None and (heard.replies < marks.activate_only_after or heard.replies % marks.activate_only_every):
        return False
    if heard.greeting is not None and marks.is_greeting is not None and heard.greeting != marks.is_greeting:
        return False
    if marks.exclude_keys and not entry.use_regex and _any_key(entry, marks.exclude_keys, text):
        return False
    if marks.additional_keys and not _any_key(entry, marks.additional_keys, text):
        return False
    if entry.constant and not entry.use_regex:
        return True
    if not _any_key(entry, entry.keys, text):
        return False
    return not (entry.selective and entry.secondary_keys and not entry.use_regex) or _any_key(entry, entry.secondary_keys, text)


def _any_key(entry: Entry, keys: tuple[str, ...], text: _Searched) -> bool:
    return any(_key_matches(entry, key, text) for key in keys)


_SLASHED = re.compile(r"/(.+)/([gimsuy]*)", re.DOTALL)  # how SillyTavern writes a pattern among plain keys


def _key_matches(entry: Entry, key: str, searched: _Searched) -> bool:
    slashed = _SLASHED.fullmatch(key)
    if slashed is not None:
        return _pattern_matches(slashed.group(1), searched.text, case_sensitive="i" not in slashed.group(2))
    if entry.use_regex:
        return _pattern_matches(key, searched.text, case_sensitive=entry.case_sensitive)
    text, words, key = (
        (searched.text, searched.words, key) if entry.case_sensitive else (searched.folded, searched.folded_words, key.casefold())
    )
    key = key.strip()
    if not key or not entry.whole_words:
        return bool(key) and key in text
    if _WORD.fullmatch(key):
        return key in words
    return _stands_alone(text, key)


def _stands_alone(text: str, key: str) -> bool:
    """Whether a phrase stands in the text and no word goes on at its ends; where words are written without blanks (CJK) it may."""
    at = text.find(key)
    for _ in range(OCCURRENCES):
        if at < 0:
            return False
        end = at + len(key)
        opens = at == 0 or not (_in_word(key[0]) and _in_word(text[at - 1]))
        closes = end == len(text) or not (_in_word(key[-1]) and _in_word(text[end]))
        if opens and closes:
            return True
        at = text.find(key, at + 1)
    return False  # inside other words only, as far as we looked


# Han, kana, Thai, Lao, Burmese, Khmer: words are not parted by blanks, so a key may stand inside.
_UNPARTED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[^\W{_UNPARTED}]+")


def _in_word(character: str) -> bool:
    return _WORD.match(character) is not None


def _pattern_matches(pattern: str, text: str, *, case_sensitive: bool) -> bool:
    compiled = _compiled(pattern, case_sensitive)
    return compiled is not None and compiled.search(text[-PATTERN_SCANNED_CHARACTERS:]) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str, case_sensitive: bool) -> Any | None:
    """The pattern for RE2, whose time is linear in the text; ``None`` for one that it does not take (then: no match)."""
    if len(pattern) > PATTERN_CHARACTERS:
        return None
    compiler: Any = re2  # it has no types
    options = compiler.Options()
    options.log_errors = False
    options.case_sensitive = case_sensitive
    options.max_mem = PATTERN_MEMORY_BYTES
    try:
        return compiler.compile(pattern, options)
    except (re2.error, UnicodeError):
        return None


# ------------------------------------------------------------------ reading


def parse_book(raw: object, where: str, limits: CharacterSettings) -> tuple[Book | None, tuple[str, ...]]:
    """The book of a card, and what in it had to be left aside.

    Strangers' books are read as far as they make sense: an entry with a wrong type in it is left out, with a warning.

    Raises:
        CardError: it is no object, or has more entries than ``limits.lore_entries``.
    """
    if raw is None:
        return None, ()
    if not isinstance(raw, Mapping):
        raise CardError(f"{where} must be an object, not {type(raw).__name__}")
    listed = raw.get("entries")
    if isinstance(listed, Mapping):  # SillyTavern's world files number their entries
        listed = list(listed.values())
    if listed is None:
        listed = []
    if not isinstance(listed, list):
        raise CardError(f"{where}.entries must be a list, not {type(listed).__name__}")
    if len(listed) > limits.lore_entries:
        raise CardError(f"{where}.entries has {len(listed)} entries; the limit is {limits.lore_entries} (characters.lore_entries)")
    warnings: list[str] = []
    entries: list[Entry] = []
    ids: set[str] = set()
    keys = patterns = 0
    for number, item in enumerate(listed):
        try:
            entry = _entry(item, number, ids, f"{where}.entries[{number}]")
        except CardError as error:
            warnings.append(f"left out: {error}")
            continue
        keys += len(entry.keys) + len(entry.secondary_keys)
        if keys > KEYS_PER_BOOK:
            raise CardError(f"{where} has more than {KEYS_PER_BOOK} keys, which is the limit")
        patterns += _patterns(entry)
        if patterns > PATTERNS_PER_BOOK and _patterns(entry):
            warnings.append(f"left out: {where}.entries[{number}].keys: the book has more than {PATTERNS_PER_BOOK} patterns")
            continue
        ids.add(entry.id)
        entries.append(entry)
    name = raw.get("name")
    depth, budget = _whole(raw.get("scan_depth")), _whole(raw.get("token_budget"))
    book = Book(
        name=name if isinstance(name, str) else "",
        entries=tuple(entries),
        scan_depth=SCAN_DEPTH if depth is None else depth,
        token_budget=budget,
        recursive=raw.get("recursive_scanning") is True,
    )
    return book, tuple(warnings)


def _patterns(entry: Entry) -> int:
    keys = (*entry.keys, *entry.secondary_keys, *entry.decorators.additional_keys, *entry.decorators.exclude_keys)
    return sum(entry.use_regex or _SLASHED.fullmatch(key) is not None for key in keys)


def _entry(raw: object, number: int, taken: set[str], where: str) -> Entry:
    if not isinstance(raw, Mapping):
        raise CardError(f"{where} must be an object, not {type(raw).__name__}")
    content = raw.get("content")
    if not isinstance(content, str):
        raise CardError(f"{where}.content must be text, not {type(content).__name__}")
    decorators, plain = read_decorators(mended(content.replace("\r\n", "\n")))
    extensions = raw.get("extensions")
    extras: Mapping[str, Any] = extensions if isinstance(extensions, Mapping) else {}
    use_regex = raw.get("use_regex") is True
    given = raw.get("id")
    entry_id = str(given) if isinstance(given, str | int) and not isinstance(given, bool) and str(given).strip() else f"entry-{number}"
    return Entry(
        id=entry_id if entry_id not in taken else f"{entry_id}#{number}",
        keys=_keys(raw.get("keys", raw.get("key")), f"{where}.keys", whole=use_regex),
        secondary_keys=_keys(raw.get("secondary_keys", raw.get("keysecondary")), f"{where}.secondary_keys", whole=use_regex),
        content=plain,
        enabled=raw.get("enabled") is not False and raw.get("disable") is not True,
        constant=raw.get("constant") is True,
        selective=raw.get("selective") is True,
        case_sensitive=raw.get("case_sensitive") is True or extras.get("case_sensitive") is True,
        whole_words=extras.get("match_whole_words") is not False,
        use_regex=use_regex,
        insertion_order=_number(raw.get("insertion_order", raw.get("order"))) or 0.0,
        priority=_number(raw.get("priority")),
        position="after_char" if raw.get("position") == "after_char" else "before_char",
        decorators=decorators,
    )


def _keys(raw: object, where: str, *, whole: bool) -> tuple[str, ...]:
    if raw is None:
        return ()
    if isinstance(raw, str):
        raw = [raw] if whole else raw.split(",")  # some editors write one text with commas
    if not isinstance(raw, list) or not all(isinstance(key, str) for key in raw):
        raise CardError(f"{where} must be a list of texts")
    if len(raw) > KEYS_PER_ENTRY:
        raise CardError(f"{where} has {len(raw)} keys; the limit is {KEYS_PER_ENTRY}")
    return tuple(key if whole else key.strip() for key in raw if key.strip())


def _number(raw: object) -> float | None:
    return float(raw) if isinstance(raw, int | float) and not isinstance(raw, bool) and abs(raw) < 1e12 else None


def _whole(raw: object) -> int | None:
    number = _number(raw)
    return None if number is None or number < 0 else int(number)


_DECORATOR = re.compile(r"(@@@?)([a-z_]+)[ \t]*(.*)")
_FLAGS = ("activate", "dont_activate", "keep_activate_after_match", "dont_activate_after_match")
_COUNTS = {"activate_only_after": 0, "activate_only_every": 1, "scan_depth": 0, "depth": 0, "is_greeting": 0}  # name: lowest
_LISTS = ("additional_keys", "exclude_keys")
_POSITIONS: Mapping[str, Position] = {"before_desc": "before_char", "after_desc": "after_char"}


def read_decorators(content: str) -> tuple[Decorators, str]:
    """The decorators at the head of an entry, and its content without them.

    A decorator that is not known, or whose value makes no sense, gives way to the ``@@@`` fallbacks under it. Of two
    with the same name the first counts.
    """
    lines = content.split("\n")
    head = 0
    known: dict[str, Any] = {}
    settled = True  # whether the latest @@ was understood, so that its fallbacks do not count
    for name, value, fallback, at in _heads(lines):
        head = at + 1
        if fallback and settled:
            continue
        understood = _decorator(name, value)
        settled = bool(understood)
        for key, meaning in understood.items():
            known.setdefault(key, meaning)
    return Decorators(**known), "\n".join(lines[head:]).strip("\n")


def _heads(lines: list[str]) -> Iterator[tuple[str, str, bool, int]]:
    for at, line in enumerate(lines):
        if not line.strip():
            continue
        decorator = _DECORATOR.fullmatch(line.strip())
        if decorator is None:
            return
        yield decorator.group(2), decorator.group(3).strip(), decorator.group(1) == "@@@", at


def _decorator(name: str, value: str) -> dict[str, Any]:
    if name in _FLAGS:
        return {name: value.lower() != "false"}
    if name in _COUNTS:
        whole = re.fullmatch(r"-?\d{1,6}", value)
        return {name: max(_COUNTS[name], int(value))} if whole else {}
    if name in _LISTS:
        keys = tuple(key.strip() for key in value.split(",") if key.strip())
        return {name: keys[:KEYS_PER_ENTRY]} if keys else {}
    if name == "role" and value in ("system", "user", "assistant"):
        return {name: value}
    if name == "position" and value in _POSITIONS:
        return {name: _POSITIONS[value]}
    return {}


def without_decorators(content: str) -> str:
    """An entry's content for a reader that knows no decorators."""
    return read_decorators(content)[1] if content.lstrip().startswith("@@") else content
