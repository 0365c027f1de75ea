"""What an alpha channel says: which pixels are hole, which are unknown, and how see-through a fill has to be.

The colour under alpha 0 is whatever a program left there, so it takes part in nothing.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.ImageFilter import GaussianBlur

from invertfill.imaging.depth import samples_of
from invertfill.imaging.windows import widened
from invertfill.pipeline.blending import spread_any
from invertfill.pipeline.crops import bounds

ERASED = 12  # of 255: up to this alpha, 5 %, a pixel is erased. Soft erasers leave 1 or 2 % behind.
EDGE = 2  # pixels around a hole whose alpha the hole's continues
OUTLINE = 256  # side at which an outline is drawn through a hole
ROUNDS = 20  # of the flow that shortens it, at each radius


def alpha_of(picture: Image.Image) -> np.ndarray | None:
    """(H, W) uint8; None for a picture without. Where samples lie beside the picture, 255 is their greatest alpha."""
    if picture.mode not in ("LA", "RGBA"):
        return None
    samples = samples_of(picture)
    if samples is None:
        return np.asarray(picture.getchannel("A"))
    return (samples[..., -1] * (255 / (greatest(samples) or 1))).round().astype(np.uint8)


def greatest(samples: np.ndarray) -> float:
    """The greatest alpha of samples (H, W, C)."""
    return float(np.nan_to_num(samples[..., -1]).max())


def erased(alpha: np.ndarray) -> np.ndarray:
    """(H, W) bool: nothing is known of these pixels."""
    return alpha <= ERASED


def opaque_in(alpha: np.ndarray) -> int:
    """The alpha of pixels that are wholly there: the greatest, or 255 where all is erased."""
    greatest = int(alpha.max(initial=0))
    return greatest if greatest > ERASED else 255


def soft_hole(alpha: np.ndarray) -> np.ndarray:
    """(H, W) bool: the erased pixels, and those of less than the greatest alpha that hang together with them."""
    hole = erased(alpha)
    through = alpha < opaque_in(alpha)
    if not hole.any() or np.array_equal(hole, through):
        return hole
    grown, through = widened(hole, 1) & through, through | hole
    while True:
        before = grown.sum()
        grown = _along_rows(_along_rows(grown, through).T, through.T).T
        if grown.sum() == before:
            return np.asarray(grown | hole)


def over(there: np.ndarray, fill: np.ndarray, alpha: np.ndarray, full: int) -> np.ndarray:
    """What is there over the fill, (N, C) of any type, by its alpha (N,) uint8; `full` alpha is wholly there."""
    share = np.where(erased(alpha), 0, alpha / full)[:, None]
    mixed = there * share + fill * (1 - share)
    return (mixed.round() if fill.dtype.kind in "iu" else mixed).astype(fill.dtype)


def continued(alpha: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The alpha of a hole, from what surrounds it.

    Args:
        alpha: (H, W) uint8.
        hole: (H, W) bool, some of it True.

    Returns:
        (H, W) uint8, as `alpha` outside the hole. Where all around is alike, the hole is, too. Else it goes over
        smoothly; but where the surroundings are either there or not, as at the outline of a thing that was cut out,
        the outline goes through the hole on the shortest way.
    """
    left, top, right, bottom = bounds(hole)
    margin = EDGE + max(bottom - top, right - left) // 4
    rows, columns = slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)
    part, inside = alpha[rows, columns], hole[rows, columns]
    result, around = alpha.copy(), part[widened(inside, 1) & ~inside]
    if len(around) == 0 or around.min() == around.max():
        result[hole] = around[0] if len(around) else 255
        return result
    smooth = spread_any(part[None], ~inside)[0]
    low, high = int(around.min()), int(around.max())
    if low <= ERASED and not ((around > ERASED) & (around < high - ERASED)).any():
        smooth = low + (high - low) * _outlined(smooth > (low + high) / 2, inside)
    result[rows, columns][inside] = smooth.clip(0, 255).round()[inside]
    return result


def _outlined(shape: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """A shape (H, W) bool whose outline in the hole is the shortest, (H, W) float32 in [0, 1], with a soft edge.

    Motion by mean curvature: blur and threshold in turn (Merriman, Bence and Osher 1992), from wide blurs to narrow.
    """
    scale = min(1.0, OUTLINE / max(shape.shape))
    size = max(1, round(shape.shape[1] * scale)), max(1, round(shape.shape[0] * scale))
    small, inside = (np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)) for mask in (shape, hole))
    radius = max(size) / 8
    while radius >= 1:
        for _ in range(ROUNDS):
            blurred = np.asarray(Image.fromarray(small.astype(np.uint8) * 255).filter(GaussianBlur(radius)))
            before, small = small, np.where(inside, blurred > 127, small)
            if np.array_equal(before, small):
                break
        radius /= 2
    drawn = Image.fromarray(small.astype(np.uint8) * 255).resize(shape.shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(drawn.filter(GaussianBlur(1)), np.float32) / 255


def _along_rows(seeds: np.ndarray, through: np.ndarray) -> np.ndarray:
    """What can be reached from the seeds within a row, through pixels that are let through; with the seeds."""
    reached = seeds
    for step in (1, -1):
        place = np.arange(seeds.shape[1], dtype=np.int32)
        seed, passing = seeds[:, ::step], through[:, ::step]
        last_seed = np.maximum.accumulate(np.where(seed, place, -1), 1)
        last_wall = np.maximum.accumulate(np.where(passing, -1, place), 1)
        reached = reached | (passing & (last_seed > last_wall))[:, ::step]
    return reached
