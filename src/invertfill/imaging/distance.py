"""How far pixels are from a hole: what makes holes larger, and fills fade."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ROWS = 256  # of the picture at a time, so that memory stays small


def grow(hole: np.ndarray, by: int) -> np.ndarray:
    """(H, W) bool: the hole, and all pixels with centres at most ``by`` pixels from one of its own."""
    if by <= 0 or not hole.any():
        return hole
    grown = np.zeros_like(hole)
    # Nothing farther from the holes' box than that can change.
    down, across = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    near = tuple(slice(max(int(found[0]) - by, 0), int(found[-1]) + by + 1) for found in (down, across))
    part = grown[near]
    for rows, squared in _squared_distances(hole[near], by):
        part[rows] = squared <= by * by
    return grown


def fading(hole: np.ndarray, over: int) -> np.ndarray:
    """(H, W) float32: 1 in the hole, less with each pixel outside, 0 from `over` + 1 pixels on."""
    weight = np.empty(hole.shape, np.float32)
    for rows, squared in _squared_distances(hole, over):
        weight[rows] = np.maximum(1 - np.sqrt(squared) / np.float32(over + 1), 0)
    return weight


def _squared_distances(hole: np.ndarray, reach: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows, and the squared Euclidean distance of their pixels to the hole, float32: right up to `reach`, else more."""
    height, width = hole.shape
    reach = min(reach, max(height, width))
    for top in range(0, height, ROWS):
        first, last = max(top - reach, 0), min(top + ROWS + reach, height)
        rows = slice(top, min(top + ROWS, height))
        if not hole[first:last].any():
            yield rows, np.full((rows.stop - top, width), np.square(np.float32(reach + 1)))
            continue
        across = np.square(_along_rows(hole[first:last], reach))
        nearest = across[rows.start - first : rows.stop - first].copy()
        for step in range(1, reach + 1):
            for start in (rows.start - step, rows.start + step):
                low, high = max(start, first), min(start + len(nearest), last)
                if low < high:
                    part = nearest[low - start : high - start]
                    np.minimum(part, across[low - first : high - first] + np.float32(step * step), out=part)
        yield rows, nearest


def _along_rows(hole: np.ndarray, reach: int) -> np.ndarray:
    """Distance to the nearest hole pixel of the same row, float32; `reach` + 1 where there is none as near."""
    width = hole.shape[1]
    place = np.arange(width, dtype=np.int32)
    far = np.int32(width + reach + 1)
    left = np.maximum.accumulate(np.where(hole, place, -far), 1)
    right = np.minimum.accumulate(np.where(hole, place, width + far)[:, ::-1], 1)[:, ::-1]
    return np.minimum(np.minimum(place - left, right - place), reach + 1).astype(np.float32)
