"""Things that a portrait shows beside the face: each a few pieces of paper around a centre, about 20 units wide."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from bot.characters.paper import INK, WHITE, Colour, Point, Sheet, ellipse, mix, smooth, stroke

Draw = Callable[[Sheet, float, float, Colour], None]
BRASS: Colour = (214, 165, 70)
STEEL: Colour = (150, 163, 173)
LEAF: Colour = (94, 134, 88)
RED: Colour = (190, 72, 58)


def _around(x: float, y: float, points: list[Point], scale: float = 1.0, turn: float = 0.0) -> list[Point]:
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return [(x + scale * (u * cos - v * sin), y + scale * (u * sin + v * cos)) for u, v in points]


def _ring(sheet: Sheet, of: Colour, x: float, y: float, radius: float, width: float, lift: float = 0.6) -> None:
    sheet.lay(of, sheet.cut(ellipse(x, y, radius), holes=[ellipse(x, y, radius - width)]), lift=lift)


def lantern(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    glow = mix(BRASS, (255, 236, 170), 0.6)
    sheet.tint(glow, sheet.cut(ellipse(x, y + 1, 14)), 0.22)
    sheet.tint(glow, sheet.cut(ellipse(x, y + 1, 10.5)), 0.3)
    _ring(sheet, INK, x, y - 9, 4, 1.1)
    sheet.lay(
        INK,
        sheet.cut(_around(x, y, [(-5.5, -5), (-3, -9), (3, -9), (5.5, -5)]), _around(x, y, [(-6.5, 8), (6.5, 8), (6.5, 11), (-6.5, 11)])),
    )
    sheet.lay(glow, sheet.cut(smooth(_around(x, y, [(-4.6, -5), (4.6, -5), (5.8, 2), (4.8, 8), (-4.8, 8), (-5.8, 2)]))), lift=0.5)
    sheet.lay(RED, sheet.cut(smooth(_around(x, y, [(0, -3), (2, 2.5), (0, 5.5), (-2, 2.5)]))), lift=0.3)
    bars = [_around(x, y, [(u - 0.4, -5), (u + 0.4, -5), (u * 1.25 + 0.4, 8), (u * 1.25 - 0.4, 8)]) for u in (-4.4, 4.4)]
    sheet.lay(INK, sheet.cut(*bars), lift=0.3)


def bee(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    wings = [ellipse(x - 4.5, y - 6, 3.4, 6.2, -28), ellipse(x + 4.5, y - 6, 3.4, 6.2, 28)]
    for wing in wings:
        sheet.lay(mix(WHITE, STEEL, 0.2), sheet.cut(wing), lift=0.5)
    body = sheet.cut(ellipse(x, y + 3, 5.4, 8))
    sheet.lay(BRASS, body, lift=0.8)
    sheet.carve(INK, body, *[stroke((x - 6, y + k), (x, y + k + 1.6), (x + 6, y + k), 2.1, 0.7) for k in (0.0, 4.2, 8.4)])
    sheet.lay(INK, sheet.cut(ellipse(x, y - 4.4, 3.2, 2.8)), lift=0.5)
    feelers = [stroke((x - 1, y - 6), (x - 2, y - 9), (x - 4, y - 9.5), 0.8), stroke((x + 1, y - 6), (x + 2, y - 9), (x + 4, y - 9.5), 0.8)]
    sheet.lay(INK, sheet.cut(*feelers), lift=0.2)


def key(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    ring = ellipse(x, y - 6.5, 5)
    shaft = _around(x, y, [(-1.2, -3), (1.2, -3), (1.2, 11), (-1.2, 11)])
    bits = _around(x, y, [(1, 5), (5.4, 5), (5.4, 7), (3.4, 7), (3.4, 8.3), (5.4, 8.3), (5.4, 10.4), (1, 10.4)])
    sheet.lay(BRASS, sheet.cut(ring, shaft, bits, holes=[ellipse(x, y - 6.5, 2.5)]))
    tag = _around(x - 7, y - 1, [(-4, -4), (0, -6.5), (4, -4), (4, 7), (-4, 7)], turn=8)
    label = sheet.cut(tag, holes=[ellipse(x - 6.6, y - 4.4, 0.9)])
    sheet.lay(WHITE, label, lift=0.7)
    sheet.carve(
        mix(INK, WHITE, 0.25), label, *[stroke((x - 9.6, y + k), (x - 7, y + k), (x - 5, y + k + 0.4), 0.8, 0.5) for k in (-0.6, 1.8, 4.2)]
    )


def stethoscope(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    tube = mix(INK, (60, 70, 80), 0.4)
    left = stroke((38, 68), (37, 84), (47, 89), 2.0, 0.8)
    right = stroke((62, 68), (64, 84), (53, 89), 2.0, 0.8)
    down = stroke((50, 89), (56, 96), (66, 88), 2.0, 0.8)
    sheet.lay(tube, sheet.cut(left, right, down, ellipse(50, 89.2, 3.4, 1.5)), lift=0.7)
    sheet.lay(STEEL, sheet.cut(ellipse(67.5, 86, 4.4)), lift=0.8)
    sheet.lay(WHITE, sheet.cut(ellipse(67.5, 86, 2.7)), lift=0.3)


def bicycle(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    x, y = x - 1, y + 2
    for wheel in (x - 7.5, x + 7.5):
        _ring(sheet, INK, wheel, y + 3, 6, 1.2, lift=0.6)
        spokes = [
            stroke((wheel, y + 3), (wheel, y + 3), (wheel + 5 * math.cos(a), y + 3 + 5 * math.sin(a)), 0.4, 1)
            for a in (0.4, 1.45, 2.5, 3.5, 4.6, 5.6)
        ]
        sheet.lay(STEEL, sheet.cut(*spokes), lift=0)
    hub, seat, crank, head, fork = (x - 7.5, y + 3), (x - 3.2, y - 5), (x - 0.5, y + 3), (x + 5, y - 5), (x + 7.5, y + 3)
    bars = [(hub, seat), (hub, crank), (seat, crank), (seat, head), (crank, head), (head, fork)]
    frame = [stroke(a, ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2), b, 1.3, 1) for a, b in bars]
    sheet.lay(RED, sheet.cut(*frame), lift=0.6)
    extras = [
        ellipse(x - 3.6, y - 6.2, 2.8, 0.9),
        stroke((x + 5, y - 5), (x + 4, y - 9), (x + 8, y - 8.4), 1.1, 0.8),
        ellipse(x - 0.5, y + 3, 1.4),
    ]
    sheet.lay(INK, sheet.cut(*extras), lift=0.4)


def fan(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    foot = (x + 1.0, y + 11.0)
    count, spread = 9, 74.0
    for k in range(count):
        a, b = (math.radians(-90 - spread + 2 * spread * j / count) for j in (k, k + 1))
        blade = [foot, (foot[0] + 20 * math.cos(a), foot[1] + 20 * math.sin(a)), (foot[0] + 20 * math.cos(b), foot[1] + 20 * math.sin(b))]
        sheet.lay(mix(RED, WHITE, 0.12 if k % 2 else 0.3), sheet.cut(blade), lift=0.25)
    band = [foot_at(foot, 14.5, -90 - spread + 2 * spread * j / 24) for j in range(25)]
    inner = [foot_at(foot, 12.2, -90 + spread - 2 * spread * j / 24) for j in range(25)]
    sheet.lay(BRASS, sheet.cut(band + inner), lift=0.2)
    sheet.lay(INK, sheet.cut(ellipse(*foot, 1.7)), lift=0.4)


def foot_at(foot: Point, radius: float, degrees: float) -> Point:
    return foot[0] + radius * math.cos(math.radians(degrees)), foot[1] + radius * math.sin(math.radians(degrees))


def moth(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    for side in (-1, 1):
        upper = smooth(_around(x, y, [(0, -2), (side * 6, -9), (side * 12, -8), (side * 10, -1), (side * 4, 2)]))
        lower = smooth(_around(x, y, [(0, 1), (side * 6, 1), (side * 8, 6), (side * 4, 10), (side * 1, 6)]))
        sheet.lay(mix(BRASS, WHITE, 0.55), sheet.cut(lower), lift=0.5)
        sheet.lay(mix(BRASS, WHITE, 0.35), sheet.cut(upper), lift=0.6)
        sheet.lay(INK, sheet.cut(ellipse(x + side * 8, y - 4.6, 1.5)), lift=0.1)
    feelers = [stroke((x, y - 4), (x + s * 1.5, y - 9), (x + s * 4, y - 11), 0.7) for s in (-1, 1)]
    sheet.lay(INK, sheet.cut(ellipse(x, y + 0.5, 1.7, 6), *feelers), lift=0.5)


def book(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    sheet.lay(accent, sheet.cut(_around(x, y, [(-11, -6), (0, -3.6), (11, -6), (11, 7), (0, 9.4), (-11, 7)])))
    for side in (-1, 1):
        page = sheet.cut(smooth(_around(x, y, [(0, -4), (side * 5, -6.8), (side * 10, -6.4), (side * 10, 5), (side * 5, 5), (0, 8)]), 8))
        sheet.lay(WHITE, page, lift=0.4)
        lines = [
            stroke((x + side * 2, y + k), (x + side * 5, y + k - 1.6), (x + side * 8.5, y + k - 1.2), 0.7, 0.5) for k in (-1.4, 1, 3.4)
        ]
        sheet.carve(mix(INK, WHITE, 0.3), page, *lines)


def cup(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    _ring(sheet, WHITE, x + 7, y + 2, 4, 1.3)
    sheet.lay(WHITE, sheet.cut(smooth(_around(x, y, [(-7, -3), (7, -3), (6, 5), (3, 9), (-3, 9), (-6, 5)]))))
    sheet.lay(mix(RED, INK, 0.4), sheet.cut(ellipse(x, y - 2.6, 6, 1.6)), lift=0)
    steam = [stroke((x + u, y - 5), (x + u - 2, y - 9), (x + u + 1, y - 13), 1.2) for u in (-2.5, 2.5)]
    sheet.lay(WHITE, sheet.cut(*steam), lift=0.3)


def flower(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    sheet.lay(
        LEAF,
        sheet.cut(stroke((x, y), (x + 1, y + 7), (x - 1, y + 13), 1.4, 0.8), smooth(_around(x, y, [(0, 9), (5, 5), (8, 6), (5, 9.5)]))),
    )
    for k in range(6):
        px, py = foot_at((x, y - 2), 5.2, 60 * k)
        sheet.lay(mix(RED, WHITE, 0.35), sheet.cut(ellipse(px, py, 4.2, 2.7, 60 * k)), lift=0.4)
    sheet.lay(BRASS, sheet.cut(ellipse(x, y - 2, 2.8)), lift=0.4)


def leaf(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    blade = sheet.cut(smooth(_around(x, y, [(0, -12), (6.5, -4), (5, 5), (0, 9), (-5, 5), (-6.5, -4)], turn=24)))
    sheet.lay(LEAF, blade)
    ribs = [stroke((x + 4.2, y - 10), (x, y), (x - 4, y + 11), 0.9, 0.4)]
    ribs += [
        stroke((x - k * 0.42, y + k), (x + s * 2.4 - k * 0.4, y + k - 1.5), (x + s * 5 - k * 0.4, y + k - 4), 0.6)
        for k in (-4, 0, 4)
        for s in (-1, 1)
    ]
    sheet.carve(mix(LEAF, WHITE, 0.6), blade, *ribs)


def star(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    points = [foot_at((x, y), 10.5 if k % 2 == 0 else 4.4, -90 + 36 * k) for k in range(10)]
    sheet.lay(BRASS, sheet.cut(points))


def moon(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    sheet.lay(mix(BRASS, WHITE, 0.5), sheet.cut(ellipse(x, y, 10), holes=[ellipse(x + 4.4, y - 2.4, 8.2)]))


def fish(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    tail = _around(x, y, [(6, 0), (12, -5), (10.5, 0), (12, 5)])
    body = sheet.cut(smooth(_around(x, y, [(-11, 0.6), (-4, -5), (4, -3.4), (8, 0), (4, 3.4), (-4, 5)])), tail)
    sheet.lay(STEEL, body)
    sheet.carve(mix(STEEL, INK, 0.4), body, *[stroke((x + u, y - 3.4), (x + u + 2, y), (x + u, y + 3.4), 0.8) for u in (-3, 0, 3)])
    sheet.lay(INK, sheet.cut(ellipse(x - 7, y - 0.8, 1)), lift=0)


def anchor(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    bars = [_around(x, y, [(-1, -8), (1, -8), (1, 9), (-1, 9)]), _around(x, y, [(-5, -5), (5, -5), (5, -3.2), (-5, -3.2)])]
    arms = [
        stroke((x - 9, y + 2), (x - 7, y + 11), (x, y + 10.4), 2.2, 0.5),
        stroke((x + 9, y + 2), (x + 7, y + 11), (x, y + 10.4), 2.2, 0.5),
    ]
    sheet.lay(INK, sheet.cut(*bars, *arms, ellipse(x, y - 9.5, 2.8), holes=[ellipse(x, y - 9.5, 1.3)]))


def feather(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    vane = sheet.cut(smooth(_around(x, y, [(0, -13), (4, -6), (3.6, 3), (0, 8), (-3.6, 3), (-4, -6)], turn=28)))
    sheet.lay(WHITE, vane)
    sheet.lay(INK, sheet.cut(stroke((x + 5, y - 9), (x, y), (x - 6, y + 12), 0.9, 0.4)), lift=0.2)


def bird(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    sheet.lay(INK, sheet.cut(smooth(_around(x, y, [(-9, -3), (-6, -7), (-2, -5), (4, -1), (11, 3), (5, 6), (-3, 6), (-7, 1)]))))
    sheet.lay(mix(INK, STEEL, 0.45), sheet.cut(smooth(_around(x, y, [(-3, -1), (4, 0), (8, 4), (1, 4.4)]))), lift=0.4)
    sheet.lay(BRASS, sheet.cut(_around(x, y, [(-8.6, -4.4), (-12.5, -3), (-8.6, -2)])), lift=0.3)
    sheet.lay(WHITE, sheet.cut(ellipse(x - 6, y - 4, 0.9)), lift=0)


def note(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    stems = [_around(x, y, [(-4.2, -9), (-3, -9), (-3, 6), (-4.2, 6)]), _around(x, y, [(6, -11), (7.2, -11), (7.2, 4), (6, 4)])]
    beam = _around(x, y, [(-4.2, -9.5), (7.2, -11.8), (7.2, -8.4), (-4.2, -6)])
    sheet.lay(INK, sheet.cut(*stems, beam, ellipse(x - 6, y + 6.4, 3.4, 2.5, -20), ellipse(x + 4.2, y + 4.4, 3.4, 2.5, -20)))


def heart(sheet: Sheet, x: float, y: float, accent: Colour) -> None:
    sheet.lay(
        RED, sheet.cut(smooth(_around(x, y, [(0, -4), (4.5, -8), (9.5, -4.6), (7.5, 2), (0, 10), (-7.5, 2), (-9.5, -4.6), (-4.5, -8)])))
    )


# What stands beside the figure. Flour and moustaches belong to the face and are drawn there.
OBJECTS: Mapping[str, Draw] = {
    "anchor": anchor,
    "bee": bee,
    "bicycle": bicycle,
    "bird": bird,
    "book": book,
    "cup": cup,
    "fan": fan,
    "feather": feather,
    "fish": fish,
    "flower": flower,
    "heart": heart,
    "key": key,
    "lantern": lantern,
    "leaf": leaf,
    "moon": moon,
    "moth": moth,
    "note": note,
    "star": star,
    "stethoscope": stethoscope,
}
ON_FACE = frozenset({"flour", "moustache", "scar", "freckles"})
