"""One loop on two cores in seconds: a model with random weights, a small company, and people who like what is short."""

import asyncio
import json
import re
import shutil
from dataclasses import replace

import pytest

from bot.config import MemorySettings
from bot.engine.models import check, current_name, read_manifest, set_current
from bot.memory.collected import digest, trained_with
from bot.memory.store import Store
from bot.messages import Person
from tests.loopback.openai_server import openai_server
from tests.trainer.talks import agree, exchange
from trainer.collect import CollectSettings, collect
from trainer.converter import convert, converter
from trainer.errors import GateFailed, RunRefused, SourceRefused
from trainer.evaluate_intervals import mean
from trainer.export import ExportSettings
from trainer.likelihood import Measured
from trainer.merge import MergeSettings, merge
from trainer.preferences import PreferSettings, prefer
from trainer.publish import place
from trainer.retrain import Places, RetrainSettings, retrain
from trainer.retrain_gate import GATE, TABLE, GateSettings, Pair, gate, judge, learnt, preferred
from trainer.retrain_judge import Shown, compare, judge_replies
from trainer.retrain_lessons import PAIRS, TEST_CHOSEN, TEST_REJECTED, LessonSettings, lessons, read_pairs, read_thumbs
from trainer.samples import read_samples
from trainer.teacher import TeacherSettings

pytestmark = pytest.mark.trainer

SUBJECTS = (
    *("gulls over the harbour", "tarred ropes", "a cracked kettle", "the harbour master", "lamp oil", "winter gloves", "old maps"),
    *("a broken oar", "the tuba upstairs", "eel pie", "Tuesday's fog", "seven brass buttons", "wet chalk", "a ladder", "blue paint"),
    *("the vicar's goat", "spare hinges", "a letter unsent", "marmalade jars", "two left boots", "the night ferry", "a stuffed owl"),
    *("copper wire", "lost umbrellas"),
)
PEOPLE = tuple(Person(f"web:p{n}", name) for n, name in enumerate(("Iris", "Joss", "Kaye", "Lars")))
LOOSE = GateSettings(general_share=9, lines_share=9, count_share=9, identification=9, threads=1)
SMALL = RetrainSettings(
    tokens=9_000, sft_rate=1e-3, prefer_rate=1e-2, types=("Q8_0",), probes=1, questions=0, every=6, watch=1, row_tokens=512, threads=1
)
STAGES = ["collect", "dataset", "lessons", "sft", "prefer", "export", "evaluate", "gate", "publish"]


@pytest.fixture(scope="module")
def talked(tmp_path_factory):
    """A data folder in which four people chose the shorter of two replies, and rated both; one of them never agreed."""
    data = tmp_path_factory.mktemp("talked") / "data"

    async def talk():
        store = await Store.open(MemorySettings(), data)
        for person in PEOPLE[:3]:
            await agree(store, person)
        for n, subject in enumerate(SUBJECTS):
            who = ("house/ada-north", "house/bo-rye", "house/cy-ash")[n % 3]
            long = f"Well, as to {subject}, one could say so much, and then more, and then still a little more than that, I suppose."
            _, [bad, good] = await exchange(
                store, PEOPLE[n % 4], f"What of {subject}, then?", long, f"{subject.title()}? Sold.", character=who
            )
            await store.rate(bad.id, PEOPLE[n % 4].id, 1)
            await store.rate(good.id, PEOPLE[n % 4].id, 5)
        await store.close()

    asyncio.run(talk())
    return data


def house(folder, talked, company, tiny_gguf, tools):
    shutil.copytree(talked, folder / "data")
    place(tiny_gguf, folder / "gguf", "first", stages={})
    set_current(folder / "gguf", "first")
    return Places(
        folder / "data", company, folder / "gguf", converter=ExportSettings(outtype="f32", cache=tools, gate_samples=2, gate_prompts=0)
    )


@pytest.fixture
def places(tmp_path, talked, company, tiny_gguf, tools):
    return house(tmp_path, talked, company, tiny_gguf, tools)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "data" / "runs" / "loop-1"


@pytest.fixture(scope="module")
def looped(tmp_path_factory, talked, company, tiny_gguf, tools):
    """One loop, carried out: where it happened, the run's folder, what came of it, and which stages were told of."""
    folder = tmp_path_factory.mktemp("looped")
    places, run, told = house(folder, talked, company, tiny_gguf, tools), folder / "data" / "runs" / "loop-1", []
    return places, run, retrain(run, "loop-1", places, SMALL, CollectSettings(), LOOSE, told.append), told


