"""A simulated community: talk -> rate -> collect -> retrain -> gate -> swap -> talk, on a real house, a real model, a real trainer.

    python benchmarks/community.py     # 50 people, 6 characters, 2,000 turns; training reads 120,000 tokens, and 20,000 for the bad build
    python benchmarks/community.py --turns 60 --people 8 --budget 20000 --bad-budget 8000 --after 40

The people follow fixed rules and say lines that were written here; half of them agree to training. What they like is known: short
answers (``SHORT_WORDS`` words at most). They give thumbs, ask for another take of what is too long and go on with the shortest, and
one moderator, who agreed, cuts some replies down. So whether the loop learns can be measured: the share of first replies that are
short, before and after, while everybody goes on as before. Two more builds are brought to the door: one that learnt from shuffled
labels, which the gate has to refuse, and a file that was cut off, which the bot has to refuse while the other goes on.

Training reads ``--budget`` and ``--bad-budget`` tokens at the most: 23 minutes on two cores at 100 tokens/s. Killed at any
moment, the same command goes on: talking with the part that was begun (its forty turns are said again), training where it was.
``--anew`` begins from nothing, ``--train-anew`` from what was said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from bot.commands import chat, privacy
from bot.commands.desk import Caller
from bot.config import Config, Paths
from bot.engine import models
from bot.engine.swap import SwappingEngine
from bot.errors import BotError, CommandRefused, ModelNotLoadable
from bot.house import House, open_house
from bot.memory.collected import COLLECTED, RUNS, digest
from bot.messages import ChannelKey, Face, Incoming, Limits, Person, Reply
from trainer.collect import CollectSettings, Kind, Row, read_rows, write_rows
from trainer.errors import GateFailed
from trainer.evaluate_intervals import Interval, mean
from trainer.export import ExportSettings
from trainer.manifest import read_json
from trainer.publish import place
from trainer.retrain import BEGAN_FROM, Places, RetrainSettings, retrain
from trainer.retrain_gate import GATE, GateSettings
from trainer.retrain_lessons import LessonSettings, divided

HERE = Path(__file__).resolve().parent.parent
CAST = ("mara-quill", "odo-brandt", "ludo-marchbanks", "ines-calloway", "tamsin-rook", "grizel-mottram")
CHANNELS = 8
SHORT_WORDS = 32  # the starter says some forty words at a time
SAME = "same-again"  # the old model under another name: what is swapped in where the new one did not pass
FIRST, TORN = "first", "cut-off"
PART = 40  # turns that are said between two looks at the journal
JOURNAL = "talked.jsonl"
JUDGED = ("rated", "taken_again", "edited")
OPENINGS = ("{who}, what do you make of {what}?", "Tell me about {what}, {who}.", "{who}! Have you met {what}?", "So, {who}: {what}. Well?")
THINGS = (
    *("the fog this morning", "a door that sticks", "wet socks", "the last bus", "blue cheese", "my neighbour's trumpet", "a lost glove"),
    *("the price of candles", "Sunday", "thunder", "an empty jar", "stairs", "the smell of rope", "a borrowed umbrella", "cold soup"),
    *("old letters", "a kettle that whistles", "the tide", "second chances", "a three-legged cat", "waiting", "buttons", "moonlight"),
    *("a bad haircut", "the ferry", "onions", "birthdays", "a stone in my shoe", "the town clock", "secrets", "mud", "an early frost"),
)
TAILS = (
    "",
    " I was just wondering.",
    " Be honest with me.",
    " My aunt says it is bad luck.",
    " It kept me awake.",
    " You know these things.",
)


@dataclass(frozen=True, slots=True)
class Plan:
    people: int = 50
    turns: int = 2000
    after: int = 800  # turns with the new build, judged like all others
    budget: int = 120_000
    bad_budget: int = 20_000  # 0: there is no bad build
    seed: int = 7
    types: tuple[str, ...] = ("Q8_0", "Q6_K")
    probes: int = 40
    watch: int = 4  # held-out exchanges of each character that training watches; the gate measures on the others
    reply_tokens: int = 60
    short_words: int = SHORT_WORDS
    patience: float = 0.6  # share of replies that are too long and let be
    prefer_rate: float | None = None  # of learning from pairs; None: retrain's own
    cast: tuple[str, ...] = CAST
    threads: int | None = None


@dataclass(slots=True)
class Outcome:
    seed: int
    turns: int = 0
    agreed: int = 0
    rated: int = 0
    taken_again: int = 0
    edited: int = 0
    talk_minutes: float = 0.0
    short_before: str = ""
    short_after: str = ""
    gain: str = ""
    words_before: str = ""
    words_after: str = ""
    fewer_words: str = ""
    passed: bool = False
    reasons: str = ""
    gate: list[dict[str, Any]] = field(default_factory=list)
    collected: dict[str, int] = field(default_factory=dict)
    retrain_minutes: float = 0.0
    bad_build_refused: bool = False
    bad_build_reasons: str = ""
    cut_off_refused: str = ""
    answered_after_cut_off: str = ""
    rows_without_consent: int = 0
    words_without_consent: int = 0
    swap_seconds: float = 0.0
    replies_across_swap: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0
    longest_pause_seconds: float = 0.0
    longest_pause_without_swap: float = 0.0
    forget_seconds: float = 0.0
    found_after_forgetting: int = 0


Said = tuple[Person, str, str, random.Random]  # who, to which character, what; and the dice of whoever judges the reply


class Screen:
    """A channel that remembers when each message grew. The longest wait between two pieces is a stream's longest pause."""

    limits = Limits(length=4000, edit_seconds=0.0)

    def __init__(self) -> None:
        self.shown: dict[str, float] = {}  # sent id -> when it last grew
        self.pauses: list[float] = []
        self.notices: list[str] = []

    async def open(self, character: Face, text: str) -> str:
        sent_id = uuid4().hex
        self.shown[sent_id] = time.monotonic()
        return sent_id

    async def edit(self, sent_id: str, text: str) -> None:
        now = time.monotonic()
        self.pauses.append(now - self.shown[sent_id])
        self.shown[sent_id] = now

    async def remove(self, sent_id: str) -> None:
        self.shown.pop(sent_id, None)

    @asynccontextmanager
    async def typing(self, character: Face) -> AsyncIterator[None]:
        yield

    async def notice(self, text: str) -> None:
        self.notices.append(text)


