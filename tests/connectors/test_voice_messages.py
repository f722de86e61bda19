"""Characters heard on Discord and Telegram: a voice message where the platform takes one, else a file, and nothing where nobody speaks."""

import asyncio
import base64
import io
import sys

import pytest

from bot.commands import voice
from bot.commands.desk import Caller
from bot.config import VoiceSettings
from bot.errors import CommandRefused, SpeechBusy, SpeechError
from bot.messages import ChannelKey, Person
from bot.voice.booth import WAITING, Booth
from bot.voice.endpoint import EndpointSpeaker
from bot.voice.recording import Recorder
from bot.voice.speech import Speech
from tests.connectors.discord_stage import open_stage as discord_stage
from tests.connectors.telegram_stage import stage as telegram_stage
from tests.connectors.test_web_voice import somebody
from tests.loopback.discord_world import SEND_VOICE
from tests.loopback.speech_server import FAILS, speech_server, tone

SILENT = {"engine": "none"}


def by_server(url):
    return {"base_url": url, "model": "kokoro"}


def seconds(ogg):
    """Read by libsndfile, from a file that is Ogg with Opus."""
    import soundfile

    with soundfile.SoundFile(io.BytesIO(ogg)) as sound:
        assert (sound.format, sound.subtype, sound.channels) == ("OGG", "OPUS", 1)
        return sound.frames / sound.samplerate


# ------------------------------------------------------------------ recording


async def test_speech_becomes_ogg_with_opus_its_length_and_its_loudness():
    recorder = Recorder.find()

    recording = await recorder.record(Speech(tone(2.0), "audio/wav"))

    assert recording.seconds == pytest.approx(2.0, abs=0.01) and seconds(recording.audio) == pytest.approx(2.0, abs=0.05)
    assert len(recording.waveform) == 20 and max(recording.waveform[:9]) < 10 and min(recording.waveform[11:]) > 200
    assert len(recording.audio) < len(tone(2.0)) / 4


@pytest.mark.parametrize("audio", [b"", b"ID3 sound", b"OggS" + bytes(60), tone(0.0)], ids=["nothing", "no MP3", "no Ogg", "no sound"])
async def test_what_is_no_sound_is_said_so_and_the_next_is_recorded(audio):
    recorder = Recorder.find()

    with pytest.raises(SpeechError):
        await recorder.record(Speech(audio, "audio/mpeg"))

    assert (await recorder.record(Speech(tone(0.3, 16000), "audio/wav"))).seconds == pytest.approx(0.3, abs=0.01)


async def test_so_many_wait_to_be_recorded_and_whoever_comes_then_is_told_to_wait():
    """And the same words of the same character are spoken once."""
    hold, mia = asyncio.Event(), somebody()
    async with speech_server(hold=hold) as (url, asked):
        booth = Booth(EndpointSpeaker(VoiceSettings(**by_server(url))), None)
        waiting = [asyncio.create_task(booth.say(mia, f"Number {n}")) for n in range(WAITING)]
        while len(asked) < 2:  # noqa: ASYNC110  as many as the server is asked for at once; it tells nobody
            await asyncio.sleep(0.01)
        with pytest.raises(SpeechBusy):
            await booth.say(mia, "One too many")
        hold.set()
        said = await asyncio.gather(*waiting)
        assert await booth.say(mia, "Number 3") is said[3]
        assert await booth.record(mia, "Number 3") is None  # nobody records here
        await booth.close()

    assert sorted(one["input"] for one in asked) == sorted(f"Number {n}" for n in range(WAITING))


# ------------------------------------------------------------------ Discord


