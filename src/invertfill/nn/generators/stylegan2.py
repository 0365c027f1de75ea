"""StyleGAN2 in plain PyTorch: the pre-trained generator of the paper's Sec. 3, and its discriminator.

From the text of Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (sections and appendix B),
with the paper's one addition: features added to the activations (F&W+, Eq. 3). No CUDA extension: scaling activations
in place of weights lets one dense convolution serve the whole batch.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invertfill.nn.config import Count, Section
from invertfill.nn.generators.base import Generator, GeneratorConfig, Noise
from invertfill.nn.layers import COARSE, FINE, MIDDLE, Blur, EqualConv, EqualLinear, leaky, resolutions, upsample


class StyleGAN2Config(GeneratorConfig):
    """Shape of StyleGAN2's generator.

    Attributes:
        channel_base: channels times resolution: resolution r has min(channel_base / r, channel_max) channels.
        channel_max: see ``channel_base``.
    """

    kind: Literal["stylegan2"] = "stylegan2"
    channel_base: Count = 16384
    channel_max: Count = 512

    def build(self) -> StyleGAN2Generator:
        return StyleGAN2Generator(self)


class DiscriminatorConfig(Section):
    """Shape of StyleGAN2's discriminator.

    Attributes:
        channel_base: as in the generator.
        channel_max: as in the generator.
        mbstd_group: images that share one minibatch standard deviation, at most.
    """

    channel_base: Count = 16384
    channel_max: Count = 512
    mbstd_group: Count = 8


class StyleGAN2Generator(Generator):
    """Mapping and synthesis network with skip connections to RGB.

    Attributes:
        num_layers: L = 2 log2(s) - 2, the style vectors in w_plus: 14 at 256, 18 at 1024.
        levels: coarse are layers 0-2, middle 3-6, fine 7 and up.
    """

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.size = config.size
        self.latent_dim = self.z_dim = latent_dim = config.latent_dim
        self.feature_channels = {r: min(config.channel_base // r, config.channel_max) for r in resolutions(self.size)}
        self.num_layers = 2 * len(self.feature_channels)
        self.levels = tuple(COARSE if i < 3 else MIDDLE if i < 7 else FINE for i in range(self.num_layers))

        self.mapping = MappingNetwork(latent_dim, config.mapping_layers)
        self.const = nn.Parameter(torch.randn(1, self.feature_channels[4], 4, 4))
        self.blocks = nn.ModuleList()
        channels = self.feature_channels[4]
        for r, width in self.feature_channels.items():
            self.blocks.append(SynthesisBlock(channels, width, r, latent_dim))
            channels = width

    def forward(self, z: Tensor, noise: Noise = "random") -> Tensor:
        """z (N, latent_dim), standard normal -> image (N, 3, size, size), about [-1, 1], unclipped."""
        w = self.mapping(z)
        return self.synthesis(w.unsqueeze(1).expand(-1, self.num_layers, -1), noise=noise)

    def synthesis(self, w_plus: Tensor, features: dict[int, Tensor] | None = None, noise: Noise = "const") -> Tensor:
        _, rgb = self._blocks(None, None, w_plus, 0, self.size, features or {}, noise)
        return rgb

    def head(self, w_plus: Tensor, resolution: int, features: dict[int, Tensor] | None = None) -> Tensor:
        """Activations and RGB so far, (N, C + 3, r, r); see `Generator.head`."""
        return torch.cat(self._blocks(None, None, w_plus, 0, resolution, features or {}, "const"), 1)

    def tail(self, x: Tensor, w_plus: Tensor, resolution: int, features: dict[int, Tensor] | None = None) -> Tensor:
        _, rgb = self._blocks(x[:, :-3], x[:, -3:], w_plus, resolution, self.size, features or {}, "const")
        return rgb

    def _blocks(
        self,
        x: Tensor | None,
        rgb: Tensor | None,
        w_plus: Tensor,
        after: int,
        to: int,
        features: dict[int, Tensor],
        noise: Noise,
    ) -> tuple[Tensor, Tensor]:
        """Those of the resolutions above ``after``, up to ``to``."""
        if x is None:
            x = self.const.expand(w_plus.shape[0], -1, -1, -1)  # (N, C, 4, 4)
        layer = 0
        for r, block in zip(self.feature_channels, self.blocks, strict=True):
            if after < r <= to:
                # A block's toRGB takes the w of the next block's first convolution; so L = 1 + 2 * (blocks - 1) + 1.
                x, rgb = block(x, rgb, w_plus[:, layer:], features.get(r), noise)
            layer += 1 if r == 4 else 2
        assert x is not None and rgb is not None
        return x, rgb


class MappingNetwork(nn.Module):
    """z -> w: PixelNorm, then equalised linear layers that learn at a hundredth of the rate."""

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[EqualLinear(dim, dim, lr_mul=0.01, activate=True) for _ in range(layers)])

    def forward(self, z: Tensor) -> Tensor:
        """(N, dim) -> (N, dim)."""
        w: Tensor = self.layers(z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8))
        return w


class SynthesisBlock(nn.Module):
    """One resolution: an up-sampling convolution (but at 4x4), a convolution, and the skip to RGB."""

    def __init__(self, in_channels: int, channels: int, resolution: int, latent_dim: int) -> None:
        super().__init__()
        first = resolution == 4
        self.num_convs = 1 if first else 2
        self.convs = nn.ModuleList([StyledConv(in_channels, channels, resolution, latent_dim, up=not first)])
        if not first:
            self.convs.append(StyledConv(channels, channels, resolution, latent_dim))
        self.to_rgb = ToRGB(channels, latent_dim)

    def forward(
        self, x: Tensor, rgb: Tensor | None, w: Tensor, features: Tensor | None, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """x (N, C, r/2, r/2), rgb (N, 3, r/2, r/2) -> both at r. w (N, num_convs + 1 or more, latent_dim)."""
        for index, conv in enumerate(self.convs):
            x = conv(x, w[:, index], noise)
            if index == 0 and features is not None:
                x = x + features
        new = self.to_rgb(x, w[:, self.num_convs])
        return x, new if rgb is None else upsample(rgb) + new


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, then noise, bias and LeakyReLU(0.2) * sqrt(2)."""

    noise: Tensor

    def __init__(self, in_channels: int, channels: int, resolution: int, latent_dim: int, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_channels, channels, 3, latent_dim, up=up)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(1, 1, resolution, resolution))

    def forward(self, x: Tensor, w: Tensor, noise: Noise) -> Tensor:
        """x (N, C, h, h), w (N, latent_dim) -> (N, channels, resolution, resolution)."""
        x = self.conv(x, w)
        pixels = self.noise if noise == "const" else torch.randn_like(x[:, :1])
        return leaky(x + (self.noise_strength * pixels + self.bias.view(1, -1, 1, 1)).to(x.dtype))


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB, without demodulation."""

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(channels, 3, 1, latent_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (N, C, r, r), w (N, latent_dim) -> (N, 3, r, r), float32."""
        rgb: Tensor = self.conv(x, w).float() + self.bias.view(1, 3, 1, 1)
        return rgb


