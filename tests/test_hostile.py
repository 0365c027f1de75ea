"""Damaged, huge and misleading files: each ends in a picture or in one line, and no input is changed."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result, assert_filled, assert_one_line, pixels
from PIL import Image, features
from PIL.PngImagePlugin import PngImageFile

from invertfill.errors import InputError
from invertfill.imaging.masks import read_mask
from invertfill.imaging.reading import open_image
from invertfill.imaging.writing import save_image
from invertfill.notes import Notes, silent

Command = Callable[..., Result]
RNG = np.random.default_rng(0)
RGB = Image.fromarray(RNG.integers(0, 256, (6, 8, 3), np.uint8)).resize((40, 24), Image.Resampling.BICUBIC)
FORMATS = {
    "png": {},
    "jpg": {"progressive": True},
    "webp": {"lossless": True},
    "tif": {"compression": "tiff_lzw"},
    "bmp": {},
    "gif": {},
    "avif": {},
    "heic": {},
}


def encoded(suffix: str) -> bytes:
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = io.BytesIO()
    RGB.save(data, Image.registered_extensions()[f".{suffix}"], **FORMATS[suffix])
    return data.getvalue()


def png(width: int, height: int, *, bits: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG by hand, with sizes that no encoder would write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", FORMATS)
def test_early_end_and_flipped_bytes(tmp_path: Path, suffix: str) -> None:
    """More of the same, at random and for longer, is tools/fuzz_readers.py."""
    whole, path = encoded(suffix), tmp_path / f"a.{suffix}"
    opened = 0
    damaged = [whole[: len(whole) * i // 12] for i in range(12)]
    for at in np.linspace(0, len(whole) - 1, 60).astype(int):
        damaged.append(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    for data in damaged:
        path.write_bytes(data)
        try:
            opened += open_image(path, note=silent).size != (0, 0)
        except InputError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
    path.write_bytes(whole)
    assert open_image(path, note=silent).size == (40, 24)
    assert opened < len(damaged)


@pytest.mark.parametrize("suffix", FORMATS)
def test_command_on_a_damaged_picture_and_on_a_damaged_mask(
    fill: Command, photo: Path, mask: Path, tmp_path: Path, suffix: str
) -> None:
    broken = tmp_path / f"broken.{suffix}"
    broken.write_bytes(encoded(suffix)[:40])
    out = tmp_path / "out.png"
    assert_one_line(fill(broken, "--mask", mask, "-o", out), f"broken.{suffix}: ", "accepted: ")
    assert_one_line(fill(photo, "--mask", broken, "-o", out), f"broken.{suffix}: ", "accepted: ")
    assert not out.exists() and broken.read_bytes() == encoded(suffix)[:40]


@pytest.mark.parametrize("suffix", FORMATS)
def test_wrong_suffix_is_no_obstacle(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / ("a.jpg" if suffix != "jpg" else "a.png")
    path.write_bytes(encoded(suffix))
    assert open_image(path, note=silent).size == (40, 24)


def test_formats_that_are_not_accepted_are_not_tried(tmp_path: Path) -> None:
    """Of an EPS, Pillow would run the program in it through Ghostscript."""
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 24\n%%EndComments\nshowpage\n")
    assert Image.open(tmp_path / "a.png").format == "EPS"
    with pytest.raises(InputError, match=r"a\.png: "):
        open_image(tmp_path / "a.png")


def test_damaged_exif_is_left_out_and_said(tmp_path: Path) -> None:
    for suffix in ("png", "webp"):
        RGB.save(tmp_path / f"a.{suffix}", exif=b"Exif\0\0nonenonenone", **FORMATS[suffix])
        notes = Notes()
        picture = open_image(tmp_path / f"a.{suffix}", note=notes)
        assert f"a.{suffix}: " in notes[0] and "EXIF" in notes[0] and len(notes) == 1
        assert picture.tobytes() == RGB.tobytes() and "exif" not in picture.info


def test_metadata_too_long_for_a_jpeg_goes_and_is_said(tmp_path: Path) -> None:
    image = RGB.copy()
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x927C] = bytes(70_000)  # a maker's note
    image.info |= {"exif": exif.tobytes(), "xmp": b"<x>" + bytes(70_000) + b"</x>"}
    notes = Notes()
    save_image(image, tmp_path / "a.jpg", note=notes)
    assert ["EXIF" in notes[0], "XMP" in notes[1]] == [True, True] and len(notes) == 2
    assert open_image(save_image(image, tmp_path / "a.tif")).info["exif"] == image.info["exif"]


def test_resolution_that_is_no_number_goes(tmp_path: Path) -> None:
    RGB.save(tmp_path / "a.tif", dpi=(300, 300))
    for rational in (struct.pack("<II", 0, 0), struct.pack("<II", 0, 1)):
        data = (tmp_path / "a.tif").read_bytes().replace(struct.pack("<II", 300, 1), rational)
        (tmp_path / "b.tif").write_bytes(data)
        picture = open_image(tmp_path / "b.tif")
        assert "dpi" not in picture.info
        assert open_image(save_image(picture, tmp_path / "b.png")).tobytes() == RGB.tobytes()


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2**31 - 1, 1), (1, 2**31 - 1)])
def test_bomb_by_its_header(fill: Command, photo: Path, mask: Path, tmp_path: Path, width: int, height: int) -> None:
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png(width, height, data=zlib.compress(bytes(1000))))
    assert_one_line(fill(bomb, "--mask", mask, "-o", tmp_path / "out.png"), "178 million")
    assert_one_line(fill(photo, "--mask", bomb, "-o", tmp_path / "out.png"), "178 million")


def test_bomb_in_a_tiff_and_in_a_text(tmp_path: Path) -> None:
    RGB.save(tmp_path / "a.tif")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    entry = data.index(struct.pack("<HHII", 256, 4, 1, 40))
    for at in (entry, entry + 12):  # width, height
        data[at + 8 : at + 12] = struct.pack("<I", 50_000)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(InputError, match="too large"):
        open_image(tmp_path / "a.tif")

    text = b"note\0\0" + zlib.compress(bytes(20 << 20))  # 20 MiB of zeros in 20 kB
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    whole = encoded("png")
    (tmp_path / "b.png").write_bytes(whole[:33] + chunk + whole[33:])
    with pytest.raises(InputError, match=r"b\.png: "):
        open_image(tmp_path / "b.png")


def test_photographs_of_a_hundred_megapixels_open(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(12_000, 8_400, bits=1, colour=0, data=zlib.compress(bytes((1500 + 1) * 8_400))))
    with pytest.warns(Image.DecompressionBombWarning):  # Pillow's, which the command doesn't pass on
        assert open_image(path).size == (12_000, 8_400)


def test_too_little_memory_for_a_model_is_one_line(
    run: Command, monkeypatch: pytest.MonkeyPatch, photo: Path, mask: Path, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("invertfill.pipeline.inpainter.open_inpainter", fail)
    assert_one_line(run("fill", photo, "--mask", mask, "-o", tmp_path / "out.png"), "not enough memory")


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (2, 3), (20_000, 9)])
def test_extreme_shapes(fill: Command, tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    before = RNG.integers(0, 256, (height, width, 3), np.uint8)
    hole = np.zeros((height, width), np.uint8)
    hole[height // 2 :, width // 2 :] = 255
    Image.fromarray(before).save(tmp_path / "a.png")
    Image.fromarray(hole).save(tmp_path / "hole.png")
    result = fill(tmp_path / "a.png", "--mask", tmp_path / "hole.png", "-o", tmp_path / "out.png")
    assert result.status == 0
    after = pixels(tmp_path / "out.png")
    assert after.shape == before.shape
    np.testing.assert_array_equal(after[hole == 0], before[hole == 0])
    if hole.sum() > 255:
        assert (after != before).any()


MASKS: dict[str, Image.Image] = {
    "palette.png": Image.new("L", (40, 24)).convert("P"),
    "bits.png": Image.new("1", (40, 24)),
    "deep.png": Image.fromarray(np.zeros((24, 40), np.uint16)),
    "rgba.png": Image.new("RGBA", (40, 24), (0, 0, 0, 255)),
    "grey and alpha.png": Image.new("LA", (40, 24), (0, 255)),
    "cmyk.jpg": Image.new("CMYK", (40, 24), (0, 0, 0, 255)),
    "bits.tif": Image.new("1", (40, 24)),
    "frames.gif": Image.new("L", (40, 24)),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_of_every_kind_mark_the_same_hole(
    fill: Command, photo: Path, mask: Path, tmp_path: Path, name: str
) -> None:
    image, hole = MASKS[name].copy(), Image.open(mask)
    white = {"P": 255, "1": 255, "I;16": 65535, "RGBA": (255,) * 4, "LA": (255, 255), "CMYK": (0, 0, 0, 0)}
    if image.mode == "I;16":
        image = Image.fromarray((np.asarray(hole) > 127).astype(np.uint16) * 65535)
    else:
        image.paste(white.get(image.mode, 255), mask=hole)  # type: ignore[arg-type]
    options = {"save_all": True, "append_images": [Image.new("L", (40, 24))]} if name == "frames.gif" else {}
    image.save(tmp_path / name, **options)
    expected = np.asarray(hole) > 127
    found = read_mask(tmp_path / name, (40, 24))
    if name == "cmyk.jpg":  # blurred at the edge of the hole
        assert (found == expected).mean() > 0.98
        return
    np.testing.assert_array_equal(found, expected)
    assert fill(photo, "--mask", tmp_path / name, "-o", tmp_path / "out.png").status == 0
    assert_filled(photo, mask, tmp_path / "out.png")


def test_masks_that_cannot_be_used(fill: Command, photo: Path, tmp_path: Path) -> None:
    for name, image, reason in (
        ("float.tif", Image.fromarray(np.full((24, 40), np.nan, np.float32)), "NaN"),
        ("int.tif", Image.fromarray(np.full((24, 40), -1, np.int32)), "negative values"),
        ("wide.png", Image.new("L", (41, 24), 255), "mask of 41x24 pixels for an image of 40x24"),
        ("turned.png", Image.new("L", (24, 40), 255), "mask of 24x40 pixels for an image of 40x24"),
        ("clear.png", Image.new("RGBA", (40, 24), (255, 255, 255, 0)), "a mask without a hole"),
        ("black.png", Image.new("1", (40, 24)), "a mask without a hole"),
    ):
        image.save(tmp_path / name)
        assert_one_line(fill(photo, "--mask", tmp_path / name, "-o", tmp_path / "out.png"), name, reason, "accepted: ")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    "array",
    [
        np.full((24, 40), np.nan),
        np.full((24, 40), -1),
        np.full((24, 40), "white"),
        np.full((24, 40), None),
        np.ones((24, 40), complex),
        np.ones((24, 40, 3)),
        np.ones(40),
        np.ones((1, 24, 40)),
        np.ones((0, 0), bool),
        np.float64(1.0)[None].reshape(()),
    ],
    ids=["nan", "negative", "text", "objects", "complex", "colours", "one axis", "batch", "empty", "a number"],
)
def test_mask_arrays_of_every_wrong_kind(array: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"mask.*accepted: "):
        read_mask(array, (40, 24))


def test_pictures_in_memory_that_are_none(photo: Path) -> None:
    closed = Image.open(photo)
    closed.close()
    short = Image.open(io.BytesIO(photo.read_bytes()[:1000]))
    for image in (Image.new("RGB", (0, 5)), closed, short):
        with pytest.raises(InputError, match="image: "):
            open_image(image)


def test_input_is_never_written(run: Command, photo: Path, mask: Path, tmp_path: Path, tiny_model_folder: Path) -> None:
    os.link(photo, tmp_path / "same.png")
    before = {path: path.read_bytes() for path in (photo, mask)}
    for out in (photo, mask, tmp_path / "." / "photo.png", tmp_path / "same.png"):
        for arguments in (("fill", photo, "--mask", mask), ("outpaint", photo, "--left", 5)):
            if arguments[0] == "fill" or out != mask:
                result = run(*arguments, "-o", out, "--model", tiny_model_folder)
                assert_one_line(result, "accepted: ")
    # In a folder: the one mask for all lies where a result would go.
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "mask.png").write_bytes(before[photo])
    options = ("--mask", mask, "-o", tmp_path, "--model", tiny_model_folder)
    result = run("fill", tmp_path / "pictures", *options)
    assert_one_line(result, "accepted: ")
    assert {path: path.read_bytes() for path in (photo, mask)} == before


def test_whatever_a_decoder_raises_stops_no_training(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a damaged file among many, training takes the others."""
    from invertfill.training.data import readers

    (photo.parent / "broken.png").write_bytes(photo.read_bytes()[:500])
    decode = readers.decode

    def stumble(data: bytes, size: int) -> np.ndarray:
        try:
            return decode(data, size)
        except OSError:
            raise struct.error("unpack requires a buffer of 4 bytes") from None

    monkeypatch.setattr(readers, "decode", stumble)
    pictures = readers.ImageSet(photo.parent, 8)
    assert pictures.names == ["photo.png"] and "unpack" in pictures.broken["broken.png"]
    pictures.close()


def test_memory_that_does_not_suffice_stops_no_folder(
    fill: Command, photo: Path, mask: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pictures; there is no memory for the first."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (50, 50)).save(folder / "large.png")
    (folder / "small.png").write_bytes(photo.read_bytes())
    load = PngImageFile.load

    def limited(self: PngImageFile) -> object:
        if self.width == 50:
            raise MemoryError
        return load(self)

    monkeypatch.setattr(PngImageFile, "load", limited)
    result = fill(folder, "--mask", mask, "-o", tmp_path / "out")
    assert result.status == 1 and "1 of 2 filled" in result.out
    assert "large.png: " in result.err
