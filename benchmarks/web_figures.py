"""How soon the page shows what there is: a gallery of 500, a reply's words as the engine gives them, fifty open pages at once.

    python benchmarks/web_figures.py [--only gallery,latency,fifty] [--runs 10] [--models gguf]

A real chromium on the real page. The server runs in this process, the browser in its own on the same cores, so figures are upper bounds.
``latency`` asks the starter; a piece's time runs from the moment the engine's ``stream`` yields it to the moment its last letter stands in
the page's document. ``fifty`` asks an OpenAI-compatible server on this machine that says 120 words, one every 50 ms, to everybody at once.
Targets: first paint under 1 s and 200 KB; words visible within 50 ms; 50 pages with nothing lost and every word in order.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, so that `tests` is found

from playwright.async_api import Browser, Page, async_playwright

from bot.engine.engine import LlamaEngine
from bot.engine.remote import RemoteEngine
from bot.messages import ChannelKey
from tests.connectors.test_web_page import ARGUMENTS, CHROMIUM, DESK
from tests.connectors.web_house import Served, serve, web_settings
from tests.house import HERE, settings
from tests.loopback.openai_server import openai_server

CROWD, PAGES, WORDS, PAUSE_SECONDS = 500, 50, 120, 0.05
REPLIES, BUSY = 8, 7
PATIENCE_SECONDS = 300.0

# What the page's document says of the newest reply, each time that it changes, with the time of the machine's clock.
OBSERVE = """() => {
    window.seen = [];
    const turns = document.getElementById("turns");
    new MutationObserver(() => {
        const words = [...turns.querySelectorAll(".turn.character:not(.waiting) .words")].at(-1);
        const text = words?.textContent ?? "";
        if (text && text !== window.seen.at(-1)?.[1]) window.seen.push([performance.timeOrigin + performance.now(), text]);
    }).observe(turns, {subtree: true, childList: true, characterData: true});
}"""

Yielded = dict[str, list[tuple[float, str]]]  # channel -> when the engine had given how much of its newest reply


def clocked(engine: type[Any], yielded: Yielded) -> None:
    """Note when an engine gives what."""
    stream: Callable[..., AsyncIterator[Any]] = engine.stream

    async def timed(self: Any, *given: Any, channel: ChannelKey, **more: Any) -> AsyncIterator[Any]:
        said, notes = "", yielded.setdefault(channel.path, [])
        if more.get("background"):  # a recap, which no page shows
            notes = []
        notes.clear()
        async with aclosing(stream(self, *given, channel=channel, **more)) as pieces:
            async for piece in pieces:
                said += piece.text
                notes.append((1000 * time.time(), said))
                yield piece

    engine.stream = timed


# ------------------------------------------------------------------ the gallery


async def gallery(chromium: Browser, folder: Path, runs: int) -> None:
    config = web_settings(folder)
    portraits = sorted(HERE.glob("characters/*/portrait.png"))
    for n in range(CROWD - 3):
        home = config.paths.characters / f"somebody-{n}"
        home.mkdir()
        troupe = {"tagline": f"Number {n} of a crowd that fills the square before noon"}
        card = {"name": f"Somebody {n}", "description": "Greets.", "tags": ["crowd", f"guild {n % 9}"], "extensions": {"troupe": troupe}}
        (home / "card.json").write_text(json.dumps({"spec": "chara_card_v2", "spec_version": "2.0", "data": card}), encoding="utf-8")
        shutil.copyfile(portraits[n % len(portraits)], home / "portrait.png")
    async with serve(config) as served:
        painted, cards, ready, sizes = [], [], [], []
        for _ in range(runs):
            context = await chromium.new_context(viewport=DESK)  # nothing of an earlier visit is kept
            page = await context.new_page()
            client = await context.new_cdp_session(page)
            await client.send("Network.enable")
            received: list[int] = []
            client.on("Network.loadingFinished", lambda event, received=received: received.append(int(event["encodedDataLength"])))
            await page.add_init_script(
                "new MutationObserver((_, me) => { if (document.querySelector('#everybody .card')) "
                "{ window.cardsAt = performance.now(); me.disconnect(); } }).observe(document, {childList: true, subtree: true})"
            )
            await page.goto(f"{served.url}/gallery", wait_until="load")
            await page.wait_for_selector("body[data-ready]")
            await page.wait_for_load_state("networkidle")
            at = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            painted.append(at)
            cards.append(await page.evaluate("window.cardsAt"))
            ready.append(await page.evaluate("performance.getEntriesByType('resource').at(-1).responseEnd"))
            sizes.append(sum(received))
            await context.close()
    print(f"gallery of {CROWD}, {runs} cold visits: first contentful paint {_shown(painted)}, {sum(at > 1000 for at in painted)} over 1 s;")
    print(f"  cards in the document {_shown(cards)}; last portrait in sight {_shown(ready)}; {max(sizes) / 1000:.0f} KB at most")


# ------------------------------------------------------------------ from the engine to the page


async def latency(chromium: Browser, folder: Path, models: Path) -> None:
    yielded: Yielded = {}
    clocked(LlamaEngine, yielded)
    config = settings(folder / "data", models, engine={"live_replies": 8}, sessions={"reply_tokens": 40}, web={"port": 0})
    async with serve(config) as served:
        page = await _page(chromium, served, "asked")
        talks: list[asyncio.Task[None]] = []
        for label, busy in (("alone", 0), (f"while {BUSY} other channels are answered", BUSY)):
            talks = [asyncio.create_task(_talk_on(served, f"busy-{n}")) for n in range(busy)]
            delays: list[float] = []
            for number in range(REPLIES + 1):
                await page.evaluate("window.seen = []")
                await _answered(served, "asked", f"Mara, tell me about day {number}.")
                if number:  # the first reads the character's prompt
                    delays += _delays(yielded["asked"], await page.evaluate("window.seen"))
            for talk in talks:
                talk.cancel()
            await asyncio.gather(*talks, return_exceptions=True)
            print(f"engine to page, {label}: {len(delays)} pieces, {_shown(delays)}; {_share(delays)}")


async def _talk_on(served: Served, channel: str) -> None:
    while True:
        await _answered(served, channel, "Odo, go on and on.")


def _delays(given: Sequence[tuple[float, str]], seen: Sequence[tuple[float, str]]) -> list[float]:
    """Of each piece: from the engine to the page. The first words wait for twelve letters by design, and are counted from those."""
    found, before = [], ""
    for at, said in given:
        text = said.strip().replace("*", "")
        if len(text) < 12 or text == before:
            continue
        before = text
        # Another take of the same words, made because the first was no good, is not what the page showed before.
        shown = next((when for when, words in seen if when > at - 1 and words.startswith(text)), None)
        if shown is not None:  # what is cut off again (somebody else's line) is never shown
            found.append(shown - at)
    return found


# ------------------------------------------------------------------ fifty pages


async def fifty(chromium: Browser, folder: Path) -> None:
    yielded: Yielded = {}
    clocked(RemoteEngine, yielded)
    words = [f"word{n} " for n in range(WORDS)]
    async with openai_server(words=tuple(words), pause_seconds=PAUSE_SECONDS, remembers=False) as server:
        remote = {"base_url": server.base_url, "model": "m", "concurrent": 64}
        config = settings(folder / "data", folder / "gguf", engine={"remote": remote}, web={"port": 0})
        async with serve(config) as served:
            for label, channels in (("each on a channel of its own", PAGES), ("all on one channel", 1)):
                await _fifty(chromium, served, yielded, label, channels)


async def _fifty(chromium: Browser, served: Served, yielded: Yielded, label: str, channels: int) -> None:
    names = [f"{'own' if channels > 1 else 'shared'}-{n % channels}" for n in range(PAGES)]
    async with AsyncExitStack() as stack:
        before = _megabytes("self")
        pages = []
        for name in names:
            pages.append(await _page(chromium, served, name))
            stack.push_async_callback(pages[-1].context.close)
        opened = _megabytes("self")
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(_answered(served, name, "Mara, count for us.") for name in dict.fromkeys(names)))
        seconds = time.monotonic() - began
        whole = " ".join(f"word{n}" for n in range(WORDS))
        delays: list[float] = []
        lost = misplaced = 0
        for name, page in zip(names, pages, strict=True):
            await page.wait_for_function("(text) => window.seen.at(-1)?.[1].trim() === text", arg=whole, timeout=1000 * PATIENCE_SECONDS)
            seen = await page.evaluate("window.seen")
            texts = [text for _, text in seen]
            lost += texts[-1].strip() != whole
            misplaced += any(not later.startswith(earlier.strip()) for earlier, later in itertools.pairwise(texts))
            delays += _delays(yielded[name], seen)
        memory = f"{opened - before:.0f} MB more with {PAGES} pages open, {_megabytes('self') - before:.0f} MB after the replies"
        print(f"{PAGES} pages, {label}: {WORDS} words in {seconds:.1f} s; {lost} pages lost a word, {misplaced} had one out of order")
        print(f"  engine to page: {len(delays)} pieces, {_shown(delays)}; {_share(delays)}; server: {memory}")


# ------------------------------------------------------------------ shared


async def _page(chromium: Browser, served: Served, channel: str) -> Page:
    """A browser of its own (a browser opens six connections to a server), looking at a channel of Mara's."""
    await served.browser().post("/choose", {"character": "mara-quill"}, channel)
    context = await chromium.new_context(viewport=DESK)
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    page = await context.new_page()
    await page.goto(f"{served.url}/?channel={channel}")
    await page.wait_for_selector(".member")
    await page.evaluate(OBSERVE)
    return page


