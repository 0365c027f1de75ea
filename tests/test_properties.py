"""What holds for every picture and mask, by hypothesis: sizes, modes and masks that nobody thinks of."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import invertfill
from invertfill.imaging.masks import read_mask
from invertfill.imaging.reading import MODES, open_image
from invertfill.imaging.writing import save_image

COMMON = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
sides = st.integers(1, 80)
seeds = st.integers(0, 2**32 - 1)
FEW = ("1", "P")  # filled in plain channels, and given back as they were
FILLED_AS = {mode: mode for mode in FEW} | {"YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB"} | {mode: mode for mode in MODES}


@pytest.fixture(scope="module")
def inpainter(tiny_model_folder: Path) -> invertfill.Inpainter:
    return invertfill.load(tiny_model_folder)


def noise(mode: str, width: int, height: int, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (height, width), np.uint16))
    if mode in ("I", "F"):
        return Image.fromarray(
            rng.integers(-(10**6), 10**6, (height, width)).astype({"I": "int32", "F": "float32"}[mode])
        )
    if mode in ("1", "P"):
        grey = Image.fromarray(rng.integers(0, 256, (height, width), np.uint8))
        return grey.convert(mode)
    bands = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (width, height), rng.integers(0, 256, (height, width, bands), np.uint8).tobytes())


def hole_of(kind: str, width: int, height: int, seed: int) -> np.ndarray:
    rng, hole = np.random.default_rng(seed), np.zeros((height, width), bool)
    if kind == "box":
        (left, right), (top, bottom) = (sorted(rng.integers(0, side + 1, 2)) for side in (width, height))
        hole[top:bottom, left:right] = True
    elif kind == "dots":
        hole = rng.random((height, width)) < rng.random()
    elif kind == "all but one":
        hole[:] = True
        hole[rng.integers(height), rng.integers(width)] = False
    elif kind == "all":
        hole[:] = True
    return hole


holes = st.sampled_from(["box", "dots", "all but one", "all", "none"])


@settings(COMMON, max_examples=60)
@given(mode=st.sampled_from(sorted(FILLED_AS)), width=sides, height=sides, kind=holes, seed=seeds)
def test_fill_changes_the_hole_and_nothing_else(
    inpainter: invertfill.Inpainter, mode: str, width: int, height: int, kind: str, seed: int
) -> None:
    picture, hole = noise(mode, width, height, seed), hole_of(kind, width, height, seed)
    given = picture.tobytes()
    filled = inpainter.fill(picture, hole)
    before, after = np.asarray(picture if mode in FEW else open_image(picture)), np.asarray(filled)
    assert filled.image.mode == FILLED_AS[mode] and filled.image.size == picture.size and picture.tobytes() == given
    np.testing.assert_array_equal(after[~hole], before[~hole])
    if mode in ("LA", "RGBA") and hole.any() and not hole.all():  # as see-through as what is there
        alpha, around = after[hole][:, -1], before[~hole][:, -1]
        assert around.min() <= alpha.min() and alpha.max() <= around.max()
    if hole.sum() >= 20 and mode not in FEW:
        assert (after[hole] != before[hole]).any()


@settings(COMMON, max_examples=60)
@given(
    mode=st.sampled_from(sorted(MODES)),
    suffix=st.sampled_from(["png", "tif", "webp", "bmp"]),
    width=sides,
    height=sides,
    orientation=st.integers(0, 9),
    seed=seeds,
)
def test_files_there_and_back(mode: str, suffix: str, width: int, height: int, orientation: int, seed: int) -> None:
    """Through a file with an orientation, opened, saved and opened again: upright, and nothing more is lost."""
    if mode in ("CMYK", "I", "F") and suffix != "tif":
        return
    with tempfile.TemporaryDirectory() as folder:
        exif = Image.Exif()
        exif[0x0112] = orientation
        source, out = Path(folder) / "a.tif", Path(folder) / f"b.{suffix}"
        noise(mode, width, height, seed).save(source, exif=exif)
        picture = open_image(source)
        upright = np.asarray(noise(mode, width, height, seed))
        if orientation in (5, 6, 7, 8):
            upright = upright.swapaxes(0, 1)
        # By hand: which ends of the upright picture the file's first row and column are.
        upright = upright[:: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1]
        np.testing.assert_array_equal(np.asarray(picture), upright)
        again = open_image(save_image(picture, out))
        assert again.size == picture.size
        if mode in ("RGB", "RGBA") and not (suffix == "bmp" and mode == "RGBA"):
            assert again.tobytes() == picture.tobytes()
        third = open_image(save_image(again, out))
        assert (third.mode, third.tobytes()) == (again.mode, again.tobytes())


@settings(COMMON, max_examples=60)
@given(width=sides, height=sides, more=st.integers(-1, 1), kind=holes, invert=st.booleans(), seed=seeds)
def test_all_ways_to_give_a_mask_agree(width: int, height: int, more: int, kind: str, invert: bool, seed: int) -> None:
    hole = hole_of(kind, width, height, seed)
    byte = hole.astype(np.uint8) * 255
    ways = [hole, hole[..., None], byte, hole.astype(np.float32), hole.astype(float), Image.fromarray(byte)]
    ways += [Image.fromarray(byte).convert(mode) for mode in ("1", "P", "LA", "RGB", "RGBA")]
    size = width + more, height
    if more:
        for way in ways:
            with pytest.raises(invertfill.InputError, match="mask of "):
                read_mask(way, size)
        return
    for way in ways:
        np.testing.assert_array_equal(read_mask(way, size, invert=invert), hole ^ invert)


@settings(COMMON, max_examples=200)
@given(
    data=st.binary(max_size=300),
    head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"GIF89a", b"BM"]),
)
def test_bytes_that_are_no_picture(data: bytes, head: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"
        path.write_bytes(head + data)
        try:
            assert open_image(path).mode in MODES
        except invertfill.InputError as error:
            assert str(error).isprintable()
