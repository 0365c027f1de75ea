"""The mean colour of the known pixels, everywhere: what a method has to be better than."""

from __future__ import annotations

import numpy as np

from invertfill.baselines import Baseline


class Mean:
    """See `invertfill.baselines.Filler`."""

    size: int | None = None
    identity = "mean of the known pixels, middle grey where none is known"

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        colour = image[~hole].mean(0) if not hole.all() else np.full(3, 127.5)
        return np.broadcast_to(colour.round().astype(np.uint8), image.shape).copy()


BASELINE = Baseline("mean", "InvertFill's own: what a method has to be better than", 2026, "nothing", Mean)
