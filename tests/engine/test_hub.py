"""Models from a hub: a server on this machine that speaks as much of the protocol as a download needs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from bot.engine.models import find_model
from bot.errors import ModelNotLoadable
from tests.engine.talk import engine_on, prompt, say

REPO, FILE, REVISION = "somebody/a-model-GGUF", "tiny.gguf", "0" * 40


def _bytes(path: Path) -> bytes:
    return path.read_bytes()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@asynccontextmanager
async def hub_with(model: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """Serve one file of one repository; yields what was asked for."""
    asked: list[str] = []
    content = _bytes(model)
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": REVISION, "Accept-Ranges": "bytes"}

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path}")
        if request.path in (f"/{REPO}/resolve/main/{FILE}", f"/{REPO}/resolve/{REVISION}/{FILE}"):
            return web.Response(body=content, headers=headers)
        if request.path.startswith(f"/{REPO}/"):
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
        return web.Response(status=404, headers={"X-Error-Code": "RepoNotFound"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    try:
        yield asked
    finally:
        await runner.cleanup()


async def test_a_model_is_fetched_once_and_vouched_for(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second start needs no network; a manifest says where the file came from."""
    async with hub_with(tiny_model, monkeypatch) as asked:
        file = await asyncio.to_thread(find_model, f"{REPO}/{FILE}", tmp_path)
        first = len(asked)
        again = await asyncio.to_thread(find_model, f"{REPO}/{FILE}", tmp_path)

        assert again == file
        assert len(asked) == first
    manifest = json.loads((tmp_path / "tiny.manifest.json").read_text())
    assert manifest["made_from"] == {"repo": REPO, "file": FILE, "revision": REVISION}
    assert _names(tmp_path) == ["tiny.gguf", "tiny.manifest.json"]
    async with engine_on(file.path) as engine:
        assert engine.build.startswith("tiny@")
        assert (await say(engine, prompt(engine, "Hello")))[0]


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (f"{REPO}/other.gguf", f"{REPO} has no file other.gguf"),
        ("nobody/nothing/tiny.gguf", "there is no model nobody/nothing"),
    ],
)
async def test_what_the_hub_does_not_have_is_named(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, words: str
):
    """A mistake in the setting reads like one."""
    async with hub_with(tiny_model, monkeypatch):
        with pytest.raises(ModelNotLoadable, match=words):
            await asyncio.to_thread(find_model, reference, tmp_path)

    assert not (tmp_path / "tiny.gguf").exists()


async def test_without_a_network_the_sentence_says_what_else_can_be_done(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A port where nobody listens stands for the missing network."""
    async with hub_with(tiny_model, monkeypatch):
        pass  # its port is free again now

    with pytest.raises(ModelNotLoadable, match=r"could not be fetched .*; check the network or HF_ENDPOINT, or download it elsewhere"):
        await asyncio.to_thread(find_model, f"{REPO}/{FILE}", tmp_path)


async def test_a_file_of_the_same_name_is_never_overwritten(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It may be the operator's own."""
    (tmp_path / FILE).write_bytes(b"mine")
    async with hub_with(tiny_model, monkeypatch):
        with pytest.raises(ModelNotLoadable, match="is there already and is not"):
            await asyncio.to_thread(find_model, f"{REPO}/{FILE}", tmp_path)

    assert (tmp_path / FILE).read_bytes() == b"mine"