class ModulatedConv(nn.Module):
    """Convolution whose weights each image's w scales by input channel, with unit output deviation.

    Equal to w''_oik = s_i w_oik / sqrt(sum_ik (s_i w_oik)^2 + 1e-8), but with s applied to the input and the root to
    the output, so that all images share one dense convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        latent_dim: int,
        demodulate: bool = True,
        up: bool = False,
    ) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.blur = Blur(out_channels, padding=1, gain=4) if up else None  # 4: three of four pixels were zeros
        self.padding = kernel // 2
        self.gain = 1 / math.sqrt(in_channels * kernel**2)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.affine = EqualLinear(latent_dim, in_channels, bias=1.0)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (N, C, h, h), w (N, latent_dim) -> (N, out_channels, h, h), or twice the side with ``up``."""
        style = self.affine(w)  # (N, C)
        weight = self.weight * self.gain
        x = x * style[:, :, None, None].to(x.dtype)
        if self.blur is not None:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # (N, out, 2h + 1, 2h + 1)
            x = self.blur(x)
        else:
            x = F.conv2d(x, weight, padding=self.padding)
        if self.demodulate:
            with torch.autocast(x.device.type, enabled=False):  # a sum of thousands of squares
                power = weight.float().square().sum(dim=(2, 3))  # (out, C)
                scale = torch.rsqrt(style.float().square() @ power.t() + 1e-8)  # (N, out)
            x = x * scale[:, :, None, None].to(x.dtype)
        return x


class StyleGAN2Discriminator(nn.Module):
    """Residual discriminator with minibatch standard deviation, of images of ``size`` px."""

    def __init__(self, config: DiscriminatorConfig, size: int) -> None:
        super().__init__()
        widths = [min(config.channel_base // r, config.channel_max) for r in reversed(resolutions(size))]
        self.mbstd_group = config.mbstd_group
        self.from_rgb = EqualConv(3, widths[0], 1)
        self.blocks = nn.Sequential(*[ResidualDown(a, b) for a, b in pairwise(widths)])
        last = widths[-1]
        self.conv = EqualConv(last + 1, last, 3)
        self.hidden = EqualLinear(last * 4 * 4, last, activate=True)
        self.out = EqualLinear(last, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, size, size) in [-1, 1] -> (N,) logits, high = real."""
        x = self.blocks(self.from_rgb(image))  # (N, C, 4, 4)
        x = self.conv(minibatch_stddev(x, self.mbstd_group))
        logits: Tensor = self.out(self.hidden(x.flatten(1))).float().squeeze(1)
        return logits


class ResidualDown(nn.Module):
    """Two 3x3 convolutions and a 1x1 skip, both down-sampled by 2 after the [1, 3, 3, 1] filter."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = EqualConv(in_channels, in_channels, 3)
        self.conv2 = EqualConv(in_channels, out_channels, 3, down=True)
        self.skip = EqualConv(in_channels, out_channels, 1, down=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, h) -> (N, out_channels, h/2, h/2)."""
        sum_: Tensor = self.conv2(self.conv1(x)) + self.skip(x)
        return sum_ * math.sqrt(0.5)


def minibatch_stddev(x: Tensor, group: int) -> Tensor:
    """Append a channel: the mean over entries of the deviation over ``group`` images. (N, C, h, h) -> (N, C + 1, h, h).

    Where ``group`` doesn't divide N, their greatest common divisor is taken.
    """
    count, _, height, width = x.shape
    group = math.gcd(count, group)
    groups = x.float().reshape(group, count // group, -1)  # image i belongs to group i mod (N / group)
    deviation = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=1)  # (N / group,)
    channel = deviation.repeat(group).view(count, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, channel.to(x.dtype)], dim=1)
