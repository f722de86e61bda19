"""Character cards as JSON: what is read, what is refused, and that nothing is lost."""

import json
from typing import Any

import pytest
from hypothesis import given, settings

from bot.characters.card import Card, card_from_document, new_card, parse_card, to_v2, to_v3, with_fields, write_card
from bot.config import CharacterSettings
from bot.errors import CardError
from bot.messages import Sampling
from tests.characters.generated_cards import CARDS, V1_TEXTS, v1_cards, v2_cards, v3_cards

LIMITS = CharacterSettings()


def v3(**data: Any) -> dict[str, Any]:
    return {"spec": "chara_card_v3", "spec_version": "3.0", "data": {"name": "Ada", **data}}


def read(document: object, limits: CharacterSettings = LIMITS) -> Card:
    return parse_card(json.dumps(document).encode(), limits, "ada.json")


def still_reads_a_good_card() -> bool:
    return read(v3(description="A clockmaker.")).description == "A clockmaker."


# ------------------------------------------------------------------ nothing is lost


@settings(max_examples=60, deadline=None)
@given(v2_cards())
def test_a_v2_card_comes_back_exactly_as_it_was(document):
    """Export as V2 of a V2 card is the same document, unknown keys and extensions included."""
    assert json.loads(write_card(read(document), "v2")) == document


@settings(max_examples=60, deadline=None)
@given(v3_cards())
def test_a_v3_card_comes_back_exactly_as_it_was(document):
    """Export as V3 of a V3 card is the same document."""
    assert json.loads(write_card(read(document), "v3")) == document


@settings(max_examples=60, deadline=None)
@given(CARDS)
def test_a_card_means_the_same_in_every_version(document):
    """Through V3 and V2 and back, every field that we show is equal, and everything the document held is still in it."""
    card = read(document)

    there = parse_card(write_card(card, "v3"), LIMITS)
    back = parse_card(write_card(there, "v2"), LIMITS)

    for other in (there, back):
        assert seen(other) == seen(card)
        assert kept(document, other.document())


@settings(max_examples=40, deadline=None)
@given(v1_cards())
def test_a_v1_card_keeps_its_flat_fields_for_old_programs(document):
    """The V3 document of a V1 card has the flat fields at the top as before, and repeats them in data."""
    written = to_v3(read(document))

    assert all(written[key] == written["data"][key] == document[key] for key in V1_TEXTS)


def seen(card: Card) -> dict[str, Any]:
    names = [name for name in Card.__slots__ if name not in ("spec", "spec_version", "warnings", "text")]
    return {name: getattr(card, name) for name in names}


def kept(before: Any, after: Any) -> bool:
    """Whether everything in ``before`` is in ``after``; only versions may differ, and fields may be added."""
    if isinstance(before, dict):
        return all(key in after and kept(value, after[key]) for key, value in before.items() if key not in ("spec", "spec_version"))
    if isinstance(before, list):
        return len(before) == len(after) and all(map(kept, before, after))
    return before == after


def test_half_characters_survive_in_the_document_and_never_reach_a_prompt():
    """JSON may hold half of an emoji; it is given back as it came, and shown as U+FFFD."""
    data = b'{"spec": "chara_card_v3", "spec_version": "3.0", "data": {"name": "Ada", "description": "a \\ud83d b"}}'

    card = parse_card(data, LIMITS)

    assert card.description == "a \ufffd b"
    assert json.loads(write_card(card)) == json.loads(data)


# ------------------------------------------------------------------ what is read


def test_a_newer_version_is_read_with_a_warning():
    """spec_version 3.7 and a spec that does not exist yet are read as V3; the card says so."""
    newer = read({**v3(), "spec_version": "3.7"})
    newest = read({**v3(), "spec": "chara_card_v9", "spec_version": "9.0"})

    assert "3.7" in newer.warnings[0]
    assert "chara_card_v9" in newest.warnings[0]
    assert json.loads(write_card(newest))["spec"] == "chara_card_v9"


