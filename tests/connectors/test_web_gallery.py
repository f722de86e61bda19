"""The gallery and a character's own page: who there is, what people made of them, and the way to a talk."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import Browser, expect

from bot.commands import chat as chat_commands
from bot.commands.desk import Caller
from bot.messages import ChannelKey, Person
from tests.connectors.test_web_page import DESK, PHONE, SCREENSHOTS, chromium, everybody_is_silent, say, visit  # noqa: F401
from tests.connectors.web_house import Served, serve, web_settings
from tests.house import HERE, LOBBY, RecordingPort, settings

BUDGET_BYTES = 200_000


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(web_settings(tmp_path)) as running:
        yield running


async def get(served: Served, address: str, person: str = "anna-anna") -> Any:
    async with served.session.get(served.url + address, headers={"X-Troupe-Person": person}) as response:
        return response.status, await response.json()


async def test_the_gallery_tells_how_often_somebody_was_talked_to_and_how_they_were_rated(served: Served) -> None:
    """One's own last talks are told to oneself alone."""
    browser = served.browser()
    async with browser.events() as events:
        await browser.say("Ada, hello")
        await events.until("final")
    store = served.house.desk.store
    ben = Caller(Person("web:ben-ben-ben", "Ben"), LOBBY, RecordingPort())
    await chat_commands.rate(served.house.desk, ben, 4)

    _, seen = await get(served, "/api/gallery", browser.person)
    _, by_another = await get(served, "/api/gallery")

    ada, bo, _ = seen["characters"]
    assert (ada["slug"], ada["replies"], ada["people"], ada["ratings"], ada["stars"], ada["featured"]) == ("ada", 1, 1, 1, 4.0, True)
    assert (bo["replies"], bo["ratings"], bo["talk"]) == (0, 0, None)
    assert ada["talk"]["channel"] == "lobby"
    assert by_another["characters"][0]["talk"] is None
    assert (await store.standings())["house/ada"].replies == 1


async def test_a_character_is_told_of_in_full_and_an_unknown_one_is_not(served: Served) -> None:
    status, ada = await get(served, "/api/gallery/ada?name=Zoe")

    assert (status, ada["greeting"], ada["about"]) == (200, "Hello Zoe, I am Ada.", "Ada greets.")
    assert (ada["notice"], ada["shipped"], ada["lore"]) == ("Everything characters say is made up.", True, 0)
    for wrong in ("nobody", "..%2f..", "%00", "x" * 400):
        status, answer = await get(served, f"/api/gallery/{wrong}")
        assert (status, set(answer)) == (404, {"error"}), wrong
    await served.browser().still_answers()


async def test_portraits_come_in_three_sizes_and_may_be_kept_for_good(served: Served) -> None:
    _, seen = await get(served, "/api/gallery")
    address = seen["characters"][0]["portrait"]

    async with served.session.get(served.url + address) as response:
        picture = Image.open(io.BytesIO(await response.read()))
        assert (picture.format, picture.size, "immutable" in response.headers["Cache-Control"]) == ("WEBP", (224, 224), True)
    for wrong in (address.replace("-224", "-9999"), address.replace("ada-224", "bo-224"), address.replace("ada-224", "ada-0224")):
        async with served.session.get(served.url + wrong) as response:
            assert (response.status, wrong) == (404, wrong)
    async with served.session.get(served.url + address.partition("?")[0]) as response:
        assert response.headers["Cache-Control"] == "no-cache"