class Community:
    """Everybody in it, and what they do. Two with the same seed say the same."""

    def __init__(self, house: House, plan: Plan, outcome: Outcome) -> None:
        self.house, self.plan, self.outcome = house, plan, outcome
        self.draw = random.Random(plan.seed)
        self.people = [Person(f"web:p{n:02}", f"Guest{n:02}") for n in range(plan.people)]
        self.agreed = set(self.draw.sample(self.people, plan.people // 2))
        self.moderator = Person("web:moderator", "Warden")
        self.screens = {ChannelKey("web", f"room{n}"): Screen() for n in range(CHANNELS)}
        self.script = [self._line() for _ in range(plan.turns)]
        self.sent = 0
        self.answers: list[Reply] = []

    def canary(self, person: Person) -> str:
        """What only this person says: whoever did not agree must not be found by it."""
        return f"marzipan heron {digest(person.id)[:6]}"

    async def consent(self) -> None:
        for person in (*sorted(self.agreed, key=lambda p: p.id), self.moderator):
            await privacy.consent(self.house.desk, self.caller(person, ChannelKey("web", "room0")), "train", True)
        self.outcome.agreed = len(self.agreed)

    def caller(self, person: Person, channel: ChannelKey, *, moderator: bool = False) -> Caller:
        return Caller(person, channel, self.screens[channel], moderator=moderator)

    async def talk(self, script: Sequence[Said], *, judge: bool) -> list[Reply]:
        """Eight channels at once, each one message at a time. Returns the first replies."""
        queues = [script[n::CHANNELS] for n in range(CHANNELS)]
        async with asyncio.TaskGroup() as group:
            rooms = [group.create_task(self._room(channel, lines, judge)) for channel, lines in zip(self.screens, queues, strict=True)]
        return [reply for room in rooms for reply in room.result()]

    def more(self, turns: int) -> list[Said]:
        return [self._line() for _ in range(turns)]

    def _line(self) -> Said:
        person, slug = self.draw.choice(self.people), self.draw.choice(self.plan.cast)
        name = slug.split("-")[0].title()
        text = self.draw.choice(OPENINGS).format(who=name, what=self.draw.choice(THINGS)) + self.draw.choice(TAILS)
        if self.draw.random() < 0.2:
            text += f" We call it the {self.canary(person)}."
        return person, slug, text, random.Random(self.draw.random())

    async def _room(self, channel: ChannelKey, lines: Sequence[Said], judge: bool) -> list[Reply]:
        first: list[Reply] = []
        for person, slug, text, draw in lines:
            screen = self.screens[channel]
            self.sent += 1
            message = Incoming(
                channel, uuid4().hex, person, text, None, (f"house/{slug}",), (), datetime.now(UTC), screen
            )  # fmt: skip
            done = await self.house.router.hear(message)
            replies = await done if done is not None else []
            self.answers += replies
            first += replies[:1]
            if replies and judge:
                await self._judge(channel, person, replies[0], draw)
        return first

    async def _judge(self, channel: ChannelKey, person: Person, reply: Reply, draw: random.Random) -> None:
        """Fixed rules: thumbs for one in two, another take for what is too long, and now and then the moderator's pencil."""
        desk, caller = self.house.desk, self.caller(person, channel)
        short = _words(reply.text) <= self.plan.short_words
        try:
            if draw.random() < 0.5:
                await chat.rate(desk, caller, "up" if short else "down", reply.message_id)
                self.outcome.rated += 1
            if short or draw.random() < self.plan.patience:
                return
            if draw.random() < 0.15:
                sentence = re.split(r"(?<=[.!?…])\s", reply.text)[0]
                if 2 <= _words(sentence) <= self.plan.short_words:
                    await chat.edit(desk, self.caller(self.moderator, channel, moderator=True), reply.message_id, sentence)
                    self.outcome.edited += 1
                    return
            await self._again(caller, reply)
        except (CommandRefused, BotError) as error:
            self.screens[channel].notices.append(str(error))

    async def _again(self, caller: Caller, reply: Reply) -> None:
        desk = self.house.desk
        takes = [reply.text]
        for _ in range(2):
            made = await (await chat.regenerate(desk, caller, reply.message_id))
            takes += [m.text for m in made]
            if made and _words(made[0].text) <= self.plan.short_words:
                break
        self.outcome.taken_again += 1
        best = min(range(len(takes)), key=lambda n: _words(takes[n]))
        for _ in range(len(takes) - 1 - best):
            await chat.previous_take(desk, caller, reply.message_id)


def _words(text: str) -> int:
    return len(text.split())


async def run_community(
    work: Path,
    plan: Plan,
    *,
    model: Path | None = None,
    gate: GateSettings | None = None,
    converter: ExportSettings | None = None,
    characters: Path = HERE / "characters",
    tell: Callable[[str], None] = print,
) -> Outcome:
    """The whole loop in ``work``. ``model``: another GGUF than the starter."""
    outcome = Outcome(plan.seed)
    gguf = work / "gguf"
    _prepare(gguf, model)
    config = Config(
        paths=Paths(characters=characters, models=gguf, data=work / "data"),
        # These people look at the length of a reply, two thousand times: little else than its character is shown to the model, and
        # prompts are read in larger pieces than where somebody waits for every word.
        sessions={"settle_seconds": 0, "cascade": 0, "reply_tokens": plan.reply_tokens, "channel_messages_per_minute": 0,
                  "person_messages_per_minute": 0, "recap_turns": 0, "history_turns": 2, "memory_tokens": 0,
                  "exemplar_tokens": 300},
        retrieval={"exemplars": 1},
        engine={"threads": plan.threads or "auto", "watch_seconds": 0, "chunk_tokens": 128},
    )  # fmt: skip
    training = f"{plan.budget:,} and {plan.bad_budget:,} tokens of training"
    tell(f"seed {plan.seed}: {plan.people} people, {len(plan.cast)} characters, {plan.turns} turns, {training}")
    async with open_house(config) as house:
        community = Community(house, plan, outcome)
        before = await _talk(community, work, outcome, tell)
        schooling = Schooling(work, config, plan, outcome, gate, converter, tell)
        await schooling.retrain()
        if plan.bad_budget:
            await schooling.retrain_badly()
        _search(work, community, outcome)
        await _swap(house, community, gguf, outcome, tell)
        after: list[int] = []
        for start in range(0, plan.after, PART):
            part = await _part(community, community.more(min(PART, plan.after - start)), outcome)
            after += part["words"]
            tell(f"talk on, {len(after)} of {plan.after}: {part['seconds']:.0f} s")
        _compare(before, after, plan, outcome)
        tell(f"short answers: {outcome.short_before} before, {outcome.short_after} after; gain {outcome.gain}")
        tell(f"words: {outcome.words_before} before, {outcome.words_after} after; fewer by {outcome.fewer_words}")
        await _refuse_cut_off(house, community, gguf, outcome, tell)
        await _forget(house, community, work, outcome, tell)
    return outcome


def _journal(work: Path) -> list[dict[str, Any]]:
    journal = work / JOURNAL
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()] if journal.is_file() else []


def _note(work: Path, part: dict[str, Any]) -> None:
    with (work / JOURNAL).open("a", encoding="utf-8") as file:
        file.write(json.dumps(part) + "\n")


async def _part(community: Community, script: Sequence[Said], outcome: Outcome) -> dict[str, Any]:
    """Some turns and what people thought of them; ``outcome`` keeps what it counted before."""
    told = {name: getattr(outcome, name) for name in JUDGED}
    began = time.monotonic()
    first = await community.talk(script, judge=True)
    done = {name: getattr(outcome, name) - told[name] for name in JUDGED}
    for name in JUDGED:
        setattr(outcome, name, told[name])
    return {"words": [_words(reply.text) for reply in first], "seconds": time.monotonic() - began, **done}


async def _talk(community: Community, work: Path, outcome: Outcome, tell: Callable[[str], None]) -> list[int]:
    """All turns, part by part; what was said before a kill is not said again. Returns how many words each first reply had."""
    parts = _journal(work)
    if not parts:
        await community.consent()
    outcome.agreed = len(community.agreed)
    said = f"; {len(parts) * PART} turns were said before" if parts else ""
    tell(f"talk: {outcome.agreed} of {len(community.people)} agreed to training, and one moderator{said}")
    for start in range(len(parts) * PART, len(community.script), PART):
        part = await _part(community, community.script[start : start + PART], outcome)
        _note(work, part)
        parts.append(part)
        tell(f"talk {len(parts) * PART} of {len(community.script)}: {part['seconds']:.0f} s")
    outcome.turns = sum(len(part["words"]) for part in parts)
    outcome.rated, outcome.taken_again, outcome.edited = (sum(part[name] for part in parts) for name in JUDGED)
    outcome.talk_minutes = round(sum(part["seconds"] for part in parts) / 60, 1)
    tell(f"rate: {outcome.rated} thumbs, {outcome.taken_again} asked again, {outcome.edited} edited")
    return [words for part in parts for words in part["words"]]


def _prepare(gguf: Path, model: Path | None) -> None:
    """The first model is what the house opens with, after a kill too: what was retrained is swapped in later, while people talk."""
    first = FIRST if model else models.STARTER
    if model is None:
        gguf.mkdir(parents=True, exist_ok=True)
        for file in (HERE / "gguf").glob(f"{models.STARTER}-adapter*"):
            shutil.copyfile(file, gguf / file.name)
        models.prepare_starter(gguf)
    elif not (gguf / f"{FIRST}.gguf").is_file():
        place(model, gguf, FIRST, stages={})
    models.set_current(gguf, first)


@dataclass(frozen=True, slots=True)
class Schooling:
    """Both retrainings of one community: on what was collected, and on the same rows with labels that a coin decided."""

    work: Path
    config: Config
    plan: Plan
    outcome: Outcome
    gate: GateSettings | None
    converter: ExportSettings | None
    tell: Callable[[str], None]

    async def retrain(self) -> None:
        run = self._run("loop-1")
        began = time.monotonic()
        try:
            build = await self._go(run, self.plan.budget, "")
            self.outcome.passed = True
            self.tell(f"gate: passed, {build} is published")
        except GateFailed as error:
            self.outcome.reasons = str(error)
            self.tell(f"gate: {error}")
        self.outcome.retrain_minutes = round((time.monotonic() - began) / 60, 1)
        self.outcome.collected = read_json(run / COLLECTED / "manifest.json")["figures"]
        # No checks: it was refused before, because the file was not the model that was trained.
        self.outcome.gate = read_json(run / "gate" / GATE).get("checks", [])

    async def retrain_badly(self) -> None:
        """From the same model. What the gate measures by stays true."""
        first, run = self._run("loop-1"), self._run("loop-bad")
        if not (run / COLLECTED).is_dir():
            shutil.copytree(first / COLLECTED, run / COLLECTED)
            for kind, rows in _shuffled(read_rows(run / COLLECTED), self.plan.seed).items():
                write_rows(run / COLLECTED / f"{kind}.jsonl", rows)
            shutil.copyfile(first / BEGAN_FROM, run / BEGAN_FROM)
        try:
            await self._go(run, self.plan.bad_budget, "bad: ")
        except GateFailed as error:
            self.outcome.bad_build_refused, self.outcome.bad_build_reasons = True, str(error)
        else:
            models.roll_back(self.config.paths.models)  # it must not answer anybody
        self.tell(f"bad build: {'refused, ' + self.outcome.bad_build_reasons if self.outcome.bad_build_refused else 'NOT refused'}")

    async def _go(self, run: Path, tokens: int, prefix: str) -> str:
        paths, plan = self.config.paths, self.plan
        places = Places(paths.data, paths.characters, paths.models, converter=self.converter or ExportSettings())
        few = plan.probes <= 4
        settings = RetrainSettings(
            seed=plan.seed, tokens=tokens, types=plan.types, probes=plan.probes, watch=plan.watch, questions=1 if few else 4,
            every=8 if few else 2, threads=plan.threads,
        )  # fmt: skip
        if plan.prefer_rate is not None:
            settings = settings.model_copy(update={"prefer_rate": plan.prefer_rate})
        done = await asyncio.to_thread(
            retrain, run, run.name, places, settings, CollectSettings(), self.gate, lambda stage: self.tell(f"{prefix}{stage} …")
        )
        return done.build

    def _run(self, name: str) -> Path:
        return self.work / "data" / RUNS / name


def _shuffled(rows: dict[Kind, list[Row]], seed: int) -> dict[Kind, list[Row]]:
    """Labels by the coin: which of two replies was preferred, which thumb it was; what somebody wrote goes to somebody else's words."""
    coin = random.Random(seed)
    _, tested = divided(rows["pairs"], LessonSettings(seed=seed))
    true = {row.turn for row in tested}
    written = [row.chosen for row in rows["gold"]]
    coin.shuffle(written)

    def tossed(row: Row) -> Row:
        if row.turn in true or coin.random() < 0.5:
            return row
        if row.rejected is not None:
            return replace(row, chosen=row.rejected, rejected=row.chosen)
        return replace(row, label=not row.label)

    return {
        "gold": [replace(row, chosen=text) for row, text in zip(rows["gold"], written, strict=True)],
        "pairs": [tossed(row) for row in rows["pairs"]],
        "kto": [tossed(row) for row in rows["kto"]],
    }


def _search(work: Path, community: Community, outcome: Outcome) -> None:
    """Everything that was collected, searched for those who did not agree: by id, and by what only they say."""
    held = b"".join(file.read_bytes() for file in (work / "data" / RUNS).rglob("*.jsonl"))
    others = [person for person in community.people if person not in community.agreed]
    outcome.rows_without_consent = sum(held.count(json.dumps(person.id).encode()) for person in others)
    outcome.words_without_consent = sum(held.count(community.canary(person).encode()) for person in others)


async def _swap(house: House, community: Community, gguf: Path, outcome: Outcome, tell: Callable[[str], None]) -> None:
    """Eight channels go on while the model changes under them."""
    engine = house.desk.engine
    assert isinstance(engine, SwappingEngine)
    if not outcome.passed:
        before = engine.build.rpartition(":")[2].partition("@")[0]
        place(gguf / f"{before}.gguf", gguf, SAME, stages={})
        models.set_current(gguf, SAME)
    outcome.longest_pause_without_swap = await _longest_pause(community)
    for screen in community.screens.values():
        screen.pauses.clear()
    sent, answered = community.sent, len(community.answers)
    talking = asyncio.create_task(community.talk(community.more(CHANNELS * 4), judge=False))
    while engine.status.live < CHANNELS // 2 and not talking.done():  # noqa: ASYNC110  a snapshot, not an event
        await asyncio.sleep(0.01)
    swapped = await engine.swap()
    await talking
    replies = community.answers[answered:]
    ids = Counter(reply.message_id for reply in replies)
    outcome.swap_seconds = round(swapped.seconds, 2) if swapped else 0.0
    outcome.replies_across_swap = dict(Counter(reply.stamp.build.partition("@")[0] for reply in replies))
    outcome.lost = community.sent - sent - len(replies)
    outcome.doubled = sum(count - 1 for count in ids.values())
    outcome.longest_pause_seconds = _longest(community)
    pause = f"longest pause {outcome.longest_pause_seconds} s ({outcome.longest_pause_without_swap} s without a swap)"
    tell(f"swap: {outcome.replies_across_swap}, {outcome.lost} lost, {outcome.doubled} doubled, {pause}")


async def _longest_pause(community: Community) -> float:
    """Of as much talk on one model."""
    for screen in community.screens.values():
        screen.pauses.clear()
    await community.talk(community.more(CHANNELS * 4), judge=False)
    return _longest(community)


def _longest(community: Community) -> float:
    return round(max((pause for screen in community.screens.values() for pause in screen.pauses), default=0.0), 2)


def _compare(before: Sequence[int], after: Sequence[int], plan: Plan, outcome: Outcome) -> None:
    one, two = ([float(words <= plan.short_words) for words in replies] for replies in (before, after))
    outcome.short_before, outcome.short_after, outcome.gain = str(mean(one)), str(mean(two)), str(_gain(one, two))
    outcome.words_before, outcome.words_after, outcome.fewer_words = str(mean(before)), str(mean(after)), str(_gain(after, before))


def _gain(before: Sequence[float], after: Sequence[float]) -> Interval:
    """The difference of two shares of different replies, with its 95 % interval (bootstrap, each side by itself)."""
    draw = random.Random(1)
    drawn = sorted(
        sum(draw.choices(after, k=len(after))) / len(after) - sum(draw.choices(before, k=len(before))) / len(before) for _ in range(1000)
    )
    return Interval(sum(after) / len(after) - sum(before) / len(before), drawn[25], drawn[974])


async def _refuse_cut_off(house: House, community: Community, gguf: Path, outcome: Outcome, tell: Callable[[str], None]) -> None:
    """Half a file is chosen: it is refused, and whoever answered before goes on."""
    engine = house.desk.engine
    assert isinstance(engine, SwappingEngine)
    served = engine.build
    whole = gguf / f"{served.rpartition(':')[2].partition('@')[0]}.gguf"
    half = gguf.parent / f"{TORN}.half"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    place(half, gguf, TORN, stages={})
    half.unlink()
    models.set_current(gguf, TORN)
    try:
        await engine.swap()
    except ModelNotLoadable as error:
        outcome.cut_off_refused = str(error)
    answers = await community.talk(community.more(CHANNELS), judge=False)
    builds = {reply.stamp.build for reply in answers}
    outcome.answered_after_cut_off = f"{len(answers)} of {CHANNELS} by {'the one before' if builds == {served} else sorted(builds)}"
    tell(f"cut off: {outcome.cut_off_refused or 'NOT refused'}; answered afterwards: {outcome.answered_after_cut_off}")


async def _forget(house: House, community: Community, work: Path, outcome: Outcome, tell: Callable[[str], None]) -> None:
    person = min(community.agreed, key=lambda p: p.id)
    began = time.monotonic()
    gone = await privacy.forget(house.desk, community.caller(person, ChannelKey("web", "room0")))
    outcome.forget_seconds = round(time.monotonic() - began, 2)
    wanted = [person.id.encode(), community.canary(person).encode()]
    files = [file for file in (work / "data").rglob("*") if file.is_file()]
    outcome.found_after_forgetting = sum(word in file.read_bytes() for file in files for word in wanted)
    tell(f"forget: {outcome.forget_seconds} s, found in {outcome.found_after_forgetting} files; trained with them: {gone.reached.builds}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("data/community"), help="where all of it lives (default data/community)")
    parser.add_argument("--anew", action="store_true", help="begin from nothing, whatever is in that folder")
    parser.add_argument("--model", type=Path, help="another GGUF than the starter")
    parser.add_argument("--out", type=Path, help="the figures as JSON")
    usual = Plan()
    parser.add_argument("--train-anew", action="store_true", help="keep what was said, and train and judge anew")
    parser.add_argument("--prefer-rate", type=float, help="of learning from pairs, in place of retrain's own")
    parser.add_argument("--threads", type=int, help="of the engine and of training; 1 where others compute beside")
    for name in ("people", "turns", "after", "budget", "bad_budget", "seed", "probes"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(usual, name))
    args = parser.parse_args()
    if args.anew:
        shutil.rmtree(args.work, ignore_errors=True)
    if args.train_anew:
        shutil.rmtree(args.work / "data" / RUNS, ignore_errors=True)
    plan = Plan(args.people, args.turns, args.after, args.budget, args.bad_budget, args.seed, probes=args.probes, threads=args.threads)
    plan = replace(plan, prefer_rate=args.prefer_rate)
    outcome = asyncio.run(run_community(args.work, plan, model=args.model))
    told = json.dumps(asdict(outcome), indent=1, ensure_ascii=False)
    print(told)
    if args.out:
        args.out.write_text(told + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
