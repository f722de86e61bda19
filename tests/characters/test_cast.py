"""The cast: who is seen where, and whom a name means."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bot.characters.card import new_card, to_v3
from bot.characters.cast import Cast, Character, make_character, read_character
from bot.config import CharacterSettings
from bot.errors import CardError, CharacterNotFound
from bot.messages import HOUSE

LIMITS = CharacterSettings()


def house(*names: str) -> Cast:
    return Cast(make_character(HOUSE, name.lower().replace(" ", "-"), new_card(name, LIMITS)) for name in names)


def record(name: str, scope: str = "discord:1", **more: Any) -> dict[str, Any]:
    slug = more.pop("slug", name.lower().replace(" ", "-"))
    return {"scope": scope, "slug": slug, "name": name, "card": to_v3(new_card(name, LIMITS, **more)), "lines": [], "portrait": None}


def folder(home: Path, slug: str, name: str, **data: Any) -> Path:
    place = home / slug
    place.mkdir(parents=True)
    (place / "card.json").write_text(json.dumps(to_v3(new_card(name, LIMITS, **data))), encoding="utf-8")
    line = {"id": f"{slug}-1", "with": None, "said": "Hello", "reply": "Hm.", "emotion": None, "scene": None, "source": "original"}
    (place / "lines.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    return place


def test_folders_become_characters_and_held_out_lines_stay_away(tmp_path):
    """Card, lines and portrait are read; held_out.jsonl is for evaluation and never loaded."""
    place = folder(tmp_path, "mara-quill", "Mara Quill", extensions={"troupe": {"emoji": "🏮"}})
    shutil.copy(place / "lines.jsonl", place / "held_out.jsonl")
    (place / "held_out.jsonl").write_text((place / "lines.jsonl").read_text().replace("-1", "-h1").replace("Hm.", "canary"))
    (place / "portrait.png").write_bytes(b"png")

    mara = Cast.load(tmp_path, LIMITS).find(HOUSE, "mara-quill")

    assert (mara.id, mara.face.emoji, mara.portrait) == ("house/mara-quill", "🏮", place / "portrait.png")
    assert [line.reply for line in mara.lines] == ["Hm."]


def test_one_broken_folder_leaves_the_others_standing(tmp_path):
    """The problem names the file; the rest of the cast answers."""
    folder(tmp_path, "good", "Good One")
    (folder(tmp_path, "bad", "Bad One") / "card.json").write_text("{")
    folder(tmp_path, "Not A Slug", "Third One")

    cast = Cast.load(tmp_path, LIMITS)

    assert [character.name for character in cast.house] == ["Good One"]
    assert [("bad" in problem or "Not A Slug" in problem) for problem in cast.problems] == [True, True]
    assert cast.find(HOUSE, "good").name == "Good One"


def test_the_revision_changes_with_the_card_and_with_the_lines(tmp_path):
    """Stamps and cached prefixes go by it."""
    place = folder(tmp_path, "ada", "Ada")
    before = read_character(place, LIMITS)
    lines = place / "lines.jsonl"
    lines.write_text(lines.read_text().replace("Hm.", "Ha."))
    after = read_character(place, LIMITS)

    assert before.revision != after.revision
    assert read_character(place, LIMITS) == after


def test_a_registered_character_is_seen_in_its_own_scope_only():
    """Server B asks for server A's character, by any name or id: not found."""
    cast = house("Mara Quill").with_registered([record("Ada", "discord:1"), record("Bea", "telegram:5")], LIMITS)

    assert [character.name for character in cast.seen_in("discord:1")] == ["Ada", "Mara Quill"]
    assert [character.name for character in cast.seen_in(HOUSE)] == ["Mara Quill"]
    for name in ("Ada", "ada", "discord:1/ada"):
        with pytest.raises(CharacterNotFound):
            cast.find("discord:2", name)
    assert cast.find("telegram:5", "bea").scope == "telegram:5"


