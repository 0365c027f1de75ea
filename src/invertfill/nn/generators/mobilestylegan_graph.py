"""MobileStyleGAN's synthesis for an ONNX graph: the same arithmetic in the form that ONNX Runtime's CPU kernels like.

`mobilestylegan.py` says what is computed; here only the order differs (outputs agree to 1e-5), because

- the modulation of a level's second convolution scales the pointwise weights, some hundred thousand numbers, in place
  of the activations, some millions: a depthwise convolution commutes with a scale per channel;
- that of its first convolution goes, for the same reason, with the one before the inverse Haar transform, at a quarter
  of the pixels;
- the inverse Haar transform is one transposed convolution in groups of four bands;
- the noise enters the first convolution as further input channels, which the depthwise kernels leave as they are, so
  that nothing stands between the pointwise convolution and its LeakyReLU, which the runtime then computes together, nor
  between both and the F&W+ features, all in the runtime's own blocked layout. They are as many as the widest block.

One picture at a time: what depends on the picture are weights here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from invertfill.nn.generators.mobilestylegan import Level, MobileStyleGANGenerator, StyledConv

BLOCK = 16  # channels
NEGLIGIBLE = 2e-3  # noise beside activations of about one; without it no pixel changes by a tenth of a grey level
# Band (row: low-pass, vertical, horizontal, diagonal) -> its sign in the upper left, upper right, lower left and lower
# right pixel of four.
HAAR = torch.tensor([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], dtype=torch.float32)


def synthesis(generator: MobileStyleGANGenerator, w_plus: Tensor, features: dict[int, Tensor]) -> Tensor:
    """See `MobileStyleGANGenerator.synthesis`; w_plus is (1, num_layers, latent_dim)."""
    g, first = generator, cast("StyledConv", generator.first)
    x = F.conv2d(g.input * first.affine(w_plus[:, 0]), _grouped(first.weight), _grouped(first.bias), padding=1)
    x = F.leaky_relu(x + first.noise, 0.2)  # (1, 4C, h, w), the four bands of a channel side by side
    blocks = cast("list[Level]", list(g.blocks))
    for i, (size, block) in enumerate(zip(g.feature_channels, blocks, strict=True)):
        w_up, w1, w2 = w_plus[:, 3 * i + 1 : 3 * i + 4].unbind(1)
        channels = block.conv1.affine.out_features
        scale = _grouped(block.up(w_up)[0]).view(channels, 4) * block.conv1.affine(w1).view(channels, 1)
        kernel = HAAR.repeat(channels, 1).view(4 * channels, 1, 2, 2)
        x = F.conv_transpose2d(x * scale.view(1, -1, 1, 1), kernel, stride=2, groups=channels)
        x = _first(block.conv1, x)
        if size in features:
            x = features[size] + x
        x = _second(block.conv2, x, w2, last=size == g.size)
    w = w_plus[:, -1]
    weight = g.rgb_weight.flatten(1) * g.rgb_affine(w).view(1, -1)
    return (weight @ x.flatten(2)).view(1, 3, g.size, g.size) + g.rgb_bias(w)[:, :, None, None]


def _first(conv: StyledConv, x: Tensor) -> Tensor:
    """x (1, C, h, w) modulated already -> (1, C', h, w)."""
    assert conv.depthwise is not None
    depthwise: Tensor = conv.depthwise
    weight: Tensor = conv.weight
    if conv.noise.abs().max() > NEGLIGIBLE:
        x = torch.cat([x, conv.noise.expand(-1, BLOCK, -1, -1)], 1)
        same = F.pad(torch.ones(BLOCK, 1, 1, 1), (1, 1, 1, 1))  # the 3x3 kernel that leaves a channel as it is
        depthwise = torch.cat([depthwise, same])
        weight = torch.cat([weight, torch.full((weight.shape[0], BLOCK, 1, 1), 1 / BLOCK)], 1)
    x = F.conv2d(x, depthwise, padding=1, groups=x.shape[1])
    return F.leaky_relu(F.conv2d(x, weight, conv.bias), 0.2)


def _second(conv: StyledConv, x: Tensor, w: Tensor, last: bool) -> Tensor:
    """x (1, C, h, w) -> (1, C', h, w), the bands grouped for the transform that follows unless it is the last."""
    assert conv.depthwise is not None
    x = F.conv2d(x, conv.depthwise, padding=1, groups=conv.depthwise.shape[0])
    weight, bias = (each if last else _grouped(each) for each in (conv.weight.flatten(1), conv.bias))
    # A convolution, though it is a matrix product: the runtime adds bias and LeakyReLU to it while it computes it.
    x = F.conv2d(x, (weight * conv.affine(w).view(1, -1))[..., None, None], bias)
    return F.leaky_relu(x + conv.noise if conv.noise.abs().max() > NEGLIGIBLE else x, 0.2)


def _grouped(tensor: Tensor) -> Tensor:
    """Channels (4C, ...) in the order of inverse_haar, band by band -> the four bands of each of C channels."""
    channels = tensor.shape[0] // 4
    return tensor.view(4, channels, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)
