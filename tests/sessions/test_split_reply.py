"""Long replies become messages that a platform takes."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from bot.messages import Limits
from bot.sessions.split_reply import length, split_reply

SHORT = Limits("characters", 40)
TELEGRAM = Limits("utf16", 60)

words = st.lists(
    st.sampled_from(
        [
            "sea",
            "light",
            "👩‍👩‍👧‍👦",
            "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
            "שלום",
            "مرحبا",
            "é",
            "\n",
            "\n\n",
            "https://example.org/a/b",
            "<@1234567890>",
            "<:owl:123456>",
            ".",
        ]
    ),
    max_size=60,
).map(" ".join)


@pytest.mark.parametrize("limits", [SHORT, TELEGRAM])
@given(text=words)
def test_pieces_fit_and_joined_they_are_the_reply(text, limits):
    pieces = split_reply(text, limits)

    assert all(0 < length(piece, limits) <= limits.length for piece in pieces)
    assert "".join(pieces) == text


@given(text=words)
def test_graphemes_links_and_mentions_stay_whole(text):
    assert [whole for piece in split_reply(text, SHORT) for whole in wholes(piece)] == wholes(text)


def wholes(text):
    return regex.findall(r"https?://\S+|<[@:][^>]+>|\X", text)


def test_a_code_block_is_closed_and_opened_again():
    code = "```python\n" + "\n".join(f"print({n})" for n in range(12)) + "\n```\nThat is all."

    pieces = split_reply(code, Limits("characters", 80))

    assert len(pieces) > 1
    for piece in pieces:
        assert piece.count("```") % 2 == 0
    assert all(piece.startswith("```python\n") for piece in pieces[1:-1])


def test_a_link_longer_than_a_message_is_cut_rather_than_lost():
    link = "https://example.org/" + "a" * 100

    assert "".join(split_reply(link, SHORT)) == link


def test_nothing_gives_no_message():
    assert split_reply("", SHORT) == []


def test_a_paragraph_is_a_better_place_to_cut_than_a_word():
    assert split_reply("The lamp is lit tonight.\n\nThe sea is up and grey.", SHORT) == [
        "The lamp is lit tonight.\n\n",
        "The sea is up and grey.",
    ]
