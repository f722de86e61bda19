"""The page's /privacy, reports and what operators do with them: what a visitor decides, for that visitor alone."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright, expect

from bot.engine.models import write_manifest
from tests.connectors.test_web_page import ARGUMENTS, CHROMIUM, everybody_is_silent, say, visit
from tests.connectors.web_house import Served, serve, web_settings
from tests.house import LOBBY
from tests.house import settings as house_settings

CANARY = "heliotrope wheelbarrow"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(web_settings(tmp_path)) as running:
        yield running


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


async def ask(served: Served, path: str, body: Any = None, *, person: str = "anna-anna") -> tuple[int, Any]:
    method = served.session.get if body is None else served.session.post
    more = {} if body is None else {"json": body}
    headers = {"X-Troupe-Person": person} if person else {}
    async with method(f"{served.url}{path}", headers=headers, **more) as response:
        text = await response.text()
        return response.status, json.loads(text) if response.content_type == "application/json" else text


async def spoken(served: Served, text: str) -> str:
    """Anna says something and is answered; the id of the reply."""
    anna = served.browser()
    anna.person = "anna-anna"
    async with anna.events() as events:
        await anna.say(text)
        final = await events.until("final")
        await events.until("typing", on=False)
    return str(final["id"])


async def test_a_visitor_sees_decides_takes_along_and_removes_what_is_stored(served: Served) -> None:
    await spoken(served, f"Ada, my word is {CANARY}")
    status, told = await ask(served, "/api/privacy")
    assert status == 200 and (told["remember"], told["train"]) == (True, False)
    assert told["stored"]["turns"] == 1 and "Nobody can agree for you" in told["wordings"]["train"].replace("\n", " ")

    assert "Thank you" in (await ask(served, "/api/privacy/consent", {"to": "train", "granted": True}))[1]["text"]
    assert (await ask(served, "/api/privacy"))[1]["train"] is True
    assert (await ask(served, "/api/privacy", person="somebody-else"))[1]["train"] is False
    assert (await ask(served, "/api/privacy/consent", {"to": "everything", "granted": True}))[0] == 400
    assert (await ask(served, "/api/privacy", person=""))[0] == 400

    status, everything = await ask(served, "/api/privacy/export")
    assert status == 200 and CANARY in json.dumps(everything)
    assert "Forgotten" in (await ask(served, "/api/privacy/forget", {}))[1]["text"]
    assert (await ask(served, "/api/privacy"))[1]["stored"] == {}
    assert await spoken(served, "Ada, are you still there?")


async def test_a_reply_is_reported_seen_settled_and_hidden(served: Served) -> None:
    reply = await spoken(served, "Ada, say something")
    at = "/api/channels/lobby"
    assert "moderators can see it" in (await ask(served, f"{at}/report", {"message_id": reply}))[1]["text"]
    _, told = await ask(served, "/api/control")
    [report] = told["reports"]
    assert (report["channel"], report["people"], report["build"]) == (str(LOBBY), 1, served.house.desk.engine.build)
    assert "anna-anna" not in json.dumps(told)

    assert "is settled" in (await ask(served, f"/api/control/reports/{report['number']}", {}))[1]["text"]
    assert (await ask(served, "/api/control"))[1]["reports"] == []
    assert (await ask(served, f"/api/control/reports/{report['number']}", {}))[0] == 400
    assert (await ask(served, f"{at}/hide", {"message_id": reply}))[1] == {"removed": 1}
    assert [t.text for t in await served.house.desk.store.history(LOBBY, None, limit=9) if t.by_character] == []


async def test_members_of_a_page_with_tokens_do_not_hide_or_settle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_WEB_TOKEN", "the-visitors-own-word-7")
    monkeypatch.setenv("TROUPE_OPERATOR_TOKEN", "the-operators-own-word-9")
    async with serve(web_settings(tmp_path)) as served:
        visitor = {"Authorization": "Bearer the-visitors-own-word-7"}
        for path, body, status in (
            ("/api/channels/lobby/hide", {"message_id": "whatever-it-is"}, 400),
            ("/api/control/reports/1", {}, 403),
            ("/api/control/builds/starter", None, 403),
        ):
            method = served.session.get if body is None else served.session.post
            async with method(f"{served.url}{path}", headers=visitor, **({} if body is None else {"json": body})) as response:
                assert response.status == status, path
                if status == 400:
                    assert "Only moderators" in await response.text()


async def test_the_report_of_a_build_is_shown_and_names_nobody(tmp_path: Path, tiny_model: Path) -> None:
    """What went in, the gate, and ratings by character."""
    config = house_settings(tmp_path / "data", tmp_path / "gguf", web={"port": 0})
    gguf = tmp_path / "gguf"
    gguf.mkdir()
    await asyncio.to_thread(shutil.copy, tiny_model, gguf / "loop-1.gguf")
    checks = [{"name": "held-out lines", "old": "3.8", "new": "3.7", "passed": True, "rule": "at most 3.9"}]
    facts = {
        "continued_from": "starter@1234",
        "gate": {"passed": True, "checks": checks},
        "trained_on": {"people": ["ab"], "rows": 31, "run": "loop-1"},
    }
    write_manifest(gguf / "loop-1.gguf", made_by={"lessons": {"figures": {"pairs": 21}}}, **facts)
    (gguf / "current").write_text("loop-1\n")
    async with serve(config) as served:
        reply = await spoken(served, "Mara, say something")
        await ask(served, "/api/channels/lobby/rate", {"message_id": reply, "value": 4})
        status, text = await ask(served, "/api/control/builds/loop-1")
        assert status == 200
        for words in (
            "goes on from starter@1234",
            "31 rows; 1 people agreed",
            "| held-out lines | 3.8 | 3.7 | yes |",
            "| 1 | 1 | 4.00 |",
            "pairs 21",
        ):
            assert words in text, text
        assert (await ask(served, "/api/control/builds/nothing"))[0] == 400


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here; apt-get install chromium")
async def test_the_page_offers_all_of_it(chromium: Browser, served: Served) -> None:
    """In a real browser: report a reply, agree to training, forget everything."""
    async with visit(chromium, served.url) as page:
        await say(page, f"Ada, my word is {CANARY}")
        await everybody_is_silent(page, 1)
        await page.locator(".turn.character").hover()
        await page.click(".turn.character [data-deed=more]")
        await page.click("#more-report")
        await expect(page.locator("#toast")).to_contain_text("moderators can see it")
        assert len(await served.house.desk.store.reports()) == 1

        await page.click("#talk-button")
        await page.click("#privacy-button")
        await expect(page.locator("#privacy-stored")).to_contain_text("1 turns")
        training = page.locator("#privacy-questions li").nth(1)
        await training.get_by_role("button", name="I agree").click()
        await expect(page.locator("#privacy-said")).to_contain_text("Thank you")
        await expect(training.get_by_role("button", name="I agree")).to_have_attribute("aria-pressed", "true")
        await page.click("#privacy-forget")
        await page.locator("#forget-dialog button[value=yes]").click()
        await expect(page.locator("#privacy-stored")).to_contain_text("Nothing is stored")
        await expect(page.locator("#turns .turn")).to_have_count(0)
    assert (await served.house.desk.store.status()).turns == {}