async def test_the_pages_own_files_are_sent_once(served: Served) -> None:
    async with served.session.get(f"{served.url}/page/style.css") as response:
        tag, size = response.headers["ETag"], int(response.headers["Content-Length"])
    async with served.session.get(f"{served.url}/page/style.css", headers={"If-None-Match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    assert size < 10_000


@pytest.mark.browser
async def test_a_page_names_every_module_that_it_needs_before_the_browser_looks(chromium: Browser, served: Served) -> None:  # noqa: F811
    """Otherwise they are found one import after another, a journey each."""
    for address in ("/gallery", "/", "/workshop"):
        async with served.session.get(served.url + address) as response:
            named = set(re.findall(r"</page/([\w-]+\.js)>; rel=modulepreload", response.headers["Link"]))
        async with visit(chromium, served.url + address, ready="body") as page:
            await page.wait_for_load_state("networkidle")
            loaded = await page.evaluate("performance.getEntriesByType('resource').map((e) => e.name.split('/').pop())")
        assert named == {name for name in loaded if name.endswith(".js")}, address


@pytest.mark.browser
async def test_somebody_is_found_by_name_looked_at_and_talked_to_alone(chromium: Browser, served: Served) -> None:  # noqa: F811
    async with visit(chromium, f"{served.url}/gallery", ready="body[data-ready]") as page:
        await expect(page.locator("#everybody .card")).to_have_count(3)
        await page.keyboard.press("/")
        await page.keyboard.type("CYPRÍAN")
        await expect(page.locator("#everybody .card")).to_have_count(1)
        await page.click("#everybody .card")
        await expect(page.locator("#made-up")).to_have_text("Everything characters say is made up.")
        await page.click("#talk")
        await expect(page.get_by_role("button", name="Cyprian", pressed=True)).to_be_visible()
        await expect(page.locator(".awake")).to_have_count(1)
        await say(page, "good evening")
        await everybody_is_silent(page, 1)

        await page.goto(f"{served.url}/gallery")
        await page.click("#recent .card")

        await expect(page.locator("#turns .name")).to_have_text(["You", "Cyprian"])


@pytest.mark.browser
async def test_whoever_has_a_voice_is_heard_and_without_one_there_is_no_button(chromium: Browser, served: Served) -> None:  # noqa: F811
    """The sound is decoded by the browser itself; nothing is loaded from elsewhere."""
    _, voice = await get(served, "/api/voice")
    async with visit(chromium, f"{served.url}/characters/ada", ready="#character:not([hidden])") as page:
        if not voice["available"]:
            await expect(page.locator("#hear")).to_be_hidden()
            return
        await expect(page.locator("#hear")).to_be_visible()
        async with page.expect_response("**/characters/ada/voice?*") as coming:
            await page.click("#hear")
        assert (await coming.value).status == 200
        await page.locator("#toast").wait_for(state="hidden")


@pytest.mark.browser
async def test_a_gallery_of_five_hundred_is_painted_from_less_than_200_kilobytes(chromium: Browser, tmp_path: Path) -> None:  # noqa: F811
    """Only the portraits in sight are fetched, each in the size that is shown."""
    config = web_settings(tmp_path)
    portraits = sorted(HERE.glob("characters/*/portrait.png"))
    for n in range(500 - 3):
        home = config.paths.characters / f"somebody-{n}"
        home.mkdir()
        card = {
            "name": f"Somebody {n}",
            "description": "Greets.",
            "tags": ["crowd"],
            "extensions": {"troupe": {"tagline": f"Number {n} of a crowd"}},
        }
        document = {"spec": "chara_card_v2", "spec_version": "2.0", "data": card}
        (home / "card.json").write_text(json.dumps(document), encoding="utf-8")
        shutil.copyfile(portraits[n % len(portraits)], home / "portrait.png")
    async with serve(config) as served:
        for viewport in (DESK, PHONE):
            async with visit(chromium, "about:blank", viewport, ready="body") as page:
                client = await page.context.new_cdp_session(page)
                await client.send("Network.enable")
                sizes: list[int] = []
                client.on("Network.loadingFinished", lambda event, sizes=sizes: sizes.append(event["encodedDataLength"]))
                await page.goto(f"{served.url}/gallery", wait_until="networkidle")
                await expect(page.locator("#count")).to_have_text("500")

                assert 20_000 < sum(sizes) < BUDGET_BYTES, (viewport, sizes)
                assert await page.locator("#everybody .card").count() < 500
                await page.locator("#everybody .card").last.scroll_into_view_if_needed()
                await expect(page.locator("#everybody .card").nth(60)).to_be_attached()


@pytest.mark.browser
@pytest.mark.skipif(not SCREENSHOTS, reason="pictures are taken when TROUPE_SCREENSHOTS names a folder for them")
async def test_pictures_of_the_gallery_a_character_and_the_workshop(chromium: Browser, tmp_path: Path, starter_models: Path) -> None:  # noqa: F811
    """The house's own company, on a desk and on a phone, in light and dark."""
    folder = Path(SCREENSHOTS)
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  a test's own folder
    places = {"gallery": "/gallery", "character": "/characters/mara-quill", "workshop": "/workshop?character=mara-quill"}
    async with serve(settings(tmp_path, starter_models, sessions={"card_tokens": 900, "exemplar_tokens": 900}, web={"port": 0})) as served:
        for scheme in ("light", "dark"):
            for name, viewport in (("desk", DESK), ("phone", PHONE)):
                phone = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2} if name == "phone" else {}
                async with visit(chromium, "about:blank", viewport, ready="body", color_scheme=scheme, **phone) as page:
                    for place, address in places.items():
                        await page.goto(served.url + address, wait_until="networkidle")
                        await page.screenshot(path=folder / f"{place}-{name}-{scheme}.png")


@pytest.mark.browser
async def test_a_channel_is_made_for_one_character_and_a_wrong_wish_changes_nothing(served: Served) -> None:
    browser = served.browser()
    for wrong in ({}, {"character": 1}, {"character": "nobody"}, {"who": "ada"}):
        status, answer = await browser.post("/choose", wrong)
        assert status in (400, 404) and set(answer) == {"error"}, wrong

    assert await browser.post("/choose", {"character": "bo"}, "tea-for-two") == (200, {"awake": ["bo"]})

    here = ChannelKey("web", "tea-for-two")
    assert [c.slug for c in await served.house.desk.company.awake(here)] == ["bo"]
    assert [c.slug for c in await served.house.desk.company.awake(LOBBY)] == ["ada", "bo"]
