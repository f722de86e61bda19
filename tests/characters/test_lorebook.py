"""Lorebooks: what is brought to mind, by what, and at what cost."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.characters.lorebook import Book, Decorators, Heard, match_book, parse_book, read_decorators
from bot.config import CharacterSettings
from bot.errors import CardError
from tests.characters.generated_cards import BOOKS

LIMITS = CharacterSettings()


def entry(content: str = "Lore.", *keys: str, **more: Any) -> dict[str, Any]:
    base = {"keys": list(keys), "content": content, "extensions": {}, "enabled": True, "insertion_order": 10, "use_regex": False}
    return {**base, **more}


def book(*entries: dict[str, Any], **more: Any) -> Book:
    found, _ = parse_book({"entries": list(entries), "extensions": {}, **more}, "book", LIMITS)
    assert found is not None
    return found


def told(of: Book, *recent: str, budget: int = 1000, **scene: Any) -> list[str]:
    return [lore.text for lore in match_book(of, Heard(recent, **scene), count=lambda text: len(text.split()), budget=budget)]


@pytest.mark.parametrize(
    ("key", "said", "found"),
    [
        ("moth", "A moth flew in.", True),
        ("moth", "my mother", False),
        ("Moth", "MOTH!", True),
        ("night bakery", "the night bakery is open", True),
        ("茶馆", "我去茶馆喝茶", True),
        ("café", "the Café, please", True),
        ("c++", "I write c++ at night", True),
        ("", "anything", False),
    ],
)
def test_a_key_matches_whole_words_where_words_are_parted(key, said, found):
    """Latin keys are words; Chinese keys may stand inside a sentence."""
    assert bool(told(book(entry("Lore.", key)), said)) is found


def test_case_counts_where_the_entry_says_so():
    """case_sensitive, as the specification has it."""
    of = book(entry("Lore.", "Rook", case_sensitive=True))

    assert told(of, "Rook is here")
    assert not told(of, "a rook on the roof")


def test_a_selective_entry_needs_both_kinds_of_keys():
    """secondary_keys count only with selective."""
    both = book(entry("Lore.", "lamp", secondary_keys=["storm"], selective=True))
    one = book(entry("Lore.", "lamp", secondary_keys=["storm"], selective=False))

    assert told(both, "the lamp in the storm")
    assert not told(both, "the lamp")
    assert told(one, "the lamp")


def test_constant_entries_need_no_key_and_disabled_ones_never_come():
    """constant and enabled."""
    assert told(book(entry("Always.", constant=True)), "") == ["Always."]
    assert told(book(entry("Never.", constant=True, enabled=False)), "") == []


def test_only_recent_messages_are_looked_at():
    """scan_depth counts messages from the newest."""
    of = book(entry("Lore.", "lamp"), scan_depth=2)

    assert told(of, "lamp", "x", "y") == []
    assert told(of, "x", "lamp", "y") == ["Lore."]


def test_entries_stand_in_insertion_order():
    """Lower numbers come first."""
    of = book(entry("second", constant=True, insertion_order=2), entry("first", constant=True, insertion_order=1))

    assert told(of, "") == ["first", "second"]


def test_what_matters_least_is_left_out_when_the_budget_is_small():
    """Lowest priority goes first; the book's own budget and the prompt's both hold."""
    entries = (entry("low low low", constant=True, priority=1), entry("high high high", constant=True, priority=9, insertion_order=99))

    assert told(book(*entries), "", budget=4) == ["high high high"]
    assert told(book(*entries, token_budget=4), "") == ["high high high"]
    assert told(book(*entries), "", budget=6) == ["low low low", "high high high"]


def test_an_entry_too_big_for_the_budget_leaves_it_to_smaller_ones():
    """One long entry does not silence the rest."""
    of = book(entry("word " * 50, constant=True, priority=9), entry("short", constant=True, priority=1))

    assert told(of, "", budget=10) == ["short"]


def test_lore_brings_up_lore_only_where_the_book_allows_it():
    """recursive_scanning, at most three rounds deep."""
    chain = [entry(f"w{n + 1}", f"w{n}") for n in range(8)]

    assert told(book(*chain, recursive_scanning=False), "w0") == ["w1"]
    assert told(book(*chain, recursive_scanning=True), "w0") == ["w1", "w2", "w3", "w4"]


def test_two_entries_that_call_each_other_come_once():
    """A circle ends."""
    of = book(entry("bbb", "aaa"), entry("aaa", "bbb"), recursive_scanning=True)

    assert sorted(told(of, "aaa")) == ["aaa", "bbb"]


def test_patterns_are_matched_in_linear_time():
    """A pattern that takes a backtracking engine for ever: it is answered, and the next match works."""
    of = book(
        entry("Evil.", r"(a+)+$", use_regex=True),
        entry("Slow.", r"(x*)*(y*)*(z*)*!$", use_regex=True),
        entry("Good.", r"lamps?\b", use_regex=True),
    )

    assert told(of, "a" * 20_000 + "b lamp " + "xyz" * 5000 + " lamps") == ["Good."]
    assert told(of, "lamp") == ["Good."]


@pytest.mark.parametrize("pattern", ["(", "(?=x)", r"(\w+)\1", "((((a{100}){100}){100}){100})", "a" * 301, "\ud83d"])
def test_a_pattern_that_cannot_be_used_matches_nothing(pattern):
    """V3: an invalid pattern is no match; so is one that RE2 does not know or finds too big."""
    of = book(entry("Bad.", pattern, use_regex=True), entry("Good.", "lamp"))

    assert told(of, "a" * 500 + " lamp") == ["Good."]


def test_a_slashed_key_is_a_pattern_as_sillytavern_writes_it():
    """/pattern/i among plain keys."""
    of = book(entry("Lore.", "/lamp(light)?s?/i"))

    assert told(of, "the LAMPLIGHTS")
    assert not told(of, "the light")


def test_macros_are_filled_before_tokens_are_counted():
    """What a prompt gets is what is counted."""
    of = book(entry("{{char}} sleeps", constant=True))

    found = match_book(
        of, Heard(()), count=lambda text: len(text.split()), budget=9, fill=lambda text: text.replace("{{char}}", "Mara Quill")
    )

    assert (found[0].text, found[0].tokens) == ("Mara Quill sleeps", 3)


# ------------------------------------------------------------------ decorators


def test_decorators_are_read_and_do_not_stand_in_the_text():
    """Known ones count, the rest are dropped, and the blank lines around them go."""
    marks, text = read_decorators("@@depth 4\n@@role system\n@@unknown_thing 3\n\nThe lamp is out.\n@@depth 9 is a quotation")

    assert marks == Decorators(depth=4, role="system")
    assert text == "The lamp is out.\n@@depth 9 is a quotation"


def test_a_fallback_counts_only_where_the_first_choice_is_not_known():
    """@@@ lines under a decorator, tried in order."""
    assert read_decorators("@@risu_only 4\n@@@agnai_only 1\n@@@activate_only_after 5\nx")[0].activate_only_after == 5
    assert read_decorators("@@depth 2\n@@@scan_depth 9\nx")[0] == Decorators(depth=2)
    assert read_decorators("@@depth many\n@@@scan_depth 9\nx")[0] == Decorators(scan_depth=9)


def test_the_first_of_two_equal_decorators_counts():
    """As the specification says."""
    assert read_decorators("@@depth 1\n@@depth 2\nx")[0].depth == 1


def test_activation_can_be_forced_and_forbidden():
    """@@activate wins over @@dont_activate."""
    assert told(book(entry("@@activate\nNow.")), "") == ["Now."]
    assert told(book(entry("@@dont_activate\nNever.", "lamp")), "lamp") == []
    assert told(book(entry("@@activate\n@@dont_activate\nNow.")), "") == ["Now."]


def test_activation_can_wait_for_replies():
    """@@activate_only_after and @@activate_only_every count the character's replies; unknown counts do not matter."""
    later = book(entry("@@activate_only_after 3\nLater.", constant=True))
    every = book(entry("@@activate_only_every 2\nTwos.", constant=True))

    assert [bool(told(later, "", replies=n)) for n in (2, 3, None)] == [False, True, True]
    assert [bool(told(every, "", replies=n)) for n in (1, 2, None)] == [False, True, True]


