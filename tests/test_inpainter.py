"""The inpainter with the shipped model: the hard constraint, sizes, modes, seeds and odd holes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import invertfill
from invertfill.engines import open_engine
from invertfill.engines.base import CropRequest, latent_of
from invertfill.options import FillOptions
from invertfill.pipeline.crops import Crop, cut, find_compact_crops, put_back
from invertfill.pipeline.inpainter import show_hole
from invertfill.pipeline.thin import find_crops
from invertfill.registry import find_model, list_models

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def inpainter() -> invertfill.Inpainter:
    return invertfill.load("faces-256")


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(7)
    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    image = small.resize((width, height), Image.Resampling.BICUBIC)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257 + 3)
    return image.convert(mode)


def box(width: int, height: int, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[top:bottom, left:right] = True
    return hole


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "I;16"])
def test_known_pixels_stay_byte_for_byte(inpainter: invertfill.Inpainter, mode: str) -> None:
    image, hole = picture(256, 256, mode), box(256, 256, 60, 80, 200, 256)
    filled = inpainter.fill(image, hole)
    assert filled.image.mode == image.mode and filled.image.size == image.size
    assert np.array_equal(np.asarray(filled)[~hole], np.asarray(image)[~hole])
    assert not np.array_equal(np.asarray(filled)[hole], np.asarray(image)[hole])


@pytest.mark.parametrize(("width", "height"), [(64, 64), (300, 260), (1200, 1200), (900, 300), (200, 700), (1, 5)])
def test_any_size(inpainter: invertfill.Inpainter, width: int, height: int) -> None:
    image, hole = picture(width, height), np.zeros((height, width), bool)
    hole[: max(1, height // 2), : max(1, width // 2)] = True
    filled = np.asarray(inpainter.fill(image, hole))
    assert filled.shape == (height, width, 3)
    assert np.array_equal(filled[~hole], np.asarray(image)[~hole])


def test_content_of_the_hole_does_not_matter(inpainter: invertfill.Inpainter) -> None:
    image, hole = np.asarray(picture(300, 300)).copy(), box(300, 300, 50, 50, 220, 180)
    first = inpainter.fill(image, hole)
    image[hole] = 255
    assert np.array_equal(np.asarray(first), np.asarray(inpainter.fill(image, hole)))


def test_seeds(inpainter: invertfill.Inpainter) -> None:
    image, hole = picture(256, 256), box(256, 256, 20, 20, 230, 230)
    zero, again, other = (np.asarray(inpainter.fill(image, hole, seed=seed)) for seed in (0, 0, 4))
    assert np.array_equal(zero, again)
    assert not np.array_equal(zero[hole], other[hole])
    assert np.array_equal(zero[~hole], other[~hole])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["faces-256", "scenery-256"])
def test_samples_are_the_fills_of_successive_seeds_and_differ(name: str) -> None:
    inpainter = invertfill.load(name)
    image, hole = picture(320, 256), box(320, 256, 60, 40, 200, 200) | box(320, 256, 290, 0, 320, 20)
    samples = [np.asarray(sample) for sample in inpainter.fill_samples(image, hole, samples=3, seed=4)]
    assert len(samples) == 3
    for seed, sample in enumerate(samples, 4):
        assert np.abs(sample.astype(int) - np.asarray(inpainter.fill(image, hole, seed=seed))).max() <= 1  # batching
        assert np.array_equal(sample[~hole], np.asarray(image)[~hole])
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(samples[one][hole].astype(int) - samples[other][hole]).mean() > 2


def test_show_hole() -> None:
    image, hole = picture(40, 30), box(40, 30, 5, 6, 20, 30)
    shown = np.asarray(show_hole(image, hole, colour="red"))
    assert (shown[hole] == (255, 0, 0)).all() and np.array_equal(shown[~hole], np.asarray(image)[~hole])


def test_no_hole_is_a_copy_and_says_so(inpainter: invertfill.Inpainter) -> None:
    image = picture(100, 80)
    filled = inpainter.fill(image, np.zeros((80, 100), bool))
    assert filled.model == "" and "no hole" in filled.notes[0]
    assert np.array_equal(np.asarray(filled), np.asarray(image))


def test_everything_a_hole_is_the_mean_latent(inpainter: invertfill.Inpainter) -> None:
    filled = inpainter.fill(picture(256, 256), np.ones((256, 256), bool))
    assert len(filled.notes) == 1
    (mean,) = inpainter.sample([0], truncation=0.0)
    assert np.array_equal(np.asarray(filled), np.asarray(mean))


@pytest.mark.slow
def test_many_at_once_are_as_one_at_a_time_and_a_bad_one_stops_after_those_before_it(
    inpainter: invertfill.Inpainter, tmp_path: Path
) -> None:
    hole, everything = box(100, 80, 20, 10, 70, 60), np.ones((80, 100), bool)
    pairs = [(picture(100, 80), m) for m in (hole, ~everything, hole[::-1], everything, hole[:, ::-1])]
    alone = [np.asarray(inpainter.fill(*pair)).astype(int) for pair in pairs]
    for batch in (1, 2, 5, 8):
        together = [np.asarray(filled) for filled in inpainter.fill_many(iter(pairs), batch=batch)]
        assert len(together) == len(alone)
        assert max(int(np.abs(a - b).max()) for a, b in zip(alone, together, strict=True)) <= 1  # sums by batch differ
    results = inpainter.iter_many([pairs[0], (tmp_path / "none.png", hole), pairs[2]])
    assert np.array_equal(np.asarray(next(results)), alone[0])
    with pytest.raises(invertfill.InputError, match=r"none\.png"):
        next(results)


def test_transparency_is_the_hole_and_becomes_opaque(inpainter: invertfill.Inpainter) -> None:
    image, hole = picture(256, 256, "RGBA"), box(256, 256, 10, 10, 120, 90)
    pixels = np.asarray(image).copy()
    pixels[hole, 3] = 0
    filled = np.asarray(inpainter.fill(pixels))
    assert (filled[..., 3] == 255).all()
    with pytest.raises(invertfill.InputError, match="no transparency"):
        inpainter.fill(image.convert("RGB"))


def test_mask_of_another_size(inpainter: invertfill.Inpainter) -> None:
    with pytest.raises(invertfill.InputError, match=r"50x40.*100x80"):
        inpainter.fill(picture(100, 80), np.ones((40, 50), bool))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["portrait-astronaut", "landscape-sunset"])
@pytest.mark.parametrize(("engine", "most", "mean"), [("torch", 2, 0.1), ("openvino", 40, 0.8)])
def test_engines_agree(name: str, engine: str, most: float, mean: float) -> None:
    """On real pictures, in grey levels; OpenVINO in bfloat16, if the processor has it."""
    pytest.importorskip(engine)
    photo, hole = EXAMPLES / f"{name}.png", EXAMPLES / "masks" / f"{name}-freeform.png"
    model = "faces-256" if name.startswith("portrait") else "scenery-256"
    default, other = (
        invertfill.load(model, engine=e, device="cpu").fill(photo, hole, seed=1) for e in ("auto", engine)
    )
    difference = np.abs(np.asarray(default).astype(int) - np.asarray(other))[np.asarray(Image.open(hole)) > 0]
    assert difference.max() <= most and difference.mean() <= mean


@pytest.mark.parametrize(("installed", "bf16", "stays"), list(np.ndindex(2, 2, 2)))
def test_openvino_serves_processes_that_stay_where_it_pays(
    monkeypatch: pytest.MonkeyPatch, installed: int, bf16: int, stays: int
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr("invertfill.engines.openvino.has_bf16", lambda: bool(bf16))
    if not installed:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    opened = open_engine(find_model("faces-256"), FillOptions(), stays=bool(stays))
    assert opened.name == ("openvino" if installed and bf16 and stays else "onnx")
    if not installed:
        with pytest.raises(invertfill.InputError, match=r"^engine openvino: .*\[openvino\]"):
            open_engine(find_model("faces-256"), FillOptions(engine="openvino"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [model.name for model in list_models() if model.folder])
def test_what_openvino_cannot_compute_onnx_runtime_does(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr("invertfill.engines.openvino.has_bf16", lambda: True)
    engine = open_engine(find_model(name), FillOptions(), stays=True)
    size = engine.model.size
    request = CropRequest(
        np.zeros((1, 3, size, size), np.float32), np.ones((1, 1, size, size), np.float32), latent_of(engine)
    )
    assert engine.fill(request).shape == (1, 3, size, size)


@pytest.mark.parametrize("engine", ["auto", "onnx", "openvino"])
@pytest.mark.parametrize("device", ["cuda", "directml", "coreml", "mps"])
def test_a_device_that_is_not_there_is_never_replaced_by_the_cpu(
    monkeypatch: pytest.MonkeyPatch, engine: str, device: str
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(invertfill.InputError, match=f"{device!r}.*; accepted"):
        open_engine(find_model("faces-256"), FillOptions(engine=engine, device=device))


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_device_that_fails_to_open_is_never_replaced_by_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime itself goes on with the CPU."""
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # torch, which would take it
    engine = open_engine(find_model("faces-256"), FillOptions(device="cuda"))
    with pytest.raises(invertfill.InputError, match=r"'cuda'.*; accepted: cpu"):
        engine.synthesis(np.zeros((1, 512), np.float32))


