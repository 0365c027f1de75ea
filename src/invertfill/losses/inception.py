"""The network of FID: Inception v3 (Szegedy et al. 2016) as it was trained in 2015, up to its 2048 pooled features.

FID (Heusel et al. 2017) is defined by this very network, so its quirks are part of the definition: averages leave the
padding out, and the last block's pooling takes the maximum. Modules are named as in the 2015 graph.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from invertfill.losses.weights import load_weights

WEIGHTS = "fid-inception"
SIDE = 299
RESIZE = f"Pillow bicubic, antialiased, to {SIDE} px in float, clipped to 0..255"


class Inception(nn.Module):
    """The network, frozen.

    Args:
        pretrained: False leaves random weights, for tests without the weights.

    Raises:
        InputError: the weights aren't there; see `invertfill.losses.weights.find_weights`.
    """

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        self.conv = _Conv(3, 32, 3, stride=2)
        self.conv_1 = _Conv(32, 32, 3, padding=0)
        self.conv_2 = _Conv(32, 64, 3)
        self.pool0 = nn.MaxPool2d(3, 2)
        self.conv_3 = _Conv(64, 80, 1)
        self.conv_4 = _Conv(80, 192, 3, padding=0)
        self.pool1 = nn.MaxPool2d(3, 2)
        self.mixed = _mixed_35(192, 32)
        self.mixed_1 = _mixed_35(256, 64)
        self.mixed_2 = _mixed_35(288, 64)
        self.mixed_3 = _Branches(
            conv=_Conv(288, 384, 3, stride=2),
            tower=_tower(_Conv(288, 64, 1), _Conv(64, 96, 3), _Conv(96, 96, 3, stride=2)),
            pool=nn.MaxPool2d(3, 2),
        )
        self.mixed_4 = _mixed_17(128)
        self.mixed_5 = _mixed_17(160)
        self.mixed_6 = _mixed_17(160)
        self.mixed_7 = _mixed_17(192)
        self.mixed_8 = _Branches(
            tower=_tower(_Conv(768, 192, 1), _Conv(192, 320, 3, stride=2)),
            tower_1=_tower(
                _Conv(768, 192, 1), _Conv(192, 192, (1, 7)), _Conv(192, 192, (7, 1)), _Conv(192, 192, 3, stride=2)
            ),
            pool=nn.MaxPool2d(3, 2),
        )
        self.mixed_9 = _Mixed8(1280, _average())
        self.mixed_10 = _Mixed8(2048, nn.MaxPool2d(3, 1, 1))
        if pretrained:
            load_weights(self, WEIGHTS)
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 299, 299), (level - 128) / 128 -> (N, 2048)."""
        for layer in self.children():
            x = layer(x)
        return x.mean(dim=(2, 3))


def prepare(picture: np.ndarray) -> Tensor:
    """What the network sees of a picture: (H, W, 3) uint8 -> (3, 299, 299).

    The resize is antialiased (Parmar et al. 2022, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation"),
    in float and a channel at a time, since Pillow rounds 8-bit pictures.
    """
    channels = [
        np.asarray(
            Image.fromarray(picture[..., i].astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        ).clip(0, 255)
        for i in range(3)
    ]
    return torch.from_numpy((np.stack(channels) - 128) / 128)


class _Conv(nn.Module):
    """Convolution, batch normalisation without a scale, ReLU. Strided ones aren't padded."""

    mean: Tensor
    var: Tensor

    def __init__(
        self, width: int, out: int, kernel: int | tuple[int, int], stride: int = 1, padding: int | None = None
    ) -> None:
        super().__init__()
        down, across = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.stride = stride
        same = (down // 2, across // 2) if stride == 1 else (0, 0)
        self.padding = same if padding is None else (padding, padding)
        self.weight = nn.Parameter(torch.randn(out, width, down, across) / (width * down * across) ** 0.5)
        self.beta = nn.Parameter(torch.zeros(out))
        self.register_buffer("mean", torch.zeros(out))
        self.register_buffer("var", torch.ones(out))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.weight, None, self.stride, self.padding)
        return F.relu(F.batch_norm(x, self.mean, self.var, None, self.beta, eps=1e-3))


class _Branches(nn.Module):
    """Several paths side by side, their channels one after the other."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


def _tower(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict((f"conv_{i}" if i else "conv", layer) for i, layer in enumerate(layers)))


def _average() -> nn.AvgPool2d:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _pooled(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(pool=_average(), conv=_Conv(width, out, 1)))


def _mixed_35(width: int, pooled: int) -> _Branches:
    return _Branches(
        conv=_Conv(width, 64, 1),
        tower=_tower(_Conv(width, 48, 1), _Conv(48, 64, 5)),
        tower_1=_tower(_Conv(width, 64, 1), _Conv(64, 96, 3), _Conv(96, 96, 3)),
        tower_2=_pooled(width, pooled),
    )


def _mixed_17(inner: int) -> _Branches:
    """Convolutions of 7x7, each split into 1x7 and 7x1."""
    return _Branches(
        conv=_Conv(768, 192, 1),
        tower=_tower(_Conv(768, inner, 1), _Conv(inner, inner, (1, 7)), _Conv(inner, 192, (7, 1))),
        tower_1=_tower(
            _Conv(768, inner, 1),
            _Conv(inner, inner, (7, 1)),
            _Conv(inner, inner, (1, 7)),
            _Conv(inner, inner, (7, 1)),
            _Conv(inner, 192, (1, 7)),
        ),
        tower_2=_pooled(768, 192),
    )


class _Mixed8(nn.Module):
    """The blocks at 8x8: two of the paths fork into 1x3 and 3x1."""

    def __init__(self, width: int, pool: nn.Module) -> None:
        super().__init__()
        self.conv = _Conv(width, 320, 1)
        self.tower_conv = _Conv(width, 384, 1)
        self.tower_mixed_conv = _Conv(384, 384, (1, 3))
        self.tower_mixed_conv_1 = _Conv(384, 384, (3, 1))
        self.tower_1_conv = _Conv(width, 448, 1)
        self.tower_1_conv_1 = _Conv(448, 384, 3)
        self.tower_1_mixed_conv = _Conv(384, 384, (1, 3))
        self.tower_1_mixed_conv_1 = _Conv(384, 384, (3, 1))
        self.tower_2_pool = pool
        self.tower_2_conv = _Conv(width, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.tower_conv(x), self.tower_1_conv_1(self.tower_1_conv(x))
        paths = [
            self.conv(x),
            self.tower_mixed_conv(a),
            self.tower_mixed_conv_1(a),
            self.tower_1_mixed_conv(b),
            self.tower_1_mixed_conv_1(b),
            self.tower_2_conv(self.tower_2_pool(x)),
        ]
        return torch.cat(paths, dim=1)
