"""Characters heard: greetings and replies as sound, by espeak-ng or a speech server; and nobody heard where there is none."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import stat
import wave
from pathlib import Path
from typing import Any

import pytest

from bot.characters.card import parse_card
from bot.characters.cast import Character, make_character
from bot.config import CharacterSettings, VoiceSettings
from bot.errors import SpeechError
from bot.voice.espeak import EspeakSpeaker
from bot.voice.speech import speakable
from tests.connectors.web_house import Served, serve, web_settings
from tests.loopback.speech_server import speech_server

ESPEAK = shutil.which("espeak-ng")
espeak = pytest.mark.skipif(ESPEAK is None, reason="espeak-ng is not here; apt-get install espeak-ng")


def somebody(**voice: Any) -> Character:
    troupe = {"voice": voice, "languages": ["zh"] if voice.pop("chinese", False) else ["en"]}
    data = {"name": "Mia", "description": "Mia greets.", "first_mes": "Hello!", "extensions": {"troupe": troupe}}
    card = json.dumps({"spec": "chara_card_v3", "spec_version": "3.0", "data": data}).encode()
    return make_character("house", "mia", parse_card(card, CharacterSettings(), "mia"))


def seconds(audio: bytes) -> float:
    """Read by Python's own library, which believes the header."""
    with wave.open(io.BytesIO(audio)) as sound:
        return sound.getnframes() / sound.getframerate()


async def heard(served: Served, path: str, **query: str) -> tuple[int, str, bytes]:
    async with served.session.get(f"{served.url}{path}", params=query) as response:
        return response.status, response.content_type, await response.read()


# ------------------------------------------------------------------ on the page


@espeak
async def test_a_greeting_and_a_reply_are_heard_and_an_invented_text_is_not(tmp_path: Path) -> None:
    async with serve(web_settings(tmp_path)) as served:
        anna = served.browser()
        async with anna.events() as events:
            await anna.say("Ada, hello")
            final = await events.until("final")
            await events.until("typing", on=False)

        assert json.loads((await heard(served, "/api/voice"))[2])["available"] is True
        status, kind, greeting = await heard(served, "/characters/ada/voice", name="Anna")
        assert (status, kind) == (200, "audio/wav") and seconds(greeting) > 0.3
        status, kind, reply = await heard(served, "/characters/ada/voice", message=final["id"])
        assert (status, kind) == (200, "audio/wav") and seconds(reply) > 0.3 and reply != greeting
        assert (await heard(served, "/characters/bo/voice", message=final["id"]))[0] == 400
        assert (await heard(served, "/characters/ada/voice", message="00000000"))[0] == 400
        assert (await heard(served, "/characters/ada/voice", message=final["id"], channel="../lobby"))[0] == 404
        assert (await heard(served, "/characters/nobody/voice"))[0] == 404
        said = await heard(served, "/characters/ada/voice", name="Anna", text="Something else entirely")
        assert said[2] == greeting


async def test_a_draft_is_heard_in_its_own_voice_before_it_is_saved(tmp_path: Path) -> None:
    """On the page, by its button; a draft without a greeting is told so."""
    async with (
        speech_server() as (url, asked),
        serve(web_settings(tmp_path, voice={"base_url": url, "model": "kokoro", "voice": "nova"})) as served,
    ):
        draft = {"name": "Runa", "description": "Runa counts.", "greeting": "High water at six.", "voice": {"name": "onyx", "speed": 240}}
        async with served.session.post(f"{served.url}/api/workshop/hear", json={"draft": draft}) as response:
            assert (response.status, response.content_type) == (200, "audio/wav") and seconds(await response.read()) == 1.0
        async with served.session.post(f"{served.url}/api/workshop/hear", json={"draft": {**draft, "greeting": ""}}) as response:
            assert response.status == 400 and "no words" in (await response.json())["error"]

    assert [(one["input"], one["voice"], one["speed"]) for one in asked] == [("High water at six.", "onyx", 1.5)]


async def test_where_nobody_speaks_that_is_said_and_everything_else_goes_on(tmp_path: Path) -> None:
    async with serve(web_settings(tmp_path, voice={"espeak": "no-such-command"})) as served:
        told = json.loads((await heard(served, "/api/voice"))[2])
        status, _, body = await heard(served, "/characters/ada/voice")

        assert told["available"] is False and "espeak-ng" in told["why"]
        assert status == 404 and json.loads(body)["error"] == told["why"]
        await served.browser().still_answers()


