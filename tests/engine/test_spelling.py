"""The same text in other tokens: by property on a vocabulary of a few pieces, and by counters on the tiny model."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bot.engine.spelling import respell
from bot.messages import Prompt
from tests.engine.talk import assert_same, engine_on, prompt, say, web

PIECES = [b"", b"", b"a", b"b", b"ab", b"ba", b"aab", "é".encode()[:1], "é".encode()[1:], "é".encode()]  # the first two are control tokens
TOKENS = st.lists(st.integers(0, len(PIECES) - 1), max_size=14)


def spell(tokens: list[int]) -> list[bytes | int]:
    """What a text says: its bytes, and control tokens by their number."""
    return [part for token in tokens for part in (PIECES[token] or [-token - 1])]


@given(TOKENS, TOKENS)
def test_it_says_the_same_and_begins_with_what_is_known(tokens: list[int], known: list[int]):
    """Never a byte more or less, whatever is known."""
    spelt = respell(tokens, known, PIECES.__getitem__)

    assert spell(spelt) == spell(tokens)
    at = next((n for n, (one, other) in enumerate(zip(spelt, known, strict=False)) if one != other), min(len(spelt), len(known)))
    assert spelt[at:] == tokens[len(tokens) - len(spelt[at:]) :], "only the beginning is spelt anew"


@given(TOKENS, TOKENS, st.randoms(use_true_random=False))
def test_everything_that_is_known_in_another_spelling_is_found(known: list[int], more: list[int], chance):
    """A text that goes on after what is known continues it whole, however it is spelt."""
    by_bytes = {piece: token for token, piece in enumerate(PIECES) if piece}
    other: list[int] = []
    for token in known:
        whole = PIECES[token]
        cuts = [[whole]] + [[whole[:n], whole[n:]] for n in range(1, len(whole)) if whole[:n] in by_bytes and whole[n:] in by_bytes]
        other += [by_bytes[piece] for piece in chance.choice(cuts)] if whole else [token]

    assert respell([*other, 0, *more], [*known, 0], PIECES.__getitem__) == [*known, 0, *more]


def test_a_written_control_token_is_not_one():
    """A control token has no bytes of its own, so nothing that people write equals it."""
    assert respell([2, 0, 3], [2, 1, 3], PIECES.__getitem__) == [2, 0, 3]
    assert respell([2, 0, 3], [2, 3], PIECES.__getitem__) == [2, 0, 3]


# ------------------------------------------------------------------ in the engine

TWO_BYTES, MERGED = (4, 5), 260  # bytes 0 and 1 of the tiny model, and the one token that says both


async def test_what_was_said_in_other_tokens_is_not_read_again(tiny_model: Path):
    """The channel's next prompt spells it as the tokenizer does; only what is new is read, and the reply is that of the known spelling."""
    async with engine_on(tiny_model) as engine:
        said, more = prompt(engine, "You keep", " the light.").tokens, prompt(engine, "", " And then?").tokens
        first = Prompt((*said, *TWO_BYTES, *said), 0, ())
        text, last = await say(engine, first)
        reply = engine.tokenizer.encode(text, special=False)
        asked = Prompt((*said, MERGED, *said, *reply, *more), 0, ())

        again, counted = await say(engine, asked)

        whole = (*first.tokens, *reply, *more)
        assert counted.counters.prompt_tokens == len(whole) == len(asked.tokens) + 1
        assert counted.counters.evaluated_tokens == len(more) + 1  # the reply's last token was chosen, and nothing came after it
    async with engine_on(tiny_model) as fresh:
        assert_same(tiny_model, Prompt(whole, 0, ()), again, (await say(fresh, Prompt(whole, 0, ())))[0])
    assert last.counters.evaluated_tokens == len(first.tokens)


async def test_an_edit_and_another_channel_are_read_as_they_are_written(tiny_model: Path):
    """Known spellings end where the text changes, and belong to one conversation; nothing is left of them once they are forgotten."""
    async with engine_on(tiny_model) as engine:
        said = prompt(engine, "You keep", " the light.").tokens
        first = Prompt((*said, *TWO_BYTES, *said), 0, ())
        await say(engine, first)

        _, edited = await say(engine, Prompt((*said, MERGED, *said[:-1], said[0], *said), 0, ()))
        _, elsewhere = await say(engine, Prompt((*said, MERGED, *said), 0, ()), channel="elsewhere")
        engine.forget(web("lobby"))
        _, forgotten = await say(engine, Prompt((*said, MERGED, *said), 0, ()))

    assert edited.counters.evaluated_tokens == 1 + len(said)
    assert elsewhere.counters.prompt_tokens == forgotten.counters.prompt_tokens == 2 * len(said) + 1


async def test_a_spelling_that_would_not_fit_is_not_taken(tiny_model: Path):
    """Known tokens may be more than the tokenizer's; a prompt that just fits is answered as it came."""
    async with engine_on(tiny_model) as engine:
        full = (MERGED, *[70] * (512 - 24 - 1))
        await say(engine, Prompt((*TWO_BYTES, *[70] * 300), 0, ()))

        _, last = await say(engine, Prompt(full, 0, ()))

    assert last.counters.prompt_tokens == len(full)
    assert last.counters.reply_tokens == 24
