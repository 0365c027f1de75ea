"""tools/unfold_norm.py: normalisation that is put back changes nothing in inference, and normalises in training."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from conftest import ROOT, script
from torch import Tensor

from invertfill.nn.encoder import fold_norm
from invertfill.nn.invertfill import InvertFill

CONFIG: dict[str, Any] = {
    "generator": {"kind": "stylegan2", "size": 32, "latent_dim": 16, "channel_base": 128, "channel_max": 8},
    "encoder": {
        "trunk": "compact",
        "channels": [8, 8, 8],
        "blocks": [1, 2, 1],
        "pyramid_channels": 8,
        "structure_channels": 8,
    },
    "premodulation": {"hidden": 4},
    "rgb_branch": {"channels": []},
}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return script(ROOT / "recipes" / "faces-256" / "unfold_norm.py")


@pytest.fixture
def pictures() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    masks = (torch.rand(16, 1, 4, 4) < 0.5).float().repeat_interleave(8, 2).repeat_interleave(8, 3)
    return torch.rand(16, 3, 32, 32) * 2 - 1, masks


def codes(model: InvertFill, pictures: tuple[Tensor, Tensor]) -> Tensor:
    with torch.no_grad():
        return model.encode(*pictures)[0]


def test_unfolded_and_folded_again_it_is_what_it_was(tool: ModuleType, pictures: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    model = InvertFill(CONFIG).eval()
    unfolded = tool.unfold(model, *pictures)
    wanted = codes(model, pictures)
    assert wanted.std() > 0.01
    torch.testing.assert_close(codes(unfolded, pictures), wanted, rtol=1e-4, atol=1e-5)
    # On the very pictures that it was measured on, the statistics of the batch are the stored ones.
    torch.testing.assert_close(codes(unfolded.train(), pictures), wanted, rtol=1e-2, atol=1e-3)
    unfolded = tool.unfold(model, *pictures)
    fold_norm(unfolded.encoder)
    assert set(unfolded.state_dict()) == set(model.state_dict())
    torch.testing.assert_close(codes(unfolded, pictures), wanted, rtol=1e-4, atol=1e-5)


def test_it_normalises_in_training(tool: ModuleType, pictures: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    unfolded = tool.unfold(InvertFill(CONFIG).eval(), *pictures)
    pair = unfolded.train().encoder.lateral[0]
    x = torch.randn(16, 8, 8, 8) * 7 + 3
    normalised = pair(x)
    torch.testing.assert_close(normalised.mean((0, 2, 3)), pair[1].bias.detach(), rtol=1e-3, atol=1e-4)
