"""pSp + Blend: pSp's output, blended into the picture in the gradient domain (Poisson)."""

from __future__ import annotations

import numpy as np
import scipy
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from invertfill.baselines import Baseline, Filler, psp

STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # to the four neighbours, in rows and columns


class Blended:
    """See `invertfill.baselines.Filler`: another one's output, blended."""

    def __init__(self, filler: Filler) -> None:
        self._filler, self.size = filler, filler.size
        self.identity = f"{filler.identity}, blended with SciPy {scipy.__version__} splu"

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        return blend(self._filler.fill(image, hole), image, hole)


def blend(drawn: np.ndarray, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """A picture that has the gradients of ``drawn`` in the hole and is ``image`` elsewhere.

    The discrete Poisson equation of Perez et al. 2003, Eq. 7: for each hole pixel p and its neighbours q inside the
    picture, sum_q (f_p - f_q) = sum_q (g_p - g_q), with f the result, f_q known outside the hole, and g drawn. Solved
    for f - g: its right-hand side is 0 but beside known pixels.

    Args:
        drawn, image: (H, W, 3) uint8.
        hole: (H, W) bool.

    Returns:
        (H, W, 3) uint8, rounded and clipped to 0..255 in the hole. Where nothing is known: ``drawn``.
    """
    if hole.all() or not hole.any():
        return drawn if hole.any() else image
    number = np.full(np.add(hole.shape, 2), -1)  # of each unknown; a rim of -1, outside the picture
    number[1:-1, 1:-1][hole] = np.arange(hole.sum())
    inside = np.pad(np.ones_like(hole), 1)
    difference = np.pad(image.astype(np.float64) - drawn, ((1, 1), (1, 1), (0, 0)))
    rows, columns = np.nonzero(number >= 0)
    own = number[rows, columns]
    diagonal, right = np.zeros(len(own)), np.zeros((len(own), 3))
    pairs = []
    for down, across in STEPS:
        beside = rows + down, columns + across
        other = number[beside]
        diagonal += inside[beside]
        known = inside[beside] & (other < 0)
        right[known] += difference[beside][known]
        pairs.append((own[other >= 0], other[other >= 0]))
    i, j = (np.concatenate([own, *part]) for part in zip(*pairs, strict=True))
    values = np.concatenate([diagonal, np.full(len(i) - len(own), -1.0)])
    shift = splu(coo_array((values, (i, j))).tocsc()).solve(right)
    result = image.copy()
    result[hole] = (drawn[hole] + shift).round().clip(0, 255).astype(np.uint8)
    return result


def load(model: str = "", device: str = "auto") -> Blended:
    """See `psp.load`."""
    return Blended(psp.load(model, device))


BASELINE = Baseline(
    "psp-blend",
    "Perez, Gangnet, Blake, Poisson Image Editing, 2003, behind pSp: Richardson et al., Encoding in Style",
    2021,
    "pSp as in psp; the Poisson equation is solved exactly, and its result rounded and clipped",
    load,
)
