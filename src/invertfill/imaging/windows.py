"""Squares around each pixel of an array."""

from __future__ import annotations

from functools import reduce

import numpy as np


def widened(mask: np.ndarray, by: int, outside: bool = False) -> np.ndarray:
    """(H, W) bool: the pixels within that many rows and columns of True ones; `outside` is what lies beyond."""
    for _ in range(2):  # along the columns, then along the rows
        ends = np.pad(mask, ((by, by), (0, 0)), constant_values=outside)
        mask = reduce(np.logical_or, [ends[i : i + len(mask)] for i in range(2 * by + 1)]).T
    return mask


def mean_around(values: np.ndarray, reach: int) -> np.ndarray:
    """(H, W[, C]) -> the same, float32: means over squares of 2 reach + 1 pixels, the border repeated."""
    n = 2 * reach + 1
    for _ in range(2):  # along the columns, then along the rows
        total = np.pad(values, ((reach + 1, reach), *[(0, 0)] * (values.ndim - 1)), "edge").cumsum(0, dtype=np.float64)
        values = ((total[n:] - total[:-n]) / n).swapaxes(0, 1)
    return values.astype(np.float32)
