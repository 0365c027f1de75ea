"""Masks: read from files, arrays and transparency; drawn by coverage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from invertfill.errors import InputError
from invertfill.imaging.masks import (
    COVERAGE,
    KINDS,
    coverage_range,
    mask_from_transparency,
    mask_set_hash,
    read_mask,
    sample_mask,
    sample_masks,
    save_mask,
)

HOLE = np.zeros((6, 10), bool)
HOLE[1:4, 2:7] = True
SIZE = (10, 6)


def test_saved_mask_is_read_again(tmp_path: Path) -> None:
    path = save_mask(HOLE, tmp_path / "mask.png")
    with Image.open(path) as image:
        assert image.mode == "L" and image.getcolors() == [(45, 0), (15, 255)]
    np.testing.assert_array_equal(read_mask(path, SIZE), HOLE)
    np.testing.assert_array_equal(read_mask(path, SIZE, invert=True), ~HOLE)


@pytest.mark.parametrize(("grey", "hole"), [(0, False), (127, False), (128, True), (255, True)])
def test_threshold(tmp_path: Path, grey: int, hole: bool) -> None:
    Image.fromarray(np.array([[grey, 255]], np.uint8)).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", (2, 1)).tolist() == [[hole, True]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_mode_reads_alike(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(HOLE.astype(np.uint8) * 255)
    image = Image.fromarray(HOLE.astype(np.uint16) * 65535) if mode == "I;16" else grey.convert(mode)
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", SIZE), HOLE)
    np.testing.assert_array_equal(read_mask(image, SIZE), HOLE)


def test_white_but_transparent_is_known() -> None:
    image = Image.new("RGBA", (2, 1), (255, 255, 255, 255))
    image.putpixel((1, 0), (255, 255, 255, 0))
    assert read_mask(image, (2, 1)).tolist() == [[True, False]]


@pytest.mark.parametrize(
    "array",
    [HOLE, HOLE[..., None], HOLE.astype(np.uint8), HOLE.astype(np.uint8) * 255, HOLE.astype(np.float32), HOLE * 0.6],
)
def test_arrays(array: np.ndarray) -> None:
    np.testing.assert_array_equal(read_mask(array, SIZE), HOLE)


@pytest.mark.parametrize("array", [HOLE.astype(np.int64), HOLE.astype("complex64"), np.stack([HOLE] * 3, -1), HOLE[0]])
def test_bad_arrays(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="accepted"):
        read_mask(array, SIZE)


def test_size_must_match(tmp_path: Path) -> None:
    path = save_mask(HOLE, tmp_path / "mask.png")
    with pytest.raises(InputError, match=r"mask\.png: mask of 10x6 pixels for an image of 6x10"):
        read_mask(path, (6, 10))


def test_a_file_without_a_hole_is_an_error_and_an_array_is_not(tmp_path: Path) -> None:
    path = save_mask(np.zeros((6, 10), bool), tmp_path / "empty.png")
    with pytest.raises(InputError, match=r"empty\.png: a mask without a hole"):
        read_mask(path, SIZE)
    assert read_mask(path, SIZE, invert=True).all()
    assert not read_mask(np.zeros((6, 10), bool), SIZE).any()


def test_transparency() -> None:
    image = Image.new("RGBA", (3, 1), (9, 9, 9, 255))
    image.putpixel((0, 0), (9, 9, 9, 0))
    image.putpixel((1, 0), (9, 9, 9, 1))
    hole = mask_from_transparency(image)
    assert hole is not None and hole.tolist() == [[True, False, False]]  # nearly transparent is known
    assert mask_from_transparency(image.convert("RGB")) is None


def test_coverage_range() -> None:
    assert coverage_range("hard") == (0.5, 0.6)
    assert coverage_range("0.25-0.4") == (0.25, 0.4)
    for bad in ("", "harder", "0.5", "0.6-0.5", "0-0.5", "0.5-1", "0.1-0.2-0.3", "nan-0.5"):
        with pytest.raises(InputError, match="easy, hard, extreme, all"):
            coverage_range(bad)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", COVERAGE)
def test_drawn_masks_keep_their_class(kind: str, name: str) -> None:
    low, high = COVERAGE[name]
    masks = list(sample_masks(12, 64, kind, name, seed=3))
    shares = [mask.mean() for mask in masks]
    assert all(mask.shape == (64, 64) and mask.dtype == bool for mask in masks)
    assert low <= min(shares) and max(shares) <= high
    assert max(shares) - min(shares) > (high - low) / 4  # spread over the range, not at one end of it
    assert len({mask.tobytes() for mask in masks}) == 12


def test_kinds_are_what_they_say() -> None:
    for mask in sample_masks(20, 48, "box", "easy", seed=0):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    missing = np.zeros(4)
    for mask in sample_masks(200, 48, "outpaint", "all", seed=0):
        known = ~mask
        rows, columns = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
        assert known[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        missing += [rows[0] > 0, rows[-1] < 47, columns[0] > 0, columns[-1] < 47]
    assert missing.min() > 0.7 * missing.max()  # no side is preferred


def test_a_mask_depends_on_seed_and_index_only() -> None:
    few, many = list(sample_masks(3, 32, "mixed", "all", 7)), list(sample_masks(6, 32, "mixed", "all", 7))
    assert mask_set_hash(few) == mask_set_hash(many[:3]) != mask_set_hash(many)
    assert mask_set_hash(few) != mask_set_hash(sample_masks(3, 32, "mixed", "all", 8))
    assert mask_set_hash([np.zeros((2, 8), bool)]) != mask_set_hash([np.zeros((8, 2), bool)])


@pytest.mark.parametrize(
    ("size", "kind", "low", "high"),
    [(64, "round", 0.1, 0.2), (4, "box", 0.1, 0.2), (64, "box", 0.2, 0.1), (64, "box", 0.5000001, 0.500002)],
)
def test_masks_that_cannot_be(size: int, kind: str, low: float, high: float) -> None:
    rng: Any = np.random.default_rng(0)
    with pytest.raises(InputError, match="accepted"):
        sample_mask(size, kind, low, high, rng)
