"""LPIPS v0.1 (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric")."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from invertfill.losses import features as vgg
from invertfill.losses.weights import WEIGHTS_VARIABLE, load_weights

LpipsName = Literal["alex", "vgg"]

_TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}  # the last ReLU of each of the five stages
_WIDTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
WEIGHTS = {"alex": ("alexnet-features", "lpips-alexnet-linear"), "vgg": ("vgg16-features", "lpips-vgg16-linear")}


class _Unit(torch.autograd.Function):
    """`unit_vectors`, whose passes over large maps cost more than the network's convolutions: 8 instead of 20."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        inverse = 1 / torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32).clamp(min=1e-10)
        unit = x * inverse.to(x.dtype)
        ctx.save_for_backward(unit, inverse)
        return unit

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        unit, inverse = ctx.saved_tensors
        gradient = gradients[0]
        along = (gradient * unit).sum(1, keepdim=True)
        # Where all channels are 0 the inverse is no derivative: 0 there.
        scale = (inverse * (inverse < 1e10)).to(gradient.dtype)
        found: Tensor = torch.addcmul(gradient, unit, along, value=-1).mul_(scale)
        return found


def unit_vectors(x: Tensor) -> Tensor:
    """(N, C, h, w) -> the same, each position's vector at length 1, and 0 where all channels are 0."""
    unit: Tensor = _Unit.apply(x)
    return unit


class _Heads(nn.Module):
    """LPIPS's learned weight of each channel: a 1x1 convolution without bias for each stage."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        for index, width in enumerate(widths):
            self.add_module(f"lin{index}", nn.Conv2d(width, 1, 1, bias=False))

    def forward(self, squares: list[Tensor]) -> Tensor:
        """Sum over stages of the spatial mean of the weighted squares: list of (N, C, h, w) -> (N,)."""
        # The mean first: a convolution would pass over the large maps once more.
        stages = [
            square.mean(dim=(2, 3), dtype=torch.float32) @ cast(nn.Conv2d, lin).weight[0, :, 0, 0]
            for lin, square in zip(self.children(), squares, strict=True)
        ]
        return torch.stack(stages).sum(dim=0)


class LPIPS(nn.Module):
    """The distance as a frozen module; gradients flow to the images.

    Args:
        net: "alex" (the usual for evaluation, a tenth of the cost) or "vgg".
        pretrained: False leaves random weights, for tests without the weights.

    Raises:
        InputError: the weights aren't there; see `invertfill.losses.weights.find_weights`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: LpipsName = "alex", pretrained: bool = True) -> None:
        super().__init__()
        self.taps, self.widths = _TAPS[net], _WIDTHS[net]
        self.features = (vgg.alexnet if net == "alex" else vgg.vgg16)(pretrained)
        self.heads = _Heads(_WIDTHS[net])
        if pretrained:
            load_weights(self.heads, WEIGHTS[net][1])
        self.register_buffer("mean", torch.tensor(vgg.IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(vgg.IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance of each pair: two (N, 3, H, W) in [-1, 1] -> (N,), 0 = equal. H and W at least 32."""
        # Two passes, not one: where only one image needs a gradient, nothing is kept or computed for the other.
        return self.distance(self.stages(a), self.stages(b))

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """`forward`, of pictures whose `stages` are at hand: (N,)."""
        with torch.autocast(a[0].device.type, enabled=False):
            distance: Tensor = self.heads([(x - y).square() for x, y in zip(a, b, strict=True)])
        return distance

    def stages(self, image: Tensor) -> list[Tensor]:
        """The five feature maps of (N, 3, H, W) in [-1, 1], (N, `widths`, h, w) with vectors of length 1.

        Float32, or under autocast bfloat16, whose rounding adds some 1e-5 to a distance: enough to train with.
        """
        normalised = ((image + 1) / 2 - self.mean) / self.std
        stages: list[Tensor] = self.features(normalised.contiguous(memory_format=torch.channels_last), self.taps)
        return [unit_vectors(stage) for stage in stages]


def lpips(a: Tensor, b: Tensor, net: LpipsName | LPIPS = "alex") -> Tensor:
    """LPIPS v0.1 distance of each pair of images, differentiable.

    Args:
        a: (N, 3, H, W), RGB in [-1, 1].
        b: the same shape.
        net: "alex" or "vgg" (loaded once for each device), or an `LPIPS` module of one's own.

    Returns:
        (N,): 0 for equal images, about 0.7 for unrelated ones.

    Raises:
        InputError: the weights aren't there; see `invertfill.losses.weights.find_weights`.
    """
    module = _cached(net, str(a.device), os.environ.get(WEIGHTS_VARIABLE)) if isinstance(net, str) else net
    distance: Tensor = module(a, b)
    return distance


@lru_cache(maxsize=4)
def _cached(net: LpipsName, device: str, folder: str | None) -> LPIPS:
    return LPIPS(net).to(device)
