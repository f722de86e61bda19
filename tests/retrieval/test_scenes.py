"""Scenes out of lines: the nearest first, up to the first that would pass the budget, by words, by meaning, or by both."""

import asyncio

import numpy as np
import pytest

from bot.characters.lines import Exemplar
from bot.errors import ConfigError, ModelNotLoadable
from bot.retrieval.scenes import FoundScene, SceneIndex, Scenes, scenes, within
from tests.house import RecordingPort, open_test_house, said, settings
from tests.loopback.openai_server import openai_server


def line(i, said, reply, scene=None):
    return Exemplar(f"l-{i}", "Gwen", said, reply, None, scene, "test")


LINES = [
    line(0, "Is the kettle on?", "Always.", "kitchen"),
    line(1, "And the cat?", "Asleep on the tide tables.", "kitchen"),
    line(2, "Where is the boat?", "Patience? At the slip.", "harbour"),
    line(3, "Any storm tonight?", "Glass is falling.", None),
    line(4, "Who paints the tower?", "Nobody now.", None),
]


class Letters:
    """An encoder for which texts are alike that have the same letters."""

    def embed(self, texts):
        counts = np.array([[text.casefold().count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts], np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


def test_neighbours_of_one_scene_belong_together_and_a_line_without_one_stands_alone():
    assert scenes(LINES) == [[0, 1], [2], [3], [4]]


def test_the_scene_whose_words_are_asked_for_is_the_nearest_and_comes_whole():
    found = SceneIndex(LINES).search("Tell me about the cat", 3)

    assert found[0].positions == (0, 1)


def test_a_scene_that_stands_in_the_prompt_anyway_is_left_out():
    index = SceneIndex(LINES)

    assert index.search("boat", 3, without=frozenset({"l-2"})) == []
    assert index.search("cat", 3, without=frozenset({"l-1"}))[0].positions == (0, 1)


def test_meaning_finds_what_words_do_not_and_both_together_keep_each():
    index = SceneIndex(LINES, Letters())

    assert index.search("srotm", 1) == []
    assert index.search("yna smrto thgino", 1, how="embeddings")[0].positions == (3,)
    fused = index.search("the boat, yna smrto thgino", 4, how="fused")
    assert {(2,), (3,)} <= {scene.positions for scene in fused}


def test_the_first_scene_that_passes_the_budget_ends_it_though_a_later_one_would_fit():
    found = [FoundScene((0, 1), 3.0), FoundScene((2, 3, 4), 2.0), FoundScene((5,), 1.0)]

    assert within(found, lambda scene: len(scene.positions), 4) == found[:1]
    assert within(found, lambda scene: len(scene.positions), 6) == found
    assert within(found, lambda scene: len(scene.positions), 1) == []


async def test_an_index_is_made_once_for_two_turns_and_anew_for_a_newer_revision():
    kept = Scenes()

    async def search(revision, lines):
        return await kept.search("house/a", revision, lines, "boat", 3, how="bm25", without=frozenset())

    first, second = await asyncio.gather(search("1", LINES), search("1", LINES))
    assert first == second != []
    assert await search("2", LINES[:2]) == []


async def test_a_turn_is_answered_with_whole_scenes_in_the_prompt(tmp_path):
    async with openai_server(behaviour="echo") as server:
        remote = {"remote": {"base_url": server.base_url, "model": "m", "context_tokens": 8192}}
        config = settings(tmp_path / "data", tmp_path / "gguf", engine=remote, retrieval={"mode": "scenes"})
        async with open_test_house(config) as house:
            port = RecordingPort()
            async with asyncio.timeout(60):
                await (await house.router.hear(said("Mara, do you count the steps of the tower? #1", port)))
        asked = server.questions[-1]["messages"]

    shown = next(m["content"] for m in asked if "on other days" in m["content"] and "Mara Quill:" in m["content"])
    assert shown.count("Mara Quill:") > 5
    assert any("#1" in text for text in port.messages.values())


async def test_finding_by_meaning_without_an_encoder_is_refused_with_what_to_do(tmp_path, tiny_model):
    retrieval = {"mode": "scenes", "search": "fused"}
    with pytest.raises(ConfigError, match=r"needs retrieval\.embedder: name an encoder"):
        async with open_test_house(settings(tmp_path / "data", tmp_path / "gguf", str(tiny_model), retrieval=retrieval)):
            pass

    with pytest.raises(ModelNotLoadable, match="makes no vector of a text"):
        async with open_test_house(
            settings(tmp_path / "data", tmp_path / "gguf", str(tiny_model), retrieval={**retrieval, "embedder": str(tiny_model)})
        ):
            pass
