"""What the other half of a face shows: the mirrored picture, where it is known, as a hint for the hole."""

from __future__ import annotations

import torch
from torch import Tensor, nn

GAIN = 24  # it begins at nothing, in front of layers that are trained already: so it learns as many times as fast


class Mirror(nn.Module):
    """Features of the hole's mirrored pixels, to be added behind a branch's first convolution; they start at zero.

    Aligned portraits are nearly the same left and right. An eye's colour, glasses or an ear that one half shows would
    otherwise have to pass through the coarsest activations to reach the other, and arrive as a rough idea.

    Args:
        channels: of the branch's first convolution.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.conv.weight)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """image (N, 3, s, s), zero in the hole, mask (N, 1, s, s), 1 = hole -> (N, channels, s, s)."""
        other = torch.cat([image, 1 - mask], 1).flip(3)
        features: Tensor = self.conv(GAIN * mask * other)
        return features
