"""The quality at which a lossy file was written, so that what is written in its place is much like it.

A JPEG says it by its tables. WebP, AVIF and HEIC don't; there it is the quality at which the same picture takes as many
bits for each pixel, tried on a sample of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

LOSSY = "lossy"  # of `info`: a `Lossy`
QUALITIES = (30, 40, 50, 60, 68, 75, 80, 85, 90, 93, 96)  # where none gives enough bits, 100
ANIMATION = 90  # of frames, which share bits with one another
MARGIN = 1.1  # so many times the file's bits, since a second encoding loses a little more
TILES, TILE = 4, 128  # a side of the sample, in tiles; pixels of a tile's side
ABOUT = ("icc_profile", "exif", "xmp")


@dataclass(frozen=True)
class Lossy:
    """What is known of a lossy file.

    Attributes:
        kind: Pillow's name of the format.
        bits: for each pixel.
        halved: its colours are stored at half the size.
        sample: RGB, of the picture before anything was filled.
    """

    kind: str
    bits: float
    halved: bool
    sample: Image.Image


def lossy(image: Image.Image, data: bytes) -> Lossy | None:
    """Of a file as it was opened and loaded; None where it has no loss, or is a JPEG."""
    if image.format == "WEBP":
        if b"VP8 " not in _chunks(data):
            return None
        halved = True
    elif image.format == "AVIF":
        at = data.find(b"av1C")
        halved = at < 0 or data[at + 6] & 0x0C == 0x0C
    elif image.format == "HEIF":
        halved = image.info.get("chroma", 420) == 420
    else:
        return None
    about = sum(len(image.info.get(name) or b"") for name in ABOUT)
    return Lossy(
        image.format,
        8 * max(1, len(data) - about) / (image.width * image.height),
        halved,
        _sample(image).convert("RGB"),
    )


def depth(image: Image.Image, data: bytes) -> int:
    """Bits per channel of an AVIF or HEIC; 8 of any other."""
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8))
    at = data.find(b"av1C") if image.format == "AVIF" else -1
    return 8 if at < 0 or not data[at + 6] & 0x40 else 12 if data[at + 6] & 0x20 else 10


def options_for(kind: str, quality: int, halved: bool = False) -> dict[str, Any]:
    """What Pillow's `save` is to be told; {} for a format without loss."""
    if kind == "WEBP":
        return {"lossless": False, "quality": quality, "method": 4} if quality < 100 else {}
    if kind == "AVIF":
        return {"quality": quality, "subsampling": "4:2:0" if halved else "4:4:4"}
    if kind == "HEIF":
        return {"quality": quality, "chroma": 420 if halved else 444}
    return {"quality": quality} if kind == "JPEG" else {}


def like(given: Lossy, options: dict[str, Any]) -> dict[str, Any]:
    """Options with which a picture is much like the file that it was.

    Args:
        given: of the file.
        options: others, which stay.
    """
    sample = given.sample
    least, most = 0, len(QUALITIES)
    while least < most:
        middle = (least + most) // 2
        data = io.BytesIO()
        sample.save(data, given.kind, **options | options_for(given.kind, QUALITIES[middle], given.halved))
        if 8 * len(data.getvalue()) / (sample.width * sample.height) < MARGIN * given.bits:
            least = middle + 1
        else:
            most = middle
    return options_for(given.kind, QUALITIES[least] if least < len(QUALITIES) else 100, given.halved)


def _sample(image: Image.Image) -> Image.Image:
    """Tiles from all over the picture; all of a small one."""
    if min(image.size) < 2 * TILES * TILE:
        return image
    sample = Image.new(image.mode, (TILES * TILE,) * 2)
    for row in range(TILES):
        for column in range(TILES):
            x, y = (
                int((k + 0.5) * side / TILES) - TILE // 2 for k, side in ((column, image.width), (row, image.height))
            )
            sample.paste(image.crop((x, y, x + TILE, y + TILE)), (column * TILE, row * TILE))
    return sample


def _chunks(data: bytes) -> Iterator[bytes]:
    """Names of a WebP's chunks, those of frames too."""
    at = 12
    while at + 8 <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        yield name
        at += 8 + (16 if name == b"ANMF" else length + length % 2)
