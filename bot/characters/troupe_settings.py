"""What a card says to Troupe itself: ``data.extensions.troupe``.

That key is ours, so a wrong type in it is a mistake and refused by the field's name; SillyTavern's
``extensions.talkativeness`` is a stranger's and is left aside with a warning when it makes no sense.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from bot.characters.card_json import mended
from bot.errors import CardError
from bot.messages import Sampling

TAGLINE_CHARACTERS = 120
EMOJI_CHARACTERS = 16  # an emoji of a family, with its joiners
LIST_ITEMS = 50
ITEM_CHARACTERS = 200
PROFILE_CHARACTERS = 4000
HAIR_STYLES = ("bald", "short", "long", "bun", "curly", "cap", "hood", "tophat", "wild")
PROFILE_FIELDS = (
    "identity",
    "interests",
    "viewpoints",
    "experiences",
    "achievements",
    "relationships",
    "others",
    "linguistic_features",
    "emotional_expression",
    "interaction_patterns",
)

# What may be said about sampling, and between which numbers.
_SAMPLING_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "temperature": (0.0, 3.0),
        "top_k": (0, 1000),
        "top_p": (0.01, 1.0),
        "min_p": (0.0, 1.0),
        "repeat_penalty": (0.5, 3.0),
        "repeat_last_tokens": (0, 4096),
        "dry_multiplier": (0.0, 10.0),
        "dry_base": (1.0, 10.0),
        "dry_allowed_tokens": (0, 1000),
        "max_tokens": (8, 4096),
        "seed": (0, 2**32 - 1),
    }
)
_WHOLE = frozenset({"top_k", "repeat_last_tokens", "dry_allowed_tokens", "max_tokens", "seed"})


@dataclass(frozen=True, slots=True)
class Voice:
    """How the character would sound; nothing here speaks."""

    description: str = ""
    engine: str = ""
    name: str = ""
    pitch: int | None = None  # 0-99, as espeak-ng counts
    speed: int | None = None  # words a minute


@dataclass(frozen=True, slots=True)
class PortraitSettings:
    """What the drawn portrait shows; colours are ``#rrggbb``."""

    background: str
    skin: str
    hair: str
    hair_style: str
    clothes: str
    glasses: bool = False
    beard: bool = False
    feature: str = ""


@dataclass(frozen=True, slots=True)
class TroupeSettings:
    """What a card says to Troupe, with what holds where it says nothing."""

    tagline: str = ""
    emoji: str = ""
    awake: bool = True  # whether the character talks in a channel before anybody wakes it
    age_restricted: bool = False
    languages: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    catchphrases: tuple[str, ...] = ()
    cannot_know: tuple[str, ...] = ()
    talkativeness: float = 0.5  # 0-1: how often it answers when nobody named it
    sampling_changes: tuple[tuple[str, float], ...] = ()
    voice: Voice = Voice()
    profile: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    portrait: PortraitSettings | None = None

    def sampling(self, base: Sampling) -> Sampling:
        """``base`` with what this character changes in it."""
        changes: dict[str, Any] = dict(self.sampling_changes)
        return replace(base, **changes)


def parse_settings(extensions: Mapping[str, Any], where: str) -> tuple[TroupeSettings, tuple[str, ...]]:
    """The settings in a card's ``extensions``, and what had to be left aside.

    Raises:
        CardError: something under ``troupe`` has the wrong type or is out of its range; names the field.
    """
    ours = _Reader(extensions.get("troupe"), f"{where}.troupe")
    warnings: list[str] = []
    talkativeness = ours.number("talkativeness", 0, 1)
    if talkativeness is None:
        talkativeness = _foreign_talkativeness(extensions.get("talkativeness"), f"{where}.talkativeness", warnings)
    settings = TroupeSettings(
        tagline=ours.text("tagline", TAGLINE_CHARACTERS),
        emoji=ours.text("emoji", EMOJI_CHARACTERS),
        awake=ours.truth("awake", default=True),
        age_restricted=ours.truth("age_restricted", default=False),
        languages=ours.texts("languages"),
        categories=ours.texts("categories"),
        catchphrases=ours.texts("catchphrases"),
        cannot_know=ours.texts("cannot_know"),
        talkativeness=0.5 if talkativeness is None else float(talkativeness),
        sampling_changes=_sampling(ours.part("sampling")),
        voice=_voice(ours.part("voice")),
        profile=_profile(ours.part("profile")),
        portrait=_portrait(ours.part("portrait")),
    )
    known = {setting.name for setting in fields(TroupeSettings)} - {"sampling_changes"} | {"sampling"}
    strange = sorted(set(ours.keys()) - known)
    if strange:
        warnings.append(f"{where}.troupe: {', '.join(strange[:8])} is not known here and has no effect")
    return settings, tuple(warnings)


