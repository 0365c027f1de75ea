"""Any size -> the model's size and back: one square region around the holes.

The region may reach beyond the picture; what lies outside is hole to the model, so nothing is stretched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

CONTEXT = 2.0  # side of the region, in sides of the box around the holes ...
LEAST_CONTEXT = 1.25  # ... and at least this many where the picture is too short for that
# Models know the composition of whole pictures, so a picture that is nearly square is taken whole, ...
NEARLY_SQUARE = 1.25
WHOLE_UP_TO = 4.0  # ... while it isn't more than so many times the model's size, or the holes are large.


@dataclass(frozen=True)
class Region:
    """A square of the picture: top left corner (may be negative) and side, in pixels."""

    x: int
    y: int
    side: int


def find_region(hole: np.ndarray, size: int) -> Region:
    """The square that a fill of these holes looks at.

    Args:
        hole: (H, W) bool, True = hole, at least one True.
        size: the model's side.
    """
    height, width = hole.shape
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    box, short, long = max(bottom - top, right - left), min(width, height), max(width, height)
    if long <= NEARLY_SQUARE * short and (long <= WHOLE_UP_TO * size or box > long / 4):
        return Region((width - long) // 2, (height - long) // 2, long)
    # Inside the picture if that leaves some context, else beyond its short sides.
    side = int(min(max(min(max(CONTEXT * box, size), short), LEAST_CONTEXT * box), long))

    def start(low: int, high: int, length: int) -> int:
        """Centred on the holes, then moved inside the picture; centred on the picture where it is shorter."""
        if side >= length:
            return (length - side) // 2
        return int(np.clip((low + high - side) // 2, 0, length - side))

    return Region(start(left, right, width), start(top, bottom, height), side)


def cut(rgb: np.ndarray, hole: np.ndarray, region: Region, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What the model sees of a region.

    Args:
        rgb: (H, W, 3) uint8.
        hole: (H, W) bool.
        size: the model's side.

    Returns:
        image (3, size, size) float32 in [-1, 1], 0 in the hole, and mask (1, size, size) float32, 1 = hole. Only known
        pixels take part in the averages, so the hole's old content doesn't bleed into its surroundings.
    """
    side, (height, width) = region.side, hole.shape
    known = np.zeros((side, side), np.float32)
    colour = np.zeros((side, side, 3), np.float32)
    y0, x0 = max(region.y, 0), max(region.x, 0)
    y1, x1 = min(region.y + side, height), min(region.x + side, width)
    inside = (slice(y0 - region.y, y1 - region.y), slice(x0 - region.x, x1 - region.x))
    known[inside] = ~hole[y0:y1, x0:x1]
    colour[inside] = rgb[y0:y1, x0:x1]
    colour *= known[..., None]
    if side != size:
        known = _resize(known, size)
        colour = np.stack([_resize(channel, size) for channel in np.moveaxis(colour, 2, 0)], 2)
    visible = known >= 0.5
    image = np.where(visible[..., None], colour / np.maximum(known, 0.5)[..., None] / 127.5 - 1, 0)
    return image.transpose(2, 0, 1).clip(-1, 1).astype(np.float32), (~visible)[None].astype(np.float32)


def put_back(rgb: np.ndarray, hole: np.ndarray, region: Region, output: np.ndarray) -> np.ndarray:
    """The picture with its hole pixels taken from the model's output.

    Args:
        rgb: (H, W, 3) uint8.
        hole: (H, W) bool.
        output: (3, size, size) float32, about [-1, 1].

    Returns:
        A new (H, W, 3) uint8; pixels outside the hole are those of `rgb`.
    """
    height, width = hole.shape
    patch = Image.fromarray(((output.transpose(1, 2, 0).clip(-1, 1) + 1) * 127.5).round().astype(np.uint8))
    if patch.width != region.side:
        patch = patch.resize((region.side, region.side), Image.Resampling.LANCZOS)
    y0, x0 = max(region.y, 0), max(region.x, 0)
    y1, x1 = min(region.y + region.side, height), min(region.x + region.side, width)
    inside = np.asarray(patch)[y0 - region.y : y1 - region.y, x0 - region.x : x1 - region.x]
    result = rgb.copy()
    result[y0:y1, x0:x1][hole[y0:y1, x0:x1]] = inside[hole[y0:y1, x0:x1]]
    return result


def _resize(channel: np.ndarray, size: int) -> np.ndarray:
    """(H, W) float32 -> (size, size); antialiased, with non-negative weights so that averages stay averages."""
    return np.asarray(Image.fromarray(channel).resize((size, size), Image.Resampling.HAMMING))