def test_a_configuration_of_another_version_is_one_line(tiny_model_folder: Path) -> None:
    pytest.importorskip("torch")
    from invertfill.engines.torch import TorchEngine

    model = find_model(tiny_model_folder)
    with pytest.raises(invertfill.InputError, match=r"^[^\n]*model\.safetensors: [^\n]*encoder\.depth[^\n]*$"):
        TorchEngine(replace(model, config=model.config | {"encoder": {"depth": 3}}), "cpu")


def test_region_is_the_whole_portrait_or_a_square_with_context() -> None:
    assert find_crops(box(512, 512, 10, 10, 60, 60), 256) == [Crop(0, 0, 512)]
    (region,) = find_crops(box(4000, 3000, 2000, 1000, 2300, 1200), 256)
    assert region.side == 600 and region.x <= 2000 and region.x + 600 >= 2300
    (wide,) = find_crops(box(1600, 500, 500, 0, 1300, 500), 256)
    assert wide.side == 1000 and wide.x == 400 and wide.y == -250


def test_holes_far_apart_have_regions_of_their_own_and_near_ones_share() -> None:
    far = box(4000, 3000, 100, 100, 200, 180) | box(4000, 3000, 3500, 2500, 3700, 2600)
    assert [region.side for region in find_crops(far, 256)] == [256, 400]
    near = box(4000, 3000, 100, 100, 200, 180) | box(4000, 3000, 260, 100, 300, 200)
    assert len(find_crops(near, 256)) == 1
    assert find_crops(np.zeros((50, 50), bool), 256) == []


