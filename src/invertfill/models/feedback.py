"""Corrections of w* by what it draws: the encoder can't see whether its code is right, this can.

Source: iterative inversion, Alaluf et al. 2021, "ReStyle: A Residual-Based StyleGAN Encoder via Iterative Refinement"
(ICCV 2021), where the encoder itself looks again at the picture beside what its code draws. Here a small network of its
own looks, at the few pixels of the generator's sketch: they say most of what w* decides, and cost next to nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invertfill.models.premodulation import ChannelStyle


@dataclass(frozen=True)
class FeedbackConfig:
    """Shape of the corrections.

    Args:
        steps: how often w* is corrected; 0 leaves the network out.
        channels: of its convolutions; all but the first halve the side, the last comes to one pixel.
    """

    steps: int = 0
    channels: tuple[int, ...] = (32, 48, 64, 96, 112, 112)


class Feedback(nn.Module):
    """A sketch beside the known pixels -> a correction of w; it starts at none.

    Args:
        config: its ``channels`` set the side that is looked at, 2 ** (len(channels) - 1) pixels.
        latent_dim: entries of w.
    """

    def __init__(self, config: FeedbackConfig, latent_dim: int) -> None:
        super().__init__()
        first, *_, last = config.channels
        self.size = 2 ** (len(config.channels) - 1)
        self.look = nn.Conv2d(7, first, 3, padding=1)
        # What a difference means depends on where w is.
        self.style = ChannelStyle(latent_dim, first, first)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(config.channels))
        self.correct = nn.Linear(last, latent_dim)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def forward(self, sketch: Tensor, image: Tensor, mask: Tensor, w: Tensor) -> Tensor:
        """One correction.

        Args:
            sketch: (N, 3, r, r), what w draws; r at least the side that is looked at.
            image: (N, 3, s, s) in [-1, 1]; what it holds inside the hole is not looked at.
            mask: (N, 1, s, s), 1 = hole.
            w: (N, latent_dim).

        Returns:
            (N, latent_dim), to be added to w.
        """
        sketch, known, share = (self._small(x) for x in (sketch, image * (1 - mask), 1 - mask))
        x = self.look(torch.cat([sketch, known - sketch * share, share], 1))
        x = F.leaky_relu(self.style(x, w), 0.2)
        for down in self.down:
            x = F.leaky_relu(down(x), 0.2) * math.sqrt(2)  # as deep as wide: without the gain it would fade
        correction: Tensor = self.correct(x.flatten(1))
        return correction

    def _small(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, x.shape[-1] // self.size)
