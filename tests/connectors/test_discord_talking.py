"""Talking on Discord: who answers, under which face, and where."""

import pytest

from tests.connectors.discord_stage import open_stage


@pytest.fixture
async def stage(tmp_path):
    async with open_stage(tmp_path) as stage:
        yield stage


async def test_two_characters_answer_in_one_channel_through_one_webhook(stage):
    """Name and portrait come with each message; the webhook is the channel's."""
    await stage.wake(stage.tavern, "mara-quill", "odo-brandt")

    said = await stage.hear(stage.tavern, "Mara, Odo, good evening", more=2)

    assert {m["author"]["username"] for m in said} == {"Mara Quill", "Odo Brandt"}
    assert len({m["webhook_id"] for m in said}) == 1
    assert all(m["avatar_url"].endswith(".png") for m in said)
    assert said[0]["avatar_url"] != said[1]["avatar_url"]
    assert "good evening" in said[0]["content"]
