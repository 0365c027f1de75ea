"""Masks as people bring them: files, pictures, arrays, transparency. True = hole."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from invertfill.errors import InputError
from invertfill.imaging.io import FileSource, ImageSource, open_image, save_image
from invertfill.notes import silent

MaskSource: TypeAlias = ImageSource
THRESHOLD = 127  # on disk white is hole, and masks saved as JPEG are not quite binary


def read_mask(source: MaskSource, size: tuple[int, int] | None, *, invert: bool = False) -> np.ndarray:
    """Read a mask.

    Args:
        source: a path, a PIL image, or an array (H, W) or (H, W, 1): bool, uint8 (above 127 is hole) or float
            (above 0.5 is hole). White is hole. In a file with an alpha channel, transparent counts as black.
        size: (width, height) of the image that the mask belongs to; None accepts any.
        invert: white is known instead.

    Returns:
        (H, W) bool, True = hole.

    Raises:
        InputError: not readable, or not of the image's size; or a mask *file* without a hole, which is nearly always
            the wrong file or the wrong sign.
    """
    name = str(source) if isinstance(source, FileSource) else "mask"
    hole = _binary_array(source) if isinstance(source, np.ndarray) else binary_image(source)
    if size is not None and hole.shape != (size[1], size[0]):
        raise InputError(
            f"{name}: mask of {hole.shape[1]}x{hole.shape[0]} pixels for an image of {size[0]}x{size[1]}; "
            "accepted: a mask of the image's size"
        )
    if invert:
        hole = ~hole
    if isinstance(source, FileSource) and not hole.any():
        raise InputError(f"{name}: a mask without a hole; accepted: white = hole, or black = hole with invert_mask")
    return hole


def mask_from_transparency(image: Image.Image) -> np.ndarray | None:
    """(H, W) bool, True where the image is fully transparent; None where it has no alpha channel."""
    return np.asarray(image.getchannel("A")) == 0 if image.mode in ("LA", "RGBA") else None


def save_mask(mask: np.ndarray, path: str | Path) -> Path:
    """Save a mask (H, W) bool as a one-channel PNG or the like, white = hole."""
    return save_image(Image.fromarray(mask.astype(np.uint8) * 255), path)


def _binary_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2:
        raise InputError(f"mask array of shape {array.shape}; accepted: (H, W) or (H, W, 1)")
    if array.dtype == bool:
        return array
    if np.issubdtype(array.dtype, np.floating):
        if np.isnan(array).any():
            raise InputError("mask array with NaN; accepted: float, above 0.5 is hole")
        return array > 0.5
    if array.dtype == np.uint8:
        # An array of 0 and 1 can only be meant as a binary mask.
        return array > (THRESHOLD if array.max(initial=0) > 1 else 0)
    raise InputError(f"mask array of type {array.dtype}; accepted: bool, uint8 (above 127 is hole), float (above 0.5)")


def binary_image(source: FileSource | Image.Image) -> np.ndarray:
    """(H, W) bool, True = white."""
    image = open_image(source, note=silent)
    if image.mode in ("LA", "RGBA"):
        image = Image.composite(image.convert("RGB"), Image.new("RGB", image.size), image.getchannel("A"))
    if image.mode in ("I", "F"):
        name = str(source) if isinstance(source, FileSource) else "mask"
        raise InputError(f"{name}: pixel type {image.mode!r} is not accepted; accepted: 1, 8 or 16 bits per pixel")
    return np.asarray(image) > THRESHOLD * 257 if image.mode == "I;16" else np.asarray(image.convert("L")) > THRESHOLD
