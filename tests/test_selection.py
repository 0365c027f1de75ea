"""The choice among models by trial, and PatchMatch as one of them."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Sequence
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
from invertfill.pipeline.inpainter import Inpainter
from invertfill.pipeline.selection import APART, LEAST, RADIUS, SHARE, VIEWS, ModelSelector, difference, hide
from invertfill.registry import NO_PATCHMATCH, ModelInfo

SIZE = 32
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


def as_stripes(image: np.ndarray) -> np.ndarray:
    columns = np.where(np.arange(image.shape[-1]) % 4 < 2, -1, 1).astype(np.float32)
    return np.broadcast_to(columns, image.shape).copy()


GREY = DomainPrior.of([np.zeros((3, SIZE, SIZE), np.float32)])
STRIPES = DomainPrior.of([as_stripes(np.empty((3, SIZE, SIZE)))])


def box(width: int = SIZE, height: int = SIZE) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[8:20, 10:21] = True
    return hole


def auto(
    engines: dict[str, Fake], domains: dict[str, DomainPrior] | None = None, aligned: Sequence[str] = ()
) -> Inpainter:
    """Of several, by default, the first has learned stripes, the others grey."""
    for name, engine in engines.items():
        engine.model = replace(engine.model, name=name)
    known = dict(zip(engines, [STRIPES] + [GREY] * len(engines), strict=False))
    return Inpainter(engines, selector=ModelSelector(engines, domains or known, aligned, SIZE))


@pytest.mark.parametrize("order", [1, -1])
def test_the_one_whose_domain_it_is_wins_and_the_result_says_so(order: int) -> None:
    engines = dict([("knows", Fake(as_stripes)), ("grey", Fake(constant(0.0)))][::order])
    result = auto(engines, {"knows": STRIPES, "grey": GREY}).fill(stripes(), box())
    np.testing.assert_array_equal(np.asarray(result), np.asarray(stripes()))
    assert result.model == "knows" and "grey" in result.why and NO_PATCHMATCH in result.why
    assert result.notes == (f"image: {result.why}",)
    assert engines["grey"].calls == [] and engines["knows"].calls == [1]


def test_it_is_tried_against_the_filler() -> None:
    engines = {"learned": Fake(constant(0.0)), "other": Fake(as_stripes), "patchmatch": Fake(as_stripes)}
    result = auto(engines).fill(stripes(), box())
    assert result.model == "patchmatch" and "error 0.00; learned " in result.why and NO_PATCHMATCH not in result.why
    assert engines["other"].calls == [] and [len(e.calls) for e in engines.values()] == [1, 0, 2]
    engines = {"learned": Fake(as_stripes), "other": Fake(as_stripes), "patchmatch": Fake(constant(0.0))}
    result = auto(engines).fill(stripes(), box())
    assert result.model == "learned" and "error 0.00; patchmatch " in result.why and "other" in result.why


def test_a_model_of_whole_pictures_keeps_its_own_unless_the_filler_is_far_better() -> None:
    def nearly(image: np.ndarray) -> np.ndarray:
        return 0.9 * as_stripes(image)

    for learned, best in ((nearly, "portraits"), (constant(0.0), "patchmatch")):
        engines = {"portraits": Fake(learned), "patchmatch": Fake(as_stripes)}
        assert auto(engines, aligned=["portraits"]).fill(stripes(), box()).model == best
        assert auto(engines).fill(stripes(), box()).model == "patchmatch"


@pytest.mark.parametrize("size", [SIZE // 4, SIZE * 2])
def test_models_of_other_sizes_take_part(size: int) -> None:
    def step(image: np.ndarray) -> np.ndarray:
        side = image.shape[-1]
        return np.broadcast_to(np.where(np.arange(side) < side // 2, -1, 1), image.shape).astype(np.float32)

    picture = Image.fromarray((step(np.empty((SIZE, SIZE))) * 127.5 + 127.5).astype(np.uint8))
    engines = {"patchmatch": Fake(constant(0.0)), "knows": Fake(step, size)}
    result = auto(engines, {"knows": GREY}).fill(picture, box())
    assert result.model == "knows" and engines["knows"].calls == [1, 1]
    assert (np.asarray(result)[~box()] == np.asarray(picture)[~box()]).all()


def test_parts_of_pictures_are_not_left_to_a_model_of_whole_ones() -> None:
    portraits, other, third = Fake(as_stripes), Fake(constant(0.0)), Fake(constant(0.5))
    domains = {"portraits": STRIPES, "other": GREY, "third": DomainPrior.of([np.ones((3, SIZE, SIZE), np.float32)])}

    def chosen(engines: dict[str, Fake], picture: Image.Image) -> str:
        return auto(engines, domains, ["portraits"]).fill(picture, box(*picture.size)).model

    two = {"portraits": portraits, "other": other}
    assert chosen(two, stripes()) == "portraits"
    assert chosen(two, stripes(2 * SIZE)) == "other"
    assert chosen(two, stripes(8 * SIZE, 8 * SIZE)) == "other"
    portraits.calls.clear()
    assert chosen(two | {"third": third}, stripes(2 * SIZE)) == "other"
    assert portraits.calls == []
    assert chosen({"portraits": portraits}, stripes(2 * SIZE)) == "portraits"


def test_equals_go_to_the_first() -> None:
    engines = {name: Fake(constant(0.5)) for name in "ba"}
    assert auto(engines, {"a": GREY, "b": GREY}).fill(stripes(), box()).model == "b"
    engines["patchmatch"] = Fake(constant(0.5))
    assert auto(engines, {"a": GREY, "b": GREY}).fill(stripes(), box()).model == "b"


def test_each_picture_gets_its_own_in_their_order() -> None:
    """The border is met by both, so the hole's middle tells who filled: grey is only right on grey."""
    grey = Image.new("RGB", (SIZE, SIZE), (128, 128, 128))
    grey.putpixel((15, 7), (200, 200, 200))  # all of one colour, it would need no model
    engines = {"stripes": Fake(as_stripes), "grey": Fake(constant(0.0))}
    pictures = [stripes(), grey, grey, stripes(), grey]
    results = list(auto(engines).fill_many((picture, box()) for picture in pictures))
    for before, after in zip(pictures, results, strict=True):
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
    assert [result.model for result in results] == ["stripes", "grey", "grey", "stripes", "grey"]
    assert engines["stripes"].calls == [1, 1] and engines["grey"].calls == [2, 1]


