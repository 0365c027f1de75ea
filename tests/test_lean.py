"""recipes/photos-512/lean.py: which channels go, and what the rest makes of it."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from conftest import ROOT, script
from torch import Tensor

from invertfill.nn.generators.migan import MIGANConfig
from invertfill.nn.rgb_branch import MIGANBranch, RGBBranchConfig


@pytest.fixture(scope="module")
def lean() -> ModuleType:
    return script(ROOT / "recipes" / "photos-512" / "lean.py")


def moments(x: Tensor) -> Tensor:
    x = torch.cat([x, torch.ones_like(x[:, :1])], 1).double()
    return x.T @ x / len(x)


def test_the_channel_that_is_missed_least_goes_and_the_rest_is_the_least_squares_fit(lean: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randn(4000, 6) @ torch.randn(6, 6) + torch.randn(6)
    weights = [torch.randn(3, 6), torch.randn(5, 6)]

    def error(kept: list[int], weight: Tensor) -> tuple[float, Tensor]:
        inputs = torch.cat([x[:, kept], torch.ones(len(x), 1)], 1).double()
        wanted = (x @ weight.T).double()
        solved = torch.linalg.lstsq(inputs, wanted).solution
        rest = (inputs @ solved - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum()
        return float(rest), solved

    kept, fitted, shifts, missed = lean.thin(weights, [moments(x)] * 2, 5)
    costs = [sum(error([k for k in range(6) if k != j], w)[0] for w in weights) / 2 for j in range(6)]
    (gone,) = set(range(6)) - set(kept.tolist())
    assert gone == min(range(6), key=lambda j: costs[j])
    assert missed == pytest.approx(min(costs), rel=0.02)
    for weight, found, shift in zip(weights, fitted, shifts, strict=True):
        _, solved = error(kept.tolist(), weight)
        torch.testing.assert_close(found, solved[:-1].T.float(), rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(shift, solved[-1].float(), rtol=1e-2, atol=1e-2)


def test_a_channel_that_says_what_another_says_costs_nothing(lean: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randn(4000, 4)
    x[:, 2] = 2 * x[:, 0] - 1  # a constant is at hand, too
    kept, _, _, missed = lean.thin([torch.randn(3, 4)], [moments(x)], 3)
    assert missed < 1e-3
    assert {0, 2} - set(kept.tolist())


def test_every_narrowed_space_is_read_and_written_once(lean: ModuleType) -> None:
    """Each layer that has channels at 128, 256 or 512 px on a side, on that side, and no other."""
    generator = MIGANConfig(size=512, channels=tuple(lean.WIDTHS.values()), noise_to=128).build()
    branch = MIGANBranch(RGBBranchConfig(kind="migan", stem=0), generator.feature_channels)  # as in load_migan
    wide = lean.Pair(generator, branch)
    names = {layer: name for name, layer in wide.named_modules()}
    read = [names[layer] for _, space in lean.spaces(wide) for layer in space[2]]
    written = [names[layer] for _, space in lean.spaces(wide) for layer in space[0]]
    assert len(set(read)) == len(read) and len(set(written)) == len(written)
    small = lean.Pair(*lean.empty()).state_dict()
    for name, tensor in wide.state_dict().items():
        if "pointwise.weight" in name or ("to_rgb" in name and name.endswith("weight")):
            layer, other = name.removesuffix(".weight"), small[name]
            assert (tensor.shape[1] != other.shape[1]) == (layer in read), name
            assert (tensor.shape[0] != other.shape[0]) == (layer in written), name
