"""The remote engine against a server on this machine, well and ill behaved."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager

import pytest

from bot.config import RemoteEngine as RemoteSettings
from bot.engine.remote import CountingTokenizer, RemoteEngine
from bot.errors import EngineBusy, EngineError, EngineStopped, PromptTooLong
from bot.messages import ChatMessage, Piece, Prompt, Sampling
from tests.engine.talk import DEADLINE_SECONDS, web
from tests.loopback.openai_server import OpenAIServer, openai_server

HELLO = Prompt((1, 2, 3), 2, (ChatMessage("system", "You are Mara."), ChatMessage("user", "Hello!")))


@asynccontextmanager
async def remote(server: OpenAIServer, *, queue: int = 256, **settings: object):
    engine = RemoteEngine(RemoteSettings(base_url=server.base_url, model="m", **settings), queue=queue)
    try:
        yield engine
    finally:
        await engine.close()


async def ask(
    engine: RemoteEngine, *, channel: object = "lobby", prompt: Prompt = HELLO, sampling: Sampling | None = None
) -> tuple[str, Piece]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        pieces = [piece async for piece in engine.stream(prompt, sampling or Sampling(seed=7), channel=web(channel))]
    return "".join(piece.text for piece in pieces), pieces[-1]


async def test_a_reply_is_streamed_with_the_servers_own_counters():
    """The messages go out as they are; usage comes back as counters."""
    async with openai_server() as server, remote(server) as engine:
        text, last = await ask(engine)

        assert (text, last.finish_reason) == ("Ahoy, 🌊 stranger.", "stop")
        assert (last.counters.prompt_tokens, last.counters.reused_tokens, last.counters.evaluated_tokens) == (40, 30, 10)
        assert last.counters.reply_tokens == 5
        question = server.questions[0]
        assert question["messages"] == [{"role": "system", "content": "You are Mara."}, {"role": "user", "content": "Hello!"}]
        assert (question["model"], question["seed"], question["max_tokens"], question["stream"]) == ("m", 7, 160, True)
        assert engine.build == f"m@{server.base_url.removeprefix('http://').removesuffix('/v1')}"
        assert engine.status.reply_tokens == 5


async def test_a_server_that_gives_no_usage_is_counted_roughly():
    """Three bytes to a token."""
    async with openai_server(usage=False, finish="length") as server, remote(server) as engine:
        _, last = await ask(engine)

    assert last.finish_reason == "length"
    assert last.counters.prompt_tokens == len(HELLO.tokens)
    assert last.counters.reply_tokens > 3


async def test_the_key_is_read_from_the_variable_that_is_named(monkeypatch: pytest.MonkeyPatch):
    """Secrets are named in the settings, never written."""
    monkeypatch.setenv("MY_KEY", "k-123")
    async with openai_server() as server, remote(server, api_key_env="MY_KEY") as engine:
        await ask(engine)

        assert server.keys == ["Bearer k-123"]


@pytest.mark.parametrize(
    ("behaviour", "status", "error", "words"),
    [
        ("status", 429, EngineBusy, "has too much to do; try again"),
        ("status", 500, EngineError, "with status 500"),
        ("status", 503, EngineError, "with status 503"),
        ("status", 400, EngineError, "with status 400"),
        ("status", 401, EngineError, "refuses the key; put the right one into TROUPE_REMOTE_KEY"),
        ("status", 404, EngineError, "does not know 'm'; check engine.remote.model"),
        ("garbage", 0, EngineError, "does not speak OpenAI's chat protocol"),
        ("html", 0, EngineError, "does not speak OpenAI's chat protocol|broke off"),
        ("hang up", 0, EngineError, "cannot be reached or hung up"),
        ("no end", 0, EngineError, "broke off in the middle"),
        ("error", 0, EngineError, "reported an error in the middle"),
    ],
)
async def test_whatever_the_server_does_the_sentence_says_what_to_do(behaviour: str, status: int, error: type[EngineError], words: str):
    """And it still answers when the server has come to itself."""
    async with openai_server(behaviour=behaviour, status=status) as server, remote(server) as engine:
        with pytest.raises(error, match=words):
            await ask(engine)

        server.behaviour = "normal"
        assert (await ask(engine))[0] == "Ahoy, 🌊 stranger."


async def test_one_hiccup_is_not_noticed():
    """A request that was refused for the moment is asked once more."""
    async with openai_server(behaviour="status", status=503, times=1) as server, remote(server) as engine:
        assert (await ask(engine))[0] == "Ahoy, 🌊 stranger."
        assert len(server.questions) == 2


@pytest.mark.parametrize("behaviour", ["silent", "slow"])
async def test_a_server_that_stops_talking_is_given_up(behaviour: str):
    """The limit is for the whole reply, not only for its beginning."""
    async with openai_server(behaviour=behaviour) as server, remote(server, timeout_seconds=0.2) as engine:
        with pytest.raises(EngineError, match=r"did not answer within 0\.2 seconds"):
            await ask(engine)

        server.behaviour = "normal"
        assert (await ask(engine))[0]


async def test_a_server_that_is_not_there_is_named():
    """The address is in the sentence."""
    async with openai_server() as server:
        pass
    async with remote(server) as engine:
        with pytest.raises(EngineError, match=f"{server.base_url} cannot be reached"):
            await ask(engine)


async def test_closing_the_stream_hangs_up():
    """The server need not go on talking to nobody."""
    async with openai_server(behaviour="slow") as server, remote(server) as engine:
        async with aclosing(engine.stream(HELLO, Sampling(), channel=web("lobby"))) as pieces:
            async for piece in pieces:
                assert piece.text == "Ahoy"
                assert engine.position(web("lobby")) == 0
                break

        await asyncio.wait_for(server.hung_up.wait(), DEADLINE_SECONDS)
        assert (engine.status.live, engine.position(web("lobby"))) == (0, None)


async def test_only_so_many_replies_are_asked_for_at_once_and_only_so_many_wait():
    """Two at a time, one in the queue; the fourth is told to come again."""
    async with openai_server(behaviour="slow") as server, remote(server, concurrent=2, queue=1) as engine:
        turns = [asyncio.create_task(ask(engine, channel=n)) for n in range(3)]
        while server.live < 2:  # noqa: ASYNC110  what the server sees, not an event of ours
            await asyncio.sleep(0.001)
        assert engine.position(web(2)) == 1
        with pytest.raises(EngineBusy, match="1 replies are waiting"):
            await ask(engine, channel=4)

        server.go_on.set()

        assert [text for text, _ in await asyncio.gather(*turns)] == ["Ahoy, 🌊 stranger."] * 3
        assert server.most_live == 2


async def test_closing_the_engine_ends_what_is_being_made():
    """With the same error as the embedded engine's."""
    async with openai_server(behaviour="slow") as server, remote(server) as engine:
        stream = engine.stream(HELLO, Sampling(), channel=web("lobby"))
        assert (await anext(stream)).text == "Ahoy"

        await engine.close()
        server.go_on.set()

        with pytest.raises(EngineStopped):
            async for _ in stream:
                pass
        with pytest.raises(EngineStopped, match="start Troupe again"):
            await ask(engine)


async def test_a_prompt_that_is_too_long_is_not_sent():
    """Counted roughly, refused exactly."""
    async with openai_server() as server, remote(server, context_tokens=512) as engine:
        with pytest.raises(PromptTooLong):
            await ask(engine, prompt=Prompt((1,) * 400, 0, HELLO.messages))

        assert server.questions == []


@pytest.mark.parametrize("text", ["", "Hello!", "\0\0", "é🌊你", "\1\1\1\1"])
def test_counted_tokens_decode_to_the_text(text: str):
    """So that a text can be cut to a budget."""
    tokenizer = CountingTokenizer()

    tokens = tokenizer.encode(text, special=False)

    assert tokenizer.decode(tokens) == text
    assert len(tokens) == -(-len(text.encode()) // 3)
