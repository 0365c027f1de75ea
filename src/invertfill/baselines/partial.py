"""Partial convolution (Liu et al. 2018, "Image Inpainting for Irregular Holes Using Partial Convolutions")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PartialConv(nn.Module):
    """A convolution of the known places alone, scaled by how many of its window are known."""

    def __init__(self, channels: int, width: int, kernel: int = 3, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.window = kernel * kernel

    def forward(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """(N, channels, h, w), known (N, 1, h, w), 1 = known.

        Returns:
            (N, width, h', w'), 0 where nothing is known, and what is known now: wherever a window held something.
        """
        size, stride = self.conv.kernel_size, self.conv.stride
        ones = known.new_ones(1, 1, *size)
        count = F.conv2d(known, ones, stride=stride, padding=self.conv.padding)
        there = (count > 0).to(x.dtype)
        out = self.conv(x * known) * (self.window / count.clamp(min=1))
        if self.bias is not None:
            out = out + self.bias[:, None, None]
        return out * there, there
