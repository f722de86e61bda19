"""Whether a recap tells of what was said; and, where a model cannot tell it, what people said themselves.

A model of 135 million parameters speaks on in the character's voice and invents. Nobody is served by such a memory: what does
not hold is thrown away, and the past is kept as a few of people's own sentences, word for word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from bot.messages import Turn
from bot.sessions.casting import fold, is_out_of_character

GROUNDED = 0.6  # share of a recap's telling words that were said
SHORTEST, LONGEST = 8, 200  # characters of a sentence that is kept; a Chinese one counts twice
WORTH_KEEPING = 2

_SPOKEN = re.compile(r"\b(?:i|i'm|i've|i'll|i'd|my|me|you|your|you're)\b|我|你", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{4,}|\d+|[\u3400-\u9fff]{2}")
_COMMON = frozenset(
    "that this with from they them their there then than have been were will would could about what when where which while into "
    "only also very more most some after before diary said told says tells talked asked spoke later know".split()
)
_HAN = re.compile(r"[\u3400-\u9fff]")
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_OWN = re.compile(r"\b(?:i|i'm|i've|i'll|my|we|we're|we've|we'll|our)\b|我", re.IGNORECASE)
_TIME = re.compile(
    r"\b(?:promise|tomorrow|tonight|(?:mon|tues|wednes|thurs|fri|satur|sun)day|week|month|birthday|will|i'll|we'll|\d+(?:th|st|nd|rd)?)\b"
    r"|答应|明天|今晚|星期|生日|下周",
    re.IGNORECASE,
)
_LASTING = re.compile(
    r"\b(?:called|named?|allergic|afraid|born|work|live|moved|sister|brother|daughter|son|father|mother|wife|husband|friend|remember"
    r"|never|always|love|hate|lost|found|passed|exam|writing)\b|叫|过敏|害怕|住在|工作|妹妹|姐姐|哥哥|弟弟|女儿|儿子|父亲|母亲|记得|喜欢",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
_QUOTE = re.compile(r"(?P<who>[^“”]+?)(?: said|说): “(?P<words>[^”]+)”\s*")


@dataclass(frozen=True, slots=True)
class Quote:
    who: str
    words: str

    def __str__(self) -> str:
        return f"{self.who}{'说' if _HAN.search(self.words) else ' said'}: “{self.words}”"


def holds(text: str, turns: Sequence[Turn], before: str, present: Collection[str]) -> bool:
    """Whether a text tells of these turns: about people and not as one of them, naming somebody, with words that were said.

    ``before`` is the recap that it goes on from, ``present`` the names of those who spoke.
    """
    if _SPOKEN.search(text):
        return False
    told = fold(text)
    if not any(fold(name).split()[0] in told for name in present if name.split()):
        return False
    said = {word for source in (before, *present, *(t.text for t in turns)) for word in _stems(source)}
    words = _stems(text)
    return bool(words) and sum(word in said for word in words) >= GROUNDED * len(words)


def quoted(turns: Sequence[Turn], before: str, fits: Callable[[str], bool]) -> str:
    """The most telling sentences of people, the earlier recap's among them, in their order; "" when nothing was worth keeping.

    ``fits`` says whether a text is short enough.
    """
    kept = [Quote(m["who"].strip(), m["words"]) for m in _QUOTE.finditer(before)]
    said = [*kept, *(Quote(_one_line(t.author_name), words) for t in turns if not t.by_character for words in _sentences(t.text))]
    said = list(dict.fromkeys(said))
    ranked = sorted(range(len(said)), key=lambda n: (-_weight(said[n].words), -n))
    chosen: set[int] = set()
    for n in ranked:
        if _weight(said[n].words) < WORTH_KEEPING:
            break
        if fits(" ".join(str(said[i]) for i in sorted({*chosen, n}))):
            chosen.add(n)
    return " ".join(str(said[i]) for i in sorted(chosen))


def _sentences(text: str) -> list[str]:
    if is_out_of_character(text):
        return []
    found = [_one_line(part) for part in _SENTENCE.findall(text)]
    return [s for s in found if SHORTEST <= len(s) + len(_HAN.findall(s)) <= LONGEST and not s.endswith(("?", "？"))]


def _one_line(text: str) -> str:
    return " ".join(text.translate(str.maketrans("“”", "''")).split())


def _weight(sentence: str) -> int:
    own, time, lasting = (2 * bool(_OWN.search(sentence)), 2 * bool(_TIME.search(sentence)), bool(_LASTING.search(sentence)))
    return own + time + lasting + min(2, len(_NAME.findall(sentence)))


def _stems(text: str) -> list[str]:
    """Telling words, cut short: "leaks" and "leaking" are one."""
    return [word[:5] for word in _WORD.findall(fold(text)) if word not in _COMMON]
