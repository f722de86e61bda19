"""Cards written as YAML: what they mean, and what is refused before it grows."""

import json
import re

import pytest
import yaml
from hypothesis import assume, given, settings

from bot.characters.card import to_v3
from bot.characters.importing import Imported, read_card
from bot.config import CharacterSettings
from bot.errors import CardError
from tests.characters.files import v3
from tests.characters.generated_cards import v3_cards

LIMITS = CharacterSettings()


def read(text: str, limits: CharacterSettings = LIMITS) -> Imported:
    return read_card(text.encode(), "ada.yaml", limits)


def refusal(text: str, limits: CharacterSettings = LIMITS) -> str:
    """The sentence with which a file is refused; the next good one is read as ever."""
    with pytest.raises(CardError) as refused:
        read(text, limits)
    assert read("name: Ada\ncontext: kind").card.description == "kind"
    assert str(refused.value).startswith("ada.yaml: ")
    return str(refused.value)


WEBUI = """
name: Ada
your_name: Ben
greeting: |-
  *looks up* Yes, {{user}}?
context: |
  {{char}} mends clocks.
example_dialogue: |-
  {{user}}: What time is it?
  {{char}}: That depends on the clock.
turn_template: <|user|>
"""


def test_a_character_of_text_generation_webui_becomes_a_card():
    """Context, greeting and example dialogue find their places; what has none is kept beside."""
    found = read(WEBUI)
    card = found.card

    assert (found.format, card.name, card.description) == ("webui", "Ada", "{{char}} mends clocks.\n")
    assert card.first_mes == "*looks up* Yes, {{user}}?"
    assert [[(line.by_character, line.text) for line in dialogue] for dialogue in card.examples] == [
        [(False, "What time is it?"), (True, "That depends on the clock.")]
    ]
    assert card.document()["data"]["extensions"] == {"text_generation_webui": {"your_name": "Ben", "turn_template": "<|user|>"}}


def test_the_same_character_may_be_json_and_be_called_bot():
    """Older files of that program are JSON, and some name the character by its part."""
    found = read(json.dumps({"bot": "Ada", "context": "kind", "greeting": None, "tags": ["clocks"]}))

    assert (found.format, found.card.name, found.card.first_mes, found.card.tags) == ("webui", "Ada", "", ("clocks",))


@settings(max_examples=60, deadline=None)
@given(v3_cards())
def test_a_card_written_as_yaml_is_the_card(document):
    """Every V3 card means the same in YAML as in JSON."""
    written = yaml.safe_dump(document, sort_keys=False, default_flow_style=False)
    assume(not re.search(r"\b[0-9]+e[0-9]", written))  # the dumper follows YAML 1.1, where 1e5 is a word

    assert to_v3(read(written).card) == document


def test_older_cards_may_be_yaml_too():
    """V2, V1, the Pygmalion names, and an elizaOS character."""
    assert read("spec: chara_card_v2\nspec_version: 2.0\ndata:\n  name: Ada\n  description: kind").card.spec == "v2"
    assert read("name: Ada\ndescription: kind").format == "yaml"
    assert read("char_name: Ada\nchar_persona: kind").card.description == "kind"
    assert read("name: Ada\nbio: [kind, old]").format == "elizaos"


def test_plain_words_are_what_they_look_like():
    """A character may be called No or 1984; dates are text; what the card counts with are numbers."""
    text = "spec: chara_card_v3\nspec_version: 3.0\ndata:\n  name: No\n  nickname: 1984\n  character_version: 1.10\n  creator: true\n"
    text += (
        "  born: 2001-02-03\n  at: 12:30\n  empty:\n  on: on\n  number: 1_000\n  octal: 010\n  small: -1.5e3\n  '7': \"7\"\n  not: .nan\n"
    )
    text += "  extensions: {character_version: 1.10, creator: true}\n"

    data = read(text).card.document()["data"]

    assert (data["name"], data["nickname"], data["character_version"], data["creator"]) == ("No", "1984", "1.10", "true")
    assert (data["born"], data["at"], data["empty"], data["on"]) == ("2001-02-03", "12:30", None, "on")
    assert (data["number"], data["octal"], data["small"], data["7"], data["not"]) == ("1_000", 10, -1500.0, "7", ".nan")
    assert data["extensions"] == {"character_version": 1.1, "creator": True}  # somebody else's fields of the same name


def test_an_alias_stands_for_what_was_written():
    """A few of them are a convenience."""
    found = read("name: Ada\ndescription: &d kind\npersonality: *d\nextra: &e [1, {a: *d}]\nmore: *e")

    assert found.card.personality == "kind"
    assert found.card.document()["more"] == [1, {"a": "kind"}]


def test_aliases_that_unfold_without_end_are_refused():
    """Nine levels of ten aliases would be a billion texts; one inside itself has no end at all."""
    bomb = "a0: &a0 [lol, lol]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    merged = "a0: &a0 {x: y}\n" + "".join(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    deep = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 40))

    assert "unfolds to more than 2,097,152 bytes, which is the limit (characters.json_bytes)" in refusal("name: Ada\n" + bomb)
    assert "unfolds to more than" in refusal("name: Ada\n" + merged)
    assert "nested deeper than 32 levels" in refusal("name: Ada\n" + deep)
    assert "alias *a stands for nothing" in refusal("name: Ada\nx: &a [1, *a]")
    assert "alias *b stands for nothing" in refusal("name: *b")


def test_what_is_too_big_or_too_deep_is_refused_by_number():
    """Bytes, levels, and a million empty values."""
    assert "1,101 bytes; the limit is 1,024" in refusal("x: " + "y" * 1098, CharacterSettings(json_bytes=1024))
    assert "deeper than 32 levels" in refusal("name: Ada\nx: " + "[" * 500_000)
    assert "deeper than 32 levels" in refusal("- " * 500_000)
    assert "unfolds to more than" in refusal("x:\n" + "- ''\n" * 400_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: 'Ada", "is not valid YAML: found unexpected end of stream (line"),
        ("name: Ada\n\tcontext: kind", "is not valid YAML"),
        ("name: Ada\n---\nname: Ben", "more than one YAML document"),
        ("[a]: b", "not valid JSON"),
        ("? [a]\n: b", "a list or an object where a field's name belongs"),
        ("just some words", "is text, not an object"),
        ("", "is null, not an object"),
        ("name: \x07", "is not valid YAML"),
        ("title: Ada", "neither data nor name"),
        ("name: [Ada]\ncontext: kind", "data.name must be text, not a list"),
    ],
)
def test_what_is_no_card_is_refused_with_a_sentence(text, says):
    """And where there is a line, it is named."""
    assert says in refusal(text)


def test_tags_make_no_objects():
    """A tag of Python's or of a set is passed by; what stands there is read as what it is."""
    data = read("name: !!str 7\na: !!python/name:os.system x\nb: !!set {c}")

    assert (data.card.name, data.card.document()["a"], data.card.document()["b"]) == ("7", "x", {"c": None})


def test_bytes_that_are_no_text_are_refused():
    """The byte is named."""
    with pytest.raises(CardError, match="not UTF-8 at byte 6"):
        read_card(b"name: \xff", "ada.yaml", LIMITS)


def test_a_byte_order_mark_does_not_matter():
    """Before JSON and before YAML."""
    assert read_card(b"\xef\xbb\xbf" + json.dumps(v3()).encode(), "ada", LIMITS).format == "json"
    assert read_card(b"\xef\xbb\xbfname: Ada", "ada", LIMITS).card.name == "Ada"
