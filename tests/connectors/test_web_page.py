"""The page itself, in Debian's chromium, against a real server, database and model."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, Route, async_playwright, expect

from bot.commands import voice
from bot.config import Config
from bot.connectors.web_files import PAGE
from tests.connectors.web_house import PATIENCE_SECONDS, Served, serve, web_settings
from tests.house import LOBBY, settings
from tests.loopback.openai_server import openai_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
SCREENSHOTS = os.environ.get("TROUPE_SCREENSHOTS", "")
RUNAWAY = ("Ahoy, ",) * 6000
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 800}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here; apt-get install chromium"),
]


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(web_settings(tmp_path)) as running:
        yield running


@pytest.fixture
async def talkative(tmp_path: Path) -> AsyncIterator[Served]:
    """Characters whose replies take minutes: a word at a time, at a pace that no browser is too slow for."""
    async with openai_server(words=RUNAWAY, pause_seconds=0.05) as engine:
        remote = {"base_url": engine.base_url, "model": "m"}
        async with serve(web_settings(tmp_path, engine={"remote": remote})) as running:
            yield running


@asynccontextmanager
async def visit(
    chromium: Browser, url: str, viewport: dict[str, int] | None = None, *, ready: str = ".member", **options: Any
) -> AsyncIterator[Page]:
    """A person's own browser on the page. Anything that the page's scripts get wrong fails the test."""
    wrong: list[str] = []
    context = await chromium.new_context(viewport=viewport or DESK, **options)
    patience = 1000 * PATIENCE_SECONDS * (10 if SCREENSHOTS else 1)  # the starter reads a thousand tokens before its first word
    context.set_default_timeout(patience)
    expect.set_options(timeout=patience)
    page = await context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if "Content Security Policy" in message.text else None)
    await page.goto(url)
    await page.wait_for_selector(ready)
    yield page
    await context.close()
    assert wrong == []


async def say(page: Page, text: str) -> None:
    await page.fill("#text", text)
    await page.keyboard.press("Enter")


async def everybody_is_silent(page: Page, replies: int) -> None:
    await expect(page.locator("#turns .turn.character:not(.waiting):not(.speaking)")).to_have_count(replies)
    await expect(page.locator("#stop")).to_be_hidden()


async def longer_than(words: Locator, characters: int) -> None:
    await expect(words).to_have_text(re.compile(rf"[\s\S]{{{characters + 1},}}"))


async def test_three_characters_answer_in_one_channel_and_their_words_are_seen_growing(chromium: Browser, tmp_path: Path) -> None:
    """Streamed: the page shows many lengths of the same reply before it is whole."""
    async with serve(web_settings(tmp_path, reply_tokens=150)) as served, visit(chromium, served.url) as page:
        await expect(page.locator("#intro .opening")).to_have_count(2)
        await page.get_by_role("button", name="Cyprian").click()
        await expect(page.get_by_role("button", name="Cyprian", pressed=True)).to_be_visible()
        await expect(page.locator("#intro .opening")).to_have_count(3)
        await page.evaluate(
            """() => {
                window.lengths = new Set();
                new MutationObserver(() => lengths.add(document.getElementById("turns").textContent.length))
                    .observe(document.getElementById("turns"), {subtree: true, childList: true, characterData: true});
            }"""
        )

        await say(page, "Ada, Bo and Cyprian, good evening!")
        await everybody_is_silent(page, 3)

        assert await page.locator("#turns .turn.character .name").all_text_contents() == ["Ada", "Bo", "Cyprian"]
        assert len(await page.evaluate("[...lengths]")) > 8  # a message, three times dots and a whole reply would be seven
        colours = await page.evaluate(
            "[...document.querySelectorAll('#turns .character .words')].map((w) => getComputedStyle(w).backgroundColor)"
        )
        assert len(set(colours)) == 3
        assert await page.locator("#turns .turn.character .portrait").nth(1).text_content() == "🎭"
        await expect(page.locator("#intro")).to_be_hidden()
        await expect(page.locator("#announcer")).to_contain_text("Cyprian: ")


@pytest.mark.parametrize("how", ["button", "Escape"])
async def test_a_runaway_reply_is_stopped(chromium: Browser, talkative: Served, how: str) -> None:
    async with visit(chromium, talkative.url) as page:
        await say(page, "Ada, tell me everything")
        await page.wait_for_selector(".turn.speaking")

        await (page.click("#stop") if how == "button" else page.keyboard.press(how))
        await everybody_is_silent(page, 1)

        said = await page.locator(".turn.character .words").text_content()
        assert said and len(said) < len("".join(RUNAWAY))


async def test_a_reply_is_made_again_in_its_place_continued_and_explained(chromium: Browser, served: Served) -> None:
    async with visit(chromium, served.url) as page:
        await say(page, "Ada, hello")
        await everybody_is_silent(page, 1)

        async with page.expect_response("**/regenerate"):
            await page.click(".turn.last [data-deed=again]")
        await everybody_is_silent(page, 1)
        assert await served.house.desk.store.next_take(await _last_delivery(served)) == 2
        await page.click(".turn.last [data-deed=on]")
        await everybody_is_silent(page, 2)
        await page.click(".turn.last [data-deed=why]")

        await expect(page.locator("#why-dialog")).to_contain_text("Why did Ada say that?")
        await expect(page.locator("#why-dialog")).to_contain_text(served.house.desk.engine.build)
        await page.keyboard.press("Escape")
        await expect(page.locator("#why-dialog")).to_be_hidden()


async def test_takes_are_turned_rated_corrected_and_seen_on_a_second_page_and_after_a_reload(chromium: Browser, served: Served) -> None:
    async with visit(chromium, served.url) as page, visit(chromium, served.url) as other:
        await say(page, "Ada, hello")
        await everybody_is_silent(page, 1)
        await page.click(".turn.last [data-deed=again]")
        await expect(page.locator(".turn.last .takes span")).to_have_text("2 / 2")
        await everybody_is_silent(other, 1)
        second = await page.locator(".turn.last .words").text_content()

        await page.click(".turn.last [data-deed=before]")
        await expect(page.locator(".turn.last .takes span")).to_have_text("1 / 2")
        await expect(other.locator(".turn.last .takes span")).to_have_text("1 / 2")
        await page.click(".turn.last [data-deed=up]")
        await expect(page.locator(".turn.last [data-deed=up]")).to_have_attribute("aria-pressed", "true")
        await page.reload()
        await everybody_is_silent(page, 1)
        await expect(page.locator(".turn.last [data-deed=up]")).to_have_attribute("aria-pressed", "true")
        await expect(other.locator(".turn.last [data-deed=up]")).to_have_attribute("aria-pressed", "false")
        await page.click(".turn.last [data-deed=after]")
        await expect(page.locator(".turn.last .takes span")).to_have_text("2 / 2")  # both takes may say the same
        await expect(page.locator(".turn.last .words")).to_have_text(second or "")

        await page.click(".turn.last [data-deed=more]")
        await page.get_by_role("button", name="3 of 5 stars").click()
        await page.click(".turn.last [data-deed=more]")
        await page.click("#more-edit")
        await page.fill("#write-text", "The tide is <b>out</b>.")
        await page.click("#write-dialog button[value=yes]")
        for seen in (page, other):
            await expect(seen.locator(".turn.last .words")).to_have_text("The tide is <b>out</b>.")
        first = (await served.house.desk.store.takes(await _last_delivery(served)))[0]
        assert [rating.value for rating in await served.house.desk.store.ratings(first.id)] == [5]


async def test_a_talk_begins_again_from_a_message_and_is_taken_along(chromium: Browser, served: Served) -> None:
    async with visit(chromium, served.url) as page, visit(chromium, served.url) as other:
        await say(page, "Ada, hello")
        await everybody_is_silent(page, 1)
        await say(page, "Ada, and then?")
        await everybody_is_silent(page, 2)
        await page.locator("#turns .turn.character").first.hover()
        await page.locator("#turns .turn.character [data-deed=more]").first.click()
        await page.click("#more-dialog button[value=rewind]")
        await page.click("#rewind-dialog button[value=yes]")

        for seen in (page, other):
            await expect(seen.locator("#turns .turn")).to_have_count(2)
        await page.click("#talk-button")
        async with page.expect_download() as coming:
            await page.click("#export-md")
        text = (await (await coming.value).path()).read_text(encoding="utf-8")
        async with page.expect_download() as coming:
            await page.click("#export-jsonl")
        rows = [json.loads(line) for line in (await (await coming.value).path()).read_text(encoding="utf-8").splitlines()]

        assert "**Visitor**" in text and "Ada, hello" in text and "and then" not in text
        assert [(row["name"], row["character"]) for row in rows] == [("Visitor", False), ("Ada", True)]


async def test_a_memory_is_pinned_changed_and_forgotten_and_the_scene_is_set(chromium: Browser, served: Served) -> None:
    async with visit(chromium, served.url) as page, visit(chromium, served.url) as other:
        await say(page, "Ada, I keep bees")
        await everybody_is_silent(page, 1)
        await page.locator("#turns .mine").hover()
        await page.locator("#turns .mine [data-deed=more]").click()
        await page.click("#more-remember")
        await page.click("#write-dialog button[value=yes]")
        await expect(page.locator("#toast")).to_have_text("Ada keeps that in mind.")
        await page.click("#talk-button")
        await expect(page.locator("#memories .told")).to_contain_text("Ada, I keep bees")
        await page.get_by_role("button", name="Change: Ada, I keep bees").click()
        await page.fill("#write-text", "Anna keeps bees.")
        await page.click("#write-dialog button[value=yes]")
        await expect(page.locator("#memories .told")).to_contain_text("Anna keeps bees.")
        await page.fill("#scene", "A garden, at noon")
        await page.click("#talk-dialog button[value=yes]")
        await expect(other.locator("#scene-line")).to_have_text("A garden, at noon")

        await say(page, "Ada, what do I keep?")
        await everybody_is_silent(page, 2)
        await page.click(".turn.last [data-deed=why]")
        await expect(page.locator(".recalled li")).to_have_text("Anna keeps bees.")
        await page.keyboard.press("Escape")
        await page.click("#talk-button")
        await page.get_by_role("button", name="Have it forgotten").click()
        await expect(page.locator("#no-memories")).to_be_visible()

        await other.click("#talk-button")
        await expect(other.locator("#no-memories")).to_be_visible()  # what is told of one person is not another's to read


async def test_the_page_speaks_chinese_to_whoever_reads_it(chromium: Browser, served: Served) -> None:
    async with visit(chromium, served.url, locale="zh-CN") as page:
        await expect(page.locator("#text")).to_have_attribute("placeholder", "说点什么")
        await page.click("#talk-button")
        await page.click("#language")
        await expect(page.locator("#text")).to_have_attribute("placeholder", "Say something")
        assert await page.evaluate("document.documentElement.lang") == "en"


async def _last_delivery(served: Served) -> Any:
    return await served.house.desk.store.last_delivery(LOBBY)


async def test_a_page_reloaded_in_the_middle_of_a_reply_shows_what_was_said_and_goes_on(chromium: Browser, talkative: Served) -> None:
    async with visit(chromium, talkative.url) as page:
        await say(page, "Ada, tell me everything")
        await longer_than(page.locator(".turn.speaking .words"), 40)

        await page.reload()
        await page.wait_for_selector(".turn.speaking")
        before = len(await page.locator(".turn.character .words").text_content() or "")
        await longer_than(page.locator(".turn.character .words"), before)
        await page.keyboard.press("Escape")
        await everybody_is_silent(page, 1)

        assert before > 40
        assert await page.locator(".turn.mine .words").all_text_contents() == ["Ada, tell me everything"]


async def test_a_second_page_sees_the_same_conversation(chromium: Browser, served: Served) -> None:
    """Another person's browser: the same words, in the same order, and who said them."""
    async with visit(chromium, served.url) as anna, visit(chromium, served.url) as ben:
        await anna.fill("#name", "Anna")
        await say(anna, "Ada, hello")
        await everybody_is_silent(anna, 1)
        await everybody_is_silent(ben, 1)
        await anna.get_by_role("button", name="Ada").first.click()

        await expect(ben.get_by_role("button", name="Ada", pressed=False).first).to_be_visible()
        assert await ben.locator("#turns .words").all_text_contents() == await anna.locator("#turns .words").all_text_contents()
        assert await ben.locator("#turns .name").all_text_contents() == ["Anna", "Ada"]
        assert await anna.locator("#turns .name").all_text_contents() == ["You", "Ada"]


