"""How characters appear on Discord: one webhook per channel for all of them, name and portrait with each message.

Where there can be no webhook (a direct chat, a missing permission, fifteen of other people's already) the bot says it
under its own name with the character's before it. Webhooks are found again in the channel by who made them; nothing
about them is stored, least of all their tokens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

import discord

from bot.connectors.discord_border import (
    INVALID_WEBHOOK_TOKEN,
    NOBODY,
    TOO_MANY_WEBHOOKS,
    UNKNOWN_MESSAGE,
    UNKNOWN_WEBHOOK,
    UNREACHABLE,
    Place,
    prefixed,
)
from bot.connectors.discord_portraits import Portraits
from bot.errors import ConnectorError
from bot.messages import Face

log = logging.getLogger(__name__)

WEBHOOK_NAME = "Troupe"
REMEMBERED = 10_000  # sent messages whose way is known without asking; older ones are looked up
K = TypeVar("K")
V = TypeVar("V")

TRIES = 5
ASK_AGAIN_SECONDS = 300.0  # after a refusal that no permission explains
LONGEST_NAME = 80  # characters
LOOKED_AT = 25  # messages of the history in which a lost answer is looked for
NEEDS_WEBHOOKS = (
    "I need the permission **Manage Webhooks** in this channel to give characters their own names and faces. "
    "Until a moderator grants it, I speak for them."
)
NO_WEBHOOK_LEFT = "This channel has as many webhooks as Discord allows (15); with one fewer, characters get their own names and faces."

Parent = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.ForumChannel


@dataclass(frozen=True, slots=True)
class Sent:
    """How a message came to be there: by which webhook, or (None) by the bot itself."""

    webhook_id: int | None
    face: Face | None  # None: from before this process
    now_id: int | None = None  # the message that took its place, when its webhook was deleted


class Presence:
    """One per connection. Raises what discord.py raises; ports translate it."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client
        self._portraits = Portraits(client)
        self._webhooks: dict[int, discord.Webhook] = {}  # parent channel -> webhook
        self._refused: dict[int, tuple[bool, float]] = {}  # parent channel -> whether we had the permission, when to ask again
        self._finding: dict[int, asyncio.Lock] = {}
        self._sent: OrderedDict[int, Sent] = OrderedDict()
        self._stand_ins: OrderedDict[int, int] = OrderedDict()  # the new id -> the id that the house knows
        self._taken_back: OrderedDict[int, None] = OrderedDict()
        self._spoken: OrderedDict[int, int] = OrderedDict()  # channel -> the newest message of a person
        self._told: set[int] = set()

    async def portrait(self, face: Face) -> str | None:
        """The address of a face's picture, on Discord."""
        return await self._portraits.address(face)

    # ------------------------------------------------------------------ speaking

    async def speak(self, place: Place, face: Face, text: str, *, notice: discord.Embed | None, view: discord.ui.View | None) -> int:
        """Send a message as ``face``; returns its id. It is there once, also where the network lost Discord's answer."""
        before = getattr(place, "last_message_id", None) or 0  # direct chats do not say
        for attempt in range(TRIES):
            try:
                return await self._speak(place, face, text, notice, view)
            except UNREACHABLE:
                if attempt + 1 == TRIES:
                    raise
                await asyncio.sleep(2**attempt / 2)
                found = await self._lost_answer(place, face, text, before)
                if found is not None:
                    return found
        raise AssertionError("the loop returns or raises")

    async def _speak(self, place: Place, face: Face, text: str, notice: discord.Embed | None, view: discord.ui.View | None) -> int:
        embed = notice if notice is not None else discord.utils.MISSING
        for _ in range(2):  # the second time with a new webhook
            webhook = await self._webhook(place) if _showable(face.name) else None
            if webhook is None:
                break
            thread = place if isinstance(place, discord.Thread) else discord.utils.MISSING
            portrait = await self._portraits.address(face)
            try:
                message = await webhook.send(
                    text,
                    username=face.name,
                    avatar_url=portrait,
                    embed=embed,
                    view=view if view is not None else discord.utils.MISSING,
                    allowed_mentions=NOBODY,
                    thread=thread,
                    wait=True,
                )
            except discord.HTTPException as error:
                if error.code not in (UNKNOWN_WEBHOOK, INVALID_WEBHOOK_TOKEN):
                    raise
                self.forget_webhook(place)
                continue
            return self._note(message.id, Sent(webhook.id, face))
        message_sent = await place.send(prefixed(face.name, text), embed=embed, view=view or discord.utils.MISSING, allowed_mentions=NOBODY)
        return self._note(message_sent.id, Sent(None, face))

    async def rewrite(self, place: Place, message_id: int, text: str) -> None:
        """Change what a message says, by the way in which it was sent. A message that somebody deleted stays deleted."""
        for attempt in range(TRIES):
            try:
                await self._rewrite(place, message_id, text)
                return
            except UNREACHABLE:  # an edit can be made twice
                if attempt + 1 == TRIES:
                    raise
                await asyncio.sleep(2**attempt / 2)

    async def _rewrite(self, place: Place, message_id: int, text: str) -> None:
        sent = await self._way(place, message_id)
        if sent is None:
            return
        shown_id = sent.now_id or message_id
        try:
            if sent.webhook_id is None:
                name = sent.face.name if sent.face is not None else await self._prefix_of(place, shown_id)
                await place.get_partial_message(shown_id).edit(content=prefixed(name, text), allowed_mentions=NOBODY)
                return
            webhook = await self._webhook(place)
            if webhook is not None and webhook.id == sent.webhook_id:
                thread = place if isinstance(place, discord.Thread) else discord.utils.MISSING
                await webhook.edit_message(shown_id, content=text, allowed_mentions=NOBODY, thread=thread)
                return
        except discord.HTTPException as error:
            if error.code == UNKNOWN_MESSAGE:
                log.info("an edited message had been deleted message=%d", shown_id)
                return
            if error.code not in (UNKNOWN_WEBHOOK, INVALID_WEBHOOK_TOKEN):
                raise
            self.forget_webhook(place)
        await self._replace(place, message_id, sent, text)

    async def _replace(self, place: Place, message_id: int, sent: Sent, text: str) -> None:
        """The webhook that wrote a message is gone, and nobody can edit it any more: say it anew, and take the old one away."""
        if sent.face is None:
            raise ConnectorError(f"message {message_id} cannot be edited any more: its webhook was deleted")
        new_id = await self._speak(place, sent.face, text, None, None)
        new = self._sent[new_id]
        try:
            await place.get_partial_message(sent.now_id or message_id).delete()
        except discord.HTTPException as error:
            log.info("a message whose webhook is gone could not be removed message=%d status=%d", message_id, error.status)
        self._note(message_id, Sent(new.webhook_id, sent.face, new_id))
        _put(self._stand_ins, new_id, message_id)
        _put(self._taken_back, sent.now_id or message_id, None)

    async def take_back(self, place: Place, message_id: int) -> None:
        sent = await self._way(place, message_id)
        if sent is None:
            return
        shown_id = sent.now_id or message_id
        _put(self._taken_back, shown_id, None)
        try:
            webhook = await self._webhook(place) if sent.webhook_id is not None else None
            if webhook is not None and webhook.id == sent.webhook_id:
                thread = place if isinstance(place, discord.Thread) else discord.utils.MISSING
                await webhook.delete_message(shown_id, thread=thread)
            else:
                await place.get_partial_message(shown_id).delete()
        except discord.NotFound:
            return

    # ------------------------------------------------------------------ what is known of messages

    def original(self, message_id: int) -> int:
        """The id under which the house knows a message."""
        return self._stand_ins.get(message_id, message_id)

    def shown(self, message_id: int) -> int:
        """The id under which Discord shows what the house knows as ``message_id``."""
        sent = self._sent.get(message_id)
        return message_id if sent is None or sent.now_id is None else sent.now_id

    def heard(self, channel_id: int, message_id: int) -> None:
        """A person has spoken."""
        _put(self._spoken, channel_id, max(message_id, self._spoken.get(channel_id, 0)))

    def spoken_since(self, channel_id: int, message_id: int) -> bool:
        """Whether another person has spoken since."""
        return self._spoken.get(channel_id, 0) > message_id

    def took_back(self, message_id: int) -> bool:
        """Whether we have deleted it ourselves."""
        return message_id in self._taken_back

    async def found(self, place: Place, face: Face, after: int) -> list[int]:
        """Messages that this application has sent as ``face`` since ``after``, the oldest first."""
        return [m.id async for m in place.history(after=discord.Object(after), limit=100, oldest_first=True) if self._is_from(m, face)]

    def _is_from(self, message: discord.Message, face: Face) -> bool:
        if message.webhook_id is not None:
            return message.application_id == self._client.application_id and message.author.name == face.name
        own = self._client.user is not None and message.author.id == self._client.user.id
        return own and message.content.startswith(prefixed(face.name, ""))

    async def _lost_answer(self, place: Place, face: Face, text: str, before: int) -> int | None:
        """A message that was sent although its answer never came."""
        try:
            async for message in place.history(limit=LOOKED_AT, after=discord.Object(before) if before else None, oldest_first=False):
                said = message.content in (text, prefixed(face.name, text))
                if said and message.id not in self._sent and self._is_from(message, face):
                    return self._note(message.id, Sent(message.webhook_id, face))
        except (discord.DiscordException, *UNREACHABLE) as error:
            log.warning("could not look for a message whose answer was lost error=%s", type(error).__name__)
        return None

    async def _way(self, place: Place, message_id: int) -> Sent | None:
        """How a message was sent; None when it is not there any more."""
        known = self._sent.get(message_id)
        if known is not None:
            return known
        try:
            message = await place.fetch_message(message_id)
        except discord.NotFound as error:
            if error.code == UNKNOWN_MESSAGE:
                return None
            raise
        sent = Sent(message.webhook_id, None)
        self._note(message_id, sent)
        return sent

    async def _prefix_of(self, place: Place, message_id: int) -> str:
        """Whose name stands before a message that the bot has said for somebody in an earlier life."""
        content = (await place.fetch_message(message_id)).content
        return content.removeprefix("**").partition(":**")[0] if content.startswith("**") else "…"

    def _note(self, message_id: int, sent: Sent) -> int:
        _put(self._sent, message_id, sent)
        return message_id

    # ------------------------------------------------------------------ webhooks

    def forget_webhook(self, place: Place | Parent) -> None:
        """It was deleted or is not trusted any more; the next message finds or makes another."""
        parent = _parent(place)
        if parent is not None:
            self._webhooks.pop(parent.id, None)

    async def _webhook(self, place: Place) -> discord.Webhook | None:
        """The channel's webhook, found or made; None where there can be none, and a moderator is told why, once."""
        parent = _parent(place)
        if parent is None:
            return None
        known = self._webhooks.get(parent.id)
        if known is not None:
            return known
        async with self._finding.setdefault(parent.id, asyncio.Lock()):
            known = self._webhooks.get(parent.id)
            if known is None and self._may_ask(parent):
                known = await self._find(parent, place)
            return known

    def _may_ask(self, parent: Parent) -> bool:
        """Whether something has changed since a webhook was refused."""
        had_permission, again_at = self._refused.get(parent.id, (False, 0.0))
        if parent.id not in self._refused:
            return True
        return parent.permissions_for(parent.guild.me).manage_webhooks and (not had_permission or time.monotonic() >= again_at)

    async def _find(self, parent: Parent, place: Place) -> discord.Webhook | None:
        try:
            own = [w for w in await parent.webhooks() if w.token and w.user is not None and w.user == self._client.user]
            reason = "one for all characters of this channel"
            webhook = own[0] if own else await parent.create_webhook(name=WEBHOOK_NAME, reason=reason)
        except discord.HTTPException as error:
            if not isinstance(error, discord.Forbidden) and error.code != TOO_MANY_WEBHOOKS:
                raise
            permission = parent.permissions_for(parent.guild.me).manage_webhooks
            self._refused[parent.id] = (permission, time.monotonic() + ASK_AGAIN_SECONDS)
            await self._tell(place, parent, NO_WEBHOOK_LEFT if error.code == TOO_MANY_WEBHOOKS else NEEDS_WEBHOOKS)
            return None
        self._refused.pop(parent.id, None)
        self._webhooks[parent.id] = webhook
        return webhook

    async def _tell(self, place: Place, parent: Parent, words: str) -> None:
        if parent.id in self._told:
            return
        self._told.add(parent.id)
        log.warning("no webhook possible channel=%d: %s", parent.id, words.replace("**", ""))
        await place.send(words, allowed_mentions=NOBODY)


def _showable(name: str) -> bool:
    """Whether Discord takes it as a webhook's name. Such names are refused at registration; a card of the house may have one."""
    low = name.strip().casefold()
    return 1 <= len(low) <= LONGEST_NAME and low not in ("everyone", "here") and not any(word in low for word in ("clyde", "discord"))


def _parent(place: Place | Parent) -> Parent | None:
    if isinstance(place, discord.Thread):
        return place.parent
    return None if isinstance(place, discord.DMChannel) else place


def _put(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)
