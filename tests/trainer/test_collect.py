"""What is taken from conversations to learn from: with a receipt for everybody, or not at all."""

import json
from argparse import Namespace

import pytest

from bot.config import MemorySettings
from bot.memory.collected import digest, leave_files
from bot.memory.store import Store
from bot.messages import ChannelKey
from tests.trainer.company import write_company
from tests.trainer.talks import ANNA, BEN, CARA, LOBBY, MOD, agree, exchange
from trainer.collect import CARD, REFUSED, CollectSettings, collect, read_rows
from trainer.collect_filters import Dangers, Names, redact
from trainer.curation import command as curate
from trainer.curation import curated, decisions
from trainer.errors import SourceRefused

pytestmark = pytest.mark.trainer


@pytest.fixture
def people(tmp_path):
    return write_company(tmp_path / "characters")


@pytest.fixture
async def store(tmp_path):
    store = await Store.open(MemorySettings(), tmp_path / "data")
    yield store
    await store.close()


@pytest.fixture
def collected(tmp_path, people):
    """Collect what is stored now; the database may stay open beside it, as a running Troupe has it."""

    async def make(run="loop-1", **settings):
        into = tmp_path / "data" / "runs" / run / "collect"
        # A command of its own in real life: it brings its own event loop.
        import asyncio

        await asyncio.to_thread(collect, tmp_path / "data", people, into, CollectSettings(**settings))
        refused = json.loads((into / REFUSED).read_text())["refused"]
        return read_rows(into), refused, into

    return make


async def test_a_reply_chosen_over_another_is_a_pair_with_its_receipt(store, collected):
    await agree(store, ANNA)
    turn, takes = await exchange(store, ANNA, "What of the tide?", "I am a tide of words and words.", "Low at noon. Wrote it down.")

    rows, refused, _ = await collected()

    [row] = rows["pairs"]
    assert (row.said, row.chosen, row.rejected) == ("What of the tide?", "Low at noon. Wrote it down.", "I am a tide of words and words.")
    assert (row.people, row.turn, row.replies) == ((ANNA.id,), turn.id, (takes[1].id, takes[0].id))
    assert row.receipts[0]["wording"] == "train-1"
    assert row.build == "b@1"
    assert refused == {}


async def test_nothing_is_taken_from_whoever_did_not_agree_or_withdrew_or_had_not_yet_agreed(store, collected):
    await exchange(store, ANNA, "Before I agreed to anything?", "One reply here.", "Another reply here.")
    await agree(store, ANNA)
    await exchange(store, BEN, "I never agreed to this.", "One reply there.", "Another reply there.")
    await agree(store, CARA)
    await exchange(store, CARA, "I changed my mind later.", "First thing said.", "Second thing said.")
    await agree(store, CARA, granted=False)

    rows, refused, into = await collected()

    assert not any(rows.values())
    assert refused == {"no agreement to training": 2, "said before the agreement": 1}
    assert "2: no agreement to training" in (into / CARD).read_text()


async def test_a_moderators_edit_is_gold_only_if_the_moderator_agreed_too(store, collected):
    await agree(store, ANNA)
    for number, said in enumerate(("And the harbour?", "And the lamp up there?")):
        _, [take] = await exchange(store, ANNA, said, f"Something rambling about nothing at all {number}.")
        assert await store.edit_turn(LOBBY, take.sent_ids[0], f"Shut at {number + 6}, wrote it down.")
        await store.signal(take.id, MOD.id, "edit")
        if not number:
            first, refused, _ = await collected("early")
            assert not first["gold"] and refused == {"rated or changed by somebody without an agreement": 2}
            await agree(store, MOD)

    rows, _, _ = await collected()

    assert [row.chosen for row in rows["gold"]] == ["Shut at 6, wrote it down.", "Shut at 7, wrote it down."]
    assert all(row.people == (ANNA.id, MOD.id) for row in (*rows["gold"], *rows["pairs"]))
    assert len(rows["pairs"]) == 2


