"""MI-GAN's two halves in InvertFill's places: its synthesis network as the generator, its encoder as the RGB branch.

Source: Sargsyan et al., "MI-GAN: A Simple Baseline for Image Inpainting on Mobile Devices" (ICCV 2023), distilled from
Co-Mod-GAN, a StyleGAN2, on Places2. Its convolutions are separable, it has no latent, and its encoder's features are
added behind the first convolution at each resolution: where F&W+ (Eq. 3) adds those of the RGB branch. What is added
here is the style: each convolution of the generator is modulated by w*, by factors that start at 1, so that training
begins from MI-GAN as it is. Its gains of sqrt(2) are folded into the weights.

Its layers know photographs but draw no face. Where a prior is given, a MobileStyleGAN that does, from w* alone up to
32 px, say, its activations join MI-GAN's at those resolutions.

`scenery-256` has this form (convert_migan.py of its recipe), and, with a prior, `faces-256` (join_prior.py of its).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from invertfill.nn.config import Count, Times
from invertfill.nn.generators.base import Generator, GeneratorConfig, Noise
from invertfill.nn.generators.mobilestylegan import MappingNetwork, Trunk, check_widths
from invertfill.nn.layers import COARSE, FINE, MIDDLE, Blur, EqualLinear, resolutions, upsample


class Pointwise(nn.Conv2d):
    """1x1 convolution.

    In training a matrix product in its place: oneDNN's gradient of one that gives fewer channels than it takes needs
    ten times as long in bfloat16 (torch 2.13).
    """

    def __init__(self, in_channels: int, channels: int, bias: bool = False) -> None:
        super().__init__(in_channels, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, channels, h, w)."""
        if not torch.is_grad_enabled():
            return super().forward(x)
        return F.linear(x.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)


class SeparableConv(nn.Module):
    """Depthwise 3x3 and pointwise convolution, LeakyReLU behind each.

    Args:
        resample: "up" doubles the side behind the pointwise convolution, "down" halves it before it, both by the
            [1, 3, 3, 1] filter.
        noise: side of the fixed noise that is added before the last LeakyReLU; 0 for none.
        dark: the doubled side, where zeros lie beyond the border when it is doubled (`fade_edge`); 0: the border
            repeats.
    """

    def __init__(self, in_channels: int, channels: int, resample: str = "", noise: int = 0, dark: int = 0) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels)
        self.pointwise = Pointwise(in_channels, channels)
        self.down = Blur(in_channels, padding=1, stride=2) if resample == "down" else None
        self.up, self.dark = resample == "up", dark
        self.noise = nn.Parameter(torch.zeros(1, 1, noise, noise)) if noise else None

    def forward(self, x: Tensor, w: Tensor | None = None) -> Tensor:
        """(N, in_channels, h, h) -> (N, channels, h, h), or twice or half the side; w is `StyledConv`'s."""
        x = F.leaky_relu(self.depthwise(x), 0.2)
        if self.down is not None:
            x = self.down(x)
        x = self.pointwise(x)
        if self.up:
            x = fade_edge(upsample(x), self.dark) if self.dark else upsample(x)
        if self.noise is not None:
            x = x + self.noise.to(x.dtype)
        return F.leaky_relu(x, 0.2)


def fade_edge(x: Tensor, size: int) -> Tensor:
    """(N, C, size, size) doubled with a repeated border -> as if zeros lay beyond it: 0.75 of the outer rows."""
    line = F.pad(x.new_ones(size - 2), (1, 1), value=0.75)
    return x * torch.outer(line, line)


class StyledConv(SeparableConv):
    """A separable convolution whose input w scales by channel."""

    def __init__(
        self, latent_dim: int, in_channels: int, channels: int, resample: str = "", noise: int = 0, dark: int = 0
    ) -> None:
        super().__init__(in_channels, channels, resample, noise, dark)
        self.affine = EqualLinear(latent_dim, in_channels, bias=1.0)
        nn.init.zeros_(self.affine.weight)

    def forward(self, x: Tensor, w: Tensor | None = None) -> Tensor:
        assert w is not None
        return super().forward(x * self.affine(w)[:, :, None, None].to(x.dtype))


class ChannelStyle(nn.Module):
    """Scales and shifts channels of activations (N, C, h, w) by a code (N, D), through a few numbers; starts at none.

    Source: Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer".
    """

    def __init__(self, latent_dim: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(latent_dim, hidden)
        self.affine = nn.Linear(hidden, 2 * channels)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        scale, shift = self.affine(self.hidden(w))[:, :, None, None].chunk(2, 1)
        styled: Tensor = x * (1 + scale) + shift
        return styled


class SketchRGB(nn.Module):
    """A prior's toRGB: (N, in_channels, r, r) and w -> (N, 3, r, r).

    A linear one, by w* or not, isn't enough: the prior settles colours in its layers above r.
    """

    def __init__(self, latent_dim: int, in_channels: int, hidden: int = 64) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, hidden, 1)
        self.style = ChannelStyle(latent_dim, hidden, hidden)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.to_rgb = nn.Conv2d(hidden, 3, 3, padding=1)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = F.leaky_relu(self.style(self.reduce(x), w), 0.2)
        rgb: Tensor = self.to_rgb(F.leaky_relu(self.mix(x), 0.2))
        return rgb


