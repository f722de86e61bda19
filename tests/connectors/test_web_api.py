"""OpenAI's protocol through OpenAI's own client: a real server, a real database, a real (tiny) model."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from bot.connectors.web_api_shapes import ChatRequest
from bot.messages import ChannelKey
from bot.sessions.stop_strings import StopStrings
from tests.connectors.web_house import LONG_REPLY, PATIENCE_SECONDS, Served, serve, web_settings

HELLO: Any = [{"role": "user", "content": "Good evening!"}]
MIAS = ChannelKey("api", "mia/ada")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(web_settings(tmp_path)) as running:
        yield running


@pytest.fixture
async def talkative(tmp_path: Path) -> AsyncIterator[Served]:
    """Characters whose replies take seconds."""
    async with serve(web_settings(tmp_path, reply_tokens=LONG_REPLY)) as running:
        yield running


@pytest.fixture
async def client(served: Served) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(served) as made:
        yield made


def client_of(served: Served) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none is needed here", max_retries=0, timeout=PATIENCE_SECONDS)


async def still_answers(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="ada", messages=HELLO)
    assert answer.choices[0].message.content


async def replies_are_made(served: Served, live: int) -> None:
    """So many at the same moment."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while served.house.desk.engine.status.live != live:  # type: ignore[attr-defined]  # noqa: ASYNC110  the engine's own figure
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------ without memory


async def test_every_character_is_a_model(client: openai.AsyncOpenAI) -> None:
    models = await client.models.list()

    assert [model.id for model in models.data] == ["ada", "bo", "cyprian"]
    assert (await client.models.retrieve("cyprian")).owned_by == "troupe"


async def test_a_reply_streams_with_its_role_its_usage_and_its_end(served: Served, client: openai.AsyncOpenAI) -> None:
    """The pieces together are what the same seed gives in one piece."""
    asked: Any = {"model": "ada", "messages": HELLO, "seed": 7, "max_tokens": 20}
    whole = await client.chat.completions.create(**asked)

    stream = await client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text and text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["length"]
    assert chunks[-1].usage is not None and whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens == 20
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens > 50
    assert whole.system_fingerprint == served.house.desk.engine.build
    assert len(chunks) > 5


async def test_without_a_user_nothing_is_stored(served: Served, client: openai.AsyncOpenAI) -> None:
    before = await served.house.desk.store.status()

    await client.chat.completions.create(
        model="ada",
        messages=[
            {"role": "system", "content": "They are on a ship."},
            {"role": "user", "content": "Who are you?", "name": "Mia"},
            {"role": "assistant", "content": "I am Ada."},
            {"role": "user", "content": [{"type": "text", "text": "And what do you do?"}]},
        ],
    )

    assert await served.house.desk.store.status() == before


async def test_a_longer_conversation_is_read_from_where_the_last_one_ended(client: openai.AsyncOpenAI) -> None:
    """Clients send everything again with each turn; what the engine has in its cache it does not read again."""
    first = await client.chat.completions.create(model="ada", messages=HELLO)

    second = await client.chat.completions.create(
        model="ada", messages=[*HELLO, {"role": "assistant", "content": "Ahoy."}, {"role": "user", "content": "And then?"}]
    )

    assert first.usage is not None and second.usage is not None and second.usage.prompt_tokens_details is not None
    assert (second.usage.prompt_tokens_details.cached_tokens or 0) > first.usage.prompt_tokens * 0.8


async def test_a_reply_ends_before_a_stop_string(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "ada", "messages": HELLO, "seed": 3, "temperature": 0}
    whole = (await client.chat.completions.create(**asked)).choices[0].message.content or ""
    stop = whole[8:12]

    cut = await client.chat.completions.create(**asked, stop=[stop, "never said"])
    streamed = [c async for c in await client.chat.completions.create(**asked, stop=stop, stream=True)]

    assert cut.choices[0].message.content == whole[: whole.index(stop)].rstrip()
    assert cut.choices[0].finish_reason == "stop"
    assert "".join(c.choices[0].delta.content or "" for c in streamed).rstrip() == cut.choices[0].message.content


def test_a_tail_that_may_become_a_stop_string_is_held_back() -> None:
    stops = StopStrings(["END", "\n\n"])

    assert stops.shown("so it E") == "so it "
    assert stops.shown("so it Es") == "so it Es"
    assert stops.shown("so it E", final=True) == "so it E"
    assert not stops.reached
    assert stops.shown("so it Es, END of") == "so it Es, "
    assert stops.reached


