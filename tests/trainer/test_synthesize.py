"""General instructions answered in role: every row says how it came to be, every dropped one why."""

import asyncio
import json
from collections import Counter

import pytest

from bot.characters.cast import Cast
from bot.characters.prompt import PROMPT_VERSION
from bot.config import CharacterSettings
from bot.errors import EngineError
from bot.messages import ChatMessage, Sampling
from tests.house import HERE
from tests.loopback.openai_server import openai_server
from tests.trainer.company import write_company
from tests.trainer.test_profile import Script
from trainer.__main__ import main
from trainer.contradictions import Facts
from trainer.dataset import DatasetSettings, divide
from trainer.duplicates import NearDuplicates
from trainer.errors import SourceRefused
from trainer.filters import ADMITS, Filter, Limits
from trainer.manifest import MANIFEST
from trainer.synthesize import ANSWERS, DROPPED, GENERAL, INSTRUCTIONS, KINDS, SynthesizeSettings, read_instructions, synthesize
from trainer.teacher import TeacherSettings, open_teacher

pytestmark = pytest.mark.trainer


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def settings(server, **more):
    return SynthesizeSettings(**{"teacher": server.base_url, "teacher_model": "m", "concurrent": 1, "wait_seconds": 0, "tries": 2, **more})


@pytest.fixture
def company(tmp_path):
    return write_company(tmp_path / "company")


def fresh(asked, _):
    """A reply of its own to every question, as an obedient teacher would give."""
    subject = asked.split("A visitor: ")[-1]
    return f"Well now, {'-'.join(reversed(subject.split()))} is what I would say of it."


# ------------------------------------------------------------------ our own list


def test_our_list_has_over_three_hundred_short_instructions_and_none_twice():
    """Open, commonsense and knowledge in near equal parts; English, and some in Chinese."""
    instructions = read_instructions(INSTRUCTIONS)

    english = [i for i in instructions if i.language == "en"]
    assert len(english) >= 300
    assert {i.language for i in instructions} == {"en", "zh"}
    assert min(Counter(i.kind for i in english).values()) >= 100
    assert max(len(i.text.split()) for i in english) <= 20
    seen = NearDuplicates()
    for one in instructions:
        assert seen.like(one.text) is None, one.text
        seen.add(one.text)


def test_a_list_that_is_none_is_refused_with_its_line(tmp_path, company):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"id": "a", "kind": "open", "language": "en", "instruction": "Hm?"}\n{"id": "b"}\n')

    with pytest.raises(SourceRefused, match=r'mine\.jsonl:2: is no {"id", "kind", "language", "instruction"} object'):
        synthesize(company, tmp_path / "out", SynthesizeSettings(teacher="starter", instructions=path))


# ------------------------------------------------------------------ asking


async def test_every_row_says_who_made_it_from_what(tmp_path, company):
    async with openai_server() as server:
        server.words = Script(server, fresh)

        folder = await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, limit=6))

        assert len(server.questions) == 18
        asked = server.questions[0]["messages"]
        assert "lives at the harbour" in asked[0]["content"]
    kept = rows(folder / GENERAL)
    assert len(kept) == 18
    assert Counter(Counter(r["instruction"] for r in kept).values()) == {3: 6}
    row = kept[0]
    assert row["method"] == "general"
    assert row["teacher"].startswith("m@127.0.0.1")
    assert row["prompt_version"] == PROMPT_VERSION
    assert row["kind"] in KINDS
    assert row["source_ids"][0].startswith("en-")
    assert all(i.startswith(row["character"]) for i in row["source_ids"][1:])
    assert len({r["seed"] for r in kept}) == 18
    assert json.loads((folder / MANIFEST).read_text())["figures"]["kept"] == 18


async def test_a_dataset_takes_the_answers_as_exchanges(tmp_path, company):
    async with openai_server() as server:
        server.words = Script(server, fresh)
        folder = await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, limit=4))

    parts, _ = divide(company, DatasetSettings(instructions=(folder / GENERAL,)))

    assert sum(e.source == "instruction" for p in parts for e in p.taught) == 12


