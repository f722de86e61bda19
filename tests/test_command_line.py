"""The ``troupe`` command as its own process: exit codes, sentences, signals."""

import asyncio
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys

import pytest

from bot.__main__ import main
from tests.house import HERE

REPLY_FIELDS = {
    "character",
    "text",
    "build",
    "exemplars",
    "prompt_tokens",
    "reused_tokens",
    "evaluated_tokens",
    "reply_tokens",
    "first_token_seconds",
    "total_seconds",
    "finish_reason",
}


@pytest.fixture
def home(tmp_path, tiny_model):
    """A folder with a config.toml of its own; its path has a space in it on purpose."""
    folder = tmp_path / "my troupe"
    folder.mkdir()
    write_config(folder, model=tiny_model)
    return folder


def write_config(folder, *, model, port=0, extra=""):
    (folder / "config.toml").write_text(
        f'[paths]\ncharacters = "{HERE / "characters"}"\n[engine]\nmodel = "{model}"\n'
        "context_tokens = 4096\nlive_replies = 4\nprefix_megabytes = 0\n"
        "[sessions]\nreply_tokens = 16\ncard_tokens = 2000\nexemplar_tokens = 600\nsettle_seconds = 0\n"
        f"[web]\nport = {port}\n{extra}"
    )


def troupe(home, *arguments, text="", check=None):
    command = [sys.executable, "-m", "bot", *arguments, "--config", str(home / "config.toml")]
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=HERE, timeout=120, check=False)
    if check is not None:
        assert done.returncode == check, done.stderr
    assert "Traceback" not in done.stderr
    return done


def it_still_answers(home):
    assert troupe(home, "say", "mara-quill", "Are you there?", check=0).stdout.startswith("Mara Quill: ")


def test_say_prints_the_reply(home):
    it_still_answers(home)


def test_say_json_keeps_its_contract(home):
    [line] = troupe(home, "say", "Mara Quill", "How is the sea?", "--json", check=0).stdout.splitlines()
    reply = json.loads(line)

    assert set(reply) == REPLY_FIELDS
    assert reply["character"] == "mara-quill"
    assert reply["reused_tokens"] + reply["evaluated_tokens"] == reply["prompt_tokens"]


def test_chat_json_reads_a_message_a_line_and_goes_on_after_a_bad_one(home):
    lines = "Hello\n\n" + "x" * 9000 + "\nAnd now?\n"

    replies = [json.loads(line) for line in troupe(home, "chat", "mara-quill", "--json", text=lines, check=0).stdout.splitlines()]

    assert [("text" in r, "error" in r) for r in replies] == [(True, False), (False, True), (False, True), (True, False)]
    assert "9,000 characters" in replies[2]["error"]


def test_in_one_process_only_what_changed_is_read_again(home):
    """From the second message on: the exchange before, the exemplars, the new message; never the character's own prefix."""
    lines = "Hello\nHow is the sea?\nAnd the lamp?\nWho was here today?\n"

    replies = [json.loads(line) for line in troupe(home, "chat", "mara-quill", "--json", text=lines, check=0).stdout.splitlines()]

    for before, reply in itertools.pairwise(replies):
        assert reply["reused_tokens"] >= before["reused_tokens"]
        assert reply["evaluated_tokens"] < reply["prompt_tokens"] / 2


def test_chat_keeps_the_conversation_for_the_next_time(home):
    troupe(home, "chat", "mara-quill", text="The password is herring.\n/quit\n", check=0)

    again = troupe(home, "chat", "mara-quill", text="/quit\n", check=0)

    assert "The password is herring." in again.stdout


def test_the_commands_of_a_conversation_answer(home):
    text = "/help\n/characters\nHello\n/regenerate\n/why\n/reset\n/wake nobody-here\n/stop\n/quit\n"

    shown = troupe(home, "chat", "mara-quill", text=text, check=0).stdout

    for part in (
        "Everything characters say is made up",
        "○",
        "said this with the model",
        "starts afresh",
        "there is no character called",
        "Nobody is speaking",
    ):
        assert part in shown


def test_foreseen_failures_are_one_sentence_each_and_an_exit_code(home):
    for arguments, sentence in (
        (("say", "mara", "Hello", "--channel", "nowhere"), "is not a channel"),
        (("say", "nobody at all", "Hello"), "there is no character called"),
        (("say", "mara-quill", ""), "is empty"),
        (("characters", "show", "mara-quil"), "did you mean"),
        (("models", "use", "no-such-model"), "troupe models list"),
        (("models", "rollback"), "nothing else was served before"),
        (("discord", "sync"), "DISCORD_BOT_TOKEN"),
    ):
        assert sentence in troupe(home, *arguments, check=1).stderr
    it_still_answers(home)