@pytest.mark.parametrize("seed", range(20))
def test_every_hole_pixel_lies_in_exactly_one_compact_region(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = (int(n) for n in rng.integers(1, 2500, 2))
    hole = np.zeros((height, width), bool)
    for _ in range(rng.integers(1, 8)):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        hole[y : y + int(rng.integers(1, 300)), x : x + int(rng.integers(1, 300))] = True
    times = np.zeros((height, width), int)
    for region in find_compact_crops(hole, 64):
        left, top, right, bottom = region.inside(width, height)
        times[top:bottom, left:right] += 1
    assert (times[hole] == 1).all()


def test_context_is_the_side_of_a_region_in_sides_of_its_hole() -> None:
    hole = box(1000, 1000, 400, 500, 500, 560)
    assert [find_crops(hole, 256, context)[0].side for context in (1, 1.5, 4, 50)] == [100, 150, 400, 1000]


def test_context_reaches_the_fill(tiny_model_folder: Path) -> None:
    """What lies beyond the context plays no part."""
    image, hole = np.asarray(picture(200, 200)).copy(), box(200, 200, 80, 80, 120, 120)
    near, far = (invertfill.load(tiny_model_folder, context=context) for context in (2, 5))
    before = [np.asarray(inpainter.fill(image, hole)) for inpainter in (near, far)]
    image[:30] = 255 - image[:30]
    after = [np.asarray(inpainter.fill(image, hole)) for inpainter in (near, far)]
    assert np.array_equal(before[0][hole], after[0][hole]) and not np.array_equal(before[1][hole], after[1][hole])


@pytest.mark.slow
def test_only_what_surrounds_the_holes_is_looked_at(inpainter: invertfill.Inpainter) -> None:
    """Pixels far from every hole don't change the fill, and two holes far apart are filled as each alone."""
    image = np.asarray(picture(2400, 1300)).copy()
    holes = [box(2400, 1300, 100, 100, 220, 200), box(2400, 1300, 2000, 1000, 2150, 1150)]
    both = np.asarray(inpainter.fill(image, holes[0] | holes[1])).astype(int)
    for hole in holes:
        assert np.abs(np.asarray(inpainter.fill(image, hole))[hole] - both[hole]).max() <= 1
    image[500:900, 900:1500] = 255 - image[500:900, 900:1500]
    again = np.asarray(inpainter.fill(image, holes[0] | holes[1]))
    assert np.array_equal(again[holes[0] | holes[1]], both[holes[0] | holes[1]])


def test_cut_averages_known_pixels_only_and_put_back_touches_the_hole_only() -> None:
    rgb, hole = np.full((512, 512, 3), 100, np.uint8), box(512, 512, 100, 100, 301, 301)
    rgb[hole] = 255
    region = Crop(0, 0, 512)
    image, mask = cut(rgb, hole, region, 256)
    np.testing.assert_allclose(image[:, mask[0] == 0], 100 / 127.5 - 1, atol=1e-5)
    assert (image[:, mask[0] == 1] == 0).all()
    result = put_back(rgb, hole, region, np.zeros((3, 256, 256), np.float32))
    assert (result[~hole] == 100).all() and (result[hole] == 128).all()
