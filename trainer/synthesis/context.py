"""Questions about what a character knows, made and answered by the teacher: Context-Instruct, and RoleCraft's variant of it.

Context-Instruct (RoleLLM; METHODS 1.2): from the description alone with a grade for how sure the answer is, and from pieces of the
script with a grade for how complete the question is; only what is graded high is kept. RoleCraft (METHODS 1.3): windows of 1,000
characters with the feeling of every line, no grades, and beside it instructions answered after three examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from bot.characters.cast import Character
from bot.characters.lines import Exemplar
from bot.messages import ChatMessage
from trainer.asking import AnswerMisshapen
from trainer.instructions import Instruction, deal
from trainer.synthesis.about import about, drawn, filled, phrases, spoken, windows, wording
from trainer.synthesis.forms import Blocks, Value
from trainer.synthesis.work import Asked, Done, Draft, Plain, Question, Room, language_of

PIECE_QUESTIONS = 3  # asked for from one piece of the script
EXAMPLES = 3  # of RoleCraft's general answers


class ContextInstruct(Plain):
    name = "context-instruct"
    about = "questions, confidence and answers from description and script, of which the confident are kept (RoleLLM)"

    def questions(self, room: Room, phase: int, done: Done) -> Sequence[Question]:
        s = room.settings
        found: list[Question] = []
        for character in room.chosen:
            form = graded(character, s.questions)
            for take in range(s.takes):
                found.append(_formed(room, f"agnostic/{character.slug}/{take}", partial(_agnostic, room, character, form), form))
            form = graded(character, PIECE_QUESTIONS)
            for n, window in enumerate(windows(character, s.window_characters)[: s.limit or None]):
                found.append(_formed(room, f"script/{character.slug}/{n}", partial(_script, character, window, form), form))
        return found

    def drafts(self, room: Room, done: Done) -> Iterable[Draft]:
        forms = {c.slug: (c, graded(c, 99)) for c in room.chosen}
        for question in self.questions(room, 0, done):
            kind, slug, _ = question.key.split("/")
            character, form = forms[slug]
            yield from _read(self.name, question.key, f"{kind}", character, form, done)


class RoleCraft(Plain):
    name = "rolecraft"
    about = "questions and answers from windows of 1,000 characters with feelings, and instructions beside them (RoleCraft-GLM)"

    def questions(self, room: Room, phase: int, done: Done) -> Sequence[Question]:
        s = room.settings
        found: list[Question] = []
        for character in room.chosen:
            form = ungraded(character, PIECE_QUESTIONS)
            for n, window in enumerate(windows(character, s.window_characters)[: s.limit or None]):
                found.append(_formed(room, f"specific/{character.slug}/{n}", partial(_craft, character, window, form), form))
        for instruction, character in self._dealt(room):
            ask = partial(_after_examples, room, instruction, character)
            found.append(Question(f"general/{character.slug}/{instruction.id}", ask, tokens=s.reply_tokens, temperature=s.temperature))
        return found

    def _dealt(self, room: Room) -> list[tuple[Instruction, Character]]:
        s = room.settings
        return deal(room.instructions, room.chosen, seed=s.seed, answers=s.answers, limit=s.limit)

    def drafts(self, room: Room, done: Done) -> Iterable[Draft]:
        cast = {c.slug: c for c in room.chosen}
        for character in room.chosen:
            form = ungraded(character, 99)
            for n in range(len(windows(character, room.settings.window_characters)[: room.settings.limit or None])):
                yield from _read(self.name, f"specific/{character.slug}/{n}", "specific", character, form, done)
        for instruction, character in self._dealt(room):
            key = f"general/{character.slug}/{instruction.id}"
            answer = done[key]
            yield Draft(
                id=f"{self.name}-{key}",
                key=key,
                character=character.slug,
                instruction=instruction.text,
                reply=answer["reply"],
                kind="general",
                language=language_of(cast[character.slug]),
                sources=(instruction.id, *answer["source_ids"]),
                finished=answer["finished"],
            )


def graded(character: Character, count: int) -> Blocks:
    """Question, grade, reason and answer, so many times."""
    w = wording(character)
    question, sure, reason, answer = w.question_labels
    grades = dict(zip(w.grades, ("high", "low"), strict=True))
    return Blocks(
        (
            Value("question", question, longest=240),
            Value("grade", sure, grades),
            Value("reason", reason, longest=240),
            Value("answer", answer),
        ),
        most=count,
    )


def ungraded(character: Character, count: int) -> Blocks:
    question, _, _, answer = wording(character).question_labels
    return Blocks((Value("question", question, longest=240), Value("answer", answer)), most=count)


def _formed(room: Room, key: str, ask: partial[Asked], form: Blocks) -> Question:
    return Question(key, ask, form, room.settings.form_tokens, room.settings.temperature)


def _agnostic(room: Room, character: Character, form: Blocks) -> Asked:
    w = wording(character)
    shown = [dict(zip(("question", "grade", "reason", "answer"), e, strict=True)) for e in w.agnostic_examples]
    system = w.agnostic.format(char=character.name, about=about(character), phrases=phrases(character), examples=form.written(shown))
    asked = w.agnostic_ask.format(char=character.name, count=room.settings.questions)
    return Asked(_messages(system, asked, form, w.form), (f"card/{character.slug}",))


def _script(character: Character, window: Sequence[Exemplar], form: Blocks) -> Asked:
    w = wording(character)
    shown = [dict(zip(("question", "grade", "reason", "answer"), e, strict=True)) for e in w.script_examples]
    system = w.script.format(char=character.name, about=about(character), phrases=phrases(character), examples=form.written(shown))
    piece = "\n".join(spoken(line, character) for line in window)
    asked = w.script_ask.format(char=character.name, count=PIECE_QUESTIONS, piece=piece)
    return Asked(_messages(system, asked, form, w.form), [line.id for line in window])


def _craft(character: Character, window: Sequence[Exemplar], form: Blocks) -> Asked:
    w = wording(character)
    shown = [dict(zip(("question", "answer"), e, strict=True)) for e in w.craft_examples]
    system = w.craft.format(char=character.name, about=about(character), phrases=phrases(character), examples=form.written(shown))
    piece = "\n".join(spoken(line, character, emotions=True) for line in window)
    asked = w.craft_ask.format(char=character.name, count=PIECE_QUESTIONS, piece=piece)
    return Asked(_messages(system, asked, form, w.form), [line.id for line in window])


def _after_examples(room: Room, instruction: Instruction, character: Character) -> Asked:
    w = wording(character)
    shown = drawn(room, character.lines, EXAMPLES, "examples", character.slug, instruction.id)
    examples = "\n".join(spoken(line, character) for line in shown)
    system = w.in_role_with_examples.format(char=character.name, about=filled(character.card.description, character), examples=examples)
    return Asked([ChatMessage("system", system), ChatMessage("user", instruction.text)], [line.id for line in shown])


def _messages(system: str, asked: str, form: Blocks, words: str) -> list[ChatMessage]:
    return [ChatMessage("system", system), ChatMessage("user", f"{asked}\n{words.format(form=form.shown)}")]


def _read(method: str, key: str, kind: str, character: Character, form: Blocks, done: Done) -> Iterable[Draft]:
    """A draft for every block of an answer; one for an answer that has none."""
    answer = done[key]
    stamp = {"key": key, "character": character.slug, "kind": kind, "language": language_of(character), "sources": answer["source_ids"]}
    try:
        blocks = form.read(answer["reply"], finished=answer["finished"])
    except AnswerMisshapen as error:
        yield Draft(id=f"{method}-{key}", instruction="", reply=answer["reply"], fault="misshapen", more={"wrong": str(error)}, **stamp)
        return
    for n, block in enumerate(blocks):
        fault = "low confidence" if block.get("grade") == "low" else ""
        more: dict[str, str] = {name: block[name] for name in ("grade", "reason") if name in block}
        yield Draft(
            id=f"{method}-{key}/{n}",
            instruction=block["question"],
            reply=block["answer"],
            fault=fault,
            own_question=True,
            more=more,
            **stamp,
        )
