"""White noise in the hole: what differs from pixel to pixel where nothing else does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRENGTH = 0.3  # it hardly moves, and the layers behind it learn what to make of it


class NoiseInjection(nn.Module):
    """Noise in the hole at several resolutions, by a learned strength for each channel.

    For a generator that has next to none of its own: texture that is drawn of nothing repeats itself. The noise is new
    in each training step; afterwards it is always the same, unless the caller brings another.

    Args:
        size: picture size s.
        channels: of the activations at s, s/2, s/4, ...
        strength: what it starts with.
    """

    pixels: Tensor

    def __init__(self, size: int, channels: Sequence[int], strength: float = STRENGTH) -> None:
        super().__init__()
        self.strengths = nn.ParameterList(nn.Parameter(torch.full((c, 1, 1), strength)) for c in channels)
        fixed = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
        self.register_buffer("pixels", fixed)

    def forward(self, activations: Sequence[Tensor], mask: Tensor, noise: Tensor | None = None) -> list[Tensor]:
        """Add noise.

        Args:
            activations: (N, channels[i], s/2^i, s/2^i) each.
            mask: (N, 1, s, s), 1 = hole.
            noise: (N, 1, s, s), standard normal; left out, new in training and the stored one afterwards.

        Returns:
            Activations of the same shapes.
        """
        if noise is None:
            noise = torch.randn_like(mask) if self.training else self.pixels
        noise = noise * mask
        if torch.onnx.is_in_onnx_export():  # ONNX Runtime adds onto x what a convolution gives, in the same pass
            return [
                x + F.conv2d(noise[..., :: 2**i, :: 2**i], strength[:, None])
                for i, (x, strength) in enumerate(zip(activations, self.strengths, strict=True))
            ]
        return [
            # White again at every resolution. In the activations' precision and layout: three passes over memory less.
            torch.addcmul(x, noise[..., :: 2**i, :: 2**i].to(x.dtype), strength.to(x.dtype))
            for i, (x, strength) in enumerate(zip(activations, self.strengths, strict=True))
        ]
