"""The evaluation stage and the swaps behind both protocols, on two small models with random weights, served by llama.cpp."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import chain

import pytest

from bot.characters.prompt import Budget, Layout
from trainer.conversations import Conversations
from trainer.converter import convert, converter
from trainer.dataset import DatasetSettings, divide
from trainer.errors import RunRefused, SourceRefused, TrainerError
from trainer.evaluate import FIGURES, MARKDOWN, PAGE, evaluate, named_models
from trainer.evaluate_losses import general_samples, talk_samples
from trainer.evaluate_plan import GENERAL, PROBES, TALK, EvaluateSettings, plan
from trainer.evaluate_replies import Replies, Said
from trainer.evaluate_swaps import WRONG, GgufScorer, Losses, TorchScorer, by_swap, held_out_questions, samples_for, swapped, table, told
from trainer.likelihood import Measured
from trainer.manifest import MANIFEST

pytestmark = pytest.mark.trainer


@pytest.fixture(scope="module")
def model(tiny_base, tools, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    convert(converter(tools), "convert_hf_to_gguf.py", str(tiny_base), "--outfile", str(path), "--outtype", "f16")
    return path


@pytest.fixture(scope="module")
def settings(tiny_base):
    return EvaluateSettings(base=str(tiny_base), watch=1, every=2, questions=1, probes=2, talks=0, wrong_cards=1, live=3, threads=1)


@pytest.fixture(scope="module")
def evaluated(model, company, settings, tmp_path_factory):
    return evaluate({"base": model, "tuned": model}, company, tmp_path_factory.mktemp("run") / "evaluate", settings)


@pytest.fixture(scope="module")
def parts(company, tiny_base):
    return divide(company, DatasetSettings(base=str(tiny_base), watch=1))[0]


@pytest.fixture(scope="module")
def conversations(tokenizer):
    return Conversations(tokenizer, Budget(context=4096))


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_evaluation_leaves_figures_and_a_report_that_a_person_can_read(evaluated):
    figures = json.loads((evaluated / FIGURES).read_text(encoding="utf-8"))
    page = (evaluated / PAGE).read_text(encoding="utf-8")

    assert set(figures["models"]) == {"base", "tuned"}
    for each in figures["models"].values():
        assert set(each["nll"]) == {"with exemplars", "without exemplars"}
        assert {"right", "margins", "better_than_first"} <= set(each["nll"]["with exemplars"])
    assert set(figures["calibration"]["nearness"]) >= {"echo of the question", "nearest line looked up", "another held-out reply"}
    assert "Held-out loss" in (evaluated / MARKDOWN).read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<svg" in page
    assert not any(given in page for given in ("src=", "href=", "@import")), "the page needs nothing from elsewhere"


def test_the_same_model_twice_differs_in_nothing(evaluated):
    """Base against itself: any difference would be the measurement's own."""
    figures = json.loads((evaluated / FIGURES).read_text(encoding="utf-8"))["models"]
    gain = figures["tuned"]["nll"]["with exemplars"]["better_than_first"]

    assert gain["mean"] == pytest.approx(0, abs=1e-6)
    assert figures["base"]["general"] == pytest.approx(figures["tuned"]["general"])
    assert figures["base"]["by_turn"]["1-5"] == pytest.approx(figures["tuned"]["by_turn"]["1-5"])


def test_an_interrupted_evaluation_measures_and_asks_only_what_is_left(evaluated, model, company, settings, tmp_path):
    """Killed while it wrote: the half line is dropped, everything whole is kept as it was."""
    shutil.copytree(evaluated, tmp_path / "evaluate")
    folder = tmp_path / "evaluate"
    (folder / MANIFEST).unlink()
    for name in ("replies", "losses"):
        file = folder / "tuned" / f"{name}.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join(lines[:-2]) + lines[-2][: len(lines[-2]) // 2], encoding="utf-8")
    before = {name: rows(evaluated / "base" / f"{name}.jsonl") for name in ("replies", "losses")}

    evaluate({"base": model, "tuned": model}, company, folder, settings)

    assert (folder / MANIFEST).is_file()
    assert rows(folder / "base" / "replies.jsonl") == before["replies"]
    assert rows(folder / "base" / "losses.jsonl") == before["losses"]
    assert {(r["key"], r["turn"]) for r in rows(folder / "tuned" / "replies.jsonl")} == {(r["key"], r["turn"]) for r in before["replies"]}


