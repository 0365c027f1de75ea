"""Values of any type and range -> the levels 0 to 255, in float32, that models and blending work with, and back.

The range is that of the known pixels, so that a hole of 12 bits in a file of 16, or of heights in metres, has the
contrast that models are used to, and none of its precision is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from invertfill.imaging.depth import known_range

PASSES = 8  # of smoothing between steps


@dataclass(frozen=True)
class Levels:
    """How the samples around a hole are seen.

    Attributes:
        dtype: of the samples.
        low, high: what is seen as 0 and as 255; see `known_range`.
        least, most: (C,) the known extremes of each channel of colour, which no filled value goes beyond.
    """

    dtype: np.dtype
    low: float
    high: float
    least: np.ndarray
    most: np.ndarray

    @classmethod
    def of(cls, samples: np.ndarray, known: np.ndarray) -> Levels:
        """For samples (H, W) or (H, W, C), with (H, W) bool known."""
        colour = _colour(samples)
        if not known.any():
            top = np.iinfo(samples.dtype).max if samples.dtype.kind in "iu" else 1
            return cls(samples.dtype, 0, top, np.zeros(1), np.full(1, top))
        channels = [colour[..., i][known] for i in range(colour.shape[2])]
        least, most = np.array([c.min() for c in channels]), np.array([c.max() for c in channels])
        return cls(samples.dtype, *known_range(colour, known), least, most)

    def seen(self, samples: np.ndarray) -> np.ndarray:
        """(H, W) or (H, W, C) -> (H, W, 1 or 3) float32, 0 to 255."""
        colour = _colour(samples)
        levels = np.empty(colour.shape, np.float32)
        for i in range(colour.shape[2]):  # one at a time: they are as large as the picture
            # Floats that hold integers of 32 bits exactly; what isn't known may be NaN.
            wide: DTypeLike = np.float64 if self.dtype.itemsize > 2 else np.float32
            channel = (colour[..., i].astype(wide) - self.low) * self._scale
            levels[..., i] = np.nan_to_num(channel, copy=False).clip(0, 255)
        return levels

    def values(self, levels: np.ndarray, like: np.ndarray) -> np.ndarray:
        """(N, 1 or 3) -> (N,) or (N, C), as the samples `like` are: (H, W) or (H, W, C). Alpha is 0."""
        colour = levels.astype(np.float64) / self._scale + self.low
        if self.dtype.kind in "iu":
            colour = colour.round()
        colour = colour.clip(self.least, self.most)
        if like.ndim == 2:
            return colour[:, 0].astype(self.dtype)
        if like.shape[2] in (2, 4):
            colour = np.concatenate([colour, np.zeros((len(colour), 1))], 1)
        return colour.astype(self.dtype)

    @property
    def _scale(self) -> float:
        return 255 / ((self.high - self.low) or 1)


def between_steps(output: np.ndarray, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The values between the 256 that a fill was rounded to: as smooth as the rounding allows, so that slopes come
    out without terraces.

    Args:
        output: (3, s, s) float32 in [-1, 1], of 256 values.
        image, mask: (3, s, s) and (1, s, s), what is known, and 1 = hole.

    Returns:
        (3, s, s), in the hole no further from the output than half a step.
    """
    half = np.float32(1 / 255)
    least, most = output - half, output + half
    result = np.where(mask > 0, output, image)
    for _ in range(PASSES):
        for axis in (1, 2):
            ends = np.pad(result, [(1, 1) if i == axis else (0, 0) for i in range(3)], "edge")
            low, high = (np.take(ends, range(i, i + result.shape[axis]), axis) for i in (0, 2))
            result = np.where(mask > 0, ((low + result + high) / 3).clip(least, most), image)
    return result


def _colour(samples: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) -> (H, W, 1 or 3), without alpha."""
    if samples.ndim == 2:
        return samples[..., None]
    return samples[..., :-1] if samples.shape[2] in (2, 4) else samples