async def test_thumbs_become_rows_of_their_own_and_opposite_thumbs_a_pair(store, collected):
    await agree(store, ANNA)
    _, [bad, good] = await exchange(store, ANNA, "Is it cold out there?", "The weather is weather.", "Bitter. Wrote it down.")
    await store.rate(bad.id, ANNA.id, 1)
    await store.rate(good.id, ANNA.id, 5)
    await store.rate(good.id, BEN.id, 5)  # who has not agreed

    rows, refused, _ = await collected()

    assert {(row.chosen, row.label) for row in rows["kto"]} == {("The weather is weather.", False), ("Bitter. Wrote it down.", True)}
    assert len(rows["pairs"]) == 1
    assert refused == {"rated or changed by somebody without an agreement": 1}


async def test_bystanders_are_masked_and_a_reply_that_names_one_is_left_out(store, collected):
    await agree(store, ANNA)
    await exchange(store, BEN, "I am Ben and I hum to myself.", "Noted.")
    await exchange(store, ANNA, "Did Ben hum again, Ada? Anna wants to know.", "A reply of sorts.", "All night long.")
    await exchange(store, ANNA, "And who was it that hummed?", "Nobody hums.", "It was Ben.")

    rows, refused, into = await collected()

    [row] = rows["pairs"]
    assert row.said == f"Did somebody hum again, Ada? {row.name} wants to know."
    assert refused["a reply names somebody else"] == 1
    assert "hum to myself" not in (into / "pairs.jsonl").read_text()
    assert all(said != "I am Ben" for said, _ in row.before)


async def test_text_of_discords_gateway_stays_out_unless_it_is_acknowledged(store, collected):
    await agree(store, ANNA)
    await exchange(store, ANNA, "Is this Discord here?", "Perhaps so.", "It is, I think.", channel=ChannelKey("discord", "1/2"))

    rows, refused, into = await collected()
    more, _, _ = await collected("acknowledged", discord_text=True)

    assert not rows["pairs"] and list(refused.values()) == [1]
    assert "training.discord_text" in (into / CARD).read_text()
    assert len(more["pairs"]) == 1


async def test_hidden_reported_and_dangerous_things_and_personal_data_are_left_out(store, collected):
    await agree(store, ANNA)
    replies = ("The first of two.", "The second, then.")
    hidden, _ = await exchange(store, ANNA, "Take this one back please.", *replies)
    await store.hide_turns([hidden.id])
    _, takes = await exchange(store, ANNA, "Somebody reports this one.", *replies)
    await store.signal(takes[1].id, BEN.id, "report")
    await exchange(store, ANNA, "My password is swordfish, remember it.", *replies)
    await exchange(store, ANNA, "Ring whom now?", "Nobody at all.", "Ring +44 20 7946 0958 at once.")
    await exchange(store, ANNA, "Write to anna@example.org or ring 020 7946 0958.", *replies)

    rows, refused, into = await collected()

    assert [row.said for row in rows["pairs"]] == ["Write to … or ring …."]
    assert refused == {"taken back or hidden": 1, "reported": 1, "dangerous words": 1, "personal data in a reply": 1}
    assert json.loads((into / REFUSED).read_text())["redacted"] == {"e-mail": 1, "telephone number": 1}


async def test_no_voice_dominates_and_nothing_is_said_twice(store, collected):
    for person in (ANNA, BEN):
        await agree(store, person)
    told = {
        "Tell me of gulls now.": ("Rambling on, as ever.", "Thieves, all of them. Wrote it down."),
        "What became of the old rope?": ("Who can say what became.", "Tarred twice, then sold."),
        "Is the kettle whole?": ("A kettle is a vessel.", "Cracked since Tuesday."),
        "Have you seen a harbour master?": ("Many people are people.", "Asleep behind the ledger."),
    }
    for said, replies in told.items():
        await exchange(store, ANNA, said, *replies)
    await exchange(store, BEN, "Tell me of gulls now.", *told["Tell me of gulls now."])

    rows, refused, _ = await collected(per_person=2)

    assert len(rows["pairs"]) == 2
    assert refused == {"enough of this person": 2, "nearly the same as another row": 1}


