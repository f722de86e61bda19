"""One name for everybody: what a table says, and what spelling alone decides.

Spelling alone joins "JACK", "Jack" and "Jack (V.O.)", "Mr Bennet" and "Mr. Bennet". It never joins two people because one
name is part of the other: in a novel "Miss Bennet" is whoever is the eldest at home. That is what the table is for.
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections import Counter
from pathlib import Path

from trainer.errors import SourceRefused

_ASIDE = re.compile(r"\s*[(（\[][^)）\]]*[)）\]]\s*")
_NOT_A_NAME = re.compile(r"[^\w\s'’-]+")
DISTINCT = 200_000  # spellings; more than any cast: the format was mistaken


class Aliases:
    """Collects spellings with :meth:`see`, then gives everybody's one name with :meth:`name`."""

    def __init__(self, table: dict[str, str] | None = None) -> None:
        """``table``: a spelling -> the name it stands for."""
        self._table = {fold(spelling): name for spelling, name in (table or {}).items()}
        self._spellings: dict[str, Counter[str]] = {}

    def see(self, spelling: str) -> None:
        folded = fold(spelling)
        if len(self._spellings) > DISTINCT:
            raise SourceRefused(f"more than {DISTINCT:,} different speakers were found; say what the source is with --format")
        self._spellings.setdefault(folded, Counter())[_shown(spelling)] += 1

    def name(self, spelling: str) -> str:
        folded = fold(spelling)
        if folded in self._table:
            return self._table[folded]
        seen = self._spellings.get(folded)
        if not seen:
            return _shown(spelling)
        # "JACK" is shown as "Jack", unless it is two letters, which may be initials.
        best = max(seen, key=lambda s: (not s.isupper(), seen[s], s))
        return _titled(best) if best.isupper() and len(best) > 2 else best


def fold(spelling: str) -> str:
    """What two spellings of one name have in common."""
    plain = unicodedata.normalize("NFKC", _ASIDE.sub(" ", spelling)).replace("’", "'").casefold()
    return " ".join(_NOT_A_NAME.sub(" ", plain).split())


def read_aliases(path: Path) -> dict[str, str]:
    """A table from TOML or JSON: ``"Jack" = ["Ernest", "Mr. Worthing"]``, a name and what else it is called.

    Raises:
        SourceRefused: it is not of that form, or one spelling stands for two people.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise SourceRefused(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise SourceRefused(f"{path}: is neither TOML nor JSON ({error})") from error
    if not isinstance(document, dict):
        raise SourceRefused(f'{path}: holds no table; write it like "Jack" = ["Ernest", "Mr. Worthing"]')
    table: dict[str, str] = {}
    for name, spellings in document.items():
        if not isinstance(spellings, list) or not all(isinstance(s, str) for s in spellings):
            raise SourceRefused(f'{path}: {name!r:.60} is no list of names; write it like "Jack" = ["Ernest", "Mr. Worthing"]')
        for spelling in (name, *spellings):
            if table.get(fold(spelling), name) != name:
                raise SourceRefused(f"{path}: {spelling!r:.60} stands for {table[fold(spelling)]!r:.60} and for {name!r:.60}; keep one")
            table[fold(spelling)] = name
    return table


def _shown(spelling: str) -> str:
    return " ".join(_ASIDE.sub(" ", spelling).strip(" .:：\t").split())


def _titled(name: str) -> str:
    small = {"of", "and", "the", "de", "von", "van", "du", "la"}
    words = [w.capitalize() for w in name.split()]
    return " ".join(w.lower() if i and w.lower() in small else w for i, w in enumerate(words))
