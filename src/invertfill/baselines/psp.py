"""pSp: an encoder gives a style vector for each layer, as an offset from the static mean latent."""

from __future__ import annotations

from pathlib import Path

from invertfill.baselines import Baseline
from invertfill.baselines.drawing import Drawing
from invertfill.engines import open_engine
from invertfill.errors import InputError
from invertfill.options import FillOptions
from invertfill.registry import find_model

RECIPE = "made by `invertfill train inversion` without RGB branch and pre-modulation, and `invertfill export`"


def load(model: str = "", device: str = "auto") -> Drawing:
    """The model folder, of a model without RGB branch and pre-modulation."""
    if not Path(model).is_dir() or not model:
        missing = f"{model}: no such folder" if model else "no model, and none ships"
        raise InputError(f"psp: {missing}; accepted: model=FOLDER, a folder {RECIPE}")
    found = find_model(model)
    branch, premodulation = (found.config.get(section, {}) for section in ("rgb_branch", "premodulation"))
    if branch.get("channels", True) or premodulation.get("enabled", True):
        raise InputError(f"psp: {model}: has an RGB branch or pre-modulation; accepted: a folder {RECIPE}")
    engine = open_engine(found, FillOptions(device=device))
    identity = f"model.safetensors SHA-256 {found.sha256}, engine {engine.name} on {engine.device}"
    return Drawing(engine, identity, found.size)


BASELINE = Baseline(
    "psp",
    "Richardson et al., Encoding in Style: a StyleGAN Encoder for Image-to-Image Translation",
    2021,
    "this project's encoder and stage 2, with W+ alone: no RGB branch, no pre-modulation, a static mean latent; "
    "its losses, without an identity network",
    load,
)
