"""Somebody's data: shown, given, and gone for good; and words that are not kept at all."""

import asyncio
import json

import pytest

from bot.commands import admin, chat, memory, privacy, registering
from bot.errors import CommandRefused
from bot.memory.collected import digest
from bot.messages import ChannelKey, Person
from tests.commands.conftest import ANNA, BEN, GUILD
from tests.house import open_test_house, said

CANARY = "the heron sleeps under bridge forty-one"
DIRECT = ChannelKey("telegram", "90210")
CARLA = Person("telegram:90210", "Carla")


def found_in(folder, *texts):
    """Which of the texts stand in any file, as they are kept there."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return [text for text in texts if any(text.encode() in data for data in files)]


async def test_consents_are_separate_dated_and_name_the_text_and_the_place(house, as_):
    before = await privacy.status(house.desk, as_())
    await privacy.consent(house.desk, as_(), "train", True)
    await privacy.consent(house.desk, as_(), "remember", False)
    after = await privacy.status(house.desk, as_())

    assert (before.remember, before.train, before.answers) == (True, False, ())
    assert (after.remember, after.train) == (False, True)
    assert [(a.kind, a.granted, a.channel, a.wording) for a in after.answers] == [
        ("train", True, GUILD, "train-1"),
        ("remember", False, GUILD, "remember-1"),
    ]
    assert "use for training is allowed" in str(after)
    with pytest.raises(CommandRefused, match="remember, and train"):
        await privacy.consent(house.desk, as_(), "everything", True)


async def test_an_export_holds_the_persons_rows_and_nobody_elses(house, as_, exchange):
    await exchange(f"I say {CANARY}.", "Aye.")
    await exchange("Mine.", "Yours.", author=BEN)
    await memory.add(house.desk, as_(), "Ada", "I like tea.")
    await chat.rate(house.desk, as_(), "up")

    filename, data = await privacy.export(house.desk, as_())

    rows = json.loads(data)
    assert filename == "troupe-discord-501.json"
    assert [t["text"] for t in rows["turns"]] == [f"I say {CANARY}."]
    assert [r["text"] for r in rows["replies"]] == ["Aye."]
    assert (rows["facts"][0]["text"], rows["ratings"][0]["value"]) == ("I like tea.", 5)
    assert "Mine." not in data.decode()
    with pytest.raises(CommandRefused, match="ask again in 10 minutes"):
        await privacy.export(house.desk, as_())


async def test_forgetting_leaves_nothing_of_a_person_in_the_data_folder(config, as_, port):
    """Searched in every file as bytes: database, log, portraits and the backup that was made before."""
    async with open_test_house(config) as house:
        store = house.desk.store
        for author, channel in ((ANNA, GUILD), (CARLA, DIRECT)):
            for number in range(3):
                text = f"{number}: I say {CANARY} {author.id}."
                [*_] = await asyncio.wait_for(
                    await house.router.hear(
                        said(text, port, channel=channel, author=author, mentions=("house/ada",), direct=channel == DIRECT)
                    ),
                    60,
                )
        bens = await store.remember(said("<@501> is nice, and <@!501> too.", port, channel=GUILD, author=BEN), ["house/ada"])
        for person in (ANNA, CARLA):
            caller = as_(person=person, channel=GUILD if person is ANNA else DIRECT)
            await memory.add(house.desk, caller, "Ada", f"Of me: {CANARY}.", everywhere=True)
            await privacy.consent(house.desk, caller, "train", True)
        await chat.rate(house.desk, as_(), "up")
        await store.put_recap(GUILD, "house/ada", bens.id, f"Anna said that {CANARY}.")
        await registering.create(house.desk, as_("moderator"), "Cora", description="Cora mends clocks.")
        await admin.block(house.desk, as_("moderator", person=BEN), "user", "discord:666")
        await chat.report(house.desk, as_())
        await store.ask_likeness(ANNA.id, GUILD.scope, "Tilda Wren", by=BEN.id)
        await store.ask_likeness(BEN.id, GUILD.scope, "Otto Pell", by=ANNA.id)
        await store.backup(config.paths.data / "backups" / "yesterday.db")
        assert found_in(config.paths.data, CANARY, "discord:501", "telegram:90210") != []

        gone = await privacy.forget(house.desk, as_())
        await privacy.forget(house.desk, as_(person=CARLA, channel=DIRECT))

        assert gone.rows["turns"] == 6 and gone.rows["replies"] == 3 and gone.copies == 1
        assert found_in(config.paths.data, CANARY, "discord:501", "telegram:90210", "90210", "<@501>", "<@!501>") == []
        assert [t.text for t in await store.history(GUILD, None, limit=9)] == ["<@0> is nice, and <@0> too."]
        assert (await privacy.status(house.desk, as_())).stored == {}
        assert [(asked.person_id, asked.asked_by) for asked in await store.likenesses()] == [(BEN.id, "")]
        [reply] = await asyncio.wait_for(await house.router.hear(said("Ada?", port, channel=GUILD, mentions=("house/ada",))), 60)
        assert reply.text
    assert found_in(config.paths.data, CANARY) == []


async def test_a_block_outlives_a_forgetting(house, as_, exchange):
    await exchange("Hello?", "Aye.")
    await admin.block(house.desk, as_("moderator", person=BEN), "user", ANNA.id, reason="flooded")

    await privacy.forget(house.desk, as_())

    assert [b.subject for b in await admin.blocked(house.desk, as_("moderator"))] == [ANNA.id]


async def test_an_operator_may_have_somebody_forgotten_who_asked_elsewhere(house, as_, exchange):
    await exchange("Hello?", "Aye.")

    forgotten = await privacy.forget(house.desk, as_("operator", person=BEN), ANNA.id)

    assert "2 turns" in str(forgotten)
    assert await house.desk.store.person(ANNA.id) is None


async def test_whoever_withdraws_is_answered_and_not_stored(config, port, as_):
    """The running conversation knows the words, for another take too; no file does, neither their words nor the answers."""
    async with open_test_house(config) as house:
        await privacy.consent(house.desk, as_(), "remember", False)

        async def say(text):
            [reply] = await asyncio.wait_for(
                await house.router.hear(said(text, port, channel=GUILD, author=ANNA, mentions=("house/ada",))), 60
            )
            return reply

        first = await say(f"I say {CANARY}.")
        second = await say("Well?")
        assert first.text and second.stamp.counters.prompt_tokens > first.stamp.counters.prompt_tokens
        [again] = await asyncio.wait_for(await chat.regenerate(house.desk, as_(), second.message_id), 60)

        assert await house.desk.store.history(GUILD, None, limit=9) == []
        await house.desk.store.checkpoint()
        replies = [r.text for r in (first, second, again) if len(r.text) > 8]
        assert found_in(config.paths.data, CANARY, *replies) == []

        await house.router.forget_session(GUILD)
        with pytest.raises(CommandRefused, match="was not kept"):
            await asyncio.wait_for(await chat.regenerate(house.desk, as_(), second.message_id), 60)


async def test_words_that_were_not_kept_are_not_answered_after_a_crash(config, port, as_):
    async with open_test_house(config) as house:
        await privacy.consent(house.desk, as_(), "remember", False)
        await house.desk.store.remember(said(CANARY, port, channel=GUILD, author=ANNA), ["house/ada"], keep_words=False)

        assert await house.router.take_up(lambda _: port) == 0
        assert await house.desk.store.pending() == []


async def test_withdrawing_and_forgetting_reach_what_was_collected_and_name_the_models(house, config, as_, exchange):
    """Rows, the operator's decisions, and everything that was made of them in a run; saved prompts go with them."""
    await exchange("Hello?", "Aye.")
    run = config.paths.data / "runs" / "loop-1"
    row = json.dumps({"key": "gold-1", "said": CANARY, "people": [ANNA.id]}) + "\n"
    bens = json.dumps({"key": "gold-2", "said": "hello", "people": [BEN.id]}) + "\n"
    for file in (run / "collect" / "gold.jsonl", run / "lessons" / "train.jsonl", config.paths.data / "exports" / "old" / "gold.jsonl"):
        file.parent.mkdir(parents=True)
        file.write_text(row + bens)
    (config.paths.data / "curation.jsonl").write_text(row)
    (config.paths.models / "prefixes").mkdir(parents=True)
    (config.paths.models / "prefixes" / "ada.state").write_bytes(b"state")
    (config.paths.models / "loop-1.manifest.json").write_text(json.dumps({"trained_on": {"people": [digest(ANNA.id)]}}))

    withdrawn = await privacy.consent(house.desk, as_(), "train", False)

    assert "4 rows collected from you" in withdrawn and "loop-1" in withdrawn
    assert (run / "collect" / "gold.jsonl").read_text() == bens
    assert not (run / "lessons").exists()
    gone = await privacy.forget(house.desk, as_())
    assert gone.reached.builds == ("loop-1",) and "cannot unlearn" in str(gone)
    assert found_in(config.paths.data, CANARY, ANNA.id) == []
    assert not list((config.paths.models / "prefixes").iterdir())