async def test_a_reply_on_discord_is_heard_as_a_voice_message_in_answer_to_it(tmp_path):
    """By the button under it and by a command; the same words are spoken once."""
    async with speech_server() as (url, asked), discord_stage(tmp_path, voice=by_server(url)) as stage:
        await stage.wake(stage.tavern, "mara-quill")
        (said,) = await stage.hear(stage.tavern, "How is the sea?")

        await stage.discord.press(stage.anna, said, "troupe:hear")
        (first,) = await stage.discord.until(lambda: voices(stage), "a voice message")
        command = await stage.discord.slash(stage.tavern, stage.anna, "chat hear")
        await stage.discord.until(lambda: len(voices(stage)) == 2, "another one")
        await command.until(lambda i: i.messages == [])  # nothing is left to say to whoever asked

        assert first["message_reference"]["message_id"] == said["id"]
        [attachment] = first["attachments"]
        assert attachment["filename"] == "mara-quill.ogg" and attachment["duration_secs"] == 1.0
        assert len(base64.b64decode(attachment["waveform"])) == 10
        assert seconds(stored(stage, attachment)) == pytest.approx(1.0, abs=0.05)
        assert [one["input"] for one in asked] == [said["content"]]
        assert await stage.turns(stage.tavern) == ["Anna: How is the sea?", f"Mara Quill: {said['content']}"]
        await stage.hear(stage.tavern, "And now?")


async def test_where_discord_takes_no_voice_messages_a_reply_is_heard_as_a_file(tmp_path):
    async with speech_server() as (url, _), discord_stage(tmp_path, voice=by_server(url)) as stage:
        stage.discord.world.deny(stage.tavern, SEND_VOICE)
        await stage.wake(stage.tavern, "mara-quill")
        (said,) = await stage.hear(stage.tavern, "How is the sea?")

        await stage.discord.press(stage.anna, said, "troupe:hear")
        heard = await stage.discord.until(lambda: files(stage), "a file")

        assert heard[0]["attachments"][0]["filename"] == "mara-quill.ogg" and not heard[0]["flags"]
        assert heard[0]["message_reference"]["message_id"] == said["id"]


