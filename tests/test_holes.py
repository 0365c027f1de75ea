"""Which pixels of a picture change: the mask's, boxes', grown by some pixels, and those over which a fill fades."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Result, assert_one_line, counts, pixels
from PIL import Image

import invertfill
from invertfill.batch.jobs import Job
from invertfill.batch.work import Worker
from invertfill.imaging.distance import fading, grow
from invertfill.options import FillOptions
from invertfill.pipeline.feather import Feather

MODES = ["L", "LA", "RGB", "RGBA", "CMYK", "I;16"]


@pytest.fixture(scope="module")
def inpainter(tiny_model_folder: Path) -> invertfill.Inpainter:
    return invertfill.load(tiny_model_folder)


def noise(mode: str = "RGB") -> Image.Image:
    """60 x 50 pixels."""
    rng = np.random.default_rng(3)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (50, 60), np.uint16))
    image = Image.fromarray(rng.integers(0, 256, (50, 60, 4), np.uint8))
    return image.convert("RGB").convert(mode) if mode in ("L", "RGB", "CMYK") else image.convert(mode)


def hole() -> np.ndarray:
    found = np.zeros((50, 60), bool)
    found[20:28, 15:30] = found[44:, 55:] = True
    return found


def distances(hole: np.ndarray) -> np.ndarray:
    """By hand: to the nearest of all hole pixels."""
    y, x = np.nonzero(hole)
    rows, columns = np.indices(hole.shape)
    return np.sqrt(np.square(rows[..., None] - y) + np.square(columns[..., None] - x)).min(-1)


def changed(before: Image.Image, after: invertfill.FillResult) -> np.ndarray:
    assert after.image.mode == before.mode
    a, b = np.asarray(before), np.asarray(after)
    return np.asarray((a != b).reshape(*a.shape[:2], -1).any(-1))


@pytest.mark.parametrize("by", [1, 2, 5, 17, 300])
@pytest.mark.parametrize("share", [0.0005, 0.02, 0.5])
def test_distances(by: int, share: float) -> None:
    found = np.random.default_rng(1).random((43, 70)) < share
    found[40, 3] = True
    expected = distances(found)
    np.testing.assert_array_equal(grow(found, by), expected <= by)
    np.testing.assert_allclose(fading(found, by), np.clip(1 - expected / (by + 1), 0, 1), atol=1e-6)


def test_nothing_grows_from_nothing() -> None:
    assert not grow(np.zeros((9, 9), bool), 5).any()


@pytest.mark.parametrize("mode", MODES)
def test_grow(inpainter: invertfill.Inpainter, mode: str) -> None:
    picture = noise(mode)
    found = changed(picture, inpainter.fill(picture, hole(), grow=3))
    assert not found[distances(hole()) > 3].any()
    assert found[distances(hole()) <= 3].mean() > 0.95


@pytest.mark.parametrize("mode", MODES)
def test_feather_fades_into_what_is_known_and_no_farther(inpainter: invertfill.Inpainter, mode: str) -> None:
    picture, away = noise(mode), distances(hole())
    result = inpainter.fill(picture, hole(), feather=6)
    found = changed(picture, result)
    assert not found[away > 6].any() and found[away <= 4].mean() > 0.8
    whole = inpainter.fill(picture, hole(), grow=6)
    a, b, c = (np.asarray(one, float) for one in (picture, result, whole))
    if mode in ("LA", "RGBA"):  # the colours of what is transparent have no say
        a, b, c = a[..., -1], b[..., -1], c[..., -1]
    np.testing.assert_array_equal(b[hole()], c[hole()])  # all fill
    share = np.clip(1 - away / 7, 0, 1).reshape(away.shape + (1,) * (a.ndim - 2))
    np.testing.assert_allclose(b, share * c + (1 - share) * a, atol=0.51)


def test_what_lies_hidden_under_transparency_does_not_shine_through() -> None:
    picture = Image.new("RGBA", (60, 50), (255, 0, 255, 0))
    _, feather = Feather.around(picture, hole(), 5)
    picture.paste((0, 200, 0, 255), (0, 0, 60, 50))
    feather.fade(picture)
    found, away = np.asarray(picture), distances(hole())
    assert (found[away <= 5][:, :3] == (0, 200, 0)).all()
    np.testing.assert_allclose(found[away <= 5][:, 3], 255 * (1 - away[away <= 5] / 6), atol=0.51)


@pytest.mark.parametrize(
    "box", ["5,6,7,8", (5, 6, 7, 8), [(5, 6, 7, 8)], ["5,6,7,8"], np.array([5, 6, 7, 8]), "5,6,7,8; 6,7,2,2"]
)
def test_a_box_is_a_hole_with_a_mask_or_without(inpainter: invertfill.Inpainter, box: Any) -> None:
    picture, expected = noise(), np.zeros((50, 60), bool)
    expected[6:14, 5:12] = True
    for mask in (None, hole()):
        found = changed(picture, inpainter.fill(picture, mask, box=box))
        wanted = expected if mask is None else expected | hole()
        assert not found[~wanted].any() and found[wanted].mean() > 0.95
    inverted = changed(picture, inpainter.fill(picture, ~hole(), box=box, invert_mask=True))
    np.testing.assert_array_equal(inverted, found)


def test_boxes_reach_beyond_the_picture_but_do_not_lie_beyond_it(inpainter: invertfill.Inpainter) -> None:
    picture = noise()
    found = changed(picture, inpainter.fill(picture, box=[(-5, 40, 10, 100), "58,-1,9,3"]))
    expected = np.zeros((50, 60), bool)
    expected[40:, :5] = expected[:2, 58:] = True
    assert not found[~expected].any() and found[expected].mean() > 0.95
    for outside in ("60,0,5,5", "0,50,5,5", "-5,0,5,5"):
        with pytest.raises(invertfill.InputError, match=f"box {outside}: outside"):
            inpainter.fill(picture, box=outside)


def test_options_of_holes_do_not_touch_an_outpainted_picture(tiny_model_folder: Path) -> None:
    picture = noise()
    options = {"invert_mask": True, "box": "1,1,9,9", "grow": 4, "feather": 4}
    wider = invertfill.load(tiny_model_folder, **options).outpaint(picture, left=20).image
    assert wider.crop((20, 0, 80, 50)).tobytes() == picture.tobytes()


def test_the_command_line_takes_them(fill: Callable[..., Result], photo: Path, mask: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert fill(photo, "--box", "0,0,4,5", "--box", "30,2,3,3", "-o", out).status == 0
    found = (pixels(out) != pixels(photo)).any(2)
    assert found[:5, :4].all() and found[2:5, 30:33].all() and found.sum() == 29
    assert fill(photo, "--mask", mask, "--grow", 2, "--feather", 1, "-o", out).status == 0
    found = (pixels(out) != pixels(photo)).any(2)
    assert not found[distances(pixels(mask) > 127) > 3].any()
    Image.open(mask).resize((20, 12), Image.Resampling.NEAREST).save(tmp_path / "small.png")
    refused = fill(photo, "--mask", tmp_path / "small.png", "-o", tmp_path / "no.png")
    assert_one_line(refused, "small.png", "20x12", "40x24")
    assert fill(photo, "--mask", tmp_path / "small.png", "--resize-mask", "-o", out).status == 0


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_list_has_boxes(run: Callable[..., Result], tiny_model_folder: Path, photo: Path, tmp_path: Path, kind: str):
    rows = [("a.png", "0,0,4,5"), ("b.png", "0,0,4,5;30,2,3,3")]
    path = tmp_path / f"list.{kind}"
    with path.open("w", newline="") as file:
        if kind == "csv":
            csv.writer(file).writerows([("image", "out", "box"), *(("photo.png", *row) for row in rows)])
        else:
            boxes = [box if i else [list(map(int, box.split(",")))] for i, (_, box) in enumerate(rows)]
            lines = [{"image": "photo.png", "out": rows[i][0], "box": box} for i, box in enumerate(boxes)]
            file.write("\n".join(map(json.dumps, lines)))
    arguments = ("batch", path, "-o", tmp_path / "out", "--model", tiny_model_folder, "--workers", 1)
    assert run(*arguments).status == 0
    changed = [(pixels(tmp_path / "out" / name) != pixels(photo)).any(2).sum() for name, _ in rows]
    assert changed == [20, 29]
    assert counts(run(*arguments).out)[1] == 2
    path.write_text(path.read_text().replace("30,2,3,3", "30,2,3"))
    assert_one_line(run(*arguments), f"list.{kind}, line {3 if kind == 'csv' else 2}", "X,Y,W,H")


def test_a_batch_makes_a_picture_again_whose_box_is_another(tiny_model_folder: Path, photo: Path) -> None:
    worker, out = Worker(FillOptions(str(tiny_model_folder))), str(photo.with_name("out.png"))
    first = worker.do(Job(str(photo), None, out, box=((0, 0, 4, 5),)), None)
    again = worker.do(Job(str(photo), None, out, box=((0, 0, 4, 5),)), first.fingerprint)
    other = worker.do(Job(str(photo), None, out, box=((0, 0, 4, 6),)), first.fingerprint)
    assert [record.status for record in (first, again, other)] == ["filled", "skipped", "filled"]
