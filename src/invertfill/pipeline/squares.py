"""Turned squares of a picture: what a model sees of one, and what it draws there, back in the picture.

Points are complex numbers, x + iy with y down, so that one product turns and scales.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from invertfill.pipeline.crops import Crop, cut

FINER = 2  # a large square is brought to this many times the size asked for, then turned


@dataclass(frozen=True)
class Square:
    """A square, turned. Its own coordinates go from -1 - 1j at its top left to 1 + 1j: u is at centre + half u.

    Attributes:
        centre: in pixels of the picture.
        half: from there to the middle of its right side.
    """

    centre: complex
    half: complex

    @classmethod
    def upright(cls, crop: Crop) -> Square:
        half = crop.side / 2
        return cls(complex(crop.x + half, crop.y + half), complex(half))

    @property
    def side(self) -> float:
        """In pixels."""
        return 2 * abs(self.half)

    @property
    def turn(self) -> float:
        """In degrees, clockwise as one sees it."""
        return math.degrees(math.atan2(self.half.imag, self.half.real))

    @property
    def around(self) -> Crop:
        """The least upright square that holds it."""
        reach = abs(self.half.real) + abs(self.half.imag)
        x, y = (math.floor(middle - reach + 1e-6) for middle in (self.centre.real, self.centre.imag))
        right, bottom = (math.ceil(middle + reach - 1e-6) for middle in (self.centre.real, self.centre.imag))
        return Crop(x, y, max(right - x, bottom - y))

    def at(self, points: np.ndarray) -> np.ndarray:
        """Points in its own coordinates, in the picture's."""
        return self.centre + self.half * points

    def moved(self, by: complex) -> Square:
        return Square(self.centre + by, self.half)

    def inner(self, square: Square) -> Square:
        """A square that is given in this one's coordinates, in the picture's."""
        return Square(self.centre + self.half * square.centre, self.half * square.half)

    def own(self, shape: tuple[int, ...]) -> np.ndarray:
        """Of each pixel's middle in a picture of (h, w) its own coordinates, (h, w) complex."""
        across, down = np.arange(shape[1]) + 0.5, np.arange(shape[0])[:, None] + 0.5
        return np.asarray((across + 1j * down - self.centre) / self.half)

    def cut(self, rgb: np.ndarray, hole: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """What a model sees of it: arguments and result as of `crops.cut`."""
        around = self.around
        if self.half == around.side / 2:
            return cut(rgb, hole, around, size)
        fine = min(around.side, round(FINER * size * around.side / self.side))
        image, mask = cut(rgb, hole, around, fine)
        scale = fine / around.side
        step = self.half * 2 / size * scale
        start = (self.centre - self.half * (1 + 1j) - complex(around.x, around.y)) * scale
        known = _affine((1 - mask)[0], (size, size), step, start)
        visible = known >= 0.5
        colours = [_affine(channel, (size, size), step, start) for channel in image * (1 - mask)]
        seen = np.stack(colours) / np.maximum(known, 0.5) * visible
        return seen.clip(-1, 1).astype(np.float32), (~visible)[None].astype(np.float32)

    def paint(self, drawn: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """A picture (s, s, C) float32 of the square, where it lies in a picture of (h, w): (h, w, C), of no account
        outside the square. To be antialiased, s is to be about its side."""
        size = len(drawn)
        step = size / 2 / self.half
        start = complex(size, size) / 2 - self.centre * step
        padded = np.pad(drawn, ((1, 1), (1, 1), (0, 0)), "edge")  # Pillow leaves out what is beyond the last middles
        channels = np.moveaxis(padded, 2, 0)
        turned = [_affine(channel, (shape[1], shape[0]), step, start + 1 + 1j) for channel in channels]
        return np.stack(turned, 2)


@dataclass(frozen=True)
class Turned:
    """The pixels of a turned square, upright, at about the picture's own scale.

    Attributes:
        rgb: (n, n, 1 or 3) float32, 0 to 255.
        hole: (n, n) bool, what is unknown of it.
    """

    square: Square
    rgb: np.ndarray
    hole: np.ndarray

    @classmethod
    def of(cls, square: Square, rgb: np.ndarray, hole: np.ndarray) -> Turned:
        """Of a picture (H, W, 1 or 3) with (H, W) bool unknown."""
        image, mask = square.cut(rgb, hole, round(square.side))
        return cls(square, (image[: rgb.shape[2]].transpose(1, 2, 0) + 1) * np.float32(127.5), mask[0] > 0)

    def put_back(self, rgb: np.ndarray, hole: np.ndarray, filled: np.ndarray) -> np.ndarray:
        """The picture with its hole (H, W) bool from the filled square (n, n, 1 or 3)."""
        painted = self.square.paint(filled, rgb.shape).clip(0, 255)
        return np.where(hole[..., None], painted.round() if rgb.dtype == np.uint8 else painted, rgb).astype(rgb.dtype)


def _affine(channel: np.ndarray, size: tuple[int, int], step: complex, start: complex) -> np.ndarray:
    """(h, w) -> (size): the point (x, y) shows what is at start + step (x + iy)."""
    data = (step.real, -step.imag, start.real, step.imag, step.real, start.imag)
    picture = Image.fromarray(np.ascontiguousarray(channel, np.float32))
    return np.asarray(picture.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC))
