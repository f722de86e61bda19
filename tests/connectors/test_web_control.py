"""The control room: numbers for operators, a curve that moves, and nothing for anybody else."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import async_playwright, expect
from prometheus_client.parser import text_string_to_metric_families

from bot.connectors.web_control_log import KEPT, Troubles
from bot.connectors.web_control_runs import POINTS, Runs
from bot.messages import Person
from tests.connectors.test_web_page import ARGUMENTS, CHROMIUM, DESK, PHONE, SCREENSHOTS
from tests.connectors.web_house import PATIENCE_SECONDS, Served, serve, web_settings
from trainer.curation import decisions

OPERATOR, VISITOR = "the-operators-own-word-9", "the-visitors-own-word-7"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(web_settings(tmp_path)) as running:
        yield running


async def told(served: Served) -> dict[str, Any]:
    async with served.session.get(f"{served.url}/api/control") as response:
        assert response.status == 200, await response.text()
        return dict(await response.json())


def write_run(data: Path, name: str = "first", *, steps: int = 20, finished: bool = False) -> Path:
    """A run as the trainer leaves it while it goes on."""
    folder = data / "runs" / name / "tune"
    folder.mkdir(parents=True)
    (folder / "begun.json").write_text(json.dumps({"stage": "tune", "minutes": 1.5}))
    write_steps(folder, 0, steps)
    if finished:
        (folder / "manifest.json").write_text(json.dumps({"stage": "tune", "minutes": 9.0, "figures": {"held_out_loss_best": 3.1}}))
    return folder


def write_steps(folder: Path, first: int, after: int) -> None:
    with (folder / "train.jsonl").open("a") as file:
        for step in range(first, after):
            row = {"step": step, "loss": 4.0 - step / 100, "tokens": 1000 * (step + 1), "tokens_per_second": 130.0, "at": time.time()}
            file.write(json.dumps(row) + "\n")
            if step % 10 == 0:
                file.write(json.dumps({"step": step, "held_out_loss": 4.1 - step / 100, "tokens": 1000 * (step + 1)}) + "\n")


# ------------------------------------------------------------------ who may


async def test_visitors_see_nothing_of_the_control_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tokens, only the operators' opens it; the visitors' does not, and no token does not."""
    monkeypatch.setenv("TROUPE_WEB_TOKEN", VISITOR)
    monkeypatch.setenv("TROUPE_OPERATOR_TOKEN", OPERATOR)
    async with serve(web_settings(tmp_path)) as served:
        for path in ("/control", "/api/control", "/metrics"):
            for token, status in (("", 401), (VISITOR, 403), (OPERATOR, 200)):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                async with aiohttp.ClientSession() as session, session.get(f"{served.url}{path}", headers=headers) as response:
                    assert response.status == status, (path, token)
        visitor = {"Authorization": f"Bearer {VISITOR}", "Accept": "text/html"}
        async with served.session.get(f"{served.url}/control", headers=visitor, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/login?to=%2Fcontrol")  # where operators sign in


# ------------------------------------------------------------------ numbers


async def test_the_numbers_follow_what_happens_and_name_nobody(served: Served) -> None:
    anna = served.browser()
    async with anna.events() as events:
        await anna.say("Ada, a secret word: xylophone")
        final = await events.until("final")
        await events.until("typing", on=False)
    store = served.house.desk.store
    delivery = await store.last_delivery(served.house.desk.router.live[0].key)
    assert delivery is not None
    await store.rate(delivery.id, "web:somebody", 4)
    for person, granted in (("one", True), ("two", True), ("two", False), ("three", True)):
        await store.record_consent(Person(f"web:{person}", f"Name-of-{person}"), "train", granted, channel=None, wording="1")

    now = await told(served)

    assert now["channels"] == [{"key": "web:lobby", "busy": False, "waiting": 0, "place": None}]
    assert now["engine"]["reply_tokens"] > 0 and now["engine"]["live"] == 0
    assert now["consents"] == [{"kind": "train", "granted": 2, "refused": 1}]
    serving = next(build for build in now["builds"] if build["serving"])
    assert (serving["replies"], serving["ratings"], serving["stars"]) == (1, 1, 4.0)
    assert now["stored"]["turns"]["answered"] >= 1
    assert now["memory_bytes"] is None or now["memory_bytes"] > 10_000_000
    everything = json.dumps(now)
    assert "xylophone" not in everything and final["text"] not in everything and anna.person not in everything
    assert "Name-of-" not in everything


async def test_prometheus_reads_the_same_numbers(served: Served) -> None:
    """Read back with Prometheus' own parser."""
    async with served.session.get(f"{served.url}/metrics") as response:
        families = {family.name: family for family in text_string_to_metric_families(await response.text())}
        assert response.content_type == "text/plain"

    assert families["troupe_build_info"].samples[0].labels == {"build": served.house.desk.engine.build}
    assert {sample.labels["kind"] for sample in families["troupe_tokens"].samples} == {"read", "reused", "written"}
    assert families["troupe_open_pages"].samples[0].value == 0
    for name in ("troupe_replies", "troupe_cache_tokens", "troupe_channels", "troupe_people", "process_resident_memory_bytes"):
        assert families[name].samples, name


async def test_warnings_are_shown_for_a_day_and_a_librarys_words_are_not(served: Served) -> None:
    logging.getLogger("bot.somewhere").warning("turn failed channel=%s", "web:lobby")
    logging.getLogger("somelibrary").error("GET https://example.org/?token=hush failed")
    logging.getLogger("bot.somewhere").info("nothing of importance")

    troubles = (await told(served))["troubles"]

    assert [(t["level"], t["where"], t["what"]) for t in troubles[:2]] == [
        ("ERROR", "somelibrary", "(see the log)"),
        ("WARNING", "bot.somewhere", "turn failed channel=web:lobby"),
    ]
    assert "hush" not in json.dumps(troubles)


def test_troubles_are_bounded_and_grow_old() -> None:
    now = 1000.0
    troubles = Troubles(lambda: now)
    record = logging.LogRecord("bot.x", logging.WARNING, "", 0, "number %d", (1,), None)

    for _ in range(KEPT + 50):
        troubles.emit(record)

    assert len(troubles.lately()) == KEPT and troubles.counted["warning"] == KEPT + 50
    now = 1000.0 + 86_401
    assert troubles.lately() == []


# ------------------------------------------------------------------ training runs


def test_a_run_is_told_by_its_files_also_while_they_are_written(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    runs = Runs(tmp_path / "runs")

    (first,) = runs.told()
    with (folder / "train.jsonl").open("a") as file:
        file.write('{"step": 20, "loss": 3.7, "tok')  # the trainer is in the middle of a line
    (cut,) = runs.told()
    (folder / "train.jsonl").write_text("")
    write_steps(folder, 0, 30)
    (later,) = runs.told()

    (stage,) = first.stages
    assert stage.live and not stage.finished and stage.curve is not None
    assert stage.curve.step == 19 and len(stage.curve.trained) == 20 and len(stage.curve.held_out) == 2
    assert cut.stages[0].curve == stage.curve
    assert later.stages[0].curve is not None and later.stages[0].curve.step == 29
    assert not runs.told(now=time.time() + 3600)[0].stages[0].live


def test_a_long_run_has_as_many_points_as_a_page_can_show(tmp_path: Path) -> None:
    write_run(tmp_path, steps=5000, finished=True)

    (run,) = Runs(tmp_path / "runs").told()

    curve = run.stages[0].curve
    assert curve is not None and 200 <= len(curve.trained) <= POINTS
    assert curve.trained[-1][0] == 5000.0
    assert run.stages[0].finished and run.stages[0].figures == {"held_out_loss_best": 3.1}


def test_folders_that_are_no_runs_are_passed_over(tmp_path: Path) -> None:
    """Rows of a dataset, damaged files, links out of the folder: nothing of it stops the page."""
    runs = tmp_path / "runs"
    dataset = runs / "odd" / "dataset"
    dataset.mkdir(parents=True)
    (dataset / "manifest.json").write_text('{"stage": "dataset"}')
    (dataset / "train.jsonl").write_text('{"messages": ["private words"]}\n')
    damaged = runs / "odd" / "tune"
    damaged.mkdir()
    (damaged / "begun.json").write_text('{"stage": "tune", "minutes": "many"}')
    (damaged / "train.jsonl").write_bytes(b'\xff\xfe[1]\n{"step": "x"}\nnull\n')
    (runs / "away").symlink_to(tmp_path)
    (runs / "a file").write_text("x")
    (runs / "empty").mkdir()

    (run,) = Runs(runs).told()

    assert [(stage.name, stage.curve) for stage in sorted(run.stages, key=lambda s: s.name)] == [("dataset", None), ("tune", None)]
    assert Runs(tmp_path / "nowhere").told() == []


async def test_the_queue_of_what_was_collected_is_told_in_numbers(served: Served) -> None:
    """Rows hold words and people; the page gets neither."""
    data = served.house.desk.data
    folder = data / "runs" / "loop-1" / "collect"
    folder.mkdir(parents=True)
    for kind, keys in (("gold", "ab"), ("pairs", "c"), ("kto", "de")):
        rows = [json.dumps({"key": key, "reply": "private words", "people": ["web:somebody"]}) for key in keys]
        (folder / f"{kind}.jsonl").write_text("\n".join(rows) + "\n")
    verdicts = [("a", "drop"), ("a", "approve"), ("c", "drop"), ("d", "edit")]
    (data / "curation.jsonl").write_text("".join(json.dumps({"key": key, "verdict": verdict}) + "\n" for key, verdict in verdicts))

    now = await told(served)

    assert now["curation"] == [{"run": "loop-1", "rows": 5, "approved": 2, "dropped": 1, "waiting": 2}]
    assert "private" not in json.dumps(now) and "somebody" not in json.dumps(now)


def collect(data: Path, run: str = "loop-1") -> dict[str, dict[str, Any]]:
    """What ``troupe-train collect`` leaves: a correction, a pair and a thumb."""
    usual = {"name": "Somebody", "receipts": [{}], "people": ["web:anna"], "before": [["Is anybody there?", "Who asks?"]]}
    rows = {
        "gold": {"key": "gold-1", "why": "corrected", "character": "ada", "said": "How is the <b>sea</b>?", "chosen": "Calm."},
        "pairs": {
            "key": "pairs-2",
            "why": "chosen",
            "character": "ada",
            "said": "And now?",
            "chosen": "Rough.",
            "rejected": "I am a model.",
        },
        "kto": {"key": "kto-3", "why": "thumb", "character": "bo", "said": "Sing!", "chosen": "La.", "label": False},
    }
    folder = data / "runs" / run / "collect"
    folder.mkdir(parents=True)
    for kind, row in rows.items():
        (folder / f"{kind}.jsonl").write_text(json.dumps({"kind": kind, **row, **usual}) + "\n")
    return rows


async def test_rows_are_looked_through_one_by_one_and_the_trainer_keeps_to_what_was_decided(served: Served) -> None:
    """Nobody's id is told; a row that is not there any more is said so, and half a line of a killed process is passed over."""
    data = served.house.desk.data
    collect(data)
    (data / "curation.jsonl").write_text('{"key": "gold-')
    address = f"{served.url}/api/control/curation"

    async def ask(run: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        asking = served.session.get(f"{address}/{run}") if body is None else served.session.post(f"{address}/{run}", json=body)
        async with asking as response:
            return response.status, await response.json()

    status, queue = await ask("loop-1")
    assert (status, queue["waiting"], [one["key"] for one in queue["lessons"]]) == (200, 3, ["gold-1", "pairs-2", "kto-3"])
    assert queue["lessons"][1]["rejected"] == "I am a model." and queue["lessons"][2]["liked"] is False
    assert queue["lessons"][0]["before"] == [{"said": "Is anybody there?", "reply": "Who asks?"}]
    assert "anna" not in json.dumps(queue)
    for key, verdict, text, left in (("gold-1", "edit", "Calm as milk.", 2), ("pairs-2", "approve", "", 1), ("kto-3", "drop", "", 0)):
        assert (await ask("loop-1", {"key": key, "verdict": verdict, "text": text}))[1]["waiting"] == left

    decided = decisions(data)
    assert {key: (one.verdict, one.text) for key, one in decided.items()} == {
        "gold-1": ("edit", "Calm as milk."),
        "pairs-2": ("approve", ""),
        "kto-3": ("drop", ""),
    }
    assert all(json.loads(line)["people"] == ["web:anna"] for line in (data / "curation.jsonl").read_text().splitlines())
    for run, body in (
        ("loop-1", {"key": "no-such-row", "verdict": "drop"}),
        ("loop-1", {"key": "gold-1", "verdict": "edit", "text": "  "}),
        ("loop-1", {"key": "gold-1", "verdict": "maybe"}),
        ("..", None),
        ("nobody", None),
    ):
        status, answer = await ask(run, body)
        assert status in (400, 404) and set(answer) == {"error"}, (run, body)
    await served.browser().still_answers()


# ------------------------------------------------------------------ the page


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here; apt-get install chromium")
async def test_an_operator_decides_what_is_learnt_by_keyboard_on_a_phone(served: Served) -> None:
    """One is approved, one changed, one dropped; what people wrote is text."""
    collect(served.house.desk.data)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page(viewport=PHONE)
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        expect.set_options(timeout=1000 * PATIENCE_SECONDS)
        await page.goto(f"{served.url}/control")
        await page.get_by_role("button", name="Look through 3").press("Enter")
        await expect(page.locator("#curate-talk")).to_contain_text("How is the <b>sea</b>?")
        if SCREENSHOTS:
            await page.screenshot(path=Path(SCREENSHOTS) / "curate-phone.png")
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        await page.keyboard.press("Enter")  # what has the focus approves
        await expect(page.locator("#curate-other")).to_contain_text("I am a model.")
        await page.fill("#curate-text", "Rough, and getting rougher.")
        await page.get_by_role("button", name="Approve as changed").press("Enter")
        await expect(page.locator("#curate-other")).to_contain_text("did not like it")
        await page.click("#curate-drop")
        await expect(page.locator("#curate-left")).to_have_text("Everything has been looked at.")
        await page.keyboard.press("Enter")
        await expect(page.locator("#curate-dialog")).to_be_hidden()
        await browser.close()

    decided = {key: (one.verdict, one.text) for key, one in decisions(served.house.desk.data).items()}
    assert decided == {"gold-1": ("approve", ""), "pairs-2": ("edit", "Rough, and getting rougher."), "kto-3": ("drop", "")}


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here; apt-get install chromium")
@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_an_operator_watches_a_curve_move(served: Served, language: str) -> None:
    """The page is not loaded anew: what the trainer writes appears in it."""
    folder = write_run(served.house.desk.data, "starter-2")
    (served.house.desk.data / "jobs.json").write_text(
        json.dumps({"backup": {"last": datetime.now(UTC).isoformat(), "did": "copied <b>12 KB</b>", "error": "", "failed": 0, "next": ""}})
    )
    logging.getLogger("bot.somewhere").warning("turn failed channel=%s", "web:<b>lobby</b>")
    wrong: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page(viewport=PHONE, locale=language)
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        expect.set_options(timeout=1000 * PATIENCE_SECONDS)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        await page.goto(f"{served.url}/control")
        curve = page.locator("[data-run=starter-2] path.smooth")
        drawn = await curve.get_attribute("d")

        write_steps(folder, 20, 60)
        await expect(curve).not_to_have_attribute("d", drawn or "")

        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        await expect(page.locator("#troubles")).to_contain_text("web:<b>lobby</b>")
        await expect(page.locator("#jobs")).to_contain_text("copied <b>12 KB</b>")
        for box in await page.locator(".scroll").all():  # what scrolls is reached by keyboard
            assert await box.get_attribute("tabindex") == "0"
        await expect(page.locator("h1")).to_have_text("控制室" if language == "zh-CN" else "Control room")
        if SCREENSHOTS:
            folder_for = Path(SCREENSHOTS)
            await page.screenshot(path=folder_for / f"control-{language}-phone.png", full_page=True)
            await page.set_viewport_size(DESK)
            await page.screenshot(path=folder_for / f"control-{language}-desk.png")
        await browser.close()
    assert wrong == []
