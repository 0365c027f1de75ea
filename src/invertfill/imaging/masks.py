"""Masks: read from files and transparency, and drawn at random by coverage class. True = hole.

Coverage is the share of hole pixels of the final binary mask. Free-form strokes plus boxes follow the idea of the
masks of LaMa and MAT; the public irregular-mask sets stop at 60 %, so they cannot serve for the extreme class.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

import numpy as np
from PIL import Image, ImageDraw

from invertfill.errors import InputError
from invertfill.imaging.io import FileSource, ImageSource, open_image

MaskSource: TypeAlias = ImageSource
MaskKind = Literal["freeform", "box", "outpaint", "mixed"]

KINDS: tuple[str, ...] = get_args(MaskKind)
COVERAGE: dict[str, tuple[float, float]] = {
    "easy": (0.1, 0.3),
    "hard": (0.5, 0.6),
    "extreme": (0.7, 0.9),
    "all": (0.1, 0.9),
}
THRESHOLD = 127  # on disk white is hole, and masks saved as JPEG are not quite binary


def read_mask(source: MaskSource, size: tuple[int, int], *, invert: bool = False) -> np.ndarray:
    """Read a mask.

    Args:
        source: a path, a PIL image, or an array (H, W) or (H, W, 1): bool, uint8 (above 127 is hole) or float
            (above 0.5 is hole). White is hole. In a file with an alpha channel, transparent counts as black.
        size: (width, height) of the image that the mask belongs to.
        invert: white is known instead.

    Returns:
        (H, W) bool, True = hole.

    Raises:
        InputError: not readable, or not of the image's size; or a mask *file* without a hole, which is nearly always
            the wrong file or the wrong sign.
    """
    name = str(source) if isinstance(source, FileSource) else "mask"
    if isinstance(source, np.ndarray):
        hole = _binary_array(source)
    else:
        image = open_image(source, notes=False)
        if image.mode in ("LA", "RGBA"):
            image = Image.composite(image.convert("RGB"), Image.new("RGB", image.size), image.getchannel("A"))
        hole = (
            np.asarray(image) > THRESHOLD * 257 if image.mode == "I;16" else np.asarray(image.convert("L")) > THRESHOLD
        )
    if hole.shape != (size[1], size[0]):
        raise InputError(
            f"{name}: mask of {hole.shape[1]}x{hole.shape[0]} pixels for an image of {size[0]}x{size[1]}; "
            "accepted: a mask of the image's size"
        )
    if invert:
        hole = ~hole
    if isinstance(source, FileSource) and not hole.any():
        raise InputError(f"{name}: a mask without a hole; accepted: white = hole, or black = hole with --invert-mask")
    return hole


def mask_from_transparency(image: Image.Image) -> np.ndarray | None:
    """(H, W) bool, True where the image is fully transparent; None where it has no alpha channel."""
    return np.asarray(image.getchannel("A")) == 0 if image.mode in ("LA", "RGBA") else None


def save_mask(mask: np.ndarray, path: str | Path) -> Path:
    """Save a mask (H, W) bool as a one-channel PNG or the like, white = hole."""
    from invertfill.imaging.io import save_image

    return save_image(Image.fromarray(mask.astype(np.uint8) * 255), path)


def coverage_range(text: str) -> tuple[float, float]:
    """The bounds of a coverage class ("easy", "hard", "extreme", "all") or of a range such as "0.5-0.6"."""
    if text in COVERAGE:
        return COVERAGE[text]
    try:
        low, high = (float(part) for part in text.split("-"))
    except ValueError:
        low, high = math.nan, math.nan
    if not 0 < low < high < 1:
        raise InputError(f"coverage {text!r}; accepted: {', '.join(COVERAGE)}, or LOW-HIGH such as 0.5-0.6")
    return low, high


def sample_mask(size: int, kind: str, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Draw one mask.

    Args:
        size: side in pixels, at least 8.
        kind: "freeform" (strokes and boxes), "box" (one box), "outpaint" (one or more sides missing) or "mixed".
        low, high: bounds of the coverage, 0 < low < high < 1; the final binary mask lies within them.
        rng: the only source of chance.

    Returns:
        (size, size) bool, True = hole.

    Raises:
        InputError: an unknown kind, or bounds that no mask of this size meets.
    """
    if kind not in KINDS:
        raise InputError(f"mask kind {kind!r}; accepted: {', '.join(KINDS)}")
    if size < 8 or not 0 < low < high < 1:
        raise InputError(f"mask of {size} pixels and coverage {low}-{high}; accepted: 8 or more, 0 < low < high < 1")
    if kind == "mixed":
        kind = cast(str, rng.choice(["freeform", "box", "outpaint"], p=[0.5, 0.25, 0.25]))
    draw = {"freeform": _freeform, "box": _box, "outpaint": _outpaint}[kind]
    for _ in range(1000):
        mask = draw(size, low, high, rng)
        if low <= np.count_nonzero(mask) / mask.size <= high:
            return mask
    raise InputError(f"no {kind} mask of {size} pixels has a coverage of {low}-{high}; accepted: a wider range")


def sample_masks(count: int, size: int, kind: str, coverage: str, seed: int) -> Iterator[np.ndarray]:
    """Draw ``count`` masks (size, size) bool. Mask i depends on (seed, i) only, not on ``count``."""
    low, high = coverage_range(coverage)
    for index in range(count):
        yield sample_mask(size, kind, low, high, np.random.default_rng([seed, index]))


def mask_set_hash(masks: Iterable[np.ndarray]) -> str:
    """SHA-256 (hex) of a mask set: of each mask's shape and packed bits, in order. A table of results names it."""
    digest = hashlib.sha256()
    for mask in masks:
        digest.update(repr(mask.shape).encode())
        digest.update(np.packbits(mask.astype(bool)).tobytes())
    return digest.hexdigest()


def _freeform(size: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
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
        covered = canvas.histogram()[255]
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


def _box(size: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """One box anywhere inside; its sides are at most 2:1 where the coverage leaves room for that."""
    area = rng.uniform(low, high)
    stretch = min(math.log(1 / area), math.log(2)) / 2  # neither side is longer than the picture's
    width = math.sqrt(area) * math.exp(rng.uniform(-stretch, stretch))
    w, h = max(1, round(width * size)), max(1, round(area / width * size))
    mask = np.zeros((size, size), bool)
    x, y = rng.integers(0, max(size - w, 0) + 1), rng.integers(0, max(size - h, 0) + 1)
    mask[y : y + h, x : x + w] = True
    return mask


def _outpaint(size: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
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


def _binary_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2:
        raise InputError(f"mask array of shape {array.shape}; accepted: (H, W) or (H, W, 1)")
    if array.dtype == bool:
        return array
    if np.issubdtype(array.dtype, np.floating):
        if np.isnan(array).any():
            raise InputError("mask array with NaN; accepted: float, above 0.5 is hole")
        return array > 0.5
    if array.dtype == np.uint8:
        # An array of 0 and 1 can only be meant as a binary mask.
        return array > (THRESHOLD if array.max(initial=0) > 1 else 0)
    raise InputError(f"mask array of type {array.dtype}; accepted: bool, uint8 (above 127 is hole), float (above 0.5)")
