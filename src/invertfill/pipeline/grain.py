"""Grain: a fill gets that of its surroundings, where it has none of its own.

What is measured is the residual of known pixels over their local mean, in the flattest windows around the hole: there
it is grain and not texture. New grain with the same spectrum and the same colours is white noise convolved with these
residuals (spot noise: van Wijk 1991; Galerne, Gousseau and Morel 2011, "Random Phase Textures").
"""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.lib.stride_tricks import as_strided

from invertfill.imaging.windows import mean_around
from invertfill.pipeline.crops import bounds

WINDOW = 32  # side in pixels of the windows; every second half of it one is looked at
NEAR = 64  # pixels around a hole in which they lie
SPOTS = 4  # the flattest of them give the noise
FLAT = 0.25  # of the windows have to be about as flat as these, ...
ALIKE = 1.4  # ... up to this many times their deviation: grain is everywhere, texture in places
EVEN = 0.4  # coefficient of variation of the energy in a window's 4 x 4 parts: grain is even, texture is not
REACH = 3  # pixels to each side over which the local mean goes
OWN_REACH = 8  # the same, for the strength of the fill's own grain
LEAST = 1.5  # levels of 255: a standard deviation below isn't grain, but rounding and compression
CLIPPED = 8  # a window whose mean is within this many levels of black or white says nothing
TILE = 256  # noise repeats after this many pixels
MOST = 1000  # about this many windows are looked at


def add_grain(
    filled: np.ndarray, hole: np.ndarray, part: np.ndarray, seed: int, corner: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """The picture with grain in the part of the hole that lacks it.

    Args:
        filled: (H, W, 3) uint8; what lies outside `part` is known or, in the rest of the hole, of no account.
        hole: (H, W) bool, what isn't known.
        part: (H, W) bool, the part of it that is filled.
        seed: of the noise; the same one gives the same grain.
        corner: x and y of this picture in a larger one: where two parts of that overlap, they have the same noise.

    Returns:
        (H, W, 3) uint8, the given array itself where its surroundings are smooth.
    """
    left, top, right, bottom = bounds(part)
    x0, y0 = max(left - NEAR, 0), max(top - NEAR, 0)
    spots = _grain(filled[y0 : bottom + NEAR, x0 : right + NEAR], hole[y0 : bottom + NEAR, x0 : right + NEAR])
    if spots is None:
        return filled
    noise, variance = _noise(spots, np.random.default_rng(seed)), np.square(spots).mean((0, 1, 2))
    noise = np.roll(noise, (-corner[1] - top, -corner[0] - left), (0, 1))
    result, margin = filled.copy(), REACH + OWN_REACH
    for y in range(top, bottom, TILE):
        for x in range(left, right, TILE):
            at = np.s_[
                max(y - margin, 0) : min(y + TILE, bottom) + margin, max(x - margin, 0) : min(x + TILE, right) + margin
            ]
            core = np.s_[y : min(y + TILE, bottom), x : min(x + TILE, right)]
            own = _own(filled[at].astype(np.float32), part[at])[y - at[0].start :, x - at[1].start :]
            inside = part[core]
            own = own[: inside.shape[0], : inside.shape[1]][inside]
            more = noise[: inside.shape[0], : inside.shape[1]][inside] * np.sqrt((1 - own / variance).clip(0, 1))
            result[core][inside] = (filled[core][inside] + more).clip(0, 255).round()
    return result


def _own(picture: np.ndarray, part: np.ndarray) -> np.ndarray:
    """(H, W, 3): the variance of the residual around each pixel, within the part."""
    weight = part[..., None].astype(np.float32)
    energy = np.square(picture - mean_around(picture.astype(np.float32), REACH)) * weight
    return mean_around(energy, OWN_REACH) / np.maximum(mean_around(weight, OWN_REACH), 1e-3)


def _grain(picture: np.ndarray, unknown: np.ndarray) -> np.ndarray | None:
    """Residuals (SPOTS, WINDOW, WINDOW, 3) that show grain alone; None where there is none, or too little to tell."""
    side = WINDOW + 2 * REACH  # the local mean at a window's border must be of known pixels, too
    if min(unknown.shape) < side:
        return None
    step = max(WINDOW // 2, int(np.sqrt(unknown.size / MOST)))

    def windows(array: np.ndarray) -> np.ndarray:
        """(rows, columns, ..., side, side), of every `step` pixels: NumPy's `sliding_window_view` takes those between
        them, too, and is too large for 32-bit Python, as in browsers."""
        rows, columns = ((length - side) // step + 1 for length in unknown.shape)
        down, across, *rest = array.strides
        strides = step * down, step * across, *rest, down, across
        return as_strided(array, (rows, columns, *array.shape[2:], side, side), strides, writeable=False)

    known = windows(picture)[~windows(unknown).any((2, 3))]
    means = known.mean((1, 2, 3))
    residuals = _residuals(known[(means >= CLIPPED) & (means <= 255 - CLIPPED)])
    if len(residuals) < SPOTS / FLAT:
        return None
    energies = np.square(residuals).mean((1, 2, 3))
    order = np.argsort(energies, kind="stable")
    spots = residuals[order[:SPOTS]].transpose(0, 2, 3, 1)
    flattest = energies[order[:SPOTS]].mean()
    parts = np.square(spots.mean(3)).reshape(SPOTS, 4, WINDOW // 4, 4, WINDOW // 4).mean((2, 4))
    uneven = np.median(parts.std((1, 2)) / np.maximum(parts.mean((1, 2)), 1e-6))
    alike = energies[order[int(FLAT * len(order))]] <= ALIKE**2 * flattest
    return spots if flattest >= LEAST**2 and alike and uneven <= EVEN else None


def _residuals(windows: np.ndarray) -> np.ndarray:
    """(N, 3, side, side) uint8 -> (N, 3, WINDOW, WINDOW) float32: what lies over the local mean."""
    total, n = windows.astype(np.uint16), 2 * REACH + 1  # 255 n² is less than 2^16, and narrow sums are faster
    total = reduce(np.add, [total[:, :, i : i + WINDOW] for i in range(n)])
    total = reduce(np.add, [total[..., i : i + WINDOW] for i in range(n)])
    return windows[..., REACH:-REACH, REACH:-REACH] - total.astype(np.float32) / n**2


def _noise(spots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(TILE, TILE, 3) float32 with the covariance of the spots; it goes on at the other side."""
    total = np.zeros((TILE, TILE, 3), np.float32)
    for spot in spots:
        white = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
        for channel in range(3):
            kernel = np.fft.rfft2(spot[..., channel] - spot[..., channel].mean(), (TILE, TILE))
            total[..., channel] += np.fft.irfft2(white * kernel, (TILE, TILE))
    return total / np.float32(WINDOW * np.sqrt(len(spots)))
