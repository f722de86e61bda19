"""Every method, end to end against a server that answers well, badly, late, or not at all: nothing is lost and nothing is asked twice."""

import asyncio
import json
import signal
import sys
from collections import Counter

import pytest

from bot.characters.cast import Cast
from bot.config import CharacterSettings
from bot.errors import EngineError
from tests.loopback.openai_server import openai_server
from tests.trainer.company import write_company
from tests.trainer.teachers import obedient, rubbish
from trainer.__main__ import main
from trainer.asking import AnswerMisshapen
from trainer.dataset import DatasetSettings, divide
from trainer.errors import SourceRefused
from trainer.manifest import MANIFEST
from trainer.synthesis.forms import Blocks, Value
from trainer.synthesis.methods import METHODS
from trainer.synthesis.people import PEOPLE, personas
from trainer.synthesis.report import REPORT, SHEET
from trainer.synthesize import ANSWERS, DROPPED, ROWS, SynthesizeSettings, estimated, synthesize

pytestmark = pytest.mark.trainer

STAMP = {"id", "character", "instruction", "reply", "kind", "language", "method", "teacher", "prompt_version", "prompts_version", "seed"}
TROUBLE = ["429", "500", "silent", "garbage", "hang up", "html", "error", "no end", "503"]
SMALL = {"limit": 2, "questions": 3, "people": 6, "dialogues": 2, "turns": 2, "answers": 2}


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def settings(server, method, **more):
    given = {"teacher": server.base_url, "teacher_model": "m", "concurrent": 4, "wait_seconds": 0.01, "timeout_seconds": 0.5, **SMALL}
    return SynthesizeSettings(method=method, **{**given, **more})


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    return write_company(tmp_path_factory.mktemp("synthesis") / "company")


def without_teacher(kept):
    return [{k: v for k, v in row.items() if k != "teacher"} for row in kept]


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_makes_stamped_rows_and_a_bad_day_of_the_server_changes_none_of_them(tmp_path, company, method):
    async with openai_server(reply=obedient) as server:
        folder = await asyncio.to_thread(synthesize, company, tmp_path / "good", settings(server, method))
        asked = len(server.questions)
    async with openai_server(reply=obedient, script=[*TROUBLE]) as server:
        again = await asyncio.to_thread(synthesize, company, tmp_path / "bad", settings(server, method, concurrent=2))
        assert not server.script

    told = json.loads((folder / MANIFEST).read_text())["figures"]
    kept, dropped = rows(folder / ROWS), rows(folder / DROPPED)
    assert told["asked"] == asked == len(rows(folder / ANSWERS))
    assert told["rows"] == len(kept) + len(dropped)
    assert told["dropped"] == dict(Counter(r["dropped"] for r in dropped))
    assert len(kept) > len(dropped), told
    assert all(row.keys() >= STAMP and row["source_ids"] and row["method"] == method for row in kept)
    assert len({row["id"] for row in kept + dropped}) == len(kept + dropped)
    assert f"# {method}: {len(kept)} of" in (folder / REPORT).read_text()
    assert "## Kept: " in (folder / SHEET).read_text()
    assert without_teacher(rows(again / ROWS)) == without_teacher(kept)


@pytest.mark.parametrize("method", METHODS)
async def test_a_teacher_that_talks_rubbish_leaves_no_row_and_every_reason(tmp_path, company, method):
    async with openai_server(reply=rubbish) as server:
        folder = await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, method))

    told = json.loads((folder / MANIFEST).read_text())["figures"]
    assert told["kept"] == 0 < told["rows"]
    assert sum(told["dropped"].values()) == told["rows"]
    assert set(told["dropped"]) <= {"misshapen", "markup"}


