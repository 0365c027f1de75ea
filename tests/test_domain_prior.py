"""The Gaussian over small pictures, against SciPy's density and against what ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from invertfill.errors import InputError
from invertfill.imaging.reading import open_image
from invertfill.pipeline.domain_prior import NOISE, SIZE, DomainPrior
from invertfill.registry import DOMAIN, WEIGHTS

EXAMPLES = Path(__file__).parent.parent / "examples"


def random_domain(seed: int = 0, rank: int = 5) -> DomainPrior:
    rng = np.random.default_rng(seed)
    return DomainPrior(
        rng.uniform(-0.5, 0.5, 3 * SIZE**2).astype(np.float32),
        rng.normal(0, 0.3, (3 * SIZE**2, rank)).astype(np.float32),
    )


def test_log_likelihood_is_the_marginal_of_what_is_known() -> None:
    stats = pytest.importorskip("scipy.stats")
    domain, rng = random_domain(), np.random.default_rng(1)
    seen = rng.uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    masks = np.zeros((2, 1, 32, 32), np.float32)
    masks[0, :, 4:20, :] = 1  # whole cells of two pixels
    masks[1, :, :, 6:] = 1
    covariance = domain.factor @ domain.factor.T + NOISE * np.eye(3 * SIZE**2)
    expected = []
    for picture, mask in zip(seen, masks, strict=True):
        cells = picture.reshape(3, 16, 2, 16, 2).mean((2, 4)).ravel()
        known = np.tile(mask[0, ::2, ::2] == 0, (3, 1, 1)).ravel()
        density = stats.multivariate_normal(domain.mean[known], covariance[np.ix_(known, known)])
        expected.append(density.logpdf(cells[known]) / known.sum())
    assert domain.log_likelihood(seen, masks) == pytest.approx(np.mean(expected), rel=1e-5)
    hidden = np.where(masks > 0, 5, seen).astype(np.float32)
    assert domain.log_likelihood(hidden, masks) == domain.log_likelihood(seen, masks)


def test_of_pictures_has_their_mean_and_spread_and_their_mirror_images() -> None:
    rng = np.random.default_rng(2)
    parts = rng.normal(0, 1, (2, 3 * SIZE**2)) / 2
    weights = rng.normal(0, 1, (300, 2))
    pictures = (weights @ parts).reshape(-1, 3, SIZE, SIZE).astype(np.float32)
    domain = DomainPrior.of(pictures)
    flat = np.concatenate([pictures, pictures[..., ::-1]]).reshape(600, -1)
    np.testing.assert_allclose(domain.mean, flat.mean(0), atol=1e-5)
    # Of rank 4, so all directions are kept, each with the noise that is added back taken out.
    measured, found = np.cov(flat.T, bias=True), domain.factor @ domain.factor.T
    along = np.linalg.eigh(measured)[1][:, -4:]
    np.testing.assert_allclose(along.T @ (measured - found) @ along, NOISE * np.eye(4), atol=1e-3)


def test_where_no_cell_is_mostly_known_what_is_known_counts() -> None:
    domain, masks = random_domain(), np.ones((1, 1, 64, 64), np.float32)
    masks[:, :, ::4, ::4] = 0  # a sixteenth of each cell
    seen = np.zeros((1, 3, 64, 64), np.float32)
    assert np.isfinite(domain.log_likelihood(seen, masks))


def test_save_and_load(tmp_path: Path) -> None:
    domain = random_domain()
    domain.save(tmp_path / "domain.npz")
    again = DomainPrior.load(tmp_path / "domain.npz")
    np.testing.assert_allclose(again.mean, domain.mean, atol=1e-3)
    np.testing.assert_allclose(again.factor, domain.factor, atol=1e-3)
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    np.savez(tmp_path / "other.npz", mean=np.zeros(5), factor=np.zeros((5, 2)))
    np.savez(tmp_path / "part.npz", mean=np.zeros(5))
    for name in ("bad", "other", "part", "none"):
        with pytest.raises(InputError, match=f"{name}.npz"):
            DomainPrior.load(tmp_path / f"{name}.npz")


@pytest.mark.parametrize("picture", sorted(EXAMPLES.glob("*-*.png")), ids=lambda path: path.stem)
def test_shipped_domains_tell_the_examples_apart(picture: Path) -> None:
    """With every mask of the demo: a portrait must never be filled as a landscape."""
    domains = {name: DomainPrior.load(WEIGHTS / name / DOMAIN) for name in ("faces-256", "scenery-256")}
    expected = "faces-256" if picture.stem.startswith("portrait") else "scenery-256"
    pixels = np.asarray(open_image(picture).convert("RGB").resize((256, 256)), np.float32)
    seen = pixels.transpose(2, 0, 1)[None] / 127.5 - 1
    for path in (EXAMPLES / "masks").glob(f"{picture.stem}-*.png"):
        masks = (np.asarray(open_image(path).convert("L").resize((256, 256))) > 127)[None, None].astype(np.float32)
        fits = {name: domain.log_likelihood(seen, masks) for name, domain in domains.items()}
        assert max(fits, key=lambda name: fits[name]) == expected, path.stem
