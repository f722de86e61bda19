"""Commands and buttons on Telegram, as people type and press them."""

import base64
import io
import json

import pytest
from PIL import Image

from bot.messages import ChannelKey, Person
from tests.connectors.telegram_stage import GROUP, stage
from tests.loopback.telegram_world import ANONYMOUS_ADMIN

PRIVATE_KEY, GROUP_KEY = ChannelKey("telegram", "5"), ChannelKey("telegram", str(GROUP))
CARD = {
    "spec": "chara_card_v2",
    "spec_version": "2.0",
    "data": {
        "name": "Sela Frost",
        "description": "A lighthouse keeper who counts ships.",
        "personality": "Dry.",
        "scenario": "",
        "first_mes": "Mind the step.",
        "mes_example": "",
    },
}


@pytest.fixture
def open_stage(tmp_path, tiny_model):
    def opened(**sections):
        return stage(tmp_path, tiny_model, **sections)

    return opened


def card_png():
    """A picture with a character in it, as other programs write it."""
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("chara", base64.b64encode(json.dumps(CARD).encode()).decode())
    written = io.BytesIO()
    Image.new("RGB", (64, 64), "navy").save(written, "PNG", pnginfo=info)
    return written.getvalue()


async def said(here, chat, text, sender=None, **more):
    """Type something; the next thing that a bot says."""

    def sent():
        return here.telegram.of("sendMessage", "sendPhoto", "sendDocument", chat=chat)

    before = len(sent())
    here.telegram.say(sender or here.anna, chat, text, **more)
    call = (await here.telegram.until(lambda: sent()[before:], f"an answer to {text}"))[0]
    return call.parameters.get("text") or call.parameters.get("caption") or "…"


async def pressed(here, chat, message_id, data, sender=None):
    """Press a button; what Telegram shows over the chat."""
    query = here.telegram.press(sender or here.anna, chat, message_id, data)
    calls = await here.telegram.until(
        lambda: [c for c in here.telegram.of("answerCallbackQuery") if c.parameters["callback_query_id"] == query]
    )
    return calls[0].parameters.get("text", "")


def buttons(message):
    return [b["callback_data"] for row in message["reply_markup"]["inline_keyboard"] for b in row]


async def test_start_offers_everybody_and_a_press_chooses_one(open_stage):
    async with open_stage() as here:
        greeting = await said(here, here.private, "/start")
        [message] = here.telegram.sent(here.private)
        offered = [b["text"] for row in message["reply_markup"]["inline_keyboard"] for b in row]
        assert "made up" in greeting and any("Odo Brandt" in label for label in offered)

        data = next(b["callback_data"] for row in message["reply_markup"]["inline_keyboard"] for b in row if "Odo Brandt" in b["text"])
        assert len(data.encode()) <= 64
        assert "Odo Brandt" in await pressed(here, here.private, message["message_id"], data)
        photo = await here.telegram.until(lambda: here.telegram.of("sendPhoto"))
        assert "Odo Brandt\n" in photo[0].parameters["caption"]
        assert "Odo Brandt\n" in await said(here, here.private, "Good evening")


async def test_a_link_leads_to_a_character_and_a_portrait_is_uploaded_once(open_stage):
    async with open_stage() as here:
        assert "Mara Quill\n" in await said(here, here.private, "/start mara-quill")
        assert "Mara Quill\n" in await said(here, here.private, "/character Mara Quill")
        first, second = here.telegram.of("sendPhoto")
        assert not isinstance(first.parameters["photo"], str) and isinstance(second.parameters["photo"], str)
        assert "Mara Quill\n" in await said(here, here.private, "And who are you?")
        assert "nobody-at-all" in await said(here, here.private, "/start nobody-at-all")
        await here.still_answers()


