"""What an alpha channel says of holes, of what is unknown, and of a fill (pipeline/transparency.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import invertfill
from invertfill.pipeline.transparency import ERASED, continued, soft_hole

EXAMPLES = Path(__file__).parents[1] / "examples"
SIDE = 96


@pytest.fixture(scope="module")
def inpainter(tiny_model_folder: Path) -> invertfill.Inpainter:
    return invertfill.load(tiny_model_folder)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    with Image.open(EXAMPLES / "landscape-sunset.png") as image:
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE)))


def disc(radius: float, soft: float = 0.0) -> np.ndarray:
    """(S, S) uint8: 0 within the radius, 255 outside, over that many pixels."""
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    return (((np.hypot(y, x) - radius) / max(soft, 1e-3)).clip(0, 1) * 255).round().astype(np.uint8)


def rgba(photo: np.ndarray, alpha: np.ndarray, mode: str = "RGBA") -> Image.Image:
    image = Image.fromarray(photo).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    return image


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("soft", [0, 1.5, 12])
@pytest.mark.parametrize("rest", [0, 3])
def test_nothing_in_or_beside_a_soft_hole_stays_see_through(
    inpainter: invertfill.Inpainter, photo: np.ndarray, mode: str, soft: float, rest: int
) -> None:
    """Erased wholly or nearly."""
    alpha = np.maximum(disc(14, soft), rest).astype(np.uint8)
    image = rgba(photo, alpha, mode)
    result = np.asarray(inpainter.fill(image))
    assert (result[..., -1] == 255).all()
    known = alpha == 255
    assert np.array_equal(result[known], np.asarray(image)[known])
    assert (result[alpha == rest] != np.asarray(image)[alpha == rest]).any()


def test_what_is_there_lies_over_the_fill(inpainter: invertfill.Inpainter, photo: np.ndarray) -> None:
    alpha = disc(14, 12)
    result, hard = (np.asarray(inpainter.fill(rgba(photo, a))).astype(float) for a in (alpha, alpha // 255 * 255))
    share = alpha[..., None] / 255
    ring = (alpha > ERASED) & (alpha < 255)
    expected = photo * share + hard[..., :3] * (1 - share)  # the same is unknown to the model
    assert np.abs(result[..., :3] - expected)[ring].max() <= 1


def test_partly_transparent_pixels_elsewhere_stay(inpainter: invertfill.Inpainter, photo: np.ndarray) -> None:
    alpha = disc(14, 2)
    alpha[:8, :8] = 100
    image = rgba(photo, alpha)
    result = np.asarray(inpainter.fill(image))
    assert np.array_equal(result[:8, :8], np.asarray(image)[:8, :8])


def test_a_wash_is_not_a_hole(inpainter: invertfill.Inpainter, photo: np.ndarray) -> None:
    """A picture that is half transparent all over, with a hole: it stays half transparent, the hole becomes so."""
    image = rgba(photo, np.minimum(disc(14), 128).astype(np.uint8))
    result = np.asarray(inpainter.fill(image))
    assert (result[..., 3] == 128).all() and np.array_equal(result[:20], np.asarray(image)[:20])


def test_without_an_erased_pixel_the_note_says_what_counts(inpainter: invertfill.Inpainter, photo: np.ndarray) -> None:
    for least in (ERASED + 1, 200):
        image = rgba(photo, np.maximum(disc(14), least).astype(np.uint8))
        result = inpainter.fill(image)
        assert np.array_equal(result, image)
        assert f"{least} " in result.notes[0] and f"{ERASED} " in result.notes[0]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("with_mask", [True, False])
def test_colour_under_erased_pixels_changes_nothing(
    inpainter: invertfill.Inpainter, photo: np.ndarray, mode: str, with_mask: bool
) -> None:
    alpha = disc(20)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[20:60, 60:80] = True  # across the outline of what was cut out
    results = []
    for colour in ((255, 0, 255), (0, 0, 0)):
        under = np.where((alpha == 0)[..., None], np.uint8(colour), photo)
        results.append(np.asarray(inpainter.fill(rgba(under, alpha, mode), mask if with_mask else None)))
    where = mask if with_mask else np.ones_like(mask)
    assert np.array_equal(results[0][where], results[1][where])
    if with_mask:  # where it is no hole it stays what it is
        assert (results[0][(alpha == 0) & ~mask][:, -1] == 0).all()


@pytest.mark.parametrize("model", ["patchmatch", "auto"])
def test_nor_to_patchmatch_and_the_selection(photo: np.ndarray, model: str) -> None:
    pytest.importorskip("patchmatch", reason="needs PyPatchMatch, which has wheels for common systems only")
    inpainter, alpha, mask = invertfill.load(model), disc(20), np.zeros((SIDE, SIDE), bool)
    mask[36:60, 68:88] = True
    pairs = [rgba(np.where((alpha == 0)[..., None], np.uint8(colour), photo), alpha) for colour in (0, 250)]
    one, other = (inpainter.fill(image, mask) for image in pairs)
    assert one.why == other.why and np.array_equal(np.asarray(one)[mask], np.asarray(other)[mask])


def test_with_a_mask_alpha_goes_on_as_around(inpainter: invertfill.Inpainter, photo: np.ndarray) -> None:
    """As of a normal map, whose alpha is a height."""
    alpha = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.uint8) // 2 + 60  # 60 to 155
    mask = np.zeros((SIDE, SIDE), bool)
    mask[30:60, 40:66] = True
    result = np.asarray(inpainter.fill(rgba(photo, alpha), mask))
    assert np.array_equal(result[~mask][:, 3], alpha[~mask])
    assert np.abs(result[mask][:, 3].astype(int) - alpha[mask]).max() <= 8


def test_an_outline_goes_on_as_an_edge() -> None:
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, 30:] = 255
    hole = np.zeros((64, 64), bool)
    hole[16:48, 16:48] = True
    found = continued(np.where(hole, 77, alpha).astype(np.uint8), hole)
    assert np.array_equal(found[~hole], alpha[~hole])
    assert (np.abs(found.astype(int) - alpha) > 20).sum() < 4 * 32  # of the 32 rows, at most four pixels each


@pytest.mark.parametrize("value", [0, 128, 255])
def test_alike_all_around_is_alike_inside(value: int) -> None:
    hole = np.zeros((40, 30), bool)
    hole[0:20, 5:25] = True
    assert (continued(np.where(hole, 9, value).astype(np.uint8), hole) == value).all()


def test_soft_holes_are_reached_round_corners_and_no_further() -> None:
    alpha = np.full((20, 20), 255, np.uint8)
    alpha[2, 2:15], alpha[2:15, 14], alpha[14, 5:15] = 100, 120, 90  # a path
    alpha[2, 2] = 0
    alpha[14, 0:3] = 100  # elsewhere
    hole = soft_hole(alpha)
    assert hole.sum() == 13 + 12 + 9 and not hole[14, :4].any()
    assert not soft_hole(np.full((3, 4), 200, np.uint8)).any() and soft_hole(np.zeros((3, 4), np.uint8)).all()
