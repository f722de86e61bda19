"""Novels: what stands in quotation marks, and who says it.

Three degrees of certainty, counted apart. *Attributed*: a name stands beside a verb of speaking ("said Jane", 宝玉笑道).
*Unsure*: a pronoun with one fitting person nearby, a paragraph that tells of one person's doing, or the alternation of two who talk.
*Unattributed*: everything else. Only what is attributed becomes a character's line unless asked otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from trainer.extract.aliases import fold
from trainer.extract.source import Source
from trainer.extract.speech import Attribution, Speech

CONVERSATION = 400  # speeches that are held in memory while a conversation lasts
APART = 3  # paragraphs of telling after which a conversation is over
SEEN_TWICE = 2  # a name that speaks only once in a whole novel is more often a word that was taken for one
PARAGRAPH_CHARACTERS = 20_000

_VERB = (
    "said|says|replied|answered|cried|asked|returned|added|continued|exclaimed|observed|repeated|whispered|murmured|muttered|remarked|"
    "declared|resumed|rejoined|inquired|enquired|demanded|shouted|called|began|interrupted|responded|explained|announced|protested|"
    "insisted|sighed|laughed|growled|snapped|hissed|gasped|suggested|agreed|admitted|thought"
)
_TITLE = (
    r"(?:Mr|Mrs|Ms|Miss|Lady|Sir|Lord|Colonel|Captain|Dr|Doctor|Aunt|Uncle|Madame|Monsieur|Father|Sister|Professor|Major|General|Count)"
)
_NAME = rf"(?:{_TITLE}\.?\s+)?[A-Z][a-zà-ÿ]+(?:[-’'][A-Z][a-z]+)?(?:\s+(?:de\s+)?[A-Z][a-zà-ÿ]+){{0,2}}"
_WHO = rf"(?P<name>{_NAME})|(?P<pronoun>he|she|I|He|She)\b|(?P<other>(?:his|her|the|my|their|a|His|Her|The|My)\s+\w+(?:\s+\w+)?)"
_AFTER = re.compile(rf"^[\s,—-]*(?:{_VERB})\s+(?:{_WHO})")  # "...," said Jane
_AFTER_TURNED = re.compile(rf"^[\s,—-]*(?:{_WHO})(?:\s+\w+ly|\s+then)?\s+(?:{_VERB})\b")  # "...," Jane said
_BEFORE = re.compile(rf"(?:{_WHO})(?:[^.!?]{{0,60}}?)\b(?:{_VERB})\b[^.!?]{{0,80}}[,:]\s*$")  # Jane turned and said,
_BEFORE_TURNED = re.compile(rf"\b(?:{_VERB})\s+(?:{_WHO})[^.!?]{{0,80}}[,:]\s*$")
_ANY_NAME = re.compile(rf"\b{_NAME}")
_VOCATIVE = re.compile(rf"(?:,\s+|\b[Dd]ear(?:est)?\s+|^)({_NAME})(?=,)|,\s+({_NAME})(?=[.!?;])|\b[Dd]ear(?:est)?\s+({_NAME})")
_TAG_FOLLOWS = (',"', ",”", ';"', ";”")  # after these somebody is still to be named
_NO_NAME = frozenset(
    "The But And He She It I They We You His Her Their My Our That This Then There When What Who How Why No Not Nor Oh Ah Yes Well So For "
    "In On At As If Now Or Of To With Here After Before Upon While Such These Those Some All Both Each Every Nothing Never Chapter Mr Mrs "
    "Miss Sir Lady Madam Dear Good God Heaven Lord Indeed Perhaps Pray Very Do Did Is Are Was Were Have Has Had Let By From Your Only Once "
    "Even Still Yet".split()
)
_CHAPTER = re.compile(
    r"^\s*(?:(?:CHAPTER|Chapter)\s+[\dIVXLC]+\b.{0,60}|第[一二三四五六七八九十百千零〇\d]+[章回节卷].{0,40}|BOOK\s+[IVX\d]+.{0,40})$"
)
_ABBREVIATED = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Rev|Col|Capt)\.$")
_SENTENCE_END = re.compile(r"[.!?。！？…:：][\"”’」』)]*$|[\"”」』]$|—[\"”]?$")
_PAIRS = {"“": "”", "「": "」", "『": "』", "«": "»"}
_HAN = re.compile(r"[\u3400-\u9fff]")
_HAN_SAYS = re.compile(
    r"(?P<clause>[\u3400-\u9fff·]{2,16}?)"
    r"(?:[微冷苦大]?笑|忙|又|便|也|就|才|连忙|低声|高声|轻声|叹|哭|怒|喝|问|答|回|接着|只得|急|大声)*"
    r"(?:道|说道|说|问|答|喊|叫|嚷)(?:道)?$"
)
_HAN_AFTER = re.compile(
    r"^[，,]?(?P<clause>[\u3400-\u9fff·]{2,8}?)(?:[微冷苦大]?笑|忙|又|便|低声|高声|轻声|叹|怒|大声)*"
    r"(?:道|说道|说|问道|问|答道|喊道|叫道)(?=[，。,.：:]|$)"
)
_HAN_PRONOUN = frozenset("他 她 我 你 他们 她们 众人 大家 那人 那个 自己 谁".split())
_MALE = frozenset("Mr Sir Lord Colonel Captain Uncle Father Monsieur Count".split())
_FEMALE = frozenset("Mrs Miss Lady Aunt Madame Sister Ms".split())


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    quoted: bool


@dataclass(slots=True)
class People:
    """Who speaks in this novel, learnt by reading it once."""

    spoke: Counter[str] = field(default_factory=Counter)  # folded names -> times beside a verb of speaking
    male: Counter[str] = field(default_factory=Counter)
    female: Counter[str] = field(default_factory=Counter)
    clauses: Counter[str] = field(default_factory=Counter)  # first two and three signs before 道

    def knows(self, name: str) -> bool:
        return self.spoke[fold(name)] >= SEEN_TWICE

    def may_be(self, name: str, pronoun: str) -> bool:
        folded = fold(name)
        title = name.split()[0].rstrip(".")
        if title in _MALE or title in _FEMALE:
            return (title in _MALE) == (pronoun == "he")
        he, she = self.male[folded], self.female[folded]
        return he >= she if pronoun == "he" else she >= he

    def han_name(self, clause: str) -> str | None:
        """The name that a Chinese clause begins with: what opens such clauses again and again."""
        best = None
        for length in (2, 3):
            start = clause[:length]
            least = max(SEEN_TWICE, 0.6 * self.clauses[clause[:2]]) if length == 3 else SEEN_TWICE
            if len(start) == length and self.clauses[start] >= least and start not in _HAN_PRONOUN and clause[0] not in "他她我你":
                best = start
        return best


@dataclass(slots=True)
class _Said:
    """One speech of the conversation at hand."""

    line: str
    name: str | None
    how: Attribution
    pronoun: str = ""  # he or she, where that is all the tag says
    follows: bool = False  # right after the speech before, nothing told between


@dataclass(slots=True)
class _Talk:
    """The conversation at hand, and who was told of last."""

    said: list[_Said] = field(default_factory=list)
    told_of: list[str] = field(default_factory=list)
    open: bool = False  # the last speech was not closed: it goes on in the next paragraph
    telling: int = 0  # paragraphs since somebody spoke


def speeches(source: Source, names: Mapping[str, str] | None = None) -> Iterator[Speech]:
    """Every speech in quotation marks. ``names``: spellings that are known to be people, from the alias table."""
    people = learn(source, names or {})
    chapter, number = source.path.stem, 1
    talk = _Talk()
    for paragraph in paragraphs(source):
        found = pieces(paragraph)
        heading = _CHAPTER.match(paragraph) is not None
        if heading or not _is_speech(found):
            talk.telling += 1
            talk.open = False
            if talk.said and (heading or talk.telling >= APART):
                yield from _settled(talk, people, f"{chapter}/{number}")
                number, talk = number + 1, _Talk(told_of=talk.told_of)
            if heading:
                chapter, number, talk = " ".join(paragraph.split()).rstrip("."), 1, _Talk()
            _remember(talk, people, found)
            continue
        line = " ".join(" ".join(p.text.strip() for p in found if p.quoted).split())
        if talk.open and talk.said and not talk.telling and len(talk.said[-1].line) < PARAGRAPH_CHARACTERS:
            talk.said[-1].line += f" {line}"  # the same speech, in its next paragraph
        else:
            talk.said.append(_who(found, line, people, talk))
        talk.open = _stays_open(paragraph)
        talk.telling = 0
        _remember(talk, people, found)
        if len(talk.said) >= CONVERSATION:
            yield from _settled(talk, people, f"{chapter}/{number}")
            number, talk = number + 1, _Talk(told_of=talk.told_of)
    yield from _settled(talk, people, f"{chapter}/{number}")


def _settled(talk: _Talk, people: People, scene: str) -> Iterator[Speech]:
    """The conversation with what its order tells: who is called by name answers next, and two who talk take turns."""
    said = talk.said
    for before, now in pairwise(said):
        if now.follows and now.name is None and (called := _called(before.line, people)) and called != before.name:
            _guess(now, called, people)
    for order in (range(len(said)), range(len(said) - 1, -1, -1)) * 2:
        for k in order:
            for step in (-1, 1):
                if said[k].name is None and 0 <= k + 2 * step < len(said):
                    first, last = sorted((k, k + 2 * step))
                    other = said[k + 2 * step].name
                    between = said[k + step].name
                    if other and other != between and said[first + 1].follows and said[last].follows:
                        _guess(said[k], other, people)
    for one in said:
        if one.line:
            yield Speech(scene, one.name, one.line, (), one.how)


def _guess(said: _Said, name: str, people: People) -> None:
    if name != _called(said.line, people) and (not said.pronoun or people.may_be(name, said.pronoun)):
        said.name, said.how = name, "unsure"


# ------------------------------------------------------------------ who


def _who(found: list[Piece], line: str, people: People, talk: _Talk) -> _Said:
    follows = bool(talk.said) and not talk.telling
    tag = _tag(found, people)
    if tag is not None and tag[0] == "name":
        return _Said(line, tag[1], "attributed", follows=follows)
    if tag is not None and tag[0] == "pronoun":
        pronoun = tag[1].lower()
        guessed = _by_pronoun(pronoun, people, talk)
        return _Said(line, guessed, "unsure" if guessed else "unattributed", pronoun, follows)
    told = None if tag else next((n for p in found if not p.quoted for n in _names(p.text, people)), None)
    return _Said(line, told, "unsure" if told else "unattributed", follows=follows)


def _called(line: str, people: People) -> str | None:
    """Whom a speech calls by name."""
    for found in _VOCATIVE.finditer(line):
        name = _trimmed(next(g for g in found.groups() if g))
        if name and people.knows(name):
            return name
    return None


def _tag(found: list[Piece], people: People) -> tuple[str, str] | None:
    """What stands beside the quotation: ("name", who), ("pronoun", which) or ("other", words)."""
    for i, piece in enumerate(found):
        if piece.quoted:
            continue
        for pattern, beside in (
            (_AFTER, i > 0),
            (_AFTER_TURNED, i > 0),
            (_BEFORE_TURNED, i + 1 < len(found)),
            (_BEFORE, i + 1 < len(found)),
        ):
            match = (pattern.search(piece.text) if pattern in (_BEFORE, _BEFORE_TURNED) else pattern.match(piece.text)) if beside else None
            if match is None:
                continue
            if match["name"] and (name := _trimmed(match["name"])):
                return ("name", name) if people.knows(name) else ("other", name)
            if match["pronoun"]:
                return "pronoun", match["pronoun"]
            if match["other"]:
                words = match["other"].split()
                known = next((" ".join(words[:n]) for n in (3, 2) if people.knows(" ".join(words[:n]))), None)
                return ("name", known) if known else ("other", match["other"])
        clause = _han_clause(found, i)
        if clause and (han := people.han_name(clause)):
            return "name", han
        if clause:
            return "other", clause
    return None


def _han_clause(found: list[Piece], i: int) -> str | None:
    text = found[i].text.strip()
    if not _HAN.search(text):
        return None
    if i + 1 < len(found) and text.endswith(("：", ":", "，", ",")):
        last = re.split(r"[。！？；，,\s]", text.rstrip("：:，, "))[-1]
        match = _HAN_SAYS.search(last)
        if match:
            return match["clause"]
        # The subject may stand a comma earlier: 宝玉听了，笑道：
        whole = re.split(r"[。！？；\s]", text.rstrip("：:，, "))[-1]
        if re.search(r"(?:道|说|问|答|喊|叫)$", whole):
            return whole
    match = _HAN_AFTER.match(text) if i > 0 else None
    return match["clause"] if match else None


def _by_pronoun(pronoun: str, people: People, talk: _Talk) -> str | None:
    if pronoun == "i":
        return None
    last = talk.said[-1].name if talk.said else None
    for name in reversed(talk.told_of[-8:]):
        if people.may_be(name, pronoun) and (name != last or talk.telling):
            return name
    return None


def _remember(talk: _Talk, people: People, found: list[Piece]) -> None:
    for piece in found:
        if not piece.quoted:
            talk.told_of += _names(piece.text, people)
    if talk.said and (name := talk.said[-1].name):
        talk.told_of.append(name)
    del talk.told_of[:-16]


def _names(text: str, people: People) -> list[str]:
    return [n for found in _ANY_NAME.findall(text) if (n := _trimmed(found)) and people.knows(n)]


def _trimmed(name: str) -> str | None:
    """A name without the word that only opens its sentence; None where nothing else is left."""
    words = name.split()
    while words and words[0].rstrip(".") in _NO_NAME and not re.fullmatch(_TITLE, words[0].rstrip(".")):
        words = words[1:]
    if not words or (len(words) == 1 and words[0].rstrip(".") in _NO_NAME):
        return None
    return " ".join(words)


# ------------------------------------------------------------------ reading


def learn(source: Source, names: Mapping[str, str]) -> People:
    """Read the novel once for the names beside verbs of speaking, and for what he and she are said of."""
    people = People()
    for spelling in names:
        people.spoke[fold(spelling)] += SEEN_TWICE
        people.clauses[spelling[:2]] += SEEN_TWICE
        people.clauses[spelling[:3]] += SEEN_TWICE
    for paragraph in paragraphs(source):
        found = pieces(paragraph)
        for i, piece in enumerate(found):
            if piece.quoted or not _is_speech(found):
                continue
            for pattern in (_AFTER, _AFTER_TURNED):
                match = pattern.match(piece.text) if i > 0 else None
                if match and match["name"] and (name := _trimmed(match["name"])):
                    people.spoke[fold(name)] += 1
                    _gender(people, name, piece.text[match.end() : match.end() + 80])
            clause = _han_clause(found, i)
            if clause:
                people.clauses[clause[:2]] += 1
                people.clauses[clause[:3]] += len(clause) > 2
    return people


def _gender(people: People, name: str, behind: str) -> None:
    found = re.search(r"\b(his|him|himself|he|her|herself|she)\b", behind)
    if found:
        (people.male if found[1].startswith("h") and not found[1].startswith("her") else people.female)[fold(name)] += 1


def paragraphs(source: Source) -> Iterator[str]:
    """Paragraphs of hard-wrapped text, also where every line has an empty line after it.

    Such a line goes on when its sentence does, or while a quotation is open and the next line opens none.
    """
    held: list[str] = []
    size = 0
    for line in source.lines():
        stripped = line.strip()
        if not stripped:
            continue
        if _CHAPTER.match(stripped) or (held and _ends(" ".join(held[-3:]), " ".join(held), stripped)) or size > PARAGRAPH_CHARACTERS:
            if held:
                yield " ".join(held)
            held, size = [], 0
        held.append(stripped)
        size += len(stripped)
        if _CHAPTER.match(stripped):
            yield stripped
            held, size = [], 0
    if held:
        yield " ".join(held)


def _ends(tail: str, whole: str, following: str) -> bool:
    if not _SENTENCE_END.search(tail) or _ABBREVIATED.search(tail):
        return False
    opens = following[0] in '"“「『«'
    return opens or not (_stays_open(whole) or tail.endswith(_TAG_FOLLOWS))


def _stays_open(paragraph: str) -> bool:
    """Whether its last quotation is not closed: the speech goes on in the next paragraph."""
    if "“" in paragraph or "「" in paragraph or "『" in paragraph:
        return any(paragraph.count(o) > paragraph.count(c) for o, c in _PAIRS.items())
    return paragraph.count('"') % 2 == 1


def pieces(paragraph: str) -> list[Piece]:
    """Told and quoted stretches in order. A quotation that is not closed reaches to the end."""
    found: list[Piece] = []
    closing: str | None = None
    held = ""
    for sign in paragraph:
        if closing is None and (sign == '"' or sign in _PAIRS):
            if held.strip():
                found.append(Piece(held, quoted=False))
            held, closing = "", _PAIRS.get(sign, '"')
        elif sign == closing:
            if held.strip():
                found.append(Piece(held, quoted=True))
            held, closing = "", None
        else:
            held += sign
    if held.strip():
        found.append(Piece(held, quoted=closing is not None))
    return found


def _is_speech(found: list[Piece]) -> bool:
    """Whether somebody says what is quoted: a word in marks within a sentence is only a word in marks."""
    quoted = [p.text.strip() for p in found if p.quoted]
    if not quoted:
        return False
    told = any(not p.quoted for p in found)
    return not told or any(len(q.split()) > 3 or len(_HAN.findall(q)) > 4 or q[-1] in ",.!?—，。！？…" for q in quoted)
