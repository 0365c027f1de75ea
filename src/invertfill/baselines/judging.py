"""Losses through VGG16 that several methods have."""

from __future__ import annotations

import torch
from torch import Tensor

from invertfill.baselines.network import Judges, Terms
from invertfill.losses.inpainting import PERCEPTUAL_TAPS, perceptual_loss, style_loss, to_unit


def look(judges: Judges, pictures: list[Tensor], real: Tensor, perceptual: float, style: float) -> Terms:
    """The perceptual and the style term of pictures (N, 3, s, s) in [-1, 1], summed over them, with these weights."""
    features = judges.features
    assert features is not None
    with torch.no_grad():
        wanted = features(to_unit(real), PERCEPTUAL_TAPS)
    found = [features(to_unit(picture), PERCEPTUAL_TAPS) for picture in pictures]
    return {
        "perceptual": (perceptual, torch.stack([perceptual_loss(one, wanted) for one in found]).sum()),
        "style": (style, torch.stack([style_loss(one, wanted) for one in found]).sum()),
    }
