"""Portraits drawn by code: one illustrator's hand, cut paper and a gouge.

The same card always gives the same picture, so a portrait need not travel with a character: it can be drawn where it
is wanted. CPU work of about half a second: use a thread.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from bot.characters.card import Card
from bot.characters.paper import INK, WHITE, Colour, Point, Sheet, both, colour, ellipse, lightness, mix, smooth, stroke
from bot.characters.portrait_features import OBJECTS
from bot.characters.troupe_settings import PortraitSettings

SIDE = 512  # pixels

_GROUNDS = (
    "#2b4257",
    "#7a2e2e",
    "#5f7a5a",
    "#e8c98f",
    "#3d6f8e",
    "#d9c58a",
    "#4a4438",
    "#2b2440",
    "#b5654a",
    "#8a9a86",
    "#6b4f73",
    "#c8a2a0",
)
_SKINS = ("#f0d0b4", "#e0ac86", "#c98f6b", "#a86f4c", "#7d5138", "#5a3a2a", "#d9b08c", "#efcfae")
_HAIRS = ("#2b2326", "#4a3324", "#7a4a2a", "#b5793c", "#b9bcc0", "#8a3324", "#1f1a24", "#3b2a20", "#5d4030", "#d8b36a")
_CLOTHES = ("#1f3a4d", "#1f6f6b", "#e8b23a", "#5b2a4e", "#37505c", "#b5452f", "#f4efe4", "#4f6b3a", "#27364f")
_HINTS: tuple[tuple[str, dict[str, object]], ...] = (  # what a description may say of somebody's looks
    (r"\b(?:bald|hairless)\b", {"hair_style": "bald"}),
    (r"\b(?:top hat|magician)\b", {"hair_style": "tophat"}),
    (r"\b(?:hood|hooded|cloak|monk)\b", {"hair_style": "hood"}),
    (r"\b(?:cap|baker|sailor)\b", {"hair_style": "cap"}),
    (r"\b(?:curls|curly)\b", {"hair_style": "curly"}),
    (r"\b(?:glasses|spectacles)\b", {"glasses": True}),
    (r"\b(?:beard|bearded)\b", {"beard": True}),
    (r"\b(?:grey|gray|white|silver)[- ]hair", {"hair": "#b9bcc0"}),
    (r"\b(?:troll|goblin|orc)\b", {"skin": "#8a9a86"}),
    (r"\b(?:ghost|spirit|spectre)\b", {"skin": "#c9d6dc"}),
)


def portrait_for(card: Card) -> bytes:
    """The portrait of a card as PNG, 512 x 512: as its settings say, or as its name and description suggest."""
    settings = card.settings.portrait or suggested_settings(card)
    return draw_portrait(settings, card.name)


def write_portrait(card: Card, folder: Path) -> Path:
    """Draw the portrait into a character's folder; returns the file."""
    path = folder / "portrait.png"
    path.write_bytes(portrait_for(card))
    return path


def suggested_settings(card: Card) -> PortraitSettings:
    """Looks for a card that says nothing of them: chosen by its name, led by words of its description."""
    chance = _chance(card.name)
    chosen: dict[str, object] = {
        "background": chance.choice(_GROUNDS),
        "skin": chance.choice(_SKINS),
        "hair": chance.choice(_HAIRS),
        "hair_style": chance.choice(("short", "long", "bun", "curly", "wild", "short", "long")),
        "clothes": chance.choice(_CLOTHES),
        "glasses": chance.random() < 0.2,
        "beard": False,
    }
    text = f"{card.description} {card.personality}".lower()[:5000]
    for pattern, says in _HINTS:
        if re.search(pattern, text):
            chosen |= says
    feature = next((name for name in OBJECTS if re.search(rf"\b{name}s?\b", text)), "")
    return PortraitSettings(**chosen, feature=feature)  # type: ignore[arg-type]


def draw_portrait(settings: PortraitSettings, name: str) -> bytes:
    """The picture as PNG. ``name`` decides the small things: the set of the brows, the width of the jaw."""
    return _Sitter(settings, name).png()


