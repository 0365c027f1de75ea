"""What pictures of a model's domain look like from far away: a Gaussian over them at 16 px.

A portrait has its face in the middle, a landscape its sky at the top. At 16 px that is nearly Gaussian (eigenfaces:
Turk and Pentland 1991; probabilistic PCA: Tipping and Bishop 1999), and what is known of a picture with holes has a
likelihood under each model's Gaussian that says which of them it belongs to, however well the models draw.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from invertfill.errors import InputError
from invertfill.imaging.resize import resize

SIZE = 16  # pixels
RANK = 64  # directions beside the noise
NOISE = 0.1  # variance in every direction: whatever the pictures measured don't show
TINY = 1e-6


@dataclass(frozen=True)
class DomainPrior:
    """A Gaussian over pictures (3, 16, 16) in [-1, 1], laid out flat: covariance = factor factor^T + ``NOISE``.

    Attributes:
        mean: (768,) float32.
        factor: (768, R) float32.
    """

    mean: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, pictures: Iterable[np.ndarray]) -> DomainPrior:
        """Measure pictures and their mirror images.

        Args:
            pictures: (3, s, s) float32 in [-1, 1] each, s a power of two.
        """
        small = np.stack([resize(picture[None], SIZE)[0] for picture in pictures])
        flat = np.concatenate([small, small[..., ::-1]]).reshape(2 * len(small), -1)
        mean = flat.mean(0)
        _, scale, directions = np.linalg.svd((flat - mean) / np.sqrt(len(flat)), full_matrices=False)
        kept = np.sqrt(np.maximum(scale[:RANK] ** 2 - NOISE, 0))
        return cls(mean.astype(np.float32), (directions[:RANK].T * kept).astype(np.float32))

    @classmethod
    def load(cls, path: Path) -> DomainPrior:
        """Read what `save` wrote.

        Raises:
            InputError: no such file, or another content.
        """
        try:
            with np.load(path) as stored:  # no pickles: NumPy's default
                mean, factor = (stored[name].astype(np.float32) for name in ("mean", "factor"))
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path}: not a domain's mean and factor ({error})") from None
        if mean.shape != (3 * SIZE**2,) or factor.ndim != 2 or len(factor) != len(mean):
            raise InputError(f"{path}: shapes {mean.shape} and {factor.shape}; accepted: (768,) and (768, R)")
        return cls(mean, factor)

    def save(self, path: Path) -> None:
        """Write an .npz, in half precision."""
        np.savez(path, mean=self.mean.astype(np.float16), factor=self.factor.astype(np.float16))

    def log_likelihood(self, seen: np.ndarray, masks: np.ndarray) -> float:
        """Of what is known of pictures, per value known.

        Args:
            seen: (N, 3, s, s) float32 in [-1, 1], s a power of two.
            masks: (N, 1, s, s) float32, 1 = hole; some of each picture is known.
        """
        known = resize(1 - masks, SIZE)
        small = resize(seen * (1 - masks), SIZE) / np.maximum(known, TINY)
        # A cell counts where most of it is known, or, where none is, where anything is.
        counts = known >= np.minimum(0.5, known.max((1, 2, 3), keepdims=True))
        each = [self._log_density(x.ravel(), np.repeat(k, 3, 0).ravel()) for x, k in zip(small, counts, strict=True)]
        return float(np.mean(each))

    def _log_density(self, x: np.ndarray, known: np.ndarray) -> float:
        """Mean over the known entries of x (768,), the others integrated out (matrix inversion lemma)."""
        apart, factor = (x - self.mean)[known], self.factor[known].astype(np.float64)
        # No BLAS: its threads would still look for work when the model begins, and cost it a third.
        inner = np.eye(factor.shape[1]) + np.einsum("ki,kj->ij", factor, factor) / NOISE
        along = np.einsum("ki,k->i", factor, apart) / NOISE
        squared = apart @ apart / NOISE - along @ np.linalg.solve(inner, along)
        log_det = np.linalg.slogdet(inner)[1] + len(apart) * np.log(NOISE)
        return float(-0.5 * (squared + log_det + len(apart) * np.log(2 * np.pi)) / len(apart))
