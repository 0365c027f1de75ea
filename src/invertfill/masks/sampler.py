"""Masks drawn at random within bounds of coverage, the share of hole pixels of the final binary mask. True = hole.

Free-form strokes plus boxes follow the idea of the masks of LaMa and MAT; the public irregular-mask sets stop at 60 %,
so they cannot serve for the extreme class. How each kind is drawn stands in shapes.py, their names in names.py.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np

from invertfill.errors import InputError
from invertfill.imaging.formats import list_images
from invertfill.imaging.masks import read_mask
from invertfill.masks.names import COVERAGE, KINDS, OUTLINED
from invertfill.masks.shapes import Outline, draw


def coverage_range(text: str) -> tuple[float, float]:
    """The bounds of a coverage class ("easy" and so on, see COVERAGE) or of a range such as "0.5-0.6"."""
    if text in COVERAGE:
        return COVERAGE[text]
    try:
        low, high = (float(part) for part in text.split("-"))
    except ValueError:
        low, high = math.nan, math.nan
    if not 0 < low < high < 1:
        raise InputError(f"coverage {text!r}; accepted: {', '.join(COVERAGE)}, or LOW-HIGH such as 0.5-0.6")
    return low, high


@lru_cache(maxsize=4)
def read_outlines(folder: Path) -> tuple[Outline, ...]:
    """The outlines of things in a folder of masks of any size, by name, white = the thing; read once.

    Raises:
        InputError: no such folder, no image in it, one that can't be read, or one without any white.
    """
    return tuple(Outline.of(read_mask(path, None)) for path in list_images(folder))


def check_kind(kind: str, outlines: Path | None = None) -> tuple[Outline, ...]:
    """The outlines that a kind is drawn from; () where it needs none.

    Raises:
        InputError: an unknown kind, "objects" without `outlines`, or what `read_outlines` raises.
    """
    if kind not in KINDS:
        raise InputError(f"mask kind {kind!r}; accepted: {', '.join(KINDS)}")
    if kind == "objects" and outlines is None:
        raise InputError(
            "mask kind 'objects' without outlines; accepted: a folder of masks, white = the thing, "
            "by --outlines FOLDER, masks.outlines=FOLDER or outlines="
        )
    return read_outlines(outlines) if outlines is not None and kind in OUTLINED else ()


def sample_mask(
    size: int, kind: str, low: float, high: float, rng: np.random.Generator, outlines: Path | None = None
) -> np.ndarray:
    """Draw one mask.

    Args:
        size: side in pixels, at least 8.
        kind: "freeform" (strokes and boxes), "box" (one box), "outpaint" (one or more sides missing), "mixed" (these
            three), "lines" (three long thin ones), "lettering", "blobs" (smooth outlines drawn at random), "objects"
            (outlines of real things), or "photo" (the mix for models of any photograph).
        low, high: bounds of the coverage, 0 < low < high < 1; the final binary mask lies within them.
        rng: the only source of chance.
        outlines: a folder of masks, for "objects", and for "photo" where there is one; read once. Others ignore it.

    Returns:
        (size, size) bool, True = hole.

    Raises:
        InputError: an unknown kind, "objects" without outlines, outlines that can't be read, or bounds that no mask
            of this size meets.
    """
    shapes = check_kind(kind, outlines)
    if size < 8 or not 0 < low < high < 1:
        raise InputError(f"mask of {size} pixels and coverage {low}-{high}; accepted: 8 or more, 0 < low < high < 1")
    if kind == "mixed":
        kind = cast(str, rng.choice(["freeform", "box", "outpaint"], p=[0.5, 0.25, 0.25]))
    for _ in range(1000):
        mask = draw(kind, size, low, high, rng, shapes)
        if low <= np.count_nonzero(mask) / mask.size <= high:
            return mask
    raise InputError(
        f"no {kind} mask of {size} pixels has a coverage of {low}-{high}; accepted: a wider range, up to "
        f"{'-'.join(map(str, COVERAGE['any']))} (any)"
    )


def sample_masks(
    count: int, size: int, kind: str, coverage: str, seed: int, outlines: Path | None = None
) -> Iterator[np.ndarray]:
    """Draw ``count`` masks (size, size) bool. Mask i depends on (seed, i) and the outlines only, not on ``count``."""
    low, high = coverage_range(coverage)
    for index in range(count):
        yield sample_mask(size, kind, low, high, np.random.default_rng([seed, index]), outlines)


def mask_set_hash(masks: Iterable[np.ndarray]) -> str:
    """SHA-256 (hex) of a mask set: of each mask's shape and packed bits, in order. A table of results names it."""
    digest = hashlib.sha256()
    for mask in masks:
        digest.update(repr(mask.shape).encode())
        digest.update(np.packbits(mask.astype(bool)).tobytes())
    return digest.hexdigest()
