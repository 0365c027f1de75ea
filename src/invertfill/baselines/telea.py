"""Telea's fast marching: each hole pixel from the known ones around it, from the border inwards."""

from __future__ import annotations

from functools import partial

from invertfill.baselines import Baseline
from invertfill.baselines.opencv import OpenCV

BASELINE = Baseline(
    "telea",
    "Telea, An Image Inpainting Technique Based on the Fast Marching Method",
    2004,
    "nothing: OpenCV's implementation, made for narrow holes",
    partial(OpenCV, "INPAINT_TELEA"),
)
