"""Stage 2: what a step trains, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training_runs import config_of

from invertfill.errors import InputError
from invertfill.training.config import InversionConfig, load_config
from invertfill.training.inversion import InversionTask


def task(*overrides: str) -> InversionTask:
    torch.manual_seed(0)
    config = load_config(InversionConfig, config_of("inversion"), ["data.path=unused", *overrides])
    return InversionTask(config, "cpu")


def batch(count: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    mask = torch.zeros(count, 1, 32, 32)
    mask[:, :, 8:24, 8:24] = 1
    return torch.nn.functional.interpolate(coarse, size=32, mode="bilinear"), mask


def copies(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def test_everything_but_the_generator_is_trained() -> None:
    it = task()
    before = copies(it.model)
    for step in range(3):  # the RGB branch's outputs start at zero, so what lies before them moves from the second on
        it.train_step(*batch(), step)
    still = {name for name, value in it.model.named_parameters() if torch.equal(value, before[name])}
    assert still == {name for name in before if name.startswith("generator.")}
    trained = sum(len(group["params"]) for group in it.optimizers["model"].param_groups)
    assert trained == len(before) - len(still)


def test_a_batch_can_be_learned_and_every_term_is_reported() -> None:
    it = task("mean_latent.tau=0")
    logs = [it.train_step(*batch(), step) for step in range(40)]
    names = {"total", "valid", "hole", "perceptual", "style", "tv", "msr_perceptual", "msr_style", "msr_rec", "fid"}
    assert set(logs[0]) == names
    assert logs[-1]["total"] < 0.7 * logs[0]["total"]


def test_the_anchor_is_the_mean_latent_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    it = task("mean_latent.tau=0.5")
    seen: list[Tensor] = []
    forward = it.model.forward

    def spy(image: Tensor, mask: Tensor, w_mean: Tensor) -> Any:
        seen.append(w_mean)
        return forward(image, mask, w_mean)

    monkeypatch.setattr(it.model, "forward", spy)
    for step in range(3):
        it.train_step(*batch(), step)
        assert torch.equal(seen[step][0], it.mean_latent.w_o)
    assert not torch.equal(seen[0], seen[1])
    # Inference keeps the long-run mean.
    assert torch.equal(it.ema.w_mean, it.model.w_mean) and not torch.equal(it.ema.w_mean, it.mean_latent.w_o)


def test_shadow_weights_lag_behind_and_share_the_generator() -> None:
    it = task("ema_half_life=1000000")
    start = copies(it.ema)
    for step in range(3):
        it.train_step(*batch(), step)
    assert it.ema.generator is it.model.generator
    name = "encoder.rgb_heads.0.weight"
    now, shadow = dict(it.model.named_parameters())[name], dict(it.ema.named_parameters())[name]
    assert not torch.equal(shadow, start[name]) and not torch.equal(shadow, now)


def test_sample_grid_keeps_known_pixels_and_hides_the_hole_of_the_input() -> None:
    it = task()
    real, mask = batch(2)
    grid = it.sample_grid(real, mask)
    assert grid.shape == (6, 3, 32, 32)
    masked, filled, original = grid[:3]
    assert torch.equal(original, real[0])
    assert torch.equal(filled * (1 - mask[0]), real[0] * (1 - mask[0]))
    assert float((masked * mask[0]).abs().max()) == 0


@pytest.mark.parametrize("key", ["prior", "init"])
def test_missing_weights_are_one_line(key: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights there"):
        task(f"{key}={tmp_path / 'nothing'}")
