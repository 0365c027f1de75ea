"""What the generator sees of the picture beside its code (Fig. 2b, F&W+): features at its resolutions."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invertfill.nn.config import Count, NonNegative, Section, Times
from invertfill.nn.encoder import ResidualBlock
from invertfill.nn.generators.migan import Pointwise, SeparableConv
from invertfill.nn.noise_injection import STRENGTH, NoiseInjection

NOISY = 32  # px: below, noise would move things about, not draw texture


class RGBBranchConfig(Section):
    """Shape of the RGB branch.

    Attributes:
        kind: "unet", this project's, or "migan", MI-GAN's encoder, as wide as a generator of that kind: channels and
            bottleneck don't apply.
        channels: channels at size, size/2, size/4, ... down to the coarsest resolution that is connected; () leaves the
            branch out (the W+ ablation).
        bottleneck: residual blocks at the coarsest resolution, dilated 1, 2, 4, 1, ... to see across a large hole.
        noise: white noise in the hole (nn/noise_injection.py).
        noise_strength: of the "migan" kind's at first. MI-GAN's own features vary by 0.02 (512 px) to 0.3 (32 px) in a
            hole.
        stem: of the "migan" kind, channels of its first convolution, 3x3, which a separable one follows; 0: one 1x1
            convolution is all, as in MI-GAN itself.
    """

    kind: Literal["unet", "migan"] = "unet"
    channels: tuple[Count, ...] = (16, 32, 64, 96, 128)
    bottleneck: Times = 3
    noise: bool = False
    noise_strength: NonNegative = STRENGTH
    stem: Times = 64

    def build(self, size: int, feature_channels: dict[int, int]) -> RGBBranch | MIGANBranch | None:
        """The branch of a generator of ``size`` px with these ``feature_channels``; None: left out.

        Raises:
            ValueError: more channels than the generator has resolutions.
        """
        if self.kind == "migan":
            return MIGANBranch(self, feature_channels)
        if len(self.channels) > len(feature_channels):
            raise ValueError(
                f"rgb_branch.channels: {len(self.channels)}; accepted: up to {len(feature_channels)},"
                f" one for each of the generator's resolutions from {size} px down to {min(feature_channels)}"
            )
        return RGBBranch(self, size, feature_channels) if self.channels else None


class RGBBranch(nn.Module):
    """I_m and M -> features at the generator's resolutions, to be added to its activations (Fig. 2b).

    A small U-shaped network; its 1x1 outputs start at zero, so that training begins from the plain generator.
    """

    def __init__(self, config: RGBBranchConfig, size: int, feature_channels: dict[int, int]):
        super().__init__()
        channels = config.channels
        self.sizes = [size // 2**i for i in range(len(channels))]
        self.stem = nn.Conv2d(4, channels[0], 3, 1, 1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(channels))
        self.bottleneck = nn.Sequential(
            *(ResidualBlock(channels[-1], channels[-1], dilation=2 ** (i % 3)) for i in range(config.bottleneck))
        )
        self.lateral = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(channels))
        self.refine = nn.ModuleList(nn.Conv2d(c, c, 3, 1, 1) for c in channels[:-1])
        self.outputs = nn.ModuleList(
            nn.Conv2d(c, feature_channels[s], 1) for c, s in zip(channels, self.sizes, strict=True)
        )
        for parameter in self.outputs.parameters():
            nn.init.zeros_(parameter)
        self.noise = NoiseInjection(size, channels) if config.noise else None

    def forward(self, image: Tensor, mask: Tensor, noise: Tensor | None = None) -> dict[int, Tensor]:
        """image (N, 3, s, s), zero in the hole, mask (N, 1, s, s) -> {r: (N, feature_channels[r], r, r)}.

        noise is `NoiseInjection`'s.
        """
        x = F.leaky_relu(self.stem(torch.cat([image, mask], 1)), 0.2)
        skips = [x]
        for down in self.down:
            x = F.leaky_relu(down(x), 0.2)
            skips.append(x)
        if self.noise is not None:
            skips = self.noise(skips, mask, noise)
        x = self.bottleneck(skips[-1])
        features = {self.sizes[-1]: self.outputs[-1](x)}
        for i in reversed(range(len(self.sizes) - 1)):
            x = F.interpolate(self.lateral[i](x), scale_factor=2.0, mode="nearest") + skips[i]
            x = F.leaky_relu(self.refine[i](x), 0.2)
            features[self.sizes[i]] = self.outputs[i](x)
        return features


class MIGANBranch(nn.Module):
    """MI-GAN's encoder: I_m and M -> features at the generator's resolutions, to be added to its activations.

    Args:
        config: noise is in the features at `NOISY` px and above.
        feature_channels: the generator's: resolution -> channels, coarse to fine.
    """

    def __init__(self, config: RGBBranchConfig, feature_channels: dict[int, int]) -> None:
        super().__init__()
        self.sizes, channels = list(feature_channels)[::-1], list(feature_channels.values())[::-1]
        stem = config.stem
        self.from_rgb = nn.Conv2d(4, stem, 3, padding=1) if stem else Pointwise(4, channels[0], bias=True)
        self.stem = SeparableConv(stem, channels[0]) if stem else nn.Identity()
        self.first = nn.ModuleList(SeparableConv(c, c) for c in channels)
        self.down = nn.ModuleList(SeparableConv(a, b, "down") for a, b in pairwise(channels))
        self.bottom = nn.Sequential(*(SeparableConv(channels[-1], channels[-1]) for _ in range(2)))
        self.noisy = [size for size in self.sizes if size >= NOISY]
        self.noise: NoiseInjection | None = None
        if config.noise:
            self.noise = NoiseInjection(self.sizes[0], channels[: len(self.noisy)], config.noise_strength)

    def forward(self, image: Tensor, mask: Tensor, noise: Tensor | None = None) -> dict[int, Tensor]:
        """image (N, 3, s, s), zero in the hole, mask (N, 1, s, s) -> {r: (N, feature_channels[r], r, r)}.

        noise is `NoiseInjection`'s.
        """
        features = self.pyramid(self.stem(F.leaky_relu(self.from_rgb(torch.cat([image, mask], 1)), 0.2)))
        if self.noise is not None:
            noisy = self.noise([features[size] for size in self.noisy], mask, noise)
            features |= zip(self.noisy, noisy, strict=True)
        return features

    def pyramid(self, x: Tensor, level: int = 0) -> dict[int, Tensor]:
        """What comes in front of a level, (N, C, s, s) with s = sizes[level] -> the features from s on."""
        features = {}
        for i in range(level, len(self.sizes)):
            x = features[self.sizes[i]] = self.first[i](x)
            if i < len(self.down):
                x = self.down[i](x)
        features[self.sizes[-1]] = x + self.bottom(x)
        return features
