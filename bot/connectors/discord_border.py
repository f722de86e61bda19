"""The border to discord.py: its channels as our keys, its refusals as our errors, our words as what it may send.

Nothing here talks to Discord.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import aiohttp
import discord

from bot.errors import ChannelGone, ConnectorError, RateLimited
from bot.messages import ChannelKey, Person

DIRECT = "@me"  # stands for the server in the key of a direct chat
NOBODY = discord.AllowedMentions.none()  # what characters say calls no one

# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json
UNKNOWN_CHANNEL, UNKNOWN_GUILD, UNKNOWN_MESSAGE, UNKNOWN_WEBHOOK, UNKNOWN_INTERACTION = 10003, 10004, 10008, 10015, 10062
TOO_MANY_WEBHOOKS, TOO_MANY_EMOJIS = 30007, 30008
MISSING_ACCESS, MISSING_PERMISSIONS, INVALID_WEBHOOK_TOKEN = 50001, 50013, 50027

UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)  # nobody knows whether the call was carried out

_MASKED_LINK = re.compile(r"\[([^\]\n]{1,200})\]\(\s*<?(https?://[^)\s>]{1,500})>?\s*\)")
_LINK = re.compile(r"<?https?://[^\s<>]+>?|\b(?:discord\.gg|discord(?:app)?\.com/invite)/[\w-]+", re.IGNORECASE)

Links = Literal["keep", "plain", "none"]
Place = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread | discord.DMChannel


def channel_key(guild_id: int | None, channel_id: int, parent_id: int | None = None) -> ChannelKey:
    """``parent_id`` is the channel that a thread is in."""
    if guild_id is None:
        return ChannelKey("discord", f"{DIRECT}/{channel_id}")
    if parent_id is not None:
        return ChannelKey("discord", f"{guild_id}/{parent_id}/{channel_id}")
    return ChannelKey("discord", f"{guild_id}/{channel_id}")


def key_of(channel: object) -> ChannelKey | None:
    """The key of one of discord.py's channels; None for what is no place to talk in, or a thread without a known parent."""
    if isinstance(channel, discord.Thread):
        return channel_key(channel.guild.id, channel.id, channel.parent_id)
    if isinstance(channel, discord.abc.GuildChannel):
        return channel_key(channel.guild.id, channel.id)
    if isinstance(channel, discord.DMChannel) or (isinstance(channel, discord.PartialMessageable) and channel.guild_id is None):
        return channel_key(None, channel.id)
    return None


def channel_id_of(key: ChannelKey) -> int:
    """The id of the channel or thread itself. Raises ``ChannelGone`` when the key is none of Discord's."""
    last = key.path.rsplit("/", 1)[-1]
    if not last.isdecimal():
        raise ChannelGone(f"{key} is no channel of Discord")
    return int(last)


def person_of(user: discord.abc.User) -> Person:
    return Person(f"discord:{user.id}", " ".join(user.display_name.split()) or str(user.id))


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Discord's refusals as ours, around one call. ``what`` names the place for the sentence.

    Raises:
        ChannelGone, RateLimited, ConnectorError
    """
    try:
        yield
    except discord.RateLimited as error:
        raise RateLimited(f"{what}: Discord asks us to wait", retry_after_seconds=error.retry_after) from error
    except discord.HTTPException as error:
        raise _refusal(what, error) from error
    except discord.DiscordException as error:
        raise ConnectorError(f"{what}: {error}") from error
    except UNREACHABLE as error:
        raise ConnectorError(f"{what}: Discord cannot be reached ({type(error).__name__})") from error


def _refusal(what: str, error: discord.HTTPException) -> ConnectorError:
    if error.code in (UNKNOWN_CHANNEL, UNKNOWN_GUILD, MISSING_ACCESS):
        return ChannelGone(f"{what}: the channel is gone, or we may not see it")
    if error.status == 429:
        wait = error.response.headers.get("Retry-After", "")
        return RateLimited(f"{what}: Discord asks us to wait", retry_after_seconds=float(wait) if wait.isdecimal() else 5.0)
    if error.code == MISSING_PERMISSIONS:
        return ConnectorError(f"{what}: a permission is missing; `troupe check` names it")
    return ConnectorError(f"{what}: Discord refused with {error.status} (code {error.code})")


def speakable(text: str, links: Links) -> str:
    """What a character says, under the policy for links. Never longer than the text itself."""
    match links:
        case "keep":
            return text
        case "plain":
            return _MASKED_LINK.sub(_unmasked, text)
        case "none":
            return _LINK.sub("[…]", _MASKED_LINK.sub(r"\1", text))


def _unmasked(link: re.Match[str]) -> str:
    label, address = link.group(1), link.group(2)
    return address if label.strip() == address else f"{label} ({address})"


def prefixed(name: str, text: str) -> str:
    """How a character speaks where only the bot's own face can be shown."""
    return f"**{discord.utils.escape_markdown(name)}:** {text}"
