"""Own lines and synthesised rows in proportion: three presets, shares that hold, and nothing held out among what is taught."""

import asyncio
import json

import pytest

from bot.characters.cast import Cast
from bot.config import CharacterSettings
from tests.loopback.openai_server import openai_server
from tests.trainer.company import write_company
from tests.trainer.teachers import obedient
from trainer.__main__ import main
from trainer.dataset import DatasetSettings, divide
from trainer.errors import SourceRefused
from trainer.mix import CHARACTERS, CUES, MIXED, STATS, MixSettings, mix, synthesized_in
from trainer.recipe import load_recipe, steps
from trainer.synthesize import SynthesizeSettings, folder_of, synthesize

pytestmark = pytest.mark.trainer


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    return write_company(tmp_path_factory.mktemp("mix") / "company")


@pytest.fixture(scope="module")
def run(tmp_path_factory, company):
    """A run in which three methods were synthesised."""
    folder = tmp_path_factory.mktemp("mix") / "runs" / "x"

    async def everything():
        async with openai_server(reply=obedient) as server:
            given = {"teacher": server.base_url, "teacher_model": "m", "limit": 20, "questions": 3, "people": 3, "answers": 3, "turns": 2}
            for method in ("rolegpt", "dialogues", "people", "four-sources"):
                given_now = SynthesizeSettings(method=method, **given)
                await asyncio.to_thread(synthesize, company, folder / folder_of(method), given_now)

    asyncio.run(everything())
    return folder


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_has_the_dialogue_as_it_is_and_c_the_utterances_alone(tmp_path, company):
    whole = Cast.load(mix(company, (), tmp_path / "a", MixSettings(preset="A")) / CHARACTERS, CharacterSettings()).house
    alone = Cast.load(mix(company, (), tmp_path / "c", MixSettings(preset="C")) / CHARACTERS, CharacterSettings()).house
    original = Cast.load(company, CharacterSettings()).house

    assert [c.lines for c in whole] == [c.lines for c in original]
    assert [[e.reply for e in c.lines] for c in alone] == [[e.reply for e in c.lines] for c in original]
    assert {e.said for c in alone for e in c.lines} <= set(CUES["en"])


def test_b_keeps_at_least_half_of_everybodys_rows_their_own_and_the_ratio_of_general_ones(tmp_path, company, run):
    folder = mix(company, synthesized_in(run, ("rolegpt", "dialogues")), tmp_path / "b", MixSettings(general_share=0.25))

    taken = rows(folder / MIXED)
    for c in Cast.load(company, CharacterSettings()).house:
        own = [r for r in taken if r["character"] == c.slug]
        general = [r for r in own if r["method"] == "rolegpt"]
        assert 0 < len(own) <= len(c.lines)
        assert abs(len(general) / len(own) - 0.25) < 0.2
    assert json.loads((folder / STATS).read_text())["synthesised"] == len(taken)


def test_a_dataset_takes_the_mix_with_new_people_and_keeps_what_is_held_out(tmp_path, company, run):
    folder = mix(company, synthesized_in(run), tmp_path / "b", MixSettings(retold=True))

    parts, _ = divide(folder / CHARACTERS, DatasetSettings(instructions=(folder / MIXED,)))

    slugs = {p.character.slug for p in parts}
    assert {"ada-north", "bo-rye", "cy-ash"} < slugs
    assert sum(slug.startswith("person-") for slug in slugs) == 3
    assert any(e.source == "instruction" for p in parts for e in p.taught)
    held = {e.reply for p in parts for e in (*p.watched, *p.tested)}
    assert not held & {e.reply for p in parts for e in p.taught}


def test_the_same_mix_is_made_once_and_another_one_is_refused_in_its_place(tmp_path, company, run):
    folder = mix(company, synthesized_in(run), tmp_path / "b", MixSettings())
    before = (folder / MIXED).stat().st_mtime_ns

    assert mix(company, synthesized_in(run), tmp_path / "b", MixSettings()) == folder
    assert (folder / MIXED).stat().st_mtime_ns == before


def test_a_method_that_was_not_synthesised_is_named_with_what_to_run(run):
    with pytest.raises(SourceRefused, match="protective is not synthesised, or not finished; run: troupe-train synthesize protective"):
        synthesized_in(run, ("protective",))


def test_the_command_says_what_comes_next(company, run, capsys):
    code = main(["mix", "--runs", str(run.parent), "--run", run.name, "--characters", str(company), "--methods", "rolegpt"])

    assert code == 0
    assert "troupe-train dataset --characters" in capsys.readouterr().out


def test_a_recipe_synthesises_by_several_methods_mixes_and_learns_from_the_mix(tmp_path):
    (tmp_path / "r.toml").write_text(
        'name = "x"\nmethods = ["rolegpt", "people"]\n'
        '[synthesize]\nteacher = "starter"\nhuman = "talks.jsonl"\n[mix]\npreset = "B"\nsynthetic_share = 0.3\n'
    )

    loaded = load_recipe(tmp_path / "r.toml")
    found = [step.name for step in steps(loaded, tmp_path / "run")]

    assert loaded.synthesize is not None and loaded.synthesize.human == tmp_path / "talks.jsonl"
    assert found[:4] == ["synthesize rolegpt", "synthesize people", "mix", "dataset"]