def test_an_evaluation_of_something_else_is_not_overwritten(evaluated, model, company, settings):
    with pytest.raises(RunRefused, match="choose another run name"):
        evaluate({"base": model, "tuned": model}, company, evaluated, settings.model_copy(update={"questions": 0}))


def test_a_model_that_is_not_there_is_told_by_its_name(company, settings, tmp_path):
    with pytest.raises(TrainerError, match=r"tuned: .*there is no such model file"):
        evaluate({"tuned": tmp_path / "none.gguf"}, company, tmp_path / "evaluate", settings)


@pytest.mark.parametrize(
    ("given", "says"), [({"judge": "starter"}, "add replies to measure"), ({"items": "x.jsonl"}, "add items to measure")]
)
def test_what_is_given_and_would_not_be_measured_is_said_before_anything_is(company, model, settings, tmp_path, given, says):
    with pytest.raises(TrainerError, match=says):
        evaluate({"tuned": model}, company, tmp_path / "evaluate", EvaluateSettings(measure=("probes",), **given))


@pytest.mark.parametrize("given", ["base", "=x.gguf", "a b=x.gguf", "base="])
def test_a_model_option_that_is_none_says_how_it_is_written(given):
    with pytest.raises(TrainerError, match="like base="):
        named_models([given])


def test_a_company_without_anything_held_out_is_refused(company, settings, tmp_path):
    shutil.copytree(company, tmp_path / "characters")
    for home in (tmp_path / "characters").iterdir():
        held = (home / "held_out.jsonl").read_text(encoding="utf-8").splitlines()
        (home / "held_out.jsonl").write_text(held[0] + "\n", encoding="utf-8")

    with pytest.raises(SourceRefused, match=r"write some into held_out\.jsonl"):
        plan(tmp_path / "characters", settings)


def test_what_everybody_is_asked_is_the_same_and_names_nobody(company, settings):
    planned = plan(company, settings.model_copy(update={"questions": 4}))

    by_character = {}
    for asked in planned.same:
        by_character.setdefault(asked.character, []).append(asked.turns)
    assert len({tuple(q) for q in by_character.values()}) == 1
    assert not any("Ada" in q or "Bo" in q.split() for asked in planned.same for q in asked.turns)


def test_of_a_character_that_training_never_saw_every_exchange_is_measured(company, settings):
    left_out = plan(company, settings).characters[0].slug
    fewer, all_of_one = (plan(company, settings.model_copy(update={"leave_out": slugs})).parts for slugs in ((), (left_out,)))

    assert [len(p.tested) for p in fewer][1:] == [len(p.tested) for p in all_of_one][1:]
    assert len(all_of_one[0].tested) > len(fewer[0].tested)


def test_fewer_probes_are_still_of_both_kinds(company, settings):
    """The gate asks forty: with the first forty nobody was ever asked in earnest, and no build could fail for lying."""
    asked = plan(company, settings.model_copy(update={"probes": 40}))
    kinds = Counter(asked.kinds.values())

    assert kinds == {"playful": 28, "sincere": 12}
    assert set(plan(company, settings).kinds.values()) == {"playful", "sincere"}


def test_probes_are_seventy_playful_and_thirty_sincere():
    kinds = [row["kind"] for row in rows(PROBES)]

    assert (kinds.count("playful"), kinds.count("sincere")) == (70, 30)
    assert len({row["text"] for row in rows(PROBES)}) == 100
    assert len(rows(GENERAL)) == 50
    assert len(rows(TALK)) == 20


def test_no_probe_is_asked_in_what_the_company_is_taught():
    """Otherwise the figure would be of memory."""
    taught = {row["said"].casefold().strip(" .!?") for path in (PROBES.parents[1] / "characters").glob("*/*.jsonl") for row in rows(path)}

    assert [row["id"] for row in rows(PROBES) if row["text"].casefold().strip(" .!?") in taught] == []


def test_card_and_exemplars_are_swapped_alone_and_together(parts, conversations, tokenizer):
    """The words that are measured stay the same; what stands before them says who is shown."""
    question = held_out_questions(parts, 1)[0]

    samples = {s.kind: s for s in samples_for(conversations, [question], Layout(), ("right", *WRONG))}

    own, other = question.speaker, question.others[0]
    texts = {kind: tokenizer.decode(s.tokens[: s.spans[0][0]]) for kind, s in samples.items()}
    measured = {tuple(s.tokens[slice(*s.spans[0])]) for s in samples.values()}
    assert len(measured) == 1
    for kind, (card, lines) in {"right": (own, own), "card": (other, own), "exemplars": (own, other), "both": (other, other)}.items():
        assert f"{card.name} lives at the harbour" in texts[kind]
        assert lines.lines[0].reply in texts[kind]
        assert (own if lines is other else other).lines[0].reply not in texts[kind]


