"""Holes of every shape: thin ones, grain around them, and grounds of one or few colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from scipy import ndimage

import invertfill
from invertfill.pipeline.crops import find_compact_crops, groups_of, on_grid
from invertfill.pipeline.flat import few_colours, fill_one_colour, nearest
from invertfill.pipeline.grain import add_grain
from invertfill.pipeline.thin import MOST, find_crops

WIDTH, HEIGHT = 3000, 2000
SIZE = 256


def nothing() -> np.ndarray:
    return np.zeros((HEIGHT, WIDTH), bool)


def line(width: int = 5) -> np.ndarray:
    y, x = np.indices((HEIGHT, WIDTH), np.int32)
    return np.abs(y - 300 - x // 3) * 2 < width


def frame(width: int) -> np.ndarray:
    hole = ~nothing()
    hole[width:-width, width:-width] = False
    return hole


def dust(count: int) -> np.ndarray:
    hole, rng = nothing(), np.random.default_rng(3)
    for x, y in zip(rng.integers(0, WIDTH - 8, count), rng.integers(0, HEIGHT - 8, count), strict=True):
        hole[y : y + 7, x : x + 7] = True
    return hole


def disc(x: int, y: int, radius: int) -> np.ndarray:
    down, across = np.indices((HEIGHT, WIDTH), np.int32)
    return (across - x) ** 2 + (down - y) ** 2 < radius**2


def said(hole: np.ndarray) -> np.ndarray:
    """How much squares have to say on each pixel, together."""
    total = np.zeros(hole.shape)
    for crop in find_crops(hole, SIZE):
        left, top, right, bottom = crop.inside(WIDTH, HEIGHT)
        total[top:bottom, left:right] += hole[top:bottom, left:right] if crop.part is None else crop.part
    return total


def spiral(side: int) -> np.ndarray:
    """One path of a pixel's width from the rim to the middle: a group whose ends know nothing of each other."""
    cells, at, step, length = np.zeros((side, side), bool), 0j, 1 + 0j, side - 1
    while length > 0:
        for _ in range(2):
            for _ in range(length):
                cells[int(at.imag), int(at.real)] = True
                at += step
            step *= 1j
        length -= 1 if length == side - 1 else 2
    return cells


@pytest.mark.parametrize("share", [0, 0.1, 0.3, 0.5, 0.9, 1, "spiral"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (23, 31)])
def test_groups_are_those_of_scipy(shape: tuple[int, int], share: float | str) -> None:
    cells = spiral(31) if share == "spiral" else np.random.default_rng(5).random(shape) < share
    labels, count = ndimage.label(cells, np.ones((3, 3)))
    groups = groups_of(cells)
    assert len(groups) == count
    for number, (y, x) in enumerate(groups, 1):
        assert np.array_equal(np.argwhere(labels == number), np.stack([y, x], 1))


