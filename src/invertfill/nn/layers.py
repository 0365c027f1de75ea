"""Layers that several networks share."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COARSE, MIDDLE, FINE = 0, 1, 2  # levels of style vectors: which of the encoder's codes each takes


def resolutions(size: int) -> list[int]:
    """4, 8, ... size.

    Raises:
        ValueError: ``size`` is no power of two from 8 on.
    """
    if size < 8 or size & (size - 1):
        raise ValueError(f"size must be a power of two, 8 or more: {size}")
    return [2**power for power in range(2, size.bit_length())]


class EqualConv(nn.Module):
    """Convolution with equalised learning rate; bias and LeakyReLU(0.2) * sqrt(2) unless ``activate`` is off."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, down: bool = False, activate: bool = True
    ) -> None:
        super().__init__()
        self.padding = kernel // 2
        # A 1x1 convolution needs only every other pixel of the filtered image; a 3x3 one strides itself.
        self.stride = 2 if down and kernel == 3 else 1
        self.blur: Blur | None = None
        if down:
            self.blur = Blur(in_channels, padding=2) if kernel == 3 else Blur(in_channels, padding=1, stride=2)
        self.gain = 1 / math.sqrt(in_channels * kernel**2)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if activate else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, h) -> (N, out_channels, h, h), or half the side with ``down``."""
        weight = self.weight * self.gain
        if self.blur is None:
            x = F.conv2d(x, weight, self.bias, padding=self.padding)
        else:
            x = F.conv2d(self.blur(x), weight, self.bias, stride=self.stride)
        return x if self.bias is None else leaky(x)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate: weights of deviation 1, scaled when they are used."""

    def __init__(
        self, in_features: int, out_features: int, bias: float = 0.0, lr_mul: float = 1.0, activate: bool = False
    ) -> None:
        super().__init__()
        self.lr_mul = lr_mul
        self.gain = lr_mul / math.sqrt(in_features)
        self.activate = activate
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_features,), bias / lr_mul))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features)."""
        x = F.linear(x, self.weight * self.gain, self.bias * self.lr_mul)
        return leaky(x) if self.activate else x


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU(0.2) * sqrt(2): keeps the variance."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


class Blur(nn.Module):
    """[1, 3, 3, 1] filter both ways, of sum ``gain``.

    ``channels`` isn't read from the input, because an ONNX export has to know the kernel's shape beforehand.
    """

    kernel: Tensor

    def __init__(self, channels: int, padding: int, gain: float = 1.0, stride: int = 1) -> None:
        super().__init__()
        self.channels = channels
        self.padding = padding
        self.gain = gain
        self.stride = stride
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", (torch.outer(line, line) * gain).view(1, 1, 4, 4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, h) -> (N, C, k, k), k = (h + 2 padding - 4) / stride + 1."""
        kernel = self.kernel.to(x.dtype).expand(self.channels, 1, 4, 4)
        if (self.stride, self.padding) == (2, 1) and torch.is_grad_enabled():  # an export can't trace a Function
            halved: Tensor = _Halve.apply(x, kernel, self.gain)
            return halved
        return F.conv2d(x, kernel, padding=self.padding, stride=self.stride, groups=self.channels)


class _Halve(torch.autograd.Function):
    """The blurred half of a picture. Its gradient is an enlargement: ten times as fast as oneDNN's here."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, gain: float) -> Tensor:
        ctx.gain = gain
        return F.conv2d(x, kernel, padding=1, stride=2, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        # The adjoint of [1, 3, 3, 1] / 8 at every second pixel is half of the filter that enlarges.
        enlarged = upsample(gradient * (ctx.gain / 4))
        for axis in (2, 3):  # which repeats the border, where the adjoint has zeros beyond
            for end in (0, -1):
                enlarged.select(axis, end).mul_(0.75)
        return enlarged, None, None


def upsample(x: Tensor) -> Tensor:
    """Twice the side by the [1, 3, 3, 1] filter, which away from the border bilinear interpolation is."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
