"""Files with several pictures, with second pictures, and with a type of their own: kept, or said to be lost."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result, assert_one_line
from PIL import Image, TiffImagePlugin, features

import invertfill
from invertfill.imaging import announced, gif, tiff
from invertfill.imaging.reading import open_image
from invertfill.imaging.writing import save_image
from invertfill.notes import Notes

WIDTH, HEIGHT = 60, 40
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[14:26, 6:20] = True
DURATIONS = [100, 40, 200, 70]


@pytest.fixture(scope="module")
def inpainter(tiny_model_folder: Path) -> invertfill.Inpainter:
    return invertfill.load(tiny_model_folder)


def scene(seed: int = 0) -> Image.Image:
    few = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(few).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)


def moving(see_through: bool = False) -> list[Image.Image]:
    """A square that moves far from the hole."""
    frames = []
    for index in range(len(DURATIONS)):
        frame = scene().convert("RGBA" if see_through else "RGB")
        if see_through:
            frame.paste((0, 0, 0, 0), (0, 0, WIDTH, 5))
        frame.paste((255, 0, 0, 255)[: len(frame.getbands())], (40 + 4 * index, 8, 46 + 4 * index, 14))
        frames.append(frame)
    return frames


def all_of(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        found = []
        for index in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(index)
            found.append(np.asarray(image.convert("RGBA")))
        return found


def save_animation(path: Path, frames: list[Image.Image], **more: object) -> None:
    options = {".webp": {"lossless": True, "exact": True}, ".gif": {}}.get(path.suffix, {})
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=DURATIONS, loop=3, **options, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("see_through", [False, True])
@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_all_frames_are_filled_and_what_stands_still_stays_still(
    inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str, see_through: bool
) -> None:
    source, out = tmp_path / f"a.{suffix}", tmp_path / f"out.{suffix}"
    save_animation(source, moving(see_through))
    result = inpainter.fill(source, HOLE)
    assert result.notes == () and result.frames is not None and len(result.frames.pictures) == len(DURATIONS)
    result.save(out)
    before, after = all_of(source), all_of(out)
    assert len(after) == len(before) == len(DURATIONS)
    for given, filled in zip(before, after, strict=True):
        seen = given[..., 3:] > 0
        np.testing.assert_array_equal((filled * seen)[~HOLE], (given * seen)[~HOLE])
        np.testing.assert_array_equal(filled[..., 3][~HOLE], given[..., 3][~HOLE])
        assert (filled != given)[HOLE].any(1).mean() > 0.3
        np.testing.assert_array_equal(filled[HOLE], after[0][HOLE])
    with Image.open(source) as one, Image.open(out) as other:
        for index in range(len(DURATIONS)):
            one.seek(index)
            other.seek(index)
            one.load()
            other.load()
            assert other.info["duration"] == one.info["duration"] == DURATIONS[index]
        assert other.info["loop"] == one.info["loop"] == 3


def test_a_fill_changes_where_its_surroundings_do(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    frames = [scene(0), scene(0), scene(1), scene(1)]
    frames[1].putpixel((50, 5), (1, 2, 3))  # far away, or the frames would be one
    frames[3].putpixel((50, 5), (1, 2, 3))
    save_animation(tmp_path / "a.png", frames)
    inpainter.fill(tmp_path / "a.png", HOLE).save(tmp_path / "out.png")
    first, second, third, fourth = (frame[HOLE] for frame in all_of(tmp_path / "out.png"))
    assert np.array_equal(first, second) and np.array_equal(third, fourth) and (first != third).mean() > 0.3


@pytest.mark.parametrize("disposals", [[1, 1, 1, 1], [2, 2, 2, 2], [1, 2, 3, 1], [3, 1, 3, 2]])
def test_gif_keeps_how_frames_are_disposed_of(tmp_path: Path, disposals: list[int]) -> None:
    frames = [*moving(True)[:3], scene().convert("RGBA")]
    (tmp_path / "a.gif").write_bytes(gif.encode(frames, DURATIONS, disposals, 0, b"a comment" * 40, Notes()))
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["comment"] == b"a comment" * 40
        for index, expected in enumerate(disposals):
            image.seek(index)
            assert image.disposal_method == expected  # type: ignore[attr-defined]
    for shown, frame in zip(all_of(tmp_path / "a.gif"), frames, strict=True):
        expected = np.asarray(frame)
        np.testing.assert_array_equal(shown * (shown[..., 3:] > 0), expected * (expected[..., 3:] > 0))


def test_gif_keeps_frames_that_equal_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(gif.encode([scene()] * 3, [10, 20, 30], [1, 1, 1], None, b"", Notes()))
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 3 and "loop" not in image.info  # type: ignore[attr-defined]


def test_more_colours_than_a_gif_holds_are_said(tmp_path: Path) -> None:
    many = Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    notes = Notes()
    save_image(many, tmp_path / "a.gif", note=notes)
    assert len(notes) == 1 and "256" in notes[0] and Image.open(tmp_path / "a.gif").size == many.size


def test_pages_keep_type_and_compression(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pages = [
        (scene(), "tiff_lzw"),
        (Image.fromarray(rng.integers(0, 2, (HEIGHT, WIDTH), np.uint8) * 255).convert("1"), "group4"),
        (scene().convert("L"), "tiff_adobe_deflate"),
        (scene().quantize(8), "packbits"),
        (Image.fromarray(rng.integers(0, 65536, (HEIGHT, WIDTH), np.uint16)), "raw"),
    ]
    files = []
    for page, compression in pages:
        data = io.BytesIO()
        page.save(data, "TIFF", compression=compression, dpi=(300, 300))
        files.append(data.getvalue())
    (tmp_path / "a.tif").write_bytes(tiff.join(files))
    inpainter.fill(tmp_path / "a.tif", HOLE).save(tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as out:
        assert out.n_frames == len(pages)  # type: ignore[attr-defined]
        for index, (page, compression) in enumerate(pages):
            out.seek(index)
            assert (out.mode, out.info["compression"], out.info["dpi"]) == (page.mode, compression, (300, 300))
            np.testing.assert_array_equal(np.asarray(out)[~HOLE], np.asarray(page)[~HOLE])
            assert (np.asarray(out)[HOLE] != np.asarray(page)[HOLE]).any()


def test_a_mask_for_each_page(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    holes = [HOLE, np.zeros_like(HOLE), HOLE[:, ::-1]]
    masks = [Image.fromarray(hole) for hole in holes]
    pages = [scene(seed) for seed in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    masks[0].save(tmp_path / "mask.tif", save_all=True, append_images=masks[1:])
    for given in (tmp_path / "mask.tif", holes):
        result = inpainter.fill(tmp_path / "a.tif", given)  # type: ignore[arg-type]
        assert result.frames is not None and result.notes == () and result.model == "tiny"
        for page, hole, filled in zip(pages, holes, result.frames.pictures, strict=True):
            changed = (np.asarray(page) != np.asarray(filled)).any(2)
            assert not changed[~hole].any() and (not hole.any() or changed[hole].mean() > 0.5)
    masks[0].save(tmp_path / "two.tif", save_all=True, append_images=masks[1:2])
    with pytest.raises(invertfill.InputError, match=r"two\.tif: 2 .*3 "):
        inpainter.fill(tmp_path / "a.tif", tmp_path / "two.tif")


def test_pages_that_are_smaller_copies_go_with_a_note(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    files = []
    for page, kind in ((scene(), 0), (scene().resize((30, 20)), 1)):
        data = io.BytesIO()
        page.save(data, "TIFF", tiffinfo={254: kind})
        files.append(data.getvalue())
    (tmp_path / "a.tif").write_bytes(tiff.join(files))
    result = inpainter.fill(tmp_path / "a.tif", HOLE)
    assert len(result.notes) == 1 and "smaller copies" in result.notes[0]
    assert getattr(Image.open(result.save(tmp_path / "out.tif")), "n_frames", 1) == 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp"])
def test_pages_that_a_format_cannot_hold_are_said(inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str) -> None:
    scene().save(tmp_path / "a.tif", save_all=True, append_images=[scene(1)])
    notes = Notes()
    inpainter.fill(tmp_path / "a.tif", HOLE).save(tmp_path / f"out.{suffix}", note=notes)
    assert len(notes) == 1 and "2 pages" in notes[0]
    assert getattr(Image.open(tmp_path / f"out.{suffix}"), "n_frames", 1) == 1


def test_the_command_and_batch_fill_all_frames(
    fill: Callable[..., Result], run: Callable[..., Result], tmp_path: Path, tiny_model_folder: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save_animation(folder / "a.gif", moving())
    Image.fromarray(HOLE).save(tmp_path / "mask.png")
    assert fill(folder / "a.gif", "--mask", tmp_path / "mask.png", "-o", tmp_path / "one.gif").status == 0
    more = "--masks", tmp_path / "mask.png", "-o", tmp_path / "out", "--workers", 1, "--model", tiny_model_folder
    assert run("batch", folder, *more).status == 0
    assert (tmp_path / "out" / "a.gif").read_bytes() == (tmp_path / "one.gif").read_bytes()
    assert len(all_of(tmp_path / "one.gif")) == len(DURATIONS)
    wrong = fill(folder / "a.gif", "-o", tmp_path / "no.gif")
    assert_one_line(wrong, "a.gif", "frame 1 of 4")
    assert not (tmp_path / "no.gif").exists()


def test_many_files_of_one_picture_or_several_stay_in_order(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    save_animation(tmp_path / "a.png", moving())
    results = list(inpainter.fill_many([(scene(), HOLE), (tmp_path / "a.png", HOLE), (scene(1), HOLE)], batch=8))
    assert [result.frames is None for result in results] == [True, False, True]
    assert np.array_equal(results[1], inpainter.fill(tmp_path / "a.png", HOLE))
    assert np.array_equal(results[2], inpainter.fill(scene(1), HOLE))


def test_samples_of_an_animation_differ(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    save_animation(tmp_path / "a.png", moving())
    first, second = inpainter.fill_samples(tmp_path / "a.png", HOLE, samples=2)
    assert first.frames is not None and second.frames is not None and (first.seed, second.seed) == (0, 1)
    assert len(first.frames.pictures) == len(second.frames.pictures) == len(DURATIONS)
    assert (np.asarray(first) != np.asarray(second)).any()


def test_too_many_frames_are_refused(
    inpainter: invertfill.Inpainter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_animation(tmp_path / "a.png", moving())
    monkeypatch.setattr("invertfill.imaging.frames.LARGEST_IN_ALL", 3 * WIDTH * HEIGHT)
    with pytest.raises(invertfill.InputError, match=r"a\.png: 4 frames of 60x40"):
        inpainter.fill(tmp_path / "a.png", HOLE)


def test_a_damaged_page_ends_in_one_line(fill: Callable[..., Result], tmp_path: Path) -> None:
    scene().save(tmp_path / "a.tif", save_all=True, append_images=[scene(1)], compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    Image.fromarray(HOLE).save(tmp_path / "mask.png")
    for length in (len(data) // 4, len(data) // 2, len(data) - 200):
        (tmp_path / "cut.tif").write_bytes(data[:length])
        ended = fill(tmp_path / "cut.tif", "--mask", tmp_path / "mask.png", "-o", tmp_path / "out.tif")
        assert ended.status == 2 and ended.err.count("invertfill: ") == 1 and not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_one_bit_stays_one_bit(inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str) -> None:
    page = Image.fromarray(np.random.default_rng(0).integers(0, 2, (HEIGHT, WIDTH), np.uint8) * 255).convert("1")
    exif = Image.Exif()
    exif[0x010F] = "a scanner"
    exif.get_ifd(0x8825).update({1: "N", 2: (50.0, 6.0, 30.0)})
    options = {"tif": {"compression": "group4"}, "png": {"exif": exif}, "bmp": {}}[suffix]
    page.save(tmp_path / f"a.{suffix}", **options)  # type: ignore[arg-type]
    out = Image.open(inpainter.fill(tmp_path / f"a.{suffix}", HOLE).save(tmp_path / f"out.{suffix}"))
    assert out.mode == "1" and np.array_equal(np.asarray(out)[~HOLE], np.asarray(page)[~HOLE])
    if suffix == "tif":
        assert out.info["compression"] == "group4"


def test_a_compressed_tiff_keeps_exif_and_gps(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8769)[0x9003] = "2020:02:03 04:05:06"
    exif.get_ifd(0x8825).update({1: "N", 2: (50.0, 6.0, 30.0)})
    image = scene()
    image.info |= {"exif": exif.tobytes(), "xmp": b"<x/>", "dpi": (300, 300), "compression": "tiff_adobe_deflate"}
    saved = Image.open(save_image(image, tmp_path / "a.tif"))
    assert isinstance(saved, TiffImagePlugin.TiffImageFile) and saved.info["compression"] == "tiff_adobe_deflate"
    found = saved.getexif()
    assert found[0x010F] == "a camera" and found.get_ifd(0x8769)[0x9003] == "2020:02:03 04:05:06"
    assert found.get_ifd(0x8825)[1] == "N" and saved.tag_v2[700] == b"<x/>" and saved.info["dpi"] == (300, 300)
    np.testing.assert_array_equal(np.asarray(saved), np.asarray(image))


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "tif"])
def test_a_palette_stays_and_only_its_colours_are_used(
    inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str
) -> None:
    sprite = Image.fromarray(np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 5 + 2)
    colours = [(10, 20, 30), (0, 0, 255), (200, 0, 0), (200, 0, 0), (0, 180, 0), (250, 250, 250), (90, 90, 0)]
    palette = [value for colour in colours for value in colour]  # two of them are one colour
    sprite.putpalette(palette)
    options = {"transparency": 0} if suffix in ("png", "gif") else {}
    sprite.save(tmp_path / f"a.{suffix}", **options)
    out = Image.open(inpainter.fill(tmp_path / f"a.{suffix}", HOLE).save(tmp_path / f"out.{suffix}"))
    given = Image.open(tmp_path / f"a.{suffix}")
    assert out.mode == "P" and out.getpalette() == given.getpalette()
    assert out.info.get("transparency") == given.info.get("transparency")
    np.testing.assert_array_equal(np.asarray(out)[~HOLE], np.asarray(given)[~HOLE])
    assert {*np.unique(np.asarray(out))} == {*np.unique(np.asarray(given)[~HOLE])}
    wider = inpainter.outpaint(tmp_path / f"a.{suffix}", left=10).image
    assert wider.mode == "P" and np.array_equal(np.asarray(wider)[:, 10:], np.asarray(given))


XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="a &amp; b" {}</rdf:RDF></x:xmpmeta>"""
CONTAINER = """xmlns:C="http://ns.google.com/photos/1.0/container/" xmlns:I="http://ns.google.com/photos/1.0/container/item/">
<C:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><C:Item I:Semantic="{}" I:Length="9"/></rdf:li></rdf:Seq>
</C:Directory></rdf:Description>"""
ANNOUNCING = {
    "gain map": 'xmlns:h="http://ns.adobe.com/hdr-gain-map/1.0/" h:Version="1.0"/>',
    "gain map ": CONTAINER.format("GainMap"),
    "motion video": 'xmlns:g="http://ns.google.com/photos/1.0/camera/" g:MotionPhoto="1" g:MotionPhotoVersion="1"/>',
    "motion video ": CONTAINER.format("MotionPhoto"),
    "depth map": 'xmlns:d="http://ns.google.com/photos/1.0/depthmap/" d:Format="RangeInverse"/>',
}


