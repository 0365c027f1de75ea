"""Faces in photographs: where they are, the square of their portrait, and its fill back in the picture."""

from __future__ import annotations

import cmath
import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Result, assert_one_line
from PIL import Image, ImageOps

import invertfill
from invertfill.errors import InputError
from invertfill.pipeline import face_detector
from invertfill.pipeline.face_detector import SIZE, find_faces
from invertfill.pipeline.faces import PLACES, aligned, find_portraits, in_head
from invertfill.pipeline.squares import Square, Turned

GROUND = (90, 110, 80)


def turned(degrees: float, side: float = 120.0, centre: complex = 150 + 140j) -> Square:
    return Square(centre, cmath.rect(side / 2, math.radians(degrees)))


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Colours that change slowly, (H, W, 3) uint8."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def portraits(count: int) -> list[np.ndarray]:
    """(256, 256, 3) uint8, aligned: one drawn, two photographs."""
    names = ("drawn", "hopper", "astronaut")[:count]
    return [np.asarray(Image.open(ROOT / "examples" / f"portrait-{name}.png").convert("RGB")) for name in names]


def with_faces(faces: list[np.ndarray], squares: list[Square], height: int, width: int) -> np.ndarray:
    """Portraits in a plain picture."""
    picture = np.full((height, width, 3), GROUND, np.uint8)
    for face, square in zip(faces, squares, strict=True):
        small = np.asarray(Image.fromarray(face).resize((round(square.side),) * 2, Image.Resampling.LANCZOS))
        own = square.own(picture.shape)
        inside = np.maximum(abs(own.real), abs(own.imag)) < 1
        picture[inside] = square.paint(small.astype(np.float32), picture.shape)[inside].clip(0, 255).round()
    return picture