async def test_whoever_sincerely_asks_is_told_the_truth_here_too(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="ada", messages=[{"role": "user", "content": "Please be honest: are you a real person? I need to know."}]
    )

    assert "AI" in (answer.choices[0].message.content or "")


# ------------------------------------------------------------------ with memory


async def test_with_a_user_the_character_remembers_whatever_the_client_sends(served: Served, client: openai.AsyncOpenAI) -> None:
    """Two requests that know nothing of each other are one conversation, and another user's is another one."""
    first = await client.chat.completions.create(model="ada", user="mia", messages=[{"role": "user", "content": "I like the sea."}])
    second = await client.chat.completions.create(model="ada", user="mia", messages=[{"role": "user", "content": "What do I like?"}])
    await client.chat.completions.create(model="ada", user="ben", messages=HELLO)

    turns = await served.house.desk.store.history(MIAS, None, limit=10)
    assert [(t.author_name, t.text) for t in turns] == [
        ("mia", "I like the sea."),
        ("Ada", first.choices[0].message.content),
        ("mia", "What do I like?"),
        ("Ada", second.choices[0].message.content),
    ]
    assert first.usage is not None and second.usage is not None and second.usage.prompt_tokens > first.usage.prompt_tokens


async def test_a_remembered_reply_streams_and_obeys_the_same_wishes(served: Served, client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="Ada", user="mia", messages=HELLO, stream=True, max_tokens=30, seed=5, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    turns = await served.house.desk.store.history(MIAS, None, limit=10)
    delivery = await served.house.desk.store.last_delivery(MIAS)
    assert text.rstrip() == turns[-1].text
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 30
    assert delivery is not None and delivery.seed == 5
    assert len(chunks) > 4


async def test_two_messages_of_one_user_at_once_are_both_answered(client: openai.AsyncOpenAI) -> None:
    answers = await asyncio.gather(
        *(client.chat.completions.create(model="bo", user="mia", messages=[{"role": "user", "content": f"Number {n}"}]) for n in range(3))
    )

    assert all(answer.choices[0].message.content for answer in answers)


@pytest.mark.parametrize("user", ["mia", openai.omit], ids=["remembered", "unstored"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_client_that_goes_away_ends_the_reply(talkative: Served, user: Any, stream: bool) -> None:
    """The engine is free again long before the reply would have come to its end."""
    async with client_of(talkative) as client:
        asking = asyncio.create_task(client.chat.completions.create(model="ada", messages=HELLO, user=user, stream=stream))
        await replies_are_made(talkative, 1)

        if stream:
            await (await asking).close()  # type: ignore[union-attr]
        else:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await replies_are_made(talkative, 0)

        assert talkative.house.desk.engine.status.reply_tokens < LONG_REPLY  # type: ignore[attr-defined]
        short = await client.chat.completions.create(model="bo", messages=HELLO, max_tokens=4)
        assert short.choices[0].message.content is not None


# ------------------------------------------------------------------ what is refused


async def test_a_model_that_is_none_is_said_so_with_who_there_is(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await client.chat.completions.create(model="gpt-9", messages=HELLO)
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nobody-here")

    assert refused.value.code == "model_not_found" and refused.value.param == "model"
    assert "Ada" in refused.value.message
    await still_answers(client)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"messages": []}, "messages"),
    "nobody to remember": ({"messages": [{"role": "system", "content": "x"}], "user": "mia"}, "role user"),
    "nothing said": ({"messages": [{"role": "user", "content": "  "}]}, "nothing to answer"),
    "a picture": ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages.0"),
    "an unknown role": ({"messages": [{"role": "wizard", "content": "x"}]}, "role"),
    "too hot": ({"temperature": 9}, "temperature"),
    "two answers": ({"n": 2}, "n:"),
    "no tokens": ({"max_tokens": 0}, "max_tokens"),
    "a user with a path": ({"user": "../../etc"}, "user"),
    "a whole novel": ({"messages": [{"role": "user", "content": "word " * 60_000}]}, "tokens"),
}


async def test_what_cannot_be_answered_is_refused_in_openais_shape_and_it_still_answers(client: openai.AsyncOpenAI) -> None:
    for name, (changes, wanted) in BROKEN.items():
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(**{"model": "ada", "messages": HELLO, **changes})
        assert wanted in refused.value.message, name
        assert refused.value.type == "invalid_request_error", name

    await still_answers(client)


# What other programs send, as they send it. SillyTavern's were written down while 1.19.0 talked to us; Open WebUI's follow the source of
# 0.12.4 (routers/openai.py and utils/payload.py): what its page sends, and what it asks for by itself to name a talk.
OTHERS: dict[str, dict[str, Any]] = {
    "SillyTavern": {
        "messages": [
            {"role": "system", "content": "Write Ada's next reply in a fictional chat between Ada and User."},
            {"role": "system", "content": "[Example Chat]"},
            {"role": "system", "content": "Is it cold in the tower?", "name": "example_user"},
            {"role": "system", "content": "Two jumpers on the stairs.", "name": "example_assistant"},
            {"role": "system", "content": "[Start a new Chat]"},
            {"role": "assistant", "content": "Hello, I am Ada."},
            {"role": "user", "content": "Good evening! How is the sea tonight?"},
        ],
        "model": "ada",
        "temperature": 1,
        "max_tokens": 20,
        "stream": True,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_p": 1,
    },
    "SillyTavern, where the character begins": {
        "messages": [{"role": "system", "content": "Write Ada's next reply."}, {"role": "system", "content": "[Start a new Chat]"}],
        "model": "ada",
        "max_tokens": 20,
        "stream": True,
    },
    "SillyTavern, going on": {
        "messages": [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Good evening, and", "name": "Ada"}],
        "model": "ada",
        "max_tokens": 20,
        "stream": True,
        "stop": [],
        "seed": -1,
        "n": None,
        "logit_bias": {},
        "tools": [],
    },
    "Open WebUI": {
        "stream": True,
        "model": "ada",
        "messages": [
            {"role": "system", "content": "They are on a ship."},
            {"role": "user", "content": [{"type": "text", "text": "Good evening!"}]},
            {"role": "assistant", "content": "Good evening."},
            {"role": "user", "content": "And now?"},
        ],
        "stream_options": {"include_usage": True},
        "temperature": 0.8,
        "top_p": 0.9,
        "max_tokens": 20,
        "seed": 7,
        "stop": ["User:"],
        "frequency_penalty": 0.1,
        "reasoning_effort": "low",
    },
    "Open WebUI, naming a talk": {
        "model": "ada",
        "messages": [{"role": "user", "content": "### Task:\nGenerate a concise, 3-5 word title.\n### Output:\nJSON format"}],
        "stream": False,
        "max_tokens": 20,
    },
}


@pytest.mark.parametrize("who", OTHERS)
async def test_what_other_programs_send_is_answered(served: Served, who: str) -> None:
    body = OTHERS[who]
    async with served.session.post(f"{served.url}/v1/chat/completions", json=body) as answer:
        text = await answer.text()

    assert answer.status == 200, text
    if not body["stream"]:
        assert json.loads(text)["choices"][0]["message"]["content"].strip()
        return
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]).strip()
    assert text.rstrip().endswith("data: [DONE]")