def test_the_cost_of_the_trial_is_bounded() -> None:
    """However many holes: one call to the nearest model and to the filler, of a few views; then one of them alone."""
    hole = np.zeros((600, 1400), bool)
    hole[50::180, 50::180] = True
    engines = {"a": Fake(as_stripes), "b": Fake(as_stripes), "patchmatch": Fake(constant(0.0))}
    auto(engines, {"a": GREY, "b": STRIPES}).fill(stripes(1400, 600), hole)
    calls = [engine.calls for engine in engines.values()]
    assert sorted(sum(each) for each in calls) == [0, VIEWS, VIEWS + 32] and hole.sum() == 32
    assert calls[2][0] == VIEWS


def test_a_single_model_isnt_tried() -> None:
    engines = {"only": Fake(constant(0.0))}
    result = auto(engines).fill(stripes(), box())
    assert result.model == "only" and NO_PATCHMATCH in result.why
    assert engines["only"].calls == [1]


def test_where_next_to_nothing_is_known_the_first_fills_untried() -> None:
    hole = np.ones((SIZE, SIZE), bool)
    hole[0, : LEAST // 2] = False
    engines = {"a": Fake(constant(0.0)), "b": Fake(as_stripes)}
    assert auto(engines).fill(stripes(), hole).model == "a"
    assert (engines["a"].calls, engines["b"].calls) == ([1], [])


def test_one_model_for_all_steps_of_an_outpainting() -> None:
    engines = {"a": Fake(constant(0.0)), "b": Fake(as_stripes)}
    wide = auto(engines).outpaint(stripes(), left=40, right=40)
    assert wide.image.size == (112, SIZE) and wide.notes == (f"image: {wide.why}",)
    assert sorted(bool(engine.calls) for engine in engines.values()) == [False, True]
    np.testing.assert_array_equal(np.asarray(wide)[:, 40:72], np.asarray(stripes()))


def test_what_is_hidden_is_known_adjoins_the_hole_and_is_bounded() -> None:
    for hole in (box(64, 64), np.eye(64, dtype=bool), box(64, 64) ^ True, np.arange(64 * 64).reshape(64, 64) % 9 > 1):
        hidden = hide(hole)
        assert hidden.any() and not (hidden & hole).any()
        assert hidden.sum() <= SHARE * (~hole).sum()
        np.testing.assert_array_equal(hidden, hide(hole))
    deep = np.pad(hide(box(64, 64)), 1)
    assert APART > 1 and RADIUS * 64 >= 4
    for _ in range(3):  # no mere rim: it outlasts an erosion of three pixels
        deep[1:-1, 1:-1] &= deep[:-2, 1:-1] & deep[2:, 1:-1] & deep[1:-1, :-2] & deep[1:-1, 2:]
    assert deep.any()


def test_difference_is_of_structure_contrast_and_colour() -> None:
    """Against values that follow from the definition: 2 cells of 2, noise of a standard deviation far above FAINT."""
    rng = np.random.default_rng(0)
    size = 256
    truth, other = rng.normal(0, 0.5, (2, 1, 3, size, size)).astype(np.float32)
    nothing, hidden = np.zeros((1, 1, size, size), np.float32), np.ones((1, 1, size, size), np.float32)

    def far(output: np.ndarray) -> float:
        return difference(output.astype(np.float32), truth, nothing, hidden)

    assert far(truth) == pytest.approx(0, abs=1e-4)
    assert far(truth + 0.3) == pytest.approx(0.3, abs=1e-3)  # colour alone
    assert far(truth / 2) == pytest.approx(1 - 2 * 0.5 / 1.25 + np.log(2), abs=0.03)  # structure by SSIM's formula
    out_of_step, blur = far(other), far(np.zeros_like(truth))
    assert 1 < out_of_step < 1.3  # nothing in common but contrast and colour
    assert blur == pytest.approx(1 + np.log(0.5 / 0.04), abs=0.1)
    assert out_of_step < blur


def test_only_the_hidden_part_counts() -> None:
    masks, hidden = (hole[None, None].astype(np.float32) for hole in (box().T & ~box(), box() & ~box().T))
    rng = np.random.default_rng(0)
    truth, output = rng.uniform(-1, 1, (2, 1, 3, SIZE, SIZE)).astype(np.float32)
    same = np.where(hidden > 0, output, truth)
    for_holes = np.where(masks > 0, 9, same).astype(np.float32)
    assert difference(for_holes, truth, masks, hidden) == difference(same, truth, masks, hidden) > 0


# PatchMatch


@pytest.fixture(scope="module")
def patchmatch() -> Inpainter:
    return invertfill.load("patchmatch")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "I;16"])
