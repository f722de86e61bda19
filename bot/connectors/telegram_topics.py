"""A topic of its own for each character of a forum, where the operator wants it so."""

from __future__ import annotations

import logging
from dataclasses import replace

from telegram.error import TelegramError

from bot.characters.cast import Character
from bot.connectors.telegram_answers import Asked
from bot.connectors.telegram_border import PLATFORM, Address
from bot.errors import CommandRefused
from bot.messages import ChannelKey

log = logging.getLogger(__name__)

TOPICS = "telegram_topics"  # setting of a group: character id -> its topic
NEEDS_TOPICS = "In this forum every character has a topic of its own, and I may not make one: give me the right to manage topics."


async def topic_of(asked: Asked, character: Character) -> Asked:
    """The same question, asked in the character's topic; made if there is none. Elsewhere nothing changes.

    Raises:
        CommandRefused: we may not make topics here.
    """
    if asked.office.settings.topics != "character" or not asked.message.chat.is_forum:
        return asked
    group = ChannelKey(PLATFORM, str(asked.address.chat_id))
    known = dict((await asked.desk.store.channel_settings(group)).get(TOPICS, {}))
    topic = known.get(character.id)
    if topic is None:
        try:
            made = await asked.account.bot.create_forum_topic(asked.address.chat_id, character.name[:128])
        except TelegramError as error:
            log.warning("a topic could not be made chat=%d error=%s", asked.address.chat_id, type(error).__name__)
            raise CommandRefused(NEEDS_TOPICS) from error
        topic = made.message_thread_id
        await asked.desk.store.change_channel_settings(group, {TOPICS: {**known, character.id: topic}})
    address = Address(asked.address.chat_id, int(topic))
    caller = replace(asked.caller, channel=address.key, port=asked.office.port_to(address))
    return replace(asked, address=address, caller=caller)
