"""Encoder E of InvertFill (Sec. 3.1, Fig. 2a): feature pyramid, three RGB heads, map2style and map2structure.

The masked picture and its mask go in; out come, for the coarse (size/16), middle (size/8) and fine (size/4) scale, a
small reconstruction O_E, an intermediate code w' and a structure vector S.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, Self, cast

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from invertfill.nn.config import Count, Section, Times
from invertfill.nn.layers import EqualLinear


class EncoderConfig(Section):
    """Shape of the encoder.

    Attributes:
        trunk: "compact" (patches of 4x4 pixels, then residual blocks at size/4, size/8 and size/16) or "ir_se" (IR-SE50
            with channels (64, 128, 256, 512) and blocks (3, 4, 14, 3): pSp's trunk, the paper's).
        channels: the trunk's channels per stage.
        blocks: its blocks per stage.
        pyramid_channels: channels of the feature pyramid and of map2style; the paper's 512.
        structure_channels: channels of map2structure.
        norm: batch normalisation in the compact trunk and behind the lateral convolutions. It helps where batches are
            large (regressing style codes); stage 2's are small, so it starts from the folded weights (`fold_norm`).
        size: side of what it sees, to which pictures and masks are averaged down; 0: the generator's.
        z_dim: entries of the z that it says a picture may have, as a Gaussian (`Encoder.gaussian`); 0: says nothing.
    """

    trunk: Literal["compact", "ir_se"] = "compact"
    channels: tuple[Count, ...] = (48, 128, 256)
    blocks: tuple[Count, ...] = (1, 2, 3)
    pyramid_channels: Count = 96
    structure_channels: Count = 48
    norm: bool = False
    size: Times = 0
    z_dim: Times = 0

    @model_validator(mode="after")
    def _stages(self) -> Self:
        if len(self.channels) != len(self.blocks) or len(self.channels) < 3:
            raise ValueError("channels and blocks are one for each stage, three stages or more")
        return self


LOG_VARIANCE = (-4.0, 0.5)  # bounds of `Encoder.gaussian`'s


class Gaussian(NamedTuple):
    """Independent normal distributions: mean and logarithm of the variance, (N, D) each."""

    mean: Tensor
    log_variance: Tensor

    def at(self, deviation: Tensor) -> Tensor:
        """The value that many standard deviations from the mean, (N, D)."""
        return self.mean + (self.log_variance / 2).exp() * deviation

    @property
    def detached(self) -> Gaussian:
        """The same, without its gradient."""
        return Gaussian(self.mean.detach(), self.log_variance.detach())

    def divergence(self, other: Gaussian) -> Tensor:
        """Kullback-Leibler divergence KL(self || other) in nats, (N,)."""
        ratio = self.log_variance - other.log_variance
        square = (self.mean - other.mean).square() / other.log_variance.exp()
        return 0.5 * (ratio.exp() + square - 1 - ratio).sum(1)


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.down = nn.Conv2d(channels, hidden, 1)
        self.up = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        return x * torch.sigmoid(self.up(F.relu(self.down(scale))))


class IRSEBlock(nn.Module):
    """Improved-residual bottleneck with squeeze-and-excitation (ArcFace's unit, as in pSp's encoder)."""

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.shortcut: nn.Module
        if in_channels == channels:
            self.shortcut = nn.MaxPool2d(1, stride)
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.residual = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            SqueezeExcite(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.residual(x)


def _conv(
    norm: bool, in_channels: int, channels: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> nn.Module:
    conv = nn.Conv2d(in_channels, channels, kernel, stride, padding, dilation)
    # A long memory: with batches of 16, what inference uses shouldn't hang on the last few.
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels, momentum=0.02)) if norm else conv


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a small learned gain, which lets the block do without normalisation."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1, dilation: int = 1, norm: bool = False):
        super().__init__()
        self.shortcut = nn.Conv2d(in_channels, channels, 1) if in_channels != channels else nn.Identity()
        self.conv1 = _conv(norm, in_channels, channels, 3, stride, dilation, dilation)
        self.conv2 = _conv(norm, channels, channels, 3, 1, 1)
        self.gain = nn.Parameter(torch.full((1,), 0.1))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, 0.2)), 0.2))
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride)
        return self.shortcut(x) + self.gain * residual


class Trunk(nn.Module):
    """(N, 4, s, s) -> feature maps at s/4, s/8 and s/16."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        channels, blocks = config.channels, config.blocks
        self.stages = nn.ModuleList()
        self.stem: nn.Module
        if config.trunk == "ir_se":  # four stages of stride 2; the last three are tapped
            self.stem = nn.Sequential(
                nn.Conv2d(4, channels[0], 3, 1, 1, bias=False), nn.BatchNorm2d(channels[0]), nn.PReLU(channels[0])
            )
            widths = (channels[0], *channels)
            for c_in, c, count in zip(widths[:-1], channels, blocks, strict=True):
                self.stages.append(
                    nn.Sequential(*(IRSEBlock(c_in if i == 0 else c, c, 2 if i == 0 else 1) for i in range(count)))
                )
        else:
            self.stem = nn.Conv2d(4, channels[0], 4, 4)  # patches of 4x4 pixels
            widths = (channels[0], *channels)
            for k, (c_in, c, count) in enumerate(zip(widths[:-1], channels, blocks, strict=True)):
                stride = 1 if k == 0 else 2
                self.stages.append(
                    nn.Sequential(
                        *(
                            ResidualBlock(c_in if i == 0 else c, c, stride if i == 0 else 1, norm=config.norm)
                            for i in range(count)
                        )
                    )
                )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        taps = []
        for stage in self.stages:
            x = stage(x)
            taps.append(x)
        return taps[-3:]


