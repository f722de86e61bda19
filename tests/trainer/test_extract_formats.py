"""Every format gives the same thing: scene, speaker, line, stage directions."""

import json

import pytest

from trainer.extract.formats import FORMATS, recognise, sources_of
from trainer.extract.source import Source

pytestmark = pytest.mark.trainer


def read(tmp_path, name, text, *, encoding="utf-8", kind=""):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    [(source, found)] = sources_of(path, "utf-8", kind)
    return [(s.scene, s.speaker, s.line, s.stage) for s in found.read(source, {})]


def spoken(rows):
    return [(speaker, line) for _, speaker, line, _ in rows if line]


# ------------------------------------------------------------------ plays and screenplays

FOUNTAIN = """Title: A Small Film
Author: Nobody

INT. KITCHEN - DAY

Anna stirs a pot. [[is it soup?]]

ANNA
(without turning)
You are late.

MR. BOLT (CONT'D) ^
I am *never* late. The clock
is early.

CUT TO:

.THE ROOF

/* a scene that was
cut out

BOLT
Never said.
*/

@小明
我来了。

!SHOUTING IN CAPITALS
is action here.
"""


def test_fountain_gives_dialogue_with_parentheticals_and_leaves_out_notes(tmp_path):
    rows = read(tmp_path, "film.fountain", FOUNTAIN)

    assert rows == [
        ("1 INT. KITCHEN - DAY", None, "", ("Anna stirs a pot.",)),
        ("1 INT. KITCHEN - DAY", "ANNA", "You are late.", ("without turning",)),
        ("1 INT. KITCHEN - DAY", "MR. BOLT (CONT'D)", "I am never late. The clock is early.", ()),
        ("2 THE ROOF", "小明", "我来了。", ()),
        ("2 THE ROOF", None, "", ("SHOUTING IN CAPITALS is action here.",)),
    ]


def test_a_play_with_names_in_capitals(tmp_path):
    text = """FIRST ACT

SCENE I

JACK. [Looking up.] I. Am. Tired
of it.

And of you.

LADY BRACKNELL. (Aside.) A handbag? (He bows.) Indeed (so to speak).

[Exit Jack.]

MRS. FAY: To-day?

JACK. Yes.

SECOND ACT

JACK. No.

LADY BRACKNELL. Quite.

                         CURTAIN

Produced by volunteers.
"""

    rows = read(tmp_path, "play.txt", text)

    assert rows == [
        ("FIRST ACT/SCENE I", "JACK", "I. Am. Tired of it. And of you.", ("Looking up.",)),
        ("FIRST ACT/SCENE I", "LADY BRACKNELL", "A handbag? Indeed (so to speak).", ("Aside.", "He bows.", "Exit Jack.")),
        ("FIRST ACT/SCENE I", "MRS. FAY", "To-day?", ()),
        ("FIRST ACT/SCENE I", "JACK", "Yes.", ()),
        ("SECOND ACT", "JACK", "No.", ()),
        ("SECOND ACT", "LADY BRACKNELL", "Quite.", ()),
    ]


def test_a_script_with_colons_takes_only_names_that_come_again(tmp_path):
    text = "Anna: Hello.\nBob: One thing: tea.\nNote to self: buy bread.\nAnna: And milk.\nBob: Yes.\nAnna: Good.\n"

    assert spoken(read(tmp_path, "talk.txt", text)) == [
        ("Anna", "Hello."),
        ("Bob", "One thing: tea. Note to self: buy bread."),
        ("Anna", "And milk."),
        ("Bob", "Yes."),
        ("Anna", "Good."),
    ]


def test_a_chinese_script(tmp_path):
    text = "第一幕 茶馆\n王利发：（笑）您里边请。\n松二爷：好，好。\n王利发：喝什么茶？\n松二爷：随便。\n"

    rows = read(tmp_path, "chaguan.txt", text)

    assert rows[0] == ("第一幕 茶馆", "王利发", "您里边请。", ("笑",))
    assert [speaker for speaker, _ in spoken(rows)] == ["王利发", "松二爷"] * 2


def test_xhtml_keeps_stage_directions_apart_and_takes_damaged_markup(tmp_path):
    text = """<html><body><section id="act-1" epub:type="chapter z3998:scene"><table>
    <tr><td epub:type="z3998:persona">Anna</td><td><i epub:type="z3998:stage-direction">Rising, <b epub:type="z3998:persona">Bob</b>
    too.</i> I am <em>here</em>&mdash;<abbr>Mr.</abbr> Bolt<br>. </td></tr>
    <tr><td/><td><i epub:type="z3998:stage-direction">Exit.</i></td></tr>
    <tr><td epub:type="z3998:persona">Bob<td>Alas & <b>no</b>.</tr></table></section></body>"""

    assert read(tmp_path, "act.xhtml", text)[:2] == [
        ("act-1", "Anna", "I am here—Mr. Bolt .", ("Rising, Bob too.",)),
        ("act-1", None, "", ("Exit.",)),
    ]