async def test_waking_and_sending_away_in_a_group(open_stage):
    async with open_stage() as here:
        group = here.group()
        assert "/wake NAME" in await said(here, group, "/start")
        assert "Mara Quill\n" in await said(here, group, "/wake mara-quill")
        assert "is here already" in await said(here, group, "/wake Mara Quill")
        assert "●" in await said(here, group, "/characters")
        assert "leaves" in await said(here, group, "/sleep mara-quill")
        assert await here.house.desk.company.awake(GROUP_KEY) == []
        assert "Who is to come?" in await said(here, group, "/wake")
        offered = here.telegram.sent(group)[-1]
        await pressed(here, group, offered["message_id"], buttons(offered)[0])
        await here.telegram.until(lambda: len(here.telegram.of("sendPhoto", chat=group)) == 2)
        assert len(await here.house.desk.company.awake(GROUP_KEY)) == 1
        before = len(here.telegram.shown(group))
        here.telegram.say(here.anna, group, "/wake@other_bot mara-quill")
        await here.still_answers()
        assert len(here.telegram.shown(group)) == before


async def test_takes_can_be_made_turned_back_to_and_rated(open_stage):
    async with open_stage() as here:
        first = await said(here, here.private, "Hello")
        await here.history(PRIVATE_KEY)
        [sent] = [m["message_id"] for m in here.telegram.sent(here.private)]
        message = here.private.messages[sent]

        await pressed(here, here.private, sent, "again")
        second = await here.telegram.until(lambda: message["text"] if message["text"] != first else None)
        await here.history(PRIVATE_KEY)
        assert "earlier" in buttons(message)
        await pressed(here, here.private, sent, "earlier")
        await here.telegram.until(lambda: message["text"] == first)
        assert "first take" in await pressed(here, here.private, sent, "earlier")
        await pressed(here, here.private, sent, "later")
        await here.telegram.until(lambda: message["text"] == second)
        assert "Thank you" in await pressed(here, here.private, sent, "up")

        delivery = await here.house.desk.store.delivery_of(PRIVATE_KEY, str(sent))
        [rating] = await here.house.desk.store.ratings(delivery.id)
        assert (rating.person_id, rating.value) == ("telegram:5", 5)
        here.telegram.say(here.anna, here.private, "/continue")
        await here.answered(here.private, 2)
        await here.history(PRIVATE_KEY)
        assert "with the model" in await said(here, here.private, "/why", reply_to=sent)
        assert "Nobody is speaking" in await said(here, here.private, "/stop")
        assert "afresh" in await said(here, here.private, "/reset")
        assert "scene" in await said(here, here.private, "/scene A quay at night")


async def test_a_reply_can_be_taken_back(open_stage):
    async with open_stage() as here:
        await said(here, here.private, "Hello")
        await here.history(PRIVATE_KEY)
        aside = here.telegram.say(here.anna, here.private, "((between us))")
        await here.telegram.until(lambda: len(here.telegram.of("sendChatAction")) >= 2)
        assert "as a reply" in await said(here, here.private, "/hide")
        assert "no character knows" in await said(here, here.private, "/hide", reply_to=aside["message_id"])
        assert "Taken back" in await said(here, here.private, "/undo")
        assert here.telegram.of("deleteMessage")
        assert await here.history(PRIVATE_KEY) == []


async def test_what_is_remembered_can_be_listed_told_changed_and_removed(open_stage):
    async with open_stage() as here:
        await said(here, here.private, "/start mara-quill")
        assert "Nobody here remembers" in await said(here, here.private, "/memory")
        number = (await said(here, here.private, "/memory add I have a boat called Wren")).removesuffix(".").rpartition(" ")[2]
        assert "Wren" in await said(here, here.private, "/memory")
        assert "📌" in await said(here, here.private, f"/memory pin {number}")
        assert "Robin" in await said(here, here.private, f"/memory edit {number} My boat is called Robin")
        assert "by its number" in await said(here, here.private, "/memory remove it")
        assert "forgotten" in await said(here, here.private, f"/memory remove {number}")


