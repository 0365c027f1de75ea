"""PatchMatch: the hole from patches of the known part of the picture (Barnes et al. 2009), by PyPatchMatch."""

from __future__ import annotations

import threading

import numpy as np
import patchmatch

from invertfill.errors import InputError
from invertfill.registry import PATCHMATCH, PatchMatch

_seeded = threading.Lock()  # the library has one seed for the whole process


class PatchMatchEngine:
    """See `invertfill.engines.Engine`. The latent is one number, the seed of the search; there is no generator."""

    name = "patchmatch"

    def __init__(self, model: PatchMatch) -> None:
        self.size = model.size
        self.patch = model.patch
        self.w_mean = np.zeros(1, np.float32)
        self.z_dim, self.guesses_z, self.blend = 1, False, "membrane"
        self.noise: np.ndarray | None = None

    def fill(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        latent: np.ndarray,
        quality: str = "fast",
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        filled = []
        for picture, hole, w in zip(image, mask, latent, strict=True):
            pixels = ((picture.transpose(1, 2, 0) + 1) * 127.5).round().astype(np.uint8)
            with _seeded:
                patchmatch.set_random_seed(int(w.astype(np.float32).view(np.uint32)[0]))
                found = patchmatch.inpaint(pixels, hole[0] > 0, patch_size=self.patch)
            filled.append(found.transpose(2, 0, 1) / np.float32(127.5) - 1)
        return np.stack(filled)

    def mapping(self, z: np.ndarray) -> np.ndarray:
        return z

    def synthesis(self, w: np.ndarray) -> np.ndarray:
        accepted = "a picture of which something is known, or a learned model"
        raise InputError(f"{PATCHMATCH}: it repeats what it sees and draws nothing of its own; accepted: {accepted}")