class CodeMapping(nn.Sequential):
    """z (N, z_dim) -> w (N, latent_dim) by fully connected layers with LeakyReLU between them.

    No normalisation of z, unlike StyleGAN2's: a mean of a Gaussian is short where little is known.
    """

    def __init__(self, z_dim: int, latent_dim: int, depth: int) -> None:
        widths = [z_dim, *[latent_dim] * depth]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            layers += [nn.LeakyReLU(0.2)] * (i > 0) + [nn.Linear(a, b)]
        super().__init__(*layers)
        for layer in self:
            if isinstance(layer, nn.Linear):  # variance is kept: w is about as large as z
                nn.init.normal_(layer.weight, std=(1.9 / layer.in_features) ** 0.5)
                nn.init.zeros_(layer.bias)


class MIGANConfig(GeneratorConfig):
    """Shape of MI-GAN's synthesis network.

    Attributes:
        channels: channels at 4, 8, ... ``size`` px; with a prior the first resolutions may be left to it.
        prior: channels at 4, 8, ... px of a MobileStyleGAN whose activations join; () for none.
        prior_rank: its `LowRankInput`'s.
        noise_to: the largest resolution with fixed noise, px; above, MI-GAN's is below 0.0002 (standard deviation)
            and costs a pass over the widest activations.
        z_dim: entries of z, where the encoder says what z may be (`InvertFill`); 0: as many as of w, and z is brought
            to unit length.
        const_rank: what is drawn from at the coarsest resolution depends on w*, linearly and through this many numbers,
            as MobileStyleGAN's does; 0: it is a constant, which w* scales by channel and can't lay out.
        dark_to: up to this resolution, px, zeros lie beyond the border when activations are doubled, as MI-GAN has
            it, to which 8 px are mostly border; above, where it is a pass over memory for one row of pixels, the border
            repeats.
    """

    kind: Literal["migan"] = "migan"
    channels: tuple[Count, ...] = (512, 512, 512, 512, 512, 256, 128)
    prior: tuple[Count, ...] = ()
    prior_rank: Count = 64
    noise_to: Times = 256
    dark_to: Times = 0
    const_rank: Times = 0
    z_dim: Times = 0

    @model_validator(mode="after")
    def _one_width_a_resolution(self) -> Self:
        if not 0 < len(resolutions(self.size)) - len(self.channels) < len(self.prior):
            check_widths(self.channels, self.size)
        return self

    def build(self) -> MIGANGenerator:
        return MIGANGenerator(self)


