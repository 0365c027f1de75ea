"""Navier-Stokes inpainting: lines of equal brightness are carried into the hole as a fluid would carry them."""

from __future__ import annotations

import numpy as np

from invertfill.baselines import Baseline

RADIUS = 3  # pixels


class NavierStokes:
    """See `invertfill.baselines.Filler`."""

    def __init__(self) -> None:
        import cv2

        self.identity = f"OpenCV {cv2.__version__} inpaint, INPAINT_NS, radius {RADIUS}"

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        import cv2

        return cv2.inpaint(image, hole.astype(np.uint8), RADIUS, cv2.INPAINT_NS)


BASELINE = Baseline(
    "navier-stokes",
    "Bertalmio, Bertozzi, Sapiro, Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting",
    2001,
    "OpenCV's one pass from the border inwards, instead of iterating the fluid equations",
    NavierStokes,
)
