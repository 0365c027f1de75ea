"""A fill that fades into the known pixels around its hole, where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from invertfill.imaging.distance import fading, grow
from invertfill.imaging.sixteen_bit import LOW, low_of
from invertfill.pipeline.crops import Box, bounds


@dataclass(frozen=True)
class Feather:
    """What was known around a hole, and how much of it stays there.

    Attributes:
        box: around hole and ring, in the picture.
        known: the picture in the box, before it was filled, with its low bytes in `info`.
        weight: (h, w) float32, of the fill: 1 in the hole, 0 outside the ring.
    """

    box: Box
    known: Image.Image
    weight: np.ndarray

    @classmethod
    def around(cls, picture: Image.Image, hole: np.ndarray, pixels: int) -> tuple[np.ndarray, Feather]:
        """The hole (H, W) bool, not empty, with the ring in which a fill is to fade; and what fades it."""
        wider = grow(hole, pixels)
        left, top, right, bottom = box = bounds(wider)
        known = picture.crop(box)
        if (low := low_of(picture)) is not None:
            known.info[LOW] = low[top:bottom, left:right].copy()
        return wider, cls(box, known, fading(hole[top:bottom, left:right], pixels) * wider[top:bottom, left:right])

    def fade(self, picture: Image.Image) -> None:
        """Blend the ring of a filled picture, in place, in its own colours; elsewhere nothing changes."""
        left, top, right, bottom = self.box
        ring = (self.weight > 0) & (self.weight < 1)
        weight = self.weight[ring]
        part = picture.crop(self.box)
        before, after = np.asarray(self.known), np.array(part)
        low, was_low = low_of(picture), low_of(self.known)
        if low is not None and was_low is not None:  # high and low bytes are one number
            part_low = low[top:bottom, left:right]
            old = before[ring].astype(np.uint16) * 256 + was_low[ring]
            new = _mixed(old, after[ring].astype(np.uint16) * 256 + part_low[ring], weight, picture.mode)
            after[ring], part_low[ring] = new >> 8, new & 255
        else:
            after[ring] = _mixed(before[ring], after[ring], weight, picture.mode)
        picture.paste(Image.fromarray(after, "CMYK") if picture.mode == "CMYK" else Image.fromarray(after), self.box)


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
