"""What may not be learnt from, in what people said: personal data, dangerous words, other people's names.

Telephone numbers, bank accounts and cards are found by libraries that know their check rules; the rest by patterns of our own. No
rule finds everything: that is what curation is for.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import phonenumbers
from stdnum import iban, luhn

from trainer.errors import SourceRefused

REDACTED: Final = "…"
SOMEBODY: Final = "somebody"

_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_IP = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{2,4}){3,8}\b")
_CARD = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
_ID = re.compile(r"\b\d{15,20}\b")  # what platforms number people and messages by
_STREET = re.compile(r"\b\d{1,4}[a-z]? (?:[A-Z][\w'’-]+ ){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Drive|Square)\b")
_MENTION = re.compile(r"<[@#][!&]?\d+>|(?<!\w)@\w{2,32}\b")

_YOUNG: Final = r"child|minor|kid|underage|under ?aged?"
_SEXUAL: Final = r"sex\w*|nude|naked|porn\w*"

# Our own short list: what no character should learn to say or to answer to. An operator adds to it with --words FILE.
DANGEROUS: Final = (
    r"\b(?:kill|hurt|cut|hang) (?:my|your)self\b|\bsuicid\w*\b|\bend my life\b",
    rf"\b(?:{_YOUNG})\b.{{0,40}}\b(?:{_SEXUAL})\b|\b(?:{_SEXUAL})\b.{{0,40}}\b(?:{_YOUNG})\b",
    r"\b(?:make|build|buy) (?:a |an )?(?:bomb|explosives?|gun|poison|meth)\b",
    r"\b(?:my|your|the) (?:password|passcode|pin|api key|secret key) (?:is|was|:)",
    r"\b(?:i|we|i'll|we'll) (?:will |am going to |are going to )?(?:kill|murder|shoot|rape|stab) (?:you|him|her|them)\b",
    r"\brap(?:e|ed|ing|ist)\b|\blynch\w*\b|\bgas the\b",
)


def redact(text: str, regions: Sequence[str]) -> tuple[str, list[str]]:
    """The text without personal data, and what kinds were found.

    ``regions``: countries (``GB``) whose way of writing telephone numbers without a country code is known.
    """
    found: list[str] = []

    def out(kind: str) -> str:
        found.append(kind)
        return REDACTED

    text = _MAIL.sub(lambda _: out("e-mail"), text)
    text = _ADDRESS.sub(lambda _: out("address on the net"), text)
    text = _IP.sub(lambda m: out("IP address") if _is_ip(m[0]) else m[0], text)
    text = _IBAN.sub(lambda m: out("bank account") if iban.is_valid(m[0]) else m[0], text)
    text = _CARD.sub(lambda m: out("card number") if luhn.is_valid(re.sub(r"[ -]", "", m[0])) else m[0], text)
    text = _ID.sub(lambda _: out("id"), text)
    text = _STREET.sub(lambda _: out("street"), text)
    for region in (None, *regions):
        for match in reversed(list(phonenumbers.PhoneNumberMatcher(text, region))):
            text = text[: match.start] + out("telephone number") + text[match.end :]
    return text, found


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class Dangers:
    """The words that keep a row out."""

    def __init__(self, own: Iterable[str] = ()) -> None:
        """``own``: an operator's further words, taken literally and as whole words."""
        self._pattern = re.compile("|".join([*DANGEROUS, *(rf"(?<!\w){re.escape(w)}(?!\w)" for w in own)]), re.IGNORECASE)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and self._pattern.search(text) is not None


def read_words(path: Path | None) -> list[str]:
    """One word or phrase a line, ``#`` before a remark. Raises ``SourceRefused``."""
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceRefused(f"{path}: cannot be read as UTF-8 text ({error})") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


class Names:
    """Masks who was there: bystanders become somebody, the person who spoke gets another name."""

    def __init__(self, own: str, alias: str, others: Iterable[str], characters: Iterable[str]) -> None:
        kept = {word.casefold() for name in characters for word in (name, *name.split())}
        self._alias = alias
        self._own = _any_of([own], kept)
        self._others = _any_of(others, kept)

    def mask(self, text: str) -> str:
        text = _MENTION.sub(SOMEBODY, text)
        return self._others.sub(SOMEBODY, self._own.sub(self._alias, text))

    def names_somebody_else(self, text: str) -> bool:
        return _MENTION.search(text) is not None or self._others.search(text) is not None


def _any_of(names: Iterable[str], kept: set[str]) -> re.Pattern[str]:
    parts = {part for name in names for part in (name, *name.split()) if len(part) > 1 and part.casefold() not in kept}
    written = "|".join(re.escape(p) for p in sorted(parts, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{written})(?!\w)" if written else r"(?!)", re.IGNORECASE)
