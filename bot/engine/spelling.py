"""The same text in other tokens.

What a character said comes back as text in the next prompt, and a tokenizer may cut it into other tokens than the model chose.
Read as it comes, everything from the first difference on would be read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot.engine.slots import common_length


def respell(tokens: list[int], known: list[int], piece: Callable[[int], bytes]) -> list[int]:
    """``tokens`` spelt as in ``known``, from the beginning on for as long as both are the same text.

    ``piece`` gives a token's bytes, and none for a control token: that is no text, and has to be the same token in both.
    """
    here = there = common_length(tokens, known)
    while (following := _next_border(tokens, here, known, there, piece)) is not None:
        here, there = following
    return known[:there] + tokens[here:]


def _next_border(
    tokens: Sequence[int], here: int, known: Sequence[int], there: int, piece: Callable[[int], bytes]
) -> tuple[int, int] | None:
    """Where both next end a token at the same byte, having said the same since ``here`` and ``there``. None where they part."""
    ours = theirs = b""
    while True:
        if len(ours) <= len(theirs):
            if here == len(tokens):
                return None
            token, here = tokens[here], here + 1
            if not ours and not theirs and there < len(known) and token == known[there]:
                return here, there + 1
            more = piece(token)
            ours += more
        else:
            if there == len(known):
                return None
            more = piece(known[there])
            theirs, there = theirs + more, there + 1
        shorter = min(len(ours), len(theirs))
        if not more or ours[:shorter] != theirs[:shorter]:
            return None
        if len(ours) == len(theirs):
            return here, there
