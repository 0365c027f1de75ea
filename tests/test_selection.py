"""Which model fills: the general one, or the one for portraits; and PatchMatch, which has learned nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_filled, assert_one_line, counts, pixels, start
from PIL import Image

import invertfill
from invertfill import registry
from invertfill.engines.base import CropRequest
from invertfill.pipeline.domain_prior import DomainPrior
from invertfill.pipeline.inpainter import LEAST, Inpainter
from invertfill.registry import ModelInfo

SIZE = 256
Fill = Callable[[np.ndarray], np.ndarray]


class Fake:
    """An engine that fills as it is told, and counts."""

    name, device = "fake", "cpu"

    def __init__(self, fill: Fill, size: int = SIZE) -> None:
        self.make = fill
        self.model = ModelInfo("", size)  # `auto` names it
        self.calls: list[int] = []  # views in each

    def fill(self, request: CropRequest) -> np.ndarray:
        self.calls.append(len(request.image))
        return self.make(request.image)

    def mapping(self, z: np.ndarray) -> np.ndarray:
        return z

    def synthesis(self, w: np.ndarray) -> np.ndarray:
        return np.zeros((len(w), 3, SIZE, SIZE), np.float32)


def constant(value: float) -> Fill:
    return lambda image: np.full_like(image, value)


def stripes(width: int = SIZE, height: int = SIZE) -> Image.Image:
    """Black and white, of two pixels each."""
    columns = np.where(np.arange(width) % 4 < 2, 0, 255).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(columns[None, :, None], (height, width, 3)).copy())


GREY = DomainPrior.of([np.zeros((3, SIZE, SIZE), np.float32)])
HALVES = np.sign(np.arange(SIZE) - SIZE / 2 + 0.5).astype(np.float32) * np.ones((3, SIZE, 1), np.float32)


def halves(width: int = SIZE, height: int = SIZE) -> Image.Image:
    """Black on the left, white on the right, which is what the model for portraits knows here."""
    columns = np.where(np.arange(width) < width / 2, 0, 255).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(columns[None, :, None], (height, width, 3)).copy())


def box(width: int = SIZE, height: int = SIZE) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[height // 4 : height // 2, width // 3 : 2 * width // 3] = True
    return hole


def auto(size: int = SIZE) -> tuple[Inpainter, list[int], list[int]]:
    """Of a general model and one for portraits; and the crops of each call of either."""
    general, portraits = Fake(constant(0.5), size), Fake(constant(-0.5))
    engines = {"general": general, "portraits": portraits}
    for name, engine in engines.items():
        engine.model = replace(engine.model, name=name)
    priors = {"general": GREY, "portraits": DomainPrior.of([HALVES])}
    return Inpainter(engines, None, [general.model], "portraits", priors), general.calls, portraits.calls


def noise(width: int = SIZE, height: int = SIZE) -> Image.Image:
    pixels = np.random.default_rng(0).normal(128, 5, (height, width, 3))
    return Image.fromarray(pixels.round().astype(np.uint8))


@pytest.fixture
def hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector sees a hint of a face in the middle of every picture: these have none."""
    monkeypatch.setattr("invertfill.pipeline.inpainter.hints_at_portrait", lambda *_: True)


def test_without_a_hint_of_a_face_no_likelihood_makes_a_portrait() -> None:
    inpainter, general, portraits = auto()
    assert inpainter.fill(halves(), box()).model == "general"
    assert (general, portraits) == ([1], [])


@pytest.mark.usefixtures("hint")
def test_no_portrait_is_guessed_where_no_faces_are_wanted() -> None:
    inpainter, general, portraits = auto()
    assert inpainter.fill(halves(), box(), faces="off").model == "general"
    assert (general, portraits) == ([1], [])