async def test_examples_that_a_client_brings_take_no_place_beside_the_characters_own(client: openai.AsyncOpenAI) -> None:
    """Nor are they taken for the scene, which system messages are."""
    example: Any = {"role": "system", "content": "Once upon a time. " * 40, "name": "example_assistant"}
    usual = await client.chat.completions.create(model="ada", messages=HELLO, max_tokens=4)
    brought = await client.chat.completions.create(model="ada", messages=[example, *HELLO], max_tokens=4)

    assert usual.usage is not None and brought.usage is not None
    assert brought.usage.prompt_tokens == usual.usage.prompt_tokens


async def test_addresses_and_bodies_that_are_none_have_openais_shape_too(served: Served, client: openai.AsyncOpenAI) -> None:
    url = f"{served.url}/v1/chat/completions"
    kind = {"Content-Type": "application/json"}
    for status, method, address, data, headers in (
        (404, "GET", f"{served.url}/v1/nothing", None, {}),
        (405, "GET", url, None, {}),
        (400, "POST", url, b"{", kind),
        (400, "POST", url, b"[]", kind),
        (415, "POST", url, b"x", {"Content-Type": "text/plain"}),
        (403, "POST", url, b"{}", {**kind, "Origin": "https://elsewhere.example"}),
        (413, "POST", url, io.BytesIO(b"x" * 3_000_000), kind),
    ):
        async with served.session.request(method, address, data=data, headers=headers) as answer:
            said = await answer.json()
        assert answer.status == status
        assert set(said["error"]) == {"message", "type", "param", "code"} and said["error"]["message"].endswith("."), said
    await still_answers(client)


def test_the_shape_names_only_what_a_character_can_do() -> None:
    """Whoever adds a field here has to do something with it."""
    assert set(ChatRequest.model_fields) == {
        *("model", "messages", "user", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens"),
        *("seed", "stop", "n"),
    }
