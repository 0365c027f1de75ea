"""OpenCV's two methods, which share a function; `telea.py` and `navier_stokes.py` name them."""

from __future__ import annotations

import cv2
import numpy as np

RADIUS = 3  # pixels


class OpenCV:
    """See `invertfill.baselines.Filler`.

    Args:
        flag: name of one of cv2.inpaint's methods.
    """

    size: int | None = None

    def __init__(self, flag: str) -> None:
        self.flag = getattr(cv2, flag)
        self.identity = f"OpenCV {cv2.__version__} inpaint, {flag}, radius {RADIUS}"

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        return cv2.inpaint(image, hole.astype(np.uint8), RADIUS, self.flag)
