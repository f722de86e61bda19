"""The workshop: a character is made and talked to on a phone, brought as a file, changed, and brought back."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import Browser, Page, expect

from bot.characters.png_card import read_png
from tests.connectors.test_web_page import PHONE, chromium, everybody_is_silent, say, visit  # noqa: F401
from tests.connectors.web_house import Served, serve, web_settings

READY = "body[data-ready]"
NELL = {"name": "Nell Barrow", "description": "Nell mends umbrellas in a tunnel under the station.", "definition": "Never hurries."}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(web_settings(tmp_path)) as running:
        yield running


def picture(colour: str = "red", size: tuple[int, int] = (300, 200)) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, "PNG")
    return written.getvalue()


async def ask(served: Served, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
    """GET without a body, POST with one; bytes are a file."""
    headers = {
        "X-Troupe-Person": "anna-anna",
        "Content-Type": "application/octet-stream" if isinstance(body, bytes) else "application/json",
    }
    data = None if body is None else io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
    method = "GET" if body is None else "POST"
    async with served.session.request(method, f"{served.url}/api/workshop{path}", data=data, headers=headers, **options) as response:
        if response.content_type in ("application/json", "application/x-ndjson") and "card." not in path:
            text = await response.text()
            return response.status, json.loads(text) if response.content_type == "application/json" else [
                json.loads(t) for t in text.split("\n") if t
            ]
        return response.status, await response.read()


async def save(served: Served, draft: dict[str, Any], **more: Any) -> dict[str, Any]:
    status, saved = await ask(served, "/save", {"draft": draft, **more})
    assert status in (200, 201), saved
    return saved


async def test_every_field_of_the_form_comes_back_as_it_was_written(served: Served) -> None:
    lore = [{"id": "1", "keys": ["tunnel", "station"], "content": "It floods in March.", "constant": False, "enabled": True}]
    draft = {
        **NELL,
        "nickname": "Nell",
        "tagline": "Umbrellas, mostly.",
        "emoji": "☂️",
        "greeting": "Mind the drip, {{user}}.",
        "alternates": ["Shut the door.", "Which one is yours?"],
        "summary": "Mends umbrellas.",
        "scenario": "Her stall, in the rain.",
        "categories": ["craft", "rain"],
        "examples": "<START>\n{{user}}: Busy?\n{{char}}: It rains.",
        "creator": "Anna",
        "talkativeness": 0.25,
        "awake": False,
        "age_restricted": True,
        "sampling": {"temperature": 0.9, "max_tokens": 40},
        "voice": {"name": "en-gb", "pitch": 40},
        "lore": lore,
    }

    saved = await save(served, draft)
    _, opened = await ask(served, f"/{saved['slug']}")

    assert opened["draft"] == draft
    assert opened["dialogues"] == [[{"own": False, "text": "Busy?"}, {"own": True, "text": "It rains."}]]
    assert served.house.desk.company.by_id("house/nell-barrow").settings.sampling_changes == (("temperature", 0.9), ("max_tokens", 40))


async def test_what_the_form_does_not_know_stays_in_the_card(served: Served) -> None:
    """Somebody else's extension, a lore entry's priority, fields of a later specification."""
    entry = {"id": 7, "keys": ["rain"], "content": "Wet.", "enabled": True, "insertion_order": 3, "priority": 9, "extensions": {"x": 1}}
    data = {**NELL, "extensions": {"other": {"deep": [1]}}, "future": "kept", "character_book": {"name": "Book", "entries": [entry]}}
    card = json.dumps({"spec": "chara_card_v3", "spec_version": "3.0", "data": data}).encode()
    _, saved = await ask(served, "/import", card, params={"name": "nell.json"})
    _, opened = await ask(served, f"/{saved['slug']}")
    changed = {**opened["draft"], "tagline": "New.", "lore": [{**opened["draft"]["lore"][0], "content": "Very wet."}]}

    await save(served, changed, character="nell-barrow", revision=opened["revision"])
    _, written = await ask(served, "/nell-barrow/card.json")

    after = json.loads(written)["data"]
    assert (after["future"], after["extensions"]["other"]) == ("kept", {"deep": [1]})
    assert after["character_book"] == {"name": "Book", "entries": [{**entry, "content": "Very wet.", "constant": False}]}
    assert after["extensions"]["troupe"] == {"tagline": "New."}


async def test_a_draft_is_measured_against_its_budgets_before_it_is_saved(served: Served) -> None:
    _, measured = await ask(served, "/measure", {"draft": {**NELL, "lore": [{"keys": ["rain"], "content": "Wet."}]}})
    _, long = await ask(served, "/measure", {"draft": {**NELL, "definition": "She mends. " * 900}})
    _, nameless = await ask(served, "/measure", {"draft": {"description": "x"}})

    assert measured["problem"] == "" and 0 < measured["sizes"]["card"]["tokens"] < measured["sizes"]["card"]["limit"]
    assert measured["sizes"]["lore"]["tokens"] > 0
    assert "sessions.card_tokens" in long["problem"] and long["sizes"]["card"]["tokens"] > long["sizes"]["card"]["limit"]
    assert nameless["problem"] == "A character needs a name."
    assert served.house.desk.company.by_id("house/nell-barrow") is None


async def test_a_draft_answers_before_it_is_saved_and_nothing_of_it_is_kept(served: Served) -> None:
    before = await served.house.desk.store.status()

    status, pieces = await ask(served, "/try", {"draft": NELL, "turns": [{"by": "person", "text": "Hello?"}], "name": "Anna"})

    assert status == 200 and "".join(piece["text"] for piece in pieces).strip()
    assert pieces[-1]["counters"]["reply_tokens"] > 0
    assert await served.house.desk.store.status() == before


async def test_wrong_drafts_and_files_are_refused_in_a_sentence_and_nothing_is_lost(served: Served) -> None:
    await save(served, NELL)
    refused = [
        ("/save", {"draft": {**NELL, "name": "Ada"}}, 400),
        ("/save", {"draft": {**NELL, "name": ""}}, 400),
        ("/save", {"draft": {"name": "Nobody"}}, 400),
        ("/save", {"draft": {**NELL, "name": "New", "sampling": {"temperature": 99}}}, 400),
        ("/save", {"draft": {**NELL, "name": "New", "sampling": {"heat": 1}}}, 400),
        ("/save", {"draft": {**NELL, "name": "New", "lore": "none"}}, 400),
        ("/save", {"draft": {**NELL, "name": "New"}, "portrait": "###"}, 400),
        ("/save", {"draft": {**NELL, "name": "New"}, "portrait": base64.b64encode(b"GIF89a").decode()}, 400),
        ("/save", {"draft": NELL, "character": "nell-barrow", "revision": "older"}, 400),
        ("/save", {"draft": NELL, "character": "somebody-else"}, 404),
        ("/save", {"draught": NELL}, 400),
        ("/try", {"draft": {"name": "x"}, "turns": []}, 400),
        ("/import", b"no card at all", 400),
        ("/import", picture(), 400),
        ("/import", b"x" * (9 * 1024 * 1024), 413),
        ("/nell-barrow/restore", {"revision": 77}, 400),
        ("/nell-barrow/restore", {"revision": "1"}, 400),
        ("/nobody/delete", {}, 404),
        ("/ada/delete", {}, 400),
    ]
    for path, body, expected in refused:
        status, answer = await ask(served, path, body)
        assert (status, set(answer)) == (expected, {"error"}), (path, body if isinstance(body, dict) else len(body), status, answer)

    _, opened = await ask(served, "/nell-barrow")
    assert opened["draft"]["description"] == NELL["description"] and len(opened["revisions"]) == 1
    await served.browser().still_answers()


async def test_where_the_house_has_an_operator_nobody_else_writes_its_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_OPERATOR_TOKEN", "operator-" + "x" * 40)
    async with serve(web_settings(tmp_path)) as served:
        for path, body in (
            ("/save", {"draft": NELL}),
            ("/save", {"draft": NELL, "character": "ada"}),
            ("/measure", {"draft": NELL}),
            ("/portrait", {"draft": NELL}),
            ("/try", {"draft": NELL, "turns": []}),
            ("/import", b"{}"),
            ("/ada", None),
            ("/ada/restore", {"revision": 1}),
            ("/ada/delete", {}),
            ("/ada/card.json", None),
        ):
            status, answer = await ask(served, path, body)
            said = answer if isinstance(answer, dict) else json.loads(answer)
            assert status == 400 and said["error"].startswith("Only "), (path, status, said)
        await served.browser().still_answers()


async def test_a_card_goes_out_as_png_v3_and_v2_and_comes_back(served: Served) -> None:
    await save(served, {**NELL, "lore": [{"keys": ["rain"], "content": "Wet."}]}, portrait=base64.b64encode(picture()).decode())

    _, png = await ask(served, "/nell-barrow/card.png")
    _, v3 = await ask(served, "/nell-barrow/card.json")
    _, v2 = await ask(served, "/nell-barrow/card.json?spec=v2")
    await ask(served, "/nell-barrow/delete", {})
    status, again = await ask(served, "/import", png, params={"name": "nell.png"})

    assert (json.loads(v3)["spec"], json.loads(v2)["spec"]) == ("chara_card_v3", "chara_card_v2")
    assert (status, again["slug"]) == (201, "nell-barrow")
    read = read_png(png, served.house.desk.company.limits, "the card")
    assert Image.open(io.BytesIO(read.picture)).getpixel((5, 5))[:3] == (255, 0, 0)  # type: ignore[index]


# ------------------------------------------------------------------ the page


@pytest.mark.browser
async def test_on_a_phone_somebody_makes_a_character_with_a_portrait_and_talks_to_it(chromium: Browser, served: Served) -> None:  # noqa: F811
    async with visit(chromium, f"{served.url}/gallery", PHONE, ready=READY, is_mobile=True, has_touch=True) as page:
        await page.click("#create")
        await page.wait_for_selector(READY)
        await page.fill("#f-name", NELL["name"])
        await page.fill("#f-description", NELL["description"])
        await page.fill("#f-categories", "craft, rain")
        await page.click("#tab-words")
        await page.fill("#f-greeting", "Mind the drip, {{user}}.")
        await page.click("#add-dialogue")
        await page.fill(".line-row:not(.own) textarea", "Busy?")
        await page.fill(".line-row.own textarea", "It rains.")
        await page.set_input_files("#picture", {"name": "nell.png", "mimeType": "image/png", "buffer": picture("blue")})
        await expect(page.locator("#zooming")).to_be_visible()
        await expect(page.locator("output[data-part=greeting]")).to_contain_text("tokens")
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        await page.fill("#trial-text", "Hello?")
        await page.click("#trial-send")
        await expect(page.locator("#trial li")).to_have_count(2)
        await expect(page.locator("#trial li.character:not(.speaking) .words")).not_to_be_empty()

        await page.click("#save")
        await expect(page.locator("#name")).to_have_text("Nell Barrow")
        await expect(page.locator("#greeting")).to_have_text("Mind the drip, Visitor.")
        await expect(page.locator("#examples .words")).to_have_text(["It rains."])
        await page.click("#talk")
        await page.wait_for_selector(".member")
        await say(page, "Good morning")
        await everybody_is_silent(page, 1)

        assert await page.locator("#turns .name").all_text_contents() == ["You", "Nell Barrow"]
        made = served.house.desk.company.by_id("house/nell-barrow")
        assert made is not None and made.portrait is not None
        shown = Image.open(made.portrait)
        red, _, blue = shown.convert("RGB").getpixel((300, 300))  # type: ignore[misc]
        assert shown.size == (768, 768) and blue > 240 > red


@pytest.mark.browser
async def test_a_revision_is_compared_and_brought_back(chromium: Browser, served: Served) -> None:  # noqa: F811
    await save(served, NELL)
    async with visit(chromium, f"{served.url}/workshop?character=nell-barrow", ready=READY) as page:
        await page.fill("#f-description", "Nell mends clocks in a tunnel under the station.")
        await page.click("#save")
        await expect(page.locator("#toast")).to_contain_text("Nell Barrow is part of the company.")
        await page.click("#tab-past")
        await expect(page.locator("#revisions li")).to_have_count(2)
        await page.locator("#revisions .compare").last.click()
        await expect(page.locator("#diff del")).to_have_text("umbrellas")
        await expect(page.locator("#diff ins")).to_have_text("clocks")

        await page.click("#revisions .restore")
        await page.click("#tab-past")
        await expect(page.locator("#revisions li")).to_have_count(3)

        assert await page.input_value("#f-description") == NELL["description"]


@pytest.mark.browser
async def test_a_card_is_brought_by_dropping_it_and_what_is_begun_survives_a_reload(chromium: Browser, served: Served) -> None:  # noqa: F811
    card = json.dumps({"spec": "chara_card_v2", "spec_version": "2.0", "data": {**NELL, "tags": ["<img src=x onerror=window.taken=1>"]}})
    async with visit(chromium, f"{served.url}/workshop", ready=READY) as page:
        await page.fill("#f-name", "Half of a")
        await page.reload()
        await page.wait_for_selector(READY)
        assert await page.input_value("#f-name") == "Half of a"
        await expect(page.locator("#kept")).to_be_visible()

        await _drop(page, card)
        await expect(page.locator("#toast")).to_contain_text("Nell Barrow is part of the company.")

        assert await page.input_value("#f-description") == NELL["description"]
        assert await page.input_value("#f-categories") == "<img src=x onerror=window.taken=1>"
        await page.goto(f"{served.url}/gallery")
        await expect(page.locator(".chip")).to_have_text(["<img src=x onerror=window.taken=1>"])
        assert await page.evaluate("window.taken") is None


async def _drop(page: Page, text: str) -> None:
    transfer = await page.evaluate_handle(
        "(text) => { const t = new DataTransfer(); t.items.add(new File([text], 'nell.json', {type: 'application/json'})); return t; }",
        text,
    )
    await page.dispatch_event("#title", "drop", {"dataTransfer": transfer})
