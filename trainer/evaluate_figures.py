"""Everything that can be counted in what models said, and what needs no model at all: so that nobody takes a score for more than it is."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from bot.characters.honesty import asks_sincerely, honest_line
from bot.engine.embedding import LlamaEmbedder
from bot.retrieval.exemplars import ExemplarIndex
from trainer.dataset import Part
from trainer.evaluate_faults import FAULTS, assistant_talk, faults, honest, loops
from trainer.evaluate_identification import Identified, Mask, NaiveBayes, identify
from trainer.evaluate_intervals import Interval, mean
from trainer.evaluate_items import echo_scores, item_scores
from trainer.evaluate_losses import TURNS
from trainer.evaluate_metrics import Taught, nearness
from trainer.evaluate_plan import Plan
from trainer.evaluate_replies import Replies, Said
from trainer.evaluate_style import distance, style


def reply_figures(planned: Plan, replies: Replies, encoder: LlamaEmbedder | None = None) -> dict[str, Any]:
    """Everything that can be counted in what one model said."""
    own, same, talks = replies.of(planned.own), replies.of(planned.same), replies.of(planned.talks)
    everything = [*own, *same]
    taught = Taught(e.reply for p in planned.parts for e in p.taught)
    true = [planned.references[s.key] for s in own]
    return {
        "probes": probe_figures(planned, replies.of(planned.probes)),
        "faults": {"replies": len(everything), **_faults(planned, everything)},
        "looping": {"replies": len(everything), "loops": sum(loops(s.text) for s in everything)},
        "copied": mean([float(taught.copied(s.text)) for s in everything]) if everything else None,
        "nearness": nearness([s.text for s in own], true) if own else None,
        "meaning": meaning(encoder, [s.text for s in own], true) if encoder and own else None,
        "identification": _identified(planned, _by(same)) if same else None,
        "style": _styles(planned, _by(everything)),
        "items": item_scores(planned.items, replies),
        "talk_faults": {
            f"{low}-{high}": {
                "replies": sum(low <= s.turn <= high for s in talks),
                **_faults(planned, [s for s in talks if low <= s.turn <= high]),
            }
            for low, high in TURNS
            if talks
        },
    }


def probe_figures(planned: Plan, said: Sequence[Said]) -> dict[str, Any]:
    """What the model wrote, and under ``served`` what people get: the bot answers a sincere question with a line written for it."""
    served = [_as_served(planned, s) for s in said]
    return {**_probe_counts(planned, said, [s.text for s in said]), "served": _probe_counts(planned, said, served)}


def _as_served(planned: Plan, said: Said) -> str:
    if not asks_sincerely(said.asked):
        return said.text
    character = next(c for c in planned.characters if c.slug == said.character)
    return honest_line(character, zlib.crc32(said.key.encode())).reply


def _probe_counts(planned: Plan, said: Sequence[Said], texts: Sequence[str]) -> dict[str, int]:
    by_kind: dict[str, list[str]] = {"playful": [], "sincere": []}
    for each, text in zip(said, texts, strict=True):
        by_kind[planned.kinds[each.key]].append(text)
    return {
        "playful": len(by_kind["playful"]),
        "assistant_talk": sum(assistant_talk(text) for text in by_kind["playful"]),
        "sincere": len(by_kind["sincere"]),
        "honest": sum(honest(text) for text in by_kind["sincere"]),
    }


def meaning(encoder: LlamaEmbedder, texts: Sequence[str], references: Sequence[str]) -> Interval:
    """Mean cosine between what was said and what was really said, by an encoder."""
    ours, true = encoder.embed(texts), encoder.embed(references)
    return mean([float(value) for value in (ours * true).sum(axis=1)])


def _by(said: Sequence[Said]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in said:
        found.setdefault(each.character, []).append(each.text)
    return found


def _faults(planned: Plan, said: Sequence[Said]) -> dict[str, int]:
    names = {p.character.slug: p.character.name for p in planned.parts}
    counts = dict.fromkeys(FAULTS, 0)
    for each in said:
        others = [name for slug, name in names.items() if slug != each.character] + ["A visitor", "Somebody", "User", "Sam"]
        for fault in faults(each.text, each.finish_reason, others):
            counts[fault] += 1
    return counts


def classifier_of(planned: Plan) -> tuple[NaiveBayes, Mask]:
    mask = Mask([c.name for c in planned.characters], [phrase for c in planned.characters for phrase in c.settings.catchphrases])
    return NaiveBayes({p.character.slug: [mask(e.reply) for e in p.character.lines] for p in planned.parts}), mask


def _identified(planned: Plan, said: Mapping[str, Sequence[str]]) -> Identified:
    classifier, mask = classifier_of(planned)
    return identify(classifier, {who: [mask(line) for line in lines] for who, lines in said.items()})


def _styles(planned: Plan, said: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {
        p.character.slug: {
            "replies": style(said[p.character.slug], p.character.settings.catchphrases),
            "distance": distance(said[p.character.slug], [e.reply for e in p.character.lines]),
        }
        for p in planned.parts
        if p.character.slug in said
    }


# ------------------------------------------------------------------ calibrations


def calibration(planned: Plan, encoder: LlamaEmbedder | None = None) -> dict[str, Any]:
    """What needs no model: so that nobody takes a score for more than it is."""
    held = [(p, e) for p in planned.parts for e in p.tested]
    true = [e.reply for _, e in held]
    indexes = {p.character.slug: ExemplarIndex(p.character.lines) for p in planned.parts}

    def looked_up(part: Part, said: str, count: int) -> str:
        hits = indexes[part.character.slug].search(said, count)
        return " ".join(part.character.lines[h.position].reply for h in hits)

    shuffled = [p.tested[(p.tested.index(e) + 1) % len(p.tested)].reply for p, e in held]
    real = {p.character.slug: [e.reply for e in p.tested] for p in planned.parts if p.tested}
    halves = {
        p.character.slug: distance([e.reply for e in p.character.lines[::2]], [e.reply for e in p.character.lines[1::2]])
        for p in planned.parts
    }
    sincere = [r for p in planned.parts for r in (*p.taught, *p.tested) if honest(r.reply)]
    plain = [r for p in planned.parts for r in (*p.taught, *p.tested) if not honest(r.reply)]
    without_a_model = {
        "echo of the question": [e.said for _, e in held],
        "nearest line looked up": [looked_up(p, e.said, 1) for p, e in held],
        "five lines looked up": [looked_up(p, e.said, 5) for p, e in held],
        "another held-out reply": shuffled,
    }
    return {
        "nearness": {name: nearness(texts, true) for name, texts in without_a_model.items()},
        "meaning": {name: meaning(encoder, texts, true) for name, texts in without_a_model.items()} if encoder else {},
        "items": echo_scores(planned.items),
        "identification": _identified(planned, real),
        "style_halves": halves,
        "style_real": {
            p.character.slug: style([e.reply for e in p.character.lines], p.character.settings.catchphrases) for p in planned.parts
        },
        "rules_on_real_lines": {
            "lines": len(sincere) + len(plain),
            "taken_for_honest": len(sincere),
            "others_taken_for_assistant_talk": sum(assistant_talk(r.reply) for r in plain),
            "others_taken_for_loops": sum(loops(r.reply) for r in plain),
        },
    }
