"""``troupe bench``, small: what it writes is what was done, by counters; no figure of speed is held to anything."""

from __future__ import annotations

import json
import re
import socket
from io import StringIO
from xml.etree import ElementTree

import pytest
from aiohttp import web
from rich.console import Console

from bot.bench.command import Wanted, bench
from bot.errors import ConfigError, EngineError
from tests.house import settings

SMALL = {"channels": 3, "characters": 2, "turns": 2, "reply_tokens": 5, "rounds": 2}
# What issue and scripts rely on; there may be more.
NAMES = {
    "engine", "channels", "turn", "reply_tokens", "wall_seconds", "tokens_per_second", "first_token_median_seconds",
    "first_token_p95_seconds", "inter_token_p95_seconds", "prompt_tokens", "evaluated_tokens", "reused_tokens", "peak_memory_bytes",
}  # fmt: skip


@pytest.fixture
def config(tmp_path, tiny_model):
    return settings(tmp_path / "data", tiny_model.parent, str(tiny_model), engine={"context_tokens": 4096, "threads": 1})


async def measured(config, tmp_path, **wanted):
    """The JSON, and what was printed."""
    told = Console(file=StringIO(), width=160)
    await bench(config, Wanted(**{**SMALL, **wanted}, json=tmp_path / "figures.json", plot=tmp_path / "figures.svg"), told)
    return json.loads((tmp_path / "figures.json").read_text()), told.file.getvalue()


async def completions(request):
    """A server that says ``x`` as often as it is asked to, and that it has read everything."""
    asked = await request.json()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(asked["max_tokens"]):
        await response.write(b'data: {"choices": [{"text": "x", "finish_reason": null}]}\n\n')
    last = {"choices": [{"text": "", "finish_reason": "length"}], "timings": {"prompt_n": len(asked["prompt"]), "cache_n": 0}}
    await response.write(b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n")
    return response


async def test_contestants_take_turns_at_the_same_work(config, tmp_path):
    """Our engine reads each character once, or not at all if it is known; a Llama behind a lock reads everything again."""
    app = web.Application()
    app.router.add_post("/v1/completions", completions)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        figures, told = await measured(config, tmp_path, serial=True, against=(url,))
    finally:
        await runner.cleanup()

    rows = figures["rows"]
    assert set(rows[0]) >= NAMES
    assert {row["engine"] for row in rows} == {"troupe", "serial", url}
    assert len(rows) == 3 * 2 * 2 * 2  # engines, rounds, kinds of prefixes, turns
    read = {(row["engine"], row["prefixes"], row["turn"]): row["evaluated_tokens"] for row in rows}
    assert 500 < read["troupe", "cold", 1] <= 2 * 230 + 3 * 30  # "Round 2 cold: character" begins as in the round before
    assert read["troupe", "warm", 1] == 3 * 30
    assert read["serial", "cold", 1] > read["troupe", "cold", 1]
    assert read[url, "cold", 1] == 3 * 260
    assert all(row["prompt_tokens"] >= 3 * 260 and row["wall_seconds"] > 0 for row in rows)
    assert set(figures["ratios"]) == {"serial", url}
    assert len(figures["turn_ratios"]) == 2 * 2 * 2 + 2  # the others, kinds of prefixes, turns; and the first against what knows nobody
    assert all(ratio["tokens_per_second"] > 0 and ratio["first_token"] > 0 for ratio in figures["turn_ratios"])
    assert figures["model"]["build"] == "unmanaged:tiny"
    assert figures["machine"]["threads"] == 1
    assert 0 < figures["outside_decode_and_sampling"] < 1
    assert "troupe against serial" in told
    assert "against serial that has yet to read them" in told
    picture = ElementTree.parse(tmp_path / "figures.svg")
    titles = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text") if text.get("font-weight")]
    for figure in ("tokens per second", "first token, median", "first token, p95", "between two tokens", "read", "reused", "memory"):
        assert any(figure in title for title in titles), titles


async def test_the_shipped_characters_are_measured_through_the_real_renderer(config, tmp_path):
    """They are warmed once, and no prefix is read again in any round."""
    figures, _ = await measured(config, tmp_path, cast=True)

    rows = figures["rows"]
    assert {(row["work"], row["prefixes"]) for row in rows} == {("cast", "warm")}
    assert all(row["reused_tokens"] > 3 * 1000 for row in rows)  # the tiny model spells nearly every letter


async def test_a_server_that_is_not_there_is_named(config, tmp_path):
    """Where to look is in the sentence."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"

    with pytest.raises(EngineError, match=f"{re.escape(url)} cannot be asked"):
        await measured(config, tmp_path, against=(url,))


async def test_numbers_that_make_no_sense_are_refused(config, tmp_path):
    """Before a model is loaded."""
    with pytest.raises(ConfigError, match="at least 1"):
        await measured(config, tmp_path, channels=0)
