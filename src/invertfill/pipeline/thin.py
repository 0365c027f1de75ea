"""Thin holes: wires, cracks, lettering, dust, frames. Their squares follow the hole, so that cost follows its area.

One square around a line across a photograph shows it to the model at a fraction of its size, and the line itself as a
hair. Here such a hole is cut into squares as large as its width needs, the model's own size (full scale) if that is
enough: about three times the width or more. A square sees its neighbours' parts of the hole as unknown, so that two
may go on in different ways where they meet: there one fades into the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from invertfill.imaging.windows import widened
from invertfill.notes import Note, silent
from invertfill.pipeline.crops import Crop, bounds, centred, find_compact_crops, groups_of, on_grid

MOST = 128  # local squares of one size; where it takes more, they are twice as large
CELLS = 16  # along the side of a square, of the grid on which widths are measured; ...
THICK = 2  # ... a hole is thick where all cells within this many of one are full, ...
AROUND = 3  # ... and so is what lies within this many cells of that
OWN = 10  # cells along the side of the part that a square fills, so that there is something known around it
FADE = 2  # cells from the border of that part to each side, over which neighbours fade into each other
COMPACT = 3  # a hole is compact if it holds a square with its longer side divided by this, ...
SPECK = 2  # ... unless that is no more than this many cells: dust
FINE = 4  # strokes of a brush are no thin holes to `is_thin`: these must be this many times narrower
GAIN = 1.5  # the picture must be this many times larger than a local square


def find_crops(
    hole: np.ndarray, size: int, context: float | None = None, *, thin: bool = True, note: Note = silent
) -> list[Crop]:
    """The squares that a fill of these holes looks at; none where there is no hole.

    Args:
        hole: (H, W) bool, True = hole.
        size: the model's side, a power of two.
        context: see `find_compact_crops`. Where it is given, holes of all shapes are taken as compact.
        thin: cut thin holes into local squares; not for models that know whole pictures only.
        note: is told where more than ``MOST`` squares would be needed.

    Returns:
        Those of compact holes, then local ones. Where there are local ones, each crop has a `part`.
    """
    rest, compact, local, side = hole.copy(), np.zeros_like(hole), list[Crop](), size
    while context is None and thin and max(hole.shape) >= GAIN * side and rest.any():
        compact_part, thin_part = _sort(rest, side)
        compact |= compact_part
        rest &= ~compact
        squares = list(_local_crops(thin_part, side))
        if len(squares) <= MOST:
            local += squares
            rest &= ~thin_part
        else:
            note(f"a thin hole would take {len(squares)} squares of {side} px: filled in larger ones, less sharply")
        side *= 2
    compact |= rest
    crops = find_compact_crops(compact, size, context)
    return [_for_part(crop, compact) for crop in crops] + local if local else crops


def is_thin(hole: np.ndarray, size: int) -> bool:
    """Whether most of (H, W) bool is far thinner than local squares of a model's own size have to be."""
    if max(hole.shape) < GAIN * size:
        return False
    _, thin = _sort(hole, size // FINE)
    return bool(2 * thin.sum() > hole.sum()) and sum(1 for _ in _local_crops(thin, size)) <= MOST


def _for_part(crop: Crop, part: np.ndarray) -> Crop:
    left, top, right, bottom = crop.inside(*part.shape[::-1])
    return replace(crop, part=part[top:bottom, left:right])


def _sort(hole: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Of (H, W) bool what belongs to compact holes, and what is thin enough for squares of `side`, (H, W) bool each."""
    cell = max(1, side // CELLS)
    some, full = on_grid(hole, cell)
    thin = some & ~widened(~widened(~full, THICK, outside=True), THICK + AROUND)
    compact = np.zeros_like(some)
    for y, x in groups_of(some):
        group = hole[y.min() * cell : (y.max() + 1) * cell, x.min() * cell : (x.max() + 1) * cell]
        compact[y, x] = _is_compact(group, SPECK * cell)
    return _pixels(hole, compact, cell), _pixels(hole, thin & ~compact, cell)


def _is_compact(hole: np.ndarray, speck: int) -> bool:
    left, top, right, bottom = bounds(hole)
    longer = max(right - left, bottom - top)
    inner = -(-longer // COMPACT)
    if longer <= speck or inner > min(right - left, bottom - top) or inner**2 > hole.sum():
        return False
    step = max(1, inner // 32)  # in large holes it is enough to look at some of the pixels
    inner //= step
    total = np.pad(hole[top:bottom:step, left:right:step].cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows = total[inner:] - total[:-inner]
    return bool((rows[:, inner:] - rows[:, :-inner] == inner**2).any())


def _pixels(hole: np.ndarray, cells: np.ndarray, cell: int) -> np.ndarray:
    """What of (H, W) bool lies in these cells."""
    height, width = hole.shape
    return hole & cells.repeat(cell, 0)[:height].repeat(cell, 1)[:, :width]


def _local_crops(thin: np.ndarray, side: int) -> Iterator[Crop]:
    """Squares of `side` that share out (H, W) bool: from the top, each where it takes the most of what is left."""
    height, width = thin.shape
    cell = max(1, side // CELLS)
    remaining = on_grid(thin, cell)[0]
    while remaining.any():
        row, column = (int(i) for i in np.argwhere(remaining)[0])
        first = max(column - OWN + 1, 0)
        filled = remaining[row : row + OWN, first : column + OWN].sum(0)
        taken = [filled[start : start + OWN].sum() for start in range(column - first + 1)]
        first += int(np.argmax(taken))
        cells = np.s_[row : row + OWN, first : first + OWN]
        y, x = row * cell, first * cell
        within = thin[y : y + OWN * cell, x : x + OWN * cell]
        own = _pixels(within, remaining[cells], cell)
        remaining[cells] = False
        x0, y0, x1, y1 = bounds(own)
        box = x + x0, y + y0, x + x1, y + y1
        crop = centred(box, side, width, height)
        left, top, right, bottom = crop.inside(width, height)
        down, across = _ramp(top, bottom, box[1], box[3], FADE * cell), _ramp(left, right, box[0], box[2], FADE * cell)
        weight = np.minimum(down[:, None], across) * thin[top:bottom, left:right]
        yield replace(crop, part=weight.astype(np.float16))


def _ramp(start: int, stop: int, low: int, high: int, fade: int) -> np.ndarray:
    """For the pixels from start to stop: 1 well within low to high, 0 well outside, and half at these."""
    at = np.arange(start, stop) + 0.5
    return np.minimum(at - low, high - at).clip(-fade, fade) / (2 * fade) + 0.5