async def _answered(served: Served, channel: str, text: str) -> None:
    browser = served.browser()
    async with browser.events(channel) as events:
        await browser.say(text, channel=channel)
        await events.until("final")
        await events.until("typing", on=False)


def _megabytes(process: str) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def _shown(milliseconds: Sequence[float]) -> str:
    ordered = sorted(milliseconds)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"median {statistics.median(ordered):.0f} ms, p95 {p95:.0f} ms, most {ordered[-1]:.0f} ms"


def _share(milliseconds: Sequence[float]) -> str:
    return f"{100 * sum(ms <= 50 for ms in milliseconds) / len(milliseconds):.1f} % within 50 ms"


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        await opened.close()


async def main(wanted: Sequence[str], runs: int, models: Path) -> None:
    print(f"load before: {os.getloadavg()[0]:.1f}")
    async with browser() as chromium:
        for name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                if name == "gallery":
                    await gallery(chromium, Path(folder), runs)
                elif name == "latency":
                    await latency(chromium, Path(folder), models)
                else:
                    await fifty(chromium, Path(folder))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="gallery,latency,fifty", help="parts, separated by commas")
    parser.add_argument("--runs", type=int, default=10, help="visits of the gallery")
    parser.add_argument("--models", type=Path, default=HERE / "gguf", help="the folder with the starter (made by make run)")
    options = parser.parse_args()
    asyncio.run(main(options.only.split(","), options.runs, options.models))
