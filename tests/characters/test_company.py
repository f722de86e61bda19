"""The shipped company: what every one of its members brings."""

import io
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from bot.characters.cast import Cast, read_character
from bot.characters.casting_sheet import casting_sheet, voices_sheet
from bot.characters.lines import read_lines
from bot.characters.portrait import portrait_for
from bot.characters.troupe_settings import PROFILE_FIELDS
from bot.characters.validate import validate_folder
from bot.config import CharacterSettings, SessionSettings
from bot.messages import HOUSE

COMPANY = Path(__file__).parents[2] / "characters"
SLUGS = sorted(path.parent.name for path in COMPANY.glob("*/card.json"))
LIMITS = CharacterSettings()


def test_the_company_is_there():
    """Six to eight people, one of whom speaks Chinese and sleeps at first."""
    cast = Cast.load(COMPANY, LIMITS)

    assert cast.problems == ()
    assert 6 <= len(cast.house) <= 8
    chinese = [character for character in cast.house if "zh" in character.settings.languages]
    assert [character.settings.awake for character in chinese] == [False]
    assert "Qwen" in chinese[0].card.creator_notes


@pytest.mark.parametrize("slug", SLUGS)
def test_nothing_is_wrong_in_a_members_folder(slug):
    """validate, as an operator would run it."""
    assert validate_folder(COMPANY / slug, LIMITS) == []


@pytest.mark.parametrize("slug", SLUGS)
def test_a_member_brings_everything_a_character_needs(slug):
    """Profile, greetings, examples, lorebook, voice, portrait; 120 lines and 20 held out."""
    member = read_character(COMPANY / slug, LIMITS)
    card, settings = member.card, member.settings

    assert set(settings.profile) == set(PROFILE_FIELDS)
    assert len(card.greetings) == 3
    assert len(card.examples) == 3
    assert card.book is not None
    assert len(card.book.entries) == 8
    assert all((settings.tagline, settings.emoji, settings.catchphrases, settings.cannot_know, settings.voice.description))
    assert settings.sampling_changes
    assert card.warnings == ()
    assert len(member.lines) == 120
    assert len(read_lines(COMPANY / slug / "held_out.jsonl", LIMITS)) == 20
    assert all(line.emotion and line.scene for line in member.lines)


@pytest.mark.parametrize("slug", SLUGS)
def test_a_members_portrait_is_the_one_that_its_card_describes(slug):
    """The file shows what the code draws, so a changed card needs a new file; other machines may round a pixel otherwise."""
    drawn = io.BytesIO(portrait_for(read_character(COMPANY / slug, LIMITS).card))
    with Image.open(COMPANY / slug / "portrait.png") as shipped, Image.open(drawn) as anew:
        difference = ImageStat.Stat(ImageChops.difference(shipped.convert("RGB"), anew.convert("RGB")))

    assert max(difference.mean) < 2, difference.mean


def test_everybody_was_asked_the_same_questions():
    """At least 25 questions are shared word for word by all who speak English, so that only the person explains the answer."""
    english = [character for character in Cast.load(COMPANY, LIMITS).house if "en" in character.settings.languages]
    asked = Counter(said for character in english for said in {line.said for line in character.lines})

    assert sum(count == len(english) for count in asked.values()) >= 25


def test_nobody_answers_in_anybody_elses_words():
    """No reply is used twice in the whole company."""
    replies = Counter(line.reply.casefold() for character in Cast.load(COMPANY, LIMITS).house for line in character.lines)

    assert [reply for reply, count in replies.items() if count > 1] == []


def test_sheets_of_the_whole_company_can_be_printed():
    """show and voices, for everybody."""
    company = Cast.load(COMPANY, LIMITS).seen_in(HOUSE)

    assert all(character.name in casting_sheet(character, len, SessionSettings()) for character in company)
    assert voices_sheet(company, seed=3).count("  – ") == 6 * len(company)
