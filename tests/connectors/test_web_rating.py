"""The blind rating: who rates learns nothing, who asked learns everything, and the numbers are those of the papers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import async_playwright, expect

from bot.connectors.web_rating_figures import alpha, interval, nominal, preferred
from bot.connectors.web_rating_studies import DIMENSIONS, Item, Studies
from tests.connectors.test_web_page import ARGUMENTS, CHROMIUM, DESK, PHONE, SCREENSHOTS
from tests.connectors.web_house import PATIENCE_SECONDS, Served, serve, web_settings

OPERATOR, VISITOR = "the-operators-own-word-9", "the-visitors-own-word-7"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(web_settings(tmp_path)) as running:
        write_evaluation(running.house.desk.data)
        yield running


def write_evaluation(data: Path, count: int = 4) -> None:
    """Two models' kept replies, as the trainer's evaluation leaves them."""
    for model, words in (("base", "plain words {n}"), ("tuned", "=own <b>words</b> {n}")):
        folder = data / "runs" / "first" / "evaluate" / model
        folder.mkdir(parents=True)
        rows = [
            {"key": f"probe/{n}", "character": "ada", "turn": 1, "asked": f"Question {n}?", "text": words.format(n=n)} for n in range(count)
        ]
        later = {"key": "talk/1", "character": "ada", "turn": 2, "asked": "And then?", "text": words}
        (folder / "replies.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, later]) + '{"key": "half a li')


async def ask(served: Served, path: str, person: str = "operator-browser", **body: Any) -> tuple[int, dict[str, Any]]:
    method = "POST" if body else "GET"
    headers = {"X-Troupe-Person": person}
    async with served.session.request(method, f"{served.url}{path}", json=body or None, headers=headers) as response:
        return response.status, await response.json()


async def study_of_builds(served: Served) -> str:
    status, made = await ask(served, "/api/rating", title="Which answers better?", run="first", a="base", b="tuned")
    assert status == 201, made
    return str(made["id"])


# ------------------------------------------------------------------ numbers


def test_alpha_is_krippendorffs() -> None:
    """His own example: four observers, twelve units, some missing; 0.743 nominal and 0.849 interval."""
    columns = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [[float(v) for v in unit if v is not None] for unit in zip(*columns, strict=True)]

    assert alpha([[str(v) for v in unit] for unit in units], nominal) == pytest.approx(0.743, abs=0.001)
    assert alpha(units, interval) == pytest.approx(0.849, abs=0.001)


def test_alpha_says_nothing_where_there_is_nothing_to_say() -> None:
    assert alpha([], nominal) is None
    assert alpha([["a"], ["b"]], nominal) is None
    assert alpha([["a", "a"], ["a", "a"]], nominal) is None
    assert alpha([["a", "a"], ["b", "b"]], nominal) == 1.0
    assert (alpha([["a", "b"], ["b", "a"]], nominal) or 0) < 0


def test_preferences_count_a_tie_as_half_and_come_with_an_interval() -> None:
    told = preferred({str(n): ["a"] if n < 30 else ["b"] if n < 40 else ["tie"] for n in range(50)})

    assert (told["a"], told["b"], told["tie"], told["share_a"]) == (30, 10, 10, 0.7)
    assert told["low"] is not None and told["high"] is not None and 0.5 < told["low"] < 0.7 < told["high"] < 0.9
    assert preferred({})["share_a"] is None


# ------------------------------------------------------------------ blindness


async def test_raters_are_told_neither_what_is_compared_nor_in_which_order(served: Served) -> None:
    study = await study_of_builds(served)

    lefts: set[str] = set()
    for n in range(12):
        status, pair = await ask(served, f"/api/rating/{study}/pair", person=f"rater-number-{n}")
        assert status == 200 and set(pair) == {"item", "asked", "character", "tagline", "left", "right"}
        assert {pair["left"].split()[0], pair["right"].split()[0]} == {"plain", "=own"}
        lefts.add(pair["left"].split()[0])
        again = (await ask(served, f"/api/rating/{study}/pair", person=f"rater-number-{n}"))[1]
        assert again == pair
        point = (await ask(served, f"/api/rating/{study}/point", person=f"rater-number-{n}"))[1]
        assert not {"base", "tuned", study} & set(json.dumps(point).replace('"', " ").split())

    assert lefts == {"plain", "=own"}


async def test_choices_are_turned_back_counted_and_exported(served: Served) -> None:
    """Three raters prefer the tuned build always, wherever it stands."""
    study = await study_of_builds(served)
    for rater in ("first-rater", "second-rater", "third-rater"):
        pair = (await ask(served, f"/api/rating/{study}/pair", person=rater))[1]
        while pair["item"] is not None:
            better = "left" if pair["left"].startswith("=own") else "right"
            pair = (await ask(served, f"/api/rating/{study}/pair", person=rater, item=pair["item"], choice=better))[1]
        point = (await ask(served, f"/api/rating/{study}/point", person=rater))[1]
        while point["mark"] is not None:
            value = 5 if point["reply"].startswith("=own") else 2
            point = (await ask(served, f"/api/rating/{study}/point", person=rater, mark=point["mark"], scores={"overall": value}))[1]

    results = (await ask(served, f"/api/rating/{study}/results"))[1]
    assert (results["a"], results["b"], results["items"], results["raters"]) == ("base", "tuned", 4, 3)
    assert (results["pairwise"]["a"], results["pairwise"]["b"], results["pairwise"]["share_a"]) == (0, 12, 0.0)
    assert results["pointwise"]["overall"] == {"a": 2.0, "b": 5.0, "count": 24, "alpha": 1.0}
    assert results["pointwise"]["safety"]["alpha"] is None
    progress = (await ask(served, "/api/rating", person="first-rater"))[1]["studies"][0]
    assert (progress["compared"], progress["scored"]) == (4, 8)
    async with served.session.get(f"{served.url}/api/rating/{study}/export?form=jsonl") as response:
        rows = [json.loads(line) for line in (await response.text()).splitlines()]
    assert len(rows) == 12 + 24 and {row["chosen"] for row in rows if row["form"] == "pairwise"} == {"tuned"}
    async with served.session.get(f"{served.url}/api/rating/{study}/export?form=csv") as response:
        table = list(csv.DictReader(io.StringIO(await response.text())))
    assert len(table) == 36 and all(row["b"].startswith("'=own") for row in table)
    assert "first-rater" not in json.dumps(rows)


async def test_ratings_outlive_the_server_and_a_changed_mind_counts_once(tmp_path: Path) -> None:
    async with serve(web_settings(tmp_path)) as served:
        write_evaluation(served.house.desk.data, count=1)
        study = await study_of_builds(served)
        pair = (await ask(served, f"/api/rating/{study}/pair", person="one-rater"))[1]
        for choice in ("left", "right", "tie"):
            await ask(served, f"/api/rating/{study}/pair", person="one-rater", item=pair["item"], choice=choice)
    with (tmp_path / "data" / "rating" / study / "ratings.jsonl").open("a") as file:
        file.write('{"item": "half a li')

    async with serve(web_settings(tmp_path)) as served:
        results = (await ask(served, f"/api/rating/{study}/results"))[1]
        assert (await ask(served, f"/api/rating/{study}/pair", person="one-rater"))[1]["item"] is None

    assert (results["pairwise"]["a"], results["pairwise"]["b"], results["pairwise"]["tie"]) == (0, 0, 1)


async def test_two_characters_are_asked_the_same_by_the_house_itself(served: Served) -> None:
    status, made = await ask(served, "/api/rating", title="Two of us", a="ada", b="Bo", questions=["Who are you?", "What now?"])
    assert status == 201 and made["making"]

    for task in list(rating_tasks(served)):
        await task
    pair = (await ask(served, f"/api/rating/{made['id']}/pair", person="one-rater"))[1]

    assert pair["asked"] in ("Who are you?", "What now?") and pair["left"] and pair["right"] and pair["character"] is None
    assert (await served.house.desk.store.status()).turns == {}


def rating_tasks(served: Served) -> list[Any]:
    runner = served.web._runner
    assert runner is not None
    handlers = [route.handler for route in runner.app.router.routes() if route.resource and route.resource.canonical == "/api/rating"]
    return [task for handler in handlers[:1] for task in handler.__self__._making.values()]  # type: ignore[attr-defined]


async def test_what_is_no_study_no_pair_and_no_score_is_refused_and_it_still_answers(served: Served) -> None:
    study = await study_of_builds(served)
    point = (await ask(served, f"/api/rating/{study}/point"))[1]
    for path, body, status in (
        ("/api/rating/deadbeef/pair", {}, 404),
        ("/api/rating/..%2f..%2fruns/pair", {}, 404),
        (f"/api/rating/{study}/pair", {"item": "nothing", "choice": "left"}, 404),
        (f"/api/rating/{study}/pair", {"item": "nothing", "choice": "both"}, 400),
        (f"/api/rating/{study}/point", {"mark": "nothing", "scores": {"overall": 3}}, 404),
        (f"/api/rating/{study}/point", {"mark": point["mark"], "scores": {"overall": 6}}, 400),
        (f"/api/rating/{study}/point", {"mark": point["mark"], "scores": {"charm": 3}}, 400),
        (f"/api/rating/{study}/point", {"mark": point["mark"], "scores": {}}, 400),
        ("/api/rating", {"title": "x", "a": "ada", "b": "ada", "questions": ["Who?"]}, 400),
        ("/api/rating", {"title": "x", "a": "ada", "b": "nobody at all", "questions": ["Who?"]}, 404),
        ("/api/rating", {"title": "x", "run": "../first", "a": "base", "b": "tuned"}, 400),
        ("/api/rating", {"title": "x", "a": "ada", "b": "bo"}, 400),
    ):
        found, answer = await ask(served, path, **body)
        assert found == status and answer["error"], (path, body, answer)
    assert (await ask(served, f"/api/rating/{study}/pair"))[1]["item"]


async def test_visitors_rate_and_do_not_see_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_WEB_TOKEN", VISITOR)
    monkeypatch.setenv("TROUPE_OPERATOR_TOKEN", OPERATOR)
    async with serve(web_settings(tmp_path)) as served:
        write_evaluation(served.house.desk.data)
        served.session.headers["Authorization"] = f"Bearer {OPERATOR}"
        study = await study_of_builds(served)
        served.session.headers["Authorization"] = f"Bearer {VISITOR}"

        listed = (await ask(served, "/api/rating"))[1]
        statuses = [
            (await ask(served, path, **body))[0]
            for path, body in (
                (f"/api/rating/{study}/pair", {}),
                (f"/api/rating/{study}/results", {}),
                (f"/api/rating/{study}/export", {}),
                ("/api/rating-sources", {}),
                ("/api/rating", {"title": "x", "run": "first", "a": "base", "b": "tuned"}),
            )
        ]

    assert statuses == [200, 403, 403, 403, 403]
    assert "tuned" not in json.dumps(listed) and not listed["operator"]


def test_folders_that_are_no_studies_are_passed_over(tmp_path: Path) -> None:
    studies = Studies(tmp_path)
    good = studies.create("One", "builds", "x", "y")
    good.add_items([Item("i1", "Q?", "", "left", "right")])
    for name, content in (("00000001", "{"), ("00000002", '{"id": "00000009"}'), ("00000003", '{"id": "00000003", "more": 1}')):
        (tmp_path / "rating" / name).mkdir()
        (tmp_path / "rating" / name / "study.json").write_text(content)
    (tmp_path / "rating" / "notes.txt").write_text("x")

    found = Studies(tmp_path).all()

    assert [study.about.id for study in found] == [good.about.id] and list(found[0].items) == ["i1"]


# ------------------------------------------------------------------ the page


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here; apt-get install chromium")
async def test_somebody_rates_on_a_phone_and_the_operator_sees_what_came_of_it(served: Served) -> None:
    study = await study_of_builds(served)
    wrong: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page(viewport=PHONE, locale="en")
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        expect.set_options(timeout=1000 * PATIENCE_SECONDS)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        await page.goto(f"{served.url}/rating")
        await page.click(f"[data-study='{study}'] [data-deed=pair]")
        await expect(page.locator(".pair")).to_contain_text("=own <b>words</b>")
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        if SCREENSHOTS:
            await page.screenshot(path=Path(SCREENSHOTS) / "rating-pair-phone.png", full_page=True)
        for choice in ("left", "tie", "right", "left"):
            async with page.expect_response(lambda response: response.request.method == "POST" and "/pair" in response.url):
                await page.click(f"[data-choice={choice}]")
        await expect(page.locator("#task h2")).to_have_text("That was all. Thank you!")
        await page.click(f"[data-study='{study}'] [data-deed=point]")
        for dimension in DIMENSIONS:
            await page.check(f"input[name='{dimension}'][value='4']")
        if SCREENSHOTS:
            await page.screenshot(path=Path(SCREENSHOTS) / "rating-point-phone.png", full_page=True)
        async with page.expect_response(lambda response: response.request.method == "POST" and "/point" in response.url):
            await page.click("#task button[type=submit]")

        await page.click(f"[data-study='{study}'] [data-deed=results]")

        await expect(page.locator("#results")).to_contain_text("1 raters, 4 pairs")
        await expect(page.locator("#results")).to_contain_text("tuned")
        if SCREENSHOTS:
            await page.set_viewport_size(DESK)
            await page.screenshot(path=Path(SCREENSHOTS) / "rating-results-desk.png", full_page=True)
        await browser.close()
    assert wrong == []
