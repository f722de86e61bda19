"""What was said: stored once, in order, and seen only by those who were there."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import StoreError
from bot.memory.schema import storable
from bot.messages import ChannelKey, Person, Stamp

MARA, ODO = "house/mara-quill", "house/odo-brandt"


def stamp(character: str = MARA) -> Stamp:
    return Stamp(build="starter", character=character, revision="1", prompt_version=1, seed=7)


async def answer(store, cause, character, message_id, text, *, position=0):
    delivery = await store.claim(cause, position, character, name=character.title(), seed=7)
    await store.opened(delivery, message_id)
    turn = await store.finalise(delivery, text, stamp(character))
    await store.recorded(delivery)
    return turn


def words(turns):
    return [turn.text for turn in turns]


async def test_a_turn_comes_back_as_it_was_said(store, said, lobby):
    """Every field of a turn survives, times in UTC."""
    sent_at = datetime(2026, 5, 1, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))

    turn = await store.remember(said("m1", "Hello, Mara.", sent_at=sent_at), [MARA])

    (read,) = await store.history(lobby, MARA, limit=10)
    assert read == turn
    assert (read.message_id, read.author_id, read.author_name, read.by_character) == ("m1", "web:ada", "Ada", False)
    assert read.sent_at == sent_at
    assert read.sent_at.tzinfo is UTC


async def test_the_same_message_twice_is_one_turn(store, said, lobby):
    """The second call says so and changes nothing."""
    first = await store.remember(said("m1", "Once."), [MARA])
    second = await store.remember(said("m1", "Twice."), [MARA, ODO])

    assert first is not None
    assert second is None
    assert words(await store.history(lobby, None, limit=10)) == ["Once."]
    assert await store.history(lobby, ODO, limit=10) == []


async def test_fifty_deliveries_of_one_message_at_the_same_time_are_one_turn(store, said, lobby):
    """Redelivery after a reconnect comes from several tasks; one of them gets the turn."""
    turns = await asyncio.gather(*(store.remember(said("m1"), [MARA]) for _ in range(50)))

    assert len([turn for turn in turns if turn is not None]) == 1
    assert len(await store.history(lobby, None, limit=100)) == 1


async def test_the_same_message_id_in_another_channel_is_another_turn(store, said):
    """Telegram counts messages per chat."""
    here, there = ChannelKey.parse("telegram:-1"), ChannelKey.parse("telegram:-2")

    assert await store.remember(said("7", "here", channel=here), [MARA]) is not None
    assert await store.remember(said("7", "there", channel=there), [MARA]) is not None
    assert words(await store.history(here, MARA, limit=10)) == ["here"]


async def test_a_thousand_turns_at_once_are_all_stored(store, said, lobby):
    """One writer at a time: no "database is locked", and reading goes on meanwhile."""
    writes = [store.remember(said(f"m{n}", str(n)), [MARA]) for n in range(1000)]
    reads = [store.history(lobby, MARA, limit=5) for _ in range(50)]

    results = await asyncio.gather(*writes, *reads)

    assert None not in results[:1000]
    assert sorted(words(await store.history(lobby, MARA, limit=2000)), key=int) == [str(n) for n in range(1000)]


async def test_history_gives_the_last_turns_the_oldest_first(store, said, lobby):
    for n in range(10):
        await store.remember(said(f"m{n}", str(n)), [MARA])

    assert words(await store.history(lobby, MARA, limit=3)) == ["7", "8", "9"]


async def test_a_character_knows_only_what_it_was_there_for(store, said, lobby):
    """Presence is noted when a turn is stored; waking later does not bring the past."""
    await store.remember(said("m1", "to Mara alone"), [MARA])
    await store.remember(said("m2", "to both"), [MARA, ODO])
    await store.remember(said("m3", "to nobody"), [])

    assert words(await store.history(lobby, MARA, limit=10)) == ["to Mara alone", "to both"]
    assert words(await store.history(lobby, ODO, limit=10)) == ["to both"]
    assert words(await store.history(lobby, None, limit=10)) == ["to Mara alone", "to both", "to nobody"]


async def test_a_reply_is_heard_by_those_who_heard_its_cause_and_by_its_speaker(store, said, lobby):
    cause = await store.remember(said("m1", "Odo, listen while Mara speaks."), [ODO])
    await answer(store, cause, MARA, "s1", "I was only called.")

    assert words(await store.history(lobby, ODO, limit=10)) == ["Odo, listen while Mara speaks.", "I was only called."]
    assert words(await store.history(lobby, MARA, limit=10)) == ["I was only called."]


async def test_a_reply_stands_behind_the_turn_that_it_answers(store, said, lobby):
    """Somebody spoke while it was made; a later prompt still begins as the earlier one ended."""
    first = await store.remember(said("m1", "first"), [MARA])
    second = await store.remember(said("m2", "second"), [MARA])
    one = await answer(store, first, MARA, "s1", "to the first")
    await answer(store, second, MARA, "s2", "to the second")

    assert words(await store.history(lobby, MARA, limit=10)) == ["first", "to the first", "second", "to the second"]
    assert words(await store.history(lobby, MARA, limit=10, answering=first.id)) == ["first", "to the first"]
    assert words(await store.history(lobby, MARA, limit=10, answering=first.id, before=one.id)) == ["first"]
    assert words(await store.history(lobby, MARA, limit=10, since=one.id)) == ["to the first", "second", "to the second"]
    assert words(await store.history(lobby, MARA, limit=10, since=second.id)) == ["second", "to the second"]


async def test_a_reset_hides_the_past_from_a_character_and_deletes_nothing(store, said, lobby):
    """Also a reply that comes after the reset to a turn from before it."""
    cause = await store.remember(said("m1", "before"), [MARA, ODO])

    await store.reset(lobby, MARA)
    await answer(store, cause, MARA, "s1", "late answer")
    await store.remember(said("m2", "after"), [MARA, ODO])

    assert words(await store.history(lobby, MARA, limit=10)) == ["after"]
    assert words(await store.history(lobby, ODO, limit=10)) == ["before", "late answer", "after"]
    await store.reset(lobby)
    assert await store.history(lobby, ODO, limit=10) == []
    assert words(await store.history(lobby, None, limit=10)) == ["before", "late answer", "after"]


async def test_an_edited_message_is_remembered_as_it_reads_now(store, said, lobby):
    await store.remember(said("m1", "teh cat"), [MARA])

    assert await store.edit_turn(lobby, "m1", "the cat")
    assert not await store.edit_turn(lobby, "nothing", "the cat")
    assert words(await store.history(lobby, MARA, limit=10)) == ["the cat"]


async def test_a_hidden_turn_is_in_no_history_until_it_is_shown_again(store, said, lobby):
    turn = await store.remember(said("m1", "oops"), [MARA])

    assert await store.hide_turns([turn.id]) == 1
    assert await store.history(lobby, MARA, limit=10) == []
    assert await store.history(lobby, None, limit=10) == []
    await store.hide_turns([turn.id], hidden=False)
    assert words(await store.history(lobby, MARA, limit=10)) == ["oops"]


async def test_an_erased_message_leaves_no_word_in_the_file_and_is_still_known(store, said, lobby, tmp_path):
    """Deleted on the platform: gone from the file and its log, and not taken for new when it comes again."""
    long = "CANARY-SENTENCE-4711 " * 1000  # on pages of its own, which are then free
    cause = await store.remember(said("m1", long), [MARA])
    await answer(store, cause, MARA, "s1", f"You said {long}?")

    assert await store.erase_turns(lobby, ["m1", "s1", "unknown"]) == 2
    await store.checkpoint()

    assert await store.history(lobby, None, limit=10) == []
    assert await store.remember(said("m1", long), [MARA]) is None
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"CANARY-SENTENCE" not in file.read_bytes(), file


async def test_of_somebody_who_is_not_remembered_only_the_envelope_is_kept(store, said, lobby, tmp_path):
    """The caller gets the words for the running conversation; the file never has them."""
    turn = await store.remember(said("m1", "CANARY-SENTENCE-4712"), [MARA], keep_words=False)

    assert turn is not None
    assert turn.text == "CANARY-SENTENCE-4712"
    assert await store.history(lobby, None, limit=10) == []
    assert await store.remember(said("m1", "CANARY-SENTENCE-4712"), [MARA], keep_words=False) is None
    assert all(b"CANARY-SENTENCE" not in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("\ud800", "\ufffd"),
        ("a\udfffb", "a\ufffdb"),
        ("\ud83d\ude00", "😀"),
        ("nul\x00nul", "nul\ufffdnul"),
        ("bell\x07 escape\x1b line\u2028", "bell\x07 escape\x1b line\u2028"),
        ("<|im_start|>system", "<|im_start|>system"),
        ("", ""),
        ("x" * 1_000_000, "x" * 1_000_000),
    ],
    ids=["lone high", "lone low", "a pair in halves", "NUL", "control characters", "template token", "empty", "a megabyte"],
)
async def test_any_text_is_stored_and_read_back(store, said, lobby, text, kept):
    """What a database cannot hold becomes U+FFFD; and it still answers."""
    turn = await store.remember(said("m1", text, author=Person("web:x\ud800", text)), [MARA])

    (read,) = await store.history(lobby, MARA, limit=1)
    assert read.text == read.author_name == kept
    assert read == turn
    await store.remember(said("m2", "and it still answers"), [MARA])
    assert words(await store.history(lobby, MARA, limit=1)) == ["and it still answers"]


@given(st.text(st.characters(exclude_categories=[])))
def test_storable_text_has_a_utf8_form_and_stays_as_it_is(text):
    """Nothing but lone surrogates and NUL changes, and nothing changes twice."""
    kept = storable(text)

    kept.encode("utf-8")
    assert "\x00" not in kept
    assert storable(kept) == kept
    if "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        assert kept == text


async def test_what_was_not_answered_is_pending_after_a_restart(open_store, said, lobby):
    """With everything that casting needs to decide again."""
    store = await open_store()
    await store.remember(said("m1", "answered"), [MARA])
    await store.set_state((await store.turn_by_message(lobby, "m1")).id, "answered")
    await store.remember(said("m2", "left", mentions=(MARA,), direct=True), [MARA])
    await store.close()

    again = await open_store()
    (pending,) = await again.pending()

    assert (pending.turn.text, pending.addressed, pending.direct, pending.attempts) == ("left", (MARA,), True, 0)
    assert await again.pending(ChannelKey.parse("web:elsewhere")) == []
    assert await again.count_attempt(pending.turn.id) == 1
    assert (await again.pending(lobby))[0].attempts == 1


async def test_a_turn_too_old_to_answer_is_stale_and_counted_and_a_begun_answer_is_not(store, said, clock, lobby):
    """After a long night: no answers to yesterday, but a half-shown reply is completed."""
    untouched = await store.remember(said("m1", "untouched"), [MARA])
    half_shown = await store.remember(said("m2", "half shown"), [MARA])
    claimed = await store.claim(untouched, 0, MARA, name="Mara", seed=7)
    await store.opened(await store.claim(half_shown, 0, MARA, name="Mara", seed=7), "s1")
    clock.now += timedelta(hours=9)
    fresh = await store.remember(said("m3", "fresh"), [MARA])

    stale = await store.expire(900)

    assert stale == {lobby: 1}
    assert [p.turn for p in await store.pending()] == [half_shown, fresh]
    assert (await store.status()).turns == {"stale": 1, "heard": 2}
    assert [(d.id, d.state) for d in await store.deliveries(untouched.id)] == [(claimed.id, "failed")]


async def test_any_piece_of_a_reply_leads_to_its_turn(store, said, lobby):
    """People answer the second half of a long message."""
    cause = await store.remember(said("m1"), [MARA])
    delivery = await store.claim(cause, 0, MARA, name="Mara", seed=7)
    await store.opened(delivery, "s1")
    await store.opened(delivery, "s2")
    turn = await store.finalise(delivery, "A long story.", stamp())

    assert await store.turn_by_message(lobby, "s1") == turn
    assert await store.turn_by_message(lobby, "s2") == turn
    assert await store.turn_by_message(lobby, "s3") is None


async def test_a_turn_that_is_not_there_is_an_error(store, said):
    with pytest.raises(StoreError, match="turn 99 is not there"):
        await store.turn(99)

    turn = await store.remember(said("m1"), [MARA])
    assert await store.turn(turn.id) == turn


async def test_a_cancelled_caller_does_not_cut_its_write_in_two(store, said, lobby):
    """Somebody presses stop while the note that a reply was sent is being written."""
    writes = [asyncio.ensure_future(store.remember(said(f"m{n}", str(n)), [MARA])) for n in range(100)]
    await asyncio.sleep(0)  # all have begun
    for write in writes:
        write.cancel()
    await asyncio.gather(*writes, return_exceptions=True)

    await store.remember(said("last", "last"), [MARA])

    assert words(await store.history(lobby, MARA, limit=200)) == [*map(str, range(100)), "last"]
