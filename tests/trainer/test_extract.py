"""A text becomes rows, and rows become characters' lines with what was really said before them."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bot.characters.cast import Cast
from bot.config import CharacterSettings, MemorySettings
from bot.memory.collected import leave_files
from bot.memory.store import Store
from tests.house import HERE
from trainer.__main__ import main
from trainer.dataset import DatasetSettings, divide
from trainer.errors import RunRefused, SourceRefused
from trainer.extract.aliases import Aliases, read_aliases
from trainer.extract.speech import read_rows
from trainer.extract.stage import ROWS, SPEAKERS, ExtractSettings, extract, lent_voices
from trainer.manifest import MANIFEST

pytestmark = pytest.mark.trainer

DATA = HERE.parent / "shared" / "data"
MAIN = ("Jack", "Algernon", "Cecily", "Gwendolen", "Lady Bracknell")


def play(acts: int = 2, turns: int = 12) -> str:
    """A small play in which two people talk and a third says three lines."""
    lines = []
    for act in range(1, acts + 1):
        lines += [f"ACT {act}", "", "[A kitchen at dusk.]", ""]
        for n in range(turns):
            lines += [f"ANNA. Thought number {act}{n} about the {'sea' if n % 2 else 'weather'}.", ""]
            lines += [f"MR. BOLT. [Sighing.] That makes {n} thoughts, Anna, and", "not one of them dry.", ""]
    lines += ["MAID. Yes.", "", "ANNA. Thank you.", "", "MAID. No.", "", "ANNA. I see.", "", "MAID. Perhaps."]
    return "\n".join(lines)


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "play.txt"
    path.write_text(play(), encoding="utf-8")
    return path


@pytest.fixture
def earnest() -> Path:
    if not (DATA / "earnest").is_dir():
        pytest.skip("the play is not beside this checkout (../shared/data/earnest); benchmarks/README.md names the edition")
    return DATA / "earnest"


def few(**more) -> ExtractSettings:
    return ExtractSettings(**{"least_lines": 10, **more})


# ------------------------------------------------------------------ the real play and the real novel


def test_every_speech_of_the_play_is_found_with_its_speaker_and_its_stage_directions(earnest, tmp_path):
    """Row by row the same as the edition's own table: 931 rows, 879 speeches, 322 stage directions."""
    settings = ExtractSettings(format="xhtml", characters=MAIN, held_out=("act-3",))

    folder = extract(earnest, tmp_path / "extract", settings)

    rows = list(read_rows(folder / ROWS))
    known = [json.loads(line) for line in (earnest / "turns.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(r.scene, int(r.id), r.speaker, r.line, list(r.stage)) for r in rows] == [
        (f"act-{k['act']}", k["n"], k["speaker"], k["line"], k["stage"]) for k in known
    ]
    told = json.loads((folder / SPEAKERS).read_text(encoding="utf-8"))
    assert (told["speeches"], told["stage_directions"]) == (879, 322)
    assert {name: told["speakers"][name] for name in MAIN} == {
        "Jack": 218,
        "Algernon": 201,
        "Cecily": 152,
        "Gwendolen": 101,
        "Lady Bracknell": 84,
    }


def test_five_characters_of_the_play_can_be_trained_with_the_third_act_held_out(earnest, tmp_path):
    """All 156 lines of act 3 are held out; everybody's context is what somebody else had just said."""
    settings = ExtractSettings(format="xhtml", characters=MAIN, held_out=("act-3",), title="Earnest")
    folder = extract(earnest, tmp_path / "extract", settings)

    parts, _ = divide(folder / "characters", DatasetSettings())

    assert [p.character.slug for p in parts] == ["algernon", "cecily", "gwendolen", "jack", "lady-bracknell"]
    assert sum(len(p.watched) + len(p.tested) for p in parts) == 156
    assert all(e.scene != "act-3" for p in parts for e in p.taught)
    first = next(p for p in parts if p.character.slug == "jack").taught[0]
    assert (first.with_name, first.said) == ("Algernon", "How are you, my dear Ernest? What brings you up to town?")


def test_the_novel_counts_who_is_named_who_is_inferred_and_who_is_not_known(tmp_path):
    """Nearly every name beside a verb of speaking is found, and the first chapter's couple by calling and taking turns."""
    if not (DATA / "novel").is_dir():
        pytest.skip("the novel is not beside this checkout (../shared/data/novel)")
    aliases = tmp_path / "aliases.toml"
    aliases.write_text('"Mrs. Bennet" = ["his lady", "his wife", "her mother"]\n"Elizabeth" = ["Lizzy"]\n', encoding="utf-8")

    folder = extract(DATA / "novel" / "pride_and_prejudice.txt", tmp_path / "extract", few(aliases=aliases))

    rows = list(read_rows(folder / ROWS))
    told = json.loads((folder / SPEAKERS).read_text(encoding="utf-8"))
    assert told["attribution"]["attributed"] >= 280
    assert sum(told["attribution"].values()) >= 1200
    chapter = [r for r in rows if r.scene.startswith("Chapter 1/")]
    expected = {
        "My dear Mr. Bennet, have": ("Mrs. Bennet", "attributed"),
        "What is his name?": ("Mr. Bennet", "unsure"),
        "Bingley.": ("Mrs. Bennet", "unsure"),
        "Is that his design": ("Mr. Bennet", "unsure"),
        "You mistake me, my dear.": ("Mr. Bennet", "unsure"),
    }
    for opening, found in expected.items():
        row = next(r for r in chapter if r.line.startswith(opening))
        assert (row.speaker, row.attribution) == found


# ------------------------------------------------------------------ what becomes of rows


def test_lines_have_their_true_context_and_the_end_is_held_out(text, tmp_path):
    folder = extract(text, tmp_path / "extract", few(tail=0.25, title="A Play"))

    cast = Cast.load(folder / "characters", CharacterSettings())
    anna, bolt = (next(c for c in cast.house if c.slug == slug) for slug in ("anna", "mr-bolt"))
    assert cast.problems == ()
    assert (bolt.lines[0].with_name, bolt.lines[0].said) == ("Anna", "Thought number 10 about the weather.")
    assert bolt.lines[0].reply == "That makes 0 thoughts, Anna, and not one of them dry."
    assert (anna.lines[0].with_name, anna.lines[0].said) == (None, "(A kitchen at dusk.)")
    held = (folder / "characters" / "mr-bolt" / "held_out.jsonl").read_text(encoding="utf-8").splitlines()
    assert (len(bolt.lines), len(held)) == (18, 6)
    assert max(e.id for e in bolt.lines) < min(json.loads(line)["id"] for line in held)


def test_scenes_can_be_held_out_by_name(text, tmp_path):
    folder = extract(text, tmp_path / "extract", few(held_out=("ACT 2",)))

    held = (folder / "characters" / "mr-bolt" / "held_out.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["scene"] for line in held} == {"ACT 2"}


def test_a_finished_extract_is_not_made_again_and_another_one_is_not_mixed_into_it(text, tmp_path):
    folder = extract(text, tmp_path / "extract", few())
    made = (folder / MANIFEST).stat().st_mtime_ns

    extract(text, tmp_path / "extract", few())
    with pytest.raises(RunRefused, match=r"settings\.tail"):
        extract(text, tmp_path / "extract", few(tail=0.5))

    assert (folder / MANIFEST).stat().st_mtime_ns == made


def test_everybody_has_one_name_however_it_is_spelt():
    aliases = Aliases({"algy": "Algernon"})
    for spelling in ("JACK", "Jack", "JACK (V.O.)", "Mr Bolt", "Mr. Bolt", "LADY OF SHALOTT", "ALGY"):
        aliases.see(spelling)

    assert {aliases.name(s) for s in ("JACK", "Jack", "JACK (V.O.)")} == {"Jack"}
    assert aliases.name("Mr Bolt") == aliases.name("MR. BOLT") == "Mr. Bolt"
    assert aliases.name("LADY OF SHALOTT") == "Lady of Shalott"
    assert aliases.name("ALGY") == "Algernon"


def test_a_spelling_that_stands_for_two_people_is_refused(tmp_path):
    path = tmp_path / "aliases.toml"
    path.write_text('"Jack" = ["Ernest"]\n"Algernon" = ["Ernest"]\n', encoding="utf-8")

    with pytest.raises(SourceRefused, match="'Ernest' stands for 'Jack' and for 'Algernon'"):
        read_aliases(path)


# ------------------------------------------------------------------ bad input


def test_a_speaker_with_three_lines_is_refused_by_name_and_the_others_still_work(text, tmp_path):
    with pytest.raises(SourceRefused, match=r"Maid has 3 lines that answer something.*at least 8, better 60"):
        extract(text, tmp_path / "extract", few(characters=("Maid",)))

    folder = extract(text, tmp_path / "extract", few(characters=("Anna",)))
    assert (folder / "characters" / "anna" / "lines.jsonl").is_file()


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("empty.txt", b"", "is empty; there is nothing to learn from"),
        ("blank.txt", b"\n \n\n", "of no format that is known here; say which with --format"),
        ("song.mp3", b"ID3\x04\x00\x00", "of no format that is known here; say which with --format"),
        ("old.txt", "ANNA. Caf\u00e9.\n\nBOB. Na\u00efve.\n".encode("cp1252"), r"is not utf-8 at byte 9; say how it is written"),
        ("wide.txt", "ANNA. Yes.\n".encode("utf-16-le"), "holds zero bytes"),
        ("quiet.fountain", b"INT. ROOM - DAY\n\nNobody speaks here.\n", "nobody says anything in it when it is read as a screenplay"),
        ("chat.json", b'{"messages": [{"from": "A", "text": "hi"', "ends in the middle of its messages"),
        ("chat.jsonl", b'{"name": "A", "text": "hi"}\nhi\n', "chat.jsonl:2: is no JSON"),
        ("chat2.jsonl", b'{"name": "A"}\n', "has none of line, text, content"),
    ],
)
def test_what_cannot_be_read_ends_in_a_sentence_that_says_what_to_do(tmp_path, name, data, sentence):
    (tmp_path / name).write_bytes(data)

    with pytest.raises(SourceRefused, match=sentence):
        extract(tmp_path / name, tmp_path / "extract", few(), lambda: frozenset({"telegram:1"}))


