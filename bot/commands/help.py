"""What each command does, in one text for every platform: a connector takes its descriptions and its /help from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bot.commands.desk import MADE_UP, Caller, Desk
from bot.commands.voice import speaks


@dataclass(frozen=True, slots=True)
class Command:
    """``words`` fits where a platform shows a description (100 characters on Discord)."""

    name: str  # "character create": group and verb
    words: str
    moderator: bool = False
    operator: bool = False
    voiced: bool = False  # only where somebody speaks aloud


def _commands(*commands: Command) -> Mapping[str, Command]:
    return MappingProxyType({command.name: command for command in commands})


COMMANDS: Mapping[str, Command] = _commands(
    Command("help", "What can be said and done here"),
    Command("character list", "Who there is, and who is in this channel"),
    Command("character info", "About one character"),
    Command("character wake", "Bring a character into this channel"),
    Command("character sleep", "Send a character out of this channel"),
    Command("character create", "Register a new character", moderator=True),
    Command("character import", "Register a character from a card file (PNG, JSON, YAML, CHARX, BYAF)", moderator=True),
    Command("character export", "A character's card as a file", moderator=True),
    Command("character edit", "Change a registered character", moderator=True),
    Command("character avatar", "Give a character another portrait", moderator=True),
    Command("character delete", "Take a registered character out of the company", moderator=True),
    Command("character portray", "Make a character from a member's messages, if that member agrees", moderator=True),
    Command("character share", "Let every server see a character that was registered here", operator=True),
    Command("chat regenerate", "Another take of a reply; the earlier ones are kept"),
    Command("chat continue", "Let whoever spoke last go on"),
    Command("chat stop", "Stop the reply that is being made"),
    Command("chat undo", "Take back the last exchange: yours, or as a moderator anybody's"),
    Command("chat scene", "Say where the conversation plays"),
    Command("chat reset", "Let the characters here begin afresh; nothing is deleted"),
    Command("chat take", "Go back to an earlier take of a reply, or on to a later one"),
    Command("chat rate", "Say how good a reply was"),
    Command("chat hear", "Hear the last reply as a voice message", voiced=True),
    Command("chat report", "Tell the moderators that a reply should not have been made"),
    Command("chat edit", "Change what a character has said", moderator=True),
    Command("chat hide", "Take a message away, for people and characters alike", moderator=True),
    Command("memory list", "What characters remember about you"),
    Command("memory add", "Tell a character something to remember about you"),
    Command("memory edit", "Change something that a character remembers about you"),
    Command("memory pin", "Let a character always have something in mind, or no longer"),
    Command("memory remove", "Let a character forget one thing about you"),
    Command("privacy status", "What is stored about you, and what you have agreed to"),
    Command("privacy consent", "Agree to being remembered or to training, or withdraw it"),
    Command("privacy likeness", "Characters that may be made from your messages: agree, or withdraw"),
    Command("privacy export", "Everything stored about you, as a file"),
    Command("privacy forget", "Remove everything stored about you"),
    Command("lore list", "What a character knows when it comes up", moderator=True),
    Command("lore add", "Tell a character something to know when it comes up", moderator=True),
    Command("lore edit", "Change an entry of a character's lore", moderator=True),
    Command("lore remove", "Take an entry out of a character's lore", moderator=True),
    Command("admin block", "Do not hear a person, a role or a channel, for a while or for good", moderator=True),
    Command("admin allow", "Hear somebody again who was blocked", moderator=True),
    Command("admin blocked", "Who is not heard here, and until when", moderator=True),
    Command("admin quota", "How many messages a person may send here", moderator=True),
    Command("admin channel", "How characters behave in this channel", moderator=True),
    Command("admin reports", "What members have reported and nobody has looked at", moderator=True),
    Command("admin settle", "A reported reply stays as it is", moderator=True),
    Command("admin status", "How the company is doing", moderator=True),
    Command("model status", "Which model answers", operator=True),
    Command("model use", "Let another model answer", operator=True),
    Command("model try", "Let a share of the channels try another model; ratings decide", operator=True),
    Command("model rollback", "Take away what is tried, or go back to the model before", operator=True),
    Command("why", "What made a reply"),
)


def commands_for(desk: Desk, caller: Caller) -> list[Command]:
    """The commands that somebody may use, in the order in which they are shown."""
    allowed = [c for c in COMMANDS.values() if (caller.moderates or not c.moderator) and (caller.operator or not c.operator)]
    return [c for c in allowed if speaks(desk) or not c.voiced]


def help_text(desk: Desk, caller: Caller, command: str = "") -> str:
    """What somebody can do here; with ``command`` ("memory", "chat undo") only those whose name begins so."""
    wanted = " ".join(command.removeprefix("/").split()).casefold()
    offered = commands_for(desk, caller)
    shown = [c for c in offered if c.name.startswith(wanted)] or offered
    lines = [f"/{c.name}: {c.words}" for c in shown]
    if wanted and len(shown) < len(offered):
        return "\n".join([*lines, MADE_UP])
    opening = (
        "Just talk. A name in your message, or a reply to a message, calls that character; ((double parentheses)) keep you out of the play."
    )
    return "\n".join([opening, *lines, MADE_UP])
