"""Drawing one mask of each kind at random. True = hole.

A function here aims at a coverage in [low, high] where its kind leaves a choice, but may miss it: `masks.sample_mask`
draws again until the bounds are met. Figures in pixels are those at a side of 512 and scale with the side.

The pictures that people bring have scratches and wires across them, lettering on them, and people and things to be
taken out of them. Free-form strokes alone teach a model none of these shapes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from invertfill.errors import InputError
from invertfill.imaging.windows import widened

SIDE = 512  # that the figures in pixels belong to
LARGE, SMALL, BLOB = (0.1, 0.9), (0.03, 0.12), (0.03, 0.3)  # coverage of the parts of "photo"; of people it is BLOB's
INK = 80  # of 255: thin letters count as hole before they are half opaque, as their soft edge shows in a picture
ALPHABETS = ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz", "0123456789")


@dataclass(frozen=True)
class Outline:
    """A thing's outline, cut out of the mask that it came from.

    Attributes:
        side: the longer side of that mask, in pixels.
        height, width: of the part with the thing.
        bits: of that part, packed: a folder may hold thousands.
    """

    side: int
    height: int
    width: int
    bits: bytes

    @classmethod
    def of(cls, hole: np.ndarray) -> Outline:
        """Of a mask (H, W) bool with at least one hole pixel."""
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        part = hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        height, width = part.shape
        return cls(max(hole.shape), height, width, np.packbits(part).tobytes())

    def picture(self) -> Image.Image:
        """Mode L, white = hole."""
        flat = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=self.height * self.width)
        return Image.fromarray(flat.reshape(self.height, self.width) * np.uint8(255))


def draw(
    kind: str, size: int, low: float, high: float, rng: np.random.Generator, outlines: Sequence[Outline]
) -> np.ndarray:
    """Draw (size, size) bool of any kind but "mixed"; "objects" needs outlines."""
    if kind == "objects":
        return objects(size, rng, outlines)
    if kind == "photo":
        return photo(size, low, high, rng, outlines)
    simple = {"freeform": freeform, "box": box, "outpaint": outpaint, "blobs": blobs}
    return simple[kind](size, low, high, rng) if kind in simple else FREE[kind](size, rng)


def photo(size: int, low: float, high: float, rng: np.random.Generator, outlines: Sequence[Outline] = ()) -> np.ndarray:
    """What a model for any photograph learns from: 60 % large holes, 40 % small ones and shapes of things.

    Two thirds of the large ones are free-form, the others rectangles. A quarter each of the small ones are free-form,
    lines, lettering, and things: outlines, and in a third of the draws, or where there are none, blobs.
    """
    bounds: tuple[float, float] | None
    if rng.random() < 0.6:
        kind, bounds = "freeform" if rng.random() < 2 / 3 else str(rng.choice(["outpaint", "box"])), LARGE
    else:
        kind, bounds = [("freeform", SMALL), ("lines", None), ("lettering", None), ("objects", None)][rng.integers(4)]
        if kind == "objects" and (not outlines or rng.random() < 1 / 3):
            kind, bounds = "blobs", BLOB
    if bounds:
        # What the bounds leave of a part's own range; a part that they leave nothing of is drawn again.
        low, high = max(low, bounds[0]), min(high, bounds[1])
        if low >= high:
            return np.zeros((size, size), bool)
    return draw(kind, size, low, high, rng, outlines)


def freeform(size: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Strokes and boxes until a coverage drawn from [low, high] is reached; a shape that would pass ``high`` is undone.

    Undoing one shape, not the whole mask, keeps high coverage cheap and the coverage near uniform on its range.
    """
    target = rng.uniform(low, high) * size * size
    canvas = Image.new("L", (size, size))
    filled = 0
    scale = 1.0  # shrinks after each undone shape, so that narrow ranges are met too
    for _ in range(200):
        before = canvas.copy()
        pen = ImageDraw.Draw(canvas)
        if rng.random() < 0.3:
            _random_box(pen, size, scale, rng)
        else:
            _stroke(pen, size, scale, rng)
        covered = int(np.count_nonzero(np.asarray(canvas)))
        if covered > high * size * size:
            canvas, scale = before, scale * 0.8
            continue
        filled = covered
        if filled >= target:
            break
    return np.asarray(canvas) > 0


