"""Presses of buttons, as the house's commands. Every press is answered, or Telegram shows a clock until it gives up."""

from __future__ import annotations

import logging

from telegram import CallbackQuery, InlineKeyboardMarkup
from telegram.error import TelegramError

from bot.commands import character, chat, likeness, privacy
from bot.commands.voice import speaks
from bot.connectors import telegram_buttons as buttons
from bot.connectors.telegram_answers import WENT_WRONG, Asked
from bot.connectors.telegram_commands import FORGET_QUESTION, NO_TAKE, about, change_setting, settings_of, wake
from bot.connectors.telegram_tongue import in_language
from bot.connectors.telegram_voice import RECORDING, send_aloud
from bot.errors import BotError, CommandRefused
from bot.memory.store import ConsentKind

log = logging.getLogger(__name__)

LONGEST_TOAST = 190  # characters; Telegram shows 200
OLD_BUTTON = "That button is from another time; please ask anew."
ABOUT_RIGHTS = frozenset({buttons.SET})


async def pressed(query: CallbackQuery, asked: Asked) -> None:
    """Carry a press out; what is to be said shortly appears over the chat, for the one who pressed alone."""
    try:
        said = await _carry_out(query.data or "", asked)
    except BotError as error:
        said = str(error)
    except Exception:
        asked.office.later(_toast(query, in_language(WENT_WRONG, asked.language)), "toast")
        raise
    asked.office.later(_toast(query, in_language(said, asked.language)), "toast")


async def _carry_out(data: str, asked: Asked) -> str:
    desk, caller = asked.desk, asked.caller
    what, *rest = data.split(":")
    message_id = str(asked.message.message_id)
    match what, rest:
        case buttons.AGAIN, []:
            asked.unless_spoken(await chat.regenerate(desk, caller, message_id), NO_TAKE)
            return "Another take …"
        case buttons.EARLIER, []:
            await chat.previous_take(desk, caller, message_id)
            return ""
        case buttons.LATER, []:
            await chat.next_take(desk, caller, message_id)
            return ""
        case buttons.UP, []:
            return await chat.rate(desk, caller, "up", message_id)
        case buttons.DOWN, []:
            return await chat.rate(desk, caller, "down", message_id)
        case buttons.HEAR, []:
            await send_aloud(asked, message_id)
            return RECORDING
        case buttons.STOP, []:
            speaking = desk.router.speaking(caller.channel)
            said = await chat.stop(desk, caller)
            if not speaking:  # it was said to its end, and its process died before the buttons could be exchanged
                asked.office.later(_exchange_buttons(asked), "buttons")
            return said
        case buttons.PICK, [named]:
            return await _pick(asked, named)
        case buttons.SLEEP, [named]:
            here = buttons.found(await desk.company.awake(caller.channel), named)
            if here is None:
                raise CommandRefused(OLD_BUTTON)
            await character.sleep(desk, caller, here.slug)
            return f"{here.name} leaves."
        case buttons.SET, [setting, value]:
            await change_setting(asked, setting, value)
            text, always, adults = await settings_of(asked)
            asked.office.later(_rewrite(asked, text, buttons.of_settings(always=always, adults=adults)), "settings")
            return "Changed."
        case _:
            return await _about_data(what, rest, asked)


async def _about_data(what: str, rest: list[str], asked: Asked) -> str:
    """One's own data: only in a private chat, where nobody else can press."""
    if not asked.private:
        raise CommandRefused(OLD_BUTTON)
    desk, caller = asked.desk, asked.caller
    match what, rest:
        case buttons.CONSENT, [kind] if kind in privacy.WORDINGS:
            asked.answer(privacy.WORDINGS[_kind(kind)].text, buttons.to_answer(kind))
            return ""
        case buttons.CONSENT, [kind, yes] if kind in privacy.WORDINGS:
            said = await privacy.consent(desk, caller, _kind(kind), yes == "yes")
            asked.office.later(_rewrite(asked, f"{privacy.WORDINGS[_kind(kind)].text}\n\n{said}", None), "consent")
            return said
        case buttons.LIKENESS, []:
            asked_for = await likeness.questions(desk, caller)
            for question in asked_for:
                asked.answer(f"{likeness.wording_of(question)}\n{likeness.state_of(question)}", buttons.to_lend(question.id))
            return "" if asked_for else likeness.NOBODY_ASKED
        case buttons.LIKENESS, [number, yes] if number.isdecimal():
            said = await likeness.answer(desk, caller, int(number), yes == "yes")
            asked.office.later(_rewrite(asked, said, None), "likeness")
            return said
        case buttons.EXPORT, []:
            asked.answer_with_file("Everything that is stored about you.", *await privacy.export(desk, caller))
            return ""
        case buttons.FORGET, []:
            asked.answer(FORGET_QUESTION, buttons.to_forget())
            return ""
        case buttons.FORGET, ["yes"]:
            asked.office.later(_rewrite(asked, str(await privacy.forget(desk, caller)), None), "forget")
            return "Forgotten."
        case _:
            raise CommandRefused(OLD_BUTTON)


async def _pick(asked: Asked, named: str) -> str:
    wanted = buttons.found(list(asked.desk.company.seen_in(asked.caller.channel)), named)
    if wanted is None:
        raise CommandRefused(OLD_BUTTON)
    if not asked.private:
        await wake(asked, wanted.slug)
        return f"{wanted.name} comes in."
    info = await character.choose(asked.desk, asked.caller, wanted.slug)
    asked.show(info.character, about(info, asked.language))
    return f"{wanted.name} is all ears."


def _kind(kind: str) -> ConsentKind:
    return "train" if kind == "train" else "remember"


async def _toast(query: CallbackQuery, text: str) -> None:
    try:
        await query.answer(text[:LONGEST_TOAST] or None, show_alert=len(text) > 60)
    except TelegramError as error:  # too late for it, mostly
        log.info("a press could not be answered error=%s", type(error).__name__)


async def _exchange_buttons(asked: Asked) -> None:
    """Give a reply that nobody is making any more the buttons of a finished one."""
    finished = buttons.under_reply(voiced=speaks(asked.desk))
    await asked.account.bot.edit_message_reply_markup(asked.address.chat_id, asked.message.message_id, reply_markup=finished)


async def _rewrite(asked: Asked, text: str, keyboard: InlineKeyboardMarkup | None) -> None:
    """Put an answer in the place of the message whose button was pressed."""
    await asked.account.bot.edit_message_text(text, asked.address.chat_id, asked.message.message_id, reply_markup=keyboard)
