"""The ``troupe`` command.

Exit codes: 0 done; 1 a foreseen failure, whose last line on stderr says what to do; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from bot import check, data_desk, discreet_log, sheets
from bot.config import Config, SessionSettings, load_config
from bot.connectors.terminal_chat import TerminalChat, printable, reply_object, stdin_lines
from bot.engine import models
from bot.errors import BotError, ConfigError
from bot.house import House, open_house, somebody_speaks
from bot.messages import Channel, ChannelKey

INTERRUPTED = 130  # what a shell expects of a process that Ctrl-C ended

EXAMPLES = """\
examples:
  troupe run                                     serve the chat page and every platform whose token is set
  troupe chat                                    talk to whoever is awake, here in the terminal
  troupe chat mara-quill                         talk to one character
  troupe say mara-quill "How is the sea?"        one message, one reply
  troupe check                                   is everything there, and what is to be done
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        config = load_config(_config_path(options.config))
        _log_to_stderr(config, quiet=options.quiet_log)
        code = options.command(options, config)
        sys.stdout.flush()
    except BotError as error:
        print(f"troupe: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has gone; nothing is wrong
        return 0
    return int(code or 0)


# ------------------------------------------------------------------ commands


def _run(options: argparse.Namespace, config: Config) -> None:
    from bot.serve import serve  # the platforms' libraries take a second to load, which no other command should wait for

    asyncio.run(serve(config, lambda line: print(line, flush=True)))


def _bench(options: argparse.Namespace, config: Config) -> None:
    from bot.bench.command import Wanted, bench, tune_here  # what it measures with is of use to nobody else

    if options.tune:
        asyncio.run(tune_here(config, Console()))
        return
    names = ("channels", "turns", "characters", "reply_tokens", "live_replies", "rounds", "cast", "serial", "json", "plot")
    wanted = Wanted(**{name: getattr(options, name) for name in names}, against=tuple(options.against))
    asyncio.run(bench(config, wanted, Console()))


def _jobs(options: argparse.Namespace, config: Config) -> None:
    Console().print(asyncio.run(data_desk.jobs_table(config)))


def _data_status(options: argparse.Namespace, config: Config) -> None:
    print(asyncio.run(data_desk.status(config, options.person)))


def _data_backup(options: argparse.Namespace, config: Config) -> None:
    print(asyncio.run(data_desk.backup(config)))


def _data_restore(options: argparse.Namespace, config: Config) -> None:
    print(asyncio.run(data_desk.restore(config, Path(options.file))))


def _data_export(options: argparse.Namespace, config: Config) -> None:
    print(asyncio.run(data_desk.export(config, options.person)))


def _data_consent(options: argparse.Namespace, config: Config) -> None:
    print(asyncio.run(data_desk.consent(config, options.person, options.kind, options.answer)))


def _data_forget(options: argparse.Namespace, config: Config) -> None:
    print(asyncio.run(data_desk.forget(config, options.person)))


def _chat(options: argparse.Namespace, config: Config) -> None:
    asyncio.run(_talk(options, config))


async def _talk(options: argparse.Namespace, config: Config) -> None:
    console = None if options.json else Console()
    async with open_house(_at_once(config)) as house:
        chat = _terminal(house, options.character, options.channel, console)
        await _take_up(house, chat)
        lines = stdin_lines()
        if options.json:
            await chat.json_lines(lines, lambda line: print(line, flush=True))
            return
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, _Interrupt(chat))
        await chat.talk(lines)


def _say(options: argparse.Namespace, config: Config) -> int:
    return asyncio.run(_say_once(options, config))


async def _say_once(options: argparse.Namespace, config: Config) -> int:
    async with open_house(_at_once(config)) as house:
        chat = _terminal(house, options.character, options.channel, None)
        replies = await chat.say(options.text)
    if options.json:
        for reply in replies:
            print(json.dumps(reply_object(reply), ensure_ascii=False))
    elif replies:
        print(printable(replies))
    for notice in chat.port.notices:
        print(notice, file=sys.stderr)
    return 0 if replies else 1


def _check(options: argparse.Namespace, config: Config) -> int:
    findings = check.examine(config, _config_path(options.config))
    check.show(findings, Console())
    return 0 if all(f.ok for f in findings) else 1


def _characters_list(options: argparse.Namespace, config: Config) -> None:
    Console().print(sheets.cast_table(config))


def _characters_show(options: argparse.Namespace, config: Config) -> None:
    print(sheets.sheet(config, options.character))


def _characters_voices(options: argparse.Namespace, config: Config) -> None:
    print(sheets.voices(config, options.seed))


def _characters_import(options: argparse.Namespace, config: Config) -> None:
    folder, warnings = sheets.import_file(config, Path(options.file))
    for warning in warnings:
        print(f"note: {warning}")
    print(f"{folder.name} has joined the company; a running Troupe meets it at the next start.")


def _characters_export(options: argparse.Namespace, config: Config) -> None:
    print(sheets.export_file(config, options.name, png=options.png))