# ------------------------------------------------------------------ novels


def test_a_novel_names_infers_and_gives_up_in_that_order(tmp_path):
    text = """Chapter 1

“It rains,” said Anna. “It always rains.”

“It does not,” replied Mr. Bolt.

“It does,” said Anna.

“Not, my dear Anna, on Tuesdays,” Mr. Bolt added.

“And today?”

“Today is a Friday.”

The cat looked at the window. It was a long look.

The cook went out. She came back.

The clock struck.

“Soup,” somebody called.
"""

    path = tmp_path / "novel.txt"
    path.write_text(text, encoding="utf-8")
    found = list(FORMATS["novel"].read(Source(path), {}))

    assert [(s.speaker, s.attribution) for s in found] == [
        ("Anna", "attributed"),
        ("Mr. Bolt", "attributed"),
        ("Anna", "attributed"),
        ("Mr. Bolt", "attributed"),
        ("Anna", "unsure"),
        ("Mr. Bolt", "unsure"),
        (None, "unattributed"),
    ]
    assert found[0].line == "It rains, It always rains."
    assert (found[5].scene, found[6].scene) == ("Chapter 1/1", "Chapter 1/2")


def test_a_speech_that_goes_on_in_the_next_paragraph_is_one_speech(tmp_path):
    text = (
        "“I shall begin,” said Anna, “with the soup.\n\n“And end with it.”\n\n“Do,” said Bob.\n\n“I do,” said Anna.\n\n“Good,” said Bob.\n"
    )

    assert spoken(read(tmp_path, "novel.txt", text))[0] == ("Anna", "I shall begin, with the soup. And end with it.")


def test_a_word_in_quotation_marks_is_not_a_speech(tmp_path):
    text = "“Yes,” said Anna.\n\nHe called it a “parlour” and meant a shed.\n\n“No,” said Anna.\n"

    assert [line for _, line in spoken(read(tmp_path, "novel.txt", text))] == ["Yes,", "No,"]


def test_a_chinese_novel(tmp_path):
    text = """第一回 开头

宝玉笑道：“好妹妹，你坐。”

黛玉说道：“我不坐。”

宝玉听了，忙道：“这又是为什么？”

黛玉冷笑道：“你自己想去！”

“我不明白。”宝玉说。

黛玉道：“也罢。”

众人都笑了。
"""

    rows = read(tmp_path, "honglou.txt", text)

    assert [speaker for speaker, _ in spoken(rows)] == ["宝玉", "黛玉", "宝玉", "黛玉", "宝玉", "黛玉"]
    assert rows[0][0] == "第一回 开头/1"


# ------------------------------------------------------------------ subtitles


def test_subrip_joins_cues_of_one_person_and_parts_two_who_share_a_cue(tmp_path):
    text = """1
00:00:01,000 --> 00:00:02,000
ANNA: I was about

2
00:00:02,200 --> 00:00:03,000
ANNA: to <i>say</i> it.

3
00:00:04,000 --> 00:00:06,000
- BOB (O.S.): Say what?
- ANNA: [laughs] Nothing.

4
00:01:30,000 --> 00:01:31,000
Who is there?
"""

    assert read(tmp_path, "film.srt", text) == [
        ("film/1", "ANNA", "I was about to say it.", ()),
        ("film/1", "BOB", "Say what?", ("O.S.",)),
        ("film/1", "ANNA", "Nothing.", ("laughs",)),
        ("film/2", None, "Who is there?", ()),
    ]


def test_webvtt_takes_its_voices(tmp_path):
    text = (
        "WEBVTT\n\nNOTE a note\n\n00:01.000 --> 00:02.000 align:start\n<v.loud Anna>Hello <b>you</b>\n\n"
        "00:05.000 --> 00:06.000\n<v Bob>Hi.</v>\n"
    )

    assert spoken(read(tmp_path, "a.vtt", text)) == [("Anna", "Hello you"), ("Bob", "Hi.")]


def test_substation_alpha_takes_the_name_field_and_drops_override_tags(tmp_path):
    text = (
        "[Script Info]\nTitle: x\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        "Dialogue: 0,0:00:01.00,0:00:02.00,Default,Anna,0,0,0,,{\\i1}Well,{\\i0} well\\Nwell.\n"
        "Comment: 0,0:00:02.00,0:00:03.00,Default,Anna,0,0,0,,not said\n"
        "Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,小明：你好。\n"
    )

    assert spoken(read(tmp_path, "a.ass", text, encoding="utf-8-sig")) == [("Anna", "Well, well well."), ("小明", "你好。")]


# ------------------------------------------------------------------ chats, scene files, cards


