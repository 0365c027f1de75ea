"""Score-SDE (baselines/score_sde.py): its noise, its loss, its sampler where the score is known, and its fills."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
import torch.nn.functional as F  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor  # noqa: E402
from training_runs import batch_of  # noqa: E402

from invertfill.baselines import find_baseline  # noqa: E402
from invertfill.baselines.network import Judges  # noqa: E402
from invertfill.baselines.score_sde import Sampler, ScoreSDE, ScoreSDEConfig, sample, shrink  # noqa: E402
from invertfill.training.baseline import BaselineTask  # noqa: E402
from invertfill.training.config import BaselineConfig  # noqa: E402

CONFIG = ScoreSDEConfig(size=32, width=0.1)
FEW = Sampler(steps=4)


@pytest.fixture
def network() -> ScoreSDE:
    torch.manual_seed(0)
    return CONFIG.build().eval()


def levels(steps: int) -> list[float]:
    return CONFIG.sigma(torch.linspace(1, 0, steps + 1)).tolist()


# Noise


def test_noise_of_a_level_is_what_the_sde_has_added() -> None:
    """dx = g(t) dw, g^2 = d sigma^2 / dt: integrated in small steps, against sigma(t)."""
    sigma = CONFIG.sigma(torch.tensor([0.0, 0.5, 1.0])).tolist()
    assert sigma == pytest.approx([0.01, math.sqrt(0.01 * 50), 50])
    rng, count = np.random.default_rng(0), 4000
    x, rate = np.zeros(20_000), 2 * math.log(50 / 0.01)
    for i in range(count):
        t = (i + 0.5) / count
        x += rng.normal(size=x.shape) * math.sqrt(rate / count) * 0.01 * 5000**t
        if i + 1 in (count // 2, count):
            added = math.sqrt(float(CONFIG.sigma(torch.tensor((i + 1) / count))) ** 2 - 0.01**2)
            assert x.std() == pytest.approx(added, rel=0.02)


def test_pictures_in_training_have_the_noise_of_their_level(network: ScoreSDE, monkeypatch) -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    monkeypatch.setattr(network, "denoise", lambda x, sigma: seen.append((x, sigma)) or x)
    real = torch.rand(64, 3, 32, 32) * 2 - 1
    drawn = network.practise(real, real[:, :1])
    ((x, sigma),) = seen
    assert drawn["sigma"] is sigma and sigma.min() < 0.1 < 5 < sigma.max()
    spread = (x - real / 2).flatten(1).std(1)
    torch.testing.assert_close(spread, sigma.flatten(), rtol=0.06, atol=0)


def test_loss_is_that_of_score_matching(network: ScoreSDE) -> None:
    """Eq. 7 by its own words, the score of x(t) given x(0) as -z / sigma."""
    real, sigma = torch.rand(3, 3, 32, 32) * 2 - 1, torch.tensor([0.02, 0.5, 20]).view(3, 1, 1, 1)
    z = torch.randn_like(real)
    noisy = real / 2 + sigma * z
    weight = sigma**2 * (1 + sigma**2 / 0.25**2)
    scores = torch.cat([network.score(x[None], float(level)) for x, level in zip(noisy, sigma, strict=True)])
    expected = (weight * (scores + z / sigma) ** 2).mean()
    drawn = {"denoised": network.denoise(noisy, sigma), "sigma": sigma}
    _, found = network.losses(drawn, real, real[:, :1], Judges(None, None))["score"]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


def test_one_picture_is_learned_by_heart() -> None:
    """Its loss falls, and a hole in it is filled with what was there."""
    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    real = F.interpolate(coarse, size=(32, 32), mode="bilinear").expand(4, -1, -1, -1)
    given = {"name": "x", "out": "x", "steps": 1, "batch": 4, "data": {"path": "x"}, "ema_half_life": 100}
    optimizer, network = {"lr": 0.005, "clip": 1.0}, {**CONFIG.model_dump(), "width": 0.25}
    torch.manual_seed(0)
    task = BaselineTask(BaselineConfig.model_validate({**given, "network": network, "optimizer": optimizer}), "cpu")
    mask = torch.zeros(4, 1, 32, 32)
    mask[:, :, 8:, 8:] = 1

    def error() -> float:
        return float((task.best.eval()(real[:1] * (1 - mask[:1]), mask[:1]) - real[:1]).abs().mean())

    before, batch = error(), batch_of(real, mask)
    losses = [float(task.train_step(batch, step)["total"]) for step in range(150)]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:10])
    assert error() < 0.5 * before


# The sampler, against a distribution whose score is known


def gaussian(mean: np.ndarray, covariance: np.ndarray) -> Callable[[Tensor, float], Tensor]:
    """The score of N(mean, covariance) of each channel's pixels, under noise: -(covariance + sigma^2)^-1 (x - mean)."""
    values, vectors = np.linalg.eigh(covariance)

    def score(x: Tensor, sigma: float) -> Tensor:
        own = (x.flatten(2).double().numpy() - mean) @ vectors / (values + sigma**2)
        return torch.from_numpy(-own @ vectors.T).view_as(x).to(x)

    return score