async def test_a_speech_server_is_asked_in_openais_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it said once it is not asked again."""
    monkeypatch.setenv("TROUPE_SPEECH_KEY", "the-servers-key")
    async with (
        speech_server(b"ID3 sound", "audio/mpeg") as (url, asked),
        serve(web_settings(tmp_path, voice={"base_url": url, "model": "kokoro", "voice": "nova"})) as served,
    ):
        first = await heard(served, "/characters/ada/voice", name="Anna")
        again = await heard(served, "/characters/ada/voice", name="Anna")

    assert first == again == (200, "audio/mpeg", b"ID3 sound")
    assert asked == [
        {
            "model": "kokoro",
            "voice": "nova",
            "input": "Hello Anna, I am Ada.",
            "speed": 1.0,
            "response_format": "mp3",
            "key": "Bearer the-servers-key",
        }
    ]


async def test_a_speech_server_that_fails_is_a_sentence_for_the_visitor(tmp_path: Path) -> None:
    async with serve(web_settings(tmp_path, voice={"base_url": "http://127.0.0.1:9/v1", "model": "kokoro"})) as served:
        status, _, body = await heard(served, "/characters/ada/voice")

        assert status == 503 and json.loads(body)["error"].startswith("Ada cannot be heard just now")
        await served.browser().still_answers()


# ------------------------------------------------------------------ espeak-ng


@espeak
async def test_each_card_has_its_own_voice(tmp_path: Path) -> None:
    speaker = EspeakSpeaker.find(VoiceSettings())
    assert speaker is not None
    text = "The light has to be lit before the boats come in."

    slow = await speaker.say(somebody(engine="espeak-ng", name="en-gb-scotland", pitch=20, speed=100), text)
    fast = await speaker.say(somebody(engine="espeak-ng", name="en-gb-scotland", pitch=20, speed=250), text)
    other = await speaker.say(somebody(engine="espeak-ng", name="en-us", pitch=80, speed=250), text)
    chinese = await speaker.say(somebody(chinese=True), "你好，今晚的灯很亮。")

    assert seconds(slow.audio) > 1.5 * seconds(fast.audio)
    assert fast.audio != other.audio
    assert seconds(chinese.audio) > 1


@espeak
@pytest.mark.parametrize("name", ["no-such-voice", "-f/etc/passwd", "../../x", "en; rm -rf", "x" * 60])
async def test_a_voice_that_is_none_gives_way_to_the_languages(name: str) -> None:
    """A card is a stranger's: its voice is a name or nothing, never an option or a path."""
    speaker = EspeakSpeaker.find(VoiceSettings())
    assert speaker is not None

    speech = await speaker.say(somebody(engine="espeak-ng", name=name), "Hello there.")

    assert seconds(speech.audio) > 0.3


async def test_an_engine_that_hangs_is_ended_and_leaves_no_process(tmp_path: Path) -> None:
    slow = tmp_path / "slow-engine"
    slow.write_text(f"#!/bin/sh\necho $$ > '{tmp_path / 'pid'}'\nexec sleep 600\n")
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    speaker = EspeakSpeaker.find(VoiceSettings(espeak=str(slow), timeout_seconds=0.5))
    assert speaker is not None

    with pytest.raises(SpeechError, match="timeout_seconds"):
        await speaker.say(somebody(), "Hello there.")

    pid = int(await asyncio.to_thread((tmp_path / "pid").read_text))
    assert not await asyncio.to_thread(Path(f"/proc/{pid}").exists)


async def test_an_engine_that_gives_no_sound_is_said_so(tmp_path: Path) -> None:
    mute = tmp_path / "mute-engine"
    mute.write_text("#!/bin/sh\ncat > /dev/null\n")
    mute.chmod(mute.stat().st_mode | stat.S_IXUSR)
    speaker = EspeakSpeaker.find(VoiceSettings(espeak=str(mute)))
    assert speaker is not None

    with pytest.raises(SpeechError, match="no sound"):
        await speaker.say(somebody(), "Hello there.")
    with pytest.raises(SpeechError, match="nothing to say"):
        await speaker.say(somebody(), "  ")


def test_what_a_character_does_is_not_read_aloud() -> None:
    assert speakable("*waves* Good evening!  *sits down*", 100) == "Good evening!"
    assert speakable("*waves*", 100) == "waves"
    assert speakable("One sentence. Another one that is too long", 20) == "One sentence."
    assert len(speakable("word " * 1000, 50)) <= 50
