"""Masks as people bring them: files, pictures, arrays, boxes, transparency. True = hole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from invertfill.errors import InputError
from invertfill.imaging.mask_levels import hole_of_array, hole_of_image
from invertfill.imaging.reading import open_as_stored
from invertfill.imaging.sources import FileSource, ImageSource, name_of, settle
from invertfill.imaging.writing import save_image
from invertfill.notes import Note, silent
from invertfill.options import Box

MaskSource: TypeAlias = ImageSource
MUCH = 0.5  # of the picture: more is rarely meant


def read_mask(
    source: MaskSource,
    size: tuple[int, int] | None,
    *,
    invert: bool = False,
    resize: bool = False,
    picture: Image.Image | None = None,
    note: Note = silent,
) -> np.ndarray:
    """Read a mask.

    Args:
        source: a path, a file's bytes, an open binary file, a PIL image, or an array; `mask_levels` says which pixels
            are hole.
        size: (width, height) of the image that the mask belongs to; None accepts any.
        invert: what would be hole is known instead, and the other way round.
        resize: bring a mask of the image's proportions to its size.
        picture: the image, which can't be its own mask.
        note: told how a mask was read that could be read otherwise, and of one that hides most of the image.

    Returns:
        (H, W) bool, True = hole.

    Raises:
        InputError: not readable, not a mask, or not of the image's size; or a mask *file* without a hole, which is
            nearly always the wrong file.
    """
    source = settle(source, "mask")
    name = name_of(source, "mask")
    if isinstance(source, np.ndarray):
        hole = hole_of_array(source, name, note, picture)
    else:
        hole = hole_of_image(open_as_stored(source), name, note, picture)
    if size is not None and hole.shape != (size[1], size[0]):
        hole = _resized(hole, size, name, resize)
    if invert:
        hole = ~hole
    if isinstance(source, FileSource) and not hole.any():
        found = "everything in it is white, and invert_mask makes that known" if invert else "nothing in it is white"
        raise InputError(f"{name}: a mask without a hole: {found}; accepted: white = hole")
    if MUCH < (share := hole.mean()) < 1:
        advice = "without invert_mask, the rest would be" if invert else "invert_mask makes it the rest"
        note(f"{name}: the hole is {share:.0%} of the picture; {advice}")
    return hole


def mark_boxes(hole: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """(H, W) bool: the hole with boxes (left, top, width, height), which may reach beyond the picture.

    Raises:
        InputError: a box that lies outside.
    """
    hole = hole.copy()
    height, width = hole.shape
    for x, y, across, down in boxes:
        inside = hole[max(y, 0) : max(y + down, 0), max(x, 0) : max(x + across, 0)]
        if not inside.size:
            raise InputError(f"box {x},{y},{across},{down}: outside the picture of {width}x{height} pixels")
        inside[:] = True
    return hole


def save_mask(mask: np.ndarray, path: str | Path) -> Path:
    """Save a mask (H, W) bool as a one-channel PNG or the like, white = hole."""
    return save_image(Image.fromarray(mask.astype(np.uint8) * 255), path)


def _resized(hole: np.ndarray, size: tuple[int, int], name: str, allowed: bool) -> np.ndarray:
    (height, width), (wide, high) = hole.shape, size
    found = f"{name}: mask of {width}x{height} pixels for an image of {wide}x{high}"
    # Rounded to whole pixels, a reduced picture's sides are up to half a pixel off.
    if abs(width * high - height * wide) <= max(size):
        if not allowed:
            raise InputError(f"{found}; accepted: a mask of the image's size, or resize_mask")
        # Of what becomes one pixel, any hole is enough: a thin line must not break.
        small = Image.fromarray(hole.astype(np.float32)).resize(size, Image.Resampling.BOX)
        return np.asarray(small) > 0
    if abs(width * wide - height * high) <= max(size):
        raise InputError(f"{found}: rotated? accepted: a mask that is turned as the image is shown")
    raise InputError(f"{found}; accepted: a mask of the same {'proportions' if allowed else 'size'}")
