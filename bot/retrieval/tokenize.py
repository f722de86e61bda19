"""Text -> search terms, for English, Chinese and whatever else is written in words."""

from __future__ import annotations

import functools
import logging
import re
import unicodedata

import jieba

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")

# Words that stand in every line: they cost time in the index and decide nothing.
STOP_WORDS = frozenset(
    "a an and are as at be but by did do does for from had has have he her him his i if in is it its me my of on or "
    "our she so that the their them they this to was we were will with would you your "
    "的 了 是 我 你 他 她 它 们 在 和 也 都 就 吗 呢 啊".split()
)


@functools.cache
def _segmenter() -> jieba.Tokenizer:
    """Jieba's dictionary takes about a second to load: at first use, which is never on the event loop."""
    jieba.setLogLevel(logging.WARNING)
    segmenter = jieba.Tokenizer()
    segmenter.initialize()
    return segmenter


def terms(text: str) -> list[str]:
    """Lower-case words in order; Chinese cut into words by jieba; stop words left out unless nothing else is there."""
    found: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).replace("’", "'").casefold()):
        found += _segmenter().lcut(word) if _HAN.search(word) else [_stem(word)]
    telling = [t for t in found if t not in STOP_WORDS]
    return telling or found


def _stem(word: str) -> str:
    """English endings that change nothing about the subject: plural, possessive, -ing, -ed. Deliberately no more."""
    word = word.removesuffix("'s")
    for ending, least in (("ies", 5), ("ing", 6), ("ed", 5), ("es", 5), ("s", 4)):
        if word.endswith(ending) and len(word) >= least and not word.endswith("ss"):
            return word.removesuffix(ending) + ("y" if ending == "ies" else "")
    return word
