"""Stage 1: the step's parts against their formulas, and a few steps of a tiny run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from training_runs import batch_of

from invertfill.nn.generators.stylegan2 import StyleGAN2Config
from invertfill.training import diffaugment as aug
from invertfill.training import gan
from invertfill.training.config import AdamConfig, GanConfig


def tiny(tmp_path: Path, **changes: Any) -> GanConfig:
    narrow = {"channel_base": 64, "channel_max": 8}
    return GanConfig.model_validate(
        {
            "name": "tiny",
            "out": tmp_path,
            "steps": 3,
            "batch": 4,
            "data": {"path": tmp_path},
            "generator": {"size": 16, "latent_dim": 16, "mapping_layers": 2, **narrow},
            "discriminator": {**narrow, "mbstd_group": 2},
            "r1_every": 2,
            "path_every": 2,
            "precision": "fp32",
            **changes,
        }
    )


def real(count: int = 4) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_losses_against_the_logarithms() -> None:
    on_real, on_fake = torch.tensor([0.3, -2.0]), torch.tensor([1.5, -0.2])
    d_real, d_fake = on_real.sigmoid(), on_fake.sigmoid()
    torch.testing.assert_close(
        gan.discriminator_loss(on_real, on_fake), -(d_real.log().mean() + (1 - d_fake).log().mean())
    )
    torch.testing.assert_close(gan.generator_loss(on_fake), -d_fake.log().mean())


def test_r1_against_a_known_gradient() -> None:
    torch.manual_seed(0)
    images, weight = torch.randn(5, 3, 4, 4, requires_grad=True), torch.randn(3, 4, 4, requires_grad=True)
    logits = (weight * images.square()).sum(dim=(1, 2, 3))  # gradient: 2 * weight * image
    penalty = gan.r1_penalty(logits, images)
    expected = (2 * weight * images).square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(penalty, expected)
    found, wanted = torch.autograd.grad(penalty, weight)[0], torch.autograd.grad(expected, weight)[0]
    torch.testing.assert_close(found, wanted)


def test_path_lengths_of_a_linear_generator() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(3 * 4 * 4, 6, requires_grad=True)
    w_plus = torch.randn(2, 5, 6, requires_grad=True)
    image = (w_plus.sum(dim=1) @ matrix.t()).view(2, 3, 4, 4)  # J^T y is the same for each layer: matrix^T y
    torch.manual_seed(7)
    lengths = gan.path_lengths(image, w_plus)
    torch.manual_seed(7)
    y = torch.randn(2, 3, 4, 4) / math.sqrt(16)
    expected = (y.flatten(1) @ matrix).norm(dim=1)
    torch.testing.assert_close(lengths, expected)
    found = torch.autograd.grad(lengths.sum(), matrix)[0]
    torch.testing.assert_close(found, torch.autograd.grad(expected.sum(), matrix)[0])


def test_path_mean_moves_and_penalises() -> None:
    path_mean = gan.PathMean()
    path_mean.mean.fill_(1.0)
    penalty = path_mean(torch.tensor([2.0, 4.0], requires_grad=True), decay=0.1)
    assert path_mean.mean.item() == pytest.approx(1.2)  # 1 + 0.1 * (3 - 1)
    assert penalty.item() == pytest.approx((0.8**2 + 2.8**2) / 2)
    assert set(path_mean.state_dict()) == {"mean"}


def test_ema() -> None:
    average, current = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    with torch.no_grad():
        average.weight.fill_(1.0)
        current.weight.fill_(3.0)
        current.running_mean.fill_(5.0)  # type: ignore[union-attr]
    gan.update_ema(average, current, 0.75)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.running_mean.tolist() == [5.0, 5.0]  # type: ignore[union-attr]
    # 100 steps of 10 pictures are one half-life of 1,000; early on the half-life is 5 % of what was seen.
    assert gan.ema_decay(10, 10**6, 1000) ** 100 == pytest.approx(0.5)
    assert gan.ema_decay(10, 2000, 1000) ** 10 == pytest.approx(0.5)
    assert gan.ema_decay(10, 2000, 0) == 0


def test_adam_is_scaled_for_lazy_regularisers() -> None:
    config = AdamConfig(lr=0.0025, beta1=0.5, beta2=0.99)
    group = gan.lazy_adam(nn.Linear(1, 1), config, 4).param_groups[0]
    assert group["lr"] == pytest.approx(0.002)
    assert group["betas"] == pytest.approx((0.5**0.8, 0.99**0.8))
    plain = gan.lazy_adam(nn.Linear(1, 1), config, 0).param_groups[0]
    assert (plain["lr"], plain["betas"]) == (0.0025, (0.5, 0.99))


def test_style_mixing() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Config(size=16, channel_base=64, channel_max=8, mapping_layers=1, latent_dim=8).build()
    cpu = torch.device("cpu")
    same = gan.mixed_styles(generator, 4, 0.0, cpu)
    assert same.shape == (4, 6, 8) and torch.equal(same, same[:, :1].expand_as(same))
    mixed = gan.mixed_styles(generator, 64, 1.0, cpu)
    assert not torch.isclose(mixed[:, 0], mixed[:, -1]).all(dim=1).any()  # every image has two latents
    changes = (mixed[:, 1:] != mixed[:, :-1]).any(dim=2).sum(dim=1)
    assert (changes == 1).all()  # and takes over once
    share = (gan.mixed_styles(generator, 1000, 0.3, cpu).diff(dim=1).abs().amax(dim=(1, 2)) > 0).float().mean()
    assert share.item() == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("augment", ["none", "diffaugment"])
def test_a_few_steps(tmp_path: Path, augment: str) -> None:
    torch.manual_seed(0)
    task = gan.GanTask(tiny(tmp_path, augment=augment), "cpu")
    before = {name: [p.clone() for p in module.parameters()] for name, module in task.modules.items()}
    logs = [task.train_step(batch_of(real()), step) for step in range(3)]
    assert set(logs[0]) == {"discriminator", "real", "fake", "r1", "generator", "path"}
    assert set(logs[1]) == {"discriminator", "real", "fake", "generator"}
    assert all(math.isfinite(value) for log in logs for value in log.values())
    for name in ("generator", "discriminator", "ema"):
        now = list(task.modules[name].parameters())
        moved = [not torch.equal(a, b) for a, b in zip(before[name], now, strict=True)]
        assert all(moved), (name, moved)
    assert task.path_mean.mean > 0
    assert all(p.requires_grad for p in task.discriminator.parameters())
    assert not any(p.requires_grad for p in task.ema.parameters())


def test_steps_repeat_bit_for_bit(tmp_path: Path) -> None:
    def run() -> list[dict[str, float]]:
        torch.manual_seed(0)
        task = gan.GanTask(tiny(tmp_path, augment="diffaugment"), "cpu")
        return [task.train_step(batch_of(real()), step) for step in range(3)]

    assert run() == run()


def test_discriminator_learns_to_tell(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = gan.GanTask(tiny(tmp_path, optimizer={"lr": 0.01, "beta1": 0.0, "beta2": 0.99}), "cpu")
    logs = [task._train_discriminator(real()) for _ in range(30)]
    assert logs[-1]["discriminator"] < logs[0]["discriminator"] / 4
    assert logs[-1]["real"] > logs[-1]["fake"]


def test_sample_grid_is_the_same_at_every_call(tmp_path: Path) -> None:
    task = gan.GanTask(tiny(tmp_path, sample_count=9), "cpu")
    grid = task.sample_grid(batch_of(real()))
    assert grid.shape == (9, 3, 16, 16) and grid.abs().max() <= 1
    assert torch.equal(grid, task.sample_grid(batch_of(real())))
    assert not torch.equal(grid[0], grid[1])


@pytest.mark.parametrize("change", [aug.colour, aug.translation, aug.cutout, aug.augment])
def test_augmentation_keeps_shape_and_range_and_has_a_gradient(change: Any) -> None:
    torch.manual_seed(0)
    images = (torch.rand(64, 3, 16, 12) * 2 - 1).requires_grad_()
    changed = change(images)
    assert changed.shape == images.shape and changed.dtype == images.dtype
    assert changed.abs().max() <= 1
    assert not torch.equal(changed, images)
    (gradient,) = torch.autograd.grad(changed.square().sum(), images, create_graph=True)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0
    (second,) = torch.autograd.grad(gradient.square().sum(), images)  # what R1 asks for
    assert second.isfinite().all() and second.abs().sum() > 0


def test_translation_moves_whole_pixels() -> None:
    torch.manual_seed(0)
    images = torch.rand(32, 3, 16, 16) + 0.1
    moved = aug.translation(images)
    seen = set()
    for before, after in zip(images, moved, strict=True):
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(after, _shift(before, down, right))
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 5


def _shift(image: Tensor, down: int, right: int) -> Tensor:
    wide = nn.functional.pad(image, (2, 2, 2, 2))
    return wide[:, 2 - down : 18 - down, 2 - right : 18 - right]


def test_cutout_takes_a_rectangle() -> None:
    torch.manual_seed(0)
    gone = (aug.cutout(torch.ones(200, 1, 16, 16)) == 0).float().mean(dim=(1, 2, 3))
    assert (gone > 0.05).all() and gone.max() <= 81 / 256  # 9 x 9: half of 16 each way of a pixel's centre
