"""Instructions answered in role: with the very prompt that the bot serves (``general``), or as RoleGPT asks (``rolegpt``).

RoleGPT (RoleLLM; METHODS 1.2): description and catchphrases in the system message, the five exchanges that BM25 finds as chat
turns of their own, which in the paper's ablation won twice as often as the same examples within one prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from bot.characters.cast import Character
from bot.characters.prompt import Budget, Scene, Spoken
from bot.messages import ChatMessage
from bot.retrieval.exemplars import ExemplarIndex
from trainer.instructions import Instruction, deal
from trainer.synthesis.about import about, filled, phrases, wording
from trainer.synthesis.work import Asked, Done, Draft, Plain, Question, Room

RETRIEVED = 3  # exemplars that fit the instruction, beside the card's fixed ones
TURNS = 5  # of RoleGPT
TURN_TOKENS = 700  # that these five may take


class General(Plain):
    """Asked exactly as the bot asks, so that the answer is what the character would say there."""

    name = "general"
    about = "everyday instructions, asked with the prompt that the bot serves"

    def questions(self, room: Room, phase: int, done: Done) -> Sequence[Question]:
        ask = _served if self.name == "general" else _with_turns
        indexes = {c.slug: ExemplarIndex(c.lines) for c in room.chosen}
        return [
            Question(
                key,
                partial(ask, room, indexes[character.slug], instruction, character),
                tokens=room.settings.reply_tokens,
                temperature=room.settings.temperature,
            )
            for key, instruction, character in _asked(room, self._takes(room))
        ]

    def drafts(self, room: Room, done: Done) -> Iterable[Draft]:
        for key, instruction, character in _asked(room, self._takes(room)):
            answer = done[key]
            yield Draft(
                id=f"{self.name}-{key}",
                key=key,
                character=character.slug,
                instruction=instruction.text,
                reply=answer["reply"],
                kind=instruction.kind,
                language=instruction.language,
                sources=(instruction.id, *answer["source_ids"]),
                finished=answer["finished"],
                fault="too long a prompt" if answer.get("wrong") else "",
            )

    def _takes(self, room: Room) -> int:
        return 1


class RoleGPT(General):
    name = "rolegpt"
    about = "RoleGPT: instructions answered after the five exchanges that fit best, as chat turns (RoleLLM)"

    def _takes(self, room: Room) -> int:
        return room.settings.takes


def _asked(room: Room, takes: int) -> list[tuple[str, Instruction, Character]]:
    s = room.settings
    dealt = deal(room.instructions, room.chosen, seed=s.seed, answers=s.answers, limit=s.limit)
    # Takes of one question stand together: its prompt is read once for all of them.
    return [(f"{i.id}/{c.slug}{f'/{take}' if take else ''}", i, c) for i, c in dealt for take in range(takes)]


def _served(room: Room, index: ExemplarIndex, instruction: Instruction, character: Character) -> Asked:
    fixed = room.renderer.fixed_ids(character)
    hits = index.search(instruction.text, RETRIEVED, without=fixed)
    scene = Scene(spoken=[Spoken(wording(character).visitor, instruction.text)], exemplars=[character.lines[h.position] for h in hits])
    rendered = room.renderer.render(character, scene, Budget(context=room.context_tokens, reply=room.settings.reply_tokens))
    return Asked(rendered.prompt.messages, (*sorted(fixed), *rendered.exemplars), rendered.prompt)


def _with_turns(room: Room, index: ExemplarIndex, instruction: Instruction, character: Character) -> Asked:
    w = wording(character)
    system = w.role.format(char=character.name, about=about(character), phrases=phrases(character))
    turns: list[ChatMessage] = []
    shown: list[str] = []
    left = min(TURN_TOKENS, room.context_tokens - room.settings.reply_tokens - room.count(system) - 200)
    for hit in index.search(instruction.text, TURNS):
        line = character.lines[hit.position]
        said = w.instruction.format(other=line.with_name or w.visitor, text=filled(line.said, character))
        reply = filled(line.reply, character)
        left -= room.count(said) + room.count(reply)
        if left < 0:
            break
        # The best stands last, right before what is asked.
        turns[:0] = [ChatMessage("user", said), ChatMessage("assistant", reply)]
        shown.append(line.id)
    last = ChatMessage("user", w.instruction.format(other=w.visitor, text=instruction.text))
    return Asked([ChatMessage("system", system), *turns, last], shown, again=room.settings.takes > 1)