class _Reader:
    """One object of the card; every question names the field in its refusal."""

    def __init__(self, raw: object, where: str) -> None:
        if raw is not None and not isinstance(raw, Mapping):
            raise CardError(f"{where} must be an object, not {_kind(raw)}")
        self._raw: Mapping[str, Any] = raw or {}
        self.where = where

    def keys(self) -> tuple[str, ...]:
        return tuple(self._raw)

    def __bool__(self) -> bool:
        return bool(self._raw)

    def part(self, key: str) -> _Reader:
        return _Reader(self._raw.get(key), f"{self.where}.{key}")

    def text(self, key: str, limit: int) -> str:
        value = self._raw.get(key)
        if value is None:
            return ""
        return _short_text(value, f"{self.where}.{key}", limit)

    def truth(self, key: str, *, default: bool) -> bool:
        value = self._raw.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise CardError(f"{self.where}.{key} must be true or false, not {_kind(value)}")
        return value

    def number(self, key: str, lowest: float, highest: float, *, whole: bool = False) -> float | None:
        value = self._raw.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CardError(f"{self.where}.{key} must be a number, not {_kind(value)}")
        if not lowest <= value <= highest:
            raise CardError(f"{self.where}.{key} is {str(value)[:20]}; it lies between {lowest:g} and {highest:g}")
        if whole and value != int(value):
            raise CardError(f"{self.where}.{key} is {str(value)[:20]}; it must be a whole number")
        return int(value) if whole else value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._raw.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise CardError(f"{self.where}.{key} must be a list of texts, not {_kind(value)}")
        if len(value) > LIST_ITEMS:
            raise CardError(f"{self.where}.{key} has {len(value)} items; the limit is {LIST_ITEMS}")
        return tuple(_short_text(item, f"{self.where}.{key}[{at}]", ITEM_CHARACTERS) for at, item in enumerate(value))


def _kind(value: object) -> str:
    names = {"str": "text", "bool": "true or false", "int": "a number", "float": "a number", "list": "a list", "dict": "an object"}
    return names.get(type(value).__name__, "null")


def _short_text(value: object, where: str, limit: int) -> str:
    if not isinstance(value, str):
        raise CardError(f"{where} must be text, not {_kind(value)}")
    if len(value) > limit:
        raise CardError(f"{where} has {len(value)} characters; the limit is {limit}")
    return mended(value)


def _foreign_talkativeness(raw: object, where: str, warnings: list[str]) -> float | None:
    if raw is None or raw == "":
        return None
    try:
        value = float(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else -1.0
    except (ValueError, OverflowError):
        value = -1.0
    if 0 <= value <= 1:
        return value
    warnings.append(f"{where} is {str(raw)[:20]!r}, not a number from 0 to 1; 0.5 is used")
    return None


def _sampling(part: _Reader) -> tuple[tuple[str, float], ...]:
    strange = sorted(set(part.keys()) - set(_SAMPLING_RANGES))
    if strange:
        raise CardError(f"{part.where}.{strange[0][:40]} is not known; known are {', '.join(_SAMPLING_RANGES)}")
    found: list[tuple[str, float]] = []
    for key, (lowest, highest) in _SAMPLING_RANGES.items():
        value = part.number(key, lowest, highest, whole=key in _WHOLE)
        if value is not None:
            found.append((key, value))
    return tuple(found)


def _voice(part: _Reader) -> Voice:
    pitch, speed = part.number("pitch", 0, 99, whole=True), part.number("speed", 20, 500, whole=True)
    return Voice(
        description=part.text("description", 1000),
        engine=part.text("engine", ITEM_CHARACTERS),
        name=part.text("name", ITEM_CHARACTERS),
        pitch=None if pitch is None else int(pitch),
        speed=None if speed is None else int(speed),
    )


def _profile(part: _Reader) -> Mapping[str, str]:
    return MappingProxyType({key: part.text(key, PROFILE_CHARACTERS) for key in part.keys()[:LIST_ITEMS]})


def _portrait(part: _Reader) -> PortraitSettings | None:
    if not part:
        return None
    style = part.text("hair_style", 20) or "short"
    if style not in HAIR_STYLES:
        raise CardError(f"{part.where}.hair_style is {style!r}; it is one of {', '.join(HAIR_STYLES)}")
    return PortraitSettings(
        background=_colour(part, "background", "#2f4858"),
        skin=_colour(part, "skin", "#d9a066"),
        hair=_colour(part, "hair", "#3b2a20"),
        hair_style=style,
        clothes=_colour(part, "clothes", "#33658a"),
        glasses=part.truth("glasses", default=False),
        beard=part.truth("beard", default=False),
        feature=part.text("feature", 30),
    )


def _colour(part: _Reader, key: str, default: str) -> str:
    value = part.text(key, 20) or default
    if re.fullmatch(r"#[0-9a-fA-F]{6}", value) is None:
        raise CardError(f"{part.where}.{key} is {value!r}; a colour is written #rrggbb")
    return value.lower()
