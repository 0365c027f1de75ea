"""Any size -> the model's size and back: square regions around the holes, so that the cost follows these.

A region may reach beyond the picture; what lies outside is hole to the model, so nothing is stretched. Holes that would
see each other share a region. Thin ones (wires, lettering, dust, frames) are cut into many small squares along the hole
instead (pipeline/thin.py); these overlap, and each fills its own part.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image

CONTEXT = 2.0  # side of the region, in sides of the box around the holes, where none is asked for ...
LEAST_CONTEXT = 1.25  # ... and at least this many where the picture is too short for that
# Models know the composition of whole pictures, so a picture that is nearly square is taken whole, ...
NEARLY_SQUARE = 1.25
WHOLE_UP_TO = 4.0  # ... while it isn't more than this many times the model's size, or the holes are large.
LINES = 256  # of the picture are brought to the model's size at a time, so that memory stays small
GRID = 128  # holes are told apart on a grid with this many cells along the longer side

Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Crop:
    """A square of the picture: top left corner (may be negative) and side, in pixels.

    `part` is its weight among squares for each pixel of it in the picture, (h, w) in [0, 1]: 0 where it isn't hole, or
    others fill it. None: it fills all of the hole there.
    """

    x: int
    y: int
    side: int
    part: np.ndarray | None = field(default=None, compare=False, repr=False)

    def inside(self, width: int, height: int) -> Box:
        """The part that lies in a picture."""
        return max(self.x, 0), max(self.y, 0), min(self.x + self.side, width), min(self.y + self.side, height)


def find_compact_crops(hole: np.ndarray, size: int, context: float | None = None) -> list[Crop]:
    """Squares for holes that are about as wide as long; none where there is no hole.

    Args:
        hole: (H, W) bool, True = hole.
        size: the model's side.
        context: side of a region in sides of the box around its holes, at least 1, within the picture. None:
            ``CONTEXT``, not below the model's size, and the whole picture where a model that knows whole ones is
            served by that.
    """
    height, width = hole.shape
    boxes = _boxes(hole)
    while True:
        regions = [_region(box, width, height, size, context) for box in boxes]
        meeting = next(
            (
                (i, j)
                for i, region in enumerate(regions)
                for j, other in enumerate(boxes)
                if i != j and _overlap(region.inside(width, height), other)
            ),
            None,
        )
        if meeting is None:
            return regions
        one, other = (boxes[k] for k in meeting)
        boxes = [box for k, box in enumerate(boxes) if k not in meeting]
        boxes.append((*map(min, one[:2], other[:2]), *map(max, one[2:], other[2:])))  # type: ignore[arg-type]


def is_nearly_square(width: int, height: int) -> bool:
    return max(width, height) <= NEARLY_SQUARE * min(width, height)


def bounds(hole: np.ndarray) -> Box:
    """The least box that holds the holes of (H, W) bool; there has to be one."""
    down, across = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1


def _boxes(hole: np.ndarray) -> list[Box]:
    """Around each connected group of grid cells that hold hole pixels, tight."""
    cell = -(-max(hole.shape) // GRID)
    boxes: list[Box] = []
    for y, x in groups_of(on_grid(hole, cell)[0]):
        y0, x0 = int(y.min()) * cell, int(x.min()) * cell
        left, top, right, bottom = bounds(hole[y0 : (y.max() + 1) * cell, x0 : (x.max() + 1) * cell])
        boxes.append((x0 + left, y0 + top, x0 + right, y0 + bottom))
    return sorted(boxes)


def on_grid(hole: np.ndarray, cell: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool -> of each square cell of that many pixels: whether there is hole in it, and whether nothing else."""
    height, width = hole.shape
    rows, columns = -(-height // cell), -(-width // cell)
    if cell == 1:
        return hole.copy(), hole.copy()
    padded = np.pad(hole, ((0, rows * cell - height), (0, columns * cell - width)), mode="edge")
    lines = padded.reshape(rows, cell, columns * cell)  # whole lines first: several times as fast as both axes at once
    some, full = lines.any(1).reshape(rows, columns, cell), lines.all(1).reshape(rows, columns, cell)
    return np.asarray(some.any(2)), np.asarray(full.all(2))


def groups_of(cells: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of the cells in each group of (R, C) bool; those that touch at an edge or corner are one."""
    y, x = np.nonzero(cells)
    if not len(y):
        return []
    at = y * (cells.shape[1] + 2) + x  # numbers of the cells, a gap between two rows
    first = np.diff(at, prepend=-2) != 1  # of a run of cells in one row
    group = _joined(at[first], at[np.append(first[1:], True)], cells.shape[1] + 2)[np.cumsum(first) - 1]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order])) + 1
    return [(y[part], x[part]) for part in np.split(order, starts)]


def _joined(starts: np.ndarray, ends: np.ndarray, row: int) -> np.ndarray:
    """Of each run of cells, by the numbers of its first and last one, the first run of its group; `row`: of a cell to
    the one below."""
    low = np.searchsorted(ends, starts - row - 1)  # the runs of the row above that touch this one: low to high
    count = np.searchsorted(starts, ends - row + 1, side="right") - low
    below = np.repeat(np.arange(len(starts)), count)
    above = np.arange(len(below)) - np.repeat(np.cumsum(count) - count - low, count)
    group = np.arange(len(starts))
    while True:
        least = group.copy()
        np.minimum.at(least, group[below], group[above])
        np.minimum.at(least, group[above], group[below])
        least = least[least[group]]  # a run's group is in turn that of the run which gave it its number
        if (least == group).all():
            return group
        group = least


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _region(around: Box, width: int, height: int, size: int, context: float | None) -> Crop:
    left, top, right, bottom = around
    box, short, long = max(bottom - top, right - left), min(width, height), max(width, height)
    if context is not None:
        side = int(min(context * box, long))
    elif is_nearly_square(width, height) and (long <= WHOLE_UP_TO * size or box > long / 4):
        return Crop((width - long) // 2, (height - long) // 2, long)
    else:  # inside the picture if that leaves some context, else beyond its short sides
        side = int(min(max(min(max(CONTEXT * box, size), short), LEAST_CONTEXT * box), long))

    return centred(around, side, width, height)


def centred(around: Box, side: int, width: int, height: int) -> Crop:
    """A square around the middle of a box, then moved inside the picture; centred on this where it is shorter."""

    def start(low: int, high: int, length: int) -> int:
        if side >= length:
            return (length - side) // 2
        return int(np.clip((low + high - side) // 2, 0, length - side))

    left, top, right, bottom = around
    return Crop(start(left, right, width), start(top, bottom, height), side)


def cut(rgb: np.ndarray, hole: np.ndarray, region: Crop, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What the model sees of a region.

    Args:
        rgb: (H, W, 3) uint8, or (H, W, 1 or 3) float32 of the same range.
        hole: (H, W) bool.
        size: the model's side.

    Returns:
        image (3, size, size) float32 in [-1, 1], 0 in the hole, and mask (1, size, size) float32, 1 = hole. Only known
        pixels take part in the averages, so the hole's old content doesn't bleed into its surroundings.
    """
    x0, y0, x1, y1 = region.inside(hole.shape[1], hole.shape[0])
    there = ~hole[y0:y1, x0:x1]
    corner = x0 - region.x, y0 - region.y
    known = _resize(there, corner, region.side, size)
    visible, share = known >= 0.5, np.maximum(known, 0.5)
    image = np.empty((3, size, size), np.float32)
    for i in range(rgb.shape[2]):  # one at a time: they are as large as the picture
        colour = _resize(rgb[y0:y1, x0:x1, i] * there, corner, region.side, size)
        np.clip(colour / share / 127.5 - 1, -1, 1, out=image[i])
        image[i][~visible] = 0
    image[rgb.shape[2] :] = image[0]  # grey
    return image, (~visible)[None].astype(np.float32)


def put_back(rgb: np.ndarray, hole: np.ndarray, region: Crop, output: np.ndarray) -> np.ndarray:
    """The picture with its hole pixels taken from the model's output.

    Args:
        rgb: (H, W, 3) uint8, or (H, W, 1 or 3) float32 of the same range.
        hole: (H, W) bool.
        output: (3, size, size) float32, about [-1, 1].

    Returns:
        A new one like `rgb`; pixels outside the hole are those of `rgb`.
    """
    x0, y0, x1, y1 = region.inside(hole.shape[1], hole.shape[0])
    result, here = rgb.copy(), hole[y0:y1, x0:x1]
    if here.any():
        left, top, right, bottom = bounds(here)
        inside = np.s_[top:bottom, left:right]
        drawn = enlarge_like(rgb, output, region)[inside]
        np.copyto(result[y0:y1, x0:x1][inside], drawn, where=here[inside][..., None])
    return result


def enlarge_like(rgb: np.ndarray, output: np.ndarray, region: Crop) -> np.ndarray:
    """As `enlarge`, in the type and the channels of `rgb`."""
    if rgb.shape[2] == 1:
        output = output.mean(0, keepdims=True)
    return enlarge(output, region, rgb.shape, rgb.dtype)


def enlarge(output: np.ndarray, region: Crop, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> np.ndarray:
    """The model's output (3, size, size), about [-1, 1], at the picture's size: the part inside (H, W), 0 to 255, uint8
    or float32; as float32, it may have any number of channels."""
    x0, y0, x1, y1 = region.inside(shape[1], shape[0])
    levels = output.clip(-1, 1)
    levels += 1
    levels *= 127.5
    # Only what lies inside: the region of a long strip is a square of its length.
    scale = levels.shape[1] / region.side
    corners = (x0 - region.x, y0 - region.y, x1 - region.x, y1 - region.y)
    box = tuple(corner * scale for corner in corners)

    def resized(picture: Image.Image) -> np.ndarray:
        return np.asarray(picture.resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS, box=box))  # type: ignore[arg-type]

    if dtype == np.uint8:
        rounded = levels.round(out=levels).astype(np.uint8).transpose(1, 2, 0)
        return resized(Image.fromarray(np.ascontiguousarray(rounded)))
    result = np.empty((y1 - y0, x1 - x0, len(output)), np.float32)
    for i in range(len(output)):
        resized(Image.fromarray(levels[i].astype(np.float32))).clip(0, 255, out=result[..., i])
    return result


def _resize(channel: np.ndarray, corner: tuple[int, int], side: int, size: int) -> np.ndarray:
    """A channel (H, W) with its top left at `corner` of a square of `side` pixels, else 0 -> (size, size) float32.

    Antialiased, with non-negative weights so that averages stay averages. Along the longer axis first, which hardly
    reaches beyond the channel: the square itself would be far larger than a long strip.
    """
    if side == size:
        (left, top), (height, width) = corner, channel.shape
        return np.pad(channel.astype(np.float32), ((top, side - top - height), (left, side - left - width)))
    for axis in (1, 0) if channel.shape[1] >= channel.shape[0] else (0, 1):
        margins = corner[1 - axis], side - corner[1 - axis] - channel.shape[axis]
        lines = channel if axis else channel.T
        parts = [_resize_lines(lines[i : i + LINES], margins, size) for i in range(0, len(lines), LINES)]
        channel = np.concatenate(parts) if axis else np.concatenate(parts).T
    return channel


def _resize_lines(lines: np.ndarray, margins: tuple[int, int], size: int) -> np.ndarray:
    """(n, length) with zeros before and after -> (n, size) float32."""
    padded = np.pad(lines.astype(np.float32), ((0, 0), margins))
    return np.asarray(Image.fromarray(padded).resize((size, len(lines)), Image.Resampling.HAMMING))
