"""Cards in files: every format through the one door, and what is refused there."""

import base64
import io
import json
import struct
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bot.characters.card import parse_card, to_v3
from bot.characters.importing import Imported, read_card
from bot.characters.png_card import write_png
from bot.config import CharacterSettings
from bot.errors import CardError
from tests.characters.files import SIGNATURE, archive, chunk, packed, picture, png, text, v3
from tests.characters.generated_cards import CARDS

LIMITS = CharacterSettings()


def read(data: bytes, filename: str = "ada.png", limits: CharacterSettings = LIMITS) -> Imported:
    return read_card(data, filename, limits)


def refusal(data: bytes, limits: CharacterSettings = LIMITS) -> str:
    """The sentence with which a file is refused; the next good one is read as ever."""
    with pytest.raises(CardError) as refused:
        read(data, "bad.file", limits)
    assert read(png(text("ccv3", packed(v3())))).card.name == "Ada"
    assert str(refused.value).startswith("bad.file")
    return str(refused.value)


# ------------------------------------------------------------------ PNG


def test_a_png_card_is_read_with_its_picture():
    """The picture becomes a PNG of our own, without the card and every other text in it."""
    found = read(png(text("ccv3", packed(v3(description="kind"))), text("Comment", b"made by somebody")))

    assert (found.format, found.card.description) == ("png", "kind")
    assert found.portrait is not None
    with Image.open(io.BytesIO(found.portrait)) as portrait:
        assert portrait.size == (32, 32)
        assert portrait.info == {}


def test_the_v3_card_wins_wherever_it_stands():
    """ccv3 over chara, in either order and whatever other text comes first."""
    old, new = text("chara", packed({"name": "Old"})), text("ccv3", packed(v3("New")))

    assert read(png(old, new)).card.name == "New"
    assert read(png(text("Software", b"x"), new, old)).card.name == "New"
    assert read(png(old)).card.name == "Old"


def test_a_first_text_that_is_no_card_does_not_matter():
    """An old SillyTavern took the first text blindly and crashed."""
    assert (
        read(
            png(text("Software", b"\xff\xfe"), text("", b""), chunk(b"tEXt", b"no zero byte"), text("Chara", packed({"name": "Ada"})))
        ).card.name
        == "Ada"
    )


def test_a_broken_v3_card_gives_way_to_the_v2_copy():
    """The other card in the file is used, and the warning says why."""
    found = read(png(text("ccv3", b"!!!"), text("chara", packed({"name": "Ada"}))))

    assert found.card.name == "Ada"
    assert "not base64" in found.warnings[-1]


def test_a_card_is_written_twice_and_read_once():
    """chara for old programs, with a note; ccv3 for those that know it; Pillow sees both."""
    card = parse_card(json.dumps(v3(creator_notes="Mine.", extensions={"x": [1]})).encode(), LIMITS)

    written = write_png(card, picture())

    with Image.open(io.BytesIO(written)) as opened:
        opened.load()
        texts = opened.text  # type: ignore[attr-defined]
    copy = json.loads(base64.b64decode(texts["chara"]))
    assert copy["spec"] == "chara_card_v2"
    assert "V3" in copy["data"]["creator_notes"]
    assert "Mine." in copy["data"]["creator_notes"]
    assert json.loads(base64.b64decode(texts["ccv3"])) == to_v3(card) == to_v3(read(written).card)


def test_writing_into_a_picture_with_a_card_leaves_one():
    """An exported card holds the character that was exported, not the one that was there before."""
    first = parse_card(json.dumps(v3("First")).encode(), LIMITS)
    second = parse_card(json.dumps(v3("Second")).encode(), LIMITS)

    written = write_png(second, write_png(first, picture()))

    assert written.count(b"ccv3") == 1
    assert read(written).card.name == "Second"


@settings(max_examples=40, deadline=None)
@given(CARDS)
def test_a_card_survives_the_way_through_a_png(document):
    """What is exported as PNG is what is imported."""
    card = parse_card(json.dumps(document).encode(), LIMITS)

    assert to_v3(read(write_png(card, picture())).card) == to_v3(card)