def mouth(square: Square, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool, around it."""
    own = square.own(shape) - PLACES[3]
    return np.asarray((abs(own.real) < 0.35) & (abs(own.imag) < 0.2))


def test_points_in_their_places_are_the_square_itself() -> None:
    square = aligned(PLACES)
    assert square.centre == pytest.approx(0, abs=1e-12) and square.half == pytest.approx(1)


@pytest.mark.parametrize("degrees", [-45, 0, 30])
def test_points_give_their_square_however_it_lies(degrees: float) -> None:
    square = turned(degrees)
    found = aligned(np.append(square.at(PLACES), [0, 0]))  # ears have no say
    assert found.centre == pytest.approx(square.centre) and found.half == pytest.approx(square.half)


def test_points_that_do_not_agree_are_met_in_the_mean() -> None:
    """Against the normal equations, as real numbers."""
    points = PLACES * (3 - 2j) + np.random.default_rng(0).normal(0, 0.1, 4)
    rows = [[[p.real, -p.imag, 1, 0], [p.imag, p.real, 0, 1]] for p in PLACES]
    a, b, x, y = np.linalg.lstsq(np.concatenate(rows), np.stack([points.real, points.imag], 1).ravel(), rcond=None)[0]
    square = aligned(points)
    assert square.half == pytest.approx(a + 1j * b) and square.centre == pytest.approx(x + 1j * y)


def test_an_upright_square_is_cut_as_it_is() -> None:
    picture = smooth(200, 300)
    hole = np.zeros((200, 300), bool)
    hole[60:80, 50:90] = True
    image, mask = Square(80 + 70j, 32 + 0j).cut(picture, hole, 64)
    cut = picture[38:102, 48:112].transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_array_equal(mask[0] > 0, hole[38:102, 48:112])
    np.testing.assert_allclose(image, np.where(mask > 0, 0, cut), atol=1e-6)


@pytest.mark.parametrize("degrees", [0, 20, -45, 90, 180])
def test_there_and_back_is_the_picture_but_for_interpolation(degrees: float) -> None:
    picture, square = smooth(280, 300), turned(degrees)
    own = square.own(picture.shape)
    hole = np.maximum(abs(own.real), abs(own.imag)) < 0.9
    view = Turned.of(square, picture, np.zeros_like(hole))
    back = view.put_back(picture, hole, view.rgb)
    assert np.abs(back.astype(int) - picture).max() <= 2
    np.testing.assert_array_equal(back[~hole], picture[~hole])
    seen, _ = square.cut(picture, np.zeros_like(hole), 64)
    middles = square.at((np.arange(64) + 0.5) / 32 - 1 + 0j)  # of pixels, along the middle line
    expected = picture[(middles.imag - 0.5).round().astype(int), (middles.real - 0.5).round().astype(int)]
    assert np.abs((seen[:, 31:33].mean(1).T + 1) * 127.5 - expected).max() < 6


def test_what_is_hidden_has_no_say_in_a_turned_view() -> None:
    picture, square = smooth(280, 300), turned(30)
    hole = np.zeros((280, 300), bool)
    hole[120:170, 130:180] = True
    other = np.where(hole[..., None], 255 - picture, picture)
    for one, two in zip(square.cut(picture, hole, 64), square.cut(other, hole, 64), strict=True):
        np.testing.assert_array_equal(one, two)
    square, middles = turned(30, centre=5 + 140j), (np.arange(64) + 0.5) / 32 - 1
    _, mask = square.cut(picture, np.zeros_like(hole), 64)
    across = square.at(middles + 1j * middles[:, None]).real
    assert mask[0][across < -2].all() and not mask[0][across > 2].any()  # what lies outside the picture is hole, too


def test_the_file_is_the_one_that_came_with_the_package() -> None:
    digest = hashlib.sha256(face_detector.FACE_DETECTOR.read_bytes()).hexdigest()
    assert digest == "427cbbe0fc41448d09e1dc9cfabe2423d997cf2faaeab91fadd09a510b63b8e2"
    assert "Apache License" in face_detector.FACE_DETECTOR.with_name("LICENSE").read_text()


@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_a_detector_that_is_missing_or_damaged(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "detector.onnx"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(face_detector, "FACE_DETECTOR", path)
    face_detector._session.cache_clear()
    with pytest.raises(InputError, match=path.name) as error:
        find_faces(np.zeros((3, SIZE, SIZE), np.float32), 0.5)
    assert "\n" not in str(error.value)
    face_detector._session.cache_clear()


def test_nothing_is_found_where_nothing_is() -> None:
    assert find_faces(np.zeros((3, SIZE, SIZE), np.float32), 0.3) == []
    noise = np.random.default_rng(0).uniform(-1, 1, (3, SIZE, SIZE)).astype(np.float32)
    assert find_faces(noise, 0.5) == []


def test_a_face_has_its_points_in_their_places() -> None:
    for portrait in portraits(3):
        (face,) = find_faces(portrait.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1, 0.5)
        assert np.abs(face.points[:4] - PLACES).max() < 0.25
        assert face.points[4].real < face.points[0].real < face.points[1].real < face.points[5].real


@pytest.mark.parametrize("degrees", [-45, 0, 30])
@pytest.mark.parametrize("side", [90.0, 220.0])
def test_faces_are_found_wherever_they_are(degrees: float, side: float) -> None:
    """Two in one picture, where a hole touches one; and one half outside."""
    hit, other = turned(degrees, side, 140 + 150j), turned(0, side, 400 + 200j)
    picture = with_faces(portraits(2), [hit, other], 350, 520)
    hole = mouth(hit, picture.shape)
    (found,) = find_portraits(hole, lambda square: square.cut(picture, hole, SIZE))
    assert abs(found.centre - hit.centre) < 0.12 * side
    assert abs(found.half / hit.half - 1) < 0.3
    assert in_head(found, hole).sum() > 0.95 * hole.sum()
    left = int(hit.centre.real)
    part, there = picture[:, left:], hole[:, left:]
    assert len(find_portraits(there, lambda square: square.cut(part, there, SIZE))) <= 1


@pytest.fixture(scope="module")
def auto() -> invertfill.Inpainter:
    return invertfill.load()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "float"])
def test_a_face_in_a_photograph_is_filled_by_the_portrait_model(mode: str, auto: invertfill.Inpainter) -> None:
    square = turned(25, 160)
    picture = with_faces(portraits(1), [square], 300, 480)
    hole = mouth(square, picture.shape)
    hole[200:240, 380:420] = True  # which is no face's
    if mode == "float":
        given: np.ndarray = picture.astype(np.float32) / 255
    else:
        given = np.asarray(Image.fromarray(picture).convert(mode))
    result = auto.fill(given, hole)
    filled = np.asarray(result)
    assert result.faces == 1 and result.model != auto.portraits and auto.portraits in result.why
    assert filled.dtype == given.dtype and filled.shape == given.shape
    np.testing.assert_array_equal(filled[~hole], given[~hole])
    off = auto.fill(given, hole, faces="off")
    assert off.faces == 0 and auto.portraits not in off.why
    face = hole & (np.arange(480) < 300)

    def error(one: np.ndarray) -> float:
        return float(np.abs(one[face].astype(float) - given[face]).mean())

    blank = np.full_like(given, given[~hole].mean())
    assert error(filled) < 0.6 * error(blank)  # a blurred fill may be as near by pixel, so the general one says nothing
    assert (filled != np.asarray(off))[face].any()


@pytest.mark.slow
def test_several_faces_and_samples(auto: invertfill.Inpainter) -> None:
    squares = [turned(-20, 150, 120 + 120j), turned(15, 130, 330 + 150j)]
    picture = with_faces(portraits(2), squares, 260, 450)
    hole = np.any([abs(square.own(picture.shape) - 0.2j) < 0.3 for square in squares], 0)  # noses
    first, second = auto.fill_samples(picture, hole, samples=2)
    assert first.faces == second.faces == 2 and (first.seed, second.seed) == (0, 1)
    assert first.model == auto.portraits  # nothing is left to others
    np.testing.assert_array_equal(np.asarray(first), np.asarray(auto.fill(picture, hole)))
    assert (np.asarray(first)[hole] != np.asarray(second)[hole]).any()
    for one in (first, second):
        np.testing.assert_array_equal(np.asarray(one)[~hole], picture[~hole])


@pytest.mark.slow
def test_a_portrait_is_filled_as_a_whole(auto: invertfill.Inpainter) -> None:
    (picture,) = portraits(1)
    hole = mouth(Square(128 + 128j, 128 + 0j), picture.shape)
    result = auto.fill(picture, hole)
    assert (result.model, result.faces) == (auto.portraits, 0)
    expected = invertfill.load(auto.portraits).fill(picture, hole)
    np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))


def test_a_portrait_whose_face_is_hidden_is_still_one(auto: invertfill.Inpainter) -> None:
    (picture,) = portraits(1)
    hole = np.zeros(picture.shape[:2], bool)
    hole[:, 128:] = True  # half of the face, and none of it is found
    assert auto.fill(picture, hole).model == auto.portraits


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg", "chelsea.png", "motorcycle_left.png"])
def test_a_square_picture_of_something_else_gets_no_face(name: str, share: float, auto: invertfill.Inpainter) -> None:
    data = Path(pytest.importorskip("skimage").__file__).parent / "data"
    if not (data / name).exists():
        pytest.skip(f"scikit-image carries no {name}")
    picture = ImageOps.fit(Image.open(data / name).convert("RGB"), (SIZE, SIZE))
    y, x = np.ogrid[:SIZE, :SIZE]
    hole = (y - SIZE / 2) ** 2 + (x - SIZE / 2) ** 2 <= share * SIZE**2 / np.pi
    result = auto.fill(picture, hole)
    assert result.faces == 0 and result.model != auto.portraits


def test_no_box_is_a_face_that_has_no_area(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, values = np.array([0.9, 0.8, 0.7]), np.zeros((3, 8), complex)
    values[:, 1] = [-1 - 1j, 0.2, 0.5 + 0.5j]
    monkeypatch.setattr(face_detector, "_detect", lambda image: (scores, values))
    (face,) = find_faces(np.zeros((3, SIZE, SIZE), np.float32), 0.0)
    assert face.score == 0.7


def test_the_option_is_checked_at_the_door(photo: Path, mask: Path, run: Callable[..., Result], tmp_path: Path) -> None:
    assert_one_line(run("fill", photo, "--mask", mask, "-o", tmp_path / "out.png", "--faces", "no"), "faces", "off")