async def test_consent_is_individual_explicit_and_revocable(open_stage):
    """The text is shown first; only the person's own press in their own chat counts."""
    async with open_stage() as here:
        store = here.house.desk.store
        status = await said(here, here.private, "/privacy")
        assert "not allowed" in status
        asked = here.telegram.sent(here.private)[-1]
        await pressed(here, here.private, asked["message_id"], "consent:train")
        await here.answered(here.private, 2)
        question = here.telegram.sent(here.private)[-1]
        assert "Nobody can agree for you" in question["text"] and not await store.consented("telegram:5", "train")

        await pressed(here, here.private, question["message_id"], "consent:train:yes")
        await here.telegram.until(lambda: "Thank you" in question["text"])

        assert await store.consented("telegram:5", "train") and not await store.consented("telegram:6", "train")
        [consent] = await store.consents("telegram:5")
        assert (consent.wording, consent.channel) == ("train-1", PRIVATE_KEY)
        await said(here, here.private, "/privacy train")
        await pressed(here, here.private, here.telegram.sent(here.private)[-1]["message_id"], "consent:train:no")
        assert not await store.consented("telegram:5", "train")


async def test_forgetting_reaches_everything_after_a_question(open_stage):
    async with open_stage() as here:
        await said(here, here.private, "My secret word is heliotrope")
        await here.history(PRIVATE_KEY)
        question = await said(here, here.private, "/forgetme")
        assert "no way back" in question and "heliotrope" in str(await here.house.desk.store.everything_of("telegram:5"))

        await pressed(here, here.private, here.telegram.sent(here.private)[-1]["message_id"], "forget:yes")
        await here.telegram.until(lambda: "Forgotten" in here.telegram.sent(here.private)[-1]["text"])

        assert "heliotrope" not in str(await here.house.desk.store.everything_of("telegram:5"))
        await here.still_answers()


async def test_ones_own_data_is_never_shown_in_a_group(open_stage):
    async with open_stage() as here:
        group = here.group()
        here.telegram.say(here.anna, group, "/privacy")
        [link] = await here.answered(group, 1)
        assert "nobody else reads it" in link
        url = here.telegram.sent(group)[-1]["reply_markup"]["inline_keyboard"][0][0]["url"]
        assert url == "https://t.me/troupe_bot?start=privacy"

        assert "Stored about you" in await said(here, here.private, "/start privacy")
        here.telegram.say(here.anna, group, "/privacy")
        await here.answered(here.private, 2)
        assert len(here.telegram.shown(group)) == 1


async def test_everything_stored_comes_as_a_file(open_stage):
    async with open_stage() as here:
        await said(here, here.private, "/privacy")
        await pressed(here, here.private, here.telegram.sent(here.private)[-1]["message_id"], "export")
        [call] = await here.telegram.until(lambda: here.telegram.of("sendDocument"))

        assert json.loads(call.parameters["document"].data)["person"] == "telegram:5"


async def test_a_character_is_made_step_by_step_and_left_at_any_step(open_stage):
    async with open_stage() as here:
        for steps in range(4):
            await said(here, here.private, "/newcharacter")
            for n in range(steps):
                await said(here, here.private, f"Half a character {n}")
            assert "Left" in await said(here, here.private, "/cancel")
        assert "nothing to leave" in await said(here, here.private, "/cancel")

        assert "called" in await said(here, here.private, "/newcharacter")
        assert "characters; at most 80" in await said(here, here.private, "x" * 81)
        assert "Who is Sela Frost?" in await said(here, here.private, "Sela Frost")
        assert "This one is needed" in await said(here, here.private, "/skip")
        assert "speak and behave" in await said(here, here.private, "A lighthouse keeper who counts ships.")
        assert "comes in" in await said(here, here.private, "Dry, exact.")
        assert "{{char}}:" in await said(here, here.private, "Mind the step.")
        assert "portrait" in await said(here, here.private, "/skip")
        picture = io.BytesIO()
        Image.new("RGB", (300, 300), "teal").save(picture, "JPEG")
        here.telegram.photo(here.anna, here.private, picture.getvalue())
        await here.telegram.until(lambda: here.telegram.of("sendPhoto"))

        assert "part of the company" in here.telegram.of("sendPhoto")[0].parameters["caption"]
        sela = here.house.desk.company.find(PRIVATE_KEY, "sela-frost")
        assert sela.scope == "telegram:5" and sela.card.first_mes == "Mind the step."
        with Image.open(sela.portrait) as portrait:
            assert portrait.convert("RGB").getpixel((150, 150))[2] > 100
        assert [t.text for t in await here.history(PRIVATE_KEY)] == []


