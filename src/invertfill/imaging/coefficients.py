"""JPEGs whose untouched blocks keep the coefficients that they had, so that nothing of them is rounded again.

jpeglib (the extra "jpeg") reads and writes coefficients in files alone: these are in memory, where the system has such.
"""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

FILE = "jpeg file"  # of `info`: the bytes of a JPEG that was opened upright
COMPONENTS = ("Y", "Cb", "Cr")
MODES = ("L", "RGB")  # of CMYK, jpeglib 1.0 damages the last blocks of K
START_OF_SCAN, COMMENT = 0xDA, 0xFE


def available() -> bool:
    """Whether the library is there; it isn't loaded yet, because most pictures aren't written as JPEG."""
    return hasattr(os, "memfd_create") and find_spec("jpeglib") is not None


def with_coefficients_of(given: bytes, made: bytes, image: Image.Image) -> bytes:
    """A JPEG in which the blocks of another are as they were.

    Args:
        given: the file that the picture was read from.
        made: the picture's own, with the same tables.
        image: the picture, before it was encoded.

    Returns:
        `made` with the coefficients of `given` wherever a whole unit of blocks (8 to 32 pixels a side) shows what it
        showed; `made` itself where the two files aren't laid out alike, or the library can't be loaded.
    """
    if image.mode not in MODES:
        return made
    try:
        import jpeglib  # noqa: F401
    except (ImportError, OSError):  # its native part
        return made
    with Image.open(io.BytesIO(given)) as opened:
        if (opened.mode, opened.size) != (image.mode, image.size):
            return made
        changed = np.asarray(opened) != np.asarray(image)
    if changed.ndim == 3:
        changed = changed.any(2)
    before, after = _read(given), _read(made)
    factors = np.asarray(before.samp_factor)
    if str(before.jpeg_color_space) != str(after.jpeg_color_space):  # RGB itself, for one; as values they are equal
        return made
    if not np.array_equal(factors, after.samp_factor) or not np.array_equal(before.qt, after.qt):
        return made
    across, down = 8 * factors[:, 1].max(), 8 * factors[:, 0].max()
    padded = np.pad(changed, ((0, -changed.shape[0] % down), (0, -changed.shape[1] % across)))
    same = ~padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across).any((1, 3))
    for name, (rows, columns) in zip(_components(before), factors, strict=True):
        old, new = getattr(before, name), getattr(after, name)
        if old.shape != new.shape:
            return made
        blocks = same.repeat(rows, 0).repeat(columns, 1)[: new.shape[0], : new.shape[1]]
        new[blocks] = old[blocks]
        setattr(after, name, new)
    return _with_segments_of(made, _write(after))


def _components(jpeg: Any) -> list[str]:
    return [name for name in COMPONENTS if getattr(jpeg, name, None) is not None]


def _read(data: bytes) -> Any:
    import jpeglib

    file = os.memfd_create("jpeg")
    try:
        os.write(file, data)
        jpeg = jpeglib.read_dct(f"/proc/self/fd/{file}")
        for name in COMPONENTS:  # they are read when they are asked for
            getattr(jpeg, name, None)
        return jpeg
    finally:
        os.close(file)


def _write(jpeg: Any) -> bytes:
    file = os.memfd_create("jpeg")
    try:
        jpeg.write_dct(f"/proc/self/fd/{file}")
        with open(f"/proc/self/fd/{file}", "rb") as written:
            return written.read()
    finally:
        os.close(file)


def _with_segments_of(described: bytes, pixels: bytes) -> bytes:
    """The pixels of one file with the metadata of another."""
    metadata, _ = _segments(described)
    _, rest = _segments(pixels)
    return b"\xff\xd8" + metadata + rest


def _segments(data: bytes) -> tuple[bytes, bytes]:
    """APPn and comments, and all else behind the start."""
    metadata, rest, at = b"", b"", 2
    while data[at + 1] != START_OF_SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if 0xE0 <= data[at + 1] <= 0xEF or data[at + 1] == COMMENT:
            metadata += data[at:end]
        else:
            rest += data[at:end]
        at = end
    return metadata, rest + data[at:]
