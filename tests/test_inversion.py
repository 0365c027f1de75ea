"""Stage 2: what a step trains, and that it learns."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from training_runs import batch_of, config_of

from invertfill.errors import InputError
from invertfill.nn.invertfill import InvertFill
from invertfill.training.checkpoint import save_checkpoint
from invertfill.training.config import AdamConfig, InversionConfig, load_config
from invertfill.training.distributed import seed_step
from invertfill.training.inversion import InversionTask, learning_rate, load_codes, load_metric


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


@pytest.mark.slow
def test_the_paper_s_model_trains_at_full_size(need_weights: Callable[..., None]) -> None:
    """256 px, IR-SE50, all terms of Eqs. 4 to 7 through VGG16: two steps move every part but the generator."""
    need_weights("vgg16-features")
    torch.manual_seed(0)
    path = config_of("inversion").with_name("paper-256-inversion.yaml")
    it = InversionTask(load_config(InversionConfig, path, ["prior=null"]), "cpu")
    assert not it.config.losses.composite and it.config.model.blend == "none"
    pictures, masks = (torch.nn.functional.interpolate(x, size=256) for x in batch(2))
    before = copies(it.model)
    logs = [it.train_step(batch_of(pictures, masks), step) for step in range(2)]
    names = {"valid", "hole", "perceptual", "style", "tv", "msr_perceptual", "msr_style", "msr_rec", "fid"}
    assert set(logs[0]) == {"total", *names} and all(math.isfinite(value) for log in logs for value in log.values())
    parts = {"encoder", "premodulation", "rgb_branch", "generator"}
    moved = {name.split(".")[0] for name, value in it.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == parts - {"generator"} and all(value.isfinite().all() for value in it.model.parameters())


def test_everything_but_the_generator_is_trained() -> None:
    it = task()
    before = copies(it.model)
    for step in range(3):  # the RGB branch's outputs start at zero, so what lies before them moves from the second on
        it.train_step(batch_of(*batch()), step)
    still = {name for name, value in it.model.named_parameters() if torch.equal(value, before[name])}
    assert still == {name for name in before if name.startswith("generator.")}
    trained = sum(len(group["params"]) for group in it.optimizers["model"].param_groups)
    assert trained == len(before) - len(still)


def test_parts_learn_at_their_multiples_of_the_learning_rate() -> None:
    it = task("lr_mult={encoder: 0, premodulation: 0.1, generator: 0.5}", "optimizer={lr: 0.01, beta1: 0}")
    before = copies(it.model)
    it.train_step(batch_of(*batch()), 0)
    moved = {name: (value - before[name]).abs().max().item() for name, value in it.model.named_parameters()}
    assert not any(way for name, way in moved.items() if name.startswith(("encoder.", "generator.mapping.")))
    # Adam's first step is lr wherever there is a gradient.
    for part, rate in {"premodulation": 0.1, "rgb_branch": 1, "generator": 0.5}.items():
        furthest = max(way for name, way in moved.items() if name.startswith(f"{part}."))
        assert furthest == pytest.approx(0.01 * rate, rel=1e-3), part
    assert it.ema.generator is not it.model.generator  # it lags behind, as all that learns
    with pytest.raises(InputError, match="lr_mult"):
        task("lr_mult={encoder: 0, premodulation: 0, rgb_branch: 0}")


@pytest.mark.parametrize(
    "generator",
    ["{kind: stylegan2, size: 64}"]
    + [f"{{kind: {kind}, size: 64, channels: [16, 16, 16, 16, 16]}}" for kind in ("mobilestylegan", "migan")],
)
def test_more_levels_than_the_generator_has_are_an_input_error(generator: str) -> None:
    with pytest.raises(InputError, match=r"rgb_branch.channels: 7; accepted: up to [45]"):
        task(f"model.generator={generator}", "model.rgb_branch={channels: [8, 8, 8, 8, 8, 8, 8]}")


@pytest.mark.slow
def test_a_batch_can_be_learned_and_every_term_is_reported() -> None:
    it = task("mean_latent.tau=0")
    logs = [it.train_step(batch_of(*batch()), step) for step in range(40)]
    assert set(logs[0]) == {"total", "valid", "hole", "tv", "msr_rec", "fid"}
    assert logs[-1]["total"] < 0.7 * logs[0]["total"]


def test_the_anchor_is_the_mean_latent_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    it = task("mean_latent.tau=0.5")
    seen: list[Tensor] = []
    encode = it.model.encode

    def spy(image: Tensor, mask: Tensor, w_mean: Tensor) -> Any:
        seen.append(w_mean)
        return encode(image, mask, w_mean)

    monkeypatch.setattr(it.model, "encode", spy)
    for step in range(3):
        it.train_step(batch_of(*batch()), step)
        assert torch.equal(seen[step][0], it.mean_latent.w_o)
    assert not torch.equal(seen[0], seen[1])
    # Inference keeps the long-run mean.
    assert torch.equal(it.ema.w_mean, it.model.w_mean) and not torch.equal(it.ema.w_mean, it.mean_latent.w_o)


def test_shadow_weights_lag_behind_and_share_the_generator() -> None:
    it = task("ema_half_life=1000000")
    start = copies(it.ema)
    for step in range(3):
        it.train_step(batch_of(*batch()), step)
    assert it.ema.generator is it.model.generator
    name = "encoder.rgb_heads.0.weight"
    now, shadow = dict(it.model.named_parameters())[name], dict(it.ema.named_parameters())[name]
    assert not torch.equal(shadow, start[name]) and not torch.equal(shadow, now)


def test_sample_grid_keeps_known_pixels_and_hides_the_hole_of_the_input() -> None:
    it = task()
    real, mask = batch(2)
    grid = it.sample_grid(batch_of(real, mask))
    assert grid.shape == (6, 3, 32, 32)
    masked, filled, original = grid[:3]
    assert torch.equal(original, real[0])
    assert torch.equal(filled * (1 - mask[0]), real[0] * (1 - mask[0]))
    assert float((masked * mask[0]).abs().max()) == 0


@pytest.mark.parametrize("key", ["prior", "init"])
def test_missing_weights_are_one_line(key: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="accepted"):
        task(f"{key}={tmp_path / 'nothing'}")


def test_codes_alone_train_encoder_and_pre_modulation_only(tmp_path: Path) -> None:
    it = task(f"codes={tmp_path}", "losses.code=1", "through_generator=false", "mean_latent.tau=0")
    before = copies(it.model)
    it.codes = it.generator.mapping(torch.randn(4, 32, generator=torch.Generator().manual_seed(2))).detach()
    logs = [it.train_step(batch_of(*batch()), step) for step in range(40)]
    assert set(logs[0]) == {"total", "msr_rec", "code"}
    assert logs[-1]["code"] < 0.75 * logs[0]["code"]
    moved = {name.split(".")[0] for name, value in it.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"encoder", "premodulation"}


def test_pictures_drawn_from_their_code_are_all_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = task(f"codes={tmp_path}", "from_code=1")
    real, mask = batch()
    codes = it.generator.mapping(torch.randn(4, 32)).detach()
    codes[0] = math.nan
    it.codes = codes
    seen: dict[str, Tensor] = {}

    def draw(image: Tensor, hole: Tensor, w_plus: Tensor) -> Tensor:
        seen.update(hole=hole, w_plus=w_plus)
        return InvertFill.draw(it.model, image, hole, w_plus)

    monkeypatch.setattr(it.model, "draw", draw)
    given = batch_of(real, mask)
    given.mirrored[1] = True  # another picture than the code's
    it.train_step(given, 0)
    assert torch.equal(seen["hole"][:2], mask[:2]) and bool((seen["hole"][2:] == 1).all())
    assert torch.equal(seen["w_plus"][2:], codes[2:, None].expand_as(seen["w_plus"][2:]))
    assert not seen["w_plus"].isnan().any()


def test_code_loss_is_in_standard_deviations_and_skips_the_unknown(tmp_path: Path) -> None:
    it = task(f"codes={tmp_path}", "losses.code=1")
    codes = torch.randn(3, 32)
    z = torch.randn(4096, 32, generator=torch.Generator().manual_seed(0))
    w_plus = (codes + 2 * it.generator.mapping(z).std(0).detach())[:, None].repeat(1, 6, 1)
    assert float(it._code_loss(w_plus, codes)) == pytest.approx(4, rel=1e-4)
    codes[0] = math.nan
    assert float(it._code_loss(w_plus, codes)) == pytest.approx(4 * 2 / 3, rel=1e-4)
    codes[:] = math.nan
    assert float(it._code_loss(w_plus, codes)) == 0


def test_code_metric_weighs_directions(tmp_path: Path) -> None:
    factor = torch.zeros(32, 32)
    factor[0, 0] = 3  # only the first entry is visible
    save_file({"factor": factor}, tmp_path / "metric.safetensors")
    it = task(f"codes={tmp_path}", "losses.code=1", f"code_metric={tmp_path / 'metric.safetensors'}")
    codes = torch.randn(2, 32)
    w_plus = codes[:, None].repeat(1, 6, 1)
    w_plus[..., 1:] += 7
    assert float(it._code_loss(w_plus, codes)) == 0
    w_plus[..., 0] += 2
    assert float(it._code_loss(w_plus, codes)) == pytest.approx((2 * 3) ** 2 / 32, rel=1e-4)


def test_a_code_metric_of_another_kind(tmp_path: Path) -> None:
    save_file({"factor": torch.eye(5)}, tmp_path / "small.safetensors")
    save_file({"other": torch.eye(32)}, tmp_path / "other.safetensors")
    for name, message in (("small", "accepted: .32, 32."), ("other", "'factor'"), ("none", "'factor'")):
        with pytest.raises(InputError, match=message):
            load_metric(tmp_path / f"{name}.safetensors", 32)


def test_codes_are_found_by_the_pictures_names(tmp_path: Path) -> None:
    w = torch.randn(3, 8)
    save_file({"seed": torch.tensor([4, 12, 7]), "w": w}, tmp_path / "codes.safetensors")
    found = load_codes(tmp_path / "codes.safetensors", ["000007.webp", "sub/4.png", "5.png", "cat.png"])
    assert torch.equal(found[:2], w[[2, 0]]) and found[2:].isnan().all()
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    for name in ("nothing", "junk.safetensors"):
        with pytest.raises(InputError, match=name):
            load_codes(tmp_path / name, [])


@pytest.mark.slow
def test_compiled_it_trains_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    # Traced and differentiated ahead of time, as on a GPU, but run as it is: a compiler takes too long for a test.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", fullgraph=True))
    plain, compiled = task("model.rgb_branch.noise=true"), task("model.rgb_branch.noise=true", "compile=true")
    for step in range(2):
        losses = []
        for it in (plain, compiled):
            seed_step(0, step)
            losses.append(it.train_step(batch_of(*batch()), step)["total"])
        torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(plain.model.state_dict(), compiled.model.state_dict(), rtol=1e-4, atol=1e-5)


def test_learning_rate_rises_then_follows_a_cosine() -> None:
    adam = AdamConfig(lr=2.0, warmup=4, decay="cosine")
    assert [learning_rate(adam, step, 1000) for step in (0, 1)] == pytest.approx([0.5, 1.0], rel=1e-4)
    assert learning_rate(adam, 500, 1000) == pytest.approx(2.0 * 0.51)
    assert learning_rate(adam, 1000, 1000) == pytest.approx(2.0 * 0.02)
    assert learning_rate(AdamConfig(lr=2.0), 7, 10) == 2.0


def test_gradients_are_clipped_together() -> None:
    it = task("optimizer.clip=0.001")
    it.train_step(batch_of(*batch()), 0)
    gradients = [p.grad for p in it.model.parameters() if p.grad is not None]
    assert float(torch.stack([g.norm() for g in gradients]).norm()) == pytest.approx(0.001, rel=1e-3)


@pytest.mark.slow
def test_losses_of_the_composite_and_a_discriminator_that_learns(need_weights: Callable[..., None]) -> None:
    need_weights("alexnet-features", "lpips-alexnet-linear")
    size = ["model.generator.size=64"]
    it = task("losses.border=1", "losses.lpips=1", "losses.adversarial=0.1", "optimizer.lr=0.002", *size)
    real, mask = (torch.nn.functional.interpolate(t, size=64) for t in batch())
    logs = [it.train_step(batch_of(real, mask), step) for step in range(12)]
    assert {"border", "lpips", "discriminator", "adversarial"} <= set(logs[0])
    assert logs[-1]["lpips"] < logs[0]["lpips"]
    assert logs[-1]["discriminator"] < 0.8 * logs[0]["discriminator"]
    assert all(p.requires_grad for p in it.modules["discriminator"].parameters())


def test_feature_losses_see_a_window_of_the_picture(
    need_weights: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_weights("alexnet-features", "lpips-alexnet-linear")
    it = task("losses.lpips=1", "losses.lpips_crop=48", "model.generator.size=64")
    real, mask = (torch.nn.functional.interpolate(t, size=64) for t in batch())
    seen: list[torch.Tensor] = []
    assert it.lpips
    stages = it.lpips.stages
    monkeypatch.setattr(it.lpips, "stages", lambda pictures: seen.append(pictures.detach()) or stages(pictures))
    for step in range(4):
        it.train_step(batch_of(real, mask), step)
    windows = real.unfold(2, 48, 1).unfold(3, 48, 1)  # (N, 3, 17, 17, 48, 48)
    places = [(windows == target[:, :, None, None]).all((0, 1, 4, 5)).nonzero().tolist() for target in seen[1::2]]
    assert all(len(place) == 1 for place in places) and len({str(place) for place in places}) > 1


def test_folded_normalisation_is_the_same_encoder(tmp_path: Path) -> None:
    it = task("model.encoder.norm=true")
    for step in range(3):
        it.train_step(batch_of(*batch()), step)
    save_checkpoint(tmp_path, 3, it.config.model_dump(mode="json"), {}, it.modules, {}, keep=1)
    plain = task(f"init={tmp_path}").model.eval()
    assert not [m for m in plain.encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        torch.testing.assert_close(plain(*batch()).image, it.ema(*batch()).image, atol=1e-5, rtol=1e-4)