async def test_forgetting_reaches_rows_decisions_and_everything_made_of_them(store, collected, tmp_path, capsys):
    for person in (ANNA, BEN):
        await agree(store, person)
    await exchange(store, ANNA, "The canary sings of marzipan.", "Does it, now.", "Marzipan, of all things.")
    await exchange(store, BEN, "What of the ropes today?", "Rambling on and on.", "Tarred. Wrote it down.")
    _, _, into = await collected()
    [anna, ben] = read_rows(into)["pairs"]
    asked = {"run": "loop-1", "runs": tmp_path / "data" / "runs", "json": True, "text": ""}
    curate(Namespace(action="edit", keys=[anna.key], **{**asked, "text": "Marzipan canary."}))
    curate(Namespace(action="approve", keys=[ben.key], **asked))
    (into.parent / "lessons").mkdir()
    (into.parent / "lessons" / "train.jsonl").write_text('{"tokens": [1, 2, 3]}\n')
    models = tmp_path / "gguf"
    models.mkdir()
    (models / "loop-1.manifest.json").write_text(json.dumps({"trained_on": {"people": [digest(ANNA.id)]}}))

    reached = leave_files(tmp_path / "data", models, ANNA.id)

    assert (reached.rows, reached.runs, reached.builds) == (2, ("loop-1",), ("loop-1",))
    assert [row.key for row in read_rows(into)["pairs"]] == [ben.key]
    assert not (into.parent / "lessons").exists()
    assert list(decisions(tmp_path / "data")) == [ben.key]
    left = b"".join(f.read_bytes() for f in (tmp_path / "data").rglob("*") if f.is_file() and "troupe.db" not in f.name)
    assert b"marzipan" not in left.lower() and ANNA.id.encode() not in left
    assert leave_files(tmp_path / "data", models, "web:nobody").rows == 0


async def test_an_operator_approves_edits_and_drops_rows(store, collected, tmp_path, capsys):
    await agree(store, ANNA)
    for subject in ("gulls", "ropes", "kettles"):
        await exchange(store, ANNA, f"Tell me of {subject} now.", f"Rambling about {subject}.", f"{subject.title()}: fine things.")
    _, _, into = await collected()
    asked = {"run": "loop-1", "runs": tmp_path / "data" / "runs", "json": True}
    keys = [row.key for row in read_rows(into)["pairs"]]

    curate(Namespace(action="drop", keys=[keys[0]], text="", **asked))
    curate(Namespace(action="edit", keys=[keys[1]], text="Ropes. Tarred twice.", **asked))
    curate(Namespace(action="list", keys=[], text="", **asked))

    decided = decisions(tmp_path / "data")
    assert [r.chosen for r in curated(read_rows(into), decided, approved_only=False)["pairs"]] == [
        "Ropes. Tarred twice.",
        "Kettles: fine things.",
    ]
    assert [r.key for r in curated(read_rows(into), decided, approved_only=True)["pairs"]] == [keys[1]]
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [row["decided"] for row in listed] == ["drop", "edit", None]
    with pytest.raises(SourceRefused, match="no row 'pairs-99'"):
        curate(Namespace(action="drop", keys=["pairs-99"], text="", **asked))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("My IBAN is GB82 WEST 1234 5698 7654 32.", "My IBAN is …."),
        ("Card 4111 1111 1111 1111, exp soon", "Card …, exp soon"),
        ("I live at 12 Harbour View Road today", "I live at … today"),
        ("See https://example.org/me?x=1 or 192.168.1.20", "See … or …"),
        ("My id is 80351110224678912", "My id is …"),
        ("Counted 612 umbrellas in 1987, at 4:15", "Counted 612 umbrellas in 1987, at 4:15"),
    ],
)
def test_personal_data_are_found_by_their_own_rules_and_other_numbers_stay(text, cleaned):
    assert redact(text, ("GB",))[0] == cleaned


def test_an_operators_own_words_keep_rows_out_and_a_characters_name_is_nobodys():
    assert "the blue teapot affair" in Dangers(["teapot affair"])
    assert "a teapot" not in Dangers(["teapot affair"])
    names = Names("Mara", "Kit", ["Jo", "Ada"], ["Mara Quill"])
    assert names.mask("Mara, tell Ada and JO: jolly <@123>") == "Mara, tell somebody and somebody: jolly somebody"