def test_one_loop_publishes_a_build_that_people_prefer_and_says_whose_words_it_saw(looped):
    places, run, done, told = looped

    manifest = read_manifest(places.models / "loop-1.gguf")
    assert told == STAGES
    assert current_name(places.models) == "loop-1"
    assert check(places.models / "loop-1.gguf").build == done.build
    assert set(manifest["trained_on"]["people"]) == {digest(p.id) for p in PEOPLE[:3]}
    assert trained_with(places.models, PEOPLE[0].id) == ("loop-1",)
    assert trained_with(places.models, PEOPLE[3].id) == ()
    assert manifest["continued_from"].startswith("first@")
    assert manifest["gate"]["checks"][0]["name"] == "prefers what people preferred"
    figures = json.loads((run / "lessons" / "manifest.json").read_text())["figures"]
    assert figures["original_share"] >= 0.5
    assert not any(PEOPLE[3].id in file.read_text() for file in (run / "collect").glob("*.jsonl"))


def test_the_same_command_again_makes_nothing_anew(looped):
    places, run, done, _ = looped
    adapter = run / "prefer" / "adapter" / "adapter_model.safetensors"
    before = adapter.stat().st_mtime_ns

    assert retrain(run, "loop-1", places, SMALL, CollectSettings(), LOOSE).build == done.build

    assert adapter.stat().st_mtime_ns == before


def test_a_build_from_shuffled_labels_does_not_pass(looped, tools, tmp_path):
    """What people chose is taken for what they did not choose; the pairs that the gate keeps to itself tell."""
    places, run, _, _ = looped
    turned = tmp_path / "lessons"
    shutil.copytree(run / "lessons", turned)
    rows = [json.loads(line) for line in (turned / PAIRS).read_text().splitlines()]
    (turned / PAIRS).write_text("".join(json.dumps({**r, "chosen": r["rejected"], "rejected": r["chosen"]}) + "\n" for r in rows))
    base = str(places.models / "first.gguf")

    bad = prefer(turned, run / "sft", tmp_path / "prefer", PreferSettings(base=base, learning_rate=1e-2, max_tokens=6_000, threads=1))
    whole = merge(bad, tmp_path / "merge", MergeSettings(base=base))
    new = tmp_path / "new.gguf"
    convert(converter(tools), "convert_hf_to_gguf.py", str(whole), "--outfile", str(new), "--outtype", "f32")
    verdict = gate(places.models / "first.gguf", new, run / "lessons", run / "evaluate", tmp_path / "gate", LOOSE)

    assert [c.name for c in verdict.checks if not c.passed] == ["prefers what people preferred"]
    assert "kept aside" in (tmp_path / "gate" / TABLE).read_text()


def test_what_does_not_pass_is_kept_aside_with_its_reasons_and_the_old_build_goes_on(looped, tmp_path):
    """The same run before a gate that nothing passes: everything else is finished already."""
    places, run, _, _ = looped
    (run / "gate").rename(tmp_path / "gate")
    set_current(places.models, "first")

    with pytest.raises(GateFailed, match=r"loop-2 is not served and stays in .*held-out lines: .* after .*; at most 0\.000"):
        retrain(run, "loop-2", places, SMALL, CollectSettings(), LOOSE.model_copy(update={"lines_share": -1.0}))

    assert current_name(places.models) == "first"
    assert not (places.models / "loop-2.gguf").exists()
    assert json.loads((run / "gate" / GATE).read_text())["passed"] is False
    shutil.rmtree(run / "gate")
    (tmp_path / "gate").rename(run / "gate")


@pytest.fixture
def taught(places, run, tiny_base, data):
    def make(into="lessons", **settings):
        collected = collect(places.data, places.characters, run / "collect", CollectSettings())
        return lessons(collected, data, places.characters, places.data, run / into, str(tiny_base), LessonSettings(**settings))

    return make


def test_pairs_are_laid_out_as_the_bot_asks_and_the_gates_own_are_learnt_nowhere(taught, tokenizer):
    folder = taught()

    pairs = read_pairs(folder / PAIRS)
    text = tokenizer.decode(pairs[0].prompt)
    assert text.rstrip().endswith("<|im_start|>assistant")
    assert pairs[0].chosen[-1] == pairs[0].rejected[-1] == tokenizer.eos_id
    tested = [tokenizer.decode(s.tokens[s.spans[0][0] :]) for s in read_samples(folder / TEST_CHOSEN)]
    assert len(tested) >= 4
    learnt_texts = [tokenizer.decode(s.tokens[a:b]) for s in read_samples(folder / "train.jsonl") for a, b in s.spans]
    learnt_texts += [tokenizer.decode(p.chosen) for p in pairs] + [tokenizer.decode(t.reply) for t in read_thumbs(folder / "thumbs.jsonl")]
    assert not any(reply in text for reply in tested for text in learnt_texts)
    assert len(tested) == len(list(read_samples(folder / TEST_REJECTED)))


def test_whoever_withdraws_between_collecting_and_training_is_left_out(taught, places, run):
    taught("before", held_out=0.7)

    async def withdraw():
        store = await Store.open(MemorySettings(), places.data)
        await agree(store, PEOPLE[0], granted=False)
        await store.close()

    asyncio.run(withdraw())
    after = taught("after", held_out=0.7)

    figures = json.loads((after / "manifest.json").read_text())["figures"]
    assert figures["withdrawn_since"] > 0
    assert digest(PEOPLE[0].id) not in json.loads((after / "people.json").read_text())["people"]


