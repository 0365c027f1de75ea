"""The fill network (nn/invertfill.py, nn/encoder.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from invertfill.losses.inpainting import composite
from invertfill.nn.encoder import Encoder, EncoderConfig
from invertfill.nn.generators import migan
from invertfill.nn.invertfill import InvertFill
from invertfill.training.config import InversionConfig, load_config
from invertfill.training.inversion import load_model

ROOT = Path(__file__).resolve().parents[1]

GENERATORS: dict[str, dict[str, Any]] = {
    "stylegan2": {"size": 64, "channel_base": 512, "channel_max": 16, "mapping_layers": 2, "latent_dim": 24},
    "mobilestylegan": {"size": 64, "channels": [16, 16, 16, 8, 8], "mapping_layers": 2, "latent_dim": 24},
    "migan": {"size": 64, "channels": [16, 16, 16, 8, 8], "mapping_layers": 2, "latent_dim": 24},
}
TRUNKS: dict[str, dict[str, Any]] = {
    "compact": {"channels": [8, 12, 16], "blocks": [1, 1, 1]},
    "ir_se": {"channels": [4, 8, 8, 16], "blocks": [1, 2, 1, 1]},
}


def config(kind: str = "stylegan2", trunk: str = "compact", **sections: Any) -> dict[str, Any]:
    return {
        "generator": {"kind": kind, **GENERATORS[kind]},
        "encoder": {"trunk": trunk, **TRUNKS[trunk], "pyramid_channels": 8, "structure_channels": 8},
        "premodulation": {"hidden": 8},
        "rgb_branch": {"channels": [4, 8, 8], "bottleneck": 2},
        **sections,
    }


def build(configuration: dict[str, Any]) -> InvertFill:
    torch.manual_seed(0)
    return InvertFill(configuration).eval()


def pictures(size: int = 64, count: int = 2) -> tuple[Tensor, Tensor]:
    """Pictures and masks with a hole each, at another place."""
    mask = torch.zeros(count, 1, size, size)
    for i in range(count):
        mask[i, :, size // 4 * i : size // 4 * i + size // 2, size // 8 : size // 2] = 1
    return torch.rand(count, 3, size, size) * 2 - 1, mask


def open_branch(model: InvertFill) -> None:
    """Move the RGB branch's outputs away from zero, as training does."""
    assert model.rgb_branch is not None
    for parameter in model.rgb_branch.outputs.parameters():
        torch.nn.init.normal_(parameter, std=0.1)


