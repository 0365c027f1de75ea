"""Files of more than 8 bits per channel that Pillow can't read or write: PNG of 16-bit colour, TIFF of any type.

libvips (the extra "deep") reads them. They are written here: by Pillow with what `info` keeps, but other pixels.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from invertfill.errors import InputError, how_to_install
from invertfill.imaging.depth import OWN, SAMPLES, VIEWS, is_beside, tiff_type
from invertfill.imaging.metadata import LAYOUT

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # what such a file begins with
ALPHA = (1, 2)  # of ExtraSamples, those that are one
SHOWN = {274, 282, 283, 296, 700, 34675}  # of `LAYOUT`: what a TIFF says of its picture all the same


def available() -> bool:
    try:
        import pyvips  # noqa: F401
    except (ImportError, OSError):  # OSError: no libvips under it
        return False
    return True


def read_samples(data: bytes, dtype: np.dtype) -> np.ndarray | None:
    """The samples of a file, upright, (H, W) or (H, W, C); None where libvips can't read it or finds another type."""
    import pyvips

    try:
        samples: np.ndarray = pyvips.Image.new_from_buffer(data, "").autorot().numpy()
    except pyvips.Error:
        return None
    return samples if samples.dtype == dtype else None


def read_tiff(data: bytes, name: str) -> tuple[np.ndarray, Image.Image]:
    """A TIFF of a type that Pillow doesn't know.

    Returns:
        Its samples, upright, and a picture of one pixel with the same tags.

    Raises:
        InputError: it has more channels than a picture, or wider samples than are read.
        UnidentifiedImageError: it can't be read.
    """
    tags = _tags(data)
    if tags[256] * tags[257] > 2 * (Image.MAX_IMAGE_PIXELS or math.inf):
        raise Image.DecompressionBombError
    dtype, channels = tiff_type(max(tags.get(258, (8,))), max(tags.get(339, (1,)))), tags.get(277, 1)
    what = f"{name}: a TIFF of {channels} channels of {dtype.name}"
    colours = 3 if channels >= 3 else 1
    refuse_bands(name, channels, colours + (tags.get(338, (0,))[0] in ALPHA))
    if dtype.itemsize > 4:
        raise InputError(f"{what}; accepted: integers and floats of up to 32 bits")
    if not available():
        raise InputError(f"{what} needs libvips; {how_to_install('deep')}")
    half = dtype == np.float16  # which libvips widens
    samples = read_samples(data, np.dtype(np.float32) if half else dtype)
    if samples is None:
        raise UnidentifiedImageError
    if half:
        samples = samples.astype(dtype)
    kept = ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    for tag in tags:
        if tag not in LAYOUT - SHOWN:
            kept.tagtype[tag] = tags.tagtype[tag]
            kept[tag] = tags[tag]
    return samples, Image.open(io.BytesIO(_with_pixels(kept, np.zeros((1, 1), np.uint8), b"II*\0", b"")))


def tiff_size(data: bytes) -> tuple[int, int]:
    """Width and height, as its first directory says."""
    tags = _tags(data)
    return tags[256], tags[257]


def refuse_bands(name: str, channels: int, most: int) -> None:
    """Raise InputError where a picture has more channels than are filled."""
    if channels > most:
        kinds = "grey or RGB, with or without alpha"
        raise InputError(
            f"{name}: {channels} bands; {most} of them would be filled; accepted: {kinds}; split the others off"
        )


def check_kind(picture: Image.Image, kind: str) -> None:
    """Raise InputError if a format can't hold the picture's samples, not even as the 8 bits that they are seen as."""
    if picture.mode in ("I", "F") and kind != "TIFF":
        what = picture.info[SAMPLES].dtype.name if is_beside(picture) else OWN[picture.mode]
        raise InputError(f"values of type {what} in a {kind}; accepted: .tif")


def holds(kind: str, dtype: np.dtype) -> bool:
    """Whether samples of that type can be written to a format."""
    return kind == "TIFF" or (kind == "PNG" and dtype == np.uint16)


def encode(picture: Image.Image, kind: str, described: Callable[[Image.Image], bytes]) -> bytes:
    """A PNG or TIFF of the samples beside a picture.

    Args:
        picture: with its samples, of a type that `holds` accepts.
        kind: "PNG" or "TIFF".
        described: makes a file of 8 bits with what `info` keeps, by Pillow; it gets other pixels. libvips would refuse
            or drop damaged profiles, and writes no EXIF data into a TIFF.
    """
    samples = picture.info[SAMPLES]
    dot = Image.new(VIEWS[samples.shape[2]] if samples.ndim == 3 else "L", (1, 1))
    dot.info = picture.info
    return {"PNG": _png, "TIFF": _tiff}[kind](described(dot), samples)


def _png(described: bytes, pixels: np.ndarray) -> bytes:
    """The PNG with other pixels, (H, W[, C]) uint16."""
    height, width = pixels.shape[:2]
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
    """The TIFF, little-endian, with other pixels, (H, W[, C]) of any type."""
    tags = _tags(described)
    dict(tags)  # Pillow writes only those that were looked at
    return _with_pixels(tags, pixels, described[:4], described[8:])


def _tags(tiff: bytes) -> ImageFileDirectory_v2:
    """Of its first directory. Raises UnidentifiedImageError where that says no size."""
    tags = ImageFileDirectory_v2(tiff[:16] if tiff[2:3] == b"+" or tiff[3:4] == b"+" else tiff[:8])
    file = io.BytesIO(tiff)
    file.seek(tags.next)
    tags.load(file)
    if not {256, 257} <= tags.keys():
        raise UnidentifiedImageError
    return tags


def _with_pixels(tags: ImageFileDirectory_v2, pixels: np.ndarray, head: bytes, body: bytes) -> bytes:
    """A TIFF: `body`, which tags may point into, then the directory, then the pixels."""
    height, width, channels = (*pixels.shape, 1)[:3]
    kind, differences = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind], pixels
    if integers := kind < 3:
        differences = np.diff(pixels, axis=1, prepend=np.zeros_like(pixels[:, :1]))  # to the pixel on the left
    data = zlib.compress(differences.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes())
    bits, kinds = (8 * pixels.itemsize,) * channels, (kind,) * channels
    layout: dict[int, Any] = {256: width, 257: height, 258: bits, 259: 8, 262: tags.get(262, 1), 273: 0, 277: channels}
    layout |= {278: height, 279: len(data), 317: 2 if integers else 1, 339: kinds}
    for tag, value in layout.items():  # 273, where the strip begins, counts from the end of the directory
        tags[tag] = value
    start = len(body) + 8 + len(body) % 2
    return head + struct.pack("<I", start) + body.ljust(start - 8, b"\0") + tags.tobytes(start) + data
