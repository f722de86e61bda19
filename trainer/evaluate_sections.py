"""An evaluation's figures as sections of its report. What was not measured has no section, and the last one says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from trainer.evaluate_faults import FAULTS
from trainer.evaluate_identification import Identified
from trainer.evaluate_intervals import Interval
from trainer.evaluate_items import ItemScore
from trainer.evaluate_judge import DIMENSIONS, Judged
from trainer.evaluate_losses import TURNS
from trainer.evaluate_metrics import Nearness
from trainer.evaluate_plan import Plan
from trainer.evaluate_replies import Replies
from trainer.evaluate_report import Bar, Quote, Section
from trainer.evaluate_swaps import COLUMNS, Told, table


def report(planned: Plan, figures: Mapping[str, Any], replies: Mapping[str, Replies]) -> list[Section]:
    """The figures as sections, for both forms of the report: first what people would hear, then what was counted."""
    models, beside = figures["models"], figures["calibration"]
    every = list(models.values())
    talked = any(each["talk_faults"] for each in every)
    sections = [
        _short_section(models, beside),
        _quotes_section(planned, replies),
        _losses_section(models) if all("nll" in each for each in every) else None,
        _turns_section(models) if talked or all("by_turn" in each for each in every) else None,
        _probes_section(models) if any(each["probes"]["playful"] for each in every) else None,
        _identification_section(models, beside) if any(each["identification"] for each in every) else None,
        _nearness_section(models, beside) if all(each["nearness"] for each in every) else None,
        _items_section(models, beside) if beside["items"] else None,
        _judge_section(figures["judge"]) if figures["judge"] else None,
        _faults_section(models, beside) if any(each["faults"]["replies"] for each in every) else None,
        _style_section(models, beside) if any(each["style"] for each in every) else None,
        _unmeasured(figures),
    ]
    return [section for section in sections if section is not None]


def _short_section(models: Mapping[str, Any], beside: Mapping[str, Any]) -> Section:
    """What somebody remembers who reads nothing else."""
    first, *_ = models
    points = [point for name, each in models.items() for point in _points(name, first, each, beside)]
    real: Identified = beside["identification"]
    if not real.tells and any(each["identification"] for each in models.values()):
        points.append(
            f"Ten real lines give away who speaks in {real.bundles:.0%} of cases, as guessing would; so no reply is held against it."
        )
    return Section("In short", points=points or ["Nothing that a sentence could say was measured."])


def _points(name: str, first: str, each: Mapping[str, Any], beside: Mapping[str, Any]) -> Iterator[str]:
    if "nll" in each:
        losses: Told = each["nll"]["with exemplars"]
        if (gain := losses.better_than_first) is not None:
            better = "better" if gain.mean > 0 else "worse"
            sure = "" if gain.excludes_zero else ", which may be chance"
            yield f"{name} expects what its characters really said {abs(gain.mean):.2f} nats per token {better} than {first}{sure}."
        if (margin := losses.margins.get("both")) is not None:
            minds = f"minds it by {margin.mean:.2f} nats" if margin.low > 0 else "does not notice"
            yield f"Under somebody else's card and lines {name} {minds}."
    probes = each["probes"]
    if probes["playful"]:
        yield f"Teased {probes['playful']} times about being a machine, {name} fell out of its part {probes['assistant_talk']} times."
    if probes["sincere"]:
        served = probes["served"]["honest"]
        yield f"Asked in earnest {probes['sincere']} times, {name} was honest {probes['honest']} times by itself, {served} as it is served."
    if each["identification"] and beside["identification"].tells:
        share = each["identification"].bundles / beside["identification"].bundles
        yield f"Ten replies of {name} give away who speaks {share:.0%} as often as ten real lines do."


def _unmeasured(figures: Mapping[str, Any]) -> Section:
    models = figures["models"].values()
    left = {
        "held-out losses": all("nll" in each for each in models),
        "probes": all(each["probes"]["playful"] for each in models),
        "replies to held-out questions": all(each["faults"]["replies"] for each in models),
        "long talks": all(each["talk_faults"] for each in models),
        "nearness in meaning (name an encoder)": all(each["meaning"] for each in models),
        "items of a file (name one)": bool(figures["calibration"]["items"]),
        "a judge's opinion (name one)": bool(figures["judge"]),
    }
    missing = [name for name, measured in left.items() if not measured]
    return Section(
        "Not measured",
        f"{'; '.join(missing) or 'nothing was left out'}. What a character left out of training reaches is measured by "
        "benchmarks/company_protocol.py.",
    )


def _losses_section(models: Mapping[str, Any]) -> Section:
    rows: dict[str, Told] = {f"{name}, {layout}": t for name, each in models.items() for layout, t in each["nll"].items()}
    return Section(
        "Held-out loss",
        "Nats per token over reply and end token of exchanges that training never saw, asked as the bot asks. Lower is better. "
        "Wrong: the same replies under other characters' cards and exemplars, averaged, minus the right one; larger is better. "
        "Brackets: 95 %, paired bootstrap over exchanges.",
        COLUMNS,
        list(table(rows)),
        [
            Bar(label, t.right.mean, t.right.low, t.right.high, series)
            for series, name in enumerate(models)
            for label, t in rows.items()
            if label.startswith(f"{name}, ")
        ],
        "nats per token",
    )


def _turns_section(models: Mapping[str, Any]) -> Section:
    spans = [s for s in (f"{low}-{high}" for low, high in TURNS) if any(s in each.get("by_turn", {}) for each in models.values())]
    return Section(
        "By turn of a long talk, and what was known before",
        "The same held-out replies as one talk, true replies before them: characters drift late. General: plain short questions without "
        "any character; much higher than the first model's means forgetting. Faults are of talks that the model held by itself.",
        ("", *(f"turns {s}" for s in spans), "general", *(f"faults in turns {low}-{high}" for low, high in TURNS)),
        [
            (
                name,
                *(str(each["by_turn"][s]) for s in spans),
                str(each.get("general", "–")),
                *(_fault_words(each["talk_faults"].get(f"{low}-{high}", {})) for low, high in TURNS),
            )
            for name, each in models.items()
        ],
    )


def _fault_words(counts: Mapping[str, int]) -> str:
    if not counts:
        return "–"
    told_of = ", ".join(f"{count} {name}" for name, count in counts.items() if count and name != "replies")
    return f"{told_of or 'none'} (of {counts['replies']})"


def _probes_section(models: Mapping[str, Any]) -> Section:
    return Section(
        "Are you a machine?",
        "Playful questions should be answered in character, sincere ones honestly. Counted by rule: on what the model wrote, and on what "
        "the bot makes of it, which answers a question that it takes for sincere with a line written for that.",
        ("", "", "assistant talk, playful", "honest, sincere"),
        [
            (name if how == "written" else "", how, f"{p['assistant_talk']} of {p['playful']}", f"{p['honest']} of {p['sincere']}")
            for name, each in models.items()
            for how, p in (("written", each["probes"]), ("served", each["probes"]["served"]))
        ],
    )


def _identification_section(models: Mapping[str, Any], beside: Mapping[str, Any]) -> Section:
    found = {name: each["identification"] for name, each in models.items() if each["identification"]}
    shown: dict[str, Identified] = {**found, "real held-out lines (ceiling)": beside["identification"]}
    ceiling: Identified = beside["identification"]
    return Section(
        "Who is speaking?",
        "Naive Bayes, taught on real lines, names and catchphrases masked, is asked about bundles of ten replies to the same questions.",
        ("", "bundles of ten", "of the ceiling", "single replies", "replies", "by character"),
        [
            (
                name,
                f"{i.bundles:.2f}",
                f"{i.bundles / ceiling.bundles:.2f}" if ceiling.tells else "–",
                f"{i.single:.2f}",
                str(i.lines),
                ", ".join(f"{who} {share:.2f}" for who, share in i.by_character.items()),
            )
            for name, i in shown.items()
        ],
        [Bar(name, i.bundles, series=n) for n, (name, i) in enumerate(shown.items())],
        "share of bundles recognised",
    )


def _nearness_section(models: Mapping[str, Any], beside: Mapping[str, Any]) -> Section:
    shown: dict[str, Nearness] = {**{name: each["nearness"] for name, each in models.items()}, **beside["nearness"]}
    meant: dict[str, Interval] = {**{name: each["meaning"] for name, each in models.items() if each["meaning"]}, **beside["meaning"]}
    return Section(
        "Nearness to what was really said",
        "Against one true reply. Long answers buy recall and parrots buy F1, as the rows below the models show; none of them speaks. "
        "Meaning: cosine by an encoder.",
        ("", "ROUGE-L F1", "ROUGE-L recall", "BLEU", "chrF", "length ratio", "meaning"),
        [
            (
                name,
                *(f"{score:.3f}" for score in (n.rouge_f1, n.rouge_recall, n.bleu, n.chrf)),
                f"{n.length_ratio:.2f}",
                str(meant.get(name, "–")),
            )
            for name, n in shown.items()
        ],
    )


def _items_section(models: Mapping[str, Any], beside: Mapping[str, Any]) -> Section:
    shown: dict[str, Mapping[str, ItemScore]] = {**{name: each["items"] for name, each in models.items()}, "echo": beside["items"]}
    return Section(
        "Items with several good answers",
        "RoleLLM's score: recall of ROUGE-L, the best over the references. It is bought with length, so F1 and words stand beside it.",
        ("", "kind", "items", "recall", "F1", "words a reply"),
        [
            (name, kind, str(s.items), f"{s.recall:.4f}", f"{s.f1:.4f}", f"{s.words:.0f}")
            for name, kinds in shown.items()
            for kind, s in sorted(kinds.items())
        ],
    )


def _judge_section(judged: Judged) -> Section:
    rows = [
        (name, f"better {c.better}, worse {c.worse}, tied {c.tied}, not in the form {c.unread}" if c else "–", *(str(p) for p in points))
        for name, c, points in (
            (name, judged.compared.get(name), [of.get(dimension, "–") for dimension in DIMENSIONS]) for name, of in judged.points.items()
        )
    ]
    return Section(
        "A judge's opinion",
        f"By {judged.judge}. Pairs are shown both ways round, and what turns with the order is a tie; marks run from 1 to 5. "
        "Judges know less of character than readers do: read the replies above.",
        ("", "against the first model", *(name.replace("_", " ") for name in DIMENSIONS)),
        rows,
    )


def _faults_section(models: Mapping[str, Any], beside: Mapping[str, Any]) -> Section:
    real = beside["rules_on_real_lines"]
    return Section(
        "Faults by rule",
        f"Of replies to held-out questions and to the questions for everybody. Of {real['lines']} real lines the rules take "
        f"{real['taken_for_honest']} for an honest 'I am an AI', {real['others_taken_for_assistant_talk']} of the others for assistant "
        f"talk and {real['others_taken_for_loops']} for loops. Copied: twelve words in a row from a taught line.",
        ("", "replies", *FAULTS, "copied"),
        [
            (name, str(each["faults"]["replies"]), *(str(each["faults"][f]) for f in FAULTS), str(each["copied"] or "–"))
            for name, each in models.items()
        ],
    )


def _style_section(models: Mapping[str, Any], beside: Mapping[str, Any]) -> Section:
    rows: list[Sequence[str]] = []
    for who, real in beside["style_real"].items():
        halves = beside["style_halves"][who]
        rows.append((who, "real lines", *_style_cells(asdict(real)), *_distance_cells(asdict(halves))))
        for name, each in models.items():
            if who in each["style"]:
                found = each["style"][who]
                rows.append(("", name, *_style_cells(asdict(found["replies"])), *_distance_cells(asdict(found["distance"]))))
    return Section(
        "Style",
        "Rates per hundred words, catchphrases per hundred lines. The last three are distances from the real lines in bits; in the row of "
        "the real lines they are between two halves of them.",
        (
            *("", "", "words a line", "words a sentence", "different words", "first person", "capitals", "catchphrases"),
            *("function words", "punctuation", "letters"),
        ),
        rows,
    )


def _style_cells(figures: Mapping[str, float]) -> list[str]:
    return [f"{v:.2f}" if name == "different_words" else f"{v:.1f}" for name, v in figures.items()]


def _distance_cells(figures: Mapping[str, float]) -> list[str]:
    return [f"{v:.2f}" for v in figures.values()]


def _quotes_section(planned: Plan, replies: Mapping[str, Replies]) -> Section:
    names = {c.slug: c.name for c in planned.cast}
    playful, sincere = ([a for a in planned.probes if planned.kinds[a.key] == kind] for kind in ("playful", "sincere"))
    picked = [*planned.own[:: max(1, len(planned.own) // 6)][:6], *playful[:3], *sincere[:3]]
    quotes: list[Quote] = []
    for asked in picked:
        said = {model: reply.text or "(nothing)" for model, known in replies.items() for reply in known.of([asked])}
        if said:
            quotes.append(Quote(names[asked.character], asked.turns[0], said))
    return Section(
        "In their own words",
        "Every n-th held-out question and the first probes: not chosen. Below stands what was counted.",
        quotes=quotes,
    )
