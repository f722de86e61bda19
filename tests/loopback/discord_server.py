"""A Discord on 127.0.0.1: REST and gateway, for the real discord.py over real sockets.

In a test::

    async with LoopbackDiscord() as discord:
        guild = discord.world.add_guild("Harbour")
        ...                        # point the bot at discord.api_base and discord.gateway_url
        await discord.say(channel, anna, "Good evening")

As a process of its own: ``python -m tests.loopback.discord_server --port N``. It prints one JSON line with the addresses, and
``POST /control/<what>`` with JSON arguments does what the methods of ``LoopbackDiscord`` do (see ``CONTROLS``).
"""

import argparse
import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from aiohttp import web

from tests.loopback.discord_gateway import Gateway
from tests.loopback.discord_rest import Call, Fault, Interaction, Rest
from tests.loopback.discord_spec import Spec
from tests.loopback.discord_world import DM, FORUM, TEXT, World

TOKEN = "MTA.loopback.token"
COMMAND, COMPONENT, AUTOCOMPLETE, FORM = 2, 3, 4, 5
OPTION_TYPES: dict[type, int] = {str: 3, bool: 5, int: 4, float: 10}
SUBCOMMAND, GROUP, ATTACHMENT = 1, 2, 11
TICK_SECONDS = 0.01