@pytest.mark.parametrize("cell", [1, 3, 8])
def test_a_cell_of_the_grid_says_what_its_pixels_say(cell: int) -> None:
    hole = np.random.default_rng(7).random((37, 50)) < 0.7
    some, full = on_grid(hole, cell)
    for row, column in np.ndindex(some.shape):
        pixels = hole[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
        assert (some[row, column], full[row, column]) == (pixels.any(), pixels.all())


@pytest.mark.parametrize(
    "hole", [line(), frame(30), frame(200), dust(30), dust(3000), line() | disc(700, 900, 300)], ids=range(6)
)
def test_each_pixel_of_a_hole_and_no_other_is_filled(hole: np.ndarray) -> None:
    total = said(hole)
    assert (total[hole] >= 0.5).all() and (total[~hole] == 0).all()


def test_where_squares_meet_they_fade_into_each_other() -> None:
    hole = nothing()
    hole[500:520] = True
    crops = find_crops(hole, SIZE)
    assert len(crops) > 10
    for crop in crops:
        weights = crop.part[crop.part.any(1)][0].astype(float)
        inner = weights if 0 < crop.x < WIDTH - SIZE else weights[64:-64]
        assert np.abs(np.diff(inner)).max() < 0.03


def test_squares_of_a_thin_hole_are_of_the_models_size_and_as_many_as_it_is_long() -> None:
    crops = find_crops(line(), SIZE)
    assert {crop.side for crop in crops} == {SIZE}
    assert WIDTH / SIZE < len(crops) < 2.5 * WIDTH / SIZE
    half = line()
    half[:, WIDTH // 2 :] = False
    assert len(find_crops(half, SIZE)) < 0.6 * len(crops)


def test_a_wider_hole_has_larger_squares_and_their_number_is_bounded() -> None:
    sides = [max(crop.side for crop in find_crops(frame(width), SIZE)) for width in (20, 100, 200)]
    assert sides == sorted(set(sides)) and sides[-1] < WIDTH
    notes: list[str] = []
    crops = find_crops(dust(3000), SIZE, note=notes.append)
    assert len(crops) <= MOST and notes


@pytest.mark.parametrize("radius", [20, 60, 200, 700])
def test_compact_holes_keep_their_squares(radius: int) -> None:
    hole = disc(1000, 900, radius)
    assert find_crops(hole, SIZE) == find_compact_crops(hole, SIZE)
    assert all(crop.part is None for crop in find_crops(hole, SIZE))


def test_a_wire_doesnt_make_a_compact_holes_square_larger() -> None:
    blob = disc(700, 1500, 200)
    (alone,) = find_compact_crops(blob, SIZE)
    assert alone in find_crops(blob | line(), SIZE)


def test_with_context_or_a_model_of_whole_pictures_no_hole_is_thin() -> None:
    hole = line()
    assert find_crops(hole, SIZE, 1.5) == find_compact_crops(hole, SIZE, 1.5)
    assert find_crops(hole, SIZE, thin=False) == find_compact_crops(hole, SIZE)


def test_a_line_across_a_large_picture_is_filled_as_well_as_in_a_part_of_it() -> None:
    """The part is of the model's size, which sees it as it is."""
    pytest.importorskip("patchmatch")
    small = Image.open(ROOT / "examples" / "landscape-aitzgorri.png").convert("RGB")
    large = np.tile(np.asarray(small.resize((512, 512))), (2, 3, 1))
    y, x = np.indices(large.shape[:2])
    hole = np.abs(y - 200 - x // 4) < 3
    part = np.s_[150:406, 300:556]
    inpainter = invertfill.load("patchmatch")
    errors = [
        np.abs(np.asarray(inpainter.fill(picture, mask)).astype(int) - picture)[mask].mean()
        for picture, mask in ((large, hole), (large[part], hole[part]))
    ]
    whole = np.asarray(inpainter.fill(large, hole, context=1.0))
    assert errors[0] < 1.3 * errors[1]
    assert errors[0] < 0.8 * np.abs(whole.astype(int) - large)[hole].mean()


def smooth(deviation: float, blurred: bool = False) -> np.ndarray:
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((300, 400, 3))
    if blurred:
        noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))) / 2
    ramp = np.linspace(60, 180, 400)[None, :, None]
    return (ramp + deviation * noise).clip(0, 255).round().astype(np.uint8)


MIDDLE = np.zeros((300, 400), bool)
MIDDLE[100:200, 150:260] = True


def filled_smoothly(picture: np.ndarray) -> np.ndarray:
    return np.where(MIDDLE[..., None], smooth(0), picture)


def steps(picture: np.ndarray, hole: np.ndarray, apart: int = 1) -> np.ndarray:
    """Mean square difference of pixels so far apart, of each channel."""
    inside = hole[:, apart:] & hole[:, :-apart]
    difference = picture[:, apart:].astype(float) - picture[:, :-apart]
    return np.square(difference[inside]).mean(0)


@pytest.mark.parametrize("blurred", [False, True])
@pytest.mark.parametrize("deviation", [3, 8])
def test_a_smooth_fill_gets_the_grain_around_it(deviation: float, blurred: bool) -> None:
    picture = smooth(deviation, blurred)
    grained = add_grain(filled_smoothly(picture), MIDDLE, MIDDLE, 0)
    np.testing.assert_array_equal(grained[~MIDDLE], picture[~MIDDLE])
    for apart in (1, 2, 4):
        np.testing.assert_allclose(steps(grained, MIDDLE, apart), steps(picture, ~MIDDLE, apart), rtol=0.25)


def test_grain_is_that_of_the_seed() -> None:
    fills = [add_grain(filled_smoothly(smooth(6)), MIDDLE, MIDDLE, seed) for seed in (1, 1, 2)]
    assert np.array_equal(fills[0], fills[1]) and not np.array_equal(fills[0], fills[2])


