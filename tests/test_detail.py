"""What large holes get from their surroundings: the right texture, in the hole only, and none where none fits."""

from __future__ import annotations

import numpy as np
import pytest

from invertfill.pipeline.crops import Crop, cut, put_back
from invertfill.pipeline.detail import find_shifts, put_back_with_detail

SIZE, SCALE = 64, 4
SIDE = SIZE * SCALE
WHOLE = Crop(0, 0, SIDE)


def grain() -> np.ndarray:
    """(SIDE, SIDE, 3) uint8: fine vertical stripes above, fine horizontal ones below, each half of another colour."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    above = rows < SIDE // 2
    fine = np.where(above, columns % 2, rows % 2) * 40
    return (np.where(above[..., None], (60, 90, 160), (160, 110, 60)) + fine[..., None]).astype(np.uint8)


@pytest.fixture
def hole() -> np.ndarray:
    hole = np.zeros((SIDE, SIDE), bool)
    hole[40:120, 80:180] = True  # above ...
    hole[150:220, 30:120] = True  # ... and below
    return hole


def low_fill(picture: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best fill that there can be at the model's size, (3, SIZE, SIZE), and its mask."""
    truth, _ = cut(picture, np.zeros_like(hole), WHOLE, SIZE)
    _, mask = cut(picture, hole, WHOLE, SIZE)
    return truth, mask


def test_each_part_of_a_hole_gets_the_texture_of_its_like(hole: np.ndarray) -> None:
    picture = grain()
    low, mask = low_fill(picture, hole)
    plain = put_back(picture, hole, WHOLE, low)
    detailed = put_back_with_detail(picture, hole, WHOLE, low, mask)
    for half in (slice(0, SIDE // 2), slice(SIDE // 2, SIDE)):
        here = hole[half]
        across, down = (np.abs(np.diff(detailed[half, :, 0].astype(int), axis=axis)) for axis in (1, 0))
        across, down = across[:, 1:][here[:, 2:]].mean(), down[1:][here[2:]].mean()
        assert (across > 20 and down < 8) if half.start == 0 else (down > 20 and across < 8)
        flat = np.abs(np.diff(plain[half, :, 0].astype(int), axis=1 if half.start == 0 else 0))
        assert flat[here[:, 1:] if half.start == 0 else here[1:]].mean() < 5  # what there was without
    assert np.array_equal(detailed[~hole], picture[~hole])


def test_the_old_content_of_the_hole_plays_no_part(hole: np.ndarray) -> None:
    picture = grain()
    low, mask = low_fill(picture, hole)
    scribbled = picture.copy()
    scribbled[hole] = np.random.default_rng(0).integers(0, 256, (int(hole.sum()), 3))
    one, other = (put_back_with_detail(rgb, hole, WHOLE, low, mask) for rgb in (picture, scribbled))
    assert np.array_equal(one, other)


def test_no_texture_where_none_fits(hole: np.ndarray) -> None:
    """A fill of a colour that occurs nowhere, and a picture without anything known, are merely enlarged."""
    picture = grain()
    low, mask = low_fill(picture, hole)
    low = np.where(mask > 0, np.reshape([-1, 1, -1], (3, 1, 1)), low).astype(np.float32)
    plain = put_back(picture, hole, WHOLE, low)
    assert np.abs(put_back_with_detail(picture, hole, WHOLE, low, mask).astype(int) - plain).max() <= 1
    everything = np.ones_like(hole)
    filled = put_back_with_detail(picture, everything, WHOLE, low, np.ones_like(mask))
    assert np.abs(filled.astype(int) - put_back(picture, everything, WHOLE, low)).max() <= 1


def test_shifts_lead_from_the_hole_to_known_places(hole: np.ndarray) -> None:
    low, mask = low_fill(grain(), hole)
    low_hole = mask[0] > 0
    shifts, gain = find_shifts(low.transpose(1, 2, 0), low_hole)
    y, x = np.nonzero(low_hole)
    dy, dx = shifts[y, x].T
    reached = gain[y, x] > 0  # a few places may be out of reach of the commonest shifts: they get no texture
    assert reached.mean() > 0.9
    assert not low_hole[y + dy, x + dx][reached].any()
    assert gain[low_hole].mean() > 0.8 and not gain[~low_hole].any()


def test_a_region_that_reaches_beyond_the_picture(hole: np.ndarray) -> None:
    picture, region = grain(), Crop(-40, 30, SIDE)
    picture[hole] = 0
    low, _ = low_fill(grain(), hole)
    _, mask = cut(picture, hole, region, SIZE)
    result = put_back_with_detail(picture, hole, region, low, mask)
    outside = ~hole
    outside[: region.y] = outside[:, SIDE + region.x :] = True
    assert np.array_equal(result[outside], picture[outside])
    inside = hole & ~outside
    assert (result[inside].max(1) > 0).all()
