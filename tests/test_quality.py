"""The shipped weights fill fixed examples as well as they did when their figures were written down here.

`python tests/test_quality.py`, with INVERTFILL_WEIGHTS set, prints MEASURED as it is today: for new weights, after a
look at the fills.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, pixels

import invertfill
from invertfill.registry import WEIGHTS, find_model, write_sums

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
LANDSCAPES = ("landscape-aitzgorri", "landscape-sunset")
PORTRAITS = ("portrait-astronaut", "portrait-hopper")
# model -> pictures, and masks of examples/masks that each gets: eight fills
FILLS = {
    "faces-256": (PORTRAITS, [f"{name}-{kind}" for name in PORTRAITS for kind in ("box", "freeform")]),
    "photos-512": ((*LANDSCAPES, *PORTRAITS), ["landscape-aitzgorri-box", "landscape-sunset-freeform"]),
    "scenery-256": (LANDSCAPES, [f"{name}-{kind}" for name in LANDSCAPES for kind in ("box", "freeform")]),
}
# model -> of each fill, pictures first: PSNR of the hole in dB, LPIPS (AlexNet) of the whole picture.
# 2026-11-30, ONNX Runtime in float32
MEASURED = {
    "faces-256": [
        (17.79, 0.039), (18.41, 0.071), (18.32, 0.036), (10.09, 0.095),
        (15.56, 0.056), (14.20, 0.086), (15.35, 0.047), (13.65, 0.112),
    ],
    "photos-512": [
        (20.78, 0.084), (21.60, 0.205), (15.59, 0.106), (20.40, 0.209),
        (15.27, 0.132), (15.19, 0.242), (14.02, 0.110), (12.78, 0.268),
    ],
    "scenery-256": [
        (20.57, 0.076), (21.57, 0.162), (21.45, 0.044), (22.57, 0.151),
        (16.49, 0.093), (20.23, 0.192), (18.08, 0.105), (21.34, 0.185),
    ],
}  # fmt: skip
WORSE_DB, WORSE_LPIPS = 0.1, 0.002  # what may be lost: float32 rounds a little otherwise on other processors
NOISE = 0.1  # of the weights that have to be caught: its deviation, in those of the filters


def pairs(model: str) -> Iterator[tuple[Path, Path]]:
    pictures, masks = FILLS[model]
    return ((EXAMPLES / f"{picture}.png", EXAMPLES / "masks" / f"{mask}.png") for picture in pictures for mask in masks)


@lru_cache
def fills(folder: Path, model: str) -> list[np.ndarray]:
    """What the weights in a folder make of a model's pairs, (256, 256, 3) uint8 each."""
    inpainter = invertfill.load(folder, engine="onnx")
    return [np.asarray(inpainter.fill(*pair).image) for pair in pairs(model)]


def psnr(folder: Path, model: str) -> list[float]:
    """Of each fill's hole alone, dB."""
    found = []
    for fill, (picture, mask) in zip(fills(folder, model), pairs(model), strict=True):
        hole = pixels(mask) > 0
        error = (fill.astype(float) - pixels(picture))[hole]
        found.append(10 * math.log10(255**2 / np.square(error).mean()))
    return found


def lpips(folder: Path, model: str) -> list[float]:
    """Of each whole picture, by AlexNet."""
    torch = pytest.importorskip("torch")
    from invertfill.losses import lpips

    def batch(pictures: list[np.ndarray]) -> object:
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1

    originals = [pixels(picture) for picture, _ in pairs(model)]
    found: list[float] = lpips.lpips(batch(fills(folder, model)), batch(originals)).tolist()
    return found


def below_psnr(folder: Path, model: str) -> list[str]:
    """The fills whose holes are farther from the originals than the floor allows."""
    figures = zip(pairs(model), psnr(folder, model), MEASURED[model], strict=True)
    return [f"{a.stem}, {b.stem}: {db:.2f} dB" for (a, b), db, (was, _) in figures if db < was - WORSE_DB]


def above_lpips(folder: Path, model: str) -> list[str]:
    """The fills that look farther from the originals than the floor allows."""
    figures = zip(pairs(model), lpips(folder, model), MEASURED[model], strict=True)
    return [f"{a.stem}, {b.stem}: LPIPS {now:.3f}" for (a, b), now, (_, was) in figures if now > was + WORSE_LPIPS]


@pytest.fixture
def alexnet(need_weights: Callable[..., None]) -> None:
    need_weights("alexnet-features", "lpips-alexnet-linear")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of faces-256 whose filters have noise."""
    folder = tmp_path_factory.mktemp("noisy") / "faces-256"
    shutil.copytree(WEIGHTS / "faces-256", folder)
    rng = np.random.default_rng(0)
    for dtype, shape, offset in find_model(folder).tensors.values():
        if np.dtype(dtype).kind == "f" and len(shape) > 1:
            tensor = np.memmap(folder / "model.safetensors", dtype, "r+", offset, shape)
            tensor += NOISE * tensor.std(dtype=float) * rng.standard_normal(shape)
    write_sums(folder)
    return folder


@pytest.mark.parametrize("model", FILLS)
def test_holes_are_filled_as_closely_as_they_were(model: str) -> None:
    assert below_psnr(WEIGHTS / model, model) == []


@pytest.mark.parametrize("model", FILLS)
def test_fills_look_as_near_to_the_pictures_as_they_did(alexnet: None, model: str) -> None:
    assert above_lpips(WEIGHTS / model, model) == []


def test_holes_filled_by_worse_weights_are_caught(noisy: Path) -> None:
    assert below_psnr(noisy, "faces-256")


def test_fills_by_worse_weights_look_worse(noisy: Path, alexnet: None) -> None:
    assert above_lpips(noisy, "faces-256")


if __name__ == "__main__":
    for name in FILLS:
        figures = zip(psnr(WEIGHTS / name, name), lpips(WEIGHTS / name, name), strict=True)
        print(f'    "{name}": [{", ".join(f"({db:.2f}, {distance:.3f})" for db, distance in figures)}],')