@pytest.mark.usefixtures("hint")
@pytest.mark.parametrize("size", [SIZE // 2, SIZE, 2 * SIZE])
def test_a_whole_picture_that_looks_like_a_portrait_goes_to_their_model(size: int) -> None:
    inpainter, general, portraits = auto(size)
    result = inpainter.fill(halves(), box())
    assert (result.model, general, portraits) == ("portraits", [], [1])
    assert "portraits" in result.why and result.notes == (f"image: {result.why}",)
    result = inpainter.fill(noise(), box())
    assert (result.model, general, portraits) == ("general", [1], [1])
    assert "general" in result.why and result.notes == (f"image: {result.why}",)


@pytest.mark.usefixtures("hint")
@pytest.mark.parametrize(("width", "height"), [(2 * SIZE, SIZE), (8 * SIZE, 8 * SIZE)])
def test_no_part_of_a_picture_does(width: int, height: int) -> None:
    inpainter, general, portraits = auto()
    hole = np.zeros((height, width), bool)
    hole[50:90, width // 2 - 20 : width // 2 + 20] = True
    assert inpainter.fill(halves(width, height), hole).model == "general"
    assert (general, portraits) == ([1], [])


@pytest.mark.usefixtures("hint")
def test_where_next_to_nothing_is_known_the_general_model_fills() -> None:
    hole = np.ones((SIZE, SIZE), bool)
    hole[0, (SIZE - LEAST) // 2 : SIZE // 2 + 4] = False  # of both colours
    inpainter, general, portraits = auto()
    assert inpainter.fill(halves(), hole).model == "general"
    assert (general, portraits) == ([1], [])


@pytest.mark.usefixtures("hint")
def test_each_picture_gets_its_own_in_their_order() -> None:
    inpainter, general, portraits = auto()
    pictures = [halves(), noise(), noise(), halves(), noise()]
    results = list(inpainter.fill_many((picture, box()) for picture in pictures))
    assert [result.model for result in results] == ["portraits", "general", "general", "portraits", "general"]
    assert (portraits, general) == ([1, 1], [2, 1])


def test_one_model_for_all_steps_of_an_outpainting() -> None:
    inpainter, general, portraits = auto()
    wide = inpainter.outpaint(noise(), left=300, right=300)
    assert wide.image.size == (856, SIZE) and wide.notes == (f"image: {wide.why}",)
    assert len(general) > 1 and not portraits
    np.testing.assert_array_equal(np.asarray(wide)[:, 300:556], np.asarray(noise()))


def of_two_sizes(priors: dict[str, DomainPrior] | None = None) -> Inpainter:
    engines = {"small": Fake(constant(0.5)), "large": Fake(constant(0.5), 2 * SIZE)}
    for name, engine in engines.items():
        engine.model = replace(engine.model, name=name)
    return Inpainter(engines, None, [engine.model for engine in engines.values()], "", priors)


def test_of_general_models_the_one_of_the_pictures_domain_fills() -> None:
    inpainter = of_two_sizes({"small": DomainPrior.of([HALVES]), "large": GREY})
    for picture, expected in ((halves(600, 600), "small"), (noise(600, 600), "large")):
        assert inpainter.fill(picture, box(600, 600)).model == expected


@pytest.mark.parametrize(("side", "expected"), [(40, "small"), (300, "small"), (400, "large"), (3000, "large")])
def test_of_general_models_the_one_of_the_pictures_size_fills(side: int, expected: str) -> None:
    hole = np.zeros((200, side), bool)
    hole[60:140, 10:30] = hole[80:110, 10:38] = True
    assert of_two_sizes().fill(noise(side, 200), hole).model == expected


def test_among_few_colours_the_model_for_drawings_fills() -> None:
    engines = {"general": Fake(constant(0.5)), "drawings": Fake(constant(-0.5))}
    for name, engine in engines.items():
        engine.model = replace(engine.model, name=name)
    inpainter = Inpainter(engines, None, [engines["general"].model], drawings="drawings")
    drawn = Image.fromarray(np.indices((90, 80)).sum(0).astype(np.uint8) % 5 * 50)
    result = inpainter.fill(drawn, box(80, 90))
    assert result.model == "drawings" and "few colours" in result.why
    assert inpainter.only("general").fill(drawn, box(80, 90)).model == "general"
    assert inpainter.fill(noise(80, 90), box(80, 90)).model == "general"


def test_thin_holes_are_left_to_the_smaller_one() -> None:
    hole = np.zeros((700, 900), bool)
    hole[300:305] = True
    picture = noise(900, 700)
    assert of_two_sizes().fill(picture, hole).model == "small"
    assert of_two_sizes().fill(picture, hole, context=2).model == "large"
    hole[400:600, 300:500] = True  # most of it isn't thin any more
    assert of_two_sizes().fill(picture, hole).model == "large"


def test_the_general_models_are_found_by_name_then_by_what_they_know(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    for name, found in (
        ("any", ["any"]),
        ("photos-512", ["photos-512"]),
        ("scenery-256", ["scenery-256", "photos-512"]),
    ):
        shutil.copytree(tiny_model_folder, tmp_path / name)
        assert [model.name for model in registry.find_models("auto") if model.folder] == found


# PatchMatch


@pytest.fixture(scope="module")
def patchmatch() -> Inpainter:
    return invertfill.load("patchmatch")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "I;16"])
def test_patchmatch_repeats_what_is_there_and_keeps_known_pixels(patchmatch: Inpainter, mode: str) -> None:
    image, hole = stripes(96, 96), np.zeros((96, 96), bool)
    hole[8:20, 10:21] = True
    image = Image.fromarray(np.asarray(image)[..., 0] * np.uint16(257)) if mode == "I;16" else image.convert(mode)
    result = patchmatch.fill(image, hole)
    assert (result.model, result.why, result.notes) == ("patchmatch", "", ())
    assert result.image.mode == image.mode
    before, after = np.asarray(image), np.asarray(result)
    np.testing.assert_array_equal(after[~hole], before[~hole])
    unlike = np.abs(after[hole].astype(float) - before[hole]) > before.max() / 2
    assert unlike.mean() < 0.1


def test_patchmatch_repeats_itself_and_seeds_differ(patchmatch: Inpainter) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    a, b, c = (np.asarray(patchmatch.fill(noise, box(64, 64), seed=seed)) for seed in (0, 0, 5))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


@pytest.mark.slow
def test_patchmatch_says_what_it_cant_do(run, photo: Path, tmp_path: Path) -> None:
    options = ("--model", "patchmatch", "-o", tmp_path / "out.png")
    assert_one_line(run("sample", *options), "patchmatch: ", "accepted: ")
    Image.new("L", (40, 24), 255).save(tmp_path / "all.png")
    result = run("fill", photo, "--mask", tmp_path / "all.png", *options)
    assert (result.status, result.out) == (2, "") and "patchmatch: " in result.err
    assert not (tmp_path / "out.png").exists()


def test_patchmatch_is_listed_where_it_can_be_loaded(run, monkeypatch: pytest.MonkeyPatch) -> None:
    out = run("models").out
    assert "\npatchmatch\n" in out and "PyPatchMatch" in out and "MIT" in out
    monkeypatch.setitem(sys.modules, "patchmatch", None)
    assert "patchmatch" not in run("models").out


# The commands

CODE = """
import sys
from pathlib import Path
from invertfill import cli, registry
registry.WEIGHTS = Path(sys.argv.pop(1))
if sys.argv.pop(1) == "bare":
    sys.modules["patchmatch"] = None
cli.main(sys.argv[1:])
"""


@pytest.fixture
def installed(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A folder like the package's own, of two models."""
    for name in ("one", "two"):
        shutil.copytree(tiny_model_folder, tmp_path / "weights" / name)
    return tmp_path / "weights"


@pytest.mark.slow
def test_the_default_in_a_process_of_its_own(installed: Path, photo: Path, mask: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "a.png", tmp_path / "b.png"]
    for out, how in zip(outs, ("full", "bare"), strict=True):  # PatchMatch is none of it
        result = start(installed, how, "fill", photo, "--mask", mask, "-o", out, code=CODE)
        assert (result.returncode, result.stderr) == (0, "") and result.stdout.startswith(f"{out}: ")
        assert_filled(photo, mask, out)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    arguments = ("fill", photo, "--mask", mask, "-o", tmp_path / "out.png", "--model", "patchmatch")
    result = start(installed, "bare", *arguments, code=CODE)
    assert result.returncode == 2 and "PyPatchMatch" in result.stderr and "one, two" in result.stderr


def test_a_name_and_a_folder_are_one(
    run, installed: Path, photo: Path, mask: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(registry, "WEIGHTS", installed)
    result = run("fill", photo, "--mask", mask, "-o", tmp_path / "named.png", "--model", "two")
    assert (result.status, result.err) == (0, "")
    run("fill", photo, "--mask", mask, "-o", tmp_path / "folder.png", "--model", installed / "two")
    np.testing.assert_array_equal(pixels(tmp_path / "named.png"), pixels(tmp_path / "folder.png"))


def test_sample_by_default_draws_from_the_first(run, installed: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(registry, "WEIGHTS", installed)
    for name, options in (("default", ()), ("one", ("--model", "one"))):
        assert run("sample", "--seeds", "3", "-o", tmp_path / f"{name}.png", *options).status == 0
    np.testing.assert_array_equal(pixels(tmp_path / "default.png"), pixels(tmp_path / "one.png"))


@pytest.mark.slow
def test_a_batch_is_done_again_by_a_name_instead_of_auto(
    run, installed: Path, photo: Path, mask: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "WEIGHTS", installed)
    (tmp_path / "pictures").mkdir()
    shutil.copy(photo, tmp_path / "pictures")
    arguments = ("batch", tmp_path / "pictures", "--masks", mask, "-o", tmp_path / "out", "--workers", 1)
    first = run(*arguments)
    assert counts(first.out)[:2] == (1, 0) and not first.err.count("note")
    assert_filled(photo, mask, tmp_path / "out" / "photo.png")
    assert counts(run(*arguments).out)[:2] == (0, 1)
    assert counts(run(*arguments, "--model", "one").out)[:2] == (1, 0)
    assert len({registry.fingerprint(name) for name in ("auto", "one")}) == 2