@pytest.mark.parametrize(("arguments", "sentence"), [(["dance"], "invalid choice"), (["say"], "required")])
def test_a_command_that_cannot_be_read_shows_how_it_is_written(capsys, arguments, sentence):
    with pytest.raises(SystemExit) as end:
        main(arguments)

    assert end.value.code == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert "usage: troupe" in told


def test_an_unknown_setting_is_named(home, tiny_model):
    write_config(home, model=tiny_model, extra="colour = 1\n")

    assert "web.colour" in troupe(home, "say", "mara-quill", "Hello", check=1).stderr

    write_config(home, model=tiny_model)
    it_still_answers(home)


def test_a_model_that_cannot_be_loaded_is_named(home, tiny_model, tmp_path):
    model = tmp_path / "broken.gguf"
    whole = tiny_model.read_bytes()
    write_config(home, model=model)
    for damaged in (None, b"", os.urandom(4096), whole[: len(whole) // 2]):
        if damaged is not None:
            model.write_bytes(damaged)

        assert "broken.gguf" in troupe(home, "say", "mara-quill", "Hello", check=1).stderr

    write_config(home, model=tiny_model)
    it_still_answers(home)


def test_a_database_of_a_newer_version_is_refused_and_untouched(home):
    it_still_answers(home)
    with sqlite3.connect(home / "data" / "troupe.db") as database:
        [(version,)] = database.execute("select version_num from alembic_version")
        database.execute("update alembic_version set version_num = '9999'")

    assert "newer" in troupe(home, "say", "mara-quill", "Hello", check=1).stderr

    with sqlite3.connect(home / "data" / "troupe.db") as database:
        database.execute("update alembic_version set version_num = ?", (version,))
    it_still_answers(home)


class Server:
    """``troupe run`` in a process of its own."""

    def __init__(self, home):
        self._command = [sys.executable, "-m", "bot", "run", "--config", str(home / "config.toml")]

    async def __aenter__(self):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*self._command, cwd=HERE, stdout=pipe, stderr=pipe)
        line = (await asyncio.wait_for(self.process.stdout.readline(), 60)).decode()
        self.url = re.search(r"http://[\d.]+:\d+", line)[0]
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()

    async def ends(self):
        async with asyncio.timeout(30):
            await self.process.communicate()
        return self.process.returncode


async def test_one_ctrl_c_ends_in_order(home):
    async with Server(home) as server:
        server.process.send_signal(signal.SIGINT)

        assert await server.ends() == 0
    it_still_answers(home)


async def test_two_ctrl_c_end_at_once_and_lose_nothing(home):
    async with Server(home) as server:
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGINT)

        assert await server.ends() in (0, 130)
    it_still_answers(home)


async def test_a_second_server_on_the_same_data_is_refused(home):
    async with Server(home) as server:
        second = await asyncio.to_thread(troupe, home, "run", check=1)

        assert f"process {server.process.pid}" in second.stderr
        await asyncio.to_thread(it_still_answers, home)
        server.process.send_signal(signal.SIGTERM)
        assert await server.ends() == 0


async def test_a_port_that_is_taken_is_named(home, tiny_model):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        write_config(home, model=tiny_model, port=taken.getsockname()[1])

        refused = await asyncio.to_thread(troupe, home, "run", check=1)

        assert str(taken.getsockname()[1]) in refused.stderr
    async with Server(home) as server:
        assert server.url


def test_a_reader_that_goes_away_is_no_failure(home):
    command = f'"{sys.executable}" -m bot characters list --config "{home / "config.toml"}" | head -1'

    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=HERE, check=False)

    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_an_exported_card_comes_back_the_same(home, tmp_path):
    characters = tmp_path / "others"
    characters.mkdir()
    for form in ([], ["--png"]):
        command = [sys.executable, "-m", "bot", "characters", "export", "odo-brandt", *form, "--config", str(home / "config.toml")]
        made = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": str(HERE)}
        )
        file = tmp_path / made.stdout.strip()
        config = home / "config.toml"
        config.write_text(re.sub(r'characters = ".*"', f'characters = "{characters}"', config.read_text()))

        assert "odo-brandt has joined" in troupe(home, "characters", "import", str(file), check=0).stdout

        ours = json.loads((HERE / "characters" / "odo-brandt" / "card.json").read_text())
        theirs = json.loads((characters / "odo-brandt" / "card.json").read_text())
        assert theirs["data"] == ours["data"]
        for path in (characters / "odo-brandt").iterdir():
            path.unlink()
        (characters / "odo-brandt").rmdir()
        config.write_text(re.sub(r'characters = ".*"', f'characters = "{HERE / "characters"}"', config.read_text()))
