"""Macros and example dialogue."""

from hypothesis import given
from hypothesis import strategies as st

from bot.characters.macros import ExampleLine, example_dialogues, fill_macros


def test_char_and_user_are_filled_whatever_their_case():
    """All spellings that cards use."""
    text = "{{char}} {{Char}} {{ CHAR }} <BOT> <char> meets {{user}} {{USER}} <User>"

    assert fill_macros(text, "Ada", "Ben") == "Ada Ada Ada Ada Ada meets Ben Ben Ben"


def test_what_a_name_contains_is_not_expanded_again():
    """Somebody called {{char}} stays called that."""
    assert fill_macros("Hello {{user}}", "Ada", "{{char}}") == "Hello {{char}}"


def test_comments_vanish_and_unknown_macros_stay():
    """Nothing is guessed."""
    assert fill_macros("a{{// secret}}b{{comment: x}}c{{hidden_key:y}}d {{weather}}", "A", "B") == "abcd {{weather}}"


def test_random_choices_are_the_same_every_time():
    """The prefix of a prompt must not change between turns."""
    text = "{{random:red,green,blue}} {{pick::1::2}} {{roll:d6}}"

    filled = fill_macros(text, "A", "B")

    assert filled == fill_macros(text, "A", "B")
    colour, number, rolled = filled.split()
    assert colour in ("red", "green", "blue")
    assert number in ("1", "2")
    assert 1 <= int(rolled) <= 6


@given(st.text(), st.text(), st.text())
def test_any_text_can_be_filled(text, char, user):
    """No text is a crash."""
    assert isinstance(fill_macros(text, char, user), str)


def test_example_dialogue_is_parted_at_start_and_by_speaker():
    """<START> parts dialogues, a line without a speaker goes on with the one before."""
    text = "<START>\n{{user}}: Hello\n{{char}}: Good day.\nSit down.\n<start>\n{{User}}: Bye\nAda: Mind the step."

    assert example_dialogues(text, ("Ada",)) == (
        (ExampleLine(False, "Hello"), ExampleLine(True, "Good day.\nSit down.")),
        (ExampleLine(False, "Bye"), ExampleLine(True, "Mind the step.")),
    )


def test_a_line_without_a_speaker_is_the_characters():
    """Prose at the head of an example is taken as what the character does."""
    assert example_dialogues("She waves.") == ((ExampleLine(True, "She waves."),),)
    assert example_dialogues("") == ()


def test_a_colon_in_prose_opens_no_line():
    """Only the two speakers do."""
    assert example_dialogues("{{char}}: One thing:\nRule: be kind.") == ((ExampleLine(True, "One thing:\nRule: be kind."),),)
