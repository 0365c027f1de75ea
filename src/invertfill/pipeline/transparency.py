"""What an alpha channel says: which pixels are hole, which are unknown, and how see-through a fill has to be.

The colour under alpha 0 is whatever a program left there, so it takes part in nothing.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from invertfill.pipeline.blending import spread
from invertfill.pipeline.crops import bounds

ERASED = 12  # of 255: up to this alpha, 5 %, a pixel is erased. Soft erasers leave 1 or 2 % behind.
EDGE = 2  # pixels around a hole whose alpha the hole's continues


def alpha_of(picture: Image.Image) -> np.ndarray | None:
    """(H, W) uint8; None for a picture without."""
    return np.asarray(picture.getchannel("A")) if picture.mode in ("LA", "RGBA") else None


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
    grown, through = _beside(hole) & through, through | hole
    while True:
        before = grown.sum()
        grown = _along_rows(_along_rows(grown, through).T, through.T).T
        if grown.sum() == before:
            return np.asarray(grown | hole)


def continued(alpha: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The alpha of a hole, from what surrounds it.

    Args:
        alpha: (H, W) uint8.
        hole: (H, W) bool, some of it True.

    Returns:
        (H, W) uint8, as `alpha` outside the hole. Where all around is alike, the hole is, too; else it goes over
        smoothly, and where the surroundings are either there or not, such as at the outline of a thing that was cut
        out, along an edge.
    """
    left, top, right, bottom = bounds(hole)
    rows, columns = slice(max(0, top - EDGE), bottom + EDGE), slice(max(0, left - EDGE), right + EDGE)
    part, inside = alpha[rows, columns], hole[rows, columns]
    result, around = alpha.copy(), part[_beside(inside) & ~inside]
    if len(around) == 0 or around.min() == around.max():
        result[hole] = around[0] if len(around) else 255
        return result
    height, width = part.shape
    side = 1 << (max(height, width) - 1).bit_length()
    values, known = np.zeros((2, 1, side, side), np.float32)
    known[0, :height, :width] = ~inside
    values[0, :height, :width] = part * known[0, :height, :width]
    smooth = spread(values, known)[0, :height, :width]
    low, high = int(around.min()), int(around.max())
    if low <= ERASED and not ((around > ERASED) & (around < high - ERASED)).any():
        down, across = np.gradient(smooth)
        steep = np.maximum(np.hypot(down, across), 1e-3)
        smooth = low + (high - low) * ((smooth - (low + high) / 2) / steep + 0.5).clip(0, 1)
    result[rows, columns][inside] = smooth.clip(0, 255).round()[inside]
    return result


def _beside(mask: np.ndarray) -> np.ndarray:
    """With the pixels that touch, at a corner too."""
    wide = mask.copy()
    for axis in (0, 1):
        near = wide.copy()
        ahead, behind = [slice(None)] * 2, [slice(None)] * 2
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        near[tuple(ahead)] |= wide[tuple(behind)]
        near[tuple(behind)] |= wide[tuple(ahead)]
        wide = near
    return wide


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