@pytest.mark.parametrize("size", [64, 128, 256, 512, 1024])
def test_every_size_builds_and_runs(size: int) -> None:
    generator = {"size": size, "channel_base": 2 * size, "channel_max": 4, "mapping_layers": 1, "latent_dim": 16}
    configuration = config(trunk="ir_se", generator={"kind": "stylegan2", **generator})
    configuration["rgb_branch"] = {"channels": [2, 2, 4], "bottleneck": 1}
    configuration["encoder"] |= {"channels": [2, 4, 4, 8], "blocks": [1, 1, 1, 1]}
    model = build(configuration)
    image, mask = pictures(size, 1)
    with torch.no_grad():
        output = model(image, mask)
    assert output.image.shape == (1, 3, size, size)
    assert output.image.isfinite().all()
    assert output.w_plus.shape == (1, 2 * size.bit_length() - 4, 16)  # L = 2 log2(s) - 2
    assert [tuple(rgb.shape) for rgb in output.rgb] == [
        (1, 3, side, side) for side in (size // 16, size // 8, size // 4)
    ]


@pytest.mark.parametrize("trunk", TRUNKS)
def test_encoder_codes_of_each_scale(trunk: str) -> None:
    torch.manual_seed(0)
    layout = {key: tuple(value) for key, value in TRUNKS[trunk].items()}
    encoder = Encoder(EncoderConfig(trunk=trunk, **layout, pyramid_channels=8, structure_channels=8), 64, 24).eval()
    rgb, codes, structure = encoder(*pictures())
    assert codes.shape == structure.shape == (2, 3, 24)
    assert [o.shape[-1] for o in rgb] == [4, 8, 16]
    for level in range(3):  # S of a scale comes from that scale's O_E alone
        (gradient,) = torch.autograd.grad(structure[:, level].sum(), rgb[level], retain_graph=True)
        assert gradient.abs().sum() > 0
        others = [o for index, o in enumerate(rgb) if index != level]
        for other in torch.autograd.grad(structure[:, level].sum(), others, retain_graph=True):
            assert other.abs().sum() == 0


@pytest.mark.parametrize("generator", GENERATORS)
def test_zero_branch_is_the_plain_generator(generator: str) -> None:
    """Training starts from G(w*); the branch changes the picture once it isn't zero."""
    model = build(config(generator))
    image, mask = pictures()
    with torch.no_grad():
        output = model(image, mask)
        torch.testing.assert_close(output.image, model.generator.synthesis(output.w_plus), rtol=0, atol=1e-6)
        open_branch(model)
        moved = model(image, mask)
    assert torch.equal(moved.w_plus, output.w_plus)
    assert (moved.image - output.image).abs().mean() > 1e-4


def test_style_code_is_an_offset_from_the_mean_latent() -> None:
    model = build(config())
    model.w_mean.normal_()
    image, mask = pictures()
    with torch.no_grad():
        default, _ = model.encode(image, mask)
        offset = model.encode(image, mask, torch.zeros(1, 24))[0]
        anchors = torch.randn(2, 24)  # one of each picture
        each, _ = model.encode(image, mask, anchors)
    torch.testing.assert_close(default, offset + model.w_mean)
    torch.testing.assert_close(each, offset + anchors[:, None])


@pytest.mark.parametrize("generator", GENERATORS)
def test_stage_2_trains_all_but_the_generator(generator: str) -> None:
    model = build(config(generator)).train()
    open_branch(model)
    for module in model.generator.modules():
        if isinstance(module, migan.StyledConv):  # style has no say before training
            torch.nn.init.normal_(module.affine.weight)
    trainable = [p for p in model.parameters() if p.requires_grad]
    model(*pictures()).image.square().mean().backward()
    parts = {"encoder", "premodulation", "rgb_branch"}
    names = [name for name, p in model.named_parameters() if p.grad is not None]
    assert {name.split(".")[0] for name in names} == parts
    untouched = [name for name, p in model.named_parameters() if name.split(".")[0] in parts and not _moved(p)]
    assert untouched == []  # map2style, map2structure and the RGB heads among them
    assert len(trainable) == len(names)
    assert {id(p) for p in trainable}.isdisjoint(id(p) for p in model.generator.parameters())


def test_zero_branch_still_learns() -> None:
    model = build(config())
    model(*pictures()).image.square().mean().backward()
    assert model.rgb_branch is not None
    assert all(_moved(p) for p in model.rgb_branch.outputs.parameters())


@pytest.mark.parametrize("trunk", TRUNKS)
def test_hole_is_not_looked_at(trunk: str) -> None:
    model = build(config(trunk=trunk))
    open_branch(model)
    image, mask = pictures()
    with torch.no_grad():
        before = model(image, mask)
        hidden = model(torch.where(mask > 0, torch.full_like(image, 9.0), image), mask)
        known = model(torch.where(mask > 0, image, image.flip(1)), mask)
    assert torch.equal(hidden.image, before.image)
    assert torch.equal(hidden.w_plus, before.w_plus)
    assert not torch.allclose(known.image, before.image)
    with torch.no_grad():  # black is not a hole: the mask is an input of its own
        black = model(image * (1 - mask), torch.zeros_like(mask))
    assert not torch.allclose(black.image, before.image)


def test_everything_may_be_a_hole() -> None:
    model = build(config())
    image, _ = pictures()
    with torch.no_grad():
        filled = model(image, torch.ones(2, 1, 64, 64)).image
    assert filled.isfinite().all()
    torch.testing.assert_close(filled[0], filled[1])  # nothing is known, so all are the same


def test_without_rgb_branch() -> None:
    """The W+ ablation."""
    model = build(config(rgb_branch={"channels": []}))
    image, mask = pictures()
    assert not [name for name, _ in model.named_parameters() if name.startswith("rgb_branch")]
    with torch.no_grad():
        output = model(image, mask)
        assert torch.equal(output.image, model.generator.synthesis(output.w_plus))


def test_noise_differs_in_training_only_and_in_the_hole_only() -> None:
    model = build(config(rgb_branch={"channels": [4, 8, 8], "bottleneck": 2, "noise": True}))
    open_branch(model)
    branch = model.rgb_branch
    assert branch is not None
    assert branch.noise is not None
    image, mask = pictures()
    with torch.no_grad():
        for strength in branch.noise.strengths:
            strength.zero_()
        quiet = branch(image, mask)
        for strength in branch.noise.strengths:
            strength.fill_(0.5)
        fixed, again = branch(image, mask), branch(image, mask)
        known_only = branch(image, torch.zeros_like(mask))
        branch.train()
        fresh, other = branch(image, mask), branch(image, mask)
        known_only_fresh = branch(image, torch.zeros_like(mask))
    for size in quiet:
        assert torch.equal(fixed[size], again[size])
        assert not torch.equal(fixed[size], quiet[size])
        assert not torch.equal(fresh[size], other[size])
        assert torch.equal(known_only[size], known_only_fresh[size])
        hole = torch.nn.functional.interpolate(mask, size=(size, size))
        assert (fixed[size] - fresh[size])[hole.expand_as(fixed[size]) > 0].std() > 0


def test_a_model_without_noise_can_be_gone_on_from_with_noise(tmp_path: Path) -> None:
    quiet = build(config())
    noisy = build(config(rgb_branch={"channels": [4, 8, 8], "bottleneck": 2, "noise": True}))
    open_branch(quiet)
    save_file(quiet.state_dict(), tmp_path / "model.safetensors")
    load_model(noisy, tmp_path)
    assert noisy.rgb_branch is not None
    assert noisy.rgb_branch.noise is not None
    image, mask = pictures()
    with torch.no_grad():
        assert not torch.equal(noisy(image, mask).image, quiet(image, mask).image)
        for strength in noisy.rgb_branch.noise.strengths:
            strength.zero_()
        assert torch.equal(noisy(image, mask).image, quiet(image, mask).image)


def test_without_premodulation() -> None:
    model = build(config(premodulation={"enabled": False}))
    image, mask = pictures()
    with torch.no_grad():
        output = model(image, mask)
        _, codes, _ = model.encoder(image * (1 - mask), mask)
    assert not list(model.premodulation.parameters())
    assert torch.equal(output.w_plus, codes[:, list(model.generator.levels)] + model.w_mean)


def test_composite_keeps_known_pixels() -> None:
    model = build(config())
    image, mask = pictures()
    with torch.no_grad():
        raw = model(image, mask).image
    whole = composite(raw, image, mask)
    hole = mask.expand_as(image) > 0
    assert torch.equal(whole[~hole], image[~hole])
    assert torch.equal(whole[hole], raw[hole])


@pytest.mark.parametrize(
    ("path", "parameters", "trained"),
    [
        ("configs/paper-256-inversion", 114.07, 89.30),
        ("configs/compact-256-inversion", 16.47, 7.74),
        ("recipes/faces-256/inversion", 15.77, 6.28),
    ],
)
def test_configs_that_ship_build(path: str, parameters: float, trained: float) -> None:
    """Parameter counts in millions, mapping network included."""
    configuration = load_config(InversionConfig, ROOT / f"{path}.yaml").model
    with torch.device("meta"):
        model = InvertFill(configuration)
    assert _millions(model.parameters()) == pytest.approx(parameters, abs=0.01)
    assert _millions(p for p in model.parameters() if p.requires_grad) == pytest.approx(trained, abs=0.01)


def test_paper_trunk_is_ir_se50() -> None:
    configuration = load_config(InversionConfig, ROOT / "configs/paper-256-inversion.yaml").model
    with torch.device("meta"):
        model = InvertFill(configuration)
        stages = model.encoder.trunk.stages
        taps = model.encoder.trunk(torch.empty(1, 4, 256, 256))
    assert [len(list(stage.children())) for stage in stages] == [3, 4, 14, 3]
    assert [tuple(tap.shape) for tap in taps] == [(1, 128, 64, 64), (1, 256, 32, 32), (1, 512, 16, 16)]


def test_unknown_trunk() -> None:
    with pytest.raises(ValueError, match="'compact' or 'ir_se'"):
        build(config(encoder={"trunk": "vit"}))


def _moved(parameter: Tensor) -> bool:
    return parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)


def _millions(parameters: Iterator[Tensor]) -> float:
    return sum(p.numel() for p in parameters) / 1e6
