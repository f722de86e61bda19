"""A reply stays one speaker's."""

from hypothesis import given
from hypothesis import strategies as st

from bot.sessions.speaker_guard import SpeakerGuard

OWN = ["Mara Quill", "Mara"]
OTHERS = ["Odo Brandt", "Odo", "Anna"]


def spoken(text: str, step: int = 1) -> SpeakerGuard:
    guard = SpeakerGuard(OWN, OTHERS)
    for at in range(0, len(text), step):
        guard.feed(text[at : at + step])
    return guard


def test_a_line_of_somebody_else_is_cut():
    guard = spoken("Cold night.\nAnna: I know, right?\nMara: Aye.")

    assert guard.finish() == "Cold night."
    assert guard.cut


def test_the_characters_own_name_is_taken_off_once():
    assert spoken("Mara Quill: Mara: is what they call me.").finish() == "Mara: is what they call me."


def test_markdown_around_a_name_does_not_hide_it():
    assert spoken("**Mara:** Cold.\n**Odo:** Warm.").finish() == "Cold."


def test_prose_with_a_colon_is_not_cut():
    text = "One rule: never whistle.\nThree things: rope, oil, patience.\nAnna knows it too."

    guard = spoken(text)

    assert guard.finish() == text
    assert not guard.cut


def test_a_name_that_is_still_being_written_is_not_shown():
    guard = SpeakerGuard(OWN, OTHERS)
    shown = [guard.feed(piece) for piece in ["Cold.", "\nAn", "na", ": hm"]]

    assert shown == ["Cold."] * 4


def test_a_word_that_began_like_a_name_is_shown_once_it_is_none():
    guard = SpeakerGuard(OWN, OTHERS)
    guard.feed("Cold.\nAnn")

    assert guard.feed("oying, too.") == "Cold.\nAnnoying, too."


@given(st.text(alphabet="MaraOdoAnna: \n*bc", max_size=60), st.integers(1, 7))
def test_what_is_shown_only_grows_and_does_not_depend_on_the_pieces(text, step):
    guard = SpeakerGuard(OWN, OTHERS)
    before = ""
    for at in range(0, len(text), step):
        shown = guard.feed(text[at : at + step])
        assert shown.rstrip().startswith(before.rstrip()) or before == ""
        before = shown

    assert guard.finish() == spoken(text, len(text) or 1).finish()