def test_another_encoding_is_read_when_it_is_named(tmp_path):
    text = play().replace("weather", "café")
    (tmp_path / "play.txt").write_bytes(text.encode("cp1252"))

    folder = extract(tmp_path / "play.txt", tmp_path / "extract", few(encoding="cp1252"))

    assert "café" in next(r.line for r in read_rows(folder / ROWS) if r.speaker == "Anna")


def test_of_a_chat_only_those_are_read_who_lent_their_voice(tmp_path):
    """DESIGN §8: what people said belongs to them. The others are no context either, and a withdrawal finds the rows."""
    names = {"A": 1, "B": 2, "C": 3}
    messages = [
        {"type": "message", "from": name, "from_id": f"user{number}", "text": f"{name} says {n}", "date": "2026-01-01T10:00:00"}
        for n in range(12)
        for name, number in names.items()
    ]
    (tmp_path / "result.json").write_text(json.dumps({"name": "us", "messages": messages}), encoding="utf-8")
    run = tmp_path / "data" / "runs" / "us"

    for lent in (frozenset(), frozenset({"telegram:9"})):
        with pytest.raises(SourceRefused, match="none of them has agreed"):
            extract(tmp_path / "result.json", run / "extract", few(), lambda lent=lent: lent)
    folder = extract(tmp_path / "result.json", run / "extract", few(), lambda: frozenset({"telegram:1", "telegram:2"}))

    assert json.loads((folder / SPEAKERS).read_text())["speakers"] == {"A": 12, "B": 12}
    assert json.loads((folder / "manifest.json").read_text())["figures"]["without_agreement"] == 12
    held = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"C says" not in held and b"A says" in held
    assert leave_files(tmp_path / "data", tmp_path / "gguf", "telegram:1").runs == ("us",)
    assert not any(b"A says" in path.read_bytes() for path in run.rglob("*") if path.is_file())