async def test_a_look_at_the_channel_that_comes_late_loses_nothing_and_keeps_the_order(chromium: Browser, served: Served) -> None:
    """Once it was shown as it had been: a quick reply stood before its question, or its end was missed for good."""
    answered, may_arrive = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        response = await route.fetch()
        answered.set()
        await may_arrive.wait()
        await route.fulfill(response=response)

    async with visit(chromium, served.url) as page:
        await page.route("**/api/channels/lobby?**", late)
        await page.fill("#name", "Anna")
        await page.focus("#text")  # the name is done, so the greetings are read anew
        await answered.wait()
        await say(page, "Ada, hello")
        await everybody_is_silent(page, 1)
        async with page.expect_event("requestfinished", lambda request: "/events?after=" not in request.url):
            may_arrive.set()
        await page.unroute_all(behavior="wait")

        await expect(page.locator("#turns .turn:not(.speaking):not(.unsent) .name")).to_have_text(["You", "Ada"])
        await everybody_is_silent(page, 1)


async def test_what_people_write_is_text_and_never_becomes_part_of_the_page(chromium: Browser, served: Served) -> None:
    """In messages, names, taglines, quotes and explanations."""
    markup = "Ada, <img src=x onerror='window.taken=1'> *<script>window.taken=1</script>*"
    async with visit(chromium, served.url) as page:
        await page.fill("#name", "<b onclick=x>Eve</b>")
        await say(page, markup)
        await everybody_is_silent(page, 1)
        await page.reload()
        await everybody_is_silent(page, 1)
        await page.click(".turn.last [data-deed=answer]")
        await say(page, "Ada, " + markup)
        await everybody_is_silent(page, 2)

        assert await page.evaluate("window.taken") is None
        assert await page.locator("#turns img:not([src^='/portraits/']), #turns script, #company b").count() == 0
        assert await page.locator(".turn.mine .words").first.text_content() == markup.replace("*", "")
        assert "<b>of the tests</b>" in (await page.locator(".tagline").first.text_content() or "")


