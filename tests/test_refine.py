"""Quality best: the code moves to where the generator draws the known pixels (nn/refine.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result, assert_filled, assert_one_line

import invertfill

torch = pytest.importorskip("torch")

from invertfill.engines.base import CropRequest  # noqa: E402
from invertfill.engines.torch import TorchEngine  # noqa: E402
from invertfill.nn.refine import SCALES, known_distance, refine  # noqa: E402


@pytest.fixture
def engine(tiny_model_folder: Path) -> TorchEngine:
    return invertfill.load(tiny_model_folder, quality="best").engine  # type: ignore[return-value]


def test_known_distance_against_numpy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (2, 2, 3, 32, 32)).astype(np.float32)
    known = np.ones((2, 1, 32, 32), np.float32)
    known[0, :, :16] = 0
    known[1, :, :, 5:] = 0
    for i, (cut, share) in enumerate(((np.s_[:, 16:], 0.5), (np.s_[:, :, :5], 5 / 32))):
        expected = np.abs(a[i] - b[i])[cut].mean()
        for scale in SCALES[1:]:
            blocks = ((a[i] - b[i]) * known[i]).reshape(3, 32 // scale, scale, 32 // scale, scale).mean((2, 4))
            expected += np.abs(blocks).mean() / share
        found = known_distance(*(torch.tensor(x[i : i + 1]) for x in (a, b, known)))
        assert float(found) == pytest.approx(expected, rel=1e-5)


def test_known_distance_of_a_smaller_picture_is_that_of_squares() -> None:
    rng = np.random.default_rng(0)
    image, small = rng.uniform(-1, 1, (1, 3, 32, 32)), rng.uniform(-1, 1, (1, 3, 8, 8))
    known = np.ones((1, 1, 32, 32))
    known[..., :6, :] = 0
    large = small.repeat(4, 2).repeat(4, 3)
    expected = 0.0
    for scale in (4, 16):
        blocks = ((large - image) * known).reshape(3, 32 // scale, scale, 32 // scale, scale).mean((2, 4))
        expected += np.abs(blocks).mean() / known.mean()
    found = known_distance(*(torch.tensor(x) for x in (small, image, known)))
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_a_code_is_found_again(engine: TorchEngine) -> None:
    """Pictures that the generator drew: from a code beside theirs, the way leads back, in the hole too."""
    network, w_std = engine.network, engine.w_std
    z = torch.randn(3, engine.model.z_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        w = network.generator.mapping(z)[:, None].expand(-1, network.generator.num_layers, -1)
        truth = network.generator.synthesis(w)
        start = w + 0.5 * w_std * torch.randn(3, 1, w.shape[2], generator=torch.Generator().manual_seed(2))
        mask = torch.zeros(3, 1, 32, 32)
        mask[:, :, 8:24, 8:24] = 1
        found = refine(network, truth, mask, start, w_std)
        before, after = (network.generator.synthesis(codes) - truth for codes in (start, found))
    known = (1 - mask).expand_as(truth).bool()
    assert after[known].abs().mean() < before[known].abs().mean() / 2
    assert after[~known].abs().mean() < before[~known].abs().mean()
    assert torch.equal(found, found[:, :1].expand_as(found))


@pytest.mark.slow
def test_pictures_of_a_batch_do_not_meet(engine: TorchEngine) -> None:
    rng = np.random.default_rng(3)
    image = rng.uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    mask = np.zeros((2, 1, 32, 32), np.float32)
    mask[0, :, :20], mask[1, :, :, 3:] = 1, 1
    w_mean = engine.model.w_mean[None].repeat(2, 0)
    together = engine.fill(CropRequest(image, mask, w_mean, refine=True))
    alone = np.concatenate(
        [engine.fill(CropRequest(image[i : i + 1], mask[i : i + 1], w_mean[:1], refine=True)) for i in (0, 1)]
    )
    assert np.abs(together - alone).max() < 0.01 * np.abs(alone).max()
    fast = engine.fill(CropRequest(image, mask, w_mean))
    assert np.abs(together - fast).max() > 0.1 * np.abs(fast).max()


@pytest.mark.slow
def test_cli(fill: Callable[..., Result], photo: Path, mask: Path, tmp_path: Path) -> None:
    for quality in ("fast", "best"):
        assert fill(photo, "--mask", mask, "-o", tmp_path / f"{quality}.png", "--quality", quality).status == 0
        assert_filled(photo, mask, tmp_path / f"{quality}.png")
    assert (tmp_path / "fast.png").read_bytes() != (tmp_path / "best.png").read_bytes()
    for arguments, message in (
        (("--quality", "good"), "quality 'good'; accepted: fast, best"),
        (("--quality", "best", "--engine", "onnx"), "quality best with engine onnx; accepted: fast, or engine torch"),
    ):
        assert_one_line(fill(photo, "--mask", mask, "-o", tmp_path / "no.png", *arguments), message)
    assert not (tmp_path / "no.png").exists()
