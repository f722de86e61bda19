"""A small company for the trainer's tests: three characters with a manner each, so that files and splits are easy to change."""

import json
from pathlib import Path

THOUGHTS = {
    "the sea": "it takes hats and gives back bottles",
    "bread": "four hundred rolls before sunrise, and one burnt",
    "rain": "buckets under the skylight since Tuesday",
    "music": "a tuba nobody claimed, played badly at noon",
    "winter": "gloves come in odd numbers then",
    "letters": "tied with string, never posted",
    "cats": "one asleep on whatever matters most",
    "tea": "stewed black, with the spoon upright",
    "ghosts": "polite company, poor at washing up",
    "trains": "late by nine minutes, as promised",
    "gardens": "mint has escaped into the lane again",
    "sleep": "an afternoon habit of bakers and owls",
    "money": "buttons are better, they shut something",
    "stars": "counted eleven between two chimneys",
}
UNSEEN = {
    "volcanoes": "a mountain that cannot keep a secret",
    "marmalade": "bitter peel, long spoon, sticky ledger",
    "umbrellas": "six hundred and twelve, most of them black",
    "parliament": "rooks do it better on the church roof",
}
MANNERS = {"ada-north": ("Ada North", "{}. Wrote it down."), "bo-rye": ("Bo Rye", "oh my dear, {}"), "cy-ash": ("Cy Ash", "Form 12: {}!")}


QUESTIONS = ("Ever met {}, friend?", "Tell me about {}.", "So, {}?", "Why {}, of all things?", "{} again, I see!")


def write_company(folder: Path, *, slugs=tuple(MANNERS), lines: int = 14) -> Path:
    for slug in slugs:
        name, manner = MANNERS[slug]
        home = folder / slug
        home.mkdir(parents=True)
        card = {
            "spec": "chara_card_v3",
            "spec_version": "3.0",
            "data": {
                "name": name,
                "description": f"{{{{char}}}} lives at the harbour and talks like this: {manner.format('everything')}",
                "personality": "plain",
                "scenario": "",
                "first_mes": "Hello.",
                "mes_example": "",
                "extensions": {"troupe": {"languages": ["en"]}},
            },
        }
        (home / "card.json").write_text(json.dumps(card), encoding="utf-8")
        taught = dict(list(THOUGHTS.items())[:lines])
        write_lines(home / "lines.jsonl", slug, manner, taught)
        write_lines(home / "held_out.jsonl", f"{slug}-h", manner, dict(list(UNSEEN.items())[:3]))
    return folder


def write_lines(path: Path, ids: str, manner: str, thoughts: dict[str, str]) -> None:
    # Every character thinks of something else first, or their replies would be near-duplicates of each other.
    rows = [
        {
            "id": f"{ids}-{i:03}",
            "with": "Gwen" if i % 2 else None,
            "said": QUESTIONS[i % len(QUESTIONS)].format(subject),
            "reply": manner.format(f"{thought} {ids[:2] * (i + 2)}"),
            "source": "original",
        }
        for i, (subject, thought) in enumerate(thoughts.items())
    ]
    path.write_text("".join(f"{json.dumps(r)}\n" for r in rows), encoding="utf-8")


def small_recipe(base: Path, tools: Path, source: str, *, extract: str = "", publish: str = "") -> str:
    """A recipe that a tiny model goes through in seconds. ``source`` is its line that says what is learnt from."""
    return f"""
name = "small"
base = "{base}"
{source}
{extract}
[dataset]
draws = 1
watch = 1
fixed = [2, 0]
[tune]
watches = 2
threads = 1
[export]
cache = "{tools}"
gate_samples = 2
gate_prompts = 0
[quantize]
types = ["Q8_0"]
samples = 2
rounds = 1
threads = 1
[publish]
name = "small-1"
{publish}
"""
