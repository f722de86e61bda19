"""A profile holds what counting gives; a teacher adds statements that point to lines, or is told no."""

import asyncio
import json

import pytest

from bot.characters.cast import read_character
from bot.characters.lines import EMOTIONS, Exemplar
from bot.config import CharacterSettings
from bot.errors import EngineError
from tests.loopback.openai_server import openai_server
from tests.trainer.company import write_company
from trainer.asking import GROUPS, AnswerMisshapen, read_emotion, read_statements
from trainer.counting import catchphrases, never_mentioned, relations, style, typical_lines
from trainer.errors import SourceRefused
from trainer.manifest import MANIFEST
from trainer.profile import ANSWERS, ProfileSettings, profile

pytestmark = pytest.mark.trainer


def lines(*replies, said="And you?", with_name="Gwen"):
    return [Exemplar(f"a-{i}", with_name, said, reply, None, None, "test") for i, reply in enumerate(replies)]


class Script:
    """What the server says, by the last thing it was asked. One question at a time; after the ``last`` it fails."""

    def __init__(self, server, answer, last=None):
        self.server, self.answer, self.last = server, answer, last

    def __iter__(self):
        if len(self.server.questions) == self.last:
            self.server.behaviour = "status"
        messages = self.server.questions[-1]["messages"]
        return iter([self.answer(messages[-1]["content"], len(messages))])


def settings(server=None, **more):
    given = {"teacher": server.base_url, "teacher_model": "m", "concurrent": 1, "tries": 2, "wait_seconds": 0} if server else {}
    return ProfileSettings(**given, **more)


def told(folder, slug="ada-north"):
    return json.loads((folder / "characters" / slug / "profile.json").read_text(encoding="utf-8"))


# ------------------------------------------------------------------ counting


def test_what_one_says_again_and_again_and_others_do_not_is_a_catchphrase():
    own = lines(*(f"Seen worse, {thing}. It is what it is." for thing in ("rain", "snow", "fog", "hail", "wind")))
    others = [f"It is what it is, said {who}, and the sea is wide." for who in ("Odo", "Pia", "Len", "Tom", "Kit", "Ada", "Ida", "Una")]

    found = catchphrases(own, others)

    assert [p.text for p in found] == ["Seen worse"]
    assert found[0].lines == 5
    assert found[0].ids == ["a-0", "a-1", "a-2", "a-3", "a-4"]


def test_figures_of_style_are_counted():
    figures = style(lines("I don't know. Do you?", "Never! Never again…", "I think so."))

    assert figures["words"] == 11
    assert figures["words_per_line"] == {"median": 3, "p90": 3}
    assert figures["questions_per_100_sentences"] == 20.0
    assert figures["first_person_per_100_words"] == 18.2
    assert figures["unit"] == "words"
    assert style(lines("我不知道。你呢？"))["unit"] == "signs"


def test_relations_are_who_is_answered_and_who_is_named():
    found = relations([*lines("Yes, Odo.", "No."), *[Exemplar("b", "Odo", "Hm?", "Ask Gwen.", None, None, "t")]], ["Gwen"])

    assert [(r["name"], r["answered"], r["named"]) for r in found] == [("Gwen", 2, 1), ("Odo", 1, 1)]
    assert found[0]["ids"] == ["a-0", "a-1"]


def test_typical_lines_and_silences():
    own = lines("The kettle hums and the lamp is out again tonight.", "It is what it is and so are we all here.")
    others = ["It is what it is and so are we all here."] * 3

    assert typical_lines(own, others)[0]["id"] == "a-0"
    assert "telephones" not in never_mentioned(["Pick up the phone!"])
    assert "telephones" in never_mentioned(["我没有。"])
    assert "telephones" not in never_mentioned(["我的手机呢？"])


def test_without_a_teacher_a_profile_says_that_it_only_counted(tmp_path):
    company = write_company(tmp_path / "company")

    folder = profile(company, tmp_path / "profile", settings())

    document = told(folder)
    assert document["made_by"] == "counting"
    assert "Counted from the lines alone" in document["told"]
    assert {a["state"] for a in document["attributes"].values()} == {"needs a teacher"}
    assert document["emotions"] == "needs a teacher"
    assert set(document["attributes"]) == set(GROUPS)
    character = read_character(folder / "characters" / "ada-north", CharacterSettings())
    assert character.card.spec == "v3"
    assert "{{char}} lives at the harbour" in character.card.description
    assert len(character.lines) == 14
    figures = json.loads((folder / MANIFEST).read_text())["figures"]["characters"]["ada-north"]
    assert 0 < figures["card_tokens"] <= 150