class Map2Vector(nn.Sequential):
    """map2style and map2structure: strided 3x3 convolutions with LeakyReLU down to 1x1, then an equalised linear layer.

    (N, C, s, s) -> (N, latent_dim), s a power of two.
    """

    def __init__(self, in_channels: int, channels: int, size: int, latent_dim: int):
        layers: list[nn.Module] = []
        for i in range(int(math.log2(size))):
            layers += [nn.Conv2d(in_channels if i == 0 else channels, channels, 3, 2, 1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Flatten(), EqualLinear(channels, latent_dim))


class Encoder(nn.Module):
    """Feature pyramid encoder.

    Args:
        size: the generator's.
        latent_dim: entries of w' and S.

    Attributes:
        size: side s of what it sees.
    """

    def __init__(self, config: EncoderConfig, size: int, latent_dim: int):
        super().__init__()
        self.size = size = config.size or size
        p, taps = config.pyramid_channels, config.channels[-3:]
        self.trunk = Trunk(config)
        self.lateral = nn.ModuleList(_conv(config.norm, c, p, 1) for c in taps)  # fine, middle, coarse
        scales = (size // 16, size // 8, size // 4)  # coarse to fine
        self.rgb_heads = nn.ModuleList(nn.Conv2d(p, 3, 3, 1, 1) for _ in scales)
        self.map2style = nn.ModuleList(Map2Vector(p, p, s, latent_dim) for s in scales)
        self.map2structure = nn.ModuleList(Map2Vector(3, config.structure_channels, s, latent_dim) for s in scales)
        self.map2gaussian = Map2Vector(p, p, scales[0], 2 * config.z_dim) if config.z_dim else None
        for layer in self.modules() if config.z_dim else ():
            # torch's own weights shrink what they pass on: all pictures would begin with one z, mere noise, and the
            # generator would learn to leave it aside. With these, z varies by about 1.
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.2)
                nn.init.zeros_(cast(nn.Parameter, layer.bias))

    def pyramid(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        """What all heads read, (N, P, s/16, s/16), (N, P, s/8, s/8) and (N, P, s/4, s/4); arguments as of `forward`."""
        if (times := image.shape[-1] // self.size) > 1:
            image, mask = F.avg_pool2d(image, times), F.avg_pool2d(mask, times)
        fine, middle, coarse = self.trunk(torch.cat([image, mask], 1))
        pyramid = [self.lateral[2](coarse)]
        for lateral, tap in ((self.lateral[1], middle), (self.lateral[0], fine)):
            pyramid.append(lateral(tap) + F.interpolate(pyramid[-1], scale_factor=2.0, mode="nearest"))
        return pyramid

    def gaussian(self, pyramid: list[Tensor]) -> Gaussian:
        """What z may be, of the coarse level: q(z|I) of a whole picture, p(z|I_m) of a masked one; (N, z_dim) each."""
        assert self.map2gaussian is not None
        mean, spread = self.map2gaussian(pyramid[0]).float().chunk(2, 1)
        low, high = LOG_VARIANCE
        return Gaussian(mean, low + (high - low) * torch.sigmoid(spread - 0.7))  # begins at about -2.5

    def forward(self, image: Tensor, mask: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Encode a masked picture.

        Args:
            image: I_m (N, 3, s, s) in [-1, 1], zero in the hole; of a larger size, averaged down.
            mask: M (N, 1, s, s), 1 = hole.

        Returns:
            O_E: three pictures (N, 3, s/16, s/16), (N, 3, s/8, s/8), (N, 3, s/4, s/4);
            w': (N, 3, latent_dim), coarse to fine; S: (N, 3, latent_dim).
        """
        return self.heads(self.pyramid(image, mask))

    def heads(self, pyramid: list[Tensor]) -> tuple[list[Tensor], Tensor, Tensor]:
        """The rest of `forward`, of `pyramid`."""
        rgb = [head(F.leaky_relu(level, 0.2)) for head, level in zip(self.rgb_heads, pyramid, strict=True)]
        codes = torch.stack([to(level) for to, level in zip(self.map2style, pyramid, strict=True)], 1)
        structure = torch.stack([to(o) for to, o in zip(self.map2structure, rgb, strict=True)], 1)
        return rgb, codes, structure


def fold_norm(encoder: Encoder) -> None:
    """Turn `EncoderConfig.norm` off in place: each normalisation goes, as inference has it, into its convolution."""

    def folded(pair: nn.Module) -> nn.Module:
        conv, norm = pair.eval().children()
        return fuse_conv_bn_eval(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm))

    for block in encoder.trunk.modules():
        if isinstance(block, ResidualBlock):
            block.conv1, block.conv2 = folded(block.conv1), folded(block.conv2)
    encoder.lateral = nn.ModuleList(folded(pair) for pair in encoder.lateral)
