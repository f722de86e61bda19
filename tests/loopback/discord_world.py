"""What the loopback Discord knows: users, servers, channels, messages, webhooks, commands, emojis.

Everything is kept as the JSON that Discord would send, so that an answer is what is stored. No networking here.
"""

import itertools
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

EPOCH_MS = 1420070400000
TEXT, DM, CATEGORY, PUBLIC_THREAD, FORUM = 0, 1, 4, 11, 15

VIEW = 1 << 10
SEND = 1 << 11
MANAGE_MESSAGES = 1 << 13
EMBED = 1 << 14
ATTACH = 1 << 15
HISTORY = 1 << 16
MANAGE_WEBHOOKS = 1 << 29
MANAGE_GUILD = 1 << 5
THREADS_SEND = 1 << 38
EVERYTHING = (1 << 53) - 1
SEND_VOICE = 1 << 46
BOT_NEEDS = VIEW | SEND | EMBED | ATTACH | HISTORY | MANAGE_WEBHOOKS | THREADS_SEND
MEMBER_HAS = SEND_VOICE | VIEW | SEND | HISTORY | EMBED | ATTACH | THREADS_SEND | (1 << 31)


class Refused(Exception):
    """An error answer of the API."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class World:
    def __init__(self, token: str) -> None:
        self.token = token
        self._counter = itertools.count(1)
        self.application_id = self.snowflake()
        self.bot = self._user("Troupe", self.application_id, bot=True)
        self.owner = self._user("Operator", self.snowflake())
        self.users = {self.bot["id"]: self.bot, self.owner["id"]: self.owner}
        self.guilds: dict[str, dict[str, Any]] = {}
        self.channels: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, dict[str, dict[str, Any]]] = {}  # channel -> message id -> message, in order
        self.webhooks: dict[str, dict[str, Any]] = {}
        self.commands: dict[str, list[dict[str, Any]]] = {"": []}  # "" global, else the guild's
        self.emojis: dict[str, dict[str, Any]] = {}
        self.files: dict[str, tuple[str, bytes]] = {}  # path -> media type, bytes
        self.member_permissions: dict[tuple[str, str], int] = {}  # (guild, user)
        self.intents_allowed = EVERYTHING

    def snowflake(self, at: datetime | None = None) -> str:
        milliseconds = int((at or datetime.now(UTC)).timestamp() * 1000) - EPOCH_MS
        return str((milliseconds << 22) | (next(self._counter) & 0x3FFFFF))

    # ------------------------------------------------------------------ people and places

    def add_user(self, name: str, *, bot: bool = False) -> dict[str, Any]:
        user = self._user(name, self.snowflake(), bot=bot)
        self.users[user["id"]] = user
        return user

    def add_guild(self, name: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
        guild_id = self.snowflake()
        guild = {
            "id": guild_id,
            "name": name,
            "owner_id": (owner or self.owner)["id"],
            "unavailable": False,
            "icon": None,
            "roles": [_role(guild_id, "@everyone", MEMBER_HAS)],
            "bot_role": _role(self.snowflake(), "Troupe", BOT_NEEDS),
        }
        guild["roles"].append(guild["bot_role"])
        self.guilds[guild_id] = guild
        return guild

    def add_channel(
        self, guild: dict[str, Any], name: str, kind: int = TEXT, *, nsfw: bool = False, parent: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        channel = {
            "id": self.snowflake(),
            "type": kind,
            "flags": 0,
            "guild_id": guild["id"],
            "name": name,
            "position": len(self.channels),
            "permission_overwrites": [],
            "nsfw": nsfw,
            "parent_id": parent["id"] if parent else None,
            "rate_limit_per_user": 0,
            "topic": None,
            "last_message_id": None,
        }
        self._add(channel)
        return channel

    def add_thread(self, parent: dict[str, Any], name: str, owner: dict[str, Any]) -> dict[str, Any]:
        thread = {
            "id": self.snowflake(),
            "type": PUBLIC_THREAD,
            "flags": 0,
            "guild_id": parent["guild_id"],
            "parent_id": parent["id"],
            "name": name,
            "owner_id": owner["id"],
            "last_message_id": None,
            "rate_limit_per_user": 0,
            "message_count": 0,
            "member_count": 1,
            "total_message_sent": 0,
            "thread_metadata": {
                "archived": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": _now(),
                "locked": False,
                "create_timestamp": _now(),
            },
        }
        self._add(thread)
        return thread

    def dm(self, user: dict[str, Any]) -> dict[str, Any]:
        for channel in self.channels.values():
            if channel["type"] == DM and channel["recipients"][0]["id"] == user["id"]:
                return channel
        channel = {"id": self.snowflake(), "type": DM, "flags": 0, "recipients": [user], "last_message_id": None}
        self._add(channel)
        return channel

    def deny(self, channel: dict[str, Any], permission: int) -> None:
        """Take a permission from the bot in one channel."""
        channel["permission_overwrites"] = [{"id": self.bot["id"], "type": 1, "allow": "0", "deny": str(permission)}]

    def member(self, guild_id: str, user: dict[str, Any]) -> dict[str, Any]:
        guild = self.guilds[guild_id]
        roles = [guild["bot_role"]["id"]] if user["id"] == self.bot["id"] else []
        return {
            "user": user,
            "nick": None,
            "avatar": None,
            "banner": None,
            "roles": roles,
            "joined_at": "2024-01-01T00:00:00+00:00",
            "premium_since": None,
            "communication_disabled_until": None,
            "deaf": False,
            "mute": False,
            "flags": 0,
            "pending": False,
        }

    def permissions(self, guild_id: str, user_id: str) -> int:
        if self.guilds[guild_id]["owner_id"] == user_id:
            return EVERYTHING
        return self.member_permissions.get((guild_id, user_id), MEMBER_HAS)

    def bot_may(self, channel: dict[str, Any], permission: int) -> bool:
        if channel["type"] == DM:
            return True
        place = self.parent_of(channel)
        if channel["type"] == PUBLIC_THREAD and permission == SEND:
            permission = THREADS_SEND
        denied = sum(int(o["deny"]) for o in place["permission_overwrites"] if o["id"] == self.bot["id"])
        granted = int(self.guilds[channel["guild_id"]]["bot_role"]["permissions"]) | MEMBER_HAS
        return bool(granted & ~denied & permission)

    def require(self, channel: dict[str, Any], *permissions: int) -> None:
        if not self.bot_may(channel, VIEW):
            raise Refused(403, 50001, "Missing Access")
        if not all(self.bot_may(channel, each) for each in permissions):
            raise Refused(403, 50013, "Missing Permissions")

    def channel(self, channel_id: str) -> dict[str, Any]:
        if channel_id not in self.channels:
            raise Refused(404, 10003, "Unknown Channel")
        return self.channels[channel_id]

    def parent_of(self, channel: dict[str, Any]) -> dict[str, Any]:
        return self.channels[channel["parent_id"]] if channel["type"] == PUBLIC_THREAD else channel

    def guild_document(self, guild_id: str, people: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """What GUILD_CREATE carries."""
        guild = self.guilds[guild_id]
        here = [c for c in self.channels.values() if c.get("guild_id") == guild_id]
        members = [self.member(guild_id, user) for user in people]
        return {
            **{k: v for k, v in guild.items() if k != "bot_role"},
            "member_count": len(members),
            "members": members,
            "channels": [c for c in here if c["type"] != PUBLIC_THREAD],
            "threads": [c for c in here if c["type"] == PUBLIC_THREAD],
            "emojis": [],
            "stickers": [],
            "features": [],
            "presences": [],
            "voice_states": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
            "premium_tier": 0,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "preferred_locale": "en-US",
            "large": False,
            "joined_at": "2024-01-01T00:00:00+00:00",
            "system_channel_id": None,
            "system_channel_flags": 0,
            "afk_channel_id": None,
            "afk_timeout": 300,
        }

    def guild_answer(self, guild_id: str) -> dict[str, Any]:
        """What ``GET /guilds/{id}`` answers."""
        shared = self.guild_document(guild_id, [])
        unset = (
            "description",
            "home_header",
            "splash",
            "discovery_splash",
            "banner",
            "application_id",
            "afk_channel_id",
            "widget_channel_id",
            "rules_channel_id",
            "safety_alerts_channel_id",
            "public_updates_channel_id",
            "vanity_url_code",
            "max_presences",
            "latest_onboarding_question_id",
        )
        left_out = ("unavailable", "member_count", "members", "channels", "threads", "presences", "voice_states", "large", "joined_at")
        return {
            **{key: value for key, value in shared.items() if key not in left_out},
            **dict.fromkeys(unset),
            "region": "deprecated",
            "widget_enabled": False,
            "max_members": 500000,
            "max_stage_video_channel_users": 50,
            "max_video_channel_users": 25,
            "premium_subscription_count": 0,
            "premium_progress_bar_enabled": False,
            "owner": False,
            "nsfw": False,
            "incidents_data": None,
        }

    # ------------------------------------------------------------------ messages

    def add_message(
        self,
        channel_id: str,
        author: dict[str, Any],
        content: str,
        *,
        reply_to: str | None = None,
        mentions: Iterable[dict[str, Any]] = (),
        attachments: Iterable[dict[str, Any]] = (),
        sent_at: datetime | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        message: dict[str, Any] = {
            "id": self.snowflake(sent_at),
            "type": 19 if reply_to else 0,
            "content": content,
            "channel_id": channel_id,
            "author": author,
            "mentions": list(mentions),
            "mention_roles": [],
            "mention_everyone": False,
            "attachments": list(attachments),
            "embeds": [],
            "components": [],
            "timestamp": (sent_at or datetime.now(UTC)).isoformat(),
            "edited_timestamp": None,
            "flags": 0,
            "pinned": False,
            "tts": False,
            **more,
        }
        if reply_to:
            message["message_reference"] = {"type": 0, "message_id": reply_to, "channel_id": channel_id}
        self.messages.setdefault(channel_id, {})[message["id"]] = message
        self.channels[channel_id]["last_message_id"] = message["id"]
        return message

    def message(self, channel_id: str, message_id: str) -> dict[str, Any]:
        found = self.messages.get(channel_id, {}).get(message_id)
        if found is None:
            raise Refused(404, 10008, "Unknown Message")
        return found

    def event_message(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message as the gateway sends it."""
        channel = self.channels[message["channel_id"]]
        if channel["type"] == DM:
            return message
        event = {**message, "guild_id": channel["guild_id"]}
        if message["author"]["id"] in self.users:
            event["member"] = {k: v for k, v in self.member(channel["guild_id"], message["author"]).items() if k != "user"}
        return event

    def history(self, channel_id: str, *, before: str | None, after: str | None, limit: int) -> list[dict[str, Any]]:
        """Newest first, like Discord; with ``after``, the oldest of those that follow."""
        all_of_it = sorted(self.messages.get(channel_id, {}).values(), key=lambda m: int(m["id"]))
        if after is not None:
            return [m for m in all_of_it if int(m["id"]) > int(after)][:limit][::-1]
        if before is not None:
            all_of_it = [m for m in all_of_it if int(m["id"]) < int(before)]
        return all_of_it[-limit:][::-1]

    # ------------------------------------------------------------------ webhooks, emojis, files

    def add_webhook(self, channel_id: str, name: str, *, application_id: str | None = None) -> dict[str, Any]:
        webhook_id = self.snowflake()
        webhook = {
            "id": webhook_id,
            "type": 1,
            "name": name,
            "avatar": None,
            "channel_id": channel_id,
            "guild_id": self.channels[channel_id]["guild_id"],
            "application_id": application_id,
            "token": f"{webhook_id}-{'w' * 60}",
            "user": self.bot if application_id == self.application_id else self.owner,
            "url": f"https://discord.com/api/webhooks/{webhook_id}/{'w' * 60}",
        }
        self.webhooks[webhook_id] = webhook
        return webhook

    def webhook(self, webhook_id: str, token: str) -> dict[str, Any]:
        webhook = self.webhooks.get(webhook_id)
        if webhook is None:
            raise Refused(404, 10015, "Unknown Webhook")
        if webhook["token"] != token:
            raise Refused(401, 50027, "Invalid Webhook Token")
        return webhook

    def application(self) -> dict[str, Any]:
        return {
            "id": self.application_id,
            "name": "Troupe",
            "icon": None,
            "description": "",
            "type": None,
            "verify_key": "0" * 64,
            "flags": 0 if not self.intents_allowed & (1 << 15) else 1 << 19,
            "flags_new": str(0 if not self.intents_allowed & (1 << 15) else 1 << 19),
            "bot_public": True,
            "bot_require_code_grant": False,
            "redirect_uris": [],
            "interactions_endpoint_url": None,
            "role_connections_verification_url": None,
            "owner": self.owner,
            "approximate_guild_count": len(self.guilds),
            "approximate_user_install_count": 0,
            "approximate_user_authorization_count": 0,
            "explicit_content_filter": 0,
            "team": None,
            "eligible_oauth2_scopes": [],
            "bot": self.bot,
        }

    def _add(self, channel: dict[str, Any]) -> None:
        self.channels[channel["id"]] = channel
        self.messages[channel["id"]] = {}

    def _user(self, name: str, user_id: str, *, bot: bool = False) -> dict[str, Any]:
        return {
            "id": user_id,
            "username": name.lower().replace(" ", "_"),
            "avatar": None,
            "discriminator": "0",
            "public_flags": 0,
            "flags": 0,
            "global_name": name,
            "primary_guild": None,
            "bot": bot,
        }


def _role(role_id: str, name: str, permissions: int) -> dict[str, Any]:
    return {
        "id": role_id,
        "name": name,
        "description": None,
        "permissions": str(permissions),
        "position": 0 if name == "@everyone" else 1,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": name != "@everyone",
        "mentionable": False,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat()
