"""`invertfill.pipeline.blending` in torch, so that a loss can see the composite as it leaves the inpainter."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def match_border(output: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """The output, shifted so that it meets the known pixels: (N, 3, s, s), mask (N, 1, s, s), 1 = hole."""
    known = 1 - mask
    return output + spread((image - output) * known, known)


def spread(values: Tensor, weight: Tensor) -> Tensor:
    """Fill the gaps of (N, C, s, s) `values` smoothly; `weight` (N, 1, s, s) in [0, 1] says how well each is known."""
    if values.shape[-1] == 1:
        return values
    total = 4 * F.avg_pool2d(weight, 2)
    coarse = spread(4 * F.avg_pool2d(values * weight, 2) / total.clamp(min=1e-6), total.clamp(max=1))
    filled = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    return values * weight + (1 - weight) * filled
