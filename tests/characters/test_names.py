"""Names: what platforms refuse, what looks alike, and slugs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.characters.card import new_card
from bot.characters.names import check_name, fold_name, is_slug, looks_like, slugify, tidy_name
from bot.config import CharacterSettings
from bot.errors import CardError

LIMITS = CharacterSettings()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("x" * 81, "has 81 characters; a name has at most 80"),
        ("Bonnie and CLYDE", "'clyde'"),
        ("DisCordia", "'discord'"),
        ("Here", "keeps for itself"),
        ("everyone", "keeps for itself"),
        ("Ada\nBob", "U+000A"),
        ("Ada\u200b", "U+200B"),
        ("\u202eadA", "U+202E"),
        ("A\x00da", "U+0000"),
        ("Ada\u3164", "U+3164"),
        ("\ud83d Ada", "U+D83D"),
        ("...", "no letter, number or symbol"),
        ("a" + "\u0301" * 12, "stacks"),
    ],
)
def test_a_name_that_a_platform_refuses_is_refused_at_registration(name, says):
    """The refusal names the field; the next good name is taken."""
    with pytest.raises(CardError) as refused:
        new_card(name, LIMITS)

    assert says in str(refused.value)
    assert "name" in str(refused.value)
    assert new_card("Ada", LIMITS).name == "Ada"


@pytest.mark.parametrize(
    "name", ["groundsphere", "Theresa", "周美兰", "Zoë", "Ada 2", "🦊", "Sir Reginald Featherstonehaugh III", "x" * 80, "Nobody there"]
)
def test_a_name_that_people_have_is_taken_as_it_is(name):
    """Scripts, accents, emoji and 80 characters are fine, and no letter is swapped for a look-alike."""
    assert new_card(name, LIMITS).name == name


def test_here_inside_a_name_is_a_warning_and_no_refusal():
    """Discord's API once refused "groundsphere"; refusing every Theresa would be worse, so the card says what may happen."""
    assert "here" in new_card("groundsphere", LIMITS).warnings[0]
    assert new_card("Ada", LIMITS).warnings == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mara Quill", "mara  quill"),
        ("Mara Quill", "Маrа Quill"),  # Cyrillic M, a
        ("Mara Quill", "Mara\u200bQuill"),
        ("Ludo", "Iudo"),
        ("Odo", "0d0"),
        ("Zoë", "Zoe"),
        ("Mara Quill", "Ｍａｒａ Ｑｕｉｌｌ"),
        ("Barn", "Bam"),
    ],
)
def test_names_that_look_alike_are_known_as_such(one, other):
    """Case, accents, width, blanks, zero-width characters and letters of other scripts hide nobody."""
    assert looks_like(one, other)


@pytest.mark.parametrize(("one", "other"), [("Mara", "Tara"), ("Odo", "Ado"), ("周美兰", "周美蘭"), ("Ann", "Anna")])
def test_names_that_differ_to_the_eye_are_different(one, other):
    """Ordinary names are not taken for each other."""
    assert not looks_like(one, other)


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Mara Quill", "mara-quill"), ("Zoë O'Brien", "zoe-o-brien"), ("周美兰", "周美兰"), ("  --Ada--  ", "ada"), ("İpek", "ipek")],
)
def test_a_slug_stays_readable(name, slug):
    """Letters of any script stay; everything else becomes single hyphens."""
    assert slugify(name) == slug


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100))
def test_every_name_has_a_slug_that_cannot_leave_its_folder(name):
    """Whatever the name, the slug is a slug, and the same each time."""
    slug = slugify(name)

    assert is_slug(slug), (name, slug)
    assert slug == slugify(name)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100))
def test_a_name_is_taken_or_refused_and_never_crashes(name):
    """check_name says yes or gives a sentence; folding twice changes nothing."""
    try:
        check_name(tidy_name(name), "the name")
    except CardError as error:
        assert str(error).startswith("the name")
    assert fold_name(fold_name(name)) == fold_name(name)


@pytest.mark.parametrize("text", ["..", "a/b", "a\\b", "", "-a", "a--b", "A", "a b", "c:", "a" * 49, "a_b"])
def test_what_could_be_a_path_is_no_slug(text):
    """Slugs become folder names."""
    assert not is_slug(text)
