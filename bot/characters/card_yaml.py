"""YAML from strangers, as far as it says what JSON can say: bounded while it is read, and without anything that runs.

Documents are built from the parser's events, so there are no tags that make objects, and an alias is counted for what it
unfolds to. Plain words mean what the core schema of YAML 1.2 says: ``no`` is a word and a date is text. PyYAML's own
loaders follow YAML 1.1, where a character called No becomes false.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

import yaml

from bot.characters.card_json import bounded_text
from bot.config import CharacterSettings
from bot.errors import CardError

VALUE_BYTES = 8  # what a value weighs beside its characters: many empty ones are a lot of memory, too
DIGITS = 300

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's reads 2 MB in a second, Python's in half a minute
_NOTHING = frozenset(("", "~", "null", "Null", "NULL"))
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")


def load_yaml(data: bytes, limits: CharacterSettings, where: str, *, texts: Collection[str] = ()) -> Any:
    """The value in ``data``, made of what JSON has.

    ``texts`` are fields of the document, or of its ``data``, in which a plain number or truth stays the text it was written as.

    Raises:
        CardError: too big (also with its aliases unfolded), too deep, not UTF-8, or not one YAML document.
    """
    text = bounded_text(data, "YAML", limits, where)
    builder = _Builder(limits, where, texts)
    try:
        for event in yaml.parse(text, Loader=_PARSER):
            builder.take(event)
    except (yaml.YAMLError, ValueError) as error:
        raise CardError(f"{where}: is not valid YAML: {_sentence(error)}") from error
    return builder.document


class _Builder:
    """Puts a document together, event by event, and refuses it as soon as it passes a limit."""

    def __init__(self, limits: CharacterSettings, where: str, texts: Collection[str]) -> None:
        self.document: Any = None
        self._limits = limits
        self._where = where
        self._texts = texts
        self._open: list[_Collection] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}  # value, weight, levels
        self._documents = 0
        self._weight = 0

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            weight = VALUE_BYTES + len(event.value)
            self._weigh(weight)
            self._put(self._scalar(event), weight, 0, event.anchor)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._weigh(VALUE_BYTES)
            self._open.append(_Collection([] if isinstance(event, yaml.SequenceStartEvent) else {}, event.anchor, self._weight))
            self._refuse_depth(0)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._open.pop()
            self._put(done.value, VALUE_BYTES + self._weight - done.weight_before, done.levels, done.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise CardError(f"{self._where}: has more than one YAML document (---); a card is one")

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:  # one that is still open would hold itself
            raise CardError(f"{self._where}: the YAML alias *{event.anchor[:40]} stands for nothing that was written before it")
        value, weight, levels = self._anchors[event.anchor]
        self._weigh(weight)
        self._refuse_depth(levels)
        self._put(value, weight, levels, None)

    def _put(self, value: Any, weight: int, levels: int, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, weight, levels)
        if not self._open:
            self.document = value
            return
        holder = self._open[-1]
        holder.levels = max(holder.levels, levels + 1)
        if isinstance(holder.value, list):
            holder.value.append(value)
        elif holder.key is None:
            holder.key = self._key(value)
        else:
            holder.value[holder.key] = value
            holder.key = None

    def _key(self, value: Any) -> str:
        if not isinstance(value, str):
            raise CardError(f"{self._where}: the YAML has a list or an object where a field's name belongs")
        return value

    def _scalar(self, event: Any) -> Any:
        """A word, a number or a text. Quoted is text, and so is every name of a field."""
        holder = self._open[-1] if self._open else None
        names_field = holder is not None and isinstance(holder.value, dict) and holder.key is None
        word = str(event.value)
        if names_field or not event.implicit[0]:
            return word
        if word in _NOTHING:
            return None
        if self._wants_text():
            return word
        if word in _TRUTHS:
            return _TRUTHS[word]
        if len(word) > DIGITS:
            return word
        if _WHOLE.fullmatch(word):
            return int(word)
        return float(word) if _NUMBER.fullmatch(word) and math.isfinite(float(word)) else word

    def _wants_text(self) -> bool:
        in_card = len(self._open) == 1 or (len(self._open) == 2 and self._open[0].key == "data")
        return in_card and self._open[-1].key in self._texts

    def _weigh(self, weight: int) -> None:
        self._weight += weight
        if self._weight > self._limits.json_bytes:
            raise CardError(
                f"{self._where}: the YAML unfolds to more than {self._limits.json_bytes:,} bytes, "
                f"which is the limit (characters.json_bytes)"
            )

    def _refuse_depth(self, levels: int) -> None:
        if len(self._open) + levels > self._limits.json_depth:
            limit = self._limits.json_depth
            raise CardError(f"{self._where}: the YAML is nested deeper than {limit} levels, which is the limit (characters.json_depth)")


class _Collection:
    """A list or an object that is not finished."""

    __slots__ = ("anchor", "key", "levels", "value", "weight_before")

    def __init__(self, value: Any, anchor: str | None, weight_before: int) -> None:
        self.value = value
        self.anchor = anchor
        self.weight_before = weight_before
        self.key: str | None = None  # whose value comes next
        self.levels = 1


def _sentence(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or error).split("\n")[0][:160]
    return f"{problem} (line {mark.line + 1})" if mark is not None else problem
