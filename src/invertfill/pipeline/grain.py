"""Grain: a fill has that of its surroundings, as far as it has none of its own.

What is measured is the residual of known pixels over their local mean, in the flattest windows around the hole: there
it is grain and not texture. New grain with the same spectrum and the same colours is white noise convolved with these
residuals (spot noise: van Wijk 1991; Galerne, Gousseau and Morel 2011, "Random Phase Textures").
"""

from __future__ import annotations

import numpy as np

from invertfill.pipeline.crops import bounds

WINDOW = 32  # side in pixels of the windows; every second half of it one is looked at
NEAR = 64  # pixels around a hole in which they lie
SPOTS = 4  # the flattest of them give the noise
FLAT = 0.25  # of the windows have to be about as flat as these, ...
ALIKE = 1.4  # ... up to so many times their deviation: grain is everywhere, texture in places
EVEN = 0.4  # coefficient of variation of the energy in a window's 4 x 4 parts: grain is even, texture is not
REACH = 3  # pixels to each side over which the local mean goes
OWN_REACH = 8  # the same, for the strength of the fill's own grain
LEAST = 1.5  # levels of 255: a standard deviation below isn't grain, but rounding and compression
CLIPPED = 8  # a window's mean within so many levels of black or white says nothing
TILE = 512  # noise repeats after so many pixels


def add_grain(filled: np.ndarray, hole: np.ndarray, part: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
    """The picture with grain in the part of the hole that lacks it.

    Args:
        filled: (H, W, 3) uint8; what lies outside `part` is known or, in the rest of the hole, of no account.
        hole: (H, W) bool, what isn't known.
        part: (H, W) bool, the part of it that is filled.
        seed: of the noise; the same one gives the same grain.

    Returns:
        (H, W, 3) uint8, the given array itself where its surroundings are smooth.
    """
    left, top, right, bottom = bounds(part)
    near = np.s_[max(top - NEAR, 0) : bottom + NEAR, max(left - NEAR, 0) : right + NEAR]
    here, unknown, inside = filled[near].astype(np.float32), hole[near], part[near]
    residual = here - _mean(here, REACH)
    spots = _grain(here, residual, unknown)
    if spots is None:
        return filled
    variance = np.square(spots).mean((0, 1, 2))  # of each channel
    weight = inside[..., None].astype(np.float32)
    own = _mean(np.square(residual) * weight, OWN_REACH) / np.maximum(_mean(weight, OWN_REACH), 1e-3)
    lacking = np.sqrt(np.clip(1 - own / np.maximum(variance, 1e-3), 0, 1))
    noise = _noise(spots, inside.shape, np.random.default_rng(seed))
    result = filled.copy()
    result[near][inside] = (here + noise * lacking)[inside].clip(0, 255).round()
    return result


def _grain(picture: np.ndarray, residual: np.ndarray, unknown: np.ndarray) -> np.ndarray | None:
    """Residuals (SPOTS, WINDOW, WINDOW, 3) that show grain alone; None where there is none, or too little to tell."""
    step, margin = WINDOW // 2, REACH  # the local mean at a window's border must be of known pixels, too
    energies: list[float] = []
    windows: list[np.ndarray] = []
    for top in range(margin, len(unknown) - WINDOW - margin + 1, step):
        for left in range(margin, unknown.shape[1] - WINDOW - margin + 1, step):
            if unknown[top - margin : top + WINDOW + margin, left - margin : left + WINDOW + margin].any():
                continue
            window = np.s_[top : top + WINDOW, left : left + WINDOW]
            if CLIPPED <= picture[window].mean() <= 255 - CLIPPED:
                energies.append(float(np.square(residual[window]).mean()))
                windows.append(residual[window])
    if len(windows) < SPOTS / FLAT:
        return None
    order = np.argsort(energies, kind="stable")
    flattest = float(np.mean([energies[i] for i in order[:SPOTS]]))
    spots = np.stack([windows[i] for i in order[:SPOTS]])
    parts = np.square(spots.mean(3)).reshape(SPOTS, 4, WINDOW // 4, 4, WINDOW // 4).mean((2, 4))
    uneven = np.median(parts.std((1, 2)) / np.maximum(parts.mean((1, 2)), 1e-6))
    alike = energies[order[int(FLAT * len(order))]] <= ALIKE**2 * flattest
    return spots if flattest >= LEAST**2 and alike and uneven <= EVEN else None


def _noise(spots: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) float32 with the covariance of the spots."""
    size = min(TILE, 2 ** int(np.ceil(np.log2(max(*shape[:2], WINDOW)))))
    total = np.zeros((size, size, 3), np.float32)
    for spot in spots:
        white = np.fft.rfft2(rng.standard_normal((size, size)))
        for channel in range(3):
            kernel = np.fft.rfft2(spot[..., channel] - spot[..., channel].mean(), (size, size))
            total[..., channel] += np.fft.irfft2(white * kernel, (size, size))
    total /= WINDOW * np.sqrt(len(spots))
    return total[np.arange(shape[0])[:, None] % size, np.arange(shape[1]) % size]


def _mean(values: np.ndarray, reach: int) -> np.ndarray:
    """(H, W, C): of squares of 2 reach + 1 pixels around each, the border repeated."""
    n = 2 * reach + 1
    for axis in (0, 1):
        pad = [(0, 0)] * values.ndim
        pad[axis] = (reach + 1, reach)
        total = np.pad(values, pad, "edge").cumsum(axis, dtype=np.float64)
        values = ((total.take(range(n, total.shape[axis]), axis) - total.take(range(total.shape[axis] - n), axis)) / n).astype(np.float32)
    return values
