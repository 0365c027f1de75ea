"""Pictures that aren't of 8 bits: known pixels exact, the hole in the range of what is known, with as many levels."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

import invertfill
from invertfill.errors import InputError
from invertfill.imaging.colour import to_srgb
from invertfill.imaging.depth import known_range, of_samples, samples_of
from invertfill.imaging.reading import look, open_image
from invertfill.imaging.writing import save_image
from invertfill.notes import Notes
from invertfill.pipeline.levels import Levels, between_steps

WIDTH, HEIGHT = 80, 60
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[20:40, 25:55] = True
GEO = {
    33550: (30.0, 30.0, 0.0),
    33922: (0.0, 0.0, 0.0, 5e5, 4e6, 0.0),
    34735: (1, 1, 0, 1, 1024, 0, 1, 1),
    42113: "-9999",
}
TYPES = ["uint16", "int16", "int32", "uint32", "int64", "float16", "float32", "float64"]


@pytest.fixture(scope="module", params=["tiny", "patchmatch"])
def inpainter(request: pytest.FixtureRequest, tiny_model_folder: Path) -> invertfill.Inpainter:
    return invertfill.load(tiny_model_folder if request.param == "tiny" else "patchmatch")


def heights(dtype: str, channels: int = 1, low: float = 120, high: float = 3300) -> np.ndarray:
    """A slope with ripples, from `low` to `high`."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    wave = (y / HEIGHT + x / WIDTH) / 2 + 0.05 * np.sin(x / 3) * np.cos(y / 4)
    shades = low + (high - low) * (wave - wave.min()) / np.ptp(wave)
    if channels > 1:
        shades = np.stack([shades * (1 - 0.1 * i) + 0.1 * i * low for i in range(channels)], 2)
    return shades.astype(dtype)


def check(before: np.ndarray, after: np.ndarray, hole: np.ndarray = HOLE, levels: int = 150) -> None:
    assert (after.dtype, after.shape) == (before.dtype, before.shape)
    np.testing.assert_array_equal(after[~hole], before[~hole])
    known = before[~hole][np.isfinite(before[~hole])]
    assert np.isfinite(after[hole]).all() and known.min() <= after[hole].min() and after[hole].max() <= known.max()
    assert len(np.unique(after[hole])) >= levels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", TYPES)
def test_arrays(inpainter: invertfill.Inpainter, dtype: str, channels: int) -> None:
    low = 120 if dtype.startswith("u") else -800
    before = heights(dtype, channels, low)
    given = before.copy()
    check(before, np.asarray(inpainter.fill(given, HOLE)))
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.25, 0.5), (-1e-4, 1e-4), (1e6, 1e6 + 40), (-3e30, 3e30)])
def test_floats_of_any_range(inpainter: invertfill.Inpainter, low: float, high: float) -> None:
    before = heights("float32", 1, low, high)
    check(before, np.asarray(inpainter.fill(before, HOLE)), levels=50)


def test_floats_of_0_to_1_look_as_before() -> None:
    before = heights("float32", 3, 0, 1)
    picture = open_image(before)
    assert picture.mode == "RGB" and open_image(before[..., 0]).mode == "L"
    np.testing.assert_allclose(np.asarray(picture), np.round(before * 255), atol=1)
    np.testing.assert_array_equal(samples_of(picture), before)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32"])
