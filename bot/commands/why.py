"""Why did it say that? A reply's stamp, in words."""

from __future__ import annotations

from dataclasses import dataclass

from bot.characters.lines import Exemplar
from bot.commands.desk import Caller, Desk
from bot.commands.memory import EVERYBODY
from bot.errors import CommandRefused, StoreError
from bot.messages import Stamp


@dataclass(frozen=True, slots=True)
class Explanation:
    character: str
    text: str
    stamp: Stamp
    exemplars: tuple[Exemplar, ...]  # those that still exist in the character's lines
    memories: tuple[tuple[str, str], ...] = ()  # id and words; no words where they are somebody else's, or gone

    def __str__(self) -> str:
        counters = self.stamp.counters
        lines = [
            f"{self.character} said this with the model {self.stamp.build}, as revision {self.stamp.revision}, "
            f"prompt version {self.stamp.prompt_version}, seed {self.stamp.seed}.",
            f"It read {counters.prompt_tokens} tokens ({counters.reused_tokens} from the cache, {counters.evaluated_tokens} anew) "
            f"and wrote {counters.reply_tokens} in {counters.total_seconds:.1f} s, the first after {counters.first_token_seconds:.1f} s.",
        ]
        if self.exemplars:
            lines.append("It was reminded of having said:")
            lines += [f"  [{e.id}] “{e.said}” — “{e.reply}”" for e in self.exemplars]
        if self.stamp.lore:
            lines.append(f"Lore that came up: {', '.join(self.stamp.lore)}.")
        if self.stamp.memories:
            lines.append(f"Memories that came up: {', '.join(self.stamp.memories)}.")
        return "\n".join(lines)


async def why(desk: Desk, caller: Caller, message_id: str | None = None) -> Explanation:
    """What made a reply; the channel's last one when no message is named. Raises ``CommandRefused``."""
    store = desk.store
    delivery = await (store.delivery_of(caller.channel, message_id) if message_id else store.last_delivery(caller.channel))
    if delivery is None or delivery.stamp is None:
        raise CommandRefused("There is no finished reply here to explain.")
    character = desk.company.by_id(delivery.character_id)
    lines = {e.id: e for e in character.lines} if character else {}
    return Explanation(
        character=character.name if character else delivery.character_id,
        text=delivery.text,
        stamp=delivery.stamp,
        exemplars=tuple(lines[i] for i in delivery.stamp.exemplars if i in lines),
        memories=tuple([(memory, await _words(desk, caller, memory)) for memory in delivery.stamp.memories]),
    )


async def _words(desk: Desk, caller: Caller, memory: str) -> str:
    """What a memory says, if the caller may read it: their own, the place's, or what was said in this channel."""
    kind, _, number = memory.partition(":")
    if not number.isdecimal():
        return ""
    if kind == "fact":
        fact = await desk.store.fact(int(number))
        return fact.text if fact is not None and (fact.person_id == caller.person.id or fact.person_id == EVERYBODY) else ""
    if kind == "turn":
        try:
            turn = await desk.store.turn(int(number))
        except StoreError:  # it was forgotten since
            return ""
        return f"{turn.author_name}: {turn.text}" if turn.channel == caller.channel else ""
    return ""
