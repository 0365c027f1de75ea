"""Eq. 1, and which scale each style vector is made from (nn/premodulation.py)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from invertfill.nn.generators.stylegan2 import StyleGAN2Config
from invertfill.nn.premodulation import PreModulation, PreModulationConfig, instance_norm, modulate

LAYERS = {64: 10, 128: 12, 256: 14, 512: 16, 1024: 18}


def levels(size: int) -> tuple[int, ...]:
    shape = StyleGAN2Config(size=size, channel_base=2 * size, channel_max=2, mapping_layers=1, latent_dim=4)
    return shape.build().levels


def codes(dim: int = 8) -> tuple[Tensor, Tensor]:
    """w' and S of two pictures, (2, 3, dim)."""
    torch.manual_seed(0)
    return torch.randn(2, 3, dim), torch.randn(2, 3, dim)


def test_equation_1_on_hand_made_numbers() -> None:
    code = torch.tensor([[1.0, 3.0, 5.0, 7.0]])  # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    gamma = torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    beta = torch.tensor([[0.0, 10.0, 0.5, 1.0]])
    root = math.sqrt(5)
    expected = torch.tensor([[-3 / root, 10 - 2 / root, 0.5, 1 - 3 / root]])
    torch.testing.assert_close(modulate(code, gamma, beta), expected, rtol=0, atol=1e-5)


def test_each_vector_is_normalised_by_itself() -> None:
    normal = instance_norm(torch.randn(3, 5, 512) * torch.tensor([0.1, 1.0, 30.0])[:, None, None] + 7)
    assert normal.mean(-1).abs().max() < 1e-4
    assert (normal.var(-1, unbiased=False) - 1).abs().max() < 2e-3


@pytest.mark.parametrize(("size", "layers"), LAYERS.items())
def test_levels_of_the_layers(size: int, layers: int) -> None:
    """Layers 0-2 take the coarse code, 3-6 the middle one, 7 and up the fine one."""
    w, s = codes()
    out = PreModulation(PreModulationConfig(enabled=False), levels(size), latent_dim=8)(w, s)
    assert out.shape == (2, layers, 8)
    expected = torch.cat(
        [w[:, :1].expand(-1, 3, -1), w[:, 1:2].expand(-1, 4, -1), w[:, 2:].expand(-1, layers - 7, -1)], 1
    )
    assert torch.equal(out, expected)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("which", ["code", "structure"])
def test_a_layer_sees_its_own_scale_only(level: int, which: str) -> None:
    table = torch.tensor(levels(64))
    w, s = codes()
    network = PreModulation(PreModulationConfig(hidden=4), tuple(table.tolist()), latent_dim=8)
    before = network(w, s)
    (w if which == "code" else s)[:, level] = torch.randn(2, 8)
    changed = (network(w, s) != before).any(-1).any(0)
    assert torch.equal(changed, table == level)


def test_against_numpy() -> None:
    """gamma and beta of layer l come from S_r through layer l's own network."""
    w, s = codes()
    network = PreModulation(PreModulationConfig(hidden=4), (0, 1, 1, 2), latent_dim=8)
    ours = network(w, s).detach().numpy()
    for index, level in enumerate((0, 1, 1, 2)):
        part = {name: p.detach().numpy() for name, p in network.named_parameters() if f".{index}." in name}
        hidden = s[:, level].numpy() @ part[f"hidden.{index}.weight"].T + part[f"hidden.{index}.bias"]
        hidden = np.where(hidden > 0, hidden, 0.2 * hidden)
        both = hidden @ part[f"affine.{index}.weight"].T + part[f"affine.{index}.bias"]
        code = w[:, level].numpy()
        normal = (code - code.mean(1, keepdims=True)) / np.sqrt(code.var(1, keepdims=True) + 1e-5)
        np.testing.assert_allclose(ours[:, index], both[:, :8] * normal + both[:, 8:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("enabled", [True, False])
def test_one_style_vector_for_all(enabled: bool) -> None:
    w, s = codes()
    network = PreModulation(PreModulationConfig(hidden=4, enabled=enabled), (0, 1, 1, 2), latent_dim=8)
    each = network(w, s)
    network.space = "w"
    together = network(w, s)
    assert together.shape == each.shape and len(together.unique(dim=1)[0]) == 1
    torch.testing.assert_close(together[:, 0], each.mean(1))