async def test_without_libsndfile_what_was_said_goes_as_the_file_that_it_is(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    async with speech_server() as (url, _), discord_stage(tmp_path, voice=by_server(url)) as stage:
        await stage.wake(stage.tavern, "mara-quill")
        (said,) = await stage.hear(stage.tavern, "How is the sea?")

        await stage.discord.press(stage.anna, said, "troupe:hear")
        heard = await stage.discord.until(lambda: files(stage), "a file")

        assert stored(stage, heard[0]["attachments"][0]) == tone(1.0) and heard[0]["attachments"][0]["filename"] == "mara-quill.wav"


async def test_where_nobody_speaks_discord_offers_neither_button_nor_command(tmp_path):
    async with discord_stage(tmp_path, voice=SILENT) as stage:
        await stage.wake(stage.tavern, "mara-quill")
        (said,) = await stage.hear(stage.tavern, "How is the sea?")

        [chat] = [c for c in stage.discord.world.commands[""] if c["name"] == "chat"]
        assert "hear" not in [option["name"] for option in chat["options"]]
        assert "troupe:hear" not in str(said["components"]) and "troupe:good" in str(said["components"])
        caller = Caller(Person("discord:1", "Anna"), stage.key(stage.tavern), stage.chat.port(stage.key(stage.tavern)))
        with pytest.raises(CommandRefused, match="Nobody speaks aloud"):  # an old button, from when somebody did
            await voice.wanted(stage.house.desk, caller, said["id"])


async def test_a_server_that_cannot_say_it_is_a_sentence_for_whoever_asked(tmp_path):
    async with speech_server() as (url, _), discord_stage(tmp_path, voice=by_server(url)) as stage:
        await stage.wake(stage.tavern, "mara-quill")
        (said,) = await stage.hear(stage.tavern, FAILS)

        pressed = await stage.discord.press(stage.anna, said, "troupe:hear")
        answer = await pressed.answer()

        assert answer["content"].startswith("Mara Quill cannot be heard just now") and answer["flags"] & 64
        (other,) = await stage.hear(stage.tavern, "Never mind.")
        await stage.discord.press(stage.anna, other, "troupe:hear")
        await stage.discord.until(lambda: voices(stage), "a voice message")


def voices(stage):
    return [m for m in stage.discord.world.messages[stage.tavern["id"]].values() if m["flags"] & 1 << 13]


def files(stage):
    return [m for m in stage.discord.world.messages[stage.tavern["id"]].values() if m["attachments"]]


def stored(stage, attachment):
    return next(data for path, (_, data) in stage.discord.world.files.items() if attachment["url"].endswith(path))


# ------------------------------------------------------------------ Telegram


async def test_a_reply_on_telegram_is_heard_as_a_voice_message_in_answer_to_it(tmp_path, tiny_model):
    """By the button under it, and in a group by the command that answers it; told in the language of whoever asks."""
    async with speech_server() as (url, asked), telegram_stage(tmp_path, tiny_model, voice=by_server(url)) as here:
        here.anna["language_code"] = "zh-hans"
        reply = await replied(here, here.anna, here.private, "How is the sea?")

        toast = await pressed(here, here.private, reply["message_id"])
        [call] = await here.telegram.until(lambda: here.telegram.of("sendVoice", chat=here.private), "a voice message")

        assert toast == "正在录音……"
        assert call.parameters["duration"] == 1 and call.parameters["reply_parameters"]["message_id"] == reply["message_id"]
        assert seconds(call.parameters["voice"].data) == pytest.approx(1.0, abs=0.05)
        assert here.telegram.of("sendChatAction", chat=here.private)[-1].parameters["action"] == "record_voice"

        group = here.group()
        await here.wake(group, "mara-quill")
        said = await replied(here, here.ben, group, "Mara, hello @troupe_bot")
        here.telegram.say(here.ben, group, "/hear", reply_to=said["message_id"])
        [call] = await here.telegram.until(lambda: here.telegram.of("sendVoice", chat=group), "a voice message in the group")
        assert call.parameters["reply_parameters"]["message_id"] == said["message_id"]
        assert len(asked) == 2


async def test_whoever_refuses_voice_messages_on_telegram_gets_a_file(tmp_path, tiny_model):
    async with speech_server() as (url, _), telegram_stage(tmp_path, tiny_model, voice=by_server(url)) as here:
        here.telegram.world.refuse_voice.add(here.anna["id"])
        reply = await replied(here, here.anna, here.private, "How is the sea?")

        await pressed(here, here.private, reply["message_id"])
        [call] = await here.telegram.until(lambda: here.telegram.of("sendDocument", chat=here.private), "a file")

        assert call.parameters["document"].data == tone(1.0) and call.parameters["document"].name.endswith(".wav")
        await here.still_answers()


async def test_what_libsndfile_does_not_know_is_sent_to_telegram_as_music(tmp_path, tiny_model):
    async with speech_server(b"ID3 sound", "audio/mpeg") as (url, _), telegram_stage(tmp_path, tiny_model, voice=by_server(url)) as here:
        reply = await replied(here, here.anna, here.private, "How is the sea?")

        await pressed(here, here.private, reply["message_id"])
        [call] = await here.telegram.until(lambda: here.telegram.of("sendAudio", chat=here.private), "a file")

        assert call.parameters["audio"].data == b"ID3 sound" and call.parameters["title"]


async def test_where_nobody_speaks_telegram_offers_neither_button_nor_command(tmp_path, tiny_model):
    async with telegram_stage(tmp_path, tiny_model, voice=SILENT) as here:
        here.telegram.say(here.anna, here.private, "How is the sea?")
        await here.answered(here.private, 1)
        here.telegram.say(here.anna, here.private, "/hear")
        said = await here.answered(here.private, 2)
        await here.telegram.until(lambda: len(here.telegram.of("setMyCommands")) == 8, "the menu")

        assert said[-1] == "That is no command of mine; /help shows them."
        assert "hear" not in [command["command"] for commands in here.bot.commands.values() for command in commands]
        keyboard = here.telegram.sent(here.private)[0]["reply_markup"]["inline_keyboard"]
        assert [button["callback_data"] for row in keyboard for button in row] == ["earlier", "later", "again", "up", "down"]


async def replied(here, person, chat, text):
    """Somebody says something; the message of the reply, once it is stored."""
    here.telegram.say(person, chat, text)
    await here.answered(chat, 1)
    await here.history(ChannelKey("telegram", str(chat.id)))
    return here.telegram.sent(chat)[-1]


async def pressed(here, chat, message_id):
    query = here.telegram.press(here.anna, chat, message_id, "hear")
    [call] = await here.telegram.until(
        lambda: [c for c in here.telegram.of("answerCallbackQuery") if c.parameters["callback_query_id"] == query], "an answer to the press"
    )
    return call.parameters.get("text", "")