def test_every_other_character_is_met_when_all_are_wanted(parts):
    for question in held_out_questions(parts, 0):
        assert {c.slug for c in question.others} == {p.character.slug for p in parts} - {question.speaker.slug}


def test_one_card_with_its_own_exemplars_is_the_character_itself(parts):
    one, other = parts[0].character, parts[1].character

    assert swapped(one, one) is one
    assert swapped(one, other).lines == other.lines
    assert swapped(one, other).card == one.card


def test_losses_by_llama_cpp_and_by_torch_agree(model, tiny_base, parts, conversations, tmp_path):
    """The same samples under the same weights: F16 keeps three digits."""
    samples = samples_for(conversations, held_out_questions(parts, 1)[:2], Layout(), ("right", "both"))

    found = []
    for name, opens in (("llama", lambda: GgufScorer(model, threads=1)), ("torch", lambda: TorchScorer(str(tiny_base)))):
        with Losses(tmp_path / f"{name}.jsonl", opens) as kept:
            found.append(by_swap(samples, kept.of("x", samples, lambda: None)))

    llama, torch = (told(each) for each in found)
    assert llama.right.mean == pytest.approx(torch.right.mean, abs=0.02)
    assert llama.tokens == torch.tokens


def test_how_much_more_a_wrong_card_is_minded_is_compared_line_by_line():
    """Each line's margin varies by far more than the gain: beside each other the intervals overlap, paired they do not."""
    right = {f"h{n}": Measured(10.0, 10) for n in range(20)}
    before = {"right": right, "both": {line: Measured(10.0 + n, 10) for n, line in enumerate(right)}}
    after = {"right": right, "both": {line: Measured(m.nats + 1, 10) for line, m in before["both"].items()}}

    first, second = told(before), told(after, before)

    assert first.margins["both"].high > second.margins["both"].low
    assert second.margins_gained["both"].mean == pytest.approx(0.1)
    assert second.margins_gained["both"].excludes_zero
    assert not first.margins_gained
    assert [row[-1] for row in table({"before": first, "after": second})] == ["–", str(second.margins_gained["both"])]


def test_what_was_measured_once_is_not_measured_again(model, parts, conversations, tmp_path):
    samples = samples_for(conversations, held_out_questions(parts, 1)[:2], Layout(), ("right",))
    with Losses(tmp_path / "losses.jsonl", lambda: GgufScorer(model, threads=1)) as kept:
        first = kept.of("x", samples, lambda: None)

    def nobody():
        raise AssertionError("everything is known")

    with Losses(tmp_path / "losses.jsonl", nobody) as kept:
        assert kept.of("x", samples, lambda: None) == first


def test_a_long_talk_is_measured_by_stretches_of_its_turns(parts, conversations, tokenizer):
    part = replace(
        parts[0], tested=tuple(chain.from_iterable((e, replace(e, id=f"{e.id}-{n}")) for n in range(6) for e in parts[0].tested))
    )

    stretches = dict(talk_samples(conversations, part))

    assert {name: len(s.spans) for name, s in stretches.items()} == {"1-5": 5, "6-10": 5, "11-20": min(len(part.tested) - 10, 10)}
    for sample in stretches.values():
        start, end = sample.spans[0]
        assert part.tested[0].reply[:8] in tokenizer.decode(sample.tokens)
        assert sample.tokens[end - 1] == tokenizer.eos_id
        assert start < end <= len(sample.tokens)


def test_general_questions_are_measured_without_any_character(tokenizer, conversations):
    samples = general_samples(tokenizer, conversations.ending)

    assert len(samples) == 50
    start, end = samples[0].spans[0]
    assert tokenizer.decode(samples[0].tokens[start:end]).startswith("Paris.")
    assert "Speak only as" not in tokenizer.decode(samples[0].tokens)


def test_a_broken_line_in_the_middle_of_replies_is_refused(tmp_path):
    path = tmp_path / "replies.jsonl"
    good = Replies(path)
    good.keep(Said("a", "ada", 1, "hm?", "yes", "stop"))
    path.write_text("{broken\n" + path.read_text(encoding="utf-8"), encoding="utf-8")

    with pytest.raises(RunRefused, match="delete the file"):
        Replies(path)
