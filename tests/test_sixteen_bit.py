"""Colour of 16 bits per channel: known pixels come back exactly, with what the file says of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import invertfill
from invertfill.imaging.reading import open_image
from invertfill.imaging.writing import save_image
from invertfill.notes import Notes

cv2 = pytest.importorskip("cv2")  # another reader and writer of such files

WIDTH, HEIGHT = 60, 40
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[10:30, 20:45] = True
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
KINDS = [(suffix, channels) for suffix in ("png", "tiff") for channels in (3, 4)]


@pytest.fixture(scope="module")
def inpainter(tiny_model_folder: Path) -> invertfill.Inpainter:
    return invertfill.load(tiny_model_folder)


def deep_pixels(channels: int) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 65536, (HEIGHT, WIDTH, channels), np.uint16)


def write(path: Path, pixels: np.ndarray) -> Path:
    order = [2, 1, 0, 3][: pixels.shape[2]]  # OpenCV's
    assert cv2.imwrite(str(path), pixels[..., order])
    return path


def read(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


@pytest.fixture
def with_libvips() -> None:
    pytest.importorskip("pyvips")


@pytest.mark.parametrize(("suffix", "channels"), KINDS)
@pytest.mark.usefixtures("with_libvips")
@pytest.mark.filterwarnings("error")
def test_known_pixels_are_equal_and_the_hole_is_not(
    inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str, channels: int
) -> None:
    pixels = deep_pixels(channels)
    source = write(tmp_path / f"a.{suffix}", pixels)
    before = source.read_bytes()
    filled = inpainter.fill(source, HOLE)
    for out_suffix in ("png", "tiff"):
        after = read(filled.save(tmp_path / f"out.{out_suffix}"))
        assert after.dtype == np.uint16 and after.shape == pixels.shape
        np.testing.assert_array_equal(after[~HOLE], pixels[~HOLE])
        # Nothing of what was in the hole stays, not even in the low bytes.
        assert not (after[HOLE] == pixels[HOLE]).all(1).any()
        np.testing.assert_array_equal(after, np.asarray(filled))
        np.testing.assert_array_equal(after >> 8, np.asarray(filled.image))
    assert source.read_bytes() == before


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.usefixtures("with_libvips")
def test_profile_resolution_exif_xmp_and_orientation(
    inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str, orientation: int
) -> None:
    pyvips = pytest.importorskip("pyvips")
    pixels, exif = deep_pixels(3), Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", orientation
    exif.get_ifd(0x8769)[0x9003] = "2020:02:03 04:05:06"
    exif.get_ifd(0x8825).update({1: "N", 2: (50.0, 6.0, 30.0)})
    image = pyvips.Image.new_from_array(pixels, interpretation="rgb16").copy(xres=10, yres=10)
    for name, value in (("icc-profile-data", SRGB), ("exif-data", exif.tobytes()), ("xmp-data", b"<x/>")):
        image.set_type(pyvips.GValue.blob_type, name, value)
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.write_to_file(str(tmp_path / f"a.{suffix}"))

    upright = np.rot90(pixels, {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    hole = HOLE.T if orientation in (6, 8) else HOLE
    filled = inpainter.fill(tmp_path / f"a.{suffix}", hole)
    for out_suffix in ("png", "tiff"):
        out = filled.save(tmp_path / f"out.{out_suffix}")
        np.testing.assert_array_equal(read(out)[~hole], upright[~hole])
        with Image.open(out) as after:
            assert after.info["icc_profile"] == SRGB and after.info["dpi"] == pytest.approx((254, 254), abs=0.1)
            assert after.getexif().get(0x0112, 1) == 1
            if suffix == "png":  # libvips writes no EXIF data into the TIFF
                assert after.getexif()[0x010F] == "a camera"
                assert after.getexif().get_ifd(0x8769)[0x9003] == "2020:02:03 04:05:06"
                assert after.getexif().get_ifd(0x8825) == {1: "N", 2: (50.0, 6.0, 30.0)}
        assert open_image(out).info["xmp"] == b"<x/>"


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.usefixtures("with_libvips")
def test_a_damaged_profile_is_kept_as_it_is(tmp_path: Path, suffix: str) -> None:
    picture = open_image(write(tmp_path / "a.png", deep_pixels(3)))
    for profile in (SRGB[:200], SRGB[:16] + b"CMYK" + SRGB[20:], b"none"):
        picture.info["icc_profile"] = profile
        out = save_image(picture, tmp_path / f"out.{suffix}")
        assert open_image(out).info["icc_profile"] == profile
        np.testing.assert_array_equal(read(out), deep_pixels(3))


@pytest.mark.usefixtures("with_libvips")
def test_outpainting_keeps_them_too(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    pixels = deep_pixels(3)
    wider = inpainter.outpaint(write(tmp_path / "a.png", pixels), left=50, bottom=7)
    after = read(wider.save(tmp_path / "out.png"))
    assert after.shape == (HEIGHT + 7, WIDTH + 50, 3)
    np.testing.assert_array_equal(after[:HEIGHT, 50:], pixels)


@pytest.mark.usefixtures("with_libvips")
def test_what_goes_is_said(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    filled = inpainter.fill(write(tmp_path / "a.png", deep_pixels(3)), HOLE)
    notes = Notes()
    filled.save(tmp_path / "a.jpg", note=notes)
    assert "a.jpg: 16 bits" in notes[0] and len(notes) == 1


@pytest.mark.usefixtures("with_libvips")
def test_a_picture_of_another_size_is_saved_as_it_is(tmp_path: Path) -> None:
    picture = open_image(write(tmp_path / "a.png", deep_pixels(3)))
    smaller = picture.resize((30, 20))
    assert open_image(save_image(smaller, tmp_path / "b.png")).tobytes() == smaller.tobytes()


@pytest.mark.parametrize(("suffix", "channels"), KINDS)
def test_without_libvips_they_become_8_and_that_is_said(
    inpainter: invertfill.Inpainter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, channels: int
) -> None:
    monkeypatch.setitem(sys.modules, "pyvips", None)
    pixels = deep_pixels(channels)
    source = write(tmp_path / f"a.{suffix}", pixels)
    filled = inpainter.fill(source, HOLE)
    assert "16 bits" in filled.notes[0] and "[deep]" in filled.notes[0]
    after = np.asarray(open_image(filled.save(tmp_path / f"out.{suffix}")))
    assert after.dtype == np.uint8
    np.testing.assert_array_equal(after[~HOLE], pixels[~HOLE] >> 8)