def test_pygmalion_fields_are_a_v1_card_by_another_name():
    """char_name, char_persona and so on are read as V1 and exported as V3."""
    card = read({"char_name": "Ada", "char_persona": "kind", "char_greeting": "Hi", "example_dialogue": "", "world_scenario": "a shop"})

    assert (card.name, card.description, card.first_mes, card.scenario) == ("Ada", "kind", "Hi", "a shop")
    assert to_v3(card)["data"]["name"] == "Ada"


def test_macros_stand_for_the_nickname_where_there_is_one():
    """V3: {{char}} is the nickname, or the name where it is empty."""
    assert read(v3(nickname="Addie")).char == "Addie"
    assert read(v3(nickname="")).char == "Ada"


def test_a_card_with_null_and_odd_lists_is_read_with_warnings():
    """SillyTavern opens such cards, so we do: null is absent, a list of the wrong kind is left aside."""
    card = read(v3(description=None, tags="a,b", alternate_greetings=["Hi", 3], extensions=[]))

    assert card.description == ""
    assert card.tags == ()
    assert card.alternate_greetings == ("Hi",)
    assert len(card.warnings) == 2


def test_what_troupe_is_told_is_read_from_its_own_extension():
    """extensions.troupe gives settings; sampling changes lie over what the house uses."""
    troupe = {
        "tagline": "Mends clocks",
        "emoji": "🕰️",
        "awake": False,
        "age_restricted": True,
        "sampling": {"temperature": 0.7, "max_tokens": 90},
        "catchphrases": ["Tick."],
        "cannot_know": ["the news"],
        "voice": {"engine": "espeak-ng", "pitch": 40},
        "profile": {"identity": "a clockmaker"},
        "portrait": {"background": "#AABBCC", "skin": "#d9b79c", "hair": "#111111", "hair_style": "bun", "clothes": "#222222"},
    }

    settings = read(v3(extensions={"troupe": troupe, "talkativeness": "0.3"})).settings

    assert (settings.tagline, settings.awake, settings.age_restricted, settings.talkativeness) == ("Mends clocks", False, True, 0.3)
    assert settings.sampling(Sampling(seed=5)) == Sampling(temperature=0.7, max_tokens=90, seed=5)
    assert settings.portrait is not None
    assert settings.portrait.background == "#aabbcc"
    assert settings.voice.pitch == 40


def test_our_own_talkativeness_wins_over_a_strangers():
    """extensions.troupe.talkativeness before extensions.talkativeness; nonsense in the latter is a warning."""
    both = read(v3(extensions={"troupe": {"talkativeness": 0.9}, "talkativeness": "0.1"}))
    nonsense = read(v3(extensions={"talkativeness": "chatty"}))

    assert both.settings.talkativeness == 0.9
    assert nonsense.settings.talkativeness == 0.5
    assert "chatty" in nonsense.warnings[0]


def test_an_edited_field_changes_its_old_copies_too():
    """Programs that read only V1's flat fields see the edit as well."""
    card = read({"name": "Ada", "description": "before", "x-mine": 1})

    edited = with_fields(card, LIMITS, description="after")

    assert edited.description == edited.document()["description"] == "after"
    assert edited.document()["x-mine"] == 1


