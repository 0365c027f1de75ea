"""Squares whose sides are powers of two, made smaller or larger without a filter's choice: what trials compare."""

from __future__ import annotations

import numpy as np


def resize(x: np.ndarray, size: int) -> np.ndarray:
    """(N, C, s, s) -> (N, C, size, size), both powers of two: averages of squares, or each pixel repeated."""
    n, c, s, _ = x.shape
    if size >= s:
        return x.repeat(size // s, 2).repeat(size // s, 3)
    smaller: np.ndarray = x.reshape(n, c, size, s // size, size, s // size).mean((3, 5))
    return smaller
