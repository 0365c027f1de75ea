"""Masks: read from files, arrays and transparency; drawn by coverage."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from invertfill.errors import InputError
from invertfill.imaging.masks import read_mask, save_mask
from invertfill.masks import shapes as mask_kinds
from invertfill.masks.names import COVERAGE, KINDS
from invertfill.masks.sampler import coverage_range, mask_set_hash, read_outlines, sample_mask, sample_masks

HOLE = np.zeros((6, 10), bool)
HOLE[1:4, 2:7] = True
SIZE = (10, 6)
SPREAD = ("freeform", "box", "outpaint", "mixed", "blobs")  # aim at any coverage
NATURAL = ("lines", "lettering", "objects", "photo")  # have one of their own


@pytest.fixture
def outlines(tmp_path: Path) -> Path:
    """A folder with one thing in it: an L of 60 x 40 pixels in a mask of 100 x 80, 1 bit; and a file beside it."""
    (tmp_path / "outlines").mkdir()
    Image.fromarray(letter_l()).save(tmp_path / "outlines" / "thing.png")
    (tmp_path / "outlines" / "notes.txt").write_text("who drew them")
    return tmp_path / "outlines"


def letter_l() -> np.ndarray:
    hole = np.zeros((100, 80), bool)
    hole[20:80, 10:25] = hole[65:80, 10:50] = True
    return hole


def things(mask: np.ndarray) -> list[np.ndarray]:
    """What hangs together, diagonals included: each cut out, (h, w) bool."""
    ndimage = pytest.importorskip("scipy.ndimage", reason="needs SciPy (extra eval)")
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return [labels[place] == i for i, place in enumerate(ndimage.find_objects(labels), 1)]


def is_rectangle(mask: np.ndarray) -> bool:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return bool(len(rows)) and bool(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())


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


@pytest.mark.parametrize("array", [-1 * HOLE, HOLE.astype("complex64"), np.stack([HOLE * 0.6] * 3, -1), HOLE[0]])
def test_bad_arrays(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="accepted"):
        read_mask(array, SIZE)


def test_size_must_match(tmp_path: Path) -> None:
    path = save_mask(HOLE, tmp_path / "mask.png")
    with pytest.raises(InputError, match=r"mask\.png: .*10x6.*6x10"):
        read_mask(path, (6, 10))


def test_a_file_without_a_hole_is_an_error_and_an_array_is_not(tmp_path: Path) -> None:
    path = save_mask(np.zeros((6, 10), bool), tmp_path / "empty.png")
    with pytest.raises(InputError, match=r"empty\.png: "):
        read_mask(path, SIZE)
    assert read_mask(path, SIZE, invert=True).all()
    assert not read_mask(np.zeros((6, 10), bool), SIZE).any()


def test_coverage_range() -> None:
    assert coverage_range("hard") == (0.5, 0.6)
    assert coverage_range("0.25-0.4") == (0.25, 0.4)
    for bad in ("", "harder", "0.5", "0.6-0.5", "0-0.5", "0.5-1", "0.1-0.2-0.3", "nan-0.5"):
        with pytest.raises(InputError, match="easy, hard, extreme, all"):
            coverage_range(bad)


@pytest.mark.parametrize("kind", SPREAD)
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


def test_every_kind_is_tested_for_its_coverage() -> None:
    assert sorted(SPREAD + NATURAL) == sorted(KINDS)


@pytest.mark.parametrize("kind", NATURAL)
@pytest.mark.parametrize("coverage", ["any", "small", "0.03-0.05"])
def test_shapes_with_a_coverage_of_their_own_keep_the_bounds(kind: str, coverage: str, outlines: Path) -> None:
    low, high = coverage_range(coverage)
    masks = list(sample_masks(12, 128, kind, coverage, 3, outlines))
    assert all(mask.shape == (128, 128) and mask.dtype == bool and low <= mask.mean() <= high for mask in masks)
    assert len({mask.tobytes() for mask in masks}) == 12


@pytest.mark.parametrize("size", [8, 9, 16, 31, 64, 512])
@pytest.mark.parametrize("kind", KINDS)
def test_any_side(kind: str, size: int, outlines: Path) -> None:
    for mask in sample_masks(6, size, kind, "any", 5, outlines):
        assert mask.shape == (size, size) and 0 < mask.sum() < size * size


@pytest.mark.parametrize(("kind", "coverage"), [("lines", "hard"), ("lettering", "extreme")])
def test_a_coverage_that_a_kind_cannot_have(kind: str, coverage: str) -> None:
    with pytest.raises(InputError, match=rf"no {kind} mask of 64 pixels has .*; accepted: .* \(any\)"):
        list(sample_masks(1, 64, kind, coverage, 0))


@pytest.mark.parametrize(
    ("kind", "coverage", "count", "digest"),
    [("freeform", "extreme", 8, "79af51df64786d88"), ("outpaint", "hard", 48, "1743424036752f08")],
)
def test_published_mask_sets_are_still_drawn(kind: str, coverage: str, count: int, digest: str) -> None:
    assert mask_set_hash(sample_masks(count, 256, kind, coverage, 0)).startswith(digest)  # docs/results.md


def test_lines_are_long_and_as_wide_as_they_say() -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="needs SciPy (extra eval)")
    lengths, widths = [], []
    for mask in sample_masks(150, 512, "lines", "any", 1):
        parts = things(mask)
        if len(parts) < 3:
            continue  # some cross
        for part in parts:
            length = np.hypot(*part.shape)
            width = 2 * ndimage.distance_transform_edt(np.pad(part, 1)).max() - 1
            assert 0.7 * width < part.sum() / length < 1.4 * width + 1  # as wide everywhere
            lengths.append(length / 512)
            widths.append(width)
    assert len(widths) > 30
    assert np.mean(np.array(lengths) > 0.55) > 0.9  # a line may leave the picture and come back: two parts
    assert 2.3 <= min(widths) < 3.7 and 6.3 < max(widths) <= 7.7


@pytest.mark.parametrize(("size", "least", "most"), [(8, 1, 1), (64, 1, 1), (256, 2, 4), (1024, 6, 14)])
def test_lines_scale_with_the_side(size: int, least: int, most: int) -> None:
    shares = [mask.sum() / size for mask in sample_masks(20, size, "lines", "any", 1)]  # length in sides x width
    assert 3 * 0.6 * least * 0.7 < min(shares) and max(shares) < 3 * 1.5 * most
    for mask in sample_masks(20, size, "lines", "any", 1):
        assert mask.any(1).sum() + mask.any(0).sum() > size * 0.6  # without gaps


def test_lines_lie_at_any_angle() -> None:
    angles = []
    for mask in sample_masks(60, 64, "lines", "any", 0):
        for part in things(mask):
            if np.hypot(*part.shape) > 30:
                angles.append(np.arctan2(*part.shape))
    steep = np.mean(np.array(angles) > np.pi / 4)
    assert 0.3 < steep < 0.7


def test_lettering_is_of_letters_of_the_size_that_it_says() -> None:
    masks = list(sample_masks(60, 512, "lettering", "any", 2))
    assert len({mask.tobytes() for mask in masks}) == 60
    heights = []
    for mask in masks:
        inside = np.pad(mask[1:-1, 1:-1], 1)  # letters cut off by the border are in several parts: few
        letters = [part for part in things(inside) if part.sum() > 6]
        heights.append(float(np.median([max(part.shape) for part in letters])))
    # The size is that of the line: a letter is half to three quarters of it high, and several may touch.
    assert 8 <= np.percentile(heights, 10) < 25 and np.percentile(heights, 80) > 30
    quarters = [[q.any() for half in np.split(mask, 2) for q in np.split(half, 2, 1)] for mask in masks]
    everywhere = np.mean([all(found) for found in quarters])
    assert 0.4 < everywhere < 0.8  # a watermark or a page; the others are captions in one place


def test_a_watermark_repeats_and_turns() -> None:
    """Some masks equal themselves when moved by a step of their lattice, and some of these steps are oblique."""
    repeated = oblique = 0
    for mask in sample_masks(40, 128, "lettering", "any", 4):
        spectrum = np.abs(np.fft.rfft2(mask, (256, 256))) ** 2
        same = np.fft.irfft2(spectrum) / np.maximum(mask.sum(), 1)  # share of the hole that lies on hole again
        overlap = np.fft.irfft2(np.abs(np.fft.rfft2(np.ones((128, 128)), (256, 256))) ** 2) / 128**2
        share = np.where(overlap > 0.4, same / np.maximum(overlap, 0.4), 0)
        share[:12, :12] = share[-12:, :12] = share[:12, -12:] = share[-12:, -12:] = 0
        y, x = np.unravel_index(share.argmax(), share.shape)
        if share[y, x] > 0.8:
            repeated += 1
            oblique += min(y, 256 - y) > 3 and min(x, 256 - x) > 3
    assert repeated > 8 and oblique > 3


def test_blobs_are_few_and_smooth() -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="needs SciPy (extra eval)")
    masks = list(sample_masks(30, 256, "blobs", "0.05-0.3", 0))
    disc = np.hypot(*np.mgrid[-2:3, -2:3]) <= 2.3
    for mask in masks:
        assert 1 <= len([part for part in things(mask) if part.sum() > 20]) <= 4  # the border may cut a limb off
        opened = ndimage.binary_opening(np.pad(mask, 9, mode="edge"), disc)[9:-9, 9:-9]
        assert (mask & ~opened).sum() < 0.05 * mask.sum()  # neither spikes nor noise
        assert not is_rectangle(mask)
    assert {len(things(mask)) for mask in masks} >= {1, 2, 3}


def test_objects_are_the_outlines_moved_mirrored_and_scaled(outlines: Path) -> None:
    thing = Image.fromarray(letter_l()[20:80, 10:50].astype(np.uint8) * 255)
    seen: Counter[bool] = Counter()
    scales = []
    for mask in sample_masks(80, 200, "objects", "any", 0, outlines):
        for part in things(np.pad(mask, 1)):
            rows, columns = part.shape
            expected = np.asarray(thing.resize((columns, rows), Image.Resampling.NEAREST)) > 127
            likeness = [np.mean(part == way) for way in (expected, expected[:, ::-1])]
            if abs(rows / columns - 1.5) > 0.05 or max(likeness) < 0.94:
                continue  # a part of it lies outside, or two overlap
            seen[likeness[0] > likeness[1]] += 1
            scales.append(rows / 60 * 100 / 200)  # the mask's longer side, 100 pixels, is brought to 200
    assert len(seen) == 2 and min(seen.values()) > 12
    assert 0.48 <= min(scales) < 0.7 and 1.2 < max(scales) <= 1.52


def test_objects_come_from_their_folder_only(outlines: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'objects'.*accepted: .*--outlines FOLDER"):
        next(sample_masks(1, 64, "objects", "any", 0))
    other = tmp_path / "other"
    save_mask(np.ones((20, 20), bool), other / "square.jpg")
    squares = list(sample_masks(10, 64, "objects", "any", 0, other))
    assert any(is_rectangle(mask) for mask in squares)
    assert mask_set_hash(squares) == mask_set_hash(sample_masks(10, 64, "objects", "any", 0, other))
    assert mask_set_hash(squares) != mask_set_hash(sample_masks(10, 64, "objects", "any", 0, outlines))


def test_kinds_that_need_no_outlines_take_none(outlines: Path, tmp_path: Path) -> None:
    for kind in set(KINDS) - {"objects", "photo"}:
        few = [list(sample_masks(3, 32, kind, "any", 1, folder)) for folder in (None, outlines, tmp_path / "none")]
        assert len({mask_set_hash(masks) for masks in few}) == 1


def test_outlines_are_read_once_and_by_name(outlines: Path) -> None:
    Image.fromarray(np.ones((5, 9), np.uint8) * 255).save(outlines / "a.bmp")
    first = read_outlines(outlines)
    assert [(each.side, each.height, each.width) for each in first] == [(9, 5, 9), (100, 60, 40)]
    np.testing.assert_array_equal(np.asarray(first[1].picture()) > 0, letter_l()[20:80, 10:50])
    (outlines / "a.bmp").unlink()
    assert read_outlines(outlines) is first


@pytest.mark.parametrize("kind", ["objects", "photo"])
def test_outlines_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    def refused() -> str:
        with pytest.raises(InputError) as caught:
            next(sample_masks(1, 64, kind, "any", 0, folder))
        assert "\n" not in str(caught.value) and "accepted" in str(caught.value)
        return str(caught.value)

    folder = tmp_path / "outlines"
    assert f"{folder}: " in refused()
    folder.mkdir()
    assert f"{folder}: " in refused()
    (folder / "notes.txt").write_text("no image")
    assert f"{folder}: " in refused()
    (folder / "a.png").write_text("no image either")
    assert f"{folder / 'a.png'}: " in refused()
    Image.new("1", (8, 8)).save(folder / "a.png")
    assert f"{folder / 'a.png'}: " in refused()


def test_outlines_of_people(shared: Path) -> None:
    folder = shared / "data" / "photos" / "object-masks" / "val"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    masks = list(sample_masks(60, 128, "objects", "any", 0, folder))
    assert 0.08 < np.median([mask.mean() for mask in masks]) < 0.35
    assert len({mask.tobytes() for mask in masks}) == 60


@pytest.mark.parametrize("given", [True, False])
def test_photo_is_the_mix_that_it_says(given: bool, outlines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Counter[tuple[str, bool]] = Counter()

    def count(kind: str, size: int, low: float, high: float, *rest: Any) -> np.ndarray:
        drawn[kind, high > 0.5] += 1
        return true(kind, size, low, high, *rest)

    true = mask_kinds.draw
    monkeypatch.setattr(mask_kinds, "draw", count)
    masks = list(sample_masks(1500, 32, "photo", "any", 0, outlines if given else None))
    share = {key: number / sum(drawn.values()) for key, number in drawn.items()}
    expected = {
        ("freeform", True): 0.4,
        ("outpaint", True): 0.1,
        ("box", True): 0.1,
        ("freeform", False): 0.1,
        ("lines", True): 0.1,
        ("lettering", True): 0.1,
        ("blobs", False): 0.1 / 3 if given else 0.1,
    } | ({("objects", True): 0.2 / 3} if given else {})
    assert share == pytest.approx(expected, abs=0.03)
    # The same, from the masks themselves.
    assert np.mean([is_rectangle(mask) or is_rectangle(~mask) for mask in masks]) == pytest.approx(0.2, abs=0.04)
    assert np.mean([mask.mean() > 0.5 for mask in masks]) == pytest.approx(0.3, abs=0.04)


def test_photo_within_bounds_leaves_out_what_does_not_fit() -> None:
    for mask in sample_masks(30, 64, "photo", "0.85-0.95", 0):
        assert 0.85 <= mask.mean() <= 0.9  # of large holes, the upper end
    for mask in sample_masks(30, 64, "photo", "0.004-0.02", 0):
        assert 0.004 <= mask.mean() <= 0.02 and not is_rectangle(mask)  # less than any box: lines and lettering


def test_training_draws_from_its_outlines(outlines: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("pydantic", reason="needs the extra train")
    from invertfill.training.config import DataConfig, MaskConfig
    from invertfill.training.data.batches import Batches
    from invertfill.training.data.readers import ImageSet

    save_mask(np.ones((32, 32), bool), tmp_path / "pictures" / "a.png")
    images, data = ImageSet(tmp_path / "pictures", 32, cache=True), DataConfig(path=tmp_path / "pictures", workers=1)

    def batches(kind: Any, folder: Path) -> Batches:
        masks = MaskConfig(kind=kind, low=0.0005, high=0.95, outlines=folder)
        return Batches(images, data, masks, batch=4, seed=7, device=torch.device("cpu"))

    found = batches("objects", outlines)(0).masks
    assert found is not None and 0 < found.mean() < 0.5
    with pytest.raises(InputError, match="none: "):  # before the first step
        batches("photo", tmp_path / "none")


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_depends_on_seed_and_index_only(kind: str, outlines: Path) -> None:
    coverage = "any" if kind in NATURAL else "all"
    few, many = (list(sample_masks(count, 32, kind, coverage, 7, outlines)) for count in (3, 6))
    assert mask_set_hash(few) == mask_set_hash(many[:3]) != mask_set_hash(many)
    assert mask_set_hash(few) != mask_set_hash(sample_masks(3, 32, kind, coverage, 8, outlines))


def test_hash_of_a_set_tells_shapes_apart() -> None:
    assert mask_set_hash([np.zeros((2, 8), bool)]) != mask_set_hash([np.zeros((8, 2), bool)])


@pytest.mark.parametrize(
    ("size", "kind", "low", "high"),
    [(64, "round", 0.1, 0.2), (4, "box", 0.1, 0.2), (64, "box", 0.2, 0.1), (64, "box", 0.5000001, 0.500002)],
)
def test_masks_that_cannot_be(size: int, kind: str, low: float, high: float) -> None:
    rng: Any = np.random.default_rng(0)
    with pytest.raises(InputError, match="accepted"):
        sample_mask(size, kind, low, high, rng)
