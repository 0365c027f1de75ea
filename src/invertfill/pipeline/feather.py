"""A fill that fades into the known pixels around its hole, where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from invertfill.imaging.depth import is_beside, part_of, put_part
from invertfill.imaging.distance import fading, grow
from invertfill.pipeline.crops import Box, bounds


@dataclass(frozen=True)
class Feather:
    """What was known around a hole, and how much of it stays there.

    Attributes:
        box: around hole and ring, in the picture.
        known: its pixels there before it was filled, (h, w) or (h, w, C), of its own type.
        weight: (h, w) float32, of the fill: 1 in the hole, 0 outside the ring.
    """

    box: Box
    known: np.ndarray
    weight: np.ndarray

    @classmethod
    def around(cls, picture: Image.Image, hole: np.ndarray, pixels: int) -> tuple[np.ndarray, Feather]:
        """The hole (H, W) bool, not empty, with the ring in which a fill is to fade; and what fades it."""
        wider = grow(hole, pixels)
        left, top, right, bottom = box = bounds(wider)
        known = pixels_in(picture, box).copy()
        return wider, cls(box, known, fading(hole[top:bottom, left:right], pixels) * wider[top:bottom, left:right])

    def fade(self, picture: Image.Image) -> None:
        """Blend the ring of a filled picture, in place, in its own colours; elsewhere nothing changes."""
        ring = (self.weight > 0) & (self.weight < 1)
        pixels = pixels_in(picture, self.box)
        after = pixels if is_beside(picture) else pixels.copy()
        after[ring] = _mixed(self.known[ring], after[ring], self.weight[ring], picture.mode)
        put_part(picture, after, self.box)


def pixels_in(picture: Image.Image, box: Box) -> np.ndarray:
    """What lies in a box, not to be written to unless it lies beside the picture."""
    samples = part_of(picture, box)
    return np.asarray(picture.crop(box)) if samples is None else samples


def _mixed(old: np.ndarray, new: np.ndarray, weight: np.ndarray, mode: str) -> np.ndarray:
    """(N,) or (N, C) of any type: `weight` (N,) of new, the rest of old. What is transparent has no say in colours."""
    share = weight[:, None] if old.ndim == 2 else weight
    if mode in ("LA", "RGBA"):
        opaque = new[:, -1:] * share
        total = opaque + old[:, -1:] * (1 - share)
        colour = np.divide(opaque, total, out=np.broadcast_to(share, total.shape).copy(), where=total > 0)
        share = np.concatenate([np.repeat(colour, old.shape[1] - 1, 1), share], 1)
    mixed = old + share * (new.astype(np.float64) - old)
    return (mixed if np.issubdtype(old.dtype, np.floating) else np.rint(mixed)).astype(old.dtype)