class LoopbackDiscord:
    def __init__(self, port: int = 0, token: str = TOKEN) -> None:
        self.world = World(token)
        self.gateway = Gateway(self.world)
        self.rest = Rest(self.world, self.gateway, Spec.load())
        self._port = port
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "LoopbackDiscord":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/gateway", self.gateway.connect)
        app.router.add_get("/gateway/", self.gateway.connect)
        app.router.add_get("/attachments/{tail:.*}", self._file)
        app.router.add_post("/control/{what}", self._control)
        app.router.add_route("*", "/api/v10/{tail:.*}", self.rest.handle)
        # A short timeout: with an open websocket, cleanup would otherwise wait for a minute.
        self._runner = web.AppRunner(app, shutdown_timeout=0.5, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.rest.base = f"http://127.0.0.1:{self._port}"
        self.gateway.url = self.gateway_url

    async def stop(self) -> None:
        await self.gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/v10"

    @property
    def gateway_url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/gateway"

    @property
    def violations(self) -> list[str]:
        """What Discord's own description has against the requests and the answers so far."""
        return self.rest.violations

    # ------------------------------------------------------------------ what members do

    async def say(
        self,
        channel: dict[str, Any],
        user: dict[str, Any],
        text: str,
        *,
        reply_to: str | None = None,
        sent_at: datetime | None = None,
        quietly: bool = False,
        **more: Any,
    ) -> dict[str, Any]:
        """Somebody writes. ``quietly``: nobody is told, as while the bot is away."""
        mentioned = [self.world.users[u] for u in re.findall(r"<@!?(\d+)>", text) if u in self.world.users]
        if reply_to:
            answered = self.world.messages[channel["id"]].get(reply_to)
            more.setdefault("referenced_message", answered)
        message = self.world.add_message(channel["id"], user, text, reply_to=reply_to, mentions=mentioned, sent_at=sent_at, **more)
        if not quietly:
            await self.tell_message(message)
        return message

    async def tell_message(self, message: dict[str, Any]) -> None:
        place = self.world.channels[message["channel_id"]]
        await self.gateway.dispatch("MESSAGE_CREATE", self.world.event_message(message), guild_id=place.get("guild_id"))

    async def change(self, message: dict[str, Any], text: str) -> None:
        """Somebody edits a message."""
        message["content"] = text
        message["edited_timestamp"] = datetime.now().astimezone().isoformat()
        place = self.world.channels[message["channel_id"]]
        await self.gateway.dispatch("MESSAGE_UPDATE", self.world.event_message(message), guild_id=place.get("guild_id"))

    async def delete(self, *messages: dict[str, Any]) -> None:
        """Messages are deleted, several of them at once."""
        if len(messages) == 1:
            await self.rest.take_away(messages[0]["channel_id"], messages[0]["id"])
            return
        place = self.world.channels[messages[0]["channel_id"]]
        for message in messages:
            self.world.messages[place["id"]].pop(message["id"], None)
        ids = {"ids": [m["id"] for m in messages], "channel_id": place["id"], "guild_id": place["guild_id"]}
        await self.gateway.dispatch("MESSAGE_DELETE_BULK", ids, guild_id=place["guild_id"])

    async def delete_channel(self, channel: dict[str, Any]) -> None:
        thread = "thread_metadata" in channel
        self.world.channels.pop(channel["id"])
        self.world.messages.pop(channel["id"], None)
        await self.gateway.dispatch("THREAD_DELETE" if thread else "CHANNEL_DELETE", channel, guild_id=channel["guild_id"])

    async def open_channel(self, guild: dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
        channel = self.world.add_channel(guild, name, **more)
        await self.gateway.dispatch("CHANNEL_CREATE", channel, guild_id=guild["id"])
        return channel

    async def open_thread(self, parent: dict[str, Any], name: str, owner: dict[str, Any]) -> dict[str, Any]:
        thread = self.world.add_thread(parent, name, owner)
        await self.gateway.dispatch("THREAD_CREATE", {**thread, "newly_created": True}, guild_id=parent["guild_id"])
        return thread

    async def leave(self, guild: dict[str, Any]) -> None:
        """The bot is removed from a server."""
        self.world.guilds.pop(guild["id"])
        await self.gateway.dispatch("GUILD_DELETE", {"id": guild["id"]}, guild_id=guild["id"])

    # ------------------------------------------------------------------ commands, buttons, forms

    async def slash(
        self, channel: dict[str, Any], user: dict[str, Any], command: str, /, *, typing: str | None = None, **options: Any
    ) -> Interaction:
        """``/character wake`` with options. A pair (file name, bytes) is an attachment.

        ``typing`` names the option that is being filled in: autocomplete is asked instead of the command.
        """
        names = command.removeprefix("/").split()
        registered = self._command(channel, names[0], 1)
        resolved: dict[str, Any] = {}
        given = [self._option(name, value, resolved, focused=name == typing) for name, value in options.items()]
        kinds = [SUBCOMMAND] if len(names) == 2 else [GROUP, SUBCOMMAND]
        for name, kind in zip(reversed(names[1:]), reversed(kinds[: len(names) - 1]), strict=True):
            given = [{"name": name, "type": kind, "options": given}]
        data = {"id": registered["id"], "name": names[0], "type": 1, "options": given, "resolved": resolved}
        return await self._interact(AUTOCOMPLETE if typing else COMMAND, channel, user, data)

    async def menu(self, channel: dict[str, Any], user: dict[str, Any], name: str, message: dict[str, Any]) -> Interaction:
        """A command of a message's context menu."""
        registered = self._command(channel, name, 3)
        shown = self.rest_view(message)
        data = {
            "id": registered["id"],
            "name": name,
            "type": 3,
            "target_id": message["id"],
            "resolved": {"messages": {message["id"]: shown}},
        }
        return await self._interact(COMMAND, channel, user, data)

    async def press(self, user: dict[str, Any], message: dict[str, Any], button: str) -> Interaction:
        """A button under a message, by its label or a part of its id."""
        buttons = [b for row in message["components"] for b in row.get("components", [row])]
        found = next(
            (b for b in buttons if button in (b.get("label"), (b.get("emoji") or {}).get("name")) or button in b.get("custom_id", "")), None
        )
        assert found is not None, f"no button {button!r} among {buttons}"
        data = {"custom_id": found["custom_id"], "component_type": 2, "id": found["id"]}
        channel = self.world.channels[message["channel_id"]]
        return await self._interact(COMPONENT, channel, user, data, source=message)

    async def submit(self, asked: Interaction, user: dict[str, Any], **values: str) -> Interaction:
        """Send the form that ``asked`` opened; the values by custom id."""
        form = await asked.form()
        rows = []
        for row in form["components"]:
            inner = [row["component"]] if "component" in row else row["components"]
            filled = [
                {"type": 4, "id": i, "custom_id": c["custom_id"], "value": values.get(c["custom_id"], c.get("value", ""))}
                for i, c in enumerate(inner)
            ]
            rows.append({"type": 18, "id": 1, "component": filled[0]} if "component" in row else {"type": 1, "id": 1, "components": filled})
        data = {"custom_id": form["custom_id"], "components": rows, "resolved": {}}
        return await self._interact(FORM, self.world.channels[asked.channel_id], user, data, source=asked.source)

    def rest_view(self, message: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in message.items() if k not in ("allowed_mentions_asked", "avatar_url", "versions", "waiting")}

    async def _interact(
        self, kind: int, channel: dict[str, Any], user: dict[str, Any], data: dict[str, Any], *, source: dict[str, Any] | None = None
    ) -> Interaction:
        interaction = Interaction(self.world.snowflake(), f"token-{self.world.snowflake()}", kind, channel["id"], source=source)
        self.rest.interactions[interaction.id] = interaction
        event: dict[str, Any] = {
            "id": interaction.id,
            "application_id": self.world.application_id,
            "type": kind,
            "token": interaction.token,
            "version": 1,
            "attachment_size_limit": 10 * 1024 * 1024,
            "channel": {**channel, "permissions": "0"},
            "channel_id": channel["id"],
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": {},
            "app_permissions": str((1 << 53) - 1),
            "data": data,
        }
        if source is not None:
            event["message"] = self.rest_view(source)
        if channel["type"] == DM:
            event |= {"user": user, "context": 1}
        else:
            guild_id = channel["guild_id"]
            permissions = str(self.world.permissions(guild_id, user["id"]))
            event |= {"guild_id": guild_id, "guild_locale": "en-US", "context": 0}
            event["guild"] = {"id": guild_id, "locale": "en-US", "features": []}
            event["member"] = {**self.world.member(guild_id, user), "permissions": permissions}
        await self.gateway.dispatch("INTERACTION_CREATE", event, guild_id=channel.get("guild_id"))
        return interaction

    def _command(self, channel: dict[str, Any], name: str, kind: int) -> dict[str, Any]:
        for scope in (channel.get("guild_id", ""), ""):
            for command in self.world.commands.get(scope, []):
                if (command["name"], command["type"]) == (name, kind):
                    return command
        raise AssertionError(f"/{name} is not registered; the bot has {[c['name'] for c in self.world.commands['']]}")

    def _option(self, name: str, value: Any, resolved: dict[str, Any], *, focused: bool) -> dict[str, Any]:
        if isinstance(value, tuple):
            attachment = self.rest.attachment("0", *value)
            resolved.setdefault("attachments", {})[attachment["id"]] = attachment
            return {"name": name, "type": ATTACHMENT, "value": attachment["id"]}
        if isinstance(value, dict):
            resolved.setdefault("users", {})[value["id"]] = value
            return {"name": name, "type": 6, "value": value["id"]}
        option = {"name": name, "type": OPTION_TYPES[type(value)], "value": value}
        return {**option, "focused": True} if focused else option

    # ------------------------------------------------------------------ what tests wait for

    async def until(self, found: Callable[[], Any], what: str, seconds: float = 30) -> Any:
        """Wait for the state of this server, not for a time."""
        async with asyncio.timeout(seconds):
            try:
                while not (result := found()):  # noqa: ASYNC110  the state is in another process's hands: there is no event to wait for
                    await asyncio.sleep(TICK_SECONDS)
            except asyncio.CancelledError:
                calls = [f"{c.method} {c.path}" for c in self.rest.calls[-12:]]
                raise TimeoutError(f"{what} did not happen within {seconds:.0f} s; the last calls were {calls}") from None
            return result

    def said_by(self, channel: dict[str, Any], name: str | None = None) -> list[dict[str, Any]]:
        """What characters (webhooks) have said in a channel, oldest first."""
        messages = self.world.messages[channel["id"]].values()
        return [m for m in messages if "webhook_id" in m and "interaction" not in m and (name is None or m["author"]["username"] == name)]

    def notices(self, channel: dict[str, Any]) -> list[str]:
        """What the bot has said as itself."""
        return [m["content"] for m in self.world.messages[channel["id"]].values() if m["author"]["id"] == self.world.bot["id"]]

    def calls(self, method: str, path: str) -> list[Call]:
        return [c for c in self.rest.calls if c.method == method and re.search(path, c.path)]

    def trouble(self, method: str, path: str, **fault: Any) -> Fault:
        """Script a fault for the next calls that match."""
        scripted = Fault(method, path, **fault)
        self.rest.faults.append(scripted)
        return scripted

    # ------------------------------------------------------------------ as a process of its own

    async def _file(self, request: web.Request) -> web.Response:
        kept = self.world.files.get(request.path)
        return web.Response(status=404) if kept is None else web.Response(body=kept[1], content_type=kept[0])

    async def _control(self, request: web.Request) -> web.Response:
        handler = CONTROLS.get(request.match_info["what"])
        if handler is None:
            return web.json_response({"error": f"there are only {', '.join(CONTROLS)}"}, status=404)
        try:
            arguments = await request.json() if request.can_read_body else {}
            return web.json_response(await handler(self, **arguments))
        except (KeyError, TypeError, AssertionError, ValueError) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)


async def _guild(discord: LoopbackDiscord, name: str) -> Any:
    guild = discord.world.add_guild(name)
    await discord.gateway.dispatch("GUILD_CREATE", discord.world.guild_document(guild["id"], [discord.world.bot]), guild_id=guild["id"])
    return guild["id"]


async def _channel(discord: LoopbackDiscord, guild: str, name: str, kind: int = TEXT) -> Any:
    return (await discord.open_channel(discord.world.guilds[guild], name, kind=kind))["id"]


async def _user(discord: LoopbackDiscord, name: str) -> Any:
    return discord.world.add_user(name)["id"]


async def _say(discord: LoopbackDiscord, channel: str, user: str, text: str, reply_to: str | None = None) -> Any:
    message = await discord.say(discord.world.channels[channel], discord.world.users[user], text, reply_to=reply_to)
    return message["id"]


async def _slash(discord: LoopbackDiscord, channel: str, user: str, command: str, options: dict[str, Any] | None = None) -> Any:
    asked = await discord.slash(discord.world.channels[channel], discord.world.users[user], command, **(options or {}))
    return discord.rest_view(await asked.answer())


async def _messages(discord: LoopbackDiscord, channel: str) -> Any:
    return [discord.rest_view(m) for m in discord.world.messages[channel].values()]


async def _trouble(discord: LoopbackDiscord, **fault: Any) -> Any:
    discord.trouble(**fault)
    return True


async def _drop(discord: LoopbackDiscord, code: int = 4000) -> Any:
    await discord.gateway.drop(code)
    return True


async def _reconnect(discord: LoopbackDiscord) -> Any:
    await discord.gateway.ask_to_reconnect()
    return True


async def _invalidate(discord: LoopbackDiscord, resumable: bool = False) -> Any:
    await discord.gateway.invalidate(resumable=resumable)
    return True


async def _violations(discord: LoopbackDiscord) -> Any:
    return discord.violations


CONTROLS: dict[str, Callable[..., Awaitable[Any]]] = {
    "guild": _guild,
    "channel": _channel,
    "user": _user,
    "say": _say,
    "slash": _slash,
    "messages": _messages,
    "trouble": _trouble,
    "drop": _drop,
    "reconnect": _reconnect,
    "invalidate": _invalidate,
    "violations": _violations,
}

__all__ = ["DM", "FORUM", "TEXT", "TOKEN", "LoopbackDiscord"]


async def _serve(port: int, token: str) -> None:
    async with LoopbackDiscord(port, token) as discord:
        print(json.dumps({"api_base": discord.api_base, "gateway_url": discord.gateway_url, "token": token}), flush=True)  # noqa: T201
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A Discord on 127.0.0.1, for trying the bot without the internet.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--token", default=TOKEN, help="the bot token that is accepted")
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.port, arguments.token))


if __name__ == "__main__":
    main()
