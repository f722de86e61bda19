"""The cast: every character that may answer, from folders of the house and from records of its channels.

Records come from above (the database knows them); nothing here fetches, and a broken folder or record is left out and
told of, so that one bad card never silences the others.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bot.characters.card import Card, card_from_document, parse_card
from bot.characters.card_json import dump_json
from bot.characters.lines import LINES_FILE, Exemplar, lines_from_records, read_lines
from bot.characters.macros import fill_macros
from bot.characters.names import fold_name, is_slug, skeleton
from bot.characters.troupe_settings import TroupeSettings
from bot.config import CharacterSettings
from bot.errors import CardError, CharacterNotFound
from bot.messages import HOUSE, Face

log = logging.getLogger(__name__)

CARD_FILE = "card.json"
PORTRAIT_FILE = "portrait.png"


@dataclass(frozen=True, slots=True)
class Character:
    """Somebody of the cast. Two characters are equal when they are the same revision of the same id."""

    id: str  # "<scope>/<slug>"
    scope: str
    slug: str
    revision: str  # changes with card or lines
    card: Card = field(compare=False)
    lines: tuple[Exemplar, ...] = field(compare=False, repr=False)
    portrait: Path | None = field(compare=False, default=None)

    @property
    def name(self) -> str:
        """The name that is shown."""
        return self.card.name

    def greeting(self, user: str) -> str:
        """How the character opens a conversation with somebody; "" where its card leaves that to the other."""
        return fill_macros(self.card.first_mes, char=self.card.char, user=user)

    @property
    def settings(self) -> TroupeSettings:
        return self.card.settings

    @property
    def face(self) -> Face:
        return Face(self.id, self.slug, self.name, self.portrait, self.settings.emoji)


def make_character(scope: str, slug: str, card: Card, lines: tuple[Exemplar, ...] = (), portrait: Path | None = None) -> Character:
    """Put a character together. Raises ``CardError`` for a slug that is none."""
    if not is_slug(slug):
        raise CardError(f"{slug!r:.80} cannot be a character's folder; use small letters, numbers and single hyphens, like mara-quill")
    revision = _revision(card.text, (line.record() for line in lines))
    return Character(f"{scope}/{slug}", scope, slug, revision, card, lines, portrait)


def _revision(card_text: str, lines: Iterable[Mapping[str, Any]]) -> str:
    digest = hashlib.sha256(card_text.encode("utf-8", "surrogatepass"))
    for line in lines:
        digest.update(dump_json(line).encode("utf-8"))
    return digest.hexdigest()[:12]


def read_character(folder: Path, limits: CharacterSettings) -> Character:
    """The house's character that lives in a folder.

    Raises:
        CardError: names the file, the field and the limit.
    """
    path = folder / CARD_FILE
    try:
        if path.stat().st_size > limits.json_bytes:
            raise CardError(f"{path}: has {path.stat().st_size:,} bytes; the limit is {limits.json_bytes:,} (characters.json_bytes)")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CardError(f"{path}: there is no such file; a character's folder holds a {CARD_FILE}") from error
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror}") from error
    portrait = folder / PORTRAIT_FILE
    return make_character(
        HOUSE,
        folder.name,
        parse_card(data, limits, str(path)),
        read_lines(folder / LINES_FILE, limits),
        portrait if portrait.is_file() else None,
    )


class Cast:
    """Who may answer where. Never changes: registering makes a new one."""

    def __init__(
        self,
        characters: Iterable[Character],
        problems: Iterable[str] = (),
        registered: Iterable[Character] = (),
        registered_problems: Iterable[str] = (),
    ) -> None:
        """``registered`` come from records; one of them hides a character of the same id that has a folder."""
        self._shipped = tuple(characters)
        self._shipped_problems = tuple(problems)
        self._by_scope: dict[str, dict[str, Character]] = {}
        for character in (*self._shipped, *registered):
            self._by_scope.setdefault(character.scope, {})[character.slug] = character
        self._indexes: dict[str, _Index] = {}
        self.problems = (*self._shipped_problems, *registered_problems)  # what was left out, and why

    @classmethod
    def load(cls, folder: Path, limits: CharacterSettings) -> Cast:
        """The house's characters: every folder with a card in it."""
        characters: list[Character] = []
        problems: list[str] = []
        for home in sorted(path.parent for path in folder.glob(f"*/{CARD_FILE}")):
            try:
                characters.append(read_character(home, limits))
            except CardError as error:
                problems.append(str(error))
                log.warning("character left out folder=%s reason=%s", home.name, error)
        return cls(characters, problems)

    def with_registered(self, records: Iterable[Mapping[str, Any]], limits: CharacterSettings) -> Cast:
        """The same house with these registered characters, in place of any that were registered before.

        A record has ``scope``, ``slug``, ``card`` (a document), and may have ``lines`` (records) and ``portrait``
        (a path). Characters whose record did not change are taken over as they are.
        """
        registered: list[Character] = []
        problems: list[str] = []
        for record in records:
            try:
                registered.append(self._registered(record, limits))
            except CardError as error:
                problems.append(str(error))
                log.warning("character left out scope=%s slug=%s reason=%s", record.get("scope"), record.get("slug"), error)
        return Cast(self._shipped, self._shipped_problems, registered, problems)

    def shipped(self, slug: str) -> Character | None:
        """The character that lives in a folder, also where a registered one hides it."""
        return next((character for character in self._shipped if character.slug == slug), None)

    def _registered(self, record: Mapping[str, Any], limits: CharacterSettings) -> Character:
        scope, slug = str(record.get("scope")), str(record.get("slug"))
        where = f"{scope}/{slug}"
        if not scope.isprintable() or scope in ("", "None"):
            raise CardError(f"{where}: scope is {scope!r:.60}; a registered character belongs to a server, a chat or the house")
        given = record.get("portrait")
        portrait = Path(given) if given else None
        lines = record.get("lines") or ()
        before = self._by_scope.get(scope, {}).get(slug)
        if before is not None and before.portrait == portrait and before.revision == _revision(dump_json(record.get("card")), lines):
            return before
        card = card_from_document(record.get("card"), limits, where)
        exemplars = lines_from_records(((f"{where}: line {n}", line) for n, line in enumerate(lines, 1)), where, limits)
        return make_character(scope, slug, card, exemplars, portrait)

    @property
    def house(self) -> tuple[Character, ...]:
        return tuple(self._by_scope.get(HOUSE, {}).values())

    @property
    def characters(self) -> tuple[Character, ...]:
        """Everybody, wherever they are seen."""
        return tuple(character for of_scope in self._by_scope.values() for character in of_scope.values())

    def seen_in(self, scope: str) -> tuple[Character, ...]:
        """The house's characters and those of this scope, by name. One of the scope hides the house's of the same slug."""
        return self._index(scope).seen

    def get(self, character_id: str) -> Character | None:
        """The character with this id, wherever it lives. For ids that we wrote ourselves: it looks across scopes."""
        scope, _, slug = character_id.rpartition("/")
        return self._by_scope.get(scope, {}).get(slug)

    def find(self, scope: str, name: str) -> Character:
        """Whom somebody in this scope means by ``name``: a slug, an id, a shown name or nickname, or a part that fits only one.

        Case, accents, width, hyphens and look-alike letters do not count.

        Raises:
            CharacterNotFound: nobody, or more than one; says who is near.
        """
        return self._index(scope).find(name)

    def taken(self, scope: str, name: str, *, but: str = "") -> Character | None:
        """Who in this scope already goes by a name that a reader could take for ``name``; ``but`` is an id that may."""
        return next((c for c in self._index(scope).alike(name) if c.id != but), None)

    def _index(self, scope: str) -> _Index:
        index = self._indexes.get(scope)
        if index is None:
            seen = {**self._by_scope.get(HOUSE, {}), **self._by_scope.get(scope, {})}
            index = self._indexes[scope] = _Index(tuple(sorted(seen.values(), key=lambda c: (fold_name(c.name), c.slug))))
        return index