def test_a_discord_export_is_read_across_block_borders(tmp_path):
    """The export is never held whole: some messages straddle two blocks of 64 KB."""
    messages = [
        {
            "id": str(n),
            "type": "Default" if n % 5 else "GuildMemberJoin",
            "timestamp": f"2026-01-{1 + n // 200:02}T10:00:00+00:00",
            "content": f"message {n} \n {{x}} [y] {'é' * 300}",
            "author": {"id": "1", "name": "anna.x", "nickname": "Anna" if n % 2 else None},
        }
        for n in range(400)
    ]
    text = json.dumps({"guild": {"name": "G"}, "channel": {"name": "c"}, "messages": messages, "messageCount": 400}, ensure_ascii=False)

    rows = read(tmp_path, "export.json", text)

    assert len(rows) == 320
    assert {(r[0], r[1]) for r in rows} == {(f"export/{s}", n) for s in (1, 2) for n in ("Anna", "anna.x")}
    assert rows[0][2].startswith("message 1 {x} [y] é")


def test_a_telegram_export_joins_formatted_text_and_leaves_out_service_messages(tmp_path):
    messages = [
        {"id": 1, "type": "service", "action": "create_group", "actor": "Anna", "text": ""},
        {
            "id": 2,
            "type": "message",
            "date": "2026-01-01T10:00:00",
            "from": "Anna",
            "text": ["See ", {"type": "bold", "text": "this"}, "!"],
        },
        {"id": 3, "type": "message", "date": "2026-01-02T10:00:00", "from": "Bob", "text": "好的"},
        {"id": 4, "type": "message", "date": "2026-01-02T10:00:00", "from": None, "text": "a deleted account"},
    ]

    rows = read(tmp_path, "result.json", json.dumps({"chats": {"list": [{"name": "us", "messages": messages}]}}, indent=1))

    assert rows == [("result/1", "Anna", "See this!", ()), ("result/2", "Bob", "好的", ())]


def test_jsonl_takes_the_usual_names_of_fields(tmp_path):
    rows = [
        {"speaker": "Anna", "line": "One.", "scene": "kitchen", "stage": ["sits"]},
        {"name": "Bob", "content": "Two."},
        {
            "messages": [
                {"role": "system", "content": "x"},
                {"role": "user", "content": "Three?"},
                {"role": "assistant", "content": "Four."},
            ]
        },
    ]

    found = read(tmp_path, "a.jsonl", "\n".join(json.dumps(r) for r in rows))

    assert found[0] == ("kitchen", "Anna", "One.", ("sits",))
    assert spoken(found)[1:] == [("Bob", "Two."), ("user", "Three?"), ("assistant", "Four.")]


def test_scene_files_of_chatharuhi(tmp_path):
    text = "旁白:「教室里」\n春日:「（拍桌）普通的人类我没有兴趣！」\n阿虚:「……」\n\n阿虚:「你是认真的吗？」\n春日:「当然。」\n"

    assert read(tmp_path, "scene_1.txt", text) == [
        ("scene_1/1", None, "", ("教室里",)),
        ("scene_1/1", "春日", "普通的人类我没有兴趣！", ("拍桌",)),
        ("scene_1/1", "阿虚", "……", ()),
        ("scene_1/2", "阿虚", "你是认真的吗？", ()),
        ("scene_1/2", "春日", "当然。", ()),
    ]


def test_a_cards_example_dialogue(tmp_path):
    card = {
        "spec": "chara_card_v2",
        "spec_version": "2.0",
        "data": {
            "name": "Mara",
            "mes_example": "<START>\n{{user}}: Cold?\n{{char}}: {{char}} has two jumpers.\n<START>\n{{user}}: Why?\n{{char}}: Wind.",
        },
    }

    assert read(tmp_path, "card.json", json.dumps(card)) == [
        ("Mara/1", "User", "Cold?", ()),
        ("Mara/1", "Mara", "Mara has two jumpers.", ()),
        ("Mara/2", "User", "Why?", ()),
        ("Mara/2", "Mara", "Wind.", ()),
    ]


def test_text_files_are_told_apart_by_what_stands_in_them(tmp_path):
    texts = {
        "haruhi": "春日:「早。」\n阿虚:「早。」\n",
        "plain": "ANNA. Yes.\n\nBOB. No.\n",
        "novel": "“Yes,” said Anna.\n\nIt rained.\n\n“No,” said Bob.\n",
    }
    for kind, text in texts.items():
        path = tmp_path / f"{kind}.txt"
        path.write_text(text, encoding="utf-8")
        assert recognise(Source(path)) == kind
    (tmp_path / "essay.txt").write_text("It rained.\nIt went on raining.\n")
    assert recognise(Source(tmp_path / "essay.txt")) is None


def test_utf_16_with_its_mark_and_windows_line_ends_are_read(tmp_path):
    path = tmp_path / "a.srt"
    path.write_bytes("\ufeff1\r\n00:00:01,000 --> 00:00:02,000\r\nANNA: Grüße.\r\n".encode("utf-16-le"))

    [(source, kind)] = sources_of(path, "utf-8", "")

    assert [(s.speaker, s.line) for s in kind.read(source, {})] == [("ANNA", "Grüße.")]
