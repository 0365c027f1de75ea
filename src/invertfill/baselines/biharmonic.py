"""Biharmonic inpainting: the smoothest surface that meets the border in value and slope, one linear solve a hole."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from skimage.restoration import inpaint_biharmonic

from invertfill.baselines import Baseline


class Biharmonic:
    """See `invertfill.baselines.Filler`."""

    size: int | None = None

    def __init__(self) -> None:
        self.identity = f"scikit-image {version('scikit-image')} inpaint_biharmonic, clipped to 0..255"

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        filled = inpaint_biharmonic(image, hole, channel_axis=-1)  # float, about [0, 1]
        return (filled.clip(0, 1) * 255).round().astype(np.uint8)


BASELINE = Baseline(
    "biharmonic",
    "Damelin, Hoang, On Surface Completion and Image Inpainting by Biharmonic Functions: Numerical Aspects",
    2018,
    "nothing: scikit-image's implementation; its values are clipped to the range of a picture",
    Biharmonic,
)
