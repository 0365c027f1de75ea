"""Navier-Stokes inpainting: lines of equal brightness are carried into the hole as a fluid would carry them."""

from __future__ import annotations

from functools import partial

from invertfill.baselines import Baseline
from invertfill.baselines.opencv import OpenCV

BASELINE = Baseline(
    "navier-stokes",
    "Bertalmio, Bertozzi, Sapiro, Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting",
    2001,
    "OpenCV's one pass from the border inwards, instead of iterating the fluid equations",
    partial(OpenCV, "INPAINT_NS"),
)
