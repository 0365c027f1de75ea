"""tools/narrow_generator.py: fewer channels, of which what they drew is kept as far as it can be."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from conftest import ROOT, script

from invertfill.nn.generators.mobilestylegan import Affine
from invertfill.nn.invertfill import InvertFill
from invertfill.training.config import AdamConfig, DataConfig, MaskConfig
from invertfill.training.data.batches import Batches
from invertfill.training.data.readers import ImageSet

CONFIG = {
    "generator": {"kind": "mobilestylegan", "size": 32, "channels": [16, 16, 16, 16], "latent_dim": 16},
    "encoder": {"channels": [8, 8, 8], "blocks": [1, 1, 1], "pyramid_channels": 8, "structure_channels": 8},
    "premodulation": {"hidden": 4},
    "rgb_branch": {"channels": [4, 4, 8], "bottleneck": 1},
}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return script(ROOT / "tools" / "narrow_generator.py")


@pytest.fixture
def model() -> InvertFill:
    torch.manual_seed(0)
    model = InvertFill(CONFIG).eval().requires_grad_(False)
    assert model.rgb_branch is not None
    for module in model.generator.modules():
        if isinstance(module, Affine):  # activations of about one, as a trained generator's are
            module.bias.fill_(1.0)
    for parameter in model.rgb_branch.outputs.parameters():
        parameter.normal_(std=0.2)
    return model


@pytest.fixture
def batches(tmp_path: Path, noise_pictures: Path) -> Batches:
    images = ImageSet(noise_pictures, 32, cache=True)
    masks = MaskConfig(kind="box", low=0.2, high=0.6)
    return Batches(images, DataConfig(path=noise_pictures), masks, batch=4, seed=0, device=torch.device("cpu"))


@pytest.fixture
def noise_pictures(tmp_path: Path) -> Path:
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / f"{i}.png")
    return tmp_path


def drawn(model: InvertFill, batches: Batches) -> torch.Tensor:
    batch = batches(100)
    assert batch.masks is not None
    return model(batch.images, batch.masks).image


def test_with_all_channels_nothing_changes(tool: ModuleType, model: InvertFill, batches: Batches) -> None:
    same = tool.narrow(model, tool.grams(model, batches), 16, 16)
    torch.testing.assert_close(drawn(same, batches), drawn(model, batches), rtol=1e-3, atol=1e-3)


def test_channels_that_say_the_same_become_one(tool: ModuleType, model: InvertFill, batches: Batches) -> None:
    """Channel 3 in front of toRGB is made a copy of channel 5: without it, 5 gets the weights of both."""
    last, generator = model.generator.blocks[-1].conv2, model.generator
    for tensor in (last.weight, last.bias, generator.rgb_affine.weight, generator.rgb_affine.bias):
        tensor[3] = tensor[5]
    gram = tool.grams(model, batches)[3]  # of the sixteen channels and of 1
    weight, kept = generator.rgb_weight.flatten(1), [c for c in range(16) if c != 3]
    fitted, shift = tool.refit(weight, gram, torch.tensor(kept))
    lost = torch.cat([weight, torch.zeros(3, 1)], 1).double()
    whole = (lost @ gram @ lost.T).trace()
    lost[:, [*kept, 16]] -= torch.cat([fitted, shift[:, None]], 1)
    assert (lost @ gram @ lost.T).trace() < 1e-5 * whole
    without = torch.zeros(3, 17, dtype=torch.float64)
    without[:, 3] = weight[:, 3]
    assert (without @ gram @ without.T).trace() > 1e-3 * whole  # what would be lost if it only went


def test_distilling_brings_the_narrow_one_nearer(tool: ModuleType, model: InvertFill, batches: Batches) -> None:
    wanted, small = drawn(model, batches), tool.narrow(model, tool.grams(model, batches), 8, 8)
    assert small.config["generator"]["channels"] == [16, 16, 8, 8]
    before = (drawn(small, batches) - wanted).abs().mean()
    frozen = {n: p.clone() for n, p in small.named_parameters() if n.startswith(("encoder", "generator.blocks.0"))}
    tool.distil(small, model, batches, 30, AdamConfig(lr=1e-3), bf16=False, fills_only=True, lpips=None)
    assert (drawn(small, batches) - wanted).abs().mean() < 0.9 * before
    assert all(torch.equal(p, dict(small.named_parameters())[n]) for n, p in frozen.items())