def test_tiff_of_one_channel_needs_only_pillow(
    inpainter: invertfill.Inpainter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    monkeypatch.setitem(sys.modules, "pyvips", None)
    before = heights(dtype)
    source = save_image(of_samples(before), tmp_path / "a.tif")
    result = inpainter.fill(source, HOLE)
    check(before, np.asarray(result))
    again = open_image(result.save(tmp_path / "b.tif"))
    np.testing.assert_array_equal(samples_of(again), np.asarray(result))
    assert samples_of(again).dtype == dtype and not result.notes


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "int32", "uint32", "float16", "float32"])
def test_tiff_of_several_channels(tiny_model_folder: Path, tmp_path: Path, dtype: str, channels: int) -> None:
    pytest.importorskip("pyvips")
    before = heights(dtype, channels, 3, 120)
    source = save_image(of_samples(before), tmp_path / "a.tif")
    assert look(source) == (".tif", (WIDTH, HEIGHT))
    result = invertfill.load(tiny_model_folder).fill(source, HOLE)
    after = samples_of(open_image(result.save(tmp_path / "b.tif")))
    np.testing.assert_array_equal(after, np.asarray(result))
    colours = 1 if channels == 2 else 3
    check(before[..., :colours], after[..., :colours], levels=20)
    np.testing.assert_array_equal(after[~HOLE], before[~HOLE])


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_georeference_and_nodata_are_kept(tiny_model_folder: Path, tmp_path: Path, dtype: str) -> None:
    before = heights(dtype)
    if dtype != "uint16":
        before[45:50, 3:9] = -9999
    save_with_tags(before, tmp_path / "a.tif")
    result = invertfill.load(tiny_model_folder).fill(tmp_path / "a.tif", HOLE)
    np.testing.assert_array_equal(np.asarray(result)[~HOLE], before[~HOLE])
    assert np.asarray(result)[HOLE].min() >= 120  # nodata is no height
    with Image.open(result.save(tmp_path / "b.tif")) as after:
        assert {tag: after.tag_v2[tag] for tag in GEO} == GEO

    wider = invertfill.load(tiny_model_folder).outpaint(tmp_path / "a.tif", left=7, top=4)
    with Image.open(wider.save(tmp_path / "c.tif")) as after:  # the same pixel at the same place
        assert after.tag_v2[33922] == (7, 4, 0, 5e5, 4e6, 0) and after.tag_v2[33550] == GEO[33550]