class _Index:
    """The names by which the characters of one scope are found."""

    def __init__(self, seen: tuple[Character, ...]) -> None:
        self.seen = seen
        self._exact: dict[str, Character] = {}
        self._words: dict[str, list[Character]] = {}
        self._skeletons: dict[str, list[Character]] = {}
        for character in seen:
            names = dict.fromkeys((character.name, character.card.char))
            for name in (character.id, character.slug, *names):
                self._exact.setdefault(fold_name(name), character)
            for name in names:
                self._skeletons.setdefault(skeleton(name), []).append(character)
            for word in {word for name in names for word in fold_name(name).split()}:
                self._words.setdefault(word, []).append(character)

    def alike(self, name: str) -> list[Character]:
        """Whose name a reader could take for this one."""
        return self._skeletons.get(skeleton(name[:200]) or "\0", [])

    def find(self, name: str) -> Character:
        asked = fold_name(name[:200])
        found = self._exact.get(asked) or next(iter(self.alike(name)), None)
        if found is not None:
            return found
        by_word = self._words.get(asked, [])
        if len(by_word) == 1:
            return by_word[0]
        shown = " ".join(name.split())[:80]
        if by_word:
            raise CharacterNotFound(f"{shown!r} could be {_either([c.name for c in by_word[:5]])}; say the whole name")
        if not self.seen:
            raise CharacterNotFound(f"there is no character called {shown!r}, and nobody else here either; register one first")
        near = get_close_matches(asked, [*self._exact, *self._words], n=6, cutoff=0.6)
        names = list(dict.fromkeys(c.name for word in near for c in ([self._exact[word]] if word in self._exact else self._words[word])))
        if names:
            raise CharacterNotFound(f"there is no character called {shown!r} here; did you mean {_either(names[:3])}?")
        raise CharacterNotFound(f"there is no character called {shown!r} here; {_either([c.name for c in self.seen[:8]])} would answer")


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