class MIGANGenerator(Generator):
    """The generator behind the shipped models.

    Attributes:
        num_layers: style vectors in ``w_plus``: one at 4 px, two at each further size; with a prior, the prior's, and
            one, the second convolution's, at each size above it.
        levels: as in StyleGAN2.
    """

    def __init__(self, config: MIGANConfig) -> None:
        super().__init__()
        channels, latent_dim, prior = config.channels, config.latent_dim, config.prior
        self.size, self.latent_dim, self.z_dim = config.size, latent_dim, config.z_dim or latent_dim
        self.dark_to = config.dark_to
        sizes = resolutions(self.size)[-len(channels) :]
        self.feature_channels = dict(zip(sizes, channels, strict=True))
        self.map: nn.Module
        if config.z_dim:
            self.map = CodeMapping(config.z_dim, latent_dim, config.mapping_layers)
        else:
            self.map = MappingNetwork(latent_dim, config.mapping_layers)
        self.const = nn.Parameter(torch.randn(1, channels[0], sizes[0], sizes[0]))
        self.layout: nn.Sequential | None = None  # (N, latent_dim) -> what is added to the constant
        if rank := config.const_rank:
            cells = nn.Linear(rank, channels[0] * sizes[0] ** 2, bias=False)
            nn.init.zeros_(cells.weight)
            self.layout = nn.Sequential(nn.Linear(latent_dim, rank, bias=False), cells)
        ups = list(zip(pairwise(channels), sizes[1:], strict=True))  # the first convolutions, all but the coarsest
        self.prior: Trunk | None = None
        if prior:
            self.prior = Trunk(prior, latent_dim, config.prior_rank)
            last = 2 ** (len(prior) + 1)
            self.joins = nn.ModuleDict(  # above the coarsest, where the constant is
                {
                    f"{r}": nn.Conv2d(self.prior.feature_channels[r], self.feature_channels[r], 1)
                    for r in sizes[1:]
                    if r <= last
                }
            )
            for parameter in self.joins.parameters():
                nn.init.zeros_(parameter)
            self.prior_rgb = SketchRGB(latent_dim, prior[-1])
            self.levels = (*self.prior.levels, *(FINE for r in sizes if r > last))
            self.first = nn.ModuleList(SeparableConv(a, b, "up", noise=r) for (a, b), r in ups)
            self.second = nn.ModuleList(
                StyledConv(latent_dim, c, c) if r > last else SeparableConv(c, c)
                for r, c in self.feature_channels.items()
            )
        else:
            self.levels = tuple(COARSE if i < 3 else MIDDLE if i < 7 else FINE for i in range(2 * len(sizes) - 1))
            self.first = nn.ModuleList(
                StyledConv(latent_dim, a, b, "up", noise=r * (r <= config.noise_to), dark=r * (r <= self.dark_to))
                for (a, b), r in ups
            )
            self.second = nn.ModuleList(StyledConv(latent_dim, c, c) for c in channels)
        self.num_layers = len(self.levels)
        self.to_rgb = nn.ModuleList(Pointwise(c, 3, bias=True) for c in channels)

    def mapping(self, z: Tensor) -> Tensor:
        """z (N, z_dim), standard normal -> w (N, latent_dim)."""
        w: Tensor = self.map(z)
        return w

    def synthesis(self, w_plus: Tensor, features: dict[int, Tensor] | None = None, noise: Noise = "const") -> Tensor:
        """See `Generator.synthesis`; at the coarsest resolution, features are added to the constant.

        noise is "const" only: this generator was distilled with fixed noise.
        """
        if noise != "const":
            raise ValueError(f"noise={noise!r}: MI-GAN has constant noise only ('const')")
        _, rgb = self._blocks(None, None, w_plus, 0, self.size, features or {})
        return rgb

    def sketch(self, w_plus: Tensor) -> Tensor | None:
        """What w* says without features: the prior's picture, (N, 3, r, r) for a prior up to r px; None without one."""
        if self.prior is None:
            return None
        activations = self.prior.head(w_plus, max(self.prior.feature_channels))
        return self.prior_rgb(activations, w_plus[:, len(self.prior.levels) - 1])

    def head(self, w_plus: Tensor, resolution: int, features: dict[int, Tensor] | None = None) -> Tensor:
        """Activations and RGB so far, (N, C + 3, r, r), r one of feature_channels; see `Generator.head`."""
        return torch.cat(self._blocks(None, None, w_plus, 0, resolution, features or {}), 1)

    def tail(self, x: Tensor, w_plus: Tensor, resolution: int, features: dict[int, Tensor] | None = None) -> Tensor:
        _, rgb = self._blocks(x[:, :-3], x[:, -3:], w_plus, resolution, self.size, features or {})
        return rgb

    def _blocks(
        self, x: Tensor | None, rgb: Tensor | None, w_plus: Tensor, after: int, to: int, features: dict[int, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Those of the resolutions above ``after``, up to ``to``."""
        joining = self._joining(w_plus, to)
        for i, size in enumerate(self.feature_channels):
            if not after < size <= to:
                continue
            if self.prior is None:
                w1, w2 = w_plus[:, 2 * i - 1], w_plus[:, 2 * i]
            else:  # those above the prior come last
                w1 = w2 = w_plus[:, i - len(self.feature_channels)]
            if x is None:
                x = self.const.expand(w_plus.shape[0], -1, -1, -1)
                if self.layout is not None:
                    x = x + self.layout(w_plus[:, 0]).view_as(x)
                x = x.contiguous(memory_format=torch.channels_last)
            else:
                x = self.first[i - 1](x, w1)
            for more in (joining, features):
                if size in more:
                    x = x + more[size]
            x = self.second[i](x, w2)
            new = self.to_rgb[i](x).float()
            if rgb is not None:
                new = new + (fade_edge(upsample(rgb), size) if size <= self.dark_to else upsample(rgb))
            rgb = new
        assert x is not None and rgb is not None
        return x, rgb

    def _joining(self, w_plus: Tensor, to: int) -> dict[int, Tensor]:
        """What the prior adds up to a resolution: r -> (N, feature_channels[r], r, r)."""
        joining: dict[int, Tensor] = {}
        if self.prior is not None:
            at, x = 4, self.prior.head(w_plus, 4)
            for size in (int(key) for key in self.joins if int(key) <= to):
                at, x = size, self.prior.between(x, w_plus, at, size, {})
                joining[size] = self.joins[f"{size}"](x)
        return joining
