"""Cut paper: flat shapes that lie on each other, with a lit edge, a soft shadow and carved strokes.

Coordinates run from 0 to 100 both ways, whatever the size of the sheet. The same calls always give the same picture.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Point = tuple[float, float]
Colour = tuple[int, int, int]

WHITE: Colour = (247, 242, 231)  # of the paper, not of a screen
INK: Colour = (43, 36, 38)


def colour(text: str) -> Colour:
    """``#rrggbb`` as three numbers."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """``one`` with a share (0-1) of ``other`` in it."""
    return (
        round(one[0] + (other[0] - one[0]) * share),
        round(one[1] + (other[1] - one[1]) * share),
        round(one[2] + (other[2] - one[2]) * share),
    )


def lightness(of: Colour) -> float:
    """0 (black) to 1, as an eye weighs the three."""
    return (0.299 * of[0] + 0.587 * of[1] + 0.114 * of[2]) / 255


def smooth(points: Sequence[Point], steps: int = 12) -> list[Point]:
    """A closed curve through the points (Catmull-Rom)."""
    n = len(points)
    curve: list[Point] = []
    for i in range(n):
        before, start, end, after = (points[(i + k) % n] for k in (-1, 0, 1, 2))
        curve.extend(_between(before, start, end, after, step / steps) for step in range(steps))
    return curve


def _between(a: Point, b: Point, c: Point, d: Point, t: float) -> Point:
    def along(p: float, q: float, r: float, s: float) -> float:
        return 0.5 * (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t**2 + (3 * q - p - 3 * r + s) * t**3)

    return along(a[0], b[0], c[0], d[0]), along(a[1], b[1], c[1], d[1])


def ellipse(x: float, y: float, rx: float, ry: float | None = None, turn: float = 0.0) -> list[Point]:
    """A closed oval; ``turn`` in degrees."""
    ry = rx if ry is None else ry
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    corners = ((rx * math.cos(a), ry * math.sin(a)) for a in (2 * math.pi * k / 72 for k in range(72)))
    return [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in corners]


def stroke(start: Point, bend: Point, end: Point, width: float, tail: float = 0.15) -> list[Point]:
    """A curved stroke as a gouge leaves it: widest in the middle, ``tail`` of the width at its ends."""
    path = [_bezier(start, bend, end, k / 16) for k in range(17)]
    left: list[Point] = []
    right: list[Point] = []
    for k, (x, y) in enumerate(path):
        ahead, behind = path[min(k + 1, 16)], path[max(k - 1, 0)]
        dx, dy = ahead[0] - behind[0], ahead[1] - behind[1]
        length = math.hypot(dx, dy) or 1.0
        half = width / 2 * (tail + (1 - tail) * math.sin(math.pi * k / 16))
        left.append((x - dy / length * half, y + dx / length * half))
        right.append((x + dy / length * half, y - dx / length * half))
    return left + right[::-1]


def _bezier(a: Point, b: Point, c: Point, t: float) -> Point:
    return tuple((1 - t) ** 2 * p + 2 * t * (1 - t) * q + t**2 * r for p, q, r in zip(a, b, c, strict=True))  # type: ignore[return-value]


class Sheet:
    """A picture in the making."""

    def __init__(self, side: int, ground: Colour) -> None:
        self._side = side
        self._scale = side * 2 / 100  # drawn at twice the size, so that edges come out smooth
        self._image = Image.new("RGB", (side * 2, side * 2), ground)

    def cut(self, *shapes: Sequence[Point], holes: Sequence[Sequence[Point]] = ()) -> Image.Image:
        """A mask in the form of these shapes together, without the holes."""
        mask = Image.new("L", self._image.size, 0)
        draw = ImageDraw.Draw(mask)
        for shape in shapes:
            draw.polygon(self._placed(shape), fill=255)
        for hole in holes:
            draw.polygon(self._placed(hole), fill=0)
        return mask

    def lay(self, of: Colour, mask: Image.Image, *, lift: float = 1.0) -> None:
        """Lay paper of this colour down; ``lift`` is how far it stands off what is under it."""
        reach = self._scale * 0.9 * lift
        box = self._around(mask, margin=math.ceil(reach * 4) + 4)
        if box is None:
            return
        piece = mask.crop(box)  # blurring the whole sheet for every shape would take ten times as long
        if lift > 0:
            shadow = ImageChops.offset(piece, round(reach * 0.7), round(reach))
            shadow = shadow.filter(ImageFilter.GaussianBlur(reach * 0.9)).point(lambda value: int(value * 0.38))
            self._image.paste(mix(INK, (0, 0, 0), 0.4), box, shadow)
        self._image.paste(mix(of, WHITE, 0.34 if lightness(of) < 0.75 else 0.0), box, piece)
        edge = max(1, round(self._scale * 0.22))
        self._image.paste(of, box, ImageChops.darker(piece, ImageChops.offset(piece, edge, edge)))

    def tint(self, of: Colour, mask: Image.Image, strength: float = 1.0) -> None:
        """Colour what lies there, without a new layer of paper."""
        self._colour(of, mask.point(lambda value: int(value * strength)) if strength < 1 else mask)

    def carve(self, of: Colour, within: Image.Image, *strokes: Sequence[Point]) -> None:
        """Cut strokes into the paper that the mask covers."""
        self._colour(of, ImageChops.darker(within, self.cut(*strokes)))

    def _colour(self, of: Colour, mask: Image.Image) -> None:
        box = mask.getbbox()
        if box is not None:
            self._image.paste(of, box, mask.crop(box))

    def png(self) -> bytes:
        """The finished picture. A palette of 192 colours keeps it small, and looks printed."""
        small = self._image.resize((self._side, self._side), Image.Resampling.LANCZOS)
        written = io.BytesIO()
        small.quantize(192, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG).save(written, "PNG", optimize=True)
        return written.getvalue()

    def _around(self, mask: Image.Image, margin: int) -> tuple[int, int, int, int] | None:
        """The part of the sheet that a shape and its shadow touch, reaching over the edge where the shape does."""
        box = mask.getbbox()
        if box is None:
            return None
        return box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin

    def _placed(self, shape: Sequence[Point]) -> list[Point]:
        return [(x * self._scale, y * self._scale) for x, y in shape]


def both(*masks: Image.Image) -> Image.Image:
    """What lies in all of the masks."""
    result = masks[0]
    for mask in masks[1:]:
        result = ImageChops.darker(result, mask)
    return result