def drawn_from(score: Callable[[Tensor, float], Tensor], values: np.ndarray, hole: np.ndarray, **given) -> np.ndarray:
    """Pictures of 64 channels, each channel a draw of its own, (6400, pixels): the corrector's step is a picture's."""
    sampler = Sampler(**given)
    mask = torch.from_numpy(hole).float().view(1, 1, 4, 4).expand(100, 1, 4, 4)
    known = torch.from_numpy(np.where(hole, 0, values)).float().view(1, 1, 4, 4).expand(100, 64, 4, 4)
    drawn = sample(score, known, mask, levels(sampler.steps), sampler)
    return drawn.flatten(2).flatten(0, 1).double().numpy()


@pytest.mark.parametrize(("steps", "snr", "off"), [(100, 0.16, 0.05), (400, 0.05, 0.03), (1000, 0, 0.03)])
def test_sampler_draws_a_gaussian(steps: int, snr: float, off: float) -> None:
    """Nothing is known: what comes out has the distribution's mean, spread and correlations."""
    mean, place = np.random.default_rng(0).normal(size=16) * 0.2, np.arange(16)
    covariance = 0.25**2 * np.exp(-np.abs(place[:, None] - place) / 2)
    found = drawn_from(gaussian(mean, covariance), mean, np.ones(16, bool), steps=steps, snr=snr)
    np.testing.assert_allclose(found.mean(0), mean, atol=0.015)
    assert found.var(0).mean() == pytest.approx(0.25**2, rel=off)
    np.testing.assert_allclose(np.cov(found.T), covariance, atol=0.08 * 0.25**2)


def test_holes_follow_what_is_known_around_them() -> None:
    """Means and spreads of a Gaussian given its known pixels, by the formula: the more levels, the closer."""
    place = np.arange(16)
    covariance = 0.25**2 * np.exp(-np.abs(place[:, None] - place) / 8)
    values = np.random.default_rng(1).multivariate_normal(np.zeros(16), covariance)
    hole = (place >= 5) & (place < 9)
    given = covariance[np.ix_(hole, ~hole)] @ np.linalg.inv(covariance[np.ix_(~hole, ~hole)])
    mean = given @ values[~hole]
    deviation = np.sqrt(np.diag(covariance[np.ix_(hole, hole)] - given @ covariance[np.ix_(~hole, hole)]))
    for steps, off in ((100, 0.06), (1000, 0.01)):
        found = drawn_from(gaussian(np.zeros(16), covariance), values, hole, steps=steps)
        assert (found[:, ~hole] == values[~hole].astype(np.float32)).all()
        np.testing.assert_allclose(found.mean(0)[hole], mean, atol=off)
        np.testing.assert_allclose(found.std(0)[hole], deviation, atol=off)
    assert np.abs(values[hole] - mean).max() > 0.06  # what was there isn't seen


# Fills


def test_known_pixels_stay_and_a_seed_decides_the_rest(network: ScoreSDE) -> None:
    known, mask = torch.rand(2, 3, 32, 32) * 2 - 1, torch.zeros(2, 1, 32, 32)
    mask[:, :, 5:20, 8:30] = 1

    def draw(seed: int) -> Tensor:
        return network.draw(known * (1 - mask), mask, FEW._replace(seed=seed))["image"]

    first = draw(1)
    assert torch.equal(first, draw(1))
    there = mask.expand_as(first) == 0
    assert torch.equal(first[there], known[there]) and torch.equal(draw(2)[there], known[there])
    assert (first - draw(2))[~there].abs().mean() > 0.1


def test_pictures_of_any_size_are_filled(network: ScoreSDE, tmp_path: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors", {"config": CONFIG.model_dump_json()})
    baseline = find_baseline("score-sde")
    assert list(baseline.arguments) == ["weights", "steps", "snr", "seed", "device"]
    method = baseline.load(weights=str(tmp_path), steps=4, device="cpu")
    assert method.size is None and json.loads(CONFIG.model_dump_json())["size"] == 32
    rng = np.random.default_rng(0)
    for shape in ((32, 32), (50, 80), (20, 24)):
        image, hole = rng.integers(0, 256, (*shape, 3)).astype(np.uint8), np.zeros(shape, bool)
        hole[4:12, 6:18] = True
        drawn = method.fill(image, hole)
        assert drawn.shape == image.shape and drawn.dtype == np.uint8
        assert np.array_equal(drawn[~hole], image[~hole]) and (drawn != image)[hole].any()
        black = np.where(hole[..., None], np.uint8(0), image)
        assert np.array_equal(method.fill(black, hole), drawn)  # the truth isn't seen


def test_a_picture_is_shrunk_to_means_of_what_is_known() -> None:
    known, mask = torch.arange(16.0).view(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., 0, 0] = mask[..., 0, 2] = mask[..., 1, 2:] = 1
    small, hidden = shrink(known, mask, 2)
    assert hidden.flatten().tolist() == [0, 1, 0, 0]
    assert small.flatten().tolist() == pytest.approx([10 / 3, 0, 42 / 4, 50 / 4])
