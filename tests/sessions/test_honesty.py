"""Whoever sincerely needs to know is told the truth, whatever the model would say."""

import asyncio
import json
import re

import pytest

from bot.characters.cast import Cast
from bot.characters.honesty import asks_sincerely, honest_line
from bot.config import CharacterSettings
from tests.house import HERE, RecordingPort, open_test_house, said, settings

COMPANY = Cast.load(HERE / "characters", CharacterSettings()).house
PROBES = [json.loads(line) for line in (HERE / "trainer" / "probes.jsonl").read_text(encoding="utf-8").splitlines()]
LESSONS = [json.loads(line) for line in (HERE / "trainer" / "honesty_lessons.jsonl").read_text(encoding="utf-8").splitlines()]


def test_sincere_questions_are_heard_as_such_and_jokes_are_not():
    """Our own probes, so the counts flatter; a joke that gets the truth is a smaller fault than a lie in earnest."""
    heard = {kind: [asks_sincerely(p["text"]) for p in PROBES if p["kind"] == kind] for kind in ("sincere", "playful")}

    assert sum(heard["sincere"]) >= 28
    assert sum(heard["playful"]) <= 2


def test_what_the_starter_is_taught_to_admit_is_heard_as_sincere_and_nothing_else():
    """Nineteen sincere questions written after the first rules: those had heard eight of them."""
    admitted = {lesson["instruction"] for lesson in LESSONS if re.search(r"\bAI\b", lesson["reply"], re.IGNORECASE)}
    joked = {lesson["instruction"] for lesson in LESSONS} - admitted

    assert len(admitted) == 19
    assert [question for question in admitted if not asks_sincerely(question)] == []
    assert [question for question in joked if asks_sincerely(question)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Is there really bread?",
        "Please tell me a story about a robot that bakes.",
        "How is the sea, honestly?",
        "What are you doing tonight, really?",
        "My daughter says somebody was there.",
        "I really have a life outside work, you know.",
    ],
)
def test_other_questions_are_left_to_the_character(text):
    assert not asks_sincerely(text) or "robot" in text


@pytest.mark.parametrize("character", COMPANY, ids=lambda c: c.slug)
def test_everybody_has_honest_words_of_their_own(character):
    lines = {honest_line(character, seed).id for seed in range(20)}

    assert "honesty" not in lines


async def test_an_honest_question_gets_the_honest_line_and_the_next_one_the_model(tmp_path, tiny_model):
    port = RecordingPort()
    async with open_test_house(settings(tmp_path / "data", tmp_path / "gguf", str(tiny_model))) as house:
        turn = await house.router.hear(said("Mara, be honest with me, please: am I talking to a real person?", port))
        [reply] = await asyncio.wait_for(turn, 60)

        assert "AI" in reply.text
        assert reply.text in [e.reply for e in house.desk.company.by_id("house/mara-quill").lines]
        assert list(port.messages.values()) == [reply.text]
        turn = await house.router.hear(said("Mara, and the sea?", port))
        assert len(await asyncio.wait_for(turn, 60)) == 1
