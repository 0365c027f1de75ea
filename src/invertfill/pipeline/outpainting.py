"""A larger canvas around a picture: how much on each side, in which steps, and what of it is hole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from invertfill.errors import InputError
from invertfill.imaging.announced import panorama_of_size
from invertfill.imaging.depth import SAMPLES, is_beside
from invertfill.imaging.metadata import moved_georeference

STEP = 0.5  # a step adds at most this share of the picture's extent to a side, so that half of what is seen is known
LARGEST = 100_000_000  # pixels of a result


@dataclass(frozen=True)
class Margins:
    """Pixels to add on each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __post_init__(self) -> None:
        if min(self.left, self.top, self.right, self.bottom) < 0:
            raise InputError(f"margins {self}: accepted: 0 or more pixels on each side")

    @property
    def any(self) -> bool:
        return bool(self.left or self.top or self.right or self.bottom)

    def steps(self, width: int, height: int) -> list[Margins]:
        """Smaller margins that add up to these, for a picture of that size, each over what the last has made."""
        left, top, right, bottom = self.left, self.top, self.right, self.bottom
        found = []
        while left or top or right or bottom:
            wide, high = max(1, int(STEP * width)), max(1, int(STEP * height))
            if (left or right) and (top or bottom):  # one hole around corners, which is seen as a whole
                (west, east), (north, south) = _split(left, right, wide), _split(top, bottom, high)
            else:  # two sides are holes of their own
                west, east, north, south = min(left, wide), min(right, wide), min(top, high), min(bottom, high)
            found.append(Margins(west, north, east, south))
            left, right, top, bottom = left - west, right - east, top - north, bottom - south
            width, height = width + west + east, height + north + south
        return found


def _split(before: int, after: int, most: int) -> tuple[int, int]:
    """Of what is wanted on two sides, at most `most` together, in proportion."""
    wanted = before + after
    if wanted <= most:
        return before, after
    first = round(most * before / wanted)
    return first, most - first


def parse_margins(
    size: tuple[int, int],
    left: int | str,
    top: int | str,
    right: int | str,
    bottom: int | str,
    aspect: str | None = None,
) -> Margins:
    """Margins from pixels (120 or "120") or shares of the picture's side along the axis ("25%"), or else by an aspect.

    Raises:
        InputError: anything else, nothing or both, or a result of more than ``LARGEST`` pixels.
    """

    def pixels(name: str, given: int | str, side: int) -> int:
        text = str(given)
        try:
            value = float(text[:-1]) * side / 100 if text.endswith("%") else int(text)
        except ValueError:
            value = -1
        if not 0 <= value <= LARGEST:
            raise InputError(f"{name} {given!r}; accepted: pixels such as 120, or a share such as 25%")
        return round(value)

    width, height = size
    margins = Margins(
        pixels("left", left, width),
        pixels("top", top, height),
        pixels("right", right, width),
        pixels("bottom", bottom, height),
    )
    if margins.any and aspect:
        raise InputError("margins together with aspect; accepted: one or the other")
    if not margins.any and not aspect:
        raise InputError("nothing to add; accepted: left, right, top, bottom or aspect")
    return margins_for_aspect(size, aspect) if aspect else _not_too_large(margins, size)


def margins_for_aspect(size: tuple[int, int], aspect: str) -> Margins:
    """Equal margins on two sides that give a picture the aspect ratio "W:H".

    Raises:
        InputError: not a ratio of two positive numbers, or a result of more than ``LARGEST`` pixels.
    """
    across, _, down = aspect.partition(":")
    try:
        ratio = float(across) / float(down)
    except (ValueError, ZeroDivisionError):
        ratio = 0.0
    if not 0 < ratio < float("inf"):
        raise InputError(f"aspect {aspect!r}; accepted: a ratio such as 16:9")
    width, height = size
    if (wide := round(height * ratio)) > width:
        more = wide - width
        return _not_too_large(Margins(left=more // 2, right=more - more // 2), size)
    more = max(0, round(width / ratio) - height)
    return _not_too_large(Margins(top=more // 2, bottom=more - more // 2), size)


def extend(picture: Image.Image, margins: Margins) -> tuple[Image.Image, np.ndarray]:
    """The picture on a larger canvas of its own mode, and where the canvas is hole, (H, W) bool."""
    width = picture.width + margins.left + margins.right
    height = picture.height + margins.top + margins.bottom
    canvas = Image.new(picture.mode, (width, height))
    if picture.palette:
        canvas.putpalette(picture.palette.tobytes(), picture.palette.mode)
    canvas.paste(picture, (margins.left, margins.top))
    canvas.info = dict(picture.info)
    if exif := picture.info.get("exif"):
        canvas.info["exif"] = moved_georeference(exif, margins.left, margins.top)
    if xmp := picture.info.get("xmp"):
        canvas.info["xmp"] = panorama_of_size(
            xmp, picture.size, margins.left, margins.top, margins.right, margins.bottom
        )
    if is_beside(picture):
        samples = picture.info[SAMPLES]
        around = (margins.top, margins.bottom), (margins.left, margins.right), (0, 0)
        canvas.info[SAMPLES] = np.pad(samples, around[: samples.ndim])
    hole = np.ones((height, width), bool)
    hole[margins.top : margins.top + picture.height, margins.left : margins.left + picture.width] = False
    return canvas, hole


def _not_too_large(margins: Margins, size: tuple[int, int]) -> Margins:
    width, height = size[0] + margins.left + margins.right, size[1] + margins.top + margins.bottom
    if width * height > LARGEST:
        raise InputError(f"a picture of {width}x{height}; accepted: up to {LARGEST // 10**6} million pixels")
    return margins