async def test_what_is_dropped_is_counted_by_reason_and_kept_beside(tmp_path, company):
    """Nine answers with nine faults, then good ones."""
    faults = [
        "As an AI language model I cannot have a favourite.",
        "Fine.\nGwen: And you?",
        "今天天气很好，我们去散步吧。",
        "No.",
        "and on and on we go now " * 6,
        "word " * 2 + " ".join(f"w{i}" for i in range(200)),
        "",
        "it takes hats and gives back bottles adadadad. Wrote it down. " + "Quite so.",
    ]
    async with openai_server() as server:
        given = iter(faults)
        server.words = Script(server, lambda asked, n: next(given, "") or (fresh(asked, n) if not given.__length_hint__() else ""))

        folder = await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, limit=6, only=("ada-north",)))

    figures = json.loads((folder / MANIFEST).read_text())["figures"]
    dropped = rows(folder / DROPPED)
    assert figures["asked"] == 6 == figures["kept"] + len(dropped)
    assert figures["dropped"] == dict(Counter(r["dropped"] for r in dropped))
    assert {"AI disclosure", "other speakers", "language", "too short", "loop", "too long"} == set(figures["dropped"])


async def test_the_same_answer_twice_is_kept_once(tmp_path, company):
    async with openai_server() as server:
        server.words = ("Bread and rain, ", "that is all there is to it.")

        folder = await asyncio.to_thread(
            synthesize, company, tmp_path / "out", settings(server, limit=4, only=("ada-north", "bo-rye"), answers=2)
        )

    figures = json.loads((folder / MANIFEST).read_text())["figures"]
    assert figures["kept_by_character"] == {"ada-north": 1, "bo-rye": 1}
    assert figures["dropped"] == {"near-duplicate": 6}


async def test_a_run_that_was_stopped_asks_only_for_what_is_missing(tmp_path, company):
    async with openai_server() as server:
        server.words = Script(server, fresh, last=5)

        with pytest.raises(EngineError):
            await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, limit=6))
        done = len(rows(tmp_path / "out" / ANSWERS))
        assert done == 5
        server.behaviour, server.words.last = "normal", None
        server.questions.clear()

        folder = await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, limit=6))

        assert len(server.questions) == 18 - done
    assert len(rows(folder / GENERAL)) == 18


def test_a_model_of_ours_can_be_the_teacher(tmp_path, company, tiny_model):
    """Random weights say nothing worth keeping: everything is asked, judged and counted."""
    given = SynthesizeSettings(teacher=str(tiny_model), limit=2, reply_tokens=24, context_tokens=4096)

    folder = synthesize(company, tmp_path / "out", given)

    figures = json.loads((folder / MANIFEST).read_text())["figures"]
    assert figures["asked"] == 6 == figures["kept"] + sum(figures["dropped"].values())


async def test_one_question_asked_several_times_is_read_once(tiny_model):
    """RoleGPT's several answers of one question: the engine's own counters say what was read."""
    told = [ChatMessage("system", "You keep a light."), ChatMessage("user", "Tell me of the sea, and of everything in it. " * 12)]
    async with open_teacher(TeacherSettings(teacher=str(tiny_model), context_tokens=1024)) as teacher:
        whole = len(teacher.prompt(told).tokens)
        await asyncio.gather(*(teacher.ask(told, Sampling(max_tokens=4, seed=n), f"take {n}", again=True) for n in range(4)))

        assert whole <= teacher.engine.status.evaluated_tokens < whole + 8
        await asyncio.gather(*(teacher.ask(told, Sampling(max_tokens=4, seed=n), f"alone {n}") for n in range(2)))


def test_without_a_teacher_the_command_says_how_to_name_one(tmp_path, company, capsys):
    code = main(["synthesize", "general", "--characters", str(company), "--runs", str(tmp_path / "runs"), "--run", "x"])

    assert code == 1
    assert "no teacher is named; add --teacher starter" in capsys.readouterr().err


