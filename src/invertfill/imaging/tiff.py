"""TIFF as a container: a file's pages as files of their own, and pages in one file. Pixels are never touched."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # bytes
DIRECTORIES = (0x8769, 0x8825, 0xA005)  # EXIF, GPS and, within EXIF, interoperability
STRIPS = {273: 279, 324: 325}  # where strips or tiles begin -> how long they are
SUBFILE, REDUCED, MATTE = 254, 1, 4  # a page's kind, in bits
LAYOUT = {256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 338, 339}
MOST_PAGES = 65_536
FULL = 2**32  # bytes


@dataclass
class _Directory:
    """A page's tags, little-endian: type, count and value of each.

    Attributes:
        inner: directories that a tag points to.
        strips: the pixels as they are in the file.
    """

    tags: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    inner: dict[int, _Directory] = field(default_factory=dict)
    strips: list[bytes] = field(default_factory=list)


def split(data: bytes) -> tuple[list[Callable[[], bytes]], int]:
    """Each page as a file of its own: the same bytes, which begin at the page and end with it.

    Returns:
        What makes each page's file, since all of them at once would be many times the file; and how many other pages
        there are that hold no picture of their own, such as smaller copies and mattes.

    Raises:
        ValueError, struct.error: damaged.
    """
    order, big = ("<" if data[:2] == b"II" else ">"), data[2:4] in (b"+\0", b"\0+")
    head, number = (8, f"{order}Q") if big else (4, f"{order}I")

    def page(at: int, link: int) -> bytes:
        file = bytearray(data)
        struct.pack_into(number, file, head, at)
        struct.pack_into(number, file, link, 0)
        return bytes(file)

    pages: list[Callable[[], bytes]] = []
    others, seen = 0, set[int]()
    (at,) = struct.unpack_from(number, data, head)
    while at and at not in seen and len(seen) < MOST_PAGES:
        seen.add(at)
        (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, at)
        entries, size = (at + 8, 20) if big else (at + 2, 12)
        link = entries + size * count
        (following,) = struct.unpack_from(number, data, link)
        kinds = [
            struct.unpack_from(f"{order}I", data, entry + (12 if big else 8))[0]
            for entry in range(entries, link, size)
            if struct.unpack_from(f"{order}H", data, entry)[0] == SUBFILE
        ]
        if pages and kinds and kinds[0] & (REDUCED | MATTE):
            others += 1
        else:
            pages.append(partial(page, at, link))
        at = following
    return pages, others


def join(files: Sequence[bytes]) -> bytes:
    """One file of several, each of one page.

    Args:
        files: little-endian and classic, as this package writes them.

    Raises:
        ValueError: longer than a TIFF can be.
    """
    result = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for file in files:
        at, following = _write(result, _read(file, *struct.unpack_from("<I", file, 4)))
        struct.pack_into("<I", result, link, at)
        link = following
    if len(result) >= FULL:
        raise ValueError("longer than the 4 GB of a TIFF")
    return bytes(result)


def with_tags_of(described: bytes, pixels: bytes) -> bytes:
    """A file of one page with the pixels of one file and, beside what says how they lie there, the tags of another."""
    page, tags = (_read(file, *struct.unpack_from("<I", file, 4)) for file in (pixels, described))
    page.tags |= {tag: value for tag, value in tags.tags.items() if tag not in LAYOUT}
    page.inner |= tags.inner
    result = bytearray(b"II*\0\0\0\0\0")
    struct.pack_into("<I", result, 4, _write(result, page)[0])
    return bytes(result)


def _entries(data: bytes, at: int) -> Iterator[tuple[int, int, int, bytes]]:
    (count,) = struct.unpack_from("<H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from("<HHI", data, entry)
        length = SIZES.get(kind, 1) * number
        start = entry + 8 if length <= 4 else struct.unpack_from("<I", data, entry + 8)[0]
        yield tag, kind, number, data[start : start + length]


def _numbers(kind: int, count: int, value: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{count}{'H' if kind == 3 else 'I'}", value)


def _read(data: bytes, at: int) -> _Directory:
    found = _Directory()
    for tag, kind, count, value in _entries(data, at):
        if tag in DIRECTORIES:
            found.inner[tag] = _read(data, _numbers(kind, count, value)[0])
        else:
            found.tags[tag] = kind, count, value
    for starts, lengths in STRIPS.items():
        if starts in found.tags and lengths in found.tags:
            where = zip(_numbers(*found.tags[starts]), _numbers(*found.tags[lengths]), strict=True)
            found.strips = [data[start : start + length] for start, length in where]
    return found


def _write(result: bytearray, page: _Directory) -> tuple[int, int]:
    """Append a directory and all that belongs to it; where it begins, and where the link to the next one is."""
    tags = dict(page.tags)

    def append(content: bytes) -> int:
        result.extend(bytes(len(result) % 2))  # all begins at even places
        result.extend(content)
        return len(result) - len(content)

    for starts in STRIPS.keys() & tags.keys():
        places = [append(strip) for strip in page.strips]
        tags[starts] = 4, len(places), struct.pack(f"<{len(places)}I", *places)
    for tag, inner in page.inner.items():
        tags[tag] = 4, 1, struct.pack("<I", _write(result, inner)[0])
    entries = b""
    for tag, (kind, count, value) in sorted(tags.items()):
        content = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", append(value))
        entries += struct.pack("<HHI", tag, kind, count) + content
    at = append(struct.pack("<H", len(tags)) + entries + bytes(4))
    return at, len(result) - 4
