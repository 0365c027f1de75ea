"""Pictures as files: opened as they are meant to be seen, saved whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from invertfill.errors import InputError
from invertfill.imaging.formats import list_images
from invertfill.imaging.reading import MODES, open_image
from invertfill.imaging.writing import check_output, save_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 20, 3), np.uint8)
PROFILE = b"a colour profile"


def picture(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(RNG.integers(0, 65536, (12, 20), np.uint16))
    if mode in ("I", "F"):
        return Image.fromarray(RNG.integers(-(10**6), 10**6, (12, 20)).astype(np.int32 if mode == "I" else np.float32))
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (20, 12), RNG.integers(0, 256, (12, 20, channels), np.uint8).tobytes())


@pytest.mark.parametrize("mode", MODES)
def test_lossless_there_and_back(tmp_path: Path, mode: str) -> None:
    image = picture(mode)
    again = open_image(save_image(image, tmp_path / "a.tiff"))
    assert (again.mode, again.size, again.tobytes()) == (image.mode, image.size, image.tobytes())
    if mode not in ("CMYK", "I", "F"):
        again = open_image(save_image(image, tmp_path / "a.png"))
        assert (again.mode, again.tobytes()) == (image.mode, image.tobytes())


def test_webp_is_lossless_and_jpeg_is_near(tmp_path: Path) -> None:
    smooth = Image.fromarray(PIXELS).resize((160, 96), Image.Resampling.BICUBIC)
    assert open_image(save_image(smooth, tmp_path / "a.webp")).tobytes() == smooth.tobytes()
    error = np.asarray(open_image(save_image(smooth, tmp_path / "a.JPG"))).astype(int) - np.asarray(smooth)
    assert 0 < np.abs(error).mean() < 2
    transparent = open_image(save_image(picture("RGBA"), tmp_path / "b.jpg"))
    assert transparent.mode == "RGB"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_profile_and_exif_are_kept(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x010E] = "a description"
    image.info |= {"icc_profile": PROFILE, "exif": exif.tobytes()}
    path = save_image(image, tmp_path / f"a.{suffix}")
    again = open_image(save_image(open_image(path), tmp_path / f"b.{suffix}"))
    assert again.info["icc_profile"] == PROFILE
    assert Image.open(tmp_path / f"b.{suffix}").getexif()[0x010E] == "a description"


def test_tiff_keeps_its_profile(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS)
    image.info["icc_profile"] = PROFILE
    assert open_image(save_image(image, tmp_path / "a.tiff")).info["icc_profile"] == PROFILE


def test_orientation_is_applied_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    upright = open_image(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(upright), np.rot90(PIXELS, -1))
    again = open_image(save_image(upright, tmp_path / "b.png"))
    assert again.tobytes() == upright.tobytes() and again.size == (12, 20)


@pytest.mark.parametrize(
    ("mode", "opened"), [("1", "L"), ("P", "RGB"), ("YCbCr", "RGB"), ("LAB", "RGB"), ("HSV", "RGB")]
)
def test_other_modes_become_plain(mode: str, opened: str) -> None:
    assert open_image(Image.new(mode, (4, 3))).mode == opened


def test_palette_with_transparency_keeps_it(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS).quantize(8)
    clear = image.getpixel((3, 4))
    assert isinstance(clear, int)
    image.save(tmp_path / "a.png", transparency=clear)
    again = open_image(tmp_path / "a.png")
    assert again.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(again)[..., 3] == 0, np.asarray(image) == clear)


def test_source_is_left_alone() -> None:
    image = picture("RGB")
    opened = open_image(image)
    opened.paste((0, 0, 0), (0, 0, 20, 12))
    assert image.getbbox() is not None and np.asarray(image).any()


def test_arrays() -> None:
    assert open_image(PIXELS).tobytes() == PIXELS.tobytes()
    assert open_image(PIXELS / 255).tobytes() == PIXELS.tobytes()
    assert open_image(PIXELS[..., 0]).mode == open_image(PIXELS[..., :1]).mode == "L"
    assert open_image(np.concatenate([PIXELS, PIXELS[..., :1]], -1)).mode == "RGBA"


@pytest.mark.parametrize(
    "array",
    [PIXELS[..., :2], PIXELS[0, 0], PIXELS[:0], PIXELS.astype(complex), PIXELS[..., [0, 1, 2, 2]] * 9.0],
    ids=["two channels", "one axis", "empty", "complex", "alpha of floats"],
)
def test_bad_arrays(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="accepted: "):
        open_image(array)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    path = save_image(Image.fromarray(PIXELS), tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(InputError, match=rf"a\.{suffix}: .*accepted: \.png"):
        open_image(path)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    for name, reason in (("none.png", "no such file"), ("text.png", "not an image"), ("empty.png", "not an image")):
        with pytest.raises(InputError, match=f"{name}: {reason}"):
            open_image(tmp_path / name)
    with pytest.raises(InputError, match="a folder"):
        open_image(tmp_path)


def test_list_images(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="none: "):
        list_images(tmp_path / "none")


def test_output_places(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for bad in ("a.psd", "a", ".", "file/a.png"):
        with pytest.raises(InputError, match=r"file|folder"):
            check_output(tmp_path / bad)
    assert check_output(tmp_path / "new" / "a.png").parent.is_dir()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system in which not even root can make files")
def test_place_in_which_nobody_can_write() -> None:
    with pytest.raises(InputError, match=r"a\.png: cannot be written|not a folder that can be written to"):
        save_image(Image.fromarray(PIXELS), "/proc/a.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="not a folder that can be written to"):
        save_image(Image.fromarray(PIXELS), tmp_path / "a.png")


def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_image(Image.fromarray(PIXELS), tmp_path / "a.png")
    before = path.read_bytes()

    def half(self: Image.Image, file: object, **options: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(InputError, match=r"a\.png: .*no space left"):
        save_image(Image.fromarray(PIXELS[::-1]), path)
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_new_files_have_ordinary_permissions(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        assert save_image(Image.fromarray(PIXELS), tmp_path / "a.png").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(old)
