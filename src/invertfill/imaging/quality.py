"""The quality at which a lossy file was written, so that what is written in its place is much like it.

A JPEG says it by its tables. WebP, AVIF and HEIC don't; there it is the quality at which the same picture takes as many
bits for each pixel, tried on a sample of it.
"""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image

LOSSY = "lossy"  # of `info`: a `Lossy`
QUALITIES = (20, 30, 40, 50, 55, 60, 65, 70, 75, 80, 85, 90, 93, 95, 98, 100)
ANIMATION = 90  # of frames, which share bits with one another
TILES, TILE = 8, 64  # a side of the sample, in tiles; pixels of a tile's side
TILED = 1.1  # times the bits of the same in one piece
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


def lossy(image: Image.Image, data: bytes, info: Mapping[Any, Any]) -> Lossy | None:
    """Of a file as it was opened and loaded, with the `info` that it came with; None if without loss, or a JPEG."""
    if image.format == "WEBP":
        if b"VP8 " not in _chunks(data):
            return None
        halved = True
    elif image.format == "AVIF":
        at = data.find(b"av1C")
        halved = at < 0 or data[at + 6] & 0x0C == 0x0C
    elif image.format == "HEIF":
        halved = info.get("chroma", 420) == 420
    else:
        return None
    about = sum(len(info.get(name) or b"") for name in ABOUT)
    bits = 8 * max(1, len(data) - about) / (image.width * image.height)
    sample = _sample(image).convert("RGB")
    if sample.size != image.size:
        bits *= TILED
    sample.info = {}  # or a profile would count as bits of the picture
    return Lossy(image.format, bits, halved, sample)


def depth(image: Image.Image, data: bytes, info: Mapping[Any, Any]) -> int:
    """Bits per channel of an AVIF or HEIC; 8 of any other."""
    if image.format == "HEIF":
        return int(info.get("bit_depth", 8))
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

    @cache
    def bits(quality: int) -> float:
        data = io.BytesIO()
        given.sample.save(data, given.kind, **options | options_for(given.kind, quality, given.halved))
        return 8 * len(data.getvalue()) / (given.sample.width * given.sample.height)

    # The same quality loses least: what is in steps already stays there.
    above = bisect_left(QUALITIES, given.bits, key=bits)
    quality = min(QUALITIES[max(0, above - 1) : above + 1], key=lambda one: abs(bits(one) - given.bits))
    return options_for(given.kind, quality, given.halved)


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