async def test_a_phone_shows_everything_without_scrolling_sideways(chromium: Browser, served: Served) -> None:
    async with visit(chromium, served.url, PHONE, is_mobile=True, has_touch=True) as page:
        await say(page, "Ada, " + "Donaudampfschifffahrtsgesellschaftskapitän" * 8 + " https://example.org/" + "x" * 200)
        await everybody_is_silent(page, 1)

        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        assert await page.evaluate("document.getElementById('log').scrollWidth <= document.getElementById('log').clientWidth")
        for name in ("#send", ".turn.last [data-deed=again]", ".member"):
            box = await page.locator(name).first.bounding_box()
            assert box is not None and box["height"] >= 40 and box["x"] >= 0 and box["x"] + box["width"] <= 390, name


async def test_the_keyboard_is_enough(chromium: Browser, served: Served) -> None:
    """Shift+Enter starts a line, Enter sends, and every control is reached by Tab and visibly so."""
    async with visit(chromium, served.url) as page:
        await page.focus("#text")
        await page.keyboard.type("Ada,")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("hello")
        assert await page.input_value("#text") == "Ada,\nhello"
        await page.keyboard.press("Enter")
        await everybody_is_silent(page, 1)
        assert await page.input_value("#text") == ""

        reached = []
        await page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
        for _ in range(28):
            await page.keyboard.press("Tab")
            reached.append(
                await page.evaluate(
                    """() => { const e = document.activeElement, s = getComputedStyle(e);
                       if (e === document.body) return ["", true];
                       return [e.id || e.dataset.deed || e.className, s.outlineStyle !== "none" || e.id === "text"]; }"""
                )
            )
        names = {name for name, _ in reached}
        assert {
            "member",
            "channels-button",
            "reset-button",
            "log",
            "name",
            "text",
            "send",
            "again",
            "on",
            "up",
            "down",
            "why",
            "more",
        } <= names
        assert all(visible for name, visible in reached if name), reached