def save_with_tags(samples: np.ndarray, path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in GEO.items():
        tags.tagtype[tag] = 2 if isinstance(value, str) else 12 if isinstance(value[0], float) else 3
        tags[tag] = value
    picture = of_samples(samples)
    exif = Image.Exif()
    exif.update({tag: tags[tag] for tag in tags})
    picture.info["exif"] = exif.tobytes()
    save_image(picture, path)


def test_nan_is_unknown_and_the_hole_where_no_mask_is(inpainter: invertfill.Inpainter) -> None:
    whole = heights("float32")
    gap = np.zeros_like(HOLE)
    gap[5:15, 60:70] = True
    with_gap = np.where(gap, np.nan, whole).astype(np.float32)
    with_infinity = np.where(gap, np.inf, whole).astype(np.float32)
    for before in (with_gap, with_infinity):
        check(before, np.asarray(inpainter.fill(before, HOLE)))  # the gap stays
        alone = np.asarray(inpainter.fill(before))
        assert np.isfinite(alone).all()
        np.testing.assert_array_equal(alone[~gap], whole[~gap])
    with pytest.raises(InputError, match="accepted: "):
        inpainter.fill(np.where(HOLE, whole, np.nan), HOLE)
    with pytest.raises(InputError, match="no mask"):
        inpainter.fill(whole)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_no_number_under_the_mask_and_beside_it(inpainter: invertfill.Inpainter, dtype: str, value: float) -> None:
    before = heights(dtype)
    before[HOLE] = value
    before[[0, 50], [3, 70]] = value
    check(before, np.asarray(inpainter.fill(before, HOLE)), levels=100)


@pytest.mark.filterwarnings("error")
def test_floats_beyond_single_precision(inpainter: invertfill.Inpainter) -> None:
    before = heights("float64", 1, -1e200, 1e300)
    check(before, np.asarray(inpainter.fill(before, HOLE)))


def test_arrays_of_two_values(inpainter: invertfill.Inpainter) -> None:
    before = heights("float32") > 1500
    after = np.asarray(inpainter.fill(before, HOLE))
    assert after.dtype == bool
    np.testing.assert_array_equal(after[~HOLE], before[~HOLE])


def test_masked_arrays_are_refused(inpainter: invertfill.Inpainter) -> None:
    whole = heights("float32")
    masked = np.ma.MaskedArray(whole, HOLE)
    for image, mask in ((masked, None), (masked, HOLE), (whole, np.ma.MaskedArray(HOLE, HOLE))):
        with pytest.raises(InputError, match="masked array"):
            inpainter.fill(image, mask)


def test_hot_pixels_do_not_decide(inpainter: invertfill.Inpainter) -> None:
    before = heights("uint16")
    hot = before.copy()
    hot[[3, 50, 41], [4, 70, 30]] = 65535
    after = np.asarray(inpainter.fill(hot, HOLE))
    check(hot, after)
    assert after[HOLE].max() <= 1.5 * before.max()
    assert known_range(hot, ~HOLE)[1] <= 1.5 * before.max()


def test_the_hole_s_old_values_do_not_matter(inpainter: invertfill.Inpainter) -> None:
    before = heights("int32", 3)
    other = before.copy()
    other[HOLE] = 1_000_000
    np.testing.assert_array_equal(inpainter.fill(before, HOLE), inpainter.fill(other, HOLE))


def test_one_value_stays_that_value(inpainter: invertfill.Inpainter) -> None:
    for value in (0, 7.25, -300):
        np.testing.assert_array_equal(inpainter.fill(np.full((HEIGHT, WIDTH), value, np.float32), HOLE), value)


def test_a_slope_has_no_terraces() -> None:
    slope = np.broadcast_to(np.linspace(-0.05, 0.05, 64, dtype=np.float32), (3, 64, 64))
    mask = np.zeros((1, 64, 64), np.float32)
    mask[:, 16:48, 16:48] = 1
    rounded = ((slope + 1) * 127.5).round() / np.float32(127.5) - 1
    result = between_steps(rounded, slope, mask)
    np.testing.assert_array_equal(result[:, mask[0] == 0], slope[:, mask[0] == 0])
    assert np.abs(result - rounded).max() <= 1 / 255 + 1e-6
    inside = mask[0] > 0
    assert np.abs(result - slope)[:, inside].mean() < 0.5 * np.abs(rounded - slope)[:, inside].mean()


def test_levels_there_and_back() -> None:
    for dtype in TYPES:
        for channels in (1, 3):
            samples = heights(dtype, channels)
            levels = Levels.of(samples, ~HOLE)
            seen = levels.seen(samples)
            assert seen.dtype == np.float32 and seen[~HOLE].min() == 0 and seen[~HOLE].max() == pytest.approx(255)
            back = levels.values(seen[~HOLE], samples).astype(float)
            np.testing.assert_allclose(
                back, samples[~HOLE].astype(float), atol=0.01 if dtype[0] == "f" else 0, rtol=1e-3
            )


@pytest.mark.parametrize("large", [False, True])
def test_samples_of_one_picture_and_larger_canvases(inpainter: invertfill.Inpainter, large: bool) -> None:
    before = heights("int16", 3, -500)
    hole = HOLE
    if large:  # than the model: enlarged, with detail
        before, hole = before.repeat(16, 0).repeat(16, 1), HOLE.repeat(16, 0).repeat(16, 1)
    results = [np.asarray(result) for result in inpainter.fill_samples(before, hole, samples=2)]
    for after in results:
        check(before, after, hole, 100)
    if inpainter.engine.model.name == "tiny" and not large:
        wider = np.asarray(inpainter.outpaint(before, left=20))
        np.testing.assert_array_equal(wider[:, 20:], before)


def test_formats_that_hold_no_such_values(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "webp"):
        for dtype in ("int16", "int32", "float32"):
            with pytest.raises(InputError, match=rf"a\.{suffix}: .*{dtype}.*accepted: "):
                save_image(of_samples(heights(dtype)), tmp_path / f"a.{suffix}")
        notes = Notes()
        save_image(open_image(heights("float32", 3)), tmp_path / f"b.{suffix}", note=notes)
        assert len(notes) == 1 and "8 bits" in notes[0]
    assert {path.name[0] for path in tmp_path.iterdir()} == {"b"}


def test_bands_are_refused_before_anything_is_lost(tmp_path: Path) -> None:
    before = heights("uint8", 3, 0, 250)
    for extra in (1, 2):
        path = tmp_path / f"{extra}.tif"
        Image.fromarray(before).save(path)
        data = path.read_bytes()
        with Image.open(path) as image:
            tags = image.tag_v2
        bands = np.concatenate([before, before[..., :extra]], 2)
        tags[258], tags[277], tags[338], tags[279] = (8,) * (3 + extra), 3 + extra, (0,) * extra, bands.size
        tags[273], tags[278] = 8, HEIGHT
        path.write_bytes(
            data[:4] + (8 + bands.size).to_bytes(4, "little") + bands.tobytes() + tags.tobytes(8 + bands.size)
        )
        with pytest.raises(InputError, match=rf"{extra}\.tif: {3 + extra} bands.*accepted: "):
            open_image(path)


def test_12_bits_do_not_look_black(tmp_path: Path) -> None:
    for bits, shift in ((10, 2), (12, 4), (16, 8)):
        before = heights("uint16", 1, 0, 2**bits - 1)
        shown = open_image(save_image(of_samples(before), tmp_path / "a.webp"))
        np.testing.assert_allclose(np.asarray(shown.convert("L")), before >> shift, atol=1)
        np.testing.assert_array_equal(np.asarray(to_srgb(of_samples(before)))[..., 0], before >> shift)
