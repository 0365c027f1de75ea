"""Squares around each pixel of an array."""

from __future__ import annotations

from functools import reduce

import numpy as np


def widened(mask: np.ndarray, by: int, outside: bool = False) -> np.ndarray:
    """(H, W) bool: the pixels within so many rows and columns of True ones; `outside` is what lies beyond."""
    for _ in range(2):  # along the columns, then along the rows
        ends = np.pad(mask, ((by, by), (0, 0)), constant_values=outside)
        mask = reduce(np.logical_or, [ends[i : i + len(mask)] for i in range(2 * by + 1)]).T
    return mask


def mean_around(values: np.ndarray, reach: int) -> np.ndarray:
    """(H, W[, C]) -> the same, float32: means over squares of 2 reach + 1 pixels, the border repeated."""
    n = 2 * reach + 1
    for axis in (0, 1):
        pad = [(0, 0)] * values.ndim
        pad[axis] = (reach + 1, reach)
        total = np.pad(values, pad, "edge").cumsum(axis, dtype=np.float64)
        values = (total.take(range(n, total.shape[axis]), axis) - total.take(range(total.shape[axis] - n), axis)) / n
    return values.astype(np.float32)
