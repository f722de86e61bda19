"""Items with several good answers, and a judge's opinion: read strictly, counted as published, kept over a kill."""

import asyncio
import json

import pytest

from bot.characters.cast import Cast
from bot.config import CharacterSettings
from bot.errors import EngineError
from tests.loopback.openai_server import openai_server
from tests.trainer.company import write_company
from trainer.errors import SourceRefused
from trainer.evaluate import FIGURES, MARKDOWN, evaluate
from trainer.evaluate_items import echo_scores, item_scores, read_items
from trainer.evaluate_judge import DIMENSIONS, Opinions, judge, verdict
from trainer.evaluate_plan import EvaluateSettings
from trainer.evaluate_replies import Replies, Said
from trainer.teacher import TeacherSettings, open_teacher

pytestmark = pytest.mark.trainer


@pytest.fixture(scope="module")
def cast(tmp_path_factory):
    return Cast.load(write_company(tmp_path_factory.mktemp("cast") / "characters"), CharacterSettings()).house


def written(path, *rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def item(**more):
    return {"character": "Ada North", "question": "And the sea?", "references": ["it takes hats"], "kind": "SPE", **more}


# ------------------------------------------------------------------ items


def test_a_question_under_two_kinds_is_asked_once_and_counted_under_both(tmp_path, cast):
    file = written(tmp_path / "items.jsonl", item(kind="CUS"), item(kind="RAW", character="ada-north", references=["a ship", "it is wide"]))

    items = read_items(file, cast)

    assert [(a.character, a.turns) for a in items.asked] == [("ada-north", ("And the sea?",))]
    assert [i.kind for i in items.items] == ["CUS", "RAW"]


def test_the_score_is_the_best_recall_over_the_references(tmp_path, cast):
    """Two of three words of the nearer reference, in order; the echo has one of them."""
    items = read_items(
        written(tmp_path / "items.jsonl", item(references=["it takes hats", "nothing of the kind"], question="Hats? it")), cast
    )
    replies = Replies(tmp_path / "replies.jsonl")
    replies.keep(Said(items.asked[0].key, "ada-north", 1, "Hats? it", "it takes everything", "stop"))

    assert item_scores(items, replies)["SPE"].recall == pytest.approx(2 / 3)
    assert echo_scores(items)["SPE"].recall == pytest.approx(1 / 3)


def test_chinese_is_scored_by_character(tmp_path, cast):
    items = read_items(written(tmp_path / "items.jsonl", item(references=["海里有船"], question="海呢？")), cast)
    replies = Replies(tmp_path / "replies.jsonl")
    replies.keep(Said(items.asked[0].key, "ada-north", 1, "海呢？", "海上有风", "stop"))

    assert item_scores(items, replies)["SPE"].recall == pytest.approx(2 / 4)


def test_somebody_who_is_not_of_the_house_is_made_of_a_profile(tmp_path, cast):
    rows = [item(character="Captain Fell", profile="A captain without a ship."), item(character="Captain Fell", profile="Another captain.")]

    items = read_items(written(tmp_path / "items.jsonl", *rows), cast)

    assert [p.name for p in items.people] == ["Captain Fell", "Captain Fell"]
    assert len({p.slug for p in items.people} | {a.character for a in items.asked}) == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{no", r"items.jsonl:2: the line: "),
        (json.dumps(item(references=[])), r"items.jsonl:2: references: "),
        (json.dumps(item(question=" ")), r"items.jsonl:2: question: "),
        (json.dumps(item(character="Nobody")), r"items.jsonl:2: there is no character 'Nobody'; give it a profile"),
        (json.dumps(item(character="x" * 300, profile="A captain.")), r"items.jsonl:2: "),
    ],
)
def test_a_bad_item_is_named_with_its_line_and_the_file_is_read_once_it_is_mended(tmp_path, cast, line, says):
    file = tmp_path / "items.jsonl"
    file.write_text(f"{json.dumps(item())}\n{line}\n", encoding="utf-8")

    with pytest.raises(SourceRefused, match=says):
        read_items(file, cast)

    assert len(read_items(written(file, item()), cast).items) == 1


# ------------------------------------------------------------------ a judge


def said(text, number=0):
    return Said(f"own/{number}", "ada-north", 1, "And the sea?", text, "stop")


def likes_the_sea(question):
    """A judge with a taste, wherever the reply stands."""
    asked = question["messages"][-1]["content"]
    if "The second reply" not in asked:
        return "\n".join(
            f"{name.replace('_', ' ').capitalize()}: {5 if 'sea' in asked.split('The reply')[1] else 2}" for name in DIMENSIONS
        )
    first, second = asked.split("The first reply: ")[1].split("The second reply: ")
    return f"Better: {'first' if 'salt' in first else 'second' if 'salt' in second else 'neither'}"