def test_grey_grain_is_grey() -> None:
    grey = smooth(6)[..., :1].repeat(3, 2)
    grained = add_grain(np.where(MIDDLE[..., None], smooth(0), grey), MIDDLE, MIDDLE, 0).astype(int)
    assert np.abs(grained - grained[..., :1])[MIDDLE].max() <= 1 and steps(grained, MIDDLE).min() > 10


def test_where_the_picture_is_smooth_or_the_fill_has_grain_none_is_added() -> None:
    clean, noisy = smooth(0), smooth(6)
    np.testing.assert_array_equal(add_grain(clean, MIDDLE, MIDDLE, 0), clean)
    again = add_grain(noisy, MIDDLE, MIDDLE, 0).astype(float)
    assert np.square(again - noisy)[MIDDLE].mean() < 6  # of 36


COLOURS = {"L": 200, "LA": (90, 180), "RGB": (12, 130, 77), "RGBA": (12, 130, 77, 255), "CMYK": (1, 50, 30, 9)}


@pytest.mark.parametrize("mode", COLOURS)
def test_in_one_colour_a_hole_is_that_colour(mode: str) -> None:
    ground = Image.new(mode, (400, 300), COLOURS[mode])
    painted = ground.copy()
    painted.paste(Image.new(mode, (60, 40), 0), (170, 120))
    hole = np.zeros((300, 400), bool)
    hole[110:170, 160:240] = True
    done = fill_one_colour(painted, hole)
    np.testing.assert_array_equal(done, hole)
    assert painted.tobytes() == ground.tobytes()


def test_compressed_white_is_white_but_two_colours_or_a_ramp_are_left() -> None:
    noisy = np.full((300, 400), 255, np.uint8)
    noisy[::7, ::11] = 253
    two = np.full((300, 400), 255, np.uint8)
    two[:, 200:] = 250
    ramp = np.linspace(200, 220, 400).round().astype(np.uint8)[None].repeat(300, 0)
    for picture, expected in ((noisy, True), (two, False), (ramp, False)):
        image = Image.fromarray(picture)
        assert fill_one_colour(image, MIDDLE).any() == expected
        np.testing.assert_array_equal(np.asarray(image)[MIDDLE], 255 if expected else picture[MIDDLE])


def test_each_hole_has_the_colour_around_it_and_nothing_needs_a_model(tiny_model_folder: Path) -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[:, :200], picture[:, 200:] = (250, 240, 230), (20, 30, 40)
    hole = np.zeros((300, 400), bool)
    hole[50:90, 50:90] = hole[50:90, 300:340] = True
    damaged = np.where(hole[..., None], 128, picture).astype(np.uint8)
    result = invertfill.load(tiny_model_folder).fill(damaged, hole)
    np.testing.assert_array_equal(np.asarray(result), picture)
    assert result.model == "" and result.why


def test_unknown_surroundings_have_no_colour() -> None:
    image = Image.new("RGBA", (400, 300), (255, 0, 255, 0))
    assert not fill_one_colour(image, MIDDLE).any()


@pytest.mark.parametrize("model", ["tiny", "patchmatch"])
def test_where_colours_are_few_a_fill_has_only_these(model: str, tiny_model_folder: Path) -> None:
    if model == "patchmatch":
        pytest.importorskip("patchmatch")
    palette = np.array([(0, 0, 0), (90, 10, 10), (200, 180, 20), (30, 60, 220), (255, 255, 255)], np.uint8)
    picture = palette[(np.indices((120, 160)) // 5).sum(0) % 5]
    hole = np.zeros((120, 160), bool)
    hole[40:70, 60:100] = True
    result = np.asarray(invertfill.load(tiny_model_folder if model == "tiny" else model).fill(picture, hole))
    assert {tuple(pixel) for pixel in result[hole]} <= {tuple(pixel) for pixel in palette}


def test_few_colours_are_few() -> None:
    known = np.ones((64, 64), bool)
    colours = few_colours(np.arange(64 * 64).reshape(64, 64) % 40, known)
    assert colours is not None and sorted(colours[:, 0]) == list(range(40))
    assert few_colours(np.arange(64 * 64).reshape(64, 64) % 300, known) is None
    assert few_colours(np.arange(64 * 64).reshape(64, 64), ~known) is None
    np.testing.assert_array_equal(nearest(np.array([1, 9, 100]), np.array([[0], [10], [90]])), [0, 10, 90])
