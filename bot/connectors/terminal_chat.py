"""The company in a terminal: a conversation to type in, one JSON object per reply for scripts, or a single message."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from bot.characters.cast import Character
from bot.commands import character as character_commands
from bot.commands import chat as chat_commands
from bot.commands.desk import MADE_UP, Caller, Desk
from bot.commands.why import why
from bot.errors import BotError
from bot.messages import ChannelKey, Face, Incoming, Limits, Person, Reply

ME = Person("terminal", "You")

HELP = f"""\
Just type. A name in your message calls that character.
  /characters          who there is, and who is here
  /wake NAME           bring somebody in        /sleep NAME   send somebody out
  /regenerate          another take of the last reply
  /continue            let the last speaker go on
  /why                 what made the last reply
  /reset               begin afresh             /quit         leave (Ctrl-D)
While somebody speaks, Ctrl-C stops the reply.
{MADE_UP}"""


class TerminalPort:
    """Writes replies to a terminal as they grow. ``say`` and ``--json`` use it silently."""

    limits = Limits(length=100_000, edit_seconds=0.0)

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._shown: dict[str, str] = {}
        self.notices: list[str] = []

    async def open(self, character: Face, text: str) -> str:
        sent_id = uuid.uuid4().hex
        self._shown[sent_id] = text
        self._write(f"\n[bold]{escape(character.emoji)} {escape(character.name)}[/bold]  {escape(text)}")
        return sent_id

    async def edit(self, sent_id: str, text: str) -> None:
        before = self._shown.get(sent_id, "")
        self._shown[sent_id] = text
        # A terminal cannot take words back: what is no continuation (another take, a cut) is written below.
        self._write(escape(text[len(before) :]) if text.startswith(before) else f"\n  [dim](again)[/dim] {escape(text)}")

    async def remove(self, sent_id: str) -> None:
        self._shown.pop(sent_id, None)

    @asynccontextmanager
    async def typing(self, character: Face) -> AsyncIterator[None]:
        yield

    async def notice(self, text: str) -> None:
        self.notices.append(text)
        self._write(f"\n[yellow]{escape(text)}[/yellow]")

    def _write(self, text: str) -> None:
        if self._console is not None:
            self._console.print(text, end="", highlight=False, soft_wrap=True)


class TerminalChat:
    """A conversation over standard input and output. ``character`` set: a direct talk with that one."""

    def __init__(self, desk: Desk, channel: ChannelKey, character: Character | None, *, console: Console | None) -> None:
        self._desk = desk
        self.channel = channel
        self._character = character
        self._console = console
        self.port = TerminalPort(console)
        self._caller = Caller(ME, channel, self.port, moderator=True, operator=True)

    async def say(self, text: str) -> list[Reply]:
        """One message through the whole path; the replies when they are all there.

        Raises:
            BotError: what went wrong with the turn.
        """
        turn = await self._desk.router.hear(self._incoming(text))
        return [] if turn is None else await turn

    async def json_lines(self, lines: AsyncIterator[str], write: Callable[[str], None]) -> None:
        """A message a line in, an object a reply out. A message that is refused gives ``{"error": ...}`` and the next is read."""
        async for line in lines:
            try:
                replies = await self.say(line)
            except BotError as error:
                write(json.dumps({"error": str(error)}, ensure_ascii=False))
                continue
            for reply in replies:
                write(json.dumps(reply_object(reply), ensure_ascii=False))

    async def talk(self, lines: AsyncIterator[str]) -> None:
        """The conversation to type in, until the input ends or ``/quit``."""
        assert self._console is not None
        await self._greet()
        self._prompt()
        async for line in lines:
            if line.strip() in ("/quit", "/exit"):
                break
            try:
                if line.startswith("/"):
                    self._tell(await self._command(line))
                elif line.strip():
                    await self.say(line)
            except BotError as error:
                self._tell(str(error))
            self._prompt()

    async def stop(self) -> bool:
        return await self._desk.router.stop(self.channel)

    async def _command(self, line: str) -> str:
        word, _, rest = line[1:].strip().partition(" ")
        desk, caller = self._desk, self._caller
        match word, rest.strip():
            case "characters", _:
                return "\n".join(
                    f"  {'●' if p.awake else '○'} {p.character.face.emoji} {p.character.name}  {p.character.settings.tagline}"
                    for p in await character_commands.characters(desk, caller)
                )
            case "wake", name if name:
                return (await character_commands.wake(desk, caller, name)).greeting
            case "sleep", name if name:
                return f"{(await character_commands.sleep(desk, caller, name)).name} leaves."
            case "reset", name:
                return await chat_commands.reset(desk, caller, name or None)
            case "regenerate", _:
                await (await chat_commands.regenerate(desk, caller))
                return ""
            case "continue", _:
                await (await chat_commands.go_on(desk, caller))
                return ""
            case "stop", _:
                return await chat_commands.stop(desk, caller)
            case "why", _:
                return str(await why(desk, caller))
            case _:
                return HELP

    async def _greet(self) -> None:
        here = [self._character] if self._character else await self._desk.company.awake(self.channel)
        history = await self._desk.store.history(self.channel, None, limit=6)
        self._tell(f"{MADE_UP}  /help says what can be typed.")
        if not history:
            for character in here[:3]:
                name = f"[bold]{escape(character.face.emoji)} {escape(character.name)}[/bold]"
                self._tell(f"{name}  {escape(character.greeting(ME.name))}", markup=True)
        for turn in history:
            self._tell(f"[dim]{escape(turn.author_name)}: {escape(turn.text)}[/dim]", markup=True)

    def _tell(self, text: str, *, markup: bool = False) -> None:
        if text and self._console is not None:
            self._console.print(text if markup else escape(text), highlight=False, soft_wrap=True)

    def _prompt(self) -> None:
        if self._console is not None:
            self._console.print("\n[bold cyan]you ›[/bold cyan] ", end="")

    def _incoming(self, text: str) -> Incoming:
        return Incoming(
            channel=self.channel,
            message_id=uuid.uuid4().hex,
            author=ME,
            text=text,
            reply_to=None,
            mentions=(self._character.id,) if self._character else (),
            attachments=(),
            sent_at=datetime.now(UTC),
            channel_port=self.port,
            direct=self._character is not None,
        )


def reply_object(reply: Reply) -> dict[str, Any]:
    """The reply object of the command line: a contract that other people's scripts rely on."""
    counters = reply.stamp.counters
    return {
        "character": reply.character.slug,
        "text": reply.text,
        "build": reply.stamp.build,
        "exemplars": list(reply.stamp.exemplars),
        "prompt_tokens": counters.prompt_tokens,
        "reused_tokens": counters.reused_tokens,
        "evaluated_tokens": counters.evaluated_tokens,
        "reply_tokens": counters.reply_tokens,
        "first_token_seconds": round(counters.first_token_seconds, 4),
        "total_seconds": round(counters.total_seconds, 4),
        "finish_reason": reply.stamp.finish_reason,
    }


async def stdin_lines() -> AsyncIterator[str]:
    """Lines of standard input without blocking the loop; half surrogates and bad bytes come as U+FFFD."""
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        yield line.decode("utf-8", "replace").rstrip("\r\n")


def printable(replies: Sequence[Reply]) -> str:
    return "\n".join(f"{r.character.name}: {r.text}" for r in replies)
