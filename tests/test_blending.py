"""Border matching: an invariant, a formula and the agreement of its two forms."""

from __future__ import annotations

import numpy as np
import pytest

from invertfill.pipeline.blending import match_border, match_rim, spread


@pytest.fixture
def picture() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (3, 32, 32)).astype(np.float32)
    output = rng.uniform(-1, 1, (3, 32, 32)).astype(np.float32)
    mask = np.zeros((1, 32, 32), np.float32)
    mask[:, 5:20, 8:32] = 1
    return output, image, mask


def test_known_pixels_are_the_image(picture: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    output, image, mask = picture
    matched = match_border(output, image, mask)
    np.testing.assert_allclose(matched * (1 - mask), image * (1 - mask), atol=1e-6)


def test_constant_colour_error_disappears(picture: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, image, mask = picture
    shift = np.array([0.3, -0.2, 0.1], np.float32)[:, None, None]
    np.testing.assert_allclose(match_border(image + shift, image, mask), image, atol=1e-5)


def test_spread_stays_within_what_is_known() -> None:
    values, weight = np.zeros((1, 16, 16), np.float32), np.zeros((1, 16, 16), np.float32)
    values[0, 0, 0], values[0, 15, 15] = -1, 1
    weight[0, 0, 0] = weight[0, 15, 15] = 1
    filled = spread(values, weight)
    assert filled[0, 0, 0] == -1 and filled[0, 15, 15] == 1
    assert filled.min() >= -1 and filled.max() <= 1
    assert filled[0, 2, 2] < filled[0, 13, 13]


def test_torch_form_agrees(picture: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    from invertfill.losses.blending import match_border as match_border_torch

    output, image, mask = picture
    found = match_border_torch(*(torch.from_numpy(x[None]) for x in picture))[0].numpy()
    np.testing.assert_allclose(found, match_border(output, image, mask), atol=1e-5)


def test_the_rim_fades_from_the_membrane_to_the_output(picture: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    output, image, mask = picture
    rim, membrane = match_rim(output, image, mask, reach=4), match_border(output, image, mask)
    np.testing.assert_allclose(rim * (1 - mask), image * (1 - mask), atol=1e-6)
    share = (rim - output)[:, 12] / (membrane - output)[:, 12]  # along a row, from the hole's left side at column 8
    np.testing.assert_allclose(share[:, 8:14], np.tile([0.8, 0.6, 0.4, 0.2, 0, 0], (3, 1)), atol=1e-4)
