"""What methods share that run an engine of `invertfill.engines`, or search its codes: pictures in and out."""

from __future__ import annotations

import numpy as np

from invertfill.engines.base import CropRequest, Engine, latent_of


class Drawing:
    """See `invertfill.baselines.Filler`: what an engine draws, as it is.

    Args:
        engine: from `invertfill.engines.open_engine`.
        identity, size: of the filler.
    """

    def __init__(self, engine: Engine, identity: str, size: int | None) -> None:
        self._engine, self.identity, self.size = engine, identity, size

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        request = CropRequest(*as_input(image, hole), latent_of(self._engine))
        return as_picture(self._engine.fill(request)[0])


def as_input(image: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 and (H, W) bool -> (1, 3, H, W) float32 in [-1, 1], 0 in the hole, and (1, 1, H, W), 1 = hole."""
    picture = image.transpose(2, 0, 1)[None] / np.float32(127.5) - 1
    return np.where(hole, np.float32(0), picture), hole[None, None].astype(np.float32)


def as_picture(output: np.ndarray) -> np.ndarray:
    """(3, H, W), about [-1, 1] -> (H, W, 3) uint8."""
    return ((output.transpose(1, 2, 0).clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
