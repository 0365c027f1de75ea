"""Telea's fast marching: each hole pixel from the known ones around it, from the border inwards."""

from __future__ import annotations

import numpy as np

from invertfill.baselines import Baseline

RADIUS = 3  # pixels


class Telea:
    """See `invertfill.baselines.Filler`."""

    def __init__(self) -> None:
        import cv2

        self.identity = f"OpenCV {cv2.__version__} inpaint, INPAINT_TELEA, radius {RADIUS}"

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        import cv2

        return cv2.inpaint(image, hole.astype(np.uint8), RADIUS, cv2.INPAINT_TELEA)


BASELINE = Baseline(
    "telea",
    "Telea, An Image Inpainting Technique Based on the Fast Marching Method",
    2004,
    "nothing: OpenCV's implementation, made for narrow holes",
    Telea,
)