@pytest.mark.parametrize("what", ANNOUNCING)
def test_what_else_was_in_the_file_is_said_and_no_longer_announced(
    inpainter: invertfill.Inpainter, tmp_path: Path, what: str
) -> None:
    scene().save(tmp_path / "a.jpg", xmp=XMP.format(ANNOUNCING[what]).encode())
    result = inpainter.fill(tmp_path / "a.jpg", HOLE)
    assert len(result.notes) == 1 and what.strip() in result.notes[0]
    xmp = Image.open(result.save(tmp_path / "out.jpg")).info["xmp"].decode()
    assert 'dc:source="a &amp; b"' in xmp
    assert "google" not in xmp and "hdr-gain" not in xmp and "Motion" not in xmp


def test_second_pictures_of_a_jpeg_are_said(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    scene().save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[scene(1)])
    result = inpainter.fill(tmp_path / "a.jpg", HOLE)
    assert len(result.notes) == 1 and "second picture" in result.notes[0]
    assert b"MPF" not in result.save(tmp_path / "out.jpg").read_bytes()


def test_xmp_that_announces_nothing_keeps_its_bytes() -> None:
    for xmp in (XMP.format("/>").encode(), b"<no xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"):
        assert announced.without_announcements(xmp) == xmp


def test_a_panorama_says_its_new_size(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    sizes = {
        "CroppedAreaImageWidth": WIDTH,
        "CroppedAreaImageHeight": HEIGHT,
        "CroppedAreaLeft": 10,
        "CroppedAreaTop": 5,
    }
    sizes |= {"FullPanoWidth": 200, "FullPanoHeight": 100}
    attributes = " ".join(f'P:{name}Pixels="{value}"' for name, value in sizes.items())
    xmp = XMP.format(f'xmlns:P="http://ns.google.com/photos/1.0/panorama/" {attributes}/>').encode()
    scene().save(tmp_path / "a.jpg", xmp=xmp)
    out = inpainter.outpaint(tmp_path / "a.jpg", left=16, bottom=7).save(tmp_path / "out.jpg")
    found = Image.open(out).info["xmp"].decode()
    expected = {"CroppedAreaImageWidth": 76, "CroppedAreaImageHeight": 47, "CroppedAreaLeft": 0, "CroppedAreaTop": 5}
    expected |= {"FullPanoWidth": 206, "FullPanoHeight": 100}  # 6 more on the left than there were
    for name, value in expected.items():
        assert f'P:{name}Pixels="{value}"' in found


@pytest.mark.parametrize(
    ("text", "pages", "expected"),
    [
        ('{"shape": [40, 60, 3]}', 1, '{"shape": [40, 60, 3]}'),
        ('{"shape": [2, 40, 60, 3]}', 2, '{"shape": [2, 40, 60, 3]}'),
        ('{"shape": [2, 40, 60, 3]}', 1, '{"shape": [40, 60, 3]}'),
        ('{"shape": [3, 40, 60], "axes": "CYX"}', 1, '{"shape": [40, 60, 3]}'),
        ("ImageJ=1.54f\nimages=2\nslices=2\nmin=0", 2, "ImageJ=1.54f\nimages=2\nslices=2\nmin=0"),
        ("ImageJ=1.54f\nimages=2\nslices=2\nmin=0", 1, "ImageJ=1.54f\nmin=0"),
        ("a picture", 1, "a picture"),
    ],
)
def test_descriptions_stay_true(text: str, pages: int, expected: str) -> None:
    assert announced.true_description(text, (WIDTH, HEIGHT), 3, pages) == expected


def test_descriptions_follow_a_larger_picture(inpainter: invertfill.Inpainter, tmp_path: Path) -> None:
    scene().save(tmp_path / "a.tif", tiffinfo={270: f'{{"shape": [{HEIGHT}, {WIDTH}, 3]}}'})
    out = inpainter.outpaint(tmp_path / "a.tif", left=10).save(tmp_path / "out.tif")
    saved = Image.open(out)
    assert isinstance(saved, TiffImagePlugin.TiffImageFile)
    assert saved.tag_v2[270] == f'{{"shape": [{HEIGHT}, {WIDTH + 10}, 3]}}'


def photograph() -> Image.Image:
    """Some texture, so that quality shows in bytes."""
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize((256, 192), Image.Resampling.BICUBIC)
    return Image.fromarray((np.asarray(smooth) * 0.8 + rng.normal(25, 6, (192, 256, 3))).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("suffix", ["webp", "avif", "heic"])
def test_lossy_files_keep_about_their_quality_unless_another_is_asked_for(
    inpainter: invertfill.Inpainter, tmp_path: Path, suffix: str
) -> None:
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    hole = np.zeros((192, 256), bool)
    hole[20:30, 20:30] = True
    for quality in (40, 80):
        photograph().save(tmp_path / f"a.{suffix}", quality=quality)
        result = inpainter.fill(tmp_path / f"a.{suffix}", hole)
        before = (tmp_path / f"a.{suffix}").stat().st_size
        assert 0.75 < result.save(tmp_path / f"b.{suffix}").stat().st_size / before < 1.35
    sizes = [
        len(inpainter.fill(tmp_path / f"a.{suffix}", hole, output_quality=quality).encode(f"c.{suffix}"))
        for quality in (20, 95)
    ]
    assert sizes[0] < before < sizes[1]


def test_deep_avif_says_that_bits_go(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    deep = np.random.default_rng(0).integers(0, 65536, (64, 64, 3), np.uint16)
    pillow_heif.from_bytes("RGB;16", (64, 64), deep.tobytes()).save(tmp_path / "a.heic")
    notes = Notes()
    open_image(tmp_path / "a.heic", note=notes)
    assert len(notes) == 1 and "10 bits" in notes[0]
