"""Colour of 16 bits per channel, which Pillow has no mode for; libvips (the extra "deep") reads it.

Inside, such a picture is one of 8 bits, the high bytes, with the low bytes beside it: ``info["low"]``, (H, W, C) uint8.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

LOW = "low"
MODES = ("LA", "RGB", "RGBA")
FORMATS = ("PNG", "TIFF")


def bits(image: Image.Image) -> int:
    """Bits per channel of a file that Pillow has opened, but not yet loaded."""
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(258, (8,)))
    return 16 if isinstance(image, PngImageFile) and image.tile and "16" in str(image.tile[0].args) else 8


def available() -> bool:
    try:
        import pyvips  # noqa: F401
    except (ImportError, OSError):  # OSError: no libvips under it
        return False
    return True


def read_low(data: bytes, picture: Image.Image) -> np.ndarray | None:
    """The low bytes of a file of which the picture, upright, holds the high ones; None where libvips reads others."""
    import pyvips

    try:
        pixels = pyvips.Image.new_from_buffer(data, "").autorot().numpy()
    except pyvips.Error:
        return None
    if pixels.dtype != np.uint16 or not np.array_equal(pixels >> 8, np.asarray(picture)):
        return None
    return (pixels & 255).astype(np.uint8)


def low_of(picture: Image.Image) -> np.ndarray | None:
    """The low bytes, where the picture has some and still has their size."""
    low = picture.info.get(LOW)
    return low if low is not None and low.shape == (picture.height, picture.width, len(picture.getbands())) else None


def encode(picture: Image.Image, low: np.ndarray, kind: str, described: Callable[[Image.Image], bytes]) -> bytes:
    """A PNG or TIFF of 16 bits.

    Args:
        picture: the high bytes.
        low: the low bytes.
        kind: one of ``FORMATS``.
        described: makes a file of 8 bits with what `info` keeps, by Pillow; it gets other pixels. libvips would refuse
            or drop damaged profiles, and writes no EXIF data into a TIFF.
    """
    pixels = np.asarray(picture).astype(np.uint16) << 8 | low
    dot = Image.new(picture.mode, (1, 1))
    dot.info = picture.info
    return {"PNG": _png, "TIFF": _tiff}[kind](described(dot), pixels)


def _png(described: bytes, pixels: np.ndarray) -> bytes:
    """The PNG with other pixels (H, W, C) uint16."""
    height, width, _ = pixels.shape
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, -1)
    differences = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))  # to the row above: filter 2
    data = zlib.compress(np.insert(differences, 0, 2, axis=1).tobytes())
    result, start = described[:8], 8
    while start < len(described):
        end = start + 12 + int.from_bytes(described[start : start + 4])
        name, content = described[start + 4 : start + 8], described[start + 8 : end - 4]
        if name == b"IHDR":
            content = struct.pack(">IIB", width, height, 16) + content[9:]
        elif name == b"IDAT":
            content = data
        chunk = name + content
        result += struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
        start = end
    return result


def _tiff(described: bytes, pixels: np.ndarray) -> bytes:
    """The TIFF, little-endian, with other pixels (H, W, C) uint16."""
    height, width, channels = pixels.shape
    differences = np.diff(pixels, axis=1, prepend=np.zeros_like(pixels[:, :1]))  # to the pixel on the left: predictor 2
    data = zlib.compress(differences.astype("<u2").tobytes())
    tags = ImageFileDirectory_v2(described[:8])
    file = io.BytesIO(described)
    file.seek(tags.next)
    tags.load(file)
    dict(tags)  # Pillow writes only those that were looked at
    layout = {256: width, 257: height, 258: (16,) * channels, 259: 8, 273: 0, 278: height, 279: len(data), 317: 2}
    for tag, value in layout.items():  # 273, where the strip begins, counts from the end of the directory
        tags[tag] = value
    start = len(described) + len(described) % 2
    return described[:4] + struct.pack("<I", start) + described[8:].ljust(start - 8, b"\0") + tags.tobytes(start) + data