def test_compressed_texts_are_read_within_bounds():
    """zTXt and iTXt hold cards too; one that would inflate past the limit is refused, unread ones are not inflated at all."""
    small = zlib.compress(packed(v3()))
    bomb = zlib.compress(b"A" * 60_000_000, 9)

    assert read(png(chunk(b"zTXt", b"ccv3\0\0" + small))).card.name == "Ada"
    assert read(png(chunk(b"iTXt", b"ccv3\0\1\0\0\0" + small))).card.name == "Ada"
    assert read(png(chunk(b"iTXt", b"ccv3\0\0\0\0\0" + packed(v3())))).card.name == "Ada"
    assert read(png(chunk(b"zTXt", b"Comment\0\0" + bomb), text("ccv3", packed(v3())))).card.name == "Ada"
    assert "decompresses to more than" in refusal(png(chunk(b"zTXt", b"ccv3\0\0" + bomb)))
    assert "cannot be decompressed" in refusal(png(chunk(b"zTXt", b"ccv3\0\0nonsense")))


def test_damaged_pngs_are_refused_by_what_is_wrong():
    """Length past the end, checksum, header, middle of a chunk, no card, too many chunks."""
    good = png(text("ccv3", packed(v3())))

    assert "claims 4,294,967,295 bytes" in refusal(SIGNATURE + chunk(b"IHDR", b"x" * 13, length=2**32 - 1))
    assert "checksum" in refusal(png(chunk(b"tEXt", b"ccv3\0" + packed(v3()), checksum=1)))
    assert "does not begin as a PNG does" in refusal(SIGNATURE + chunk(b"IDAT", b""))
    assert "middle of a chunk" in refusal(SIGNATURE + b"\0\0")
    assert "no text chunk" in refusal(picture())
    assert "claims" in refusal(good[:-40])
    assert "more than 256 chunks" in refusal(png(*[text("a", b"b")] * 300))
    assert "no text chunk" in refusal(SIGNATURE)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    """The header says it, whatever the data is."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)

    said = refusal(SIGNATURE + chunk(b"IHDR", header) + text("ccv3", packed(v3())) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))

    assert "100000 x 100000 = 10,000,000,000 pixels; the limit is 16,000,000" in said


def test_a_card_whose_picture_cannot_be_decoded_has_no_portrait():
    """The words are what counts; the warning says what happened to the picture."""
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    data = SIGNATURE + chunk(b"IHDR", header) + text("ccv3", packed(v3())) + chunk(b"IDAT", b"nonsense") + chunk(b"IEND", b"")

    found = read(data)

    assert found.portrait is None
    assert "no portrait from it" in found.warnings[-1]


def test_a_file_over_the_size_limit_is_refused_with_both_numbers():
    """characters.card_bytes."""
    assert "2,048 bytes; the limit is 1,024" in refusal(b" " * 2048, CharacterSettings(card_bytes=1024))


# ------------------------------------------------------------------ CHARX


def test_a_charx_card_is_read_with_its_icon():
    """card.json and the picture that its assets name; what is not kept is told."""
    card = v3(assets=[{"type": "icon", "uri": "embeded://assets/icon/images/main.webp", "name": "main", "ext": "webp"}])
    entries = {"card.json": json.dumps(card).encode(), "assets/icon/images/main.webp": picture(kind="WEBP"), "module.risum": b"x"}

    found = read(archive(entries), "ada.charx")

    assert (found.format, found.card.name) == ("charx", "Ada")
    assert found.portrait is not None
    assert "1 other files" in found.warnings[-1]


def test_what_a_charx_card_names_and_we_do_not_keep_is_taken_out_of_it():
    """Nothing in an exported card points into an archive that is gone; what lies elsewhere stays as it is."""
    elsewhere = {"type": "background", "uri": "https://example.org/shop.png", "name": "shop", "ext": "png"}
    assets = [
        {"type": "emotion", "uri": "embeded://assets/joy.png", "name": "joy", "ext": "png"},
        {"type": "icon", "uri": "embeded://assets/ada.webp", "name": "main", "ext": "webp", "x-new": 1},
        {"type": "icon", "uri": "embedded://assets/other.png", "name": "other", "ext": "png"},
        elsewhere,
        "strange",
    ]
    entries = {"card.json": json.dumps(v3(assets=assets)).encode(), "assets/ada.webp": picture(kind="WEBP"), "assets/joy.png": picture()}

    found = read(archive(entries), "ada.charx")

    portrait = {"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png", "x-new": 1}
    assert to_v3(found.card)["data"]["assets"] == [portrait, elsewhere, "strange"]
    assert found.portrait is not None
    assert "2 of the card's assets name files" in found.warnings[-1]
    assert "embed" not in found.card.text


def test_assets_in_the_chunks_of_a_png_are_not_kept_either():
    """The picture itself is: it is the portrait."""
    portrait = {"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"}
    joy = {"type": "emotion", "uri": "__asset:joy.png", "name": "joy", "ext": "png"}
    card = v3(assets=[portrait, joy])

    found = read(png(text("ccv3", packed(card)), text("chara-ext-asset_:joy.png", base64.b64encode(picture()))))

    assert to_v3(found.card)["data"]["assets"] == [portrait]
    assert "1 of the card's assets" in found.warnings[-1]


def test_an_archive_behind_a_jpeg_is_read_too():
    """Some programs hide the archive in a picture."""
    found = read(picture(kind="JPEG") + archive({"card.json": json.dumps(v3()).encode()}), "ada.jpg")

    assert found.card.name == "Ada"
    assert found.portrait is not None


def named(name: str, **changes: int) -> bytes:
    entry = zipfile.ZipInfo(name)
    for key, value in changes.items():
        setattr(entry, key, value)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as opened:
        opened.writestr("card.json", json.dumps(v3()))
        opened.writestr(entry, b"x")
    return written.getvalue()


@pytest.mark.parametrize("name", ["../card.json", "/etc/passwd", "a/../../b", "C:\\x", "..\\x", "a/.."])
def test_a_name_that_leads_out_of_the_archive_is_refused(name):
    """Nothing is ever written by such a name, and the file is not trusted at all."""
    assert "leads out" in refusal(named(name))


def test_links_and_encrypted_entries_are_refused():
    """Before anything is unpacked."""
    encrypted = bytearray(archive({"card.json": json.dumps(v3()).encode()}))
    encrypted[6] |= 1
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1

    assert "is a link" in refusal(named("x", external_attr=0o120777 << 16))
    assert "is encrypted" in refusal(bytes(encrypted))
    assert "method 12" in refusal(archive({"card.json": json.dumps(v3()).encode()}, zipfile.ZIP_BZIP2))


def test_an_archive_that_grows_too_much_is_refused_before_it_does():
    """Ratio, total, entries and the card's own size; a nest of zeros never unfolds."""
    card = json.dumps(v3()).encode()

    assert "grows" in refusal(archive({"card.json": card, "zeros": bytes(30_000_000)}))
    assert "unpacks to" in refusal(archive({"card.json": card, "a": bytes(5000), "b": bytes(5000)}), CharacterSettings(zip_bytes=8000))
    assert "513 entries; the limit is 512" in refusal(archive({"card.json": card} | {f"{n}": b"" for n in range(512)}))
    assert "more than 512 entries" in refusal(archive({"card.json": card} | {f"{n}": b"" for n in range(2000)}))
    assert "the limit is 2,097,152" in refusal(archive({"card.json": b" " * 2_200_000}, zipfile.ZIP_STORED))


