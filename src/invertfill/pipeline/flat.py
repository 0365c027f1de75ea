"""Where few colours are, a hole has no others: the one all around it, or those of a drawing, a sprite, a scan.

All on pixels as the picture has them, in its own mode, so that a colour is that colour exactly.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from invertfill.imaging import palette
from invertfill.pipeline.crops import groups_of, on_grid

RING = 4  # pixels around a hole that say whether all there is one colour
SHARE = 0.97  # of them have to be exactly that colour, ...
OFF = 3  # ... and the others, where there are 8 bits, within this many levels of it: compression
LEAST = 16  # of them have to be known
GRID = 512  # holes are told apart on a grid with this many cells along the longer side
NEAR = 64  # pixels around a hole that say which colours there are
FEW = 64  # colours are few ...
PER_COLOUR = 8  # ... if each has this many pixels on average
SAMPLE = 4096  # pixels that show already where there are more


def fill_one_colour(picture: Image.Image, hole: np.ndarray) -> np.ndarray:
    """Fill the holes that lie in one colour with that colour, in the picture itself.

    Args:
        picture: any mode; pixels of alpha 0 say nothing.
        hole: (H, W) bool.

    Returns:
        (H, W) bool, what is filled now.
    """
    done = np.zeros_like(hole)
    cell = -(-max(hole.shape) // GRID)
    for y, x in groups_of(on_grid(hole, cell)[0]):
        top, left, bottom, right = y.min() * cell, x.min() * cell, (y.max() + 1) * cell, (x.max() + 1) * cell
        cells = np.zeros((y.max() - y.min() + 1, x.max() - x.min() + 1), bool)
        cells[y - y.min(), x - x.min()] = True
        y0, x0 = max(top - RING, 0), max(left - RING, 0)
        there = hole[y0 : bottom + RING, x0 : right + RING]
        own = np.zeros_like(there)
        own[top - y0 : bottom - y0, left - x0 : right - x0] = cells.repeat(cell, 0).repeat(cell, 1)[
            : hole.shape[0] - top, : hole.shape[1] - left
        ]
        own &= there
        box = (int(x0), int(y0), int(x0) + there.shape[1], int(y0) + there.shape[0])
        pixels = np.array(picture.crop(box))
        colour = _colour_around(pixels, own, ~there & visible(picture, pixels))
        if colour is not None:
            pixels[own] = colour
            # By its own mode: CMYK and RGBA look alike as arrays.
            picture.paste(Image.frombuffer(picture.mode, there.shape[::-1], pixels.tobytes()), box)
            done[y0 : bottom + RING, x0 : right + RING] |= own
    return done


def few_colours(pixels: np.ndarray, known: np.ndarray) -> np.ndarray | None:
    """The colours of known pixels, where these are few.

    Args:
        pixels: (H, W) or (H, W, C), any type.
        known: (H, W) bool.

    Returns:
        (K, C), or None where there are many.
    """
    where = np.flatnonzero(known)
    if not len(where):
        return None
    values = pixels.reshape(known.size, -1)
    if len(_distinct(values[where[:: max(1, len(where) // SAMPLE)]])) > FEW:
        return None
    colours = _distinct(values[where])
    return colours if len(colours) <= min(FEW, len(where) // PER_COLOUR) else None


def nearest(pixels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Pixels (N,) or (N, C), each as the nearest of the colours (K, C)."""
    found = palette.nearest(pixels.reshape(len(pixels), -1), colours)
    return colours[found].reshape(pixels.shape).astype(pixels.dtype)


def _colour_around(pixels: np.ndarray, own: np.ndarray, known: np.ndarray) -> np.ndarray | None:
    """The colour of all known pixels near `own`, (C,), if it is one."""
    wide = own
    for _ in range(RING):
        padded = np.pad(wide, 1)
        wide = padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    ring = pixels[wide & known]
    if len(ring) < LEAST:
        return None
    ring = ring.reshape(len(ring), -1)
    middle = np.median(ring, 0).astype(ring.dtype)
    off = np.abs(ring - middle.astype(np.float64)).max(1)
    tolerated = OFF if ring.dtype == np.uint8 else 0
    return middle if (off == 0).mean() >= SHARE and off.max() <= tolerated else None


def visible(picture: Image.Image, pixels: np.ndarray) -> np.ndarray:
    """(H, W) bool: which pixels of some part of a picture aren't of alpha 0."""
    return pixels[..., -1] > 0 if picture.mode in ("LA", "RGBA") else np.ones(pixels.shape[:2], bool)


def _distinct(values: np.ndarray) -> np.ndarray:
    """The rows of (N, C) that differ."""
    rows = np.ascontiguousarray(values)
    _, first = np.unique(rows.view(f"V{rows.itemsize * rows.shape[1]}"), return_index=True)
    return values[np.sort(first)]
