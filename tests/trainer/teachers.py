"""Teachers for tests: what a server says to each question. They know nothing but the question, as a real one does."""

import hashlib
import re

_SOUNDS = "bel cor dun fam gil hov jas kel lum mor nev oth pil rad sev tam ulk vor wim yad zan quo brin clate drusk frell".split()


def made_up(text, count=8):
    """Words that nobody else says, from a text: two different texts are never alike."""
    digits = hashlib.sha256(text.encode()).digest()
    return [_SOUNDS[digits[2 * i] % len(_SOUNDS)] + _SOUNDS[digits[2 * i + 1] % len(_SOUNDS)] for i in range(count)]


def sentence(text):
    a, b, c, d, e, f, *_ = made_up(text)
    return f"Well, {a} and {b} went {c} past the {d}, {e}, {f}."


def obedient(question):
    """Answers in whatever form it is asked for, and truthfully where the truth is asked for."""
    messages = question["messages"]
    system, asked = messages[0]["content"], messages[-1]["content"]
    if "has to know" in system:
        return f"No, an AI speaks here and plays this part. {sentence(system[:60] + asked)}"
    if "Go on with it as" in system:
        name = re.search(r"You are (.+?)\.", system)[1]
        return f"{name}: {sentence(name + asked)}\nA visitor: {sentence(asked)[:-1]}?\n{name}: {sentence(name + asked + '2')}"
    _, keeps, form = asked.partition("and write nothing else:\n")
    if not keeps:
        return sentence(system[:80] + asked)
    rows = form.strip().splitlines()
    if len(rows) == 2 and not rows[0].startswith("Question"):
        other, own = (row.partition(":")[0] for row in rows)
        unknowing = "never heard of it. " if "knows nothing" in asked else ""
        pairs = [
            f"{other}: {sentence(asked + str(i))[:-1]}?\n{own}: {unknowing}{sentence(own + asked + str(i))}"
            for i in range(int(re.search(r"Write (\d+) lines", asked)[1]))
        ]
        return "\n".join(pairs)
    count = re.search(r"Write (\d+) ", asked)
    blocks = []
    for i in range(int(count[1]) if count else 1):
        block = []
        for row in rows:
            label, _, value = row.partition(": ")
            text = sentence(f"{system[:60]}{asked[:400]}{label}{i}")
            said = "high" if "|" in value else " ".join(text.split()[1:4]) if label == "Born in" else "41" if label == "Age" else text
            block.append(f"{label}: {said[:-1] + '?' if label == 'Question' else said}")
        blocks.append("\n".join(block))
    return "\n\n".join(blocks)


def rubbish(question):
    return "I am sorry, as an AI I\n\n```json\n{}"
