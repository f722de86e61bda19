"""Who answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.characters.cast import Cast
from bot.config import CharacterSettings
from bot.sessions.casting import Call, cast_reply, is_out_of_character, named_in
from tests.house import HERE


@pytest.fixture(scope="module")
def company():
    return {c.slug: c for c in Cast.load(HERE / "characters", CharacterSettings()).house}


def slugs(characters):
    return [c.slug for c in characters]


def answer(company, text, *awake, **more):
    call = Call(text, [company[slug] for slug in awake], **more)
    return slugs(cast_reply(call, speakers=3, always=True, seed=1))


def test_whoever_is_named_answers_in_the_order_of_the_names(company):
    assert answer(company, "Odo, have you seen Mara?", "mara-quill", "odo-brandt", "ludo-marchbanks") == ["odo-brandt", "mara-quill"]


def test_a_name_counts_only_as_a_whole_word(company):
    everyone = list(company.values())

    assert named_in("What an odorous marathon, Ludovico!", everyone) == []
    assert slugs(named_in("ODO!", everyone)) == ["odo-brandt"]
    assert slugs(named_in("(mara's lamp)", everyone)) == ["mara-quill"]


def test_a_chinese_name_counts_without_blanks_around_it(company):
    assert slugs(named_in("请问周美兰在吗", list(company.values()))) == ["zhou-meilan"]


def test_whoever_is_replied_to_comes_first(company):
    assert answer(company, "Mara would agree.", "mara-quill", "odo-brandt", replied_to=company["odo-brandt"]) == [
        "odo-brandt",
        "mara-quill",
    ]


def test_an_addressed_character_answers_even_when_it_is_asleep(company):
    assert answer(company, "hello", "odo-brandt", addressed=[company["ines-calloway"]]) == ["ines-calloway"]


def test_somebody_answers_when_nobody_is_named(company):
    for seed in range(50):
        call = Call("What a night.", [company["mara-quill"], company["odo-brandt"]])

        assert cast_reply(call, speakers=3, always=True, seed=seed)


def test_the_dice_may_say_nobody_where_that_is_wanted(company):
    call = Call("What a night.", [company["mara-quill"]])

    assert [] in [cast_reply(call, speakers=3, always=False, seed=seed) for seed in range(50)]


def test_the_same_turn_has_the_same_cast(company):
    call = Call("What a night.", list(company.values()))

    assert cast_reply(call, speakers=3, always=True, seed=7) == cast_reply(call, speakers=3, always=True, seed=7)


@pytest.mark.parametrize("text", ["((Mara is slow today))", "(ooc Mara, brb)", "(OOC) Mara?", "// Mara, ignore this"])
def test_what_is_said_beside_the_play_is_not_answered(company, text):
    assert is_out_of_character(text)
    assert answer(company, text, "mara-quill") == []


@given(text=st.text(max_size=200), seed=st.integers(0, 2**31))
def test_any_text_has_at_most_the_allowed_speakers_and_nobody_twice(company, text, seed):
    awake = list(company.values())

    cast = cast_reply(Call(text, awake), speakers=3, always=True, seed=seed)

    assert len(cast) <= 3
    assert len({c.id for c in cast}) == len(cast)
