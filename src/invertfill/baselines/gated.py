"""Gated convolution (Yu et al. 2019, Sec. 3.1) and the stacks of it that several methods have."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURE_GAIN = 2.5  # of new weights


class GatedConv(nn.Module):
    """ELU(features) * sigmoid(gate): which places count is learned, for each channel.

    Both come from one convolution of twice the channels.
    """

    def __init__(
        self, channels: int, width: int, kernel: int = 3, stride: int = 1, dilation: int = 1, norm: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * width, kernel, stride, dilation * (kernel // 2), dilation)
        self.norm = nn.InstanceNorm2d(width, affine=True) if norm else nn.Identity()
        # Features keep their mean square through ELU and a gate of about a half: some twenty layers follow each other.
        features, gate = self.conv.weight.data.chunk(2)
        nn.init.kaiming_normal_(features, nonlinearity="linear").mul_(FEATURE_GAIN)
        nn.init.kaiming_normal_(gate, nonlinearity="linear")

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, width, h', w'), h' = h / stride, rounded up."""
        features, gate = self.conv(x).chunk(2, 1)
        normed: Tensor = self.norm(features)
        return F.elu(normed) * torch.sigmoid(gate)


class GatedUp(nn.Module):
    """Twice the side by nearest neighbours, then a gated convolution."""

    def __init__(self, channels: int, width: int, norm: bool = False) -> None:
        super().__init__()
        self.conv = GatedConv(channels, width, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, width, 2h, 2w)."""
        doubled: Tensor = self.conv(F.interpolate(x, scale_factor=2))
        return doubled


def encoder(channels: int, widths: tuple[int, int, int, int, int]) -> list[nn.Module]:
    """To a quarter of the side, in six layers; the last two have the last width."""
    a, b, c, d, e = widths
    return [
        GatedConv(channels, a, 5),
        GatedConv(a, b, stride=2),
        GatedConv(b, c),
        GatedConv(c, d, stride=2),
        GatedConv(d, e),
        GatedConv(e, e),
    ]


def dilated(width: int, norm: bool = False) -> list[nn.Module]:
    """Four layers of dilation 2 to 16, which see most of the picture."""
    return [GatedConv(width, width, dilation=2**i, norm=norm) for i in (1, 2, 3, 4)]


def decoder(channels: int, width: int) -> list[nn.Module]:
    """From ``channels`` at a quarter of the side to a picture in [-1, 1]."""
    return [
        GatedConv(channels, 4 * width),
        GatedConv(4 * width, 4 * width),
        GatedUp(4 * width, 2 * width),
        GatedConv(2 * width, 2 * width),
        GatedUp(2 * width, width),
        GatedConv(width, max(width // 2, 1)),
        nn.Conv2d(max(width // 2, 1), 3, 3, padding=1),
        nn.Tanh(),
    ]


def coarse(width: int) -> nn.Sequential:
    """The first network of two: (N, 4, s, s), the picture and the mask, -> (N, 3, s, s)."""
    w = width
    return nn.Sequential(*encoder(4, (w, 2 * w, 2 * w, 4 * w, 4 * w)), *dilated(4 * w), *decoder(4 * w, w))
