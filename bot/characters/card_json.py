"""JSON from strangers: bounded before it is parsed, strict while it is, and written back without loss."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from bot.config import CharacterSettings
from bot.errors import CardError

_HALF = re.compile("[\ud800-\udfff]")

# A whole string, or one bracket. Possessive, and content with a string that never ends: linear whatever the text is.
_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def load_json(data: bytes, limits: CharacterSettings, where: str) -> Any:
    """The JSON value in ``data``.

    Raises:
        CardError: too big, too deep (checked before the parser descends), not UTF-8, or not JSON.
    """
    text = bounded_text(data, "JSON", limits, where)
    _refuse_depth(text, limits.json_depth, where)
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except ValueError as error:
        raise CardError(f"{where}: is not valid JSON: {str(error).split('; use sys.')[0][:200]}") from error


def bounded_text(data: bytes, kind: str, limits: CharacterSettings, where: str) -> str:
    """A document's text. Raises ``CardError`` for one that is too big or not UTF-8; ``kind`` says there what it is."""
    if len(data) > limits.json_bytes:
        raise CardError(f"{where}: the {kind} has {len(data):,} bytes; the limit is {limits.json_bytes:,} (characters.json_bytes)")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CardError(f"{where}: the {kind} is not UTF-8 at byte {error.start}; save it as UTF-8") from error


def dump_json(value: Any, *, indent: int | None = None) -> str:
    """``value`` as JSON text that any program can read as UTF-8."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    if _HALF.search(text):  # half a character: only its escape can be written
        return json.dumps(value, ensure_ascii=True, indent=indent, allow_nan=False)
    return text


def mended(text: str) -> str:
    """``text`` with U+FFFD in place of half characters, which no tokenizer and no platform takes."""
    return _HALF.sub("\ufffd", text)


def _refuse_depth(text: str, limit: int, where: str) -> None:
    depth = 0
    for found in _BRACKETS.finditer(text):
        bracket = found.group()
        if bracket in "[{":
            depth += 1
            if depth > limit:
                raise CardError(f"{where}: the JSON is nested deeper than {limit} levels, which is the limit (characters.json_depth)")
        elif bracket in "]}":
            depth -= 1


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is not a number that fits")
    return number