@pytest.mark.parametrize("kind", ["png", "json"])
async def test_a_card_sent_as_a_file_joins_the_company(open_stage, kind):
    async with open_stage() as here:
        data = card_png() if kind == "png" else json.dumps(CARD).encode()
        here.telegram.document(here.anna, here.private, f"sela.{kind}", data)
        [call] = await here.telegram.until(lambda: here.telegram.of("sendPhoto"))
        assert "Sela Frost (sela-frost) is part of the company" in call.parameters["caption"]

        assert "Sela Frost\n" in await said(here, here.private, "/character Sela Frost")
        assert "Sela Frost\n" in await said(here, here.private, "Good evening")
        here.telegram.say(here.anna, here.private, "/export sela-frost")
        [document] = await here.telegram.until(lambda: here.telegram.of("sendDocument"))
        assert document.parameters["document"].data.startswith(b"\x89PNG")
        assert "has left" in await said(here, here.private, "/delete sela-frost")


async def test_a_photo_is_told_kindly_why_it_is_no_card(open_stage):
    async with open_stage() as here:
        here.telegram.photo(here.anna, here.private, b"\xff\xd8\xff")
        [words] = await here.answered(here.private, 1)
        assert "as a file" in words
        here.telegram.send(here.anna, here.private, {"dice": {"emoji": "🎲", "value": 3}})
        assert "text only" in (await here.answered(here.private, 2))[-1]
        here.telegram.document(here.anna, here.private, "broken.json", b"{not json")
        assert "broken.json" in (await here.answered(here.private, 3))[-1]
        await here.still_answers()


async def test_only_who_administers_a_group_now_registers_there(open_stage):
    """Asked from Telegram at that moment: a member is refused, an administrator and an anonymous one are not, and a former one is."""
    async with open_stage() as here:
        group = here.group()
        data = json.dumps(CARD).encode()
        here.telegram.document(here.ben, group, "sela.json", data, "/import")
        [refused] = await here.answered(group, 1)
        assert "Only moderators" in refused
        assert "Only moderators" in await said(here, group, "/newcharacter", here.ben)

        here.telegram.document(ANONYMOUS_ADMIN, group, "sela.json", data, "/import", sender_chat=group.shape())
        await here.telegram.until(lambda: here.telegram.of("sendPhoto"))
        assert "has left" in await said(here, group, "/delete sela-frost", here.anna)

        here.telegram.faults.clear()
        group.members[here.anna["id"]] = "member"
        here.chat.rights.forget(group.id)
        here.telegram.document(here.anna, group, "sela.json", data, "/import")
        await here.telegram.until(lambda: "Only moderators" in here.telegram.shown(group)[-1])
        assert await here.house.desk.store.character(f"telegram:{GROUP}", "sela-frost") is None


