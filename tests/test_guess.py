"""An encoder that guesses z: the Gaussians, the four paths of training, and what fills do with it."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, script
from PIL import Image
from safetensors.torch import save_file
from test_export import CONFIGS, random_model
from torch import Tensor, nn
from training_runs import batch_of, draw_pictures

import invertfill
from invertfill.engines import open_engine
from invertfill.engines.base import CropRequest, latent_of
from invertfill.errors import InputError
from invertfill.export import export_model
from invertfill.losses.lpips import LPIPS
from invertfill.nn.encoder import Gaussian
from invertfill.nn.invertfill import InvertFill
from invertfill.options import FillOptions
from invertfill.registry import find_model, find_models
from invertfill.training import inversion, loop
from invertfill.training.checkpoint import newest_checkpoint
from invertfill.training.config import InversionConfig, parse_config
from invertfill.training.guess import DRAWN, GuessTask, windows
from invertfill.training.inversion import load_layers

pytestmark = pytest.mark.slow

CONFIG = CONFIGS["migan-that-guesses-z"]


def run_config(**changes: Any) -> InversionConfig:
    model = {key: dict(value) if isinstance(value, dict) else value for key, value in CONFIG.items()}
    tree = {
        "name": "guess",
        "out": "unused",
        "steps": 8,
        "batch": 4,
        "seed": 3,
        "data": {"path": "unused", "workers": 1},
        "model": model,
        "masks": {"kind": "freeform"},
        "losses": {"perceptual": 0, "style": 0, "tv": 0, "msr": 0.4, "lpips": 1, "adversarial": 0.1, "lpips_crop": 32},
        "lr_mult": {"generator": 1},
        "guess": {"freeze": 0, "ramp": 0},
        "optimizer": {"lr": 0.001},
    }
    return parse_config(InversionConfig, {**tree, **changes}, "test")


@pytest.fixture(autouse=True)
def no_pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inversion, "LPIPS", partial(LPIPS, pretrained=False))


def batch(count: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.zeros(count, 1, 32, 32)
    mask[:, :, 8:24, 8:24] = 1
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=32, mode="bilinear"), mask


def test_divergence_of_gaussians_is_torch_s() -> None:
    torch.manual_seed(0)
    a, b = (Gaussian(torch.randn(5, 7), torch.randn(5, 7)) for _ in range(2))
    theirs = [torch.distributions.Normal(g.mean, (g.log_variance / 2).exp()) for g in (a, b)]
    expected = torch.distributions.kl_divergence(*theirs).sum(1)
    torch.testing.assert_close(a.divergence(b), expected)
    deviation = torch.randn(5, 7)
    torch.testing.assert_close((a.at(deviation) - a.mean) / theirs[0].stddev, deviation)


def test_the_guess_doesn_t_see_the_hole_and_its_variance_is_bounded() -> None:
    model = random_model(CONFIG)
    image, mask = batch()
    other = torch.where(mask > 0, torch.rand_like(image) * 2 - 1, image)
    guesses = [model.encoder.gaussian(model.encoder.pyramid(x * (1 - mask), mask)) for x in (image, other)]
    assert torch.equal(guesses[0].mean, guesses[1].mean)
    wild = model.encoder.gaussian([1000 * level for level in model.encoder.pyramid(image, mask)])
    assert wild.log_variance.min() >= -4 and wild.log_variance.max() <= 0.5
    with torch.no_grad():
        assert torch.equal(model(image, mask).image, model(other, mask).image)


def test_the_encoder_sees_a_larger_picture_averaged_down() -> None:
    config = {**CONFIG, "generator": {**CONFIG["generator"], "size": 64, "channels": [16, 16, 8, 8, 8]}}
    model = random_model(config)
    image, mask = batch()
    large, holes = (t.repeat_interleave(2, 2).repeat_interleave(2, 3) for t in (image, mask))
    for a, b in zip(model.encoder.pyramid(large, holes), model.encoder.pyramid(image, mask), strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        assert model(large, holes).image.shape == (4, 3, 64, 64)


def test_a_deviation_moves_the_style_code_and_0_is_the_guess() -> None:
    model = random_model(CONFIG)
    image, mask = batch()
    with torch.no_grad():
        guess = model.encoder.gaussian(model.encoder.pyramid(image * (1 - mask), mask))
        code, _ = model.encode(image, mask)
        offset, _ = model.encode(image, mask, torch.zeros(1, 24))
        torch.testing.assert_close(code - offset, model.generator.mapping(guess.mean)[:, None].expand_as(code))
        moved, _ = model.encode(image, mask, deviation=torch.ones(4, 4))
        z = guess.mean + (guess.log_variance / 2).exp()
        torch.testing.assert_close(moved - offset, model.generator.mapping(z)[:, None].expand_as(code))


def test_a_step_trains_every_part_and_reports_every_term() -> None:
    torch.manual_seed(0)
    task = GuessTask(run_config(), "cpu")
    before = {name: p.detach().clone() for name, p in task.model.named_parameters()}
    for step in range(6):
        torch.manual_seed(step)
        logs = task.train_step(batch_of(*batch()), step)
        assert all(math.isfinite(value) for value in logs.values()), logs
    still = {name for name, p in task.model.named_parameters() if torch.equal(p, before[name])}
    # The fixed noise; and a generator of 32 px has no layer that takes the fine vector.
    fixed = ("generator.first.0.noise", "encoder.map2style.2.", "encoder.map2structure.2.")
    assert still == {name for name in before if name.startswith(fixed)}
    assert {"valid", "hole", "lpips", "adversarial", "recover", "msr", "fid", "follow", "standard"} <= set(logs)


def test_trained_layers_wait_and_styles_hurry() -> None:
    torch.manual_seed(0)
    config = run_config(guess={"freeze": 4, "affine": 8}, optimizer={"lr": 0.001, "beta1": 0})
    task = GuessTask(config, "cpu")
    before = {name: p.detach().clone() for name, p in task.model.named_parameters()}

    def moved(part: str) -> float:
        return max(
            float((p.detach() - before[name]).abs().max()) for name, p in task.model.named_parameters() if part in name
        )

    torch.manual_seed(0)
    task.train_step(batch_of(*batch()), 0)
    assert moved("generator.second.0.pointwise") == moved("rgb_branch.from_rgb") == 0
    # Adam's first step is the rate wherever there is a gradient.
    assert moved("encoder.trunk") == pytest.approx(0.001, rel=1e-2)
    assert moved("generator.second.0.affine") == pytest.approx(0.008, rel=1e-2)
    task.train_step(batch_of(*batch()), 1)
    assert moved("generator.second.0.pointwise") > 0


def test_drawn_fills_are_not_compared_with_the_truth() -> None:
    """Far inside a hole, the truth has no say in what z ~ p draws."""
    torch.manual_seed(0)
    only_drawn = {"paths": {"whole": 0, "mean": 0, "drawn": 1, "anchor": 0}, "all_hole": 0, "freeze": 0}
    task = GuessTask(run_config(guess=only_drawn), "cpu")
    image, mask = batch()
    mask[:] = 0
    mask[..., 2:30, 2:30] = 1
    inside = torch.zeros_like(mask)
    inside[..., 12:20, 12:20] = 1
    other = torch.where(inside > 0, -image, image)
    drawn = torch.full((4,), DRAWN)
    fill = torch.rand_like(image, requires_grad=True)
    gradients = []
    for truth in (image, other):
        torch.manual_seed(1)
        terms = task._losses(fill, truth, mask, drawn, 0)
        compared = terms["hole"][1] + terms["lpips"][1] + terms["valid"][1]
        gradients.append(torch.autograd.grad(compared, fill)[0])
    assert torch.equal(*gradients)
    assert gradients[0][..., 2:10, 2:10].abs().sum() > 0  # near what is known it has


def test_q_tells_a_set_amount_more_than_p() -> None:
    """In proportion to the hole: q comes closer where it tells more and goes off where it tells less; p follows."""
    task = GuessTask(run_config(guess={"nats": 20, "ramp": 0}), "cpu")
    empty, half = torch.zeros(4, dtype=torch.bool), torch.full((4, 1, 8, 8), 0.5)
    for distance, direction in ((1.0, -1), (3.0, 1)):  # 4 entries: 2 and 18 nats
        p_mean, q_mean = torch.zeros(4, 4, requires_grad=True), torch.full((4, 4), distance, requires_grad=True)
        p, q = (Gaussian(mean, torch.zeros(4, 4)) for mean in (p_mean, q_mean))
        terms = task._divergences(p, q, half, empty, 0)
        torch.stack([weight * term for weight, term in terms.values()]).sum().backward()
        assert p_mean.grad is not None and p_mean.grad.max() < 0
        assert q_mean.grad is not None and torch.equal(q_mean.grad.sign(), torch.full((4, 4), float(direction)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": {"perceptual": 0, "style": 0, "lpips": 1}}, "losses.tv"),
        ({"losses": {"perceptual": 0, "style": 0, "tv": 0, "border": 1, "lpips": 1}}, "losses.border"),
        ({"compile": True}, "compile"),
        ({"losses": {"perceptual": 0, "style": 0, "tv": 0}}, "losses.lpips"),
        ({"model": {**CONFIG, "rgb_branch": {"kind": "unet"}}}, "rgb_branch.kind=migan"),
    ],
)
def test_what_does_not_apply_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_config(**changes)


def test_what_a_code_is_worth_is_nothing_where_the_generator_leaves_it_aside() -> None:
    code = script(ROOT / "benchmarks" / "code.py")
    image, mask = batch()
    holes = list(mask.split(1))
    model = random_model(CONFIG).eval()
    found = code.measure(model, list(image.split(1)), holes, samples=3, distance=F.l1_loss)
    assert found["best of drawn"] <= found["drawn"] and found["four apart"] > 0
    assert len({found[name] for name in ("default", "mean latent", "random z", "whole", "drawn")}) == 5
    for name, parameter in model.named_parameters():
        if ".affine.weight" in name or name.startswith("generator.layout"):
            nn.init.zeros_(parameter)
    found = code.measure(model, list(image.split(1)), holes, samples=3, distance=F.l1_loss)
    same = [found[name] for name in ("mean latent", "random z", "whole", "drawn", "best of drawn")]
    assert same == pytest.approx([found["default"]] * 5, rel=1e-5)
    assert found["four apart"] == pytest.approx(0, abs=1e-5)


def test_windows_show_the_hole() -> None:
    torch.manual_seed(0)
    mask = torch.zeros(2, 1, 64, 64)
    mask[0, :, 60:62, 3] = 1
    mask[1, :, 30, 40:44] = 1
    seen = torch.cat([windows(mask, mask, 16) for _ in range(20)])
    assert (seen.sum((1, 2, 3)) > 0).all()
    assert windows(mask[:1] * 0, mask[:1] * 0, 16).shape == (1, 1, 16, 16)


def test_a_run_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path / "pictures")
    plain = run_config(
        data={"path": str(pictures), "workers": 1}, checkpoint_every=4, sample_every=8, log_every=4
    ).model_dump(mode="json")

    def train(out: Path, steps: int) -> dict[str, Tensor]:
        path = tmp_path / f"{out.name}.yaml"
        path.write_text(__import__("yaml").safe_dump({**plain, "out": str(out), "steps": steps}))
        checkpoint = loop.train_inversion(path)
        assert checkpoint == newest_checkpoint(out)
        files = ("ema", "mean_latent", "discriminator")
        return {f: t for f in files for t in [(checkpoint / f"{f}.safetensors").read_bytes()]}  # type: ignore[misc]

    whole = train(tmp_path / "whole", 8)
    train(tmp_path / "killed", 4)
    assert train(tmp_path / "killed", 8) == whole


def test_layers_alone_are_a_start_and_others_are_refused(tmp_path: Path) -> None:
    source, target = random_model(CONFIG, seed=1), InvertFill(CONFIG)
    state = {
        name: tensor.contiguous()
        for name, tensor in source.state_dict().items()
        if name.startswith(("generator.", "rgb_branch.")) and ".noise.strengths" not in name
    }
    save_file(state, tmp_path / "model.safetensors")
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    load_layers(target, tmp_path)
    for name, tensor in target.state_dict().items():
        new = name in state and ".affine." not in name
        assert torch.equal(tensor, state[name] if new else before[name]), name
    state["generator.second.0.pointwise.weight"] = torch.zeros(3, 16, 1, 1)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"second\.0\.pointwise\.weight doesn't fit"):
        load_layers(target, tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_model(random_model(CONFIG), tmp_path_factory.mktemp("models") / "guesses", {"early": True})


@pytest.mark.parametrize("engine", ["onnx", "torch", "openvino"])
def test_seed_0_is_the_guess_and_others_draw_from_it(folder: Path, engine: str) -> None:
    opened = open_engine(find_model(folder), FillOptions(engine=engine))
    reference = open_engine(find_model(folder), FillOptions(engine="torch"))
    image, mask = (t.numpy() for t in batch(1))
    outputs = [opened.fill(CropRequest(image, mask, latent_of(opened, seed)))[0] for seed in (0, 1, 1, 2)]
    tolerance = 1e-4 if engine != "openvino" else 0.5  # bfloat16 where the processor has it
    expected = reference.fill(CropRequest(image, mask, np.zeros((1, 4), np.float32)))[0]
    np.testing.assert_allclose(outputs[0], expected, atol=tolerance)
    assert np.array_equal(outputs[1], outputs[2])
    assert min(np.abs(outputs[0] - outputs[1]).max(), np.abs(outputs[1] - outputs[3]).max()) > 0.002


def test_a_fill_is_pasted_as_it_is_where_the_model_was_trained_so(folder: Path) -> None:
    image, mask = batch(1)
    picture = Image.fromarray(((image[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy())
    hole = mask[0, 0].numpy() > 0
    engine = open_engine(find_model(folder), FillOptions())
    filled = np.asarray(invertfill.load(folder).fill(picture, hole))
    seen = np.asarray(picture).transpose(2, 0, 1)[None] / np.float32(127.5) - 1
    raw = engine.fill(CropRequest(seen * (1 - mask.numpy()), mask.numpy(), latent_of(engine)))[0]
    expected = ((raw.clip(-1, 1) + 1) * 127.5).round().transpose(1, 2, 0)
    assert np.abs(filled[hole] - expected[hole]).max() <= 1
    assert np.array_equal(filled[~hole], np.asarray(picture)[~hole])


def test_nothing_known_and_samples_are_drawn_from_z(folder: Path) -> None:
    inpainter = invertfill.load(folder)
    blank = np.zeros((32, 32, 3), np.uint8)
    fills = [np.asarray(inpainter.fill(blank, np.ones((32, 32), bool), seed=seed)) for seed in (0, 1, 1)]
    assert np.array_equal(fills[1], fills[2]) and not np.array_equal(fills[0], fills[1])
    drawn = [np.asarray(picture) for picture in inpainter.sample([0, 1])]
    assert not np.array_equal(*drawn)


def test_auto_leaves_early_models_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from invertfill import registry

    monkeypatch.setattr(registry, "WEIGHTS", folder.parent)
    assert [model.name for model in registry.list_models() if model.early] == ["guesses"]
    assert "guesses" not in [model.name for model in find_models("auto")]
    assert find_models("guesses")[0].early
