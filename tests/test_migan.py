"""MI-GAN's networks in InvertFill's places (models/migan.py, tools/convert_migan.py)."""

from __future__ import annotations

import math
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, script
from torch import Tensor

from invertfill.models.invertfill import InvertFill
from invertfill.models.migan import MIGANBranch, MIGANGenerator

CHANNELS = {4: 12, 8: 12, 16: 8, 32: 6}
CONFIG = {
    "generator": {"kind": "migan", "size": 32, "channels": list(CHANNELS.values()), "latent_dim": 16},
    "encoder": {"channels": [8, 8, 8], "blocks": [1, 1, 1], "pyramid_channels": 8, "structure_channels": 8},
    "premodulation": {"hidden": 4},
    "rgb_branch": {"kind": "migan"},
}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return script(ROOT / "tools" / "convert_migan.py")


def published(seed: int = 0) -> dict[str, Tensor]:
    """Weights by MI-GAN's names, with its shapes but for the width."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / math.sqrt(max(1, math.prod(shape[1:])))

    weights = {}

    def conv(name: str, width: int, out: int) -> None:
        weights[f"{name}.conv1.weight"], weights[f"{name}.conv1.bias"] = draw(width, 1, 3, 3), draw(width)
        weights[f"{name}.conv2.weight"] = draw(out, width, 1, 1)

    sizes, before = list(CHANNELS), {8: 4, 16: 8, 32: 16}
    for r, width in CHANNELS.items():
        conv(f"encoder.b{r}.conv1", width, width)
        conv(f"encoder.b{r}.conv2", width, CHANNELS[sizes[max(0, sizes.index(r) - 1)]])
        conv(f"synthesis.b{r}.conv1", CHANNELS[before.get(r, 4)], width)
        conv(f"synthesis.b{r}.conv2", width, width)
        weights[f"synthesis.b{r}.torgb.weight"], weights[f"synthesis.b{r}.torgb.bias"] = draw(3, width, 1, 1), draw(3)
        weights[f"synthesis.b{r}.noise"] = draw(r, r)
    return weights


def separable(
    x: Tensor, weights: dict[str, Tensor], name: str, resample: str = "", noise: Tensor | None = None
) -> Tensor:
    """A convolution of MI-GAN as its graph has it, gains and all."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    x = F.conv2d(x, weights[f"{name}.conv1.weight"], weights[f"{name}.conv1.bias"], padding=1, groups=x.shape[1])
    x = F.leaky_relu(x, 0.2) * math.sqrt(2)
    if resample == "down":
        kernel = torch.outer(line, line).expand(x.shape[1], 1, 4, 4)
        x = F.conv2d(x, kernel, padding=1, stride=2, groups=x.shape[1])
    x = F.conv2d(x, weights[f"{name}.conv2.weight"])
    if resample == "up":
        x = F.interpolate(x, scale_factor=2, mode="bilinear")
    if noise is not None:
        x = x + noise
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def reference(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    """MI-GAN from the features behind its first convolution to the picture: (N, C, 32, 32) -> (N, 3, 32, 32)."""
    features = {}
    for r in reversed(CHANNELS):
        features[r] = separable(x, w, f"encoder.b{r}.conv1")
        x = separable(features[r], w, f"encoder.b{r}.conv2", "down" if r > 4 else "")
    rgb = torch.zeros(len(x), 3, 2, 2)
    for r in CHANNELS:
        if r == 4:
            x = separable(x, w, "synthesis.b4.conv1")
        else:
            x = separable(x, w, f"synthesis.b{r}.conv1", "up", w[f"synthesis.b{r}.noise"])
        x = separable(x + features[r], w, f"synthesis.b{r}.conv2")
        new = F.conv2d(x, w[f"synthesis.b{r}.torgb.weight"], w[f"synthesis.b{r}.torgb.bias"])
        rgb = F.interpolate(rgb, scale_factor=2, mode="bilinear") + new
    return rgb


@torch.no_grad()
def test_converted_weights_draw_what_migan_draws(tool: ModuleType) -> None:
    generator = MIGANGenerator(32, tuple(CHANNELS.values()), latent_dim=16)
    branch = MIGANBranch(generator.feature_channels)
    weights = published()
    tool.fill(generator, branch, weights)
    x = torch.randn(2, CHANNELS[32], 32, 32)
    drawn = generator.synthesis(torch.randn(2, generator.num_layers, 16), branch.pyramid(x))
    torch.testing.assert_close(drawn, reference(x, weights), rtol=1e-4, atol=1e-5)


def test_style_has_no_say_at_first_and_one_after_a_step() -> None:
    torch.manual_seed(0)
    model = InvertFill(CONFIG)
    model.generator.requires_grad_(True)
    image, mask = torch.rand(1, 3, 32, 32) * 2 - 1, torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    codes = torch.randn(2, 1, model.generator.num_layers, 16)

    def distance() -> Tensor:
        return (model.draw(image, mask, codes[0]) - model.draw(image, mask, codes[1])).abs().max()

    assert distance() == 0
    model.draw(image, mask, codes[0]).square().mean().backward()
    torch.optim.SGD(model.generator.parameters(), lr=0.1).step()
    assert distance() > 1e-6


def test_layers_are_those_of_stylegan2_but_for_the_last_rgb() -> None:
    generator = MIGANGenerator()
    assert generator.num_layers == 13
    assert generator.levels == (0,) * 3 + (1,) * 4 + (2,) * 6
    assert generator.feature_channels == {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}
    with pytest.raises(ValueError, match="7 channel counts"):
        MIGANGenerator(256, (8, 8))


def test_noise_reaches_the_hole_from_32_px_on() -> None:
    torch.manual_seed(0)
    branch = MIGANBranch({4: 8, 8: 8, 16: 8, 32: 8, 64: 4}, noise=True)
    image, mask = torch.rand(1, 3, 64, 64) * 2 - 1, torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 16:48] = 1
    with torch.no_grad():
        fresh, other = branch(image * (1 - mask), mask), branch(image * (1 - mask), mask)
        fixed, again = (branch.eval()(image * (1 - mask), mask) for _ in range(2))
    for size in (4, 8, 16):
        assert torch.equal(fresh[size], other[size])
    for size in (32, 64):
        hole = F.interpolate(mask, size=(size, size))[0, 0] > 0
        assert (fresh[size] != other[size])[..., hole].all()
        assert torch.equal(fresh[size][..., ~hole], other[size][..., ~hole])
        assert torch.equal(fixed[size], again[size])


def test_refinement_leaves_codes_of_a_generator_that_cannot_draw_alone() -> None:
    from invertfill.models.refine import refine

    model = InvertFill(CONFIG).eval()
    image, mask, codes = torch.zeros(1, 3, 32, 32), torch.ones(1, 1, 32, 32), torch.randn(1, 7, 16)
    assert refine(model, image, mask, codes, torch.ones(16)) is codes