def test_an_archive_that_lies_about_its_sizes_is_refused():
    """The directory says 10 bytes, the data unfolds to more: reading stops at what was said, and the checksum tells."""
    data = bytearray(archive({"card.json": b" " * 50_000 + json.dumps(v3()).encode()}))
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 10)

    assert "damaged archive" in refusal(bytes(data))


def test_archives_without_a_card_or_damaged_are_refused():
    """An ordinary zip is no character."""
    assert "without card.json (CHARX) or manifest.json (BYAF)" in refusal(archive({"readme.txt": b"x"}))
    assert "damaged archive" in refusal(archive({"card.json": b"{}"})[:-8])
    assert "damaged archive" in refusal(b"PK\x03\x04" + b"\0" * 100)


# ------------------------------------------------------------------ elizaOS, JSON, and what is none of them

ELIZA = {
    "name": "Eli",
    "system": "Be Eli.",
    "bio": ["{{agentName}} keeps goats.", "Lives on a hill."],
    "lore": ["Lost a goat in 1990.", "Won it back."],
    "adjectives": ["stubborn", "kind"],
    "topics": ["goats"],
    "style": {"all": ["short sentences"], "chat": ["asks back"]},
    "messageExamples": [
        [{"user": "{{user1}}", "content": {"text": "Hello"}}, {"user": "Eli", "content": {"text": "Mind the goat."}}],
        {"examples": [{"name": "{{name1}}", "content": {"text": "Bye"}}, {"name": "{{agentName}}", "content": {"text": "Shut the gate."}}]},
    ],
    "settings": {"secrets": {"API_KEY": "canary-secret"}},
    "postExamples": ["A goat is a moral question."],
    "plugins": [],
}


