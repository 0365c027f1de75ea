"""Pictures as cameras, scanners and editors write them: what goes in comes out, with the hole filled."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import get_sampling
from PIL.PngImagePlugin import PngInfo

import invertfill
from invertfill.imaging.colour import from_srgb, to_srgb
from invertfill.imaging.reading import open_image
from invertfill.imaging.writing import save_image
from invertfill.notes import Notes

WIDTH, HEIGHT = 60, 40
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[10:30, 20:45] = True
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS = [
    ("png", "L"), ("png", "LA"), ("png", "RGB"), ("png", "RGBA"), ("png", "I;16"),
    ("tiff", "L"), ("tiff", "LA"), ("tiff", "RGB"), ("tiff", "RGBA"), ("tiff", "CMYK"), ("tiff", "I;16"),
    ("webp", "RGB"), ("webp", "RGBA"), ("bmp", "L"), ("bmp", "RGB"),
]  # fmt: skip


@pytest.fixture(scope="module")
def inpainter(tiny_model_folder: Path) -> invertfill.Inpainter:
    return invertfill.load(tiny_model_folder)


def noise(mode: str) -> Image.Image:
    rng = np.random.default_rng(3)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (HEIGHT, WIDTH), np.uint16))
    bands = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (WIDTH, HEIGHT), rng.integers(0, 256, (HEIGHT, WIDTH, bands), np.uint8).tobytes())


def gamma_profile(gamma: float) -> bytes:
    """sRGB's primaries with other tone curves: the curves' tag is rewritten in place as one gamma value."""
    profile = bytearray(SRGB)
    count = int.from_bytes(profile[128:132])
    for i in range(count):
        tag, offset = profile[132 + 12 * i : 136 + 12 * i], int.from_bytes(profile[136 + 12 * i : 140 + 12 * i])
        if tag in (b"rTRC", b"gTRC", b"bTRC"):
            # "para", function type 0: Y = X^g, g as s15Fixed16
            profile[offset : offset + 16] = b"para" + bytes(8) + round(gamma * 65536).to_bytes(4)
    return bytes(profile)


def camera_exif(orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", orientation
    exif.get_ifd(0x8769).update({0x9003: "2020:02:03 04:05:06", 0xA002: WIDTH, 0xA003: HEIGHT, 0x927C: b"maker's note"})
    exif.get_ifd(0x8825).update({1: "N", 2: (50.0, 6.0, 30.0)})
    return exif.tobytes()


def fill_file(inpainter: invertfill.Inpainter, source: Path, hole: np.ndarray = HOLE) -> Image.Image:
    """Through files, as the command does."""
    out = inpainter.fill(source, hole).save(source.with_name(f"filled{source.suffix}"))
    return Image.open(out)


@pytest.mark.parametrize(("suffix", "mode"), LOSSLESS)
def test_lossless_formats_keep_known_pixels_mode_and_data(
    inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str, mode: str
) -> None:
    source = tmp_path / f"a.{suffix}"
    options = {"webp": {"lossless": True, "exact": True}}.get(suffix, {"dpi": (300, 300)})
    if suffix != "bmp":
        options |= {"exif": camera_exif()}
        options |= {"icc_profile": SRGB} if mode in ("RGB", "RGBA") else {}
    noise(mode).save(source, **options)  # type: ignore[arg-type]
    before, after = Image.open(source), fill_file(inpainter, source)
    assert (after.mode, after.size, after.format) == (before.mode, before.size, before.format)
    assert np.array_equal(np.asarray(after)[~HOLE], np.asarray(before)[~HOLE])
    assert not np.array_equal(np.asarray(after)[HOLE], np.asarray(before)[HOLE])
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    assert after.info.get("dpi") == before.info.get("dpi")
    if suffix != "bmp":
        exif = after.getexif()
        assert exif[0x010F] == "a camera"
        assert exif.get_ifd(0x8769) == before.getexif().get_ifd(0x8769)
        assert exif.get_ifd(0x8825) == before.getexif().get_ifd(0x8825)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_is_applied_and_every_trace_agrees(
    inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str, orientation: int
) -> None:
    source = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    noise("RGB").save(source, exif=camera_exif(orientation), **options)
    turned = orientation in (6, 8)
    hole = HOLE.T if turned else HOLE
    before, after = open_image(source), fill_file(inpainter, source, hole)
    assert before.size == after.size == ((HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT))
    exif = after.getexif()
    assert exif.get(0x0112, 1) == 1
    assert (exif.get_ifd(0x8769)[0xA002], exif.get_ifd(0x8769)[0xA003]) == after.size
    if suffix != "jpg":
        assert np.array_equal(np.asarray(after)[~hole], np.asarray(before)[~hole])
    assert open_image(tmp_path / f"filled.{suffix}").size == after.size


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_keeps_its_tables_and_changes_little(inpainter: invertfill.Inpainter, tmp_path: Path, mode: str) -> None:
    source = tmp_path / "a.jpg"
    smooth = noise(mode).resize((8, 6)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    smooth.save(source, quality=71, dpi=(180, 180), exif=camera_exif(), **({"subsampling": 2} if mode == "RGB" else {}))
    before, after = Image.open(source), fill_file(inpainter, source)
    assert after.mode == mode and after.quantization == before.quantization  # type: ignore[attr-defined]
    assert get_sampling(after) == get_sampling(before)
    assert after.info["dpi"] == (180, 180) and after.getexif()[0x010F] == "a camera"
    far = np.ones_like(HOLE)
    far[:, :] = True
    far[0:32, 16:48] = False  # blocks of 16 that the hole touches
    difference = np.abs(np.asarray(after).astype(int) - np.asarray(before))[far]
    assert difference.mean() < 1 and difference.max() <= 8


@pytest.mark.parametrize(("mode", "subsampling"), [("L", 0), ("RGB", 0), ("RGB", 1), ("RGB", 2)])
def test_blocks_that_a_hole_does_not_touch_are_as_they_were(tmp_path: Path, mode: str, subsampling: int) -> None:
    pytest.importorskip("jpeglib", reason="needs the jpeg extra")
    given = noise(mode).resize((117, 75), Image.Resampling.BICUBIC)
    options = {"subsampling": subsampling} if mode == "RGB" else {}
    given.save(tmp_path / "a.jpg", quality=80, dpi=(180, 180), exif=camera_exif(), icc_profile=b"a profile", **options)
    image = open_image(tmp_path / "a.jpg")
    before = np.array(image)
    image.paste(Image.new(mode, (20, 10), 77), (50, 30))
    after = Image.open(save_image(image, tmp_path / "b.jpg"))
    far = np.ones((75, 117), bool)
    far[15:49, 31:81] = False  # blocks of 16 that were touched, and a pixel of chroma beside them
    np.testing.assert_array_equal(np.asarray(after)[far], before[far])
    assert np.abs(np.asarray(after)[32:38, 52:68].astype(int) - np.asarray(image)[32:38, 52:68]).mean() < 20
    assert after.info["dpi"] == (180, 180) and after.info["icc_profile"] == b"a profile"
    assert after.getexif()[0x010F] == "a camera"


def test_coefficients_of_another_colour_space_are_not_taken(tmp_path: Path) -> None:
    pytest.importorskip("jpeglib", reason="needs the jpeg extra")
    noise("RGB").resize((64, 64)).save(tmp_path / "a.jpg", quality=95, subsampling=0, keep_rgb=True)
    image = open_image(tmp_path / "a.jpg")
    before = np.array(image).astype(int)
    image.paste((255, 0, 0), (0, 0, 8, 8))
    after = np.asarray(Image.open(save_image(image, tmp_path / "b.jpg")))
    assert np.abs(after - before)[8:].mean() < 5


def test_opening_what_is_open_loses_nothing(tmp_path: Path) -> None:
    noise("RGB").save(tmp_path / "a.jpg", quality=60, exif=camera_exif(6), xmp=b"<x/>", icc_profile=SRGB, dpi=(72, 72))
    once = open_image(tmp_path / "a.jpg")
    again = open_image(once)
    assert again.info == once.info and again.info.keys() - {"jpeg file"} == {
        "icc_profile",
        "dpi",
        "exif",
        "xmp",
        "jpeg",
    }
    assert again.tobytes() == once.tobytes()


@pytest.mark.parametrize("suffix", ["avif", "heic"])
def test_formats_that_are_never_quite_lossless(inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str) -> None:
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    source = tmp_path / f"a.{suffix}"
    smooth = noise("RGB").resize((8, 6)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    smooth.save(source, quality=90, exif=camera_exif(), icc_profile=SRGB)
    before, after = open_image(source), fill_file(inpainter, source)
    assert after.size == before.size and after.info["icc_profile"] == SRGB
    assert after.getexif()[0x010F] == "a camera"
    difference = np.abs(np.asarray(after.convert("RGB")).astype(int) - np.asarray(before))
    assert difference[~HOLE].mean() < 3 and difference[HOLE].mean() > difference[~HOLE].mean()


def test_thumbnail_that_shows_what_was_there_goes(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    thumbnail = io.BytesIO()
    noise("RGB").resize((16, 12)).save(thumbnail, "JPEG")
    exif = bytearray(camera_exif())
    assert exif[:6] == b"Exif\0\0" or exif[:2] in (b"II", b"MM")
    source = tmp_path / "a.jpg"
    with_thumbnail = Image.Exif()
    with_thumbnail.load(bytes(exif))
    with_thumbnail.get_ifd(0x8769)[0x927C] = b"maker's note"
    noise("RGB").save(source, exif=_add_thumbnail(with_thumbnail.tobytes(), thumbnail.getvalue()))
    assert thumbnail.getvalue() in source.read_bytes()
    fill_file(inpainter, source)
    assert thumbnail.getvalue() not in (tmp_path / "filled.jpg").read_bytes()
    assert Image.open(tmp_path / "filled.jpg").getexif()[0x010F] == "a camera"


def _add_thumbnail(exif: bytes, jpeg: bytes) -> bytes:
    """IFD1 with a JPEG behind an EXIF block."""
    head, tiff = (exif[:6], bytearray(exif[6:])) if exif.startswith(b"Exif") else (b"", bytearray(exif))
    order = "little" if tiff[:2] == b"II" else "big"

    def number(value: int, length: int) -> bytes:
        return value.to_bytes(length, order)  # type: ignore[arg-type]

    ifd0 = int.from_bytes(tiff[4:8], order)  # type: ignore[arg-type]
    link = ifd0 + 2 + 12 * int.from_bytes(tiff[ifd0 : ifd0 + 2], order)  # type: ignore[arg-type]
    at = len(tiff)
    tiff[link : link + 4] = number(at, 4)
    data = at + 2 + 2 * 12 + 4
    entries = number(0x0201, 2) + number(4, 2) + number(1, 4) + number(data, 4)
    entries += number(0x0202, 2) + number(4, 2) + number(1, 4) + number(len(jpeg), 4)
    return head + bytes(tiff) + number(2, 2) + entries + number(0, 4) + jpeg


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "avif"])
def test_xmp_is_kept_and_says_upright(inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6">here</a></x:xmpmeta>'
    image = noise("RGB")
    image.info["xmp"] = xmp
    source = save_image(image, tmp_path / f"a.{suffix}")
    fill_file(inpainter, source, HOLE.T)
    assert open_image(tmp_path / f"filled.{suffix}").info["xmp"] == xmp.replace(b'"6"', b'"1"')


def test_model_works_in_srgb_and_the_profile_stays(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    """The same scene stored with two tone curves is filled alike to the eye."""
    scene = noise("RGB").resize((8, 6)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    linear = scene.copy()
    linear.info["icc_profile"] = gamma_profile(1.4)
    stored = from_srgb(scene, linear)
    stored.info["icc_profile"] = linear.info["icc_profile"]
    assert np.abs(np.asarray(stored).astype(int) - np.asarray(scene)).mean() > 10
    expected = np.asarray(inpainter.fill(scene, HOLE)).astype(int)
    filled = inpainter.fill(stored, HOLE)
    assert filled.image.info["icc_profile"] == stored.info["icc_profile"]
    assert np.array_equal(np.asarray(filled)[~HOLE], np.asarray(stored)[~HOLE])
    assert np.abs(np.asarray(to_srgb(filled.image)) - expected)[HOLE].mean() < 3


@pytest.mark.parametrize(("suffix", "keeps"), [("png", "text"), ("jpg", "comment"), ("gif", "comment")])
@pytest.mark.parametrize("out", ["png", "jpg", "gif", "webp", "tif", "bmp"])
def test_text_and_comments_are_kept_or_said(
    inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str, keeps: str, out: str
) -> None:
    written = {"parameters": "a barn, seed 7", "Title": "Käse 🧀", "workflow": "{}" * 2000}
    text = PngInfo()
    for name, value in written.items():
        text.add_text(name, value)
    more: dict[str, Any] = {"pnginfo": text} if suffix == "png" else {"comment": b"by hand"}
    noise("L").save(tmp_path / f"in.{suffix}", **more)
    result = inpainter.fill(tmp_path / f"in.{suffix}", HOLE)
    notes: list[str] = []
    result.save(tmp_path / f"out.{out}", note=notes.append)
    with Image.open(tmp_path / f"out.{out}") as image:
        image.load()
        found = image.text if keeps == "text" and out == "png" else image.info.get("comment")  # type: ignore[attr-defined]
    wanted = written if keeps == "text" else b"by hand"
    assert found == wanted or (out != suffix and any(keeps in note for note in notes))


@pytest.mark.parametrize("out", ["bmp", "gif"])
def test_what_a_plain_format_cannot_hold_is_said(tmp_path: Path, out: str) -> None:
    noise("RGB").save(tmp_path / "in.jpg", exif=camera_exif(), icc_profile=SRGB)
    notes: list[str] = []
    save_image(open_image(tmp_path / "in.jpg"), tmp_path / f"out.{out}", note=notes.append)
    assert {"EXIF", "profile"} == {word for word in ("EXIF", "profile", "XMP") if any(word in note for note in notes)}


def test_a_tiff_compressed_with_loss_says_that_it_is_not_any_more(tmp_path: Path) -> None:
    noise("RGB").save(tmp_path / "in.tif", compression="jpeg")
    notes: list[str] = []
    picture = open_image(tmp_path / "in.tif")
    save_image(picture, tmp_path / "out.tif", note=notes.append)
    assert len(notes) == 1 and np.array_equal(open_image(tmp_path / "out.tif"), picture)


@pytest.mark.parametrize("profile", [b"no profile at all", SRGB[:200]], ids=["junk", "cut short"])
def test_bad_profile_is_said_and_kept(inpainter: invertfill.Inpainter, tmp_path: Path, profile: bytes) -> None:
    source = tmp_path / "a.png"
    noise("RGB").save(source, icc_profile=profile)
    filled = inpainter.fill(source, HOLE)
    assert "profile" in filled.notes[0] and len(filled.notes) == 1
    assert filled.image.info["icc_profile"] == profile


def test_profile_of_another_kind_of_picture_is_not_used(inpainter: invertfill.Inpainter) -> None:
    grey = noise("L")
    grey.info["icc_profile"] = SRGB
    filled = inpainter.fill(grey, HOLE)
    assert "profile" in filled.notes[0]
    assert filled.image.mode == "L" and np.array_equal(np.asarray(filled)[~HOLE], np.asarray(grey)[~HOLE])


def test_plain_files_say_nothing(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    for suffix, mode in LOSSLESS:
        source = save_image(noise(mode), tmp_path / f"{mode.replace(';', '')}.{suffix}")
        assert inpainter.fill(source, HOLE).notes == ()


def test_profile_that_fits_no_longer_is_dropped_with_its_colours_kept(tmp_path: Path) -> None:
    image = noise("CMYK")
    image.info["icc_profile"] = b"a press's profile"
    notes = Notes()
    saved = open_image(save_image(image, tmp_path / "a.png", note=notes))
    assert len(notes) == 2 and saved.mode == "RGB" and "icc_profile" not in saved.info
