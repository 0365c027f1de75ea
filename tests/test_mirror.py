"""models/mirror.py: what the hole is told of the other half."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from invertfill.export import export_model
from invertfill.models.invertfill import InvertFill
from invertfill.models.mirror import GAIN, Mirror
from invertfill.training.inversion import load_model

CONFIGS = {
    "unet": {
        "generator": {"kind": "mobilestylegan", "size": 32, "channels": [8, 8, 8, 8], "latent_dim": 16},
        "encoder": {"channels": [8, 8, 8], "blocks": [1, 1, 1], "pyramid_channels": 8, "structure_channels": 8},
        "premodulation": {"hidden": 4},
        "rgb_branch": {"channels": [4, 4, 8], "bottleneck": 1},
    },
    "migan": {
        "generator": {"kind": "migan", "size": 32, "channels": [8, 8, 8, 4], "latent_dim": 16},
        "encoder": {"channels": [8, 8, 8], "blocks": [1, 1, 1], "pyramid_channels": 8, "structure_channels": 8},
        "premodulation": {"hidden": 4},
        "rgb_branch": {"kind": "migan"},
    },
}


def example() -> tuple[torch.Tensor, torch.Tensor]:
    """A picture, zero in its hole, and the mask: columns 16 to 27 of 32, of which 4 to 15 mirror all."""
    torch.manual_seed(1)
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 16:28] = 1
    return (torch.rand(1, 3, 32, 32) * 2 - 1) * (1 - mask), mask


@torch.no_grad()
def test_the_hole_gets_the_other_half_and_whether_it_is_known() -> None:
    mirror = Mirror(4)
    image, mask = example()
    assert not mirror(image, mask).any()
    for channel in range(4):
        mirror.conv.weight[channel, channel, 1, 1] = 1 / GAIN
    mask[..., 4:8] = 1  # these, and so what mirrors them: 24 to 27
    image = image * (1 - mask)
    seen = mirror(image, mask)
    torch.testing.assert_close(seen[:, :3, :, 16:24], image.flip(3)[..., 16:24])
    assert (seen[:, 3, :, 16:24] == 1).all()
    for unknown in (slice(24, 28), slice(4, 8)):
        assert not seen[..., unknown].any()
    assert not seen[..., :4].any() and not seen[..., 8:16].any() and not seen[..., 28:].any()  # known pixels


@pytest.mark.parametrize("kind", CONFIGS)
@torch.no_grad()
def test_a_model_that_begins_to_look_fills_as_before_and_then_by_what_it_sees(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = CONFIGS[kind]
    model = InvertFill(config).eval()
    if kind == "unet":  # whose outputs start at zero
        for parameter in model.rgb_branch.outputs.parameters():
            torch.nn.init.normal_(parameter)
    folder = export_model(model, tmp_path / "model", {})
    looking = InvertFill({**config, "rgb_branch": {**config["rgb_branch"], "mirror": True}}).eval()
    load_model(looking, folder)
    load_model(model, folder)  # in half precision, as the other
    image, mask = example()
    filled = looking(image, mask).image
    assert torch.equal(filled, model(image, mask).image)
    torch.nn.init.normal_(looking.rgb_branch.mirror.conv.weight)
    assert not torch.equal(filled, looking(image, mask).image)


@torch.no_grad()
def test_details_of_the_other_half_reach_the_finest_features() -> None:
    torch.manual_seed(0)
    branch = InvertFill({**CONFIGS["migan"], "rgb_branch": {"kind": "migan", "mirror": True}}).rgb_branch
    torch.nn.init.normal_(branch.mirror.conv.weight)
    image, mask = example()
    changed = torch.cat([image[..., :4], image[..., 4:16] + 0.5, image[..., 16:]], 3)
    before, after = (branch(x, mask)[32][..., 20:24] for x in (image, changed))  # farther than convolutions reach there
    assert (before != after).all(3).any()
