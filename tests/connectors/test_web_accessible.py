"""axe-core, the judge that others use, on every page: nothing serious, in light and dark, on a desk and a phone."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.connectors.test_web_control import collect
from tests.connectors.test_web_page import CHROMIUM, DESK, PHONE, chromium, everybody_is_silent, say, visit  # noqa: F401
from tests.connectors.web_house import Served, serve, web_settings

AXE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "troupe" / "axe-4.10.3.min.js"
READY = "body[data-ready]"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here; apt-get install chromium"),
    pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not here; with npm installed, python3 dev/install.py test fetches it"),
]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(web_settings(tmp_path)) as running:
        yield running


async def findings(page: Page) -> list[tuple[str, list[Any]]]:
    """What axe calls serious or critical, with where it is."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))  # as the debugger does it: the page's own policy lets no script in
    result = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [v for v in result["violations"] if v["impact"] in ("serious", "critical")]
    return [(v["id"], [(node["target"], node["failureSummary"][:300]) for node in v["nodes"][:4]]) for v in serious]


@pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")])
async def test_nothing_serious_is_found_on_any_page(chromium: Browser, served: Served, viewport: dict[str, int], scheme: str) -> None:  # noqa: F811
    found: dict[str, Any] = {}
    async with visit(chromium, served.url, viewport, color_scheme=scheme) as page:
        await say(page, "Ada, hello")
        await everybody_is_silent(page, 1)
        found["stage"] = await findings(page)
        await page.click("#talk-button")
        found["this talk"] = await findings(page)
        await page.keyboard.press("Escape")
        await page.locator(".turn.last [data-deed=why]").click()
        found["why"] = await findings(page)
        await page.keyboard.press("Escape")
        await page.locator(".turn.last [data-deed=more]").click()
        found["more"] = await findings(page)
        for name, address in (("gallery", "/gallery"), ("workshop", "/workshop?character=ada")):
            await page.goto(served.url + address)
            await page.wait_for_selector(READY)
            found[name] = await findings(page)
        for tab in ("words", "lore", "manner", "past"):
            await page.click(f"#tab-{tab}")
            found[f"workshop {tab}"] = await findings(page)
        await page.goto(f"{served.url}/characters/ada")
        await page.wait_for_selector("#character:not([hidden])")
        found["character"] = await findings(page)
        collect(served.house.desk.data)
        await page.goto(f"{served.url}/control")
        await page.get_by_role("button", name="Look through 3").click()
        found["curation"] = await findings(page)
        for name in ("rating", "control", "login"):
            await page.goto(f"{served.url}/{name}", wait_until="domcontentloaded")
            await page.wait_for_selector("h1, h2")
            found[name] = await findings(page)

    assert {name: serious for name, serious in found.items() if serious} == {}