async def test_a_group_is_looked_after_by_its_administrators(open_stage):
    async with open_stage(reads_all=True) as here:
        group = here.group()
        await here.wake(group, "mara-quill")
        assert "always=yes" in await said(here, group, "/settings")
        assert "Only moderators" in await said(here, group, "/settings always=no", here.ben)
        assert "always=no" in await said(here, group, "/settings always=no cascade=1")
        assert "no setting" in await said(here, group, "/settings weather=fine")
        await said(here, group, "/settings")
        panel = here.telegram.sent(group)[-1]
        assert "Only moderators" in await pressed(here, group, panel["message_id"], "set:always:yes", here.ben)
        await pressed(here, group, panel["message_id"], "set:always:yes")
        await here.telegram.until(lambda: "always=yes" in panel["text"])

        nuisance = here.telegram.say(here.ben, group, "Spam, Mara")
        await here.telegram.until(lambda: "Mara Quill\n" in here.telegram.shown(group)[-1])
        assert "Not heard" in await said(here, group, "/block 10", reply_to=nuisance["message_id"])
        stored = len(await here.history(GROUP_KEY))
        here.telegram.say(here.ben, group, "Mara, can you hear me?")
        assert "heard again" in await said(here, group, "/unblock", reply_to=nuisance["message_id"])
        assert len(await here.history(GROUP_KEY)) == stored


async def test_a_group_is_greeted_with_the_rule_of_what_we_hear(open_stage):
    async with open_stage() as here:
        group = here.group()
        group.members.pop(here.bot.user["id"])
        here.telegram.join(group, here.bot, here.anna)
        [words] = await here.answered(group, 1)
        assert "/setprivacy" in words and "@troupe_bot" in words

        here.telegram.join(group, here.bot, here.anna, "left")
        await here.still_answers()
        settings = await here.house.desk.store.channel_settings(GROUP_KEY)
        assert settings["left_at"]
        here.telegram.join(group, here.bot, here.anna, "administrator")
        assert "hears and remembers" in (await here.answered(group, 2))[-1]


async def test_the_menu_is_registered_for_every_scope_in_two_languages(open_stage):
    async with open_stage() as here:
        await here.telegram.until(lambda: len(here.bot.commands) == 8)

        assert {key.partition("|")[0] for key in here.bot.commands} == {
            "default",
            "all_private_chats",
            "all_group_chats",
            "all_chat_administrators",
        }
        private = {c["command"] for c in here.bot.commands["all_private_chats|"]}
        wanted = (
            "start help character characters wake sleep reset regenerate continue stop memory privacy forgetme why settings newcharacter"
        )
        assert set(wanted.split()) <= private
        assert "重说一遍" in [c["description"] for c in here.bot.commands["all_group_chats|zh"]]


async def test_each_command_of_the_menu_is_answered_once(open_stage):
    async with open_stage() as here:
        await said(here, here.private, "Hello")
        await here.history(PRIVATE_KEY)
        for name in [c["command"] for c in (await here.telegram.until(lambda: here.bot.commands.get("all_private_chats|")))]:
            if name not in ("regenerate", "newcharacter"):
                assert await said(here, here.private, f"/{name}"), name
        assert "no command of mine" in await said(here, here.private, "/dance")
        await here.still_answers()


async def test_a_command_that_comes_twice_is_carried_out_once(open_stage):
    async with open_stage() as here:
        await said(here, here.private, "Hello")
        await here.history(PRIVATE_KEY)
        command = here.telegram.say(here.anna, here.private, "/scene A quay")
        await here.answered(here.private, 2)
        here.telegram.raw(here.bot, {"message": command})
        await here.still_answers()

        assert len([t for t in here.telegram.shown(here.private) if "The scene" in t]) == 1
        assert all("/scene" not in t.text for t in await here.history(PRIVATE_KEY))


async def test_strangers_are_not_answered_where_the_operator_lets_only_some_in(open_stage):
    async with open_stage(telegram={"people": [5], "chats": [-1]}) as here:
        ben, group = here.telegram.world.private(here.ben, here.bot), here.group()
        here.telegram.say(here.ben, ben, "Let me in")
        here.telegram.say(here.anna, group, "/start")
        await here.still_answers()

        assert here.telegram.shown(ben) == here.telegram.shown(group) == []
        assert await here.house.desk.store.person("telegram:6") is None


