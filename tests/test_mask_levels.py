"""Which pixels of a mask are hole, in all ways in which people make masks; and what is no mask."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Result, assert_one_line
from PIL import Image, ImageDraw, ImageFilter

from invertfill.errors import InputError
from invertfill.imaging.masks import MaskSource, read_mask

SIZE = (160, 120)
PHOTOS = sorted((ROOT / "examples").glob("*-*.png"))


@pytest.fixture(scope="module")
def disc() -> Image.Image:
    image = Image.new("L", SIZE)
    ImageDraw.Draw(image).ellipse((40, 30, 90, 85), fill=255)
    return image


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(ROOT / "examples" / "landscape-aitzgorri.png") as image:
        return image.convert("RGB").resize(SIZE)


def paint(colour: tuple[int, ...], where: Image.Image, ground: tuple[int, ...] = (0, 0, 0)) -> Image.Image:
    image = Image.new("RGB", where.size, ground)
    image.paste(colour, mask=where)
    return image


def on_nothing(colour: tuple[int, int, int], where: Image.Image) -> Image.Image:
    image = Image.new("RGB", where.size, colour)
    image.putalpha(where)
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def assert_hole(source: MaskSource, expected: Image.Image, share: float = 1.0) -> None:
    """The mask's hole is where the expected one is white, in that share of the picture."""
    assert (read_mask(source, SIZE) == (np.asarray(expected) > 127)).mean() >= share


KINDS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float64"]
VALUES = [1, 31, 100, 127, 255, 4095, 65535]


@pytest.mark.parametrize(
    ("kind", "value"),
    [(kind, value) for kind in KINDS for value in VALUES if kind == "float64" or value <= np.iinfo(kind).max],
)
def test_numbers_of_any_type(disc: Image.Image, kind: str, value: int) -> None:
    array = (np.asarray(disc) > 127).astype(kind) * np.dtype(kind).type(value)
    assert_hole(array, disc)
    assert_hole(array[..., None], disc)


def test_all_labels_but_0_are_hole_and_of_softer_masks_what_is_above_half() -> None:
    assert read_mask(np.array([[0, 1, 2, 30]], np.uint8), None).tolist() == [[False, True, True, True]]
    assert read_mask(np.array([[0, 1, 127, 128, 255]], np.uint8), None).tolist() == [[False, False, False, True, True]]
    assert read_mask(np.array([[0, 0.5, 0.6, 1]]), None).tolist() == [[False, False, True, True]]
    assert not read_mask(np.array([[0, 0.1, 0.3]]), None).any()  # probabilities