def _chance(name: str) -> random.Random:
    return random.Random(int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:8]))


class _Sitter:
    """One portrait in the making, from the ground up."""

    def __init__(self, settings: PortraitSettings, name: str) -> None:
        self._looks = settings
        self._chance = _chance(name)
        self._ground = colour(settings.background)
        self._skin = colour(settings.skin)
        self._hair = colour(settings.hair)
        self._clothes = colour(settings.clothes)
        self._shade = mix(self._skin, mix(INK, self._skin, 0.25), 0.26)
        self._sheet = Sheet(SIDE, WHITE)
        self._wide = self._chance.uniform(13.4, 15.4)  # half the head
        self._chin = self._chance.uniform(62.0, 65.0)
        self._jaw = self._chance.uniform(0.60, 0.80)
        red, green, blue = self._skin
        self._troll = green > red and green > blue
        self._old = lightness(self._hair) > 0.6 and max(self._hair) - min(self._hair) < 40

    def png(self) -> bytes:
        self._draw_ground()
        self._draw_hair_behind()
        self._draw_body()
        self._draw_head()
        self._draw_face()
        if self._looks.beard:
            self._draw_beard()
        self._draw_mouth()
        if self._looks.feature == "moustache":
            self._draw_moustache()
        self._draw_hair_before()
        if self._looks.glasses:
            self._draw_glasses()
        self._draw_feature()
        self._draw_frame()
        return self._sheet.png()

    # -------------------------------------------------------------- around the figure

    def _draw_ground(self) -> None:
        sheet, chance = self._sheet, self._chance
        everything = sheet.cut([(0, 0), (100, 0), (100, 100), (0, 100)])
        sheet.tint(self._ground, everything)
        pale = mix(self._ground, WHITE, 0.26 if lightness(self._ground) < 0.55 else 0.5)
        rays: list[list[Point]] = []
        for k in range(52):
            angle = 2 * math.pi * (k + chance.uniform(-0.25, 0.25)) / 52
            near, far = chance.uniform(38, 41), chance.uniform(46, 64)
            ends = [(50 + r * math.cos(angle), 43 + r * math.sin(angle)) for r in (near, (near + far) / 2, far)]
            rays.append(stroke(ends[0], ends[1], ends[2], chance.uniform(0.7, 1.3), 0.1))
        sheet.carve(mix(self._ground, pale, 0.75), everything, *rays)
        sheet.lay(pale, sheet.cut(ellipse(50, 43, 35)), lift=0.8)
        for level, share in ((79.0, 0.16), (87.0, 0.3)):
            wave = [(float(x), level + 2.2 * math.sin(x / 7.5 + level) + chance.uniform(-0.5, 0.5)) for x in range(-6, 112, 6)]
            sheet.lay(mix(self._ground, INK, share), sheet.cut([*smooth_open(wave), (112, 112), (-6, 112)]), lift=1.1)

    def _draw_frame(self) -> None:
        chance = self._chance
        inner: list[Point] = []
        for side in range(4):
            for k in range(8):
                along, inset = 4 + 92 * k / 8, 4 + chance.uniform(-0.25, 0.25)
                inner.append([(along, inset), (100 - inset, along), (100 - along, 100 - inset), (inset, 100 - along)][side])
        outer = [(-2.0, -2.0), (102.0, -2.0), (102.0, 102.0), (-2.0, 102.0)]
        self._sheet.lay(WHITE, self._sheet.cut(outer, holes=[inner]), lift=0.9)

    # -------------------------------------------------------------- the figure

    def _draw_body(self) -> None:
        sheet = self._sheet
        body = sheet.cut(smooth([(6, 106), (11, 88), (22, 79), (39, 73.5), (50, 80), (61, 73.5), (78, 79), (89, 88), (94, 106), (50, 112)]))
        sheet.lay(self._clothes, body, lift=1.5)
        folds = [
            stroke((x, 99), (x + lean, 92), (x + 2 * lean, 85 + abs(x - 50) / 9), 1.1, 0.1)
            for x, lean in ((20, 1.5), (27, 1.2), (73, -1.2), (80, -1.5))
        ]
        light = lightness(self._clothes) > 0.7
        sheet.carve(mix(self._clothes, INK if light else WHITE, 0.3), body, *folds)
        neck = smooth([(43.8, 54), (56.2, 54), (56.8, 68), (59.5, 74), (55, 81), (50, 85), (45, 81), (40.5, 74), (43.2, 68)])
        bare = sheet.cut(neck)
        sheet.lay(self._skin, bare, lift=0.5)
        under_chin = smooth([(40, 56), (60, 56), (60, 67), (54, 72.5), (46, 70.5), (40, 66)])
        sheet.tint(self._shade, both(bare, sheet.cut(under_chin)))
        trim = mix(self._clothes, INK, 0.26) if light else mix(self._clothes, WHITE, 0.24)
        self._collar(self._chance.choice(("lapels", "high", "round", "shirt")), trim)

    def _collar(self, kind: str, trim: Colour) -> None:
        sheet = self._sheet
        if kind == "high":
            sheet.lay(self._clothes, sheet.cut(smooth([(37, 77), (50, 75), (63, 77), (62, 84), (50, 90), (38, 84)])), lift=0)
            roll = sheet.cut(smooth([(40.5, 70), (50, 73.5), (59.5, 70), (61.5, 77), (50, 82), (38.5, 77)]))
            sheet.lay(trim, roll, lift=0.9)
            ribs = [
                stroke((50 + x, 73.6 - abs(x) * 0.14), (50 + x * 1.04, 77), (50 + x * 1.08, 80.4 - abs(x) * 0.24), 0.6, 0.3)
                for x in range(-9, 10, 3)
            ]
            sheet.carve(mix(trim, INK, 0.3), roll, *ribs)
            return
        if kind == "round":
            band = sheet.cut(
                smooth([(37.5, 72), (42, 82), (50, 86.5), (58, 82), (62.5, 72), (66, 74), (61, 86), (50, 91.5), (39, 86), (34, 74)])
            )
            sheet.lay(trim, band, lift=0.7)
            return
        for side in (-1, 1):
            lapel = [(50 + side * 8.6, 70.5), (50 + side * 15, 75.5), (50 + side * 11.5, 83), (50 + side * 0.6, 93), (50 + side * 4.4, 82)]
            if kind == "shirt":
                lapel = [(50 + side * 8.2, 70), (50 + side * 13.6, 75), (50 + side * 10.6, 85.5), (50 + side * 0.4, 82.6)]
            sheet.lay(trim, sheet.cut(lapel), lift=0.7)
        if kind == "shirt":
            buttons = [ellipse(50, y, 0.95) for y in (87.4, 92.6)]
            sheet.lay(WHITE if lightness(self._clothes) < 0.7 else mix(self._clothes, INK, 0.5), sheet.cut(*buttons), lift=0.3)

    def _head_shape(self) -> list[Point]:
        w, chin, jaw = self._wide, self._chin, self._jaw
        right = [(50 + w * 0.62, 27), (50 + w * 0.97, 36), (50 + w, 46), (50 + w * 0.9, 54), (50 + w * jaw, chin - 3.6)]
        return smooth([(50, 24.5), *right, (50, chin), *[(100 - x, y) for x, y in reversed(right)]])

    def _draw_head(self) -> None:
        sheet, w = self._sheet, self._wide
        for side in (-1, 1):
            x = 50 + side * (w + 0.6)
            ear = ellipse(x, 46.5, 2.9, 4.6, side * -8)
            if self._troll:
                ear = smooth([(x - side * 2, 42), (x + side * 8, 38.5), (x + side * 5, 47), (x - side * 1, 52)])
            sheet.lay(self._skin, sheet.cut(ear), lift=0.7)
            sheet.tint(self._shade, sheet.cut(ellipse(x + side * 0.3, 46.8, 1.5, 2.8, side * -8)), 0.9)
        head = sheet.cut(self._head_shape())
        sheet.lay(self._skin, head, lift=1.1)
        dark_side = smooth([(54, 20), (72, 20), (72, 70), (53, 70), (57, 60), (55.5, 54), (58, 48), (57, 40), (59, 32)])
        sheet.tint(mix(self._skin, self._shade, 0.62), both(head, sheet.cut(dark_side)))
        hatch = [
            stroke((50 + w + 1, 40 + 2.1 * k), (50 + w - 2, 41 + 2.1 * k), (50 + w - 4.6 + 0.35 * abs(k - 4), 42.4 + 2.1 * k), 0.55, 0.1)
            for k in range(9)
        ]
        sheet.carve(self._shade, head, *hatch)
        self._head = head

    def _draw_face(self) -> None:
        sheet, chance = self._sheet, self._chance
        blush = mix(self._skin, (206, 88, 74), 0.3 if not self._troll else 0.12)
        for side in (-1, 1):
            sheet.tint(blush, both(self._head, sheet.cut(ellipse(50 + side * 9, 53, 3.3, 2.7))), 0.75)
        open_wide = chance.choice((1.0, 1.12, 0.8, 0.66))
        gaze = chance.uniform(-0.7, 0.7)
        tilt, lift, arch = chance.uniform(-1.1, 1.3), chance.uniform(-0.6, 0.6), chance.uniform(1.2, 3.6)
        raised = chance.choice((0, 0, 0, -1, 1))  # a sceptic lifts one brow
        brow = mix(self._hair, INK, 0.25) if lightness(self._hair) < 0.6 else mix(self._hair, INK, 0.18)
        for side in (-1, 1):
            x = 50 + side * 6.2
            lid, lower = 45.6 - 4.4 * open_wide, 46.9 - (0.5 if open_wide < 0.7 else 0.0)
            white = sheet.cut(
                smooth([(x - 3.3, 45.5), (x - 1, (45.5 + lid) / 2 - 0.2), (x + 1.4, (45.5 + lid) / 2), (x + 3.3, 45.6), (x, lower)])
            )
            sheet.tint(WHITE, white)
            sheet.tint(INK, both(white, sheet.cut(ellipse(x + gaze, 45.3, 1.55, 1.75))))
            sheet.tint(WHITE, both(white, sheet.cut(ellipse(x + gaze - 0.5, 44.7, 0.45))))
            sheet.tint(INK, sheet.cut(stroke((x - 3.8, 45.6), (x, lid), (x + 3.8, 45.6), 0.95, 0.2)))
            sheet.carve(self._shade, self._head, stroke((x - 3.4, 43.2), (x, lid - 1.6), (x + 3.4, 43.2), 0.45, 0.1))
            up = lift + (1.3 if raised == side else 0.0)
            outer, inner = (x + side * 4.6, 40.8 - up + tilt), (x - side * 3.2, 40.6 - up - tilt * 0.5)
            sheet.lay(brow, sheet.cut(stroke(inner, (x + side * 0.8, 40.4 - up - arch), outer, 1.8, 0.25)), lift=0.25)
        big = 1.55 if self._troll else 1.0
        nose = smooth([(50.4, 44), (51.2, 49), (51 + 2.5 * big, 52.6 + big), (50.6, 54 + big), (48.4 - big, 53 + big), (49.8, 49)])
        sheet.lay(self._skin, sheet.cut(nose), lift=0.5)
        sheet.tint(self._shade, both(sheet.cut(nose), sheet.cut([(50.9, 42), (56, 42), (56, 58), (50.6, 58)])), 0.8)
        if self._old:
            lines = [stroke((50 + s * 5, 53.4), (50 + s * 7.6, 55.4), (50 + s * 7.4, 58.6), 0.55) for s in (-1, 1)]
            lines += [stroke((50 + s * 3.6, 48.6), (50 + s * 6.2, 50), (50 + s * 9, 48.6), 0.5) for s in (-1, 1)]
            lines += [stroke((45, 34.6), (50, 33.8), (55, 34.8), 0.5)]
            sheet.carve(self._shade, self._head, *lines)
        if self._looks.feature == "freckles":
            for k in range(12):
                at = ellipse(50 + (1 if k % 2 else -1) * chance.uniform(5, 11), chance.uniform(49, 54), 0.45)
                sheet.tint(mix(self._skin, (140, 70, 40), 0.5), sheet.cut(at))
        if self._looks.feature == "scar":
            sheet.tint(mix(self._skin, WHITE, 0.5), sheet.cut(stroke((57, 48), (59.4, 52), (58.6, 57), 0.9)))

    def _draw_mouth(self) -> None:
        sheet, chance = self._sheet, self._chance
        smile, smirk, laughs = chance.uniform(0.5, 2.4), chance.uniform(-0.7, 0.7), chance.random() < 0.25
        lip = mix(mix(self._skin, (158, 52, 52), 0.55), INK, 0.12)
        y = 58.4
        left, right = (45.0, y - smile * 0.45 - smirk), (55.0, y - smile * 0.45 + smirk)
        if laughs:
            mouth = sheet.cut(smooth([left, (47.6, y - 0.1), (50, y), (52.4, y - 0.1), right, (53, y + 2.2), (50, y + 3.2), (47, y + 2.2)]))
            sheet.tint(mix(lip, INK, 0.6), mouth)
            sheet.tint(WHITE, both(mouth, sheet.cut([(44, 50), (56, 50), (56, y + 1.1), (44, y + 1.1)])))
        else:
            sheet.tint(lip, sheet.cut(smooth([left, (48.4, y - 0.6), (50, y - 0.2), (51.6, y - 0.6), right, (50, y + 1.2 + smile * 0.55)])))
            bend = (50, y + smile * 0.9 + 0.1)
            sheet.tint(mix(lip, INK, 0.55), sheet.cut(stroke((44.5, left[1] - 0.1), bend, (55.5, right[1] - 0.1), 0.6, 0.2)))

    def _draw_beard(self) -> None:
        sheet, w = self._sheet, self._wide
        outer = [
            (50 - w, 46),
            (50 - w * 0.98, 56),
            (50 - w * 0.72, 65),
            (46, 71),
            (50, 73.5),
            (54, 71),
            (50 + w * 0.72, 65),
            (50 + w * 0.98, 56),
            (50 + w, 46),
        ]
        inner = [(50 + w * 0.8, 52), (57, 55.2), (50, 54.6), (43, 55.2), (50 - w * 0.8, 52)]
        beard = sheet.cut(smooth(outer + inner), holes=[smooth([(44.4, 58.2), (50, 57), (55.6, 58.2), (50, 61.4)])])
        sheet.lay(self._hair, beard, lift=0.8)
        strands = [
            stroke((50 + x * 0.9, 60 - abs(x) * 0.35), (50 + x, 66 - abs(x) * 0.4), (50 + x * 0.72, 72 - abs(x) * 0.5), 0.6, 0.1)
            for x in range(-13, 14, 2)
        ]
        sheet.carve(self._strand(), beard, *strands)

    def _draw_moustache(self) -> None:
        wings = [
            smooth(
                [
                    (50, 55.6),
                    (50 + s * 4, 55),
                    (50 + s * 8, 57),
                    (50 + s * 11.4, 54),
                    (50 + s * 12.2, 52.6),
                    (50 + s * 10.6, 58),
                    (50 + s * 5, 59),
                    (50, 57.6),
                ]
            )
            for s in (-1, 1)
        ]
        self._sheet.lay(self._hair, self._sheet.cut(*wings), lift=0.5)

    # -------------------------------------------------------------- hair and hats

    def _strand(self) -> Colour:
        return mix(self._hair, WHITE, 0.28) if lightness(self._hair) < 0.6 else mix(self._hair, INK, 0.3)

    def _draw_hair_behind(self) -> None:
        sheet, w, style = self._sheet, self._wide, self._looks.hair_style
        back = mix(self._hair, INK, 0.18)
        if style == "long":
            locks = sheet.cut(
                smooth(
                    [
                        (50, 18),
                        (50 + w + 4, 28),
                        (50 + w + 6, 48),
                        (50 + w + 5, 68),
                        (50 + w + 8, 80),
                        (50, 84),
                        (42 - w, 80),
                        (45 - w, 68),
                        (44 - w, 48),
                        (46 - w, 28),
                    ]
                )
            )
            sheet.lay(back, locks, lift=1.2)
            strands = [
                stroke((50 + s * (w + 1 + k), 44), (50 + s * (w + 3 + k), 60), (50 + s * (w + 1 + k * 1.6), 77), 0.8, 0.1)
                for s in (-1, 1)
                for k in (0, 2, 4)
            ]
            sheet.carve(self._strand(), locks, *strands)
        if style == "bun":
            bun = sheet.cut(smooth([(50, 8.6), (57, 11), (59.5, 17.5), (56, 23), (50, 25), (44, 23), (40.5, 17.5), (43, 11)]))
            sheet.lay(back, bun, lift=1.1)
            sheet.carve(
                self._strand(),
                bun,
                *[
                    stroke((43 + k, 20 - k * 0.1), (47 + k * 0.5, 10 + abs(k - 4) * 0.5), (55 + k * 0.3, 12 + k), 0.7, 0.1)
                    for k in (0, 3, 6)
                ],
            )
        if style == "hood":
            hood = sheet.cut(smooth([(50, 11), (66, 17), (74, 36), (74, 60), (82, 84), (50, 92), (18, 84), (26, 60), (26, 36), (34, 17)]))
            sheet.lay(mix(self._clothes, INK, 0.3), hood, lift=1.4)
        if style == "curly":
            sheet.lay(back, sheet.cut(*self._curls(w + 3.5, 5.6, 15)), lift=1.1)
        if style == "wild":
            sheet.lay(back, sheet.cut(self._spikes(w + 5, w + 12)), lift=1.2)

    def _curls(self, reach: float, size: float, count: int, sweep: float = 240) -> list[list[Point]]:
        curls: list[list[Point]] = []
        for k in range(count):
            angle = math.radians(270 - sweep / 2 + sweep * k / (count - 1))
            at = (50 + reach * math.cos(angle), 41 + (reach + 3) * math.sin(angle))
            curls.append(ellipse(*at, size * self._chance.uniform(0.85, 1.15)))
        return curls

    def _spikes(self, short: float, long: float) -> list[Point]:
        tips: list[Point] = []
        for k in range(27):
            angle = math.radians(155 + 230 * k / 26)
            reach = self._chance.uniform(long - 3, long) if k % 2 else self._chance.uniform(short - 2, short)
            tips.append((50 + reach * math.cos(angle), 42 + reach * 1.08 * math.sin(angle)))
        return [*tips, (62, 58), (38, 58)]

    def _draw_hair_before(self) -> None:
        style = self._looks.hair_style
        if style == "bald":
            self._sheet.tint(mix(self._skin, WHITE, 0.35), self._sheet.cut(stroke((42, 32), (44, 27.5), (50, 27), 1.5, 0.2)), 0.8)
        elif style == "cap":
            self._draw_sides()
            self._draw_cap()
        elif style == "tophat":
            self._draw_sides()
            self._draw_tophat()
        elif style == "hood":
            self._draw_fringe(part=50, low=33)
            self._draw_hood()
        elif style == "curly":
            curls = self._sheet.cut(
                *[ellipse(50 + x, 29.6 - 0.028 * (100 - x * x) / 2, 4.4) for x in (-11.5, -6, 0, 6, 11.5)],
                *self._curls(self._wide + 1.4, 3.9, 11, sweep=196),
            )
            self._sheet.lay(self._hair, curls, lift=0.9)
            rings = [stroke((50 + x - 2, 29), (50 + x, 25), (50 + x + 2.4, 28), 0.7, 0.1) for x in (-13, -8, -3, 3, 8, 13)]
            self._sheet.carve(self._strand(), curls, *rings)
        elif style == "wild":
            w = self._wide
            locks: list[Point] = [
                (49 - w, 47),
                (48 - w, 34),
                (50 - w * 0.7, 23),
                (50, 18.5),
                (50 + w * 0.7, 23),
                (52 + w, 34),
                (51 + w, 47),
            ]
            tips = [(50 + w - 1.4, 38), (57.5, 31), (55, 37.4), (50.6, 30.6), (46, 38.6), (43, 32), (39.5, 37), (51 - w, 40)]
            self._lay_hair(self._sheet.cut(smooth(locks)[: 12 * 6] + tips))
        else:
            self._draw_fringe(part=self._chance.choice((44, 50, 56)) if style != "bun" else 50, low=36 if style == "short" else 40)

    def _draw_fringe(self, *, part: float, low: float) -> None:
        """Hair over the brow, parted at ``part`` and reaching down to ``low`` at the temples."""
        w = self._wide
        top: list[Point] = [
            (49.4 - w, low + 8),
            (48.4 - w, 36),
            (50 - w * 0.78, 24.5),
            (50, 19.8),
            (50 + w * 0.78, 24.5),
            (51.6 + w, 36),
            (50.6 + w, low + 8),
        ]
        line: list[Point] = [(50 + w - 1.8, low), (50 + w * 0.62, 33.6), (part, 29), (50 - w * 0.62, 33.6), (51.8 - w, low)]
        self._lay_hair(self._sheet.cut(smooth(top + line)), part)

    def _lay_hair(self, mask: Image.Image, part: float = 50) -> None:
        self._sheet.lay(self._hair, mask, lift=0.9)
        w = self._wide
        strands = [
            stroke((part + k * 0.25, 20.5), (50 + k * 0.9, 22 + abs(k) * 0.3), (50 + k * 1.12, 31 + abs(k) * 0.55), 0.75, 0.1)
            for k in range(-13, 14, 3)
        ]
        strands += [stroke((50 + s * (w - 0.2), 33), (50 + s * (w + 0.8), 37), (50 + s * (w - 0.4), 43), 0.7, 0.1) for s in (-1, 1)]
        self._sheet.carve(self._strand(), mask, *strands)

    def _draw_sides(self) -> None:
        w = self._wide
        tufts = [
            smooth(
                [
                    (50 + s * (w + 1.6), 31),
                    (50 + s * (w + 2.6), 39),
                    (50 + s * (w + 0.4), 47.5),
                    (50 + s * (w - 1.8), 42),
                    (50 + s * (w - 2), 32),
                ]
            )
            for s in (-1, 1)
        ]
        self._sheet.lay(self._hair, self._sheet.cut(*tufts), lift=0.5)

    def _draw_cap(self) -> None:
        w, sheet = self._wide, self._sheet
        cloth = mix(self._clothes, WHITE, 0.1) if lightness(self._clothes) > 0.7 else mix(self._clothes, INK, 0.2)
        puff = sheet.cut(smooth([(48 - w, 31), (45 - w, 22), (43, 12.5), (54, 11.5), (54 + w, 20), (52 + w, 31), (50, 29)]))
        sheet.lay(cloth, puff, lift=1.1)
        sheet.carve(
            mix(cloth, INK, 0.22),
            puff,
            *[stroke((50 + k, 14 + abs(k) * 0.3), (50 + k * 1.2, 21), (50 + k * 1.05, 27), 0.8, 0.1) for k in (-13, -8, -3, 3, 8, 13)],
        )
        band = smooth([(48.6 - w, 28), (50, 25.4), (51.4 + w, 28), (51.6 + w, 33.4), (50, 30.8), (48.4 - w, 33.4)])
        sheet.lay(mix(cloth, INK, 0.1), sheet.cut(band), lift=0.7)

    def _draw_tophat(self) -> None:
        sheet = self._sheet
        felt = mix(self._clothes, INK, 0.55)
        crown = sheet.cut([(37.5, 28), (36, 7), (50, 5.6), (64, 7), (62.5, 28)])
        sheet.lay(felt, crown, lift=1.1)
        sheet.carve(
            mix(felt, WHITE, 0.3),
            crown,
            stroke((40, 9), (40.6, 16), (41.4, 22), 1.2, 0.1),
            stroke((43, 9), (43.2, 13), (43.6, 18), 0.8, 0.1),
        )
        sheet.lay(mix(self._clothes, WHITE, 0.2), sheet.cut([(37.3, 24.2), (62.7, 24.2), (62.5, 28.4), (37.6, 28.4)]), lift=0.4)
        sheet.lay(felt, sheet.cut(smooth([(28, 28.4), (50, 26), (72, 28.4), (69, 32), (50, 35), (31, 32)])), lift=1.0)

    def _draw_hood(self) -> None:
        outer = smooth([(50, 10), (66, 16), (73, 36), (71, 62), (64, 80), (50, 86), (36, 80), (29, 62), (27, 36), (34, 16)])
        opening = smooth([(50, 22), (62, 28), (66, 44), (64, 60), (50, 71), (36, 60), (34, 44), (38, 28)])
        hood = self._sheet.cut(outer, holes=[opening])
        self._sheet.lay(self._clothes, hood, lift=1.2)
        folds = [
            stroke((50 + s * (13 + k), 24 + k * 2), (50 + s * (18 + k), 44), (50 + s * (14 + k), 66), 0.8, 0.1)
            for s in (-1, 1)
            for k in (1, 4)
        ]
        self._sheet.carve(mix(self._clothes, WHITE, 0.28), hood, *folds)

    # -------------------------------------------------------------- what makes them known

    def _draw_glasses(self) -> None:
        sheet = self._sheet
        frame = INK if lightness(self._skin) > 0.35 else mix(INK, WHITE, 0.7)
        lenses = [ellipse(50 + s * 6.3, 45.8, 5, 4.6) for s in (-1, 1)]
        holes = [ellipse(50 + s * 6.3, 45.8, 4.1, 3.7) for s in (-1, 1)]
        sheet.tint(WHITE, sheet.cut(*holes), 0.14)
        for hole in holes:
            x = sum(p[0] for p in hole) / len(hole)
            sheet.carve(mix(self._skin, WHITE, 0.75), sheet.cut(hole), stroke((x - 2.9, 47), (x - 2.2, 44), (x - 0.4, 42.7), 0.7, 0.2))
        arms = [stroke((50 + s * 11.2, 45), (50 + s * 13, 44.4), (50 + s * (self._wide + 0.6), 44.6), 0.9, 0.7) for s in (-1, 1)]
        sheet.lay(frame, sheet.cut(*lenses, holes=holes), lift=0.4)
        sheet.lay(frame, sheet.cut(stroke((48.4, 45), (50, 43.6), (51.6, 45), 0.9, 0.8), *arms), lift=0.3)

    def _draw_feature(self) -> None:
        feature = self._looks.feature.lower()
        if feature == "flour":
            dust = [
                ellipse(42, 54, 2.5, 1.2, -22),
                ellipse(40.4, 51.6, 1.1),
                ellipse(58, 33.6, 2.1, 0.9, 14),
                ellipse(30, 84, 5, 2.2, -16),
                ellipse(35.5, 89, 2.4),
                ellipse(68, 88, 3.4, 1.5, 20),
            ]
            self._sheet.tint(WHITE, self._sheet.cut(*dust), 0.8)
            return
        if feature in OBJECTS:
            OBJECTS[feature](self._sheet, 75, 77, mix(self._clothes, WHITE, 0.2))


def smooth_open(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """A curve through the points that does not return to its start."""
    return smooth(points, steps)[: (len(points) - 1) * steps + 1]