def test_a_scope_may_have_its_own_character_of_a_houses_slug():
    """It hides the house's there, and nowhere else."""
    cast = house("Ada").with_registered([record("Ada", description="mine")], LIMITS)

    assert cast.find("discord:1", "ada").card.description == "mine"
    assert cast.find("discord:2", "ada").card.description == ""


@pytest.mark.parametrize(
    "name", ["mara-quill", "Mara Quill", "MARA  QUILL", "Mára Quill", "Маrа Quill", "Mara\u200b Quill", "house/mara-quill", "mara", "Quill"]
)
def test_a_character_is_found_by_whatever_is_meant(name):
    """Slug, shown name, id, a word that fits only one; case, accents and look-alikes do not count."""
    assert house("Mara Quill", "Odo Brandt").find(HOUSE, name).slug == "mara-quill"


def test_a_name_of_nobody_gives_those_who_are_near():
    """The sentence helps whoever mistyped."""
    cast = house("Mara Quill", "Odo Brandt")

    with pytest.raises(CharacterNotFound, match="did you mean Mara Quill"):
        cast.find(HOUSE, "Mara Quil")
    with pytest.raises(CharacterNotFound, match="Mara Quill or Odo Brandt"):
        cast.find(HOUSE, "zzzzzz")
    with pytest.raises(CharacterNotFound, match="nobody else"):
        Cast([]).find(HOUSE, "Mara")


def test_a_word_that_fits_two_is_not_guessed():
    """The sentence names both."""
    with pytest.raises(CharacterNotFound, match="Mara Quill or Mara Stone; say the whole name"):
        house("Mara Quill", "Mara Stone").find(HOUSE, "mara")


def test_a_name_that_could_be_taken_for_another_is_known():
    """Nobody registers a second Mara Quill in other letters; the character itself may keep its name."""
    cast = house("Mara Quill")

    assert cast.taken("discord:1", "Маrа Quill") is cast.house[0]
    assert cast.taken("discord:1", "Mara Quill", but="house/mara-quill") is None
    assert cast.taken("discord:1", "Ada") is None


def test_registering_makes_a_new_cast_and_reuses_what_did_not_change():
    """Who holds the old cast still sees it whole; unchanged records are not read again."""
    first = house("Mara Quill").with_registered([record("Ada"), record("Bea")], LIMITS)
    second = first.with_registered([record("Ada"), record("Bea", description="new")], LIMITS)

    assert second.find("discord:1", "ada") is first.find("discord:1", "ada")
    assert second.find("discord:1", "bea").revision != first.find("discord:1", "bea").revision
    assert [character.name for character in second.with_registered([], LIMITS).seen_in("discord:1")] == ["Mara Quill"]


def test_a_bad_record_is_left_out_and_told():
    """A record without a scope, with a path for a slug, or without a card."""
    bad = [record("Ada", scope=""), record("Bea", slug="../bea"), {"scope": "discord:1", "slug": "cleo", "card": None}]

    cast = house("Mara Quill").with_registered([*bad, record("Dora")], LIMITS)

    assert len(cast.problems) == 3
    assert [character.name for character in cast.seen_in("discord:1")] == ["Dora", "Mara Quill"]


def test_an_operator_may_hide_a_shipped_character_with_another():
    """A record of the house stands before the folder of the same slug, and the folder comes back when it is gone."""
    shipped = house("Ada")

    hidden = shipped.with_registered([record("Ada", scope=HOUSE, description="mine")], LIMITS)

    assert hidden.find("discord:1", "ada").card.description == "mine"
    assert hidden.with_registered([], LIMITS).find("discord:1", "ada").card.description == ""


def test_a_character_of_a_bad_slug_is_refused():
    """Slugs become folder names."""
    with pytest.raises(CardError, match="mara-quill"):
        make_character(HOUSE, "a/b", new_card("Ada", LIMITS))


def test_characters_can_be_kept_in_sets():
    """Sessions keep them as keys."""
    one = house("Ada").house[0]
    again: Character = house("Ada").house[0]

    assert {one, again} == {one}
