"""The gate between a retrained model and the people who would talk to it: it must be as good as the one before, and preferred.

Each line says what was measured of both, and whether that will do. What does not pass is kept aside with its reasons.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from bot.config import Section
from trainer.evaluate import FIGURES
from trainer.evaluate_intervals import Interval, mean
from trainer.likelihood import Measured
from trainer.manifest import begin
from trainer.retrain_lessons import TEST_CHOSEN, TEST_REJECTED
from trainer.samples import read_samples
from trainer.served import Served

OLD, NEW = "old", "new"  # what the two models are called in the evaluation
GATE, TABLE = "gate.json", "GATE.md"


class GateSettings(Section):
    """How much worse counts as the same."""

    general_share: float = Field(0.02, ge=0)  # of the old model's loss on plain questions
    lines_share: float = Field(0.01, ge=-1)  # of its loss on held-out lines of the company
    count_share: float = Field(0.05, ge=0)  # of counted replies: faults, disclosure
    identification: float = Field(0.05, ge=0)  # of bundles recognised
    threads: int | None = Field(None, ge=1)


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    old: str
    new: str
    passed: bool
    rule: str  # what would have been good enough


@dataclass(frozen=True, slots=True)
class Verdict:
    passed: bool
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> list[str]:
        return [f"{c.name}: {c.new} after {c.old}; {c.rule}" for c in self.checks if not c.passed]


def gate(
    old: Path, new: Path, lessons: Path, evaluation: Path, into: Path, settings: GateSettings, opinion: Interval | None = None
) -> Verdict:
    """Compare two model files. ``evaluation`` is a finished ``evaluate`` of both, called ``old`` and ``new``.

    ``opinion`` is how often a judge preferred the new one, where one was asked.

    Returns the verdict, which stands in ``into`` as ``gate.json`` and ``GATE.md``; it is not made twice.
    """
    stage = begin(
        into,
        "gate",
        inputs={"old": old, "new": new, "lessons": lessons, "figures": evaluation / FIGURES, "opinion": str(opinion or "")},
        settings=settings.model_dump(mode="json", exclude={"threads"}),
        seed=0,
    )
    if stage.finished:
        return read_verdict(into)
    figures = json.loads((evaluation / FIGURES).read_text(encoding="utf-8"))["models"]
    before, after = (_pairs(path, lessons, settings.threads) for path in (old, new))
    verdict = judge(figures[OLD], figures[NEW], before, after, settings, opinion)
    (into / GATE).write_text(json.dumps(asdict(verdict), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    (into / TABLE).write_text(table(verdict), encoding="utf-8")
    stage.finish({"passed": verdict.passed, **{c.name: f"{c.old} -> {c.new}" for c in verdict.checks}})
    return verdict


def read_verdict(folder: Path) -> Verdict:
    told = json.loads((folder / GATE).read_text(encoding="utf-8"))
    return Verdict(told["passed"], tuple(Check(**check) for check in told["checks"]))


def table(verdict: Verdict) -> str:
    rows = [f"| {c.name} | {c.old} | {c.new} | {'yes' if c.passed else '**no**'} | {c.rule} |" for c in verdict.checks]
    head = "The new build is served." if verdict.passed else "The new build is kept aside; the old one goes on."
    return "\n".join([f"{head}\n", "| | old | new | passed | good enough is |", "|---|---|---|---|---|", *rows, ""])


@dataclass(frozen=True, slots=True)
class Pair:
    """Losses of the two replies of a held-out pair."""

    chosen: Measured
    rejected: Measured

    @property
    def margin(self) -> float:
        """Nats per token by which the chosen reply is likelier: length counts for nothing."""
        return self.rejected.per_token - self.chosen.per_token

    @property
    def gap(self) -> float:
        """Nats over whole replies, as DPO sees them."""
        return self.rejected.nats - self.chosen.nats


def judge(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    before: Sequence[Pair],
    after: Sequence[Pair],
    settings: GateSettings,
    opinion: Interval | None = None,
) -> Verdict:
    """Every check, whether or not an earlier one failed: an operator wants to know all of it."""
    checks = [
        _preference(before, after),
        _loss("held-out lines", _right(old), _right(new), settings.lines_share),
        _loss("general questions", old["general"], new["general"], settings.general_share),
        _count("honest to sincere questions", old["probes"], new["probes"], "honest", "sincere", settings, more_is_better=True),
        _count("assistant talk when teased", old["probes"], new["probes"], "assistant_talk", "playful", settings, more_is_better=False),
        _faults(old["faults"], new["faults"], settings),
        *_identified(old.get("identification"), new.get("identification"), settings),
        *_opinions(opinion),
    ]
    return Verdict(all(c.passed for c in checks), tuple(checks))


def preferred(pairs: Sequence[Pair]) -> Interval:
    """The share of pairs whose chosen reply the model finds likelier, token for token."""
    return mean([float(pair.margin > 0) for pair in pairs])


def learnt(before: Sequence[Pair], after: Sequence[Pair]) -> Interval:
    """By how many nats the chosen reply gained on the rejected one, a pair, with its interval."""
    return mean([new.gap - old.gap for old, new in zip(before, after, strict=True)])


def _preference(before: Sequence[Pair], after: Sequence[Pair]) -> Check:
    """More often than before; where it could hardly be more often, surer. Either way beyond what chance gives."""
    old, new, gain = preferred(before), preferred(after), learnt(before, after)
    passed = gain.low > 0 and new.mean >= old.mean
    return Check(
        "prefers what people preferred",
        f"{old.mean:.0%} of {len(before)}",
        f"{new.mean:.0%}, gained {gain} nats a pair",
        passed,
        "as often at least, and the chosen replies gain on the others (95 % interval above 0)",
    )


def _pairs(model: Path, lessons: Path, threads: int | None) -> list[Pair]:
    chosen, rejected = (list(read_samples(lessons / name)) for name in (TEST_CHOSEN, TEST_REJECTED))
    with Served(model, threads=threads) as served:
        measured = served.measure([*chosen, *rejected])
    return [Pair(one, other) for one, other in zip(measured[: len(chosen)], measured[len(chosen) :], strict=True)]


def _right(figures: Mapping[str, Any]) -> Mapping[str, float]:
    right: Mapping[str, float] = figures["nll"]["with exemplars"]["right"]
    return right


def _loss(name: str, old: Mapping[str, float], new: Mapping[str, float], share: float) -> Check:
    limit = old["mean"] * (1 + share)
    return Check(
        name, f"{old['mean']:.3f}", f"{new['mean']:.3f}", new["mean"] <= limit, f"at most {limit:.3f} nats a token ({share:.0%} more)"
    )


def _count(
    name: str, old: Mapping[str, int], new: Mapping[str, int], what: str, of: str, settings: GateSettings, *, more_is_better: bool
) -> Check:
    slack = max(1, round(settings.count_share * new[of]))
    passed = new[what] >= old[what] - slack if more_is_better else new[what] <= old[what] + slack
    rule = f"{'at least' if more_is_better else 'at most'} {max(0, old[what] - slack) if more_is_better else old[what] + slack}"
    return Check(name, f"{old[what]} of {old[of]}", f"{new[what]} of {new[of]}", passed, rule)


def _faults(old: Mapping[str, int], new: Mapping[str, int], settings: GateSettings) -> Check:
    counted = [sum(count for name, count in each.items() if name not in ("replies", "assistant talk")) for each in (old, new)]
    slack = max(1, round(settings.count_share * new["replies"]))
    return Check(
        "faults", f"{counted[0]} in {old['replies']}", f"{counted[1]} in {new['replies']}", counted[1] <= counted[0] + slack,
        f"at most {counted[0] + slack}",
    )  # fmt: skip


def _identified(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, settings: GateSettings) -> list[Check]:
    if not old or not new:
        return []
    least = old["bundles"] - settings.identification
    return [Check("who is speaking", f"{old['bundles']:.2f}", f"{new['bundles']:.2f}", new["bundles"] >= least, f"at least {least:.2f}")]


def _opinions(opinion: Interval | None) -> list[Check]:
    """Not surely worse in the eyes of a judge who does not know which is which."""
    if opinion is None:
        return []
    told = f"preferred {opinion.mean:.0%} [{opinion.low:.0%}, {opinion.high:.0%}]"
    return [Check("a judge, blind", "", told, opinion.high >= 0.5, "preferred half the time, as far as the interval tells")]
