"""Commands about a person's own data: what is stored, what they agreed to, a copy of it, and its end.

Everybody may use them for themselves, also somebody who is blocked. Only an operator may ask in another person's name.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from bot.commands.desk import Caller, Desk, operators_only
from bot.errors import BotError, CommandRefused, StoreBusy, StoreError
from bot.memory.collected import Reached, forget_saved_states, leave_files
from bot.memory.store import Consent, ConsentKind, Store

log = logging.getLogger(__name__)

EXPORT_PAUSE_SECONDS = 600.0
FORGOTTEN = "forgotten"  # in the data folder: when a command beside the server last had somebody forgotten


@dataclass(frozen=True, slots=True)
class Wording:
    """What a person is shown before they answer. A changed text gets a new version: receipts name the one that was read."""

    version: str
    text: str


WORDINGS: Mapping[ConsentKind, Wording] = MappingProxyType(
    {
        "remember": Wording(
            "remember-1",
            "Troupe stores what you say where its characters can hear you, so that they can answer and remember you. "
            "You may turn that off at any time: then your words are used while the conversation runs and stored no longer "
            "than it takes to answer. What was stored before stays until you remove it with /privacy forget.",
        ),
        "train": Wording(
            "train-1",
            "You may let whoever runs this Troupe use what you say to its characters, and their replies to you, to train the "
            "model that speaks for them. This is off until you agree, and off again from the moment you withdraw. Nobody can "
            "agree for you. A model that was trained before cannot unlearn, but is listed, so that it can be taken out of use.",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class PrivacyStatus:
    person_id: str
    remember: bool
    train: bool
    answers: tuple[Consent, ...]  # every answer they ever gave, oldest first
    stored: Mapping[str, int]  # kind of row -> how many

    def __str__(self) -> str:
        rows = ", ".join(f"{count} {name}" for name, count in self.stored.items()) or "nothing"
        answered = [f"  {a.at:%Y-%m-%d %H:%M} UTC: {a.kind} {'allowed' if a.granted else 'refused'} ({a.wording})" for a in self.answers]
        return "\n".join(
            [
                f"Remembering is {'on' if self.remember else 'off'}; use for training is {'allowed' if self.train else 'not allowed'}.",
                f"Stored about you: {rows}.",
                *(["Your answers so far:", *answered] if answered else []),
                "/privacy consent changes it, /privacy export gives you everything, /privacy forget removes everything.",
            ]
        )


@dataclass(frozen=True, slots=True)
class Forgotten:
    person_id: str
    rows: Mapping[str, int]  # table -> how many rows went
    copies: int  # backups that were rewritten
    reached: Reached  # what was collected to train on

    def __str__(self) -> str:
        went = ", ".join(f"{count} {name}" for name, count in self.rows.items()) or "nothing was stored"
        copies = f" They were taken out of {self.copies} backup{'s' if self.copies != 1 else ''} too." if self.copies else ""
        return (
            f"Forgotten: {went}.{copies}{told_of(self.reached)} Only a block stays, if there is one. "
            "Whoever speaks again is met as a stranger, and remembered like one: /privacy consent turns that off."
        )


async def status(desk: Desk, caller: Caller, person_id: str | None = None) -> PrivacyStatus:
    """What is stored about the caller, in numbers, and what they agreed to."""
    return await status_of(desk.store, _whom(caller, person_id))


async def status_of(store: Store, person_id: str) -> PrivacyStatus:
    everything = await store.everything_of(person_id)
    return PrivacyStatus(
        person_id=person_id,
        remember=await store.consented(person_id, "remember"),
        train=await store.consented(person_id, "train"),
        answers=tuple(await store.consents(person_id)),
        stored=MappingProxyType(dict(Counter({name: len(rows) for name, rows in everything.items() if name != "people"}))),
    )


async def consent(desk: Desk, caller: Caller, kind: ConsentKind, granted: bool) -> str:
    """Record the caller's answer, with the place and the text that they read. It counts from their next message on.

    Nobody can answer for somebody else, an operator neither.
    """
    if kind not in WORDINGS:
        raise CommandRefused("One can agree to two things: remember, and train.")
    await desk.store.record_consent(caller.person, kind, granted, channel=caller.channel, wording=WORDINGS[kind].version)
    if kind == "remember":
        if granted:
            return "You are remembered from your next message on."
        return "Your words are not stored from your next message on. What is stored already, /privacy forget removes."
    if granted:
        return "Thank you: from your next message on, what you say to characters may be used for training. You may withdraw at any time."
    return f"Nothing you say is used for training.{told_of(await leave_training(desk.store, desk.models, caller.person.id))}"


async def export(desk: Desk, caller: Caller, person_id: str | None = None) -> tuple[str, bytes]:
    """File name and JSON of everything stored about the caller. For their eyes: send it privately.

    Raises:
        CommandRefused: asked for a moment ago.
    """
    person_id = _whom(caller, person_id)
    if not desk.router.gate.once(f"export {person_id}", EXPORT_PAUSE_SECONDS):
        raise CommandRefused(f"That was given to you a moment ago; ask again in {EXPORT_PAUSE_SECONDS / 60:.0f} minutes.")
    return await export_of(desk.store, person_id)


async def export_of(store: Store, person_id: str) -> tuple[str, bytes]:
    everything = {"person": person_id, "made_at": datetime.now(UTC).isoformat(), **await store.everything_of(person_id)}
    name = "-".join(part for part in person_id.replace(":", " ").split() if part.isalnum()) or "person"
    return f"troupe-{name}.json", json.dumps(everything, ensure_ascii=False, indent=2).encode("utf-8", "replace")


async def forget(desk: Desk, caller: Caller, person_id: str | None = None) -> Forgotten:
    """Remove everything stored about a person, from backups too; a block stays. There is no way back.

    Raises:
        CommandRefused: somebody else's data, and the caller is no operator.
        StoreError: it was not carried out, or not everywhere; the sentence says where.
    """
    person_id = _whom(caller, person_id)
    await desk.router.stop(caller.channel)
    await desk.router.forget_sessions()
    rows = await desk.store.forget(person_id)
    await forget_character(desk)
    return await forget_traces(desk.store, desk.models, person_id, rows)


async def forget_character(desk: Desk) -> None:
    """Characters are gone from the database: from the cast, from pictures, and from everything that was read of them, too.

    Raises:
        StoreError: a picture could not be removed.
    """
    await desk.company.forget()
    await desk.router.forget_sessions()
    await asyncio.to_thread(forget_saved_states, desk.models)


def note_forgetting(data: Path) -> None:
    """Tell a server that may run beside this process: what it holds in memory may be gone from the database."""
    (data / FORGOTTEN).write_text(f"{datetime.now(UTC).isoformat()}\n", encoding="utf-8")


async def follow_forgetting(desk: Desk, data: Path, seconds: float) -> None:
    """Let go of what another process has had forgotten, as its note says; look for one every so often. Ends by being cancelled."""
    known = await asyncio.to_thread(_noted, data)
    while True:
        await asyncio.sleep(seconds)
        noted = await asyncio.to_thread(_noted, data)
        if noted == known:
            continue
        try:
            await forget_character(desk)
        except BotError as error:
            log.warning("what was forgotten beside this process is still in its memory; trying again error=%s", error)
        else:
            known = noted
            log.info("somebody was forgotten beside this process")


def _noted(data: Path) -> str:
    try:
        return (data / FORGOTTEN).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


async def leave_training(store: Store, models: Path, person_id: str) -> Reached:
    """Take a person out of everything that was collected to train on, and name the models that saw their words.

    Raises:
        StoreError: a file could not be changed; the sentence says which.
    """
    try:
        return await asyncio.to_thread(leave_files, store.backups.parent, models, person_id)
    except OSError as error:
        raise StoreError(
            f"{error.filename}: what was collected there could not be changed ({error.strerror}); delete it by hand"
        ) from error


def told_of(reached: Reached) -> str:
    """For the person: what of the training they were in."""
    told = ""
    if reached.rows:
        told += f" {reached.rows} rows collected from you went too, with everything that was made of them."
    if reached.builds:
        told += (
            f" These models were trained with your words and cannot unlearn them: {', '.join(reached.builds)}; ask for them to be retired."
        )
    return told


async def forget_traces(store: Store, models: Path, person_id: str, rows: Mapping[str, int]) -> Forgotten:
    """The second half of forgetting, after the ``rows`` of the database: what was collected, copies, saved prompts, the log."""
    reached = await leave_training(store, models, person_id)
    await asyncio.to_thread(forget_saved_states, models)
    copies = await store.forget_in_backups(person_id)
    try:
        await store.checkpoint()
    except StoreBusy:
        # Somebody is reading a long conversation just now. What is in the log is overwritten by the next writes.
        log.warning("the write-ahead log could not be emptied after a forgetting; the next checkpoint does it")
    log.info("somebody was forgotten rows=%d copies=%d", sum(rows.values()), copies)
    return Forgotten(person_id, MappingProxyType(rows), copies, reached)


def _whom(caller: Caller, person_id: str | None) -> str:
    if person_id is not None and person_id != caller.person.id:
        operators_only(caller, "ask for somebody else's data")
        return person_id
    return caller.person.id