async def test_a_killed_run_goes_on_and_asks_again_only_what_was_on_its_way(tmp_path, company):
    command = [
        sys.executable,
        "-m",
        "trainer",
        "synthesize",
        "dialogues",
        "--characters",
        str(company),
        "--runs",
        str(tmp_path),
        "--run",
        "x",
    ]
    async with openai_server(reply=obedient) as server:
        options = {"teacher": server.base_url, "teacher-model": "m", "concurrent": "2", "limit": "9", "questions": "3", "turns": "2"}
        command += [word for name, value in options.items() for word in (f"--{name}", value)]
        server.pause_seconds = 0.05
        first = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL)
        journal = tmp_path / "x" / "synthesize-dialogues" / ANSWERS
        async with asyncio.timeout(60):
            while not journal.is_file() or journal.read_bytes().count(b"\n") < 12:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        await first.wait()
        kept_before = len([line for line in journal.read_bytes().split(b"\n") if line.endswith(b"}")])
        before = len(server.questions)
        server.pause_seconds = 0
        second = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL)
        assert await second.wait() == 0
        after = len(server.questions) - before

    answers = rows(journal)
    assert len({a["key"] for a in answers}) == len(answers) == kept_before + after
    assert before - kept_before <= 2


async def test_a_server_that_is_gone_stops_the_run_with_a_sentence_and_the_rest_is_asked_for_later(tmp_path, company):
    async with openai_server(reply=obedient, script=["normal"] * 5, behaviour="status") as server:
        with pytest.raises(EngineError, match=r"\d+ of \d+ questions got no answer .* the same command asks for the rest"):
            await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, "rolegpt", concurrent=1, tries=2, limit=6))
        assert len(rows(tmp_path / "out" / ANSWERS)) == 5
        server.behaviour = "normal"
        server.questions.clear()

        folder = await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, "rolegpt", concurrent=1, tries=2, limit=6))

    assert len(server.questions) == len(rows(folder / ANSWERS)) - 5


async def test_a_wrong_key_is_not_tried_again(tmp_path, company):
    async with openai_server(behaviour="401") as server:
        with pytest.raises(EngineError, match="refuses the key"):
            await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, "general", concurrent=1))

        assert len(server.questions) == 1


async def test_no_more_questions_go_out_at_a_time_or_a_minute_than_allowed(tmp_path, company):
    loop = asyncio.get_running_loop()
    async with openai_server(reply=obedient, pause_seconds=0.02) as server:
        began = loop.time()
        await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, "general", concurrent=3, per_minute=1200))

        assert server.most_live <= 3
        assert loop.time() - began >= (len(server.questions) - 1) * 0.05


async def test_what_it_would_cost_is_told_without_asking(tmp_path, company, capsys):
    async with openai_server() as server:
        told = await asyncio.to_thread(estimated, company, settings(server, "dialogues", price_read=2.0, price_write=8.0))

        assert server.questions == []
    assert told.startswith("3 questions, and about 6 after them: about ")
    assert "at the given prices" in told


def test_an_unknown_method_is_wrong_usage_and_a_known_one_is_explained(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["synthesize", "guessing"])
    assert "invalid choice: 'guessing'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["synthesize", "--help"])
    shown = "".join(capsys.readouterr().out.split())
    assert all(name in shown for name in METHODS)


def test_a_model_of_ours_keeps_to_the_forms(tmp_path, company, tiny_model):
    """Random weights: what they say is nonsense, and still questions and answers."""
    given = SynthesizeSettings(method="rolecraft", teacher=str(tiny_model), form_tokens=700, reply_tokens=64, only=("ada-north",), limit=1)

    folder = synthesize(company, tmp_path / "out", given)

    formed = [a["reply"] for a in rows(folder / ANSWERS) if a["key"].startswith("specific")]
    assert formed
    assert all(reply.startswith("Question: ") and "\nAnswer: " in reply for reply in formed)


# ------------------------------------------------------------------ what some methods make beside rows


def test_two_hundred_people_have_names_and_lines_of_their_own():
    found = personas(200, ("en", "zh"), 1)

    assert len({p.name for p in found}) == len({p.slug for p in found}) == len({p.line for p in found}) == 200
    assert Counter(p.language for p in found)["zh"] == 25
    assert personas(200, ("en", "zh"), 1) == found