def test_who_has_agreed_is_asked_of_the_database(tmp_path):
    (tmp_path / "config.toml").write_text('[paths]\ndata = "data"\n')

    async def agree():
        store = await Store.open(MemorySettings(), tmp_path / "data")
        asked = await store.ask_likeness("discord:7", "discord:1", "Tilda", by="discord:8")
        await store.answer_likeness(asked.id, agreed=True, channel=None, wording="likeness-1")
        await store.close()

    asyncio.run(agree())

    assert lent_voices(tmp_path / "config.toml") == {"discord:7"}


def test_a_folder_of_several_formats_asks_which(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nANNA: Yes.\n")
    (tmp_path / "in" / "b.fountain").write_text("INT. ROOM\n\nANNA\nYes.\n")

    with pytest.raises(SourceRefused, match=r"several formats \(fountain, subtitles\); say which to read with --format"):
        extract(tmp_path / "in", tmp_path / "extract", few())


def test_nobody_of_that_name_and_no_such_scene_say_who_and_what_there_is(text, tmp_path):
    with pytest.raises(SourceRefused, match=r"nobody is called 'Ann'; there are .*Anna"):
        extract(text, tmp_path / "extract", few(characters=("Ann",)))
    with pytest.raises(SourceRefused, match="there is no scene 'act-9'; there are ACT 1, ACT 2"):
        extract(text, tmp_path / "extract", few(held_out=("act-9",)))


def test_a_long_text_is_read_in_bounded_memory(tmp_path):
    """Four times the text takes no more memory: 8 MB against 2 MB, measured in a process of its own."""
    code = (
        "import sys, tracemalloc\nfrom pathlib import Path\nfrom trainer.extract import plain\nfrom trainer.extract.source import Source\n"
        "tracemalloc.start()\nn = sum(1 for _ in plain.speeches(Source(Path(sys.argv[1]))))\nprint(n, tracemalloc.get_traced_memory()[1])"
    )
    found = []
    for times in (1, 4):
        path = tmp_path / f"{times}.txt"
        with path.open("w", encoding="utf-8") as file:
            for n in range(times * 10_000):
                file.write(f"ANNA. {n} is a number among numbers, {'and so on, ' * 8}I believe.\n\nBOLT. Is it {n}?\n\n")
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, cwd=HERE)
        found.append([int(x) for x in done.stdout.split()])

    assert [n for n, _ in found] == [20_000, 80_000]
    assert found[1][1] < 1.5 * found[0][1]


def test_the_command_prints_who_says_how_much(text, tmp_path, capsys):
    code = main(["extract", str(text), "--runs", str(tmp_path / "runs"), "--run", "kitchen", "--least-lines", "10"])

    assert code == 0
    assert "Mr. Bolt" in capsys.readouterr().out
    assert main(["extract", str(tmp_path / "none.txt"), "--runs", str(tmp_path / "runs"), "--run", "other"]) == 1
    assert "there is no such file or folder; check the path" in capsys.readouterr().err
