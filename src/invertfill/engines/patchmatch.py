"""PatchMatch: the hole from patches of the known part of the picture (Barnes et al. 2009), by PyPatchMatch."""

from __future__ import annotations

import threading

import numpy as np
import patchmatch

from invertfill.engines.base import CropRequest
from invertfill.errors import InputError
from invertfill.registry import PATCH, PATCHMATCH, ModelInfo

_seeded = threading.Lock()  # the library has one seed for the whole process


class PatchMatchEngine:
    """See `invertfill.engines.base.Engine`. The latent is one number, the seed of the search; there is no generator."""

    name = "patchmatch"
    device = "cpu"

    def __init__(self, model: ModelInfo) -> None:
        self.model = model

    def fill(self, request: CropRequest) -> np.ndarray:
        filled = []
        for picture, hole, w in zip(request.image, request.mask, request.latent, strict=True):
            pixels = ((picture.transpose(1, 2, 0) + 1) * 127.5).round().astype(np.uint8)
            with _seeded:
                patchmatch.set_random_seed(int(w.astype(np.float32).view(np.uint32)[0]))
                found = patchmatch.inpaint(pixels, hole[0] > 0, patch_size=PATCH)
            filled.append(found.transpose(2, 0, 1) / np.float32(127.5) - 1)
        return np.stack(filled)

    def mapping(self, z: np.ndarray) -> np.ndarray:
        return z

    def synthesis(self, w: np.ndarray) -> np.ndarray:
        accepted = "a picture with known pixels, or a learned model"
        raise InputError(f"{PATCHMATCH}: it repeats what it sees and draws nothing of its own; accepted: {accepted}")