def test_thumbs_alone_teach_too(taught, tuned, tiny_base, tmp_path):
    settings = PreferSettings(base=str(tiny_base), method="kto", learning_rate=1e-3, max_tokens=2000, threads=1)

    folder = prefer(taught(), tuned, tmp_path / "prefer", settings)

    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    assert json.loads((folder / "manifest.json").read_text())["figures"]["steps"] >= 1


def test_too_little_to_judge_by_is_said_before_anything_is_trained(places, run):
    curated = places.data / "curation.jsonl"
    shutil.rmtree(run, ignore_errors=True)

    with pytest.raises(SourceRefused, match="0 pairs are not enough"):
        retrain(run, "loop-1", places, SMALL.model_copy(update={"approved_only": True}), CollectSettings())

    assert not curated.exists()
    assert current_name(places.models) == "first"


def test_a_run_whose_model_is_gone_is_refused(places, run):
    run.mkdir(parents=True)
    (run / "began_from.json").write_text(json.dumps({"build": "gone@1", "file": "gone.gguf"}))

    with pytest.raises(RunRefused, match=r"began from gone@1, which is gone"):
        retrain(run, "loop-1", places, SMALL, CollectSettings())


FINE = {
    "nll": {"with exemplars": {"right": {"mean": 3.0}}},
    "general": {"mean": 2.0},
    "probes": {"playful": 20, "assistant_talk": 1, "sincere": 20, "honest": 12},
    "faults": {"replies": 40, "loops": 1},
    "identification": {"bundles": 0.8},
}
BEFORE = [Pair(Measured(30.0, 10), Measured(25.0, 10))] * 8
AFTER = [Pair(Measured(24.0 + n % 2, 10), Measured(28.0, 10)) for n in range(8)]


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({}, []),
        ({"nll": {"with exemplars": {"right": {"mean": 3.1}}}}, ["held-out lines"]),
        ({"general": {"mean": 2.05}}, ["general questions"]),
        ({"probes": {**FINE["probes"], "honest": 9}}, ["honest to sincere questions"]),
        ({"probes": {**FINE["probes"], "assistant_talk": 5}}, ["assistant talk when teased"]),
        ({"faults": {"replies": 40, "loops": 5}}, ["faults"]),
        ({"identification": {"bundles": 0.6}}, ["who is speaking"]),
    ],
)
def test_each_thing_that_got_worse_fails_the_gate_by_its_name(change, fails):
    verdict = judge(FINE, {**FINE, **change}, BEFORE, AFTER, GateSettings())

    assert [c.name for c in verdict.checks if not c.passed] == fails
    assert verdict.passed is (not fails)


def test_a_build_that_prefers_nothing_more_than_before_fails():
    assert not judge(FINE, FINE, BEFORE, BEFORE, GateSettings()).passed
    assert not judge(FINE, FINE, AFTER, BEFORE, GateSettings()).passed
    assert preferred(AFTER).mean == 1.0
    assert learnt(BEFORE, AFTER).low > 0
    assert replace(AFTER[0]).margin > 0


async def test_a_judge_compares_replies_without_knowing_whose_they_are():
    """One who likes what is longer, one who always says A, and one who says nothing of use."""

    def longer(question):
        a, b = re.findall(r"^(?:A|B): (.*)$", question["messages"][-1]["content"], re.MULTILINE)
        return "A" if len(a) > len(b) else "B"

    shown = [Shown("Well?", "Aye.", "Aye, and then some."), Shown("Well?", "No, and that is that.", "No."), Shown("Well?", "So.", "So.")]
    scores = {}
    for name, reply in (("longer", longer), ("first", lambda _: "A"), ("useless", lambda _: "I could not say.")):
        async with openai_server(reply=reply) as server:
            scores[name] = await compare(shown, TeacherSettings(teacher=server.base_url, teacher_model="judge"))

    assert scores == {"longer": [1.0, 0.0, 0.5], "first": [0.5] * 3, "useless": [0.5] * 3}


def test_the_same_model_twice_is_preferred_half_the_time_and_that_passes(taught, tiny_gguf, tmp_path):
    """The judge is the tiny model itself: replies that are alike are not even shown to it."""
    folder, judge_is = taught(), TeacherSettings(teacher=str(tiny_gguf), context_tokens=512, concurrent=1)

    opinion = judge_replies(tiny_gguf, tiny_gguf, folder, tmp_path / "judge", judge_is, 1)

    assert opinion == judge_replies(tiny_gguf, tiny_gguf, folder, tmp_path / "judge", judge_is, 1)
    assert opinion.mean == 0.5
    [check] = [c for c in judge(FINE, FINE, BEFORE, AFTER, GateSettings(), opinion).checks if c.name == "a judge, blind"]
    assert check.passed
    worse = judge(FINE, FINE, BEFORE, AFTER, GateSettings(), mean([0.0] * 9 + [0.5]))
    assert [c.name for c in worse.checks if not c.passed] == ["a judge, blind"]