@pytest.mark.parametrize("form", ["L", "I;16", "I", "P", "RGB"])
def test_labels_in_files_images_and_bytes_alike(tmp_path: Path, disc: Image.Image, form: str) -> None:
    label = (np.asarray(disc) > 127).astype({"I;16": np.uint16, "I": np.int32}.get(form, np.uint8))
    image = Image.fromarray(np.stack([label] * 3, -1) if form == "RGB" else label)
    if form == "P":
        image.putpalette([0, 0, 0, 90, 0, 0])  # dark red
        assert image.mode == "P"
    image.save(tmp_path / "mask.tif")
    for source in (image, tmp_path / "mask.tif", str(tmp_path / "mask.tif"), (tmp_path / "mask.tif").read_bytes()):
        assert_hole(source, disc)
    with (tmp_path / "mask.tif").open("rb") as file:
        assert_hole(file, disc)


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 0, 255), (0, 120, 0), (90, 0, 0), (255, 255, 0), (255, 255, 255)])
def test_paint_of_any_colour_on_black_and_on_nothing(disc: Image.Image, colour: tuple[int, int, int]) -> None:
    soft = disc.filter(ImageFilter.GaussianBlur(3))
    assert_hole(paint(colour, disc), disc)
    assert_hole(paint(colour, soft), soft, 0.995)
    assert_hole(np.asarray(paint(colour, disc)), disc)
    assert_hole(encoded(paint(colour, disc), "JPEG", quality=60), disc, 0.99)
    assert_hole(on_nothing(colour, disc), disc)
    assert_hole(on_nothing(colour, soft), soft)
    assert_hole(on_nothing(colour, disc.point(lambda level: level * 2 // 5)), disc)  # faint


def test_black_paint_on_nothing_is_the_hole(disc: Image.Image) -> None:
    assert_hole(on_nothing((0, 0, 0), disc), disc)
    assert_hole(encoded(on_nothing((0, 0, 0), disc)), disc)
    assert_hole(on_nothing((0, 0, 0), disc).convert("LA"), disc)


def test_black_and_white_where_nothing_is_around(disc: Image.Image) -> None:
    image = disc.convert("RGBA")
    image.paste((255, 255, 255, 0), (0, 0, 30, 120))
    assert_hole(image, disc)


def test_alpha_that_is_the_same_everywhere_says_nothing(disc: Image.Image) -> None:
    image = disc.convert("RGBA")
    image.putalpha(200)
    assert_hole(image, disc)


@pytest.mark.parametrize("photo_path", PHOTOS, ids=lambda path: path.stem)
def test_of_a_photograph_the_transparent_part_is_the_hole(disc: Image.Image, photo_path: Path) -> None:
    picture = Image.open(photo_path).convert("RGB").resize(SIZE)
    erased = picture.copy()
    erased.putalpha(disc.point(lambda level: 255 - level))
    notes: list[str] = []
    for given in (picture, None):
        hole = read_mask(erased, SIZE, picture=given, note=notes.append)
        np.testing.assert_array_equal(hole, np.asarray(disc) > 127)
    assert len(notes) == 2 and "transparent" in notes[0]


@pytest.mark.parametrize("photo_path", PHOTOS, ids=lambda path: path.stem)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_photograph_is_no_mask(disc: Image.Image, photo_path: Path, mode: str) -> None:
    picture = Image.open(photo_path).convert("RGB").resize(SIZE)
    other = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    smaller = picture.resize((80, 60))
    for given in (picture, other, smaller, paint((255, 255, 255), disc).convert("RGB")):
        mask = given.convert(mode)
        if given not in (picture, other, smaller):
            mask = picture.copy()
            mask.paste((255, 255, 255), mask=disc)  # painted on the photograph
        for source in (mask, np.asarray(mask), encoded(mask), encoded(mask, "JPEG")):
            with pytest.raises(InputError, match="accepted: "):
                read_mask(source, None, picture=picture)


def test_a_page_of_black_and_white_is_not_its_own_mask(disc: Image.Image) -> None:
    page = disc.convert("1")
    with pytest.raises(InputError, match="accepted: "):
        read_mask(page, SIZE, picture=page.convert("RGB"))
    assert_hole(page, disc)  # of another picture it is a good one


def test_one_grey_is_no_mask_and_one_black_or_white_is() -> None:
    with pytest.raises(InputError, match="accepted: "):
        read_mask(np.full((9, 9), 128, np.uint8), None)
    assert read_mask(np.full((9, 9), 255, np.uint8), None).all()
    assert not read_mask(np.zeros((9, 9), np.uint8), None).any()


@pytest.mark.parametrize("radius", [1, 4, 12])
def test_soft_masks_are_masks(disc: Image.Image, photo: Image.Image, radius: int) -> None:
    soft = disc.filter(ImageFilter.GaussianBlur(radius))
    hole = read_mask(soft, SIZE, picture=photo)
    np.testing.assert_array_equal(hole, np.asarray(soft) > 127)
    np.testing.assert_array_equal(read_mask(np.asarray(soft) / 255, SIZE, picture=photo), hole)


def test_a_slope_over_the_whole_picture_is_a_mask(photo: Image.Image) -> None:
    slope = np.tile(np.linspace(0, 1, SIZE[0], dtype=np.float32), (SIZE[1], 1))
    np.testing.assert_array_equal(read_mask(slope, SIZE, picture=photo), slope > 0.5)


@pytest.mark.parametrize("quality", [10, 40, 75, 95])
def test_noise_of_jpeg_is_no_hole(disc: Image.Image, quality: int) -> None:
    assert_hole(encoded(disc, "JPEG", quality=quality), disc, 0.995)


@pytest.mark.parametrize(("white", "said"), [(0.4, False), (0.8, True), (1.0, False)])
def test_a_mask_over_more_than_half_is_used_with_a_word(white: float, said: bool) -> None:
    array, notes = np.zeros((10, 10), np.uint8), []
    array[: round(10 * white)] = 255
    assert read_mask(array, None, note=notes.append).mean() == white
    assert len(notes) == said
    if said:
        assert "80%" in notes[0] and "invert_mask" in notes[0]


def test_advice_never_erases_everything(fill: Callable[..., Result], photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "photo.png")
    for name, colour, options in (("black.png", 0, []), ("white.png", 255, ["--invert-mask"])):
        Image.new("L", SIZE, colour).save(tmp_path / name)
        result = fill(tmp_path / "photo.png", "--mask", tmp_path / name, "-o", tmp_path / "out.png", *options)
        assert_one_line(result, name, "without a hole")
        assert "black = hole" not in result.err and not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(("size", "rotated"), [((120, 160), True), ((60, 80), True), ((160, 121), False)])
def test_a_mask_that_lies_on_its_side_is_told(size: tuple[int, int], rotated: bool) -> None:
    for resize in (False, True):
        with pytest.raises(InputError, match=f"mask of {size[0]}x{size[1]} pixels") as caught:
            read_mask(np.ones(size[::-1], bool), SIZE if not resize or rotated else (500, 100), resize=resize)
        assert ("rotated?" in str(caught.value)) == rotated


def test_a_mask_is_brought_to_the_pictures_size(disc: Image.Image) -> None:
    np.testing.assert_array_equal(
        read_mask(disc.resize((80, 60), Image.Resampling.NEAREST), SIZE, resize=True),
        np.kron(np.asarray(disc.resize((80, 60), Image.Resampling.NEAREST)) > 127, np.ones((2, 2), bool)),
    )
    line = np.zeros((480, 640), bool)
    line[100] = True  # a wire of one pixel
    assert read_mask(line, SIZE, resize=True).any(0).all()


def test_the_photograph_as_its_own_mask_leaves_no_file(
    fill: Callable[..., Result], photo: Image.Image, tmp_path: Path
) -> None:
    photo.save(tmp_path / "photo.png")
    result = fill(tmp_path / "photo.png", "--mask", tmp_path / "photo.png", "-o", tmp_path / "out.png")
    assert_one_line(result, "photo.png", "accepted: ")
    assert not (tmp_path / "out.png").exists()