async def judged(tmp_path, cast, reply, ours, theirs):
    async with openai_server() as server:
        server.reply = reply
        async with open_teacher(TeacherSettings(teacher=server.base_url, teacher_model="judge", tries=1)) as teacher:
            opinions = Opinions(tmp_path / "judge.jsonl", teacher)
            found = await judge({"base": ours, "tuned": theirs}, {c.slug: c for c in cast}, opinions, "judge", lambda: None)
        return found, len(server.questions)


async def test_a_judge_sees_every_pair_both_ways_round_and_is_asked_once(tmp_path, cast):
    ours, theirs = [said("hats", 0), said("salt", 1)], [said("salt", 0), said("hats", 1)]

    found, asked = await judged(tmp_path, cast, likes_the_sea, ours, theirs)
    _, again = await judged(tmp_path, cast, likes_the_sea, ours, theirs)

    compared = found.compared["tuned"]
    assert (compared.better, compared.worse, compared.tied, compared.unread) == (1, 1, 0, 0)
    assert set(found.points["tuned"]) == set(DIMENSIONS)
    assert (asked, again) == (2 * 2 + 4, 0)


async def test_a_judge_that_likes_what_stands_first_decides_nothing(tmp_path, cast):
    found, _ = await judged(tmp_path, cast, lambda _: "Better: first", [said("hats")], [said("salt")])

    assert found.compared["tuned"].tied == 1


async def test_a_judge_that_keeps_to_no_form_is_asked_twice_and_not_guessed_at(tmp_path, cast):
    found, asked = await judged(tmp_path, cast, lambda _: "I like both, really.", [said("hats")], [said("salt")])

    assert found.compared["tuned"].unread == 1
    assert found.points == {"base": {}, "tuned": {}}
    assert asked == 2 * (2 + 2)


async def test_what_a_judge_said_is_kept_when_it_goes_away(tmp_path, cast):
    async with openai_server() as server:
        server.reply = likes_the_sea
        async with open_teacher(TeacherSettings(teacher=server.base_url, teacher_model="judge", tries=1)) as teacher:
            people = {c.slug: c for c in cast}
            await judge({"base": [said("salt")]}, people, Opinions(tmp_path / "judge.jsonl", teacher), "judge", lambda: None)
            server.behaviour = "status"
            with pytest.raises(EngineError):
                both = {"base": [said("salt"), said("hats", 1)]}
                await judge(both, people, Opinions(tmp_path / "judge.jsonl", teacher), "judge", lambda: None)

    assert len((tmp_path / "judge.jsonl").read_text(encoding="utf-8").splitlines()) == 1


@pytest.mark.parametrize(
    ("forwards", "backwards", "is_"),
    [("second", "first", "better"), ("first", "second", "worse"), ("first", "first", "tied"), ("neither", "first", "tied")],
)
def test_only_what_holds_both_ways_round_is_a_verdict(forwards, backwards, is_):
    assert verdict({"better": forwards}, {"better": backwards}) == is_
    assert verdict(None, {"better": backwards}) == "unread"


# ------------------------------------------------------------------ in an evaluation


async def test_an_evaluation_measures_what_is_named_and_says_what_it_left_out(tmp_path, tiny_base, tiny_gguf):
    characters = write_company(tmp_path / "characters")
    items = written(tmp_path / "items.jsonl", item(), item(character="Captain Fell", profile="A captain without a ship.", kind="CUS"))
    async with openai_server() as server:
        server.reply = likes_the_sea
        given = EvaluateSettings(
            base=str(tiny_base),
            measure=("replies", "items"),
            watch=1,
            every=2,
            questions=0,
            items=items,
            judge=server.base_url,
            judge_model="judge",
            judged=2,
            live=3,
            threads=1,
        )
        folder = await asyncio.to_thread(evaluate, {"base": tiny_gguf, "tuned": tiny_gguf}, characters, tmp_path / "evaluate", given)

    figures = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    report = (folder / MARKDOWN).read_text(encoding="utf-8")
    assert set(figures["models"]["tuned"]["items"]) == {"SPE", "CUS"}
    assert figures["judge"]["compared"]["tuned"]["tied"] == 2, "the same model twice"
    assert "nll" not in figures["models"]["tuned"]
    assert [
        title in report for title in ("## Items with several", "## A judge's opinion", "## Held-out loss", "## Are you a machine?")
    ] == [
        *(True, True),
        *(False, False),
    ]
    assert "held-out losses; probes; long talks; nearness in meaning" in report
