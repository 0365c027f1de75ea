"""An adversarial loss on a frozen feature network (after Sauer et al. 2021, "Projected GANs Converge Faster").

Beyond the paper. A discriminator over pixels needs many thousand pictures before it is of use; small heads over
ImageNet features, which LPIPS computes anyway, judge texture after a few hundred. Each head gives a map of logits, and
only positions in the hole count, for real pictures as for filled ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class FeatureDiscriminator(nn.Module):
    """One head for each feature map, which sees the map and the mask.

    A texture that repeats itself looks right in every place alone, so each head looks at a neighbourhood, and those of
    the first maps, which are large, at every second place of it.

    Args:
        widths: channels of the feature maps.
        hidden: channels inside a head.
        strided: how many heads, from the first, halve the resolution.
    """

    def __init__(self, widths: Sequence[int], hidden: int = 64, strided: int = 3):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(width + 1, hidden, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(hidden, hidden, 3, 2 if i < strided else 1, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(hidden, hidden, 3, 1, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(hidden, 1, 1)),
            )
            for i, width in enumerate(widths)
        )

    def forward(self, stages: Sequence[Tensor], mask: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Judge pictures by their features.

        Args:
            stages: feature maps (N, C, h, w) with vectors of length 1 (`LPIPS.stages`), the first to the last.
            mask: (N, 1, s, s), 1 = hole.

        Returns:
            For each head logits (N, 1, h', w'), high for real, and the share of hole at each position, alike.
        """
        judged = []
        for module, features in zip(self.heads, stages, strict=True):
            head = cast(nn.Sequential, module)
            first = cast(nn.Conv2d, head[0])
            share = F.interpolate(mask, size=features.shape[-2:], mode="area")
            weight = first.weight  # once: spectral_norm estimates anew at each access
            # Times the root of C, for a mean square of 1: heads at all depths see one scale. Map and mask by a
            # convolution each, since one for both would have to copy the map.
            x = F.conv2d(features, weight[:, :-1] * features.shape[1] ** 0.5, first.bias)
            logits = head[1:](x + F.conv2d(share, weight[:, -1:]))
            judged.append((logits, F.interpolate(mask, size=logits.shape[-2:], mode="area")))
        return judged


def discriminator_loss(on_real: list[tuple[Tensor, Tensor]], on_fake: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Hinge loss, mean over the hole, summed over heads."""
    losses = [
        _mean(F.relu(1 - real) + F.relu(1 + fake), share)
        for (real, share), (fake, _) in zip(on_real, on_fake, strict=True)
    ]
    return torch.stack(losses).sum()


def generator_loss(on_fake: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The negative logit, mean over the hole, summed over heads, each with half of the weight of the one before.

    What comes back through the feature network grows with its depth (VGG16, norm at the pixels: 0.05, 0.35, 1.1, 1.6,
    2.5). Summed alike, the last maps, a value for 8 or 16 pixels each, outvote those that see texture.
    """
    return torch.stack([-_mean(fake, share) * 0.5**i for i, (fake, share) in enumerate(on_fake)]).sum()


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)