async def test_a_message_written_while_the_server_is_away_arrives_when_it_is_back(chromium: Browser, tmp_path: Path) -> None:
    """The page says that it is reconnecting; nothing has to be typed again, and it arrives once."""
    config = web_settings(tmp_path)
    async with serve(config) as first:
        port = int(first.url.rpartition(":")[2])
        context = visit(chromium, first.url)
        page = await context.__aenter__()
        await say(page, "Ada, hello")
        await everybody_is_silent(page, 1)
    await expect(page.locator("#connection")).to_contain_text("Reconnecting")
    await say(page, "Bo, are you still there?")
    await expect(page.locator(".turn.unsent .fate")).to_contain_text("Not sent")

    again = config.model_copy(update={"web": config.web.model_copy(update={"port": port})})
    async with serve(again):
        await everybody_is_silent(page, 2)
        await expect(page.locator("#connection")).to_be_hidden()
        await expect(page.locator(".turn.unsent")).to_have_count(0)
        await page.reload()
        await everybody_is_silent(page, 2)
        assert await page.locator(".turn.mine .words").all_text_contents() == ["Ada, hello", "Bo, are you still there?"]
        await context.__aexit__(None, None, None)


async def test_a_message_that_is_refused_goes_back_into_the_box(chromium: Browser, served: Served) -> None:
    text = "Ada, " + "x" * 9000
    async with visit(chromium, served.url) as page:
        await say(page, text)

        await expect(page.locator("#toast")).to_contain_text("at most 8,000")
        assert await page.input_value("#text") == text
        assert await page.locator("#turns .turn").count() == 0
        await say(page, "Ada, hello")
        await everybody_is_silent(page, 1)