def test_the_held_out_lines_are_carried_along_and_not_read(tmp_path):
    company = write_company(tmp_path / "company", slugs=("ada-north",))

    folder = profile(company, tmp_path / "profile", settings())

    held = (company / "ada-north" / "held_out.jsonl").read_text(encoding="utf-8")
    carried = (folder / "characters" / "ada-north" / "held_out.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line)["reply"] for line in carried.splitlines()] == [json.loads(line)["reply"] for line in held.splitlines()]
    assert "volcano" not in json.dumps(told(folder))


# ------------------------------------------------------------------ a teacher


async def test_statements_point_to_lines_and_emotions_are_labels(tmp_path):
    """The teacher's numbers become ids of lines; a card of at most 150 tokens is written of them."""
    company = write_company(tmp_path / "company", slugs=("ada-north",))
    async with openai_server() as server:
        server.words = Script(server, lambda asked, _: "joy" if "one word" in asked else "- Ada North writes everything down. [1, 3]")

        folder = await asyncio.to_thread(profile, company, tmp_path / "profile", settings(server))

    document = told(folder)
    assert document["made_by"].startswith("m@127.0.0.1")
    known = {e.id for e in read_character(company / "ada-north", CharacterSettings()).lines}
    for group in GROUPS:
        [statement] = document["attributes"][group]["statements"]
        assert len(statement["ids"]) == 2
        assert set(statement["ids"]) <= known
    assert document["emotions"]["distribution"] == {"joy": 14}
    character = read_character(folder / "characters" / "ada-north", CharacterSettings())
    assert {e.emotion for e in character.lines} == {"joy"}
    assert character.settings.profile["identity"] == "Ada North writes everything down."
    assert "{{char}} writes everything down." in character.card.description
    assert json.loads((folder / MANIFEST).read_text())["figures"]["emotions"] == {"joy": 14}


async def test_an_answer_out_of_form_is_asked_for_once_more(tmp_path):
    company = write_company(tmp_path / "company", slugs=("ada-north",))
    async with openai_server() as server:

        def answer(asked, messages):
            if "one word" in asked or "exactly one" in asked:
                return "Joy, because she is glad." if messages == 2 else "Joy."
            return "Ada is a clerk." if messages == 2 else "- Ada is a clerk. [2]"

        server.words = Script(server, answer)

        folder = await asyncio.to_thread(profile, company, tmp_path / "profile", settings(server))

    document = told(folder)
    assert {a["tries"] for a in document["attributes"].values()} == {2}
    assert {a["state"] for a in document["attributes"].values()} == {"told"}
    assert document["emotions"] == {"distribution": {"joy": 14}, "repaired": 14, "neutral_for_want_of_an_answer": 0}
    assert "'Ada is a clerk.' is no '- statement [numbers]'" in server.questions[1]["messages"][-1]["content"]


async def test_a_teacher_that_never_keeps_to_the_form_leaves_groups_empty_and_lines_neutral(tmp_path):
    company = write_company(tmp_path / "company", slugs=("ada-north",))
    async with openai_server() as server:
        folder = await asyncio.to_thread(profile, company, tmp_path / "profile", settings(server))

        assert len(server.questions) == 2 * (len(GROUPS) + 14)

    document = told(folder)
    assert all(a["state"].startswith("refused after one repair: ") and not a["statements"] for a in document["attributes"].values())
    assert document["emotions"] == {"distribution": {"neutral": 14}, "repaired": 14, "neutral_for_want_of_an_answer": 14}


async def test_a_profile_that_was_stopped_goes_on_after_the_last_answer(tmp_path):
    """A torn last line, as a kill leaves it, is asked again; nothing else is."""
    company = write_company(tmp_path / "company", slugs=("ada-north",))
    async with openai_server() as server:
        server.words = Script(server, lambda asked, _: "fear" if "one word" in asked else "- nothing", last=6)

        with pytest.raises(EngineError):
            await asyncio.to_thread(profile, company, tmp_path / "profile", settings(server))
        whole = (tmp_path / "profile" / ANSWERS).read_text(encoding="utf-8").splitlines()
        assert len(whole) >= 4
        (tmp_path / "profile" / ANSWERS).write_text("\n".join([*whole[:3], whole[3][:20]]), encoding="utf-8")
        server.behaviour, server.words.last = "normal", None
        server.questions.clear()

        folder = await asyncio.to_thread(profile, company, tmp_path / "profile", settings(server))

        assert len(server.questions) == len(GROUPS) + 14 - 3
    assert told(folder)["attributes"]["identity"]["state"] == "the lines show nothing of it"


def test_a_small_model_of_ours_is_a_teacher_too(tmp_path, tiny_model):
    """Random weights keep to no form, and the profile is finished all the same."""
    company = write_company(tmp_path / "company", slugs=("ada-north",), lines=4)

    folder = profile(company, tmp_path / "profile", ProfileSettings(teacher=str(tiny_model), context_tokens=2048, evidence=4))

    assert told(folder)["emotions"]["neutral_for_want_of_an_answer"] == 4


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("", "it is empty"),
        ("Ada is a clerk.", "is no '- statement"),
        ("- Ada is a clerk. [9]", r"there is no line \[9\]"),
        ("- Ada is a clerk.\n- She counts. [1]", "is no '- statement"),
        ("- a [1]\n" * 5, "at most 4 were asked for"),
        (f"- {'a' * 300} [1]", "at most 240 are taken"),
    ],
)
def test_statements_are_read_strictly(answer, wrong):
    with pytest.raises(AnswerMisshapen, match=wrong):
        read_statements(answer, lines("One.", "Two."))


def test_statements_and_labels_in_form_are_read():
    assert [s.ids for s in read_statements("- She counts. [2, 1]\n* 她数数。 [1、2]", lines("One.", "Two."))] == [
        ("a-1", "a-0"),
        ("a-0", "a-1"),
    ]
    assert read_statements("- Nothing.", lines("One.")) == []
    assert read_emotion(" Joy.\n") == "joy"
    assert read_emotion("愤怒") == "anger"
    assert all(read_emotion(label) == label for label in EMOTIONS)
    with pytest.raises(AnswerMisshapen):
        read_emotion("joy, because she is glad")


def test_nobody_of_that_name_and_no_lines_end_in_a_sentence(tmp_path):
    company = write_company(tmp_path / "company")
    with pytest.raises(SourceRefused, match="there is no character 'eve'; there are ada-north"):
        profile(company, tmp_path / "profile", settings(only=("eve",)))

    (company / "bo-rye" / "lines.jsonl").unlink()
    with pytest.raises(SourceRefused, match="bo-rye has no lines to learn from"):
        profile(company, tmp_path / "profile", settings())