def test_a_backfilled_card_says_so_and_shows_no_decorators():
    """The V2 copy beside a V3 card has a note, and content that V2 programs can show."""
    card = new_card("Ada", LIMITS, character_book={"extensions": {}, "entries": [{"keys": ["x"], "content": "@@depth 2\nLore."}]})

    copy = to_v2(card, backfill=True)

    assert "V3" in copy["data"]["creator_notes"]
    assert copy["data"]["character_book"]["entries"][0]["content"] == "Lore."
    assert to_v2(card)["data"]["character_book"]["entries"][0]["content"] == "@@depth 2\nLore."


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not valid JSON"),
        (b"[1, 2]", "a list, not an object"),
        (b"{}", "neither data nor name"),
        (b'{"name": 7}', "name must be text, not a number"),
        (b'{"name": "Ada", "description": ["x"]}', "description must be text, not a list"),
        (b"\xff\xfe{}", "not UTF-8 at byte 0"),
        (b'{"name": "Ada", "x": NaN}', "NaN is not JSON"),
        (b'{"name": "Ada", "x": 1e999}', "1e999"),
        (b'{"name": "Ada", "x": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"spec": "lorebook_v3", "data": {"entries": []}}', "lorebook"),
        (b'{"spec": "chara_card_v3", "spec_version": "3.0", "data": {}}', "data.name is empty"),
        (json.dumps(v3(character_book="x")).encode(), "data.character_book must be an object"),
        (json.dumps(v3(character_book={"entries": 3})).encode(), "data.character_book.entries must be a list"),
        (json.dumps(v3(tags=["x"] * 501)).encode(), "data.tags has 501 items; the limit is 500"),
        (json.dumps(v3(extensions={"troupe": []})).encode(), "data.extensions.troupe must be an object"),
        (json.dumps(v3(extensions={"troupe": {"awake": "yes"}})).encode(), "troupe.awake must be true or false, not text"),
        (json.dumps(v3(extensions={"troupe": {"tagline": "x" * 121}})).encode(), "troupe.tagline has 121 characters; the limit is 120"),
        (json.dumps(v3(extensions={"troupe": {"sampling": {"temperature": 9}}})).encode(), "temperature is 9; it lies between 0 and 3"),
        (json.dumps(v3(extensions={"troupe": {"sampling": {"top_k": 2.5}}})).encode(), "top_k is 2.5; it must be a whole number"),
        (json.dumps(v3(extensions={"troupe": {"sampling": {"warmth": 1}}})).encode(), "sampling.warmth is not known"),
        (json.dumps(v3(extensions={"troupe": {"sampling": {"top_k": 10**400}}})).encode(), "top_k is 1000"),
        (json.dumps(v3(extensions={"troupe": {"catchphrases": ["a", 2]}})).encode(), "catchphrases[1] must be text, not a number"),
        (
            json.dumps(v3(extensions={"troupe": {"portrait": {"skin": "red"}}})).encode(),
            "portrait.skin is 'red'; a colour is written #rrggbb",
        ),
        (json.dumps(v3(extensions={"troupe": {"portrait": {"hair_style": "mohawk"}}})).encode(), "hair_style is 'mohawk'"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused_by_field_and_number(data, says):
    """Every refusal names the card and what is wrong in it; the next card is read as ever."""
    with pytest.raises(CardError) as refused:
        parse_card(data, LIMITS, "ada.json")

    assert says in str(refused.value)
    assert "ada.json" in str(refused.value)
    assert still_reads_a_good_card()


def test_json_deeper_than_the_limit_is_refused_before_it_is_parsed():
    """A million brackets never reach the recursive parser; brackets inside a string do not count."""
    deep = b'{"name": "Ada", "x": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"

    with pytest.raises(CardError, match="32 levels"):
        parse_card(deep[: LIMITS.json_bytes], LIMITS)

    assert parse_card(b'{"name": "Ada", "description": "' + b"[" * 1000 + b'"}', LIMITS).description == "[" * 1000


def test_json_over_the_size_limit_is_refused_with_both_numbers():
    """characters.json_bytes holds for the JSON itself."""
    with pytest.raises(CardError, match=r"2,048.*1,024|1,024.*json_bytes"):
        parse_card(b" " * 2048, CharacterSettings(json_bytes=1024))

    assert still_reads_a_good_card()


def test_a_string_that_never_ends_is_found_out_in_one_pass():
    """A million escaped quotes: the depth check and the parser each look once, and the refusal is a sentence."""
    with pytest.raises(CardError, match="not valid JSON"):
        parse_card(b'{"name": "' + b'\\"' * 1_000_000, LIMITS)

    assert still_reads_a_good_card()


def test_records_are_read_without_their_json():
    """What our own database gives back as an object is read the same way."""
    document = v3(description="A clockmaker.")

    assert card_from_document(document, LIMITS) == read(document)