def _characters_validate(options: argparse.Namespace, config: Config) -> int:
    problems = sheets.problems(config, options.character)
    for problem in problems:
        print(problem)
    if not problems:
        print("Every card and line is as it should be.")
    return 1 if problems else 0


def _discord_sync(options: argparse.Namespace, config: Config) -> None:
    from bot.connectors.discord_chat import bot_token
    from bot.connectors.discord_check import sync_commands

    token = bot_token(config.discord)
    if token is None:
        raise ConfigError(f"there is no bot token; set {config.discord.token_env} in the environment")
    registered = asyncio.run(sync_commands(config.discord, token, voiced=somebody_speaks(config.voice)))
    print(f"{registered} commands are registered with Discord; it may take a minute to show them.")


def _models_list(options: argparse.Namespace, config: Config) -> None:
    Console().print(sheets.model_table(config))


def _models_use(options: argparse.Namespace, config: Config) -> None:
    models.set_current(config.paths.models, options.name)
    print(f"{options.name} is served: a running Troupe takes it up by itself, any other at its start.")


def _models_rollback(options: argparse.Namespace, config: Config) -> None:
    print(f"{models.roll_back(config.paths.models)} is served: a running Troupe takes it up by itself, any other at its start.")


def _models_report(options: argparse.Namespace, config: Config) -> None:
    print(asyncio.run(data_desk.model_report(config, options.name)), end="")


# ------------------------------------------------------------------ pieces


class _Interrupt:
    """Ctrl-C stops the reply that is being made; with none, or twice, it ends the program."""

    def __init__(self, chat: TerminalChat) -> None:
        self._chat = chat
        self._stopping: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        if self._stopping is not None and not self._stopping.done():
            os._exit(INTERRUPTED)
        self._stopping = asyncio.get_running_loop().create_task(self._stop(), name="stop reply")

    async def _stop(self) -> None:
        if not await self._chat.stop():
            # The thread that waits for the next line cannot be interrupted; everything that was said is stored.
            os._exit(INTERRUPTED)


def _terminal(house: House, name: str | None, channel: str | None, console: Console | None) -> TerminalChat:
    try:
        key = ChannelKey.parse(channel) if channel else None
    except ValueError as error:
        raise ConfigError(f"--channel: {error}") from error
    seen_from = key or ChannelKey("terminal", "me")
    character = house.desk.company.find(seen_from, name) if name else None
    return TerminalChat(house.desk, key or ChannelKey("terminal", character.slug if character else "me"), character, console=console)


async def _take_up(house: House, chat: TerminalChat) -> None:
    """Only this terminal's channel: a running server looks after its own."""

    def port(channel: ChannelKey) -> Channel | None:
        return chat.port if channel == chat.channel else None

    await house.router.take_up(port)


def _at_once(config: Config) -> Config:
    """One person at a keyboard: a line is a turn, there is no burst to wait for."""
    settings = SessionSettings(**{**dict(config.sessions), "settle_seconds": 0})
    return config.model_copy(update={"sessions": settings})


def _config_path(given: str | None) -> Path:
    if given:
        return Path(given)
    named = os.environ.get("TROUPE_CONFIG")
    return Path(named) if named else Path("config.toml")


def _log_to_stderr(config: Config, *, quiet: bool) -> None:
    level = logging.WARNING if quiet and config.log.level == "INFO" else logging.getLevelName(config.log.level)
    discreet_log.log_to(sys.stderr, level, (os.environ.get(name, "") for name in _secrets(config)))


def _secrets(config: Config) -> list[str]:
    """Names of the variables that hold something which must not be shown."""
    discord, telegram = config.discord, config.telegram
    web = (config.web.token_env, config.web.operator_token_env, config.voice.api_key_env)
    platforms = (discord.token_env, telegram.token_env, telegram.webhook_secret_env, *telegram.bots.values())
    return [config.engine.remote.api_key_env, *web, *platforms]


