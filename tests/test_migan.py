"""MI-GAN's networks in InvertFill's places (nn/generators/migan.py, nn/generators/migan_weights.py)."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invertfill.nn.generators.migan import MIGANConfig, MIGANGenerator, StyledConv
from invertfill.nn.generators.migan_weights import fill_layers
from invertfill.nn.invertfill import InvertFill
from invertfill.nn.rgb_branch import MIGANBranch, RGBBranchConfig
from invertfill.training.inversion import choose_parameters

CHANNELS = {4: 12, 8: 12, 16: 8, 32: 6}
CONFIG = {
    "generator": {"kind": "migan", "size": 32, "channels": list(CHANNELS.values()), "latent_dim": 16},
    "encoder": {"channels": [8, 8, 8], "blocks": [1, 1, 1], "pyramid_channels": 8, "structure_channels": 8},
    "premodulation": {"hidden": 4},
    "rgb_branch": {"kind": "migan"},
}


def published(channels: dict[int, int] = CHANNELS) -> dict[str, Tensor]:
    """Weights by MI-GAN's names, with its shapes but for the width."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / math.sqrt(max(1, math.prod(shape[1:])))

    weights = {}

    def conv(name: str, width: int, out: int) -> None:
        weights[f"{name}.conv1.weight"], weights[f"{name}.conv1.bias"] = draw(width, 1, 3, 3), draw(width)
        weights[f"{name}.conv2.weight"] = draw(out, width, 1, 1)

    for r, width in channels.items():
        conv(f"encoder.b{r}.conv1", width, width)
        conv(f"encoder.b{r}.conv2", width, channels.get(r // 2, width))
        conv(f"synthesis.b{r}.conv1", channels.get(r // 2, width), width)
        conv(f"synthesis.b{r}.conv2", width, width)
        weights[f"synthesis.b{r}.torgb.weight"], weights[f"synthesis.b{r}.torgb.bias"] = draw(3, width, 1, 1), draw(3)
        weights[f"synthesis.b{r}.noise"] = draw(r, r)
    widest = max(channels)
    weights[f"encoder.b{widest}.fromrgb.weight"] = draw(channels[widest], 4, 1, 1)
    weights[f"encoder.b{widest}.fromrgb.bias"] = draw(channels[widest])
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
        x = double(x)
    if noise is not None:
        x = x + noise
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def double(x: Tensor) -> Tensor:
    """As MI-GAN's graph does it: zeros between the pixels, and beyond the border, then the filter."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    spaced = torch.stack([x, 0 * x], -1).flatten(-2)
    spaced = torch.stack([spaced, 0 * spaced], -2).flatten(2, 3)
    kernel = torch.outer(line, line).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(spaced, (2, 1, 2, 1)), kernel, groups=x.shape[1])


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
        rgb = double(rgb) + new
    return rgb


@torch.no_grad()
def test_published_weights_draw_what_migan_draws() -> None:
    generator = MIGANConfig(size=32, channels=tuple(CHANNELS.values()), latent_dim=16, dark_to=32).build()
    branch = MIGANBranch(RGBBranchConfig(kind="migan"), generator.feature_channels)
    weights = published()
    fill_layers(generator, branch, weights)
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


def test_a_layout_adds_nothing_at_first_and_then_what_no_scale_of_channels_can() -> None:
    """Channels that are constant stay so, however they are scaled; a layout differs from place to place."""
    torch.manual_seed(0)
    plain, laid = (MIGANConfig(size=16, channels=(8, 4, 4), latent_dim=16, const_rank=rank).build() for rank in (0, 6))
    laid.load_state_dict(laid.state_dict() | plain.state_dict())
    w = torch.randn(3, plain.num_layers, 16)
    torch.testing.assert_close(plain.synthesis(w), laid.synthesis(w))
    assert laid.layout is not None
    with torch.no_grad():
        laid.const.fill_(1.0)
        assert torch.linalg.matrix_rank(_inputs(laid, w[:, 0])) == 1
        nn.init.normal_(laid.layout[1].weight)
        assert torch.linalg.matrix_rank(_inputs(laid, w[:, 0])) == 4  # three layouts on the constant


def _inputs(generator: MIGANGenerator, w: Tensor) -> Tensor:
    """What the first layer sees for each w (N, 16), before any scale, (N, 128)."""
    seen: list[Tensor] = []
    hook = generator.second[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].flatten(1)))
    generator.head(w[:, None].expand(-1, generator.num_layers, -1), 4)
    hook.remove()
    return torch.cat([seen[0], generator.const.flatten(1)])


def test_layers_are_those_of_stylegan2_but_for_the_last_rgb() -> None:
    generator = MIGANConfig().build()
    assert generator.num_layers == 13
    assert generator.levels == (0,) * 3 + (1,) * 4 + (2,) * 6
    assert generator.feature_channels == {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}
    with pytest.raises(ValueError, match="7 channel counts"):
        MIGANConfig(channels=(8, 8))


def test_noise_reaches_the_hole_from_32_px_on() -> None:
    torch.manual_seed(0)
    branch = MIGANBranch(RGBBranchConfig(kind="migan", noise=True), {4: 8, 8: 8, 16: 8, 32: 8, 64: 4})
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
    from invertfill.nn.refine import refine

    model = InvertFill(CONFIG).eval()
    image, mask, codes = torch.zeros(1, 3, 32, 32), torch.ones(1, 1, 32, 32), torch.randn(1, 7, 16)
    assert refine(model, image, mask, codes, torch.ones(16)) is codes


PRIOR = CONFIG | {  # from 8 px on, with a prior up to 16 px
    "generator": {
        "kind": "migan",
        "size": 32,
        "channels": [12, 8, 6],
        "latent_dim": 16,
        "prior": [8, 8, 4],
        "prior_rank": 5,
    }
}


def with_prior() -> InvertFill:
    torch.manual_seed(0)
    model = InvertFill(PRIOR).eval()
    for parameter in model.generator.joins.parameters():
        torch.nn.init.normal_(parameter)
    for conv in model.generator.second:
        if isinstance(conv, StyledConv):
            torch.nn.init.normal_(conv.affine.weight)
    return model


@torch.no_grad()
def test_every_style_vector_of_a_prior_matters() -> None:
    model = with_prior()
    assert model.generator.levels == (0,) * 4 + (1,) * 3 + (2,)  # 4 and 8 px, 16 px, the second convolution at 32 px
    assert model.generator.feature_channels == {8: 12, 16: 8, 32: 6}
    image, mask = torch.rand(1, 3, 32, 32) * 2 - 1, torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    codes = torch.randn(1, 8, 16)
    before, sketch = model.draw(image, mask, codes), model.generator.sketch(codes)
    assert sketch is not None and sketch.shape == (1, 3, 16, 16)
    for layer in range(8):
        other = codes.clone()
        other[:, layer] += 1
        assert not torch.allclose(model.draw(image, mask, other), before, atol=1e-5), layer
        after = model.generator.sketch(other)
        assert after is not None and torch.equal(after, sketch) == (layer == 7)


def test_a_prior_stays_as_it_is_in_training() -> None:
    model = with_prior()
    choose_parameters(model, "generator", learns=True)
    learning = {name.split(".")[1] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {"joins", "first", "second", "to_rgb", "const"} <= learning
    assert not learning & {"map", "prior", "prior_rgb"}


@torch.no_grad()
def test_what_is_drawn_where_nothing_is_known() -> None:
    model = with_prior()
    w = torch.randn(2, 16)
    codes = w[:, None].expand(-1, 8, -1)
    nothing, mask = torch.zeros(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    drawn = model.sample(w)
    torch.testing.assert_close(drawn, model.draw(nothing, mask, codes))
    assert (drawn[0] - drawn[1]).abs().max() > 1e-3
    features = model.blank_features(w)
    for resolution in (8, 16, 32):  # and in two parts
        activations = model.generator.head(codes, resolution, features)
        assert activations.shape[2:] == (resolution, resolution)
        torch.testing.assert_close(model.generator.tail(activations, codes, resolution, features), drawn)
