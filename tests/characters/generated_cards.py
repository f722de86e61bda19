"""Cards as strangers write them, for hypothesis; used by the tests and by benchmarks/fuzz_cards.py."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

# No half characters among them: those are a case of their own.
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
# Unicode calls these four letters, though they are drawn as nothing: a name that holds one is refused, and test_names.py says so.
BLANK_LETTERS = "\u115f\u1160\u3164\uffa0"
WORDS = st.text(st.characters(categories=("Lu", "Ll", "Lo"), exclude_characters=BLANK_LETTERS), min_size=1, max_size=12).filter(
    lambda word: word.casefold() not in ("here", "everyone") and "clyde" not in word.casefold() and "discord" not in word.casefold()
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXTS, inside, max_size=3),
    max_leaves=8,
)
EXTENSIONS = st.dictionaries(TEXTS.filter(lambda key: key not in ("troupe", "talkativeness")), ANYTHING, max_size=4)
STRANGE_KEYS = st.dictionaries(TEXTS.map(lambda key: f"x-{key}"), ANYTHING, max_size=3)

V1_TEXTS = ("description", "personality", "scenario", "first_mes", "mes_example")
V2_TEXTS = (*V1_TEXTS, "creator_notes", "system_prompt", "post_history_instructions", "creator", "character_version")


@st.composite
def lore_entries(draw: st.DrawFn) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "keys": draw(st.lists(TEXTS, max_size=3)),
        "content": draw(TEXTS),
        "extensions": draw(EXTENSIONS),
        "enabled": draw(st.booleans()),
        "insertion_order": draw(st.integers(-100, 100)),
    }
    optional = st.fixed_dictionaries(
        {},
        optional={
            "use_regex": st.booleans(),
            "constant": st.booleans(),
            "selective": st.booleans(),
            "secondary_keys": st.lists(TEXTS, max_size=2),
            "priority": st.integers(0, 100),
            "position": st.sampled_from(("before_char", "after_char")),
            "id": st.integers(0, 50) | TEXTS,
            "comment": TEXTS,
        },
    )
    return {**draw(STRANGE_KEYS), **entry, **draw(optional)}


BOOKS = st.fixed_dictionaries(
    {"extensions": EXTENSIONS, "entries": st.lists(lore_entries(), max_size=4)},
    optional={"name": TEXTS, "scan_depth": st.integers(0, 50), "token_budget": st.integers(0, 4000), "recursive_scanning": st.booleans()},
)


@st.composite
def v1_cards(draw: st.DrawFn) -> dict[str, Any]:
    texts = {key: draw(TEXTS) for key in V1_TEXTS}
    return {**draw(STRANGE_KEYS), "name": draw(WORDS), **texts}


@st.composite
def card_data(draw: st.DrawFn) -> dict[str, Any]:
    data: dict[str, Any] = {**draw(STRANGE_KEYS), "name": draw(WORDS), **{key: draw(TEXTS) for key in V2_TEXTS}}
    data |= {
        "alternate_greetings": draw(st.lists(TEXTS, max_size=3)),
        "tags": draw(st.lists(TEXTS, max_size=3)),
        "extensions": draw(EXTENSIONS),
    }
    if draw(st.booleans()):
        data["character_book"] = draw(BOOKS)
    return data


@st.composite
def v2_cards(draw: st.DrawFn) -> dict[str, Any]:
    return {**draw(STRANGE_KEYS), "spec": "chara_card_v2", "spec_version": "2.0", "data": draw(card_data())}


@st.composite
def v3_cards(draw: st.DrawFn) -> dict[str, Any]:
    data = {**draw(card_data()), "group_only_greetings": draw(st.lists(TEXTS, max_size=2))}
    data |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "nickname": WORDS,
                "source": st.lists(TEXTS, max_size=2),
                "creation_date": st.integers(0, 2**33),
                "creator_notes_multilingual": st.dictionaries(st.sampled_from(("en", "de", "zh")), TEXTS, max_size=2),
                "assets": st.just([{"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"}]),
            },
        )
    )
    return {**draw(STRANGE_KEYS), "spec": "chara_card_v3", "spec_version": "3.0", "data": data}


CARDS = st.one_of(v1_cards(), v2_cards(), v3_cards())
