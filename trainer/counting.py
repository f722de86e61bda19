"""What counting alone says of how somebody speaks: figures of style, catchphrases, relations, typical lines, silences."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bot.characters.lines import Exemplar
from bot.retrieval.tokenize import STOP_WORDS
from trainer.extract.exchanges import is_chinese

PRIOR = 0.1  # weight of the informative Dirichlet prior, as a share of both texts; Monroe, Colaresi, Quinn 2008, "Fightin' Words", 3.3.2
SURE = 1.96  # of the z-score: one in twenty by chance
LEAST_LINES = 3  # a phrase that stands in fewer is no habit
SHOWN_IDS = 8

_UNIT = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+(?:['’][^\W_\u3400-\u9fff]+)*")
_SENTENCE = re.compile(r"[^.!?…。！？]+[.!?…。！？]*")
_FIRST = frozenset("i me my mine myself i'm i've i'll i'd 我 俺 咱".split())
_SECOND = frozenset("you your yours yourself you're you've you'll you'd 你 您".split())

# What a person of today may ask about; told of by these words. A topic that nobody in the whole text touches may be unknown there.
TOPICS: Mapping[str, str] = {
    "telephones": "telephone phone phones mobile 电话 手机",
    "computers and the internet": "computer computers internet website online email app 电脑 网络 网站 互联网",
    "television and films": "television tv film films movie movies cinema 电视 电影",
    "radio and recorded music": "radio gramophone record-player 收音机 唱片",
    "cars": "car cars motor-car automobile 汽车",
    "aeroplanes": "aeroplane airplane plane planes flight airport 飞机 机场",
    "electricity": "electric electricity 电灯 电力",
    "photographs": "photograph photographs photo camera 照片 相机",
    "space flight": "rocket astronaut spaceship satellite 火箭 宇航员 卫星",
    "nuclear power": "nuclear atomic 核电 原子",
    "football and sport on a field": "football cricket baseball 足球",
    "elections and parties": "election elections president parliament 选举 总统",
    "wars of the twentieth century": "nazi hitler soviet 纳粹",
    "artificial intelligence": "robot robots chatbot 机器人 人工智能",
    "social media": "facebook twitter instagram 微博 微信",
    "vaccines and antibiotics": "vaccine antibiotic 疫苗 抗生素",
}


def units(text: str) -> list[str]:
    """Words in lower case; Chinese by the sign."""
    return [u.replace("’", "'").casefold() for u in _UNIT.findall(text)]


@dataclass(frozen=True, slots=True)
class Phrase:
    text: str
    z: float  # how much more this character says it than the others, in standard deviations
    lines: int
    ids: list[str]


def style(lines: Sequence[Exemplar]) -> dict[str, Any]:
    """Figures of manner. Rates are per 100 sentences or per 100 words (signs, in Chinese)."""
    replies = [e.reply for e in lines]
    lengths = sorted(len(units(r)) for r in replies)
    words = [u for r in replies for u in units(r)]
    sentences = [s for r in replies for s in _SENTENCE.findall(r) if units(s)]
    whole = "\n".join(replies)

    def per(count: int, of: int) -> float:
        return round(100 * count / of, 1) if of else 0.0

    return {
        "unit": "signs" if is_chinese(whole) else "words",
        "lines": len(lines),
        "words": len(words),
        "words_per_line": {"median": median(lengths or [0]), "p90": lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0},
        "words_per_sentence": round(len(words) / len(sentences), 1) if sentences else 0.0,
        "different_in_first_500_words": len(set(words[:500])),
        "questions_per_100_sentences": per(sum("?" in s or "？" in s for s in sentences), len(sentences)),
        "exclamations_per_100_sentences": per(sum("!" in s or "！" in s for s in sentences), len(sentences)),
        "dashes_per_100_sentences": per(whole.count("—") + whole.count(" - "), len(sentences)),
        "ellipses_per_100_sentences": per(whole.count("…") + whole.count("..."), len(sentences)),
        "first_person_per_100_words": per(sum(w in _FIRST for w in words), len(words)),
        "second_person_per_100_words": per(sum(w in _SECOND for w in words), len(words)),
        "contractions_per_100_words": per(sum("'" in w and not w.endswith("'s") for w in words), len(words)),
    }


def log_odds(own: Counter[Any], others: Counter[Any]) -> dict[Any, float]:
    """z-score of each of ``own``'s items: log-odds against ``others`` under an informative Dirichlet prior."""
    n_own, n_others = own.total(), others.total()
    both = n_own + n_others
    found: dict[Any, float] = {}
    for item, count in own.items():
        prior = PRIOR * (count + others[item])
        here, there = count + prior, others[item] + prior
        odds = math.log(here / max(n_own + PRIOR * both - here, 1e-9)) - math.log(there / max(n_others + PRIOR * both - there, 1e-9))
        found[item] = odds / math.sqrt(1 / here + 1 / there)
    return found