def test_more_keys_and_keys_that_forbid():
    """@@additional_keys must match as well, @@exclude_keys must not."""
    of = book(entry("@@additional_keys storm,gale\n@@exclude_keys joke\nLore.", "lamp"))

    assert told(of, "the lamp in a gale")
    assert not told(of, "the lamp")
    assert not told(of, "the lamp in a gale, what a joke")


def test_an_entry_may_belong_to_one_greeting():
    """@@is_greeting 1: only where the first alternate greeting opened the chat."""
    of = book(entry("@@is_greeting 1\nLore.", constant=True))

    assert [bool(told(of, "", greeting=n)) for n in (0, 1, None)] == [False, True, True]


def test_an_entry_may_look_less_far_back_than_its_book():
    """@@scan_depth over scan_depth."""
    of = book(entry("@@scan_depth 1\nLore.", "lamp"), scan_depth=9)

    assert not told(of, "lamp", "x")
    assert told(of, "x", "lamp")


def test_where_lore_stands_is_told():
    """position, @@position, @@depth and @@role reach whoever renders."""
    of = book(
        entry("a", constant=True, position="after_char"),
        entry("@@position after_desc\nb", constant=True),
        entry("@@depth 2\n@@role user\nc", constant=True),
    )

    found = match_book(of, Heard(()), count=len, budget=99)

    assert [(lore.position, lore.depth, lore.role) for lore in found] == [
        ("after_char", None, None),
        ("after_char", None, None),
        ("before_char", 2, "user"),
    ]


