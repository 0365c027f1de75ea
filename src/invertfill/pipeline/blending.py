"""Agreement at the border of a hole: what the model gets wrong on known pixels is spread smoothly into the hole.

The membrane of gradient-domain blending (Perez et al. 2003, "Poisson Image Editing"), by pull-push (Gortler et al.
1996, "The Lumigraph") instead of a linear solve: a pyramid of averages of what is known, then each gap from the next
level up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def match_border(output: np.ndarray, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The output, shifted so that it meets the known pixels.

    Args:
        output: O_G (3, s, s) float32, s a power of two.
        image: (3, s, s) float32, the known pixels.
        mask: (1, s, s) float32, 1 = hole, not everywhere.

    Returns:
        (3, s, s): in the hole, output plus the spread difference of image and output; elsewhere the image.
    """
    known = 1 - mask
    return output + spread((image - output) * known, known)


def spread(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fill the gaps of (C, s, s) `values` smoothly; `weight` (1, s, s) in [0, 1] says how well each is known."""
    if values.shape[-1] == 1:
        return values
    total = _pool(weight)  # of four
    coarse_weight = np.minimum(total, 1)
    coarse = spread(_pool(values * weight) / np.maximum(total, 1e-6), coarse_weight)
    return values * weight + (1 - weight) * _upsample(coarse)


def spread_any(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`spread` of (C, H, W) of any size and type, with (H, W) bool known: (C, H, W) float32."""
    height, width = known.shape
    side = 1 << (max(height, width) - 1).bit_length()  # the pyramid is of powers of two
    padded = np.zeros((len(values) + 1, side, side), np.float32)
    padded[:, :height, :width] = np.concatenate([values * known, known[None]])
    return spread(padded[:-1], padded[-1:])[:, :height, :width]


def _pool(x: np.ndarray) -> np.ndarray:
    """(C, s, s) -> (C, s/2, s/2): sums of 2 x 2."""
    rows = x[:, ::2] + x[:, 1::2]
    pooled: np.ndarray = rows[..., ::2] + rows[..., 1::2]
    return pooled


def _upsample(x: np.ndarray) -> np.ndarray:
    """(C, s, s) -> (C, 2s, 2s), bilinear between the pixels' centres."""
    for axis in (1, 2):
        x = x.swapaxes(axis, 2)
        before = np.concatenate([x[..., :1], x[..., :-1]], 2)
        after = np.concatenate([x[..., 1:], x[..., -1:]], 2)
        doubled = np.empty((*x.shape[:2], 2 * x.shape[2]), x.dtype)
        doubled[..., ::2] = 0.75 * x + 0.25 * before
        doubled[..., 1::2] = 0.75 * x + 0.25 * after
        x = doubled.swapaxes(axis, 2)
    return x


def match_rim(output: np.ndarray, image: np.ndarray, mask: np.ndarray, reach: int = 4) -> np.ndarray:
    """`match_border` that fades out within that many pixels: arguments and result as there."""
    known = 1 - mask
    weight = known
    for _ in range(reach):  # 1 at known pixels, less by 1/(reach + 1) with each pixel from them
        padded = np.pad(weight, ((0, 0), (1, 1), (1, 1)), mode="edge")
        near = np.maximum.reduce([padded[:, 1:-1, :-2], padded[:, 1:-1, 2:], padded[:, :-2, 1:-1], padded[:, 2:, 1:-1]])
        weight = np.maximum(weight, near - np.float32(1 / (reach + 1)))
    return output + spread((image - output) * known, known) * weight


BLENDS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "membrane": match_border,
    "rim": match_rim,
    "none": lambda output, image, mask: output,
}
"""How a fill meets the known pixels, by name: what a model was trained with. Arguments as of `match_border`."""