def _stroke(pen: ImageDraw.ImageDraw, size: int, scale: float, rng: np.random.Generator) -> None:
    """A wandering thick line with round joints; lengths and widths are shares of the side."""
    count = int(rng.integers(4, 12))
    width = max(1, round(size * scale * rng.uniform(0.05, 0.19)))
    steps = size * scale * rng.uniform(0.06, 0.3, count)
    # Each turn is wide and alternates in sign, which makes the brush scrub to and fro and not run away.
    angles = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.uniform(0.3, 1.0, count) * math.pi * (-1) ** np.arange(count))
    path = rng.uniform(0, size, 2) + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * steps[:, None], 0)
    points = [(float(x), float(y)) for x, y in np.clip(path, 0, size)]
    pen.line(points, fill=255, width=width)
    for x, y in points:
        pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)


def _random_box(pen: ImageDraw.ImageDraw, size: int, scale: float, rng: np.random.Generator) -> None:
    width, height = size * scale * rng.uniform(0.1, 0.5, 2)
    x, y = rng.uniform(-0.1 * size, size, 2)
    pen.rectangle((x, y, x + width, y + height), fill=255)


def box(size: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """One box anywhere inside; its sides are at most 2:1 where the coverage leaves room for that."""
    area = rng.uniform(low, high)
    stretch = min(math.log(1 / area), math.log(2)) / 2  # neither side is longer than the picture's
    width = math.sqrt(area) * math.exp(rng.uniform(-stretch, stretch))
    w, h = max(1, round(width * size)), max(1, round(area / width * size))
    mask = np.zeros((size, size), bool)
    x, y = rng.integers(0, max(size - w, 0) + 1), rng.integers(0, max(size - h, 0) + 1)
    mask[y : y + h, x : x + w] = True
    return mask


def outpaint(size: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """All but a known rectangle: 1 to 4 sides are missing, each side as likely as the others."""
    known = 1 - rng.uniform(low, high)
    left, right, top, bottom = rng.permutation(np.arange(4) < rng.integers(1, 5))
    # The known share is split over the axes that lose something: known = across * down.
    share = rng.uniform(0.25, 0.75) if (left or right) and (top or bottom) else float(left or right)
    x = _known_span(size, known**share, left, right, rng)
    y = _known_span(size, known ** (1 - share), top, bottom, rng)
    mask = np.ones((size, size), bool)
    mask[slice(*y), slice(*x)] = False
    return mask


def _known_span(size: int, share: float, before: bool, after: bool, rng: np.random.Generator) -> tuple[int, int]:
    """Start and end of the known part of one axis; what is missing lies before it, after it, or on both sides."""
    missing = round(size * (1 - share)) if before or after else 0
    start = round(missing * rng.uniform(0.2, 0.8)) if before and after else missing if before else 0
    return start, start + size - missing


def lines(size: int, rng: np.random.Generator) -> np.ndarray:
    """Three long lines, such as wires and scratches: gently curved, 3 to 7 px wide, with round ends."""
    margin = math.ceil(7 * size / SIDE) + 1
    stride = size + 2 * margin
    canvas = np.zeros(stride * stride, bool)
    for _ in range(3):
        width = max(1, round(rng.uniform(3, 7) * size / SIDE))
        path = _long_path(size, rng)
        # A disc at each point: exact in width, unlike Pillow's wide lines. Where the width is even, points and the
        # disc's pixels lie half a pixel apart.
        half = (width - 1) / 2
        reach = np.arange(width) - half
        x, y = np.meshgrid(reach, reach)
        disc = (x**2 + y**2 <= (width / 2) ** 2).nonzero()
        corner = np.round(path - half).astype(int) + margin
        corner = corner[((corner >= 0) & (corner < stride - width)).all(1)]
        canvas[(corner[:, 1] * stride + corner[:, 0])[:, None] + (disc[0] * stride + disc[1])] = True
    return canvas.reshape(stride, stride)[margin:-margin, margin:-margin].copy()


def _long_path(size: int, rng: np.random.Generator) -> np.ndarray:
    """Points (N, 2), less than a pixel apart, of a gentle curve; at least 0.6 sides of it lie in the picture."""
    while True:
        angle, length = rng.uniform(0, math.pi), size * rng.uniform(0.65, 1.4)
        along = np.array([math.cos(angle), math.sin(angle)])
        across = np.array([-along[1], along[0]])
        t = np.linspace(-0.5, 0.5, math.ceil(1.6 * length))[:, None]
        bend, sway = rng.normal(0, 0.06), rng.normal(0, 0.03)  # one bow, and a slight S
        curve = length * (t * along + (bend * (1 - 4 * t**2) + sway * np.sin(2 * math.pi * t)) * across)
        path = curve + size * rng.uniform(0.15, 0.85, 2)
        steps = np.hypot(*np.diff(path, axis=0).T)
        inside = ((path[1:] >= 0) & (path[1:] <= size - 1)).all(1)
        if steps[inside].sum() >= 0.6 * size:
            return path


def lettering(size: int, rng: np.random.Generator) -> np.ndarray:
    """Text in letters of 18 to 72 px: in one place, repeated as a watermark, or line below line all over."""
    pixels = max(5, round(math.exp(rng.uniform(math.log(18), math.log(72))) * size / SIDE))
    layout = rng.choice(["caption", "watermark", "page"], p=[0.4, 0.35, 0.25])
    turned = rng.random() < (0.7 if layout == "watermark" else 0.3)
    angle = rng.uniform(15, 60) * rng.choice([-1, 1]) if turned else 0.0
    pitch = pixels * rng.uniform(1.15, 1.6 if layout == "caption" else 3)  # from line to line
    canvas = Image.new("L", (size, size))
    if layout == "page":
        # Large enough to cover the picture once turned.
        reach = math.ceil(size * (abs(math.cos(math.radians(angle))) + abs(math.sin(math.radians(angle)))))
        page = _text(rng, pixels, math.ceil(reach / pitch), reach / pixels * 2, pitch, reach)
        _paste(canvas, page.rotate(angle, Image.Resampling.BILINEAR), size / 2, size / 2)
    elif layout == "caption":
        most = max(3.0, size / pixels * 1.8)  # letters that fit into the picture's width, about
        block = _text(rng, pixels, int(rng.integers(1, 4)), rng.uniform(2, most), pitch, 2 * size)
        block = block.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        place = [rng.uniform(low, max(size - low, low)) for low in (min(side, size) / 2 for side in block.size)]
        _paste(canvas, block, *place)
    else:
        word = _text(rng, pixels, 1, rng.uniform(4, 16), pitch, 2 * size)
        along, across = word.width + pixels * rng.uniform(0.5, 4), pitch * rng.uniform(1.2, 3)
        word = word.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        slant, start = rng.choice([0.0, 0.5]), rng.uniform(0, 1, 2)
        cos, sin = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
        columns, rows = math.ceil(size / along) + 2, math.ceil(size / across) + 2
        for row in range(-rows, rows):
            for column in range(-columns, columns):
                u, v = (column + start[0] + slant * (row % 2)) * along, (row + start[1]) * across
                _paste(canvas, word, size / 2 + u * cos - v * sin, size / 2 + u * sin + v * cos)
    mask = np.asarray(canvas) > INK
    if rng.random() < 0.4:  # as a person does who paints over letters
        mask = widened(mask, round(rng.uniform(0.02, 0.05) * pixels))
    return mask


def _text(rng: np.random.Generator, pixels: int, rows: int, letters: float, pitch: float, widest: int) -> Image.Image:
    """Mode L: rows of about that many random letters, cut off at the width `widest`."""
    font = _font(pixels)
    case = str(rng.choice(["upper", "lower", "title", "digits"], p=[0.3, 0.25, 0.35, 0.1]))
    # A page shows each of its few lines several times: letters are what takes time.
    texts = [_words(math.ceil(letters * rng.uniform(0.6, 1)), case, rng) for _ in range(min(rows, 4))]
    width = max(1, min(widest, max(math.ceil(font.getlength(text)) for text in texts)))
    strips = [Image.new("L", (width, math.ceil(1.3 * pixels))) for _ in texts]
    for strip, text in zip(strips, texts, strict=True):
        ImageDraw.Draw(strip).text((0, 0), text, fill=255, font=font)
    image = Image.new("L", (width, math.ceil(pitch * (rows - 1) + 1.3 * pixels)))
    for row in range(rows):
        image.paste(255, (0, round(row * pitch)), strips[row if rows <= 4 else int(rng.integers(4))])
    return image


def _words(letters: int, case: str, rng: np.random.Generator) -> str:
    upper, lower, digits = ALPHABETS
    some = {"upper": upper + digits, "lower": lower, "title": lower, "digits": digits}[case]
    text, words = "".join(some[i] for i in rng.integers(len(some), size=letters)), []
    while text:
        length = int(rng.integers(2, 10))
        words.append(text[:length])
        text = text[length:]
    return " ".join(word.title() if case == "title" else word for word in words)


@lru_cache(maxsize=128)
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font."""
    try:
        font = ImageFont.load_default(pixels)
    except ImportError:
        raise InputError("mask kind lettering: this Pillow has no FreeType; accepted: a Pillow with it") from None
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _paste(canvas: Image.Image, part: Image.Image, x: float, y: float) -> None:
    """Put white through `part` (mode L), centred at (x, y); what lies outside is left out."""
    left, top = round(x - part.width / 2), round(y - part.height / 2)
    if -part.width < left < canvas.width and -part.height < top < canvas.height:
        canvas.paste(255, (left, top), part)


def blobs(size: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """One to three things with a smooth outline, some long, some with limbs; together of a coverage in [low, high]."""
    target = rng.uniform(low, high) * size * size
    shares = rng.dirichlet(np.full(int(rng.integers(1, 4)), 3.0))
    parts = [(_blob(rng), rng.uniform(0.15, 0.85, 2) * size, math.sqrt(target * share)) for share in shares]
    scale = 1.0
    for _ in range(10):
        canvas = Image.new("L", (size, size))
        pen = ImageDraw.Draw(canvas)
        for polygons, place, side in parts:
            for polygon in polygons:
                pen.polygon((place + polygon * side * scale).ravel().tolist(), fill=255)
        covered = int(np.count_nonzero(np.asarray(canvas)))
        if abs(covered - target) <= 0.03 * target:
            break
        # Parts overlap and lie outside, so the size is found by trying.
        scale *= min(max(math.sqrt(target / max(covered, 1)), 0.5), 2)
    return np.asarray(canvas) > 0


def _blob(rng: np.random.Generator) -> list[np.ndarray]:
    """Polygons (N, 2) around the origin that make up one thing: a body of area 1, and its limbs."""
    angles = np.linspace(0, 2 * math.pi, 90, endpoint=False)
    waves = np.arange(2, 7)[:, None]
    weights = rng.normal(0, rng.uniform(0.15, 0.6), (5, 1)) / waves
    radius = np.maximum(1 + (weights * np.cos(waves * angles + rng.uniform(0, 2 * math.pi, (5, 1)))).sum(0), 0.2)
    stretch = math.exp(rng.uniform(0, 0.6))
    body = np.stack([radius * np.cos(angles) * stretch, radius * np.sin(angles) / stretch], 1)
    polygons = [body]
    for _ in range(rng.integers(1, 5) if rng.random() < 0.5 else 0):
        # An ellipse from the inside out, bent, and slimmer towards its end.
        length, width = rng.uniform(1.2, 2.6) * stretch, rng.uniform(0.12, 0.35)
        out, side = length * (1 + np.cos(angles)) / 2, width * np.sin(angles) * (1 - 0.3 * np.cos(angles))
        limb = np.stack([out, side + rng.normal(0, 0.15) * out**2], 1)
        polygons.append(limb @ _turn(rng.uniform(0, 2 * math.pi)))
    x, y = body.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    turn = _turn(rng.uniform(0, 2 * math.pi))
    return [polygon @ turn / math.sqrt(area) for polygon in polygons]


def _turn(angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def objects(size: int, rng: np.random.Generator, outlines: Sequence[Outline]) -> np.ndarray:
    """One or two of the outlines, mirrored, scaled by 0.5 to 1.5 and shifted at random; a part may lie outside."""
    canvas = Image.new("L", (size, size))
    for _ in range(rng.integers(1, 3)):
        outline = outlines[int(rng.integers(len(outlines)))]
        scale = rng.uniform(0.5, 1.5) * size / outline.side
        shape = max(1, round(outline.width * scale)), max(1, round(outline.height * scale))
        part = outline.picture().resize(shape, Image.Resampling.BILINEAR)
        if rng.random() < 0.5:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        _paste(canvas, part, *rng.uniform(0.1, 0.9, 2) * size)
    return np.asarray(canvas) > 127


FREE = {"lines": lines, "lettering": lettering}  # have a coverage of their own