def catchphrases(lines: Sequence[Exemplar], others: Sequence[str], most: int = 12) -> list[Phrase]:
    """What this character says again and again and the others do not: runs of two to five words, four to six signs."""
    own: Counter[tuple[str, ...]] = Counter()
    where: dict[tuple[str, ...], list[str]] = defaultdict(list)
    spelt: dict[tuple[str, ...], str] = {}
    for line in lines:
        grams = _grams(line.reply)
        own.update(grams.keys())
        for gram, text in grams.items():
            where[gram].append(line.id)
            spelt.setdefault(gram, text)
    theirs = Counter(gram for text in others for gram in _grams(text) if gram in own)
    theirs[("",)] = max(sum(len(_grams(t)) for t in others) - theirs.total(), 1)  # everything else that they say
    scores = log_odds(own, theirs)
    kept: list[Phrase] = []
    for gram, z in sorted(scores.items(), key=lambda item: (-item[1] * math.sqrt(len(item[0])), item[0])):
        repeats = any(_inside(gram, tuple(units(k.text))) or _inside(tuple(units(k.text)), gram) for k in kept)
        # Two words with a small one among them ("want to", "the way") are grammar and no habit.
        empty = any(w in STOP_WORDS for w in gram) if len(gram) == 2 else all(w in STOP_WORDS for w in gram)
        if z < SURE or len(where[gram]) < LEAST_LINES or repeats or empty:
            continue
        kept.append(Phrase(spelt[gram], round(z, 2), len(where[gram]), where[gram][:SHOWN_IDS]))
        if len(kept) == most:
            break
    return kept


def _grams(text: str) -> dict[tuple[str, ...], str]:
    """Runs of words within a sentence, each once, with how it is written there."""
    found: dict[tuple[str, ...], str] = {}
    for part in re.split(r"[.!?…;:,—。！？；：，、\n]+", text):
        matches = list(_UNIT.finditer(part))
        words = [m[0].replace("’", "'").casefold() for m in matches]
        least, longest = (4, 6) if is_chinese(part) else (2, 5)
        for n in range(least, longest + 1):
            for i in range(len(words) - n + 1):
                found.setdefault(tuple(words[i : i + n]), part[matches[i].start() : matches[i + n - 1].end()])
    return found


def _inside(short: tuple[str, ...], long: tuple[str, ...]) -> bool:
    return any(long[i : i + len(short)] == short for i in range(len(long) - len(short) + 1))


def relations(lines: Sequence[Exemplar], names: Iterable[str]) -> list[dict[str, Any]]:
    """Whom the character answers, and whom it calls by name, most often first."""
    answered: dict[str, list[str]] = defaultdict(list)
    called: dict[str, list[str]] = defaultdict(list)
    known = {n for n in names if n} | {e.with_name for e in lines if e.with_name}
    for line in lines:
        if line.with_name:
            answered[line.with_name].append(line.id)
        for name in known:
            if re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])" if name.isascii() else re.escape(name), line.reply):
                called[name].append(line.id)
    order = sorted(known, key=lambda n: (-len(answered[n]), -len(called[n]), n))
    return [
        {"name": n, "answered": len(answered[n]), "named": len(called[n]), "ids": (answered[n] or called[n])[:SHOWN_IDS]}
        for n in order
        if answered[n] or called[n]
    ]


def typical_lines(lines: Sequence[Exemplar], others: Sequence[str], most: int = 5) -> list[dict[str, str]]:
    """Lines whose words are this character's own the most: highest mean z-score, of middle length."""
    own = Counter(w for e in lines for w in units(e.reply))
    theirs = Counter(w for text in others for w in units(text))
    scores = log_odds(own, theirs) if theirs else dict.fromkeys(own, 0.0)
    middle = [e for e in lines if 6 <= len(units(e.reply)) <= 40] or list(lines)
    best = sorted(middle, key=lambda e: (-sum(scores[w] for w in units(e.reply)) / max(len(units(e.reply)), 1), e.id))
    return [{"id": e.id, "said": e.said, "line": e.reply} for e in best[:most]]


def never_mentioned(texts: Iterable[str]) -> list[str]:
    """Topics of today that nobody touches with a word."""
    heard = " ".join(texts).casefold()
    words = set(units(heard))
    return [topic for topic, signs in TOPICS.items() if not any(w in words if w.isascii() else w in heard for w in signs.split())]


def as_records(phrases: Sequence[Phrase]) -> list[dict[str, Any]]:
    return [asdict(p) for p in phrases]
