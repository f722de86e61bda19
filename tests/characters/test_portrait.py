"""Drawn portraits and pictures from strangers."""

import io

import pytest
from PIL import Image

from bot.characters.card import new_card
from bot.characters.images import portrait_png
from bot.characters.portrait import draw_portrait, portrait_for, suggested_settings, write_portrait
from bot.characters.portrait_features import OBJECTS
from bot.characters.troupe_settings import HAIR_STYLES, PortraitSettings
from bot.config import CharacterSettings
from bot.errors import CardError
from tests.characters.files import picture

LIMITS = CharacterSettings()


def test_the_same_card_always_has_the_same_portrait():
    """Drawn anew anywhere, byte for byte; somebody else looks different."""
    ada, bea = new_card("Ada", LIMITS), new_card("Bea", LIMITS)

    assert portrait_for(ada) == portrait_for(ada)
    assert portrait_for(ada) != portrait_for(bea)


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_every_hair_style_is_drawn(style):
    """512 x 512, small enough to ship."""
    data = draw_portrait(PortraitSettings("#7a2e2e", "#8a9a86", "#2b2326", style, "#e8b23a", glasses=True, beard=True), style)

    with Image.open(io.BytesIO(data)) as drawn:
        assert drawn.size == (512, 512)
    assert len(data) < 150_000


@pytest.fixture(scope="module")
def plain_portrait() -> bytes:
    return draw_portrait(PortraitSettings("#2b4257", "#d9b79c", "#b9bcc0", "bun", "#1f3a4d"), "Ada")


@pytest.mark.parametrize("feature", ["", "flour", "moustache", "freckles", "scar", "a thing nobody knows", *OBJECTS])
def test_every_feature_is_drawn_and_unknown_ones_are_left_out(feature, plain_portrait):
    """What stands beside the figure changes the picture; an unknown word does not break it."""
    drawn = draw_portrait(PortraitSettings("#2b4257", "#d9b79c", "#b9bcc0", "bun", "#1f3a4d", feature=feature), "Ada")

    assert (drawn == plain_portrait) is (feature in ("", "a thing nobody knows"))


def test_a_card_without_looks_is_drawn_as_its_description_says():
    """Words that tell of looks are followed; the rest is the name's."""
    looks = suggested_settings(
        new_card("Brother Ash", LIMITS, description="A hooded monk with a beard and glasses, always reading a book.")
    )

    assert (looks.hair_style, looks.beard, looks.glasses, looks.feature) == ("hood", True, True, "book")


def test_a_portrait_is_written_into_the_characters_folder(tmp_path):
    """For the command that makes the shipped ones."""
    path = write_portrait(new_card("Ada", LIMITS), tmp_path)

    assert path.read_bytes() == portrait_for(new_card("Ada", LIMITS))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_strangers_picture_is_made_small_and_bare(kind):
    """At most 1024 a side, PNG, and none of the original's extra data."""
    data = portrait_png(picture(1500, kind), LIMITS, "the portrait")

    with Image.open(io.BytesIO(data)) as made:
        assert (made.format, max(made.size), made.info) == ("PNG", 1024, {})


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_pixel_is_taken(mode):
    """Palette, grey, alpha, 16 bits."""
    written = io.BytesIO()
    Image.new(mode, (40, 30)).save(written, "PNG")

    with Image.open(io.BytesIO(portrait_png(written.getvalue(), LIMITS, "x"))) as made:
        assert made.size == (40, 30)


def test_what_is_no_picture_is_refused():
    """And the next picture is taken."""
    for data in (b"", b"nonsense", picture()[:50], b"<svg/>"):
        with pytest.raises(CardError, match="not a picture"):
            portrait_png(data, LIMITS, "the portrait")

    assert portrait_png(picture(), LIMITS, "the portrait")


def test_too_many_pixels_are_refused_with_the_number():
    """characters.pixels."""
    with pytest.raises(CardError, match="100 x 100 = 10,000 pixels; the limit is 9,000"):
        portrait_png(picture(100), CharacterSettings(pixels=9000), "the portrait")