def _parser() -> argparse.ArgumentParser:
    everywhere = argparse.ArgumentParser(add_help=False)
    everywhere.add_argument("--config", metavar="FILE", help="settings to use (default: config.toml here, or TROUPE_CONFIG)")
    parser = argparse.ArgumentParser(
        prog="troupe",
        description="A company of AI characters on your own machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"troupe {importlib.metadata.version('troupe')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        under: argparse._SubParsersAction[argparse.ArgumentParser], name: str, do: Callable[..., object], words: str, example: str
    ) -> argparse.ArgumentParser:
        made = under.add_parser(name, parents=[everywhere], help=words, description=words, epilog=f"example: {example}")
        made.set_defaults(command=do, quiet_log=do is not _run)
        return made

    def group(name: str, words: str) -> argparse._SubParsersAction[argparse.ArgumentParser]:
        return commands.add_parser(name, help=words, description=words).add_subparsers(required=True, metavar="COMMAND")

    command(commands, "run", _run, "serve the chat page and every platform whose token is set", "troupe run")

    chat = command(commands, "chat", _chat, "talk in the terminal", "troupe chat mara-quill")
    chat.add_argument("character", nargs="?", metavar="CHARACTER", help="whom to talk to (default: whoever is awake)")
    chat.add_argument("--json", action="store_true", help="one message a line on stdin, one JSON object a reply on stdout")
    chat.add_argument("--channel", metavar="KEY", help="which conversation, like terminal:me or web:lobby")

    say = command(commands, "say", _say, "say one thing and print the reply", 'troupe say mara-quill "How is the sea?"')
    say.add_argument("character", metavar="CHARACTER")
    say.add_argument("text", metavar="TEXT")
    say.add_argument("--channel", metavar="KEY", help="which conversation, like terminal:me or web:lobby")
    say.add_argument("--json", action="store_true", help="print the reply as a JSON object")

    command(commands, "check", _check, "is everything there, and what is to be done", "troupe check")

    characters = group("characters", "the company and its cards")
    command(characters, "list", _characters_list, "who there is", "troupe characters list")
    show = command(characters, "show", _characters_show, "one character's casting sheet", "troupe characters show mara-quill")
    show.add_argument("character", metavar="CHARACTER")
    validate = command(characters, "validate", _characters_validate, "check cards and lines", "troupe characters validate")
    validate.add_argument("character", nargs="?", metavar="CHARACTER")

    voices = command(characters, "voices", _characters_voices, "six lines of each, without names", "troupe characters voices --seed 7")
    voices.add_argument("--seed", type=int, default=0, help="which lines, and in which order (default: 0)")
    brought = command(
        characters, "import", _characters_import, "bring in a card: PNG, JSON, YAML, CHARX, BYAF", "troupe characters import seraphina.png"
    )
    brought.add_argument("file", metavar="FILE")
    export = command(
        characters, "export", _characters_export, "write a card for other programs", "troupe characters export mara-quill --png"
    )
    export.add_argument("name", metavar="NAME")
    export.add_argument("--png", action="store_true", help="as a picture that holds the card")

    on_discord = group("discord", "Troupe on Discord")
    command(on_discord, "sync", _discord_sync, "register the commands", "troupe discord sync")

    served = group("models", "the models in gguf/")
    command(served, "list", _models_list, "which models there are, and which is served", "troupe models list")
    use = command(served, "use", _models_use, "serve another model", "troupe models use starter")
    use.add_argument("name", metavar="NAME")
    told = command(
        served, "report", _models_report, "what a model was made of and how it fares", "troupe models report loop-1 > loop-1.md"
    )  # fmt: skip
    told.add_argument("name", metavar="NAME")
    command(served, "rollback", _models_rollback, "serve the one before again", "troupe models rollback")

    measured = command(commands, "bench", _bench, "how fast replies are made here", "troupe bench --serial --json figures.json")
    measured.add_argument("--channels", type=int, default=8, metavar="N", help="that talk at the same time (default: 8)")
    measured.add_argument("--turns", type=int, default=3, metavar="N", help="of each channel (default: 3)")
    measured.add_argument("--characters", type=int, default=4, metavar="N", help="that the channels talk with (default: 4)")
    measured.add_argument("--reply-tokens", type=int, default=48, metavar="N", help="of each reply (default: 48)")
    measured.add_argument(
        "--live-replies", type=int, metavar="N", help="made at once by our engine (default: as many as channels, or as set)"
    )
    measured.add_argument("--rounds", type=int, default=5, metavar="N", help="in which the contestants take turns (default: 5)")
    measured.add_argument("--cast", action="store_true", help="real prompts of the shipped characters instead of plain text")
    measured.add_argument("--serial", action="store_true", help="compare with one Llama object behind a lock")
    measured.add_argument(
        "--against", action="append", default=[], metavar="URL", help="compare with a server's /completions; may be given again"
    )
    measured.add_argument("--tune", action="store_true", help="instead, find the quickest settings for this machine and keep them")
    measured.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file")
    measured.add_argument("--plot", type=Path, metavar="FILE", help="draw an SVG picture")

    command(commands, "jobs", _jobs, "what is done by itself, and when", "troupe jobs")
    data = group("data", "what is stored: copies of it, and what belongs to one person")
    status = command(data, "status", _data_status, "what is stored, in numbers", "troupe data status discord:80351110224678912")
    status.add_argument("person", nargs="?", metavar="PERSON", help="of one person alone, like terminal or telegram:12345")
    command(data, "backup", _data_backup, "copy the database to data/backups", "troupe data backup")
    restore = command(
        data, "restore", _data_restore, "put a copy in the database's place", "troupe data restore data/backups/troupe-20260501-040000.db"
    )
    restore.add_argument("file", metavar="FILE")
    given = command(data, "export", _data_export, "write everything of a person to a file", "troupe data export telegram:12345")
    given.add_argument("person", metavar="PERSON")
    agreed = command(data, "consent", _data_consent, "note a person's answer", "troupe data consent telegram:12345 train no")
    agreed.add_argument("person", metavar="PERSON")
    agreed.add_argument("kind", choices=("remember", "train"), metavar="KIND", help="remember or train")
    agreed.add_argument("answer", choices=("yes", "no"), metavar="yes|no")
    gone = command(data, "forget", _data_forget, "delete everything of a person, for good", "troupe data forget telegram:12345")
    gone.add_argument("person", metavar="PERSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