# ------------------------------------------------------------------ filters


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("Seen worse. The kettle is on.", None),
        ("", "empty"),
        ("I'm just a chatbot, dear.", "AI disclosure"),
        ("I don't have personal opinions on soup.", "AI disclosure"),
        ("Soup.\nUser: And bread?", "other speakers"),
        ("Soup it is.\nBo Rye: oh my dear!", "other speakers"),
        ("我喜欢喝汤。", "language"),
        ("Soup.", "too short"),
        ("soup " * 130, "too long"),
        ("so it goes round and round the pot now " * 2, "loop"),
        ("What do you think of the soup we had today?", "echo"),
        ("the one about the goat who would not cross the bridge on a Tuesday, again", "copied"),
    ],
)
def test_each_fault_has_its_reason(reply, reason):
    own = ["It is the one about the goat who would not cross the bridge on a Tuesday."]
    judge = Filter({"Ada North"}, {"Bo Rye", "Gwen"}, own, chinese=False, limits=Limits())

    assert judge.reason("What do you think of the soup we had today?", reply, finished=True) == reason


def test_a_reply_that_was_cut_off_is_dropped_and_the_own_name_in_front_is_not_a_fault():
    judge = Filter({"Ada North"}, {"Bo Rye"}, [], chinese=False, limits=Limits())

    assert judge.reason("Soup?", "It goes on and", finished=False) == "cut off"
    assert judge.tidy("Ada North: Wrote it down.") == "Wrote it down."


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("Ada North is a harbour clerk who likes soup.", "third person"),
        ("I'm Ada North, and the soup is mine.", None),
        ("The visitor is joking about the soup, I think.", "talks about the task"),
        ("I'd be happy to help you with your soup!", "assistant talk"),
        ("What do you think of the soup, you say? Hot.", "echo"),
        ("My name is Gwendolyn and I cook.", "contradiction"),
        ("I'm forty-one, and the soup is older.", "contradiction"),
        ("I'm 58 years old and have had worse.", None),
        ("That fucking soup again, every day.", "coarse"),
        ("**Soup**: a liquid food, served warm.", "markup"),
        ("My computer told me about the soup.", "contradiction"),
    ],
)
def test_what_is_not_the_characters_is_found_by_rule(reply, reason):
    facts = Facts(frozenset({"ada", "north"}), frozenset({"Bo Rye"}), 58, (frozenset({"computer", "internet"}),))
    judge = Filter({"Ada North"}, {"Bo Rye"}, [], chinese=False, limits=Limits(), facts=facts)

    assert judge.reason("What do you think of the soup we had?", reply, finished=True) == reason


@pytest.mark.parametrize(
    ("reply", "expected", "reason"),
    [
        ("No, I'm an AI, dear; the harbour is made up.", "honest", None),
        ("I'm as real as you, feel my hand.", "honest", "not honest"),
        ("One may discuss an AI's manners at length.", "honest", "not honest"),
        ("Never heard of it. Is it a fish?", "unknowing", None),
        ("The band formed in Leeds and sold nine records.", "unknowing", "knows what it cannot"),
    ],
)
def test_the_truth_is_told_in_earnest_and_what_cannot_be_known_is_not_known(reply, expected, reason):
    judge = Filter({"Ada North"}, {"Bo Rye"}, [], chinese=False, limits=Limits())

    assert judge.reason("Well?", reply, finished=True, expected=expected) == reason


def test_the_filters_drop_hardly_a_line_that_the_company_really_says():
    """Measured on all of it: 7 of 960."""
    house = Cast.load(HERE / "characters", CharacterSettings()).house
    everybody = {c.name for c in house}
    dropped = total = 0
    for c in house:
        judge = Filter({c.name}, everybody, [], chinese=c.settings.languages[:1] == ("zh",), limits=Limits(), facts=Facts.of(c, everybody))
        for line in c.lines:
            expected = "honest" if ADMITS.search(line.reply) else "in role"
            total += 1
            dropped += judge.reason(line.said, line.reply, finished=True, expected=expected) is not None

    assert dropped / total < 0.02