# ------------------------------------------------------------------ strangers' books


def test_a_bad_entry_is_left_out_and_the_others_stay():
    """The warning names the field."""
    found, warnings = parse_book(
        {"entries": [entry("Good.", "x"), {"keys": ["y"]}, {"keys": 3, "content": "z"}, 7]}, "data.character_book", LIMITS
    )

    assert found is not None
    assert [e.content for e in found.entries] == ["Good."]
    assert ["entries[1].content" in warnings[0], "entries[2].keys" in warnings[1], "entries[3]" in warnings[2]] == [True] * 3


def test_entries_without_ids_or_with_the_same_id_can_be_told_apart():
    """Ids are what a reply's stamp names."""
    of = book(entry("a", "x", id=1), entry("b", "x", id=1), entry("c", "x"))

    assert len({e.id for e in of.entries}) == 3


def test_too_many_entries_keys_or_patterns_are_refused_with_the_number():
    """A book must not hold up a channel."""
    with pytest.raises(CardError, match="1001 entries; the limit is 1000"):
        parse_book({"entries": [entry()] * 1001}, "book", LIMITS)
    with pytest.raises(CardError, match="more than 5000 keys"):
        parse_book({"entries": [entry("x", *map(str, range(60)))] * 90}, "book", LIMITS)
    _, warnings = parse_book({"entries": [entry("x", *map(str, range(65)))]}, "book", LIMITS)
    assert "65 keys; the limit is 64" in warnings[0]
    found, warnings = parse_book({"entries": [entry("x", f"p{n}", use_regex=True) for n in range(40)]}, "book", LIMITS)
    assert found is not None
    assert len(found.entries) == 32
    assert "more than 32 patterns" in warnings[0]


def test_a_book_made_to_be_slow_is_answered():
    """Five thousand keys that all but match everywhere once took minutes: a key is given up after a hundred places."""
    almost = [entry("x", *["a" * (n % 40 + 2) + " b" * (n % 3) for n in range(64)]) for _ in range(70)]

    assert told(book(*almost, entry("Good.", "lamp")), "a" * 15_000 + " xa bx" * 500 + " lamp") == ["Good."]


@settings(max_examples=100, deadline=None)
@given(BOOKS, st.lists(st.text(), max_size=5), st.integers(0, 50))
def test_any_book_stays_within_its_budget(raw, recent, budget):
    """Whatever the book, the chosen lore fits, in order and once each."""
    found, _ = parse_book(raw, "book", LIMITS)
    assert found is not None

    lore = match_book(found, Heard(recent), count=len, budget=budget)

    assert sum(each.tokens for each in lore) <= budget
    assert len({each.id for each in lore}) == len(lore)