async def test_new_people_are_characters_that_a_dataset_takes(tmp_path, company):
    async with openai_server(reply=obedient) as server:
        given = settings(server, "people", people=4, limit=6, answers=3)
        folder = await asyncio.to_thread(synthesize, company, tmp_path / "out", given)

    people = Cast.load(folder / PEOPLE, CharacterSettings())
    assert not people.problems
    assert len(people.house) == 4
    parts, _ = divide(folder / PEOPLE, DatasetSettings())
    assert all(p.taught for p in parts)
    assert {r["kind"] for r in rows(folder / ROWS)} == {"fresh", "rewritten"}


async def test_role_play_by_people_comes_in_with_its_edits_and_goes_through_the_filters(tmp_path, company):
    human = tmp_path / "human.jsonl"
    turns = [
        {"name": "Robin", "text": "Do you mind the fog at the pier?"},
        {"name": "Ada North", "text": "Never did. It keeps the tourists off the ropes."},
        {"name": "Robin", "text": "And the gulls?"},
        {"name": "Ada North", "text": "As an AI I have no gulls.", "edited": "Thieves, all of them, and good company."},
    ]
    human.write_text(json.dumps({"character": "ada-north", "turns": turns}) + "\n")
    async with openai_server(reply=obedient) as server:
        folder = await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, "four-sources", human=human))

        kept = [r for r in rows(folder / ROWS) if r["kind"] == "human role-play"]
        assert [r["reply"] for r in kept] == [turns[1]["text"], turns[3]["edited"]]
        assert {r["with"] for r in kept} == {"Robin"}
        human.write_text('{"character": "nobody", "turns": []}\n')
        with pytest.raises(SourceRefused, match=r"human\.jsonl:1: there is no character 'nobody'"):
            await asyncio.to_thread(synthesize, company, tmp_path / "other", settings(server, "four-sources", human=human))


async def test_who_asks_in_earnest_is_told_the_truth_and_a_lie_is_dropped(tmp_path, company):
    def liar(question):
        return (
            "Of course I'm a real person, dear, feel my hand."
            if "has to know" in question["messages"][0]["content"]
            else obedient(question)
        )

    async with openai_server(reply=obedient) as server:
        truthful = await asyncio.to_thread(synthesize, company, tmp_path / "true", settings(server, "protective"))
        server.reply = liar
        lying = await asyncio.to_thread(synthesize, company, tmp_path / "false", settings(server, "protective"))

    assert all("AI" in r["reply"] for r in rows(truthful / ROWS) if r["kind"] == "sincere")
    assert any(r["kind"] == "sincere" for r in rows(truthful / ROWS))
    assert not any(r["kind"] == "sincere" for r in rows(lying / ROWS))
    assert Counter(r["dropped"] for r in rows(lying / DROPPED))["not honest"] == 6


async def test_a_teacher_that_writes_the_worked_examples_down_again_adds_nothing(tmp_path, company):
    def lazy(question):
        form = question["messages"][-1]["content"]
        if "Question: ..." not in form:
            return obedient(question)
        sure = "Sure: high\nReason: It is so.\n" if "Sure: " in form else ""
        return f"Question: How did you get your boat back from the Hansens, Oluf?\n{sure}Answer: I rowed over and asked them for it."

    async with openai_server(reply=lazy) as server:
        folder = await asyncio.to_thread(synthesize, company, tmp_path / "out", settings(server, "context-instruct"))

    assert not rows(folder / ROWS)
    assert {r["dropped"] for r in rows(folder / DROPPED)} == {"example again"}


def test_a_line_that_only_the_forms_length_ended_is_not_taken_for_a_whole_one():
    blocks = Blocks((Value("question", "Question", longest=20), Value("answer", "Answer", longest=20)), most=2)
    two = "Question: Why?\nAnswer: Because it is far to\n\nQuestion: Why not?\nAnswer: It is never too far.\n"
    assert [b["answer"] for b in blocks.read(two, finished=True)] == ["It is never too far."]
    with pytest.raises(AnswerMisshapen, match="breaks off where the form was full"):
        blocks.read("Question: Why?\nAnswer: Because it is far to\n", finished=True)