def test_an_elizaos_character_becomes_a_card():
    """Bio, lore, style and examples find their places; posts are kept beside; secrets are not."""
    found = read(json.dumps(ELIZA).encode(), "eli.json")
    card = found.card

    assert (found.format, card.name, card.personality, card.system_prompt) == ("elizaos", "Eli", "stubborn, kind", "Be Eli.")
    assert "{{char}} keeps goats." in card.description
    assert "short sentences; asks back" in card.description
    assert card.book is not None
    assert [entry.content for entry in card.book.entries] == ["Lost a goat in 1990.", "Won it back."]
    assert [[(line.by_character, line.text) for line in dialogue] for dialogue in card.examples] == [
        [(False, "Hello"), (True, "Mind the goat.")],
        [(False, "Bye"), (True, "Shut the gate.")],
    ]
    assert "moral question" in card.text
    assert "canary-secret" not in card.text
    assert "not kept" in found.warnings[-1]


def test_a_bio_of_one_text_and_missing_parts_are_fine():
    """elizaOS needs only a name and a bio."""
    assert read(json.dumps({"name": "Eli", "bio": "Keeps goats."}).encode()).card.description == "Keeps goats."


def test_a_json_card_may_carry_its_portrait():
    """A data: address is decoded; one on the web is never fetched."""
    icon = {"type": "icon", "name": "main", "ext": "png", "uri": "data:image/png;base64," + base64.b64encode(picture()).decode()}
    web = {**icon, "uri": "http://127.0.0.1:9/portrait.png"}

    assert read(json.dumps(v3(assets=[icon])).encode()).portrait is not None
    found = read(json.dumps(v3(assets=[web])).encode())
    assert found.portrait is None
    assert "not fetched" in found.warnings[-1]


def test_a_huge_or_endless_picture_in_a_card_costs_the_portrait_only():
    """Pixels and scans are counted before decoding."""
    jpeg = picture(kind="JPEG")
    scans = jpeg[:-2] + b"\xff\xda\x00\x02" * 100 + jpeg[-2:]
    icon = {"type": "icon", "name": "main", "ext": "jpeg", "uri": "data:image/jpeg;base64," + base64.b64encode(scans).decode()}

    found = read(json.dumps(v3(assets=[icon])).encode())

    assert found.portrait is None
    assert "scans" in found.warnings[-1]


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "WEBP"])
def test_a_picture_without_a_card_is_told_what_a_card_is(kind):
    """The sentence says which formats hold characters."""
    assert "PNG, JSON, YAML, CHARX or BYAF" in refusal(picture(kind=kind))


def test_a_file_name_cannot_write_into_the_refusal():
    """Only its last part, without what is not shown."""
    with pytest.raises(CardError) as refused:
        read(b"{}", "../../x\n\u202efdp.json")

    assert str(refused.value).startswith("xfdp.json: ")


GOOD_FILES = [
    png(text("chara", packed({"name": "Ada"})), text("ccv3", packed(v3(description="d" * 200)))),
    archive({"card.json": json.dumps(v3(description="d" * 200)).encode(), "assets/a.png": picture()}),
    json.dumps(v3(character_book={"entries": [{"keys": ["a"], "content": "b", "insertion_order": 1, "enabled": True}]})).encode(),
    json.dumps(ELIZA).encode(),
    b"name: Ada\ncontext: &c |\n  mends clocks\ngreeting: Tick.\nmore: [*c, {a: 1.5}]\n",
    archive({"manifest.json": b'{"characters": ["c.json"], "scenarios": ["s.json"]}', "c.json": b'{"name": "Ada"}', "s.json": b"{}"}),
]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(GOOD_FILES),
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=0, max_size=6)), min_size=1, max_size=4),
    st.booleans(),
)
def test_a_mutated_file_is_taken_or_refused_with_a_sentence(data, changes, cut):
    """benchmarks/fuzz_cards.py does ten thousand of these with clock and memory watched."""
    mutated = bytearray(data)
    for where, what in changes:
        at = where % len(mutated)
        mutated[at : at + len(what)] = what
    if cut:
        del mutated[changes[0][0] % len(mutated) :]

    try:
        read(bytes(mutated))
    except CardError as error:
        assert str(error)