async def test_a_blocked_person_may_still_look_after_their_own_data(open_stage):
    async with open_stage() as here:
        gate = here.house.router.gate
        await here.house.desk.store.block("telegram:5", "user", "telegram:5", until=None, reason="", by="x")
        await gate.reload()
        here.telegram.say(here.anna, here.private, "Do you hear me?")
        assert "not heard" in await said(here, here.private, "/wake mara-quill")
        assert "Stored about you" in await said(here, here.private, "/privacy")
        assert await here.house.desk.store.person(Person("telegram:5", "Anna").id) is None


async def test_members_report_a_reply_and_administrators_see_and_settle_it(open_stage):
    """Who looks after the group reads the reports in a private chat; nobody reads who reported."""
    async with open_stage(reads_all=True) as here:
        group = here.group()
        await here.wake(group, "mara-quill")
        await said(here, here.private, "/start")
        here.telegram.say(here.ben, group, "Mara, tell me")
        await here.answered(group, 1)
        reply = here.telegram.sent(group)[-1]
        await here.history(GROUP_KEY)
        assert "moderators can see it" in await said(here, group, "/report", here.ben, reply_to=reply["message_id"])
        assert "reported that already" in await said(here, group, "/report", here.ben, reply_to=reply["message_id"])

        assert "Only moderators" in await said(here, group, "/reports", here.ben)
        here.telegram.say(here.anna, group, "/reports")
        shown = await here.telegram.until(lambda: [t for t in here.telegram.shown(here.private) if "by 1 person" in t])
        assert "Mara Quill in telegram:" in shown[-1] and "telegram:6" not in shown[-1] and "Ben" not in shown[-1]
        [report] = await here.house.desk.store.reports()
        assert "is settled" in await said(here, group, f"/reports {report.reply_id}")
        assert await here.house.desk.store.reports() == []


async def test_a_character_is_made_of_somebodys_messages_when_they_agree_in_private(open_stage):
    async with open_stage(reads_all=True) as here:
        group = here.group()
        store = here.house.desk.store
        await here.wake(group, "mara-quill")
        for number in range(12):
            last = here.telegram.say(here.ben, group, f"as I always say, number {number}")
            await here.answered(group, number + 1)
        mine = here.telegram.world.private(here.ben, here.bot)
        assert "Only moderators" in await said(here, group, "/portray Tilda Wren", here.ben, reply_to=last["message_id"])
        here.telegram.say(here.anna, group, "/portray Tilda Wren", reply_to=last["message_id"])
        await here.telegram.until(lambda: [t for t in here.telegram.shown(group) if "was asked about Tilda Wren" in t])
        assert [t for t in here.telegram.shown(group) if t.startswith("Ben, a moderator would like")]

        await said(here, mine, "/privacy", here.ben)
        await pressed(here, mine, here.telegram.sent(mine)[-1]["message_id"], "like", here.ben)
        question = await here.telegram.until(lambda: next((m for m in here.telegram.sent(mine) if "called Tilda Wren" in m["text"]), None))
        [like] = await store.likenesses(person_id="telegram:6")
        assert "may be made" in await pressed(here, mine, question["message_id"], f"like:{like.id}:yes", here.ben)
        here.telegram.say(here.anna, group, "/portray Tilda Wren", reply_to=last["message_id"])
        await here.telegram.until(lambda: [t for t in here.telegram.shown(group) if "is part of the company" in t])
        assert await store.character(f"telegram:{GROUP}", "tilda-wren") is not None

        await said(here, mine, "/privacy", here.ben)
        await pressed(here, mine, here.telegram.sent(mine)[-1]["message_id"], "like", here.ben)
        again = await here.telegram.until(lambda: next((m for m in here.telegram.sent(mine) if "You have agreed" in m["text"]), None))
        assert "is gone" in await pressed(here, mine, again["message_id"], f"like:{like.id}:no", here.ben)
        assert await store.character(f"telegram:{GROUP}", "tilda-wren") is None