def test_patchmatch_repeats_what_is_there_and_keeps_known_pixels(patchmatch: Inpainter, mode: str) -> None:
    image, hole = stripes(96, 96), box(96, 96)
    image = Image.fromarray(np.asarray(image)[..., 0] * np.uint16(257)) if mode == "I;16" else image.convert(mode)
    result = patchmatch.fill(image, hole)
    assert (result.model, result.why, result.notes) == ("patchmatch", "", ())  # no trial
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
    results = [start(installed, "full", "fill", photo, "--mask", mask, "-o", out, code=CODE) for out in outs]
    for result, out in zip(results, outs, strict=True):
        assert (result.returncode, result.stdout) == (0, "")
        assert result.stderr == results[0].stderr and result.stderr.count("\n") == 1
        assert_filled(photo, mask, out)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    note = results[0].stderr
    assert note.startswith(f"note: {photo}: ") and re.search(r"error \d", note)
    assert all(name in note for name in ("one", "patchmatch")) and "pip" not in note


@pytest.mark.slow
def test_without_the_library(installed: Path, photo: Path, mask: Path, tmp_path: Path) -> None:
    arguments = ("fill", photo, "--mask", mask, "-o", tmp_path / "out.png")
    result = start(installed, "bare", *arguments, code=CODE)
    assert (result.returncode, result.stdout) == (0, "") and result.stderr.count("\n") == 1
    assert "one, " in result.stderr and "PyPatchMatch" in result.stderr  # of equals the first
    assert_filled(photo, mask, tmp_path / "out.png")
    result = start(installed, "bare", *arguments, "--model", "patchmatch", code=CODE)
    expected = "invertfill: patchmatch: PyPatchMatch can't be loaded here; accepted: one, two, a model folder\n"
    assert (result.returncode, result.stderr) == (2, expected)


def test_a_name_skips_the_trial(run, installed: Path, photo: Path, mask: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(registry, "WEIGHTS", installed)
    monkeypatch.setattr(ModelSelector, "select", None)
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
def test_a_batch_is_done_again_where_there_is_more_to_choose_from(
    run, installed: Path, photo: Path, mask: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "WEIGHTS", installed)
    monkeypatch.setitem(sys.modules, "patchmatch", None)
    (tmp_path / "pictures").mkdir()
    shutil.copy(photo, tmp_path / "pictures")
    arguments = ("batch", tmp_path / "pictures", "--masks", mask, "-o", tmp_path / "out", "--workers", 1)
    first = run(*arguments)
    assert counts(first.out)[:2] == (1, 0) and "photo.png: one," in first.err
    assert_filled(photo, mask, tmp_path / "out" / "photo.png")
    assert counts(run(*arguments).out)[:2] == (0, 1)
    shutil.copytree(installed / "one", installed / "zero")
    assert counts(run(*arguments).out)[:2] == (1, 0)
    assert counts(run(*arguments, "--model", "one").out)[:2] == (1, 0)
    assert len({registry.fingerprint(name) for name in ("auto", "one")}) == 2