async def test_starting_afresh_asks_first_and_keeps_the_past_in_reach(chromium: Browser, served: Served) -> None:
    async with visit(chromium, served.url) as page:
        await say(page, "Ada, hello")
        await everybody_is_silent(page, 1)
        await page.click("#reset-button")
        await page.click("#reset-dialog button[value=no]")
        await expect(page.locator("#turns .turn")).to_have_count(2)

        await page.click("#reset-button")
        await page.click("#reset-dialog button[value=yes]")
        await expect(page.locator("#intro")).to_be_visible()
        await page.click("#before-reset")

        await expect(page.locator("#turns .turn")).to_have_count(2)


def test_every_sentence_of_the_pages_has_its_chinese() -> None:
    chinese = "".join(words.read_text(encoding="utf-8") for words in PAGE.glob("*words*.js"))
    said: set[str] = set()
    for script in PAGE.glob("*.js"):
        if "words" not in script.name and not script.name.startswith("control"):
            for found in re.findall(r'\bt\((?:[^"()]*\? )?"([^"]*)"(?: : "([^"]*)")?', script.read_text(encoding="utf-8")):
                said |= set(filter(None, found))
    for page in PAGE.glob("*.html"):
        if page.name not in ("control.html", "login.html"):
            text = page.read_text(encoding="utf-8")
            said |= {" ".join(unescape(words).split()) for words in re.findall(r"<[^<>]*\bdata-t>([^<]*)<", text)}

    said |= {voice.ABSENT, voice.BUSY, voice.NO_REPLY}  # and what the server says each time in the same words

    missing = [sentence for sentence in said if f"{json.dumps(sentence, ensure_ascii=False)}:" not in chinese]

    assert len(said) > 150
    assert missing == []


@pytest.mark.skipif(not SCREENSHOTS, reason="pictures are taken when TROUPE_SCREENSHOTS names a folder for them")
async def test_pictures_of_the_page(chromium: Browser, tmp_path: Path, starter_models: Path) -> None:
    """The house's own company on the starter model, on a desk and on a phone, in light and dark."""
    folder = Path(SCREENSHOTS)
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  a test's own folder
    async with serve(_shown(tmp_path, starter_models)) as served:
        async with visit(chromium, served.url) as page:
            await page.screenshot(path=folder / "opening.png")
            await page.fill("#name", "Anna")
            await say(page, "Good evening! Mara, what do you see out there tonight?")
            await everybody_is_silent(page, 1)
            await say(page, "And you, Odo, *shakes the rain off her coat* is there any bread left?")
            await everybody_is_silent(page, 2)
            await say(page, "Ludo, show us a trick!")
            await longer_than(page.locator(".turn.speaking .words"), 40)
            await page.screenshot(path=folder / "speaking.png")
            await everybody_is_silent(page, 3)
            await page.click(".turn.last [data-deed=why]")
            await page.screenshot(path=folder / "why.png")
            await page.keyboard.press("Escape")
            await page.click(".turn.last [data-deed=up]")
            anna = await page.context.storage_state()
        for scheme in ("light", "dark"):
            for name, viewport in (("phone", PHONE), ("desk", DESK)):
                phone = {"is_mobile": True, "device_scale_factor": 2} if name == "phone" else {}
                async with visit(chromium, served.url, viewport, color_scheme=scheme, storage_state=anna, **phone) as page:
                    await everybody_is_silent(page, 3)
                    await page.wait_for_load_state("networkidle")
                    await page.screenshot(path=folder / f"{name}-{scheme}.png")


def _shown(tmp_path: Path, models: Path) -> Config:
    return settings(tmp_path, models, sessions={"reply_tokens": 90}, web={"port": 0})
