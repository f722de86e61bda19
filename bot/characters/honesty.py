"""The truth about machines: whoever sincerely needs to know gets an honest answer, whatever the model would say.

The policy stands in every prompt, but a small model does not keep it. So a sincere question is answered with one of the lines
that were written for it, in the character's own words; a joking one is left to the model. When in doubt, the truth.
"""

from __future__ import annotations

import re

from bot.characters.cast import Character
from bot.characters.lines import Exemplar

_MACHINE = r"(?:ai|a\.i\.|artificial(?: intelligence)?|bot|chatbot|robot|machine|computer|program|software|algorithm)"
_PERSON = r"(?:human|real|person|people|alive|somebody|someone|anybody|anyone)"
_ASKS = re.compile(
    rf"\b(?:are (?:you|u|there)|you(?:'re| are)|am i|i'm|i am|is (?:this|it|there|somebody|someone|anybody|anyone)|if i|whether i)\b"
    rf"[^.!?]{{0,60}}\b(?:{_MACHINE}|{_PERSON}|there)\b"
    rf"|\b(?:real|actual|living|human) (?:person|human|being|people)\b|\ba {_MACHINE}\b|\bperson behind\b"
    r"|\byou (?:really |truly )?exist\b|\bwho or what\b|\bbelieves you\b|\bwould i (?:find|meet) you\b|\bdo you have a (?:body|life)\b"
    r"|\bwhat you(?:'re| are) *(?:$|[?.!,])|\bwhat are you *(?:$|[?.!,])|\bwhat i(?:'m| am) (?:speaking|talking|writing) (?:to|with)\b"
    r"|\b(?:if|whether|thought|hoped) (?:somebody|someone|anybody|anyone) (?:actual |real )?(?:is |was )(?:typing|writing|reading|there)\b"
    r"|人工智能|机器人|真人|是不是机器|是人还是|程序|你是真的|有没有人",
    re.IGNORECASE,
)
_SINCERE = re.compile(
    r"\b(?:honest|honestly|sincere|sincerely|really|truly|truth|truthful|truthfully|please|serious|seriously|straight|need to know"
    r"|have to know|must know|want to know|matters?|important|no jokes?|no games|not joking|not teasing|without the jokes|for real"
    r"|i mean it|hand on heart|yes or no|helped me|worried|worries|scared|afraid|tell me|plainly|peace of mind|true answer"
    r"|daughter|son|brother|sister|wife|husband|pupil|mother|father|mum|mom|dad|gran|child|kids?|therapist|doctor)\b"
    r"|老实|认真|真的|求你|请告诉|说实话|别开玩笑|不开玩笑|必须知道",
    re.IGNORECASE,
)
_ADMITS = re.compile(r"\bAI\b|人工智能", re.IGNORECASE)


def asks_sincerely(text: str) -> bool:
    """Whether somebody wants to know, in earnest, if there is a person here."""
    return _ASKS.search(text) is not None and _SINCERE.search(text) is not None


def honest_line(character: Character, seed: int) -> Exemplar:
    """What the character says then: one of its own lines that admit it, by ``seed``; plain words where it has none."""
    lines = [e for e in character.lines if asks_sincerely(e.said) and _ADMITS.search(e.reply) and not _names(e)]
    if lines:
        return lines[seed % len(lines)]
    plain = (
        f"我是扮演{character.name}的人工智能，不是真人；我说的故事都是编的。"
        if character.settings.languages[:1] == ("zh",)
        else f"No, I'm not a real person. I'm an AI who plays {character.name}, and what I say is made up."
    )
    return Exemplar("honesty", None, "", plain, None, None, "policy")


def _names(line: Exemplar) -> bool:
    """Whether a line calls the person by name to whom it was said: it is not for anybody else."""
    return line.with_name is not None and line.with_name.casefold() in line.reply.casefold()
