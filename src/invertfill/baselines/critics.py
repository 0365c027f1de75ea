"""Discriminators that judge patches, and the hinge loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchCritic(nn.Module):
    """A logit for each of many overlapping patches: convolutions of stride 2, spectrally normalised.

    Args:
        channels: of the input: pictures, mostly with their mask.
        widths: channels of each layer; the last one's are the logits.
        kernel: of each layer.
        flat: how many of the last layers have stride 1.
    """

    def __init__(self, channels: int, widths: Sequence[int], kernel: int = 5, flat: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            stride = 2 if i < len(widths) - flat else 1
            layers += [
                spectral_norm(nn.Conv2d(channels, width, kernel, stride, kernel // 2)),
                nn.LeakyReLU(0.2),
            ]
            channels = width
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, *parts: Tensor) -> Tensor:
        """Pictures and what goes with them, (N, C, s, s) each -> logits (N, K, h, w), high for real."""
        logits: Tensor = self.layers(torch.cat(parts, 1))
        return logits


def hinge_critic(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """Hinge loss of a critic, from logits of any shape."""
    return F.relu(1 - on_real).mean() + F.relu(1 + on_fake).mean()


def hinge_generator(on_fake: Tensor) -> Tensor:
    """What the generator gets from it."""
    return -on_fake.mean()
