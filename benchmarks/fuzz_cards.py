"""Cards under fire: generated ones make the round trip, mutated files are taken or refused.

    python benchmarks/fuzz_cards.py [--cards 2000] [--files 10000] [--seed N]

Round trip: each generated card goes through V3 and V2 JSON, PNG and back, and must mean the same. Mutated files: PNG,
JSON, YAML, CHARX, BYAF and elizaOS files with bytes and structure changed; each must be taken or refused with a sentence, in under
2 seconds and with the process under 200 MB more than it began with. Prints the seed, so that a failure can be had again;
exits 1 if there was one.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import struct
import sys
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, so that `tests` is found

from bot.characters.card import Card, parse_card, to_v3, write_card
from bot.characters.importing import read_card
from bot.characters.png_card import write_png
from bot.config import CharacterSettings
from bot.errors import CardError
from tests.characters.files import SIGNATURE, archive, chunk, packed, picture, png, text, v3
from tests.characters.generated_cards import CARDS

LIMITS = CharacterSettings()
SECONDS = 2.0
MEGABYTES = 200


# ------------------------------------------------------------------ round trip


def lost(document: dict[str, Any]) -> str:
    """What a round trip loses of a card; empty when nothing."""
    card = parse_card(json.dumps(document).encode(), LIMITS)
    native = "v3" if card.spec == "v3" else "v2"
    if card.spec != "v1" and json.loads(write_card(card, native)) != document:
        return f"{native} JSON differs"
    by_v3 = parse_card(write_card(card, "v3"), LIMITS)
    by_v2 = parse_card(write_card(by_v3, "v2"), LIMITS)
    by_png = read_card(write_png(card, picture()), "card.png", LIMITS).card
    for way, other in (("V3", by_v3), ("V2", by_v2), ("PNG", by_png)):
        if seen(other) != seen(card):
            return f"what is shown differs through {way}"
        if not kept(document, other.document()):
            return f"something of the document is gone through {way}"
    return "" if to_v3(by_png) == to_v3(card) else "PNG differs"


def seen(card: Card) -> dict[str, Any]:
    return {name: getattr(card, name) for name in Card.__slots__ if name not in ("spec", "spec_version", "warnings", "text")}


def kept(before: Any, after: Any) -> bool:
    if isinstance(before, dict):
        return all(key in after and kept(value, after[key]) for key, value in before.items() if key not in ("spec", "spec_version"))
    if isinstance(before, list):
        return len(before) == len(after) and all(map(kept, before, after))
    return bool(before == after)


def round_trips(count: int, number: int) -> list[str]:
    failures: list[str] = []
    tried = Counter[str]()

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
    @given(CARDS)
    def trip(document: dict[str, Any]) -> None:
        tried[document.get("spec", "chara_card_v1")] += 1
        if reason := lost(document):
            failures.append(f"{reason}: {json.dumps(document)[:300]}")

    trip()
    kinds = ", ".join(f"{number} {spec[-2:]}" for spec, number in sorted(tried.items()))
    print(f"round trip: {sum(tried.values())} cards ({kinds}), {len(failures)} lost something")
    return failures


# ------------------------------------------------------------------ mutated files


FULL = v3(
    description="{{char}} mends clocks. " * 20,
    alternate_greetings=["Hi", "Ho"],
    character_book={"entries": [{"keys": ["a", "/b+/i"], "content": "@@depth 3\nlore", "insertion_order": 1, "enabled": True}]},
    extensions={"troupe": {"awake": True, "sampling": {"temperature": 0.7}}, "talkativeness": "0.4"},
    assets=[{"type": "icon", "uri": "embeded://assets/a.png", "name": "main", "ext": "png"}],
)


BACKYARD = {
    "manifest.json": b'{"schemaVersion": 1, "characters": ["a/c.json"], "scenarios": ["s.json", "t.json"], "author": {"name": "Ben"}}',
    "a/c.json": b'{"name": "Ada", "persona": "{user}", "loreItems": [{"key": "a, b", "value": ""}], "images": [{"path": "i.png"}]}',
    "s.json": b'{"narrative": "n", "firstMessages": [{"text": "Hi"}], "exampleMessages": [{"text": "#{user}: a"}], "messages": [{}]}',
    "t.json": b'{"firstMessages": [{"text": "Ho"}], "temperature": 0.7}',
}


def seeds() -> list[bytes]:
    """Files to start from: good ones, and good ones that are already on the edge."""
    talk = [[{"user": "Eli", "content": {"text": "d"}}]]
    eliza = {"name": "Eli", "bio": ["a", "b"], "lore": ["c"], "messageExamples": talk, "style": {"all": ["e"]}}
    small = zlib.compress(packed(FULL))
    big = io.BytesIO()
    Image.effect_noise((700, 700), 60).convert("RGBA").save(big, "PNG")
    return [
        json.dumps(FULL).encode(),
        json.dumps({"name": "Old", "description": "x" * 500, "talkativeness": 0.5}).encode(),
        json.dumps(eliza).encode(),
        png(text("chara", packed({"name": "Old"})), text("ccv3", packed(FULL))),
        png(text("ccv3", packed(FULL)), image=big.getvalue()),
        png(chunk(b"zTXt", b"ccv3\0\0" + small), chunk(b"iTXt", b"chara\0\1\0\0\0" + small)),
        archive({"card.json": json.dumps(FULL).encode(), "assets/a.png": picture(64)}),
        archive({"card.json": json.dumps(FULL).encode(), "assets/a.png": picture(64, "JPEG")}, zipfile.ZIP_STORED),
        picture(64, "JPEG") + archive({"card.json": json.dumps(FULL).encode()}),
        yaml.safe_dump(FULL, allow_unicode=True).encode(),
        b"name: Ada\ncontext: &c |\n  mends clocks\ngreeting: 'Tick.'\nmore: [*c, {a: 1.5, b: [*c, *c]}]\n",
        archive({**BACKYARD, "a/i.png": picture(64)}),
    ]


def _bytes_changed(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 1, 2, 5, 40))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return data


def _cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(1, len(data))]


def _spliced(data: bytearray, chance: random.Random) -> bytearray:
    start, end = sorted(chance.randrange(len(data)) for _ in range(2))
    at = chance.randrange(len(data))
    return data[:at] + data[start:end] * chance.choice((1, 2, 30)) + data[at:]


def _number_changed(data: bytearray, chance: random.Random) -> bytearray:
    at = chance.randrange(max(1, len(data) - 4))
    data[at : at + 4] = struct.pack(chance.choice(("<I", ">I")), chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 70_000, 2**24)))
    return data


def _png_rechecked(data: bytearray, chance: random.Random) -> bytearray:
    """Changes inside chunks with the checksums made right again, so that the change is really read."""
    if not data.startswith(SIGNATURE):
        return _json_nested(data, chance)
    rebuilt, at = bytearray(SIGNATURE), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = bytes(data[at + 4 : at + 8]), bytearray(data[at + 8 : at + 8 + length])
        if body and chance.random() < 0.4:
            body = _bytes_changed(body, chance)
        if kind == b"IHDR" and chance.random() < 0.3 and len(body) == 13:
            struct.pack_into(">II", body, 0, chance.choice((1, 4000, 70_000)), chance.choice((1, 4000, 2**31)))
        rebuilt += chunk(kind, bytes(body)) * (chance.choice((1, 1, 1, 1, 300)) if length < 2000 else 1)
        at += 12 + length
    return rebuilt


def _json_nested(data: bytearray, chance: random.Random) -> bytearray:
    """JSON with odd values put into it: wrong types, deep nests, huge numbers, endless strings."""
    plain = (b"null", b"[]", b"{}", b"1e999", b"-1", b"true", b'"\\ud83d"')
    heavy = (b'"' + b"\\u0000" * 50 + b'"', b"[" * 2000, b"9" * 6000, b'{"a":' * 31 + b"1" + b"}" * 31)
    odd = chance.choice(plain + heavy)
    colons = [at for at, byte in enumerate(data) if byte == ord(":")]
    if not colons:
        return _bytes_changed(data, chance)
    at = chance.choice(colons) + 1
    end = min((position for position in (data.find(b",", at), data.find(b"}", at)) if position >= 0), default=len(data))
    return data[:at] + odd + data[end:]


def _rewrapped(data: bytearray, chance: random.Random) -> bytearray:
    """A card with odd values in it, in a container that is whole: what is read is the card, not the damage."""
    card = _json_nested(bytearray(json.dumps(FULL).encode()), chance)
    if chance.random() < 0.5:
        card = _json_nested(card, chance)
    wrap: Callable[[bytes], bytes] = chance.choice(
        (
            bytes,
            lambda body: png(text("ccv3", base64.b64encode(body))),
            lambda body: png(text("ccv3", base64.b64encode(body)), text("chara", packed({"name": "Old"}))),
            lambda body: archive({"card.json": body, "assets/a.png": picture(64)}),
            lambda body: archive({**BACKYARD, chance.choice(list(BACKYARD)): body}),
        )
    )
    return bytearray(wrap(bytes(card)))


def _bomb(data: bytearray, chance: random.Random) -> bytearray:
    """Small files that would be big: compressed text, compressed entries, many entries, many lore keys, patterns."""
    zeros = bytes(chance.choice((10**6, 10**7, 6 * 10**7)))
    kinds: list[Callable[[], bytes]] = [
        lambda: png(chunk(b"zTXt", b"ccv3\0\0" + zlib.compress(zeros, 9))),
        lambda: png(chunk(b"iCCP", b"icc\0\0" + zlib.compress(zeros, 9)), text("ccv3", packed(v3()))),
        lambda: archive({"card.json": json.dumps(v3()).encode(), "zeros": zeros}),
        lambda: png(text("ccv3", packed(FULL)), image=wide(chance.choice(("RGB", "RGBA", "P", "1")), 4000)),
        lambda: picture(4000, chance.choice(("JPEG", "WEBP"))) + archive({"card.json": json.dumps(FULL).encode()}),
        lambda: archive({"card.json": json.dumps(FULL).encode(), "assets/a.png": wide("RGBA", 3900)}),
        lambda: archive({"card.json": b" " * min(len(zeros), 10**7)}),
        lambda: archive({f"{n}": b"" for n in range(chance.choice((400, 3000)))}),
        lambda: json.dumps(v3(character_book={"entries": [{"keys": ["(a+)+$"] * 60, "content": "x", "use_regex": True}] * 900})).encode(),
        lambda: json.dumps(v3(alternate_greetings=["x"] * chance.choice((90, 100_000)))).encode(),
        lambda: b'{"name": "Ada", "x": [' + b"[]," * 600_000 + b"1]}",
        lambda: b'{"name": "' + b"\\" * 1_500_000,
        lambda: ("name: Ada\na0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}x]\n" for n in range(1, 12))).encode(),
        lambda: b"name: Ada\nx:\n" + chance.choice((b"- a\n", b"- - ", b"  [", b"? ", b"- &a b\n", b"{a: ", b"#\n", b"- *a\n")) * 400_000,
        lambda: b"name: " + chance.choice((b"word ", b"'", b'"a\n', b"|\n ", b"!", b"&", b"\xe2\x80\xa8")) * 400_000,
        lambda: png(text("ccv3", base64.b64encode(b'{"name": "Ada", "description": "' + b"x" * 1_900_000 + b'"}'))),
    ]
    return bytearray(chance.choice(kinds)())


def wide(mode: str, side: int) -> bytes:
    """A picture that is small as a file and big when decoded."""
    written = io.BytesIO()
    Image.new(mode, (side, side)).save(written, "PNG", compress_level=1)
    return written.getvalue()


OFTEN = (_bytes_changed, _png_rechecked, _json_nested, _rewrapped)
MUTATIONS = (*OFTEN, *OFTEN, _cut, _spliced, _number_changed)


def mutated_files(count: int, number: int) -> list[str]:
    chance = random.Random(number)
    starts = seeds()
    failures: list[str] = []
    outcomes = Counter[str]()
    slowest, largest = 0.0, 0.0
    for turn in range(count):
        data = bytearray(chance.choice(starts))
        bomb = chance.random() < 0.02
        if bomb:
            data = _bomb(data, chance)
        for _ in range(chance.choice((0, 0, 1)) if bomb else chance.choice((1, 1, 1, 2, 3))):
            data = chance.choice(MUTATIONS)(data, chance)[:9_000_000] if data else data
        held = reset_peak()
        start = time.process_time()  # the machine is shared: what the reader itself takes is what counts
        try:
            found = read_card(bytes(data), "mutated", LIMITS)
            outcomes[f"taken as {found.format}"] += 1
        except CardError as error:
            outcomes["refused"] += 1
            if not str(error).startswith("mutated") or len(str(error)) > 600:
                failures.append(f"turn {turn}: an odd sentence: {error}")
        except Exception as error:  # noqa: BLE001  this is what the run looks for
            failures.append(f"turn {turn}: {type(error).__name__}: {error}")
        took = time.process_time() - start
        slowest = max(slowest, took)
        needed = peak() - held
        largest = max(largest, needed)
        if needed > MEGABYTES:
            failures.append(f"turn {turn}: took {needed:.0f} MB for {len(data):,} bytes")
        if took > SECONDS:
            failures.append(f"turn {turn}: took {took:.1f} s for {len(data):,} bytes")
    print(f"mutated files: {count}; {', '.join(f'{n} {what}' for what, n in outcomes.most_common())}")
    print(f"slowest {slowest:.2f} s of processor time; at most {largest:.0f} MB for one file")
    return failures


def reset_peak() -> float:
    """Forget the most memory so far; gives what is held now, in MB. Linux only, elsewhere memory is not watched."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return float("inf")
    return _status("VmRSS")


def peak() -> float:
    """The most memory since it was last forgotten, in MB."""
    return _status("VmHWM")


def _status(key: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def main() -> int:
    parser = argparse.ArgumentParser(description="Generated cards make the round trip; mutated files are taken or refused.")
    parser.add_argument("--cards", type=int, default=2000)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    failures = mutated_files(asked.files, asked.seed) + round_trips(asked.cards, asked.seed)
    for failure in failures[:20]:
        print("FAILED", failure)
    print("nothing failed" if not failures else f"{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
