"""Write GIFs frame by frame, so that each keeps its exact colours, its place in time and how it is disposed of.

Pillow writes the pixels' codes; it can't be left the rest, since it drops frames that equal the one before and gives
frames other palettes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from invertfill.notes import Note

COLOURS = 256
KEEP, CLEAR, RESTORE = 1, 2, 3  # what becomes of a frame once its time is over


@dataclass(frozen=True)
class _Block:
    """What a frame draws: rows of palette places at (x, y)."""

    x: int
    y: int
    places: np.ndarray
    colours: np.ndarray
    transparent: int | None


def encode(
    frames: Sequence[Image.Image],
    durations: Sequence[float],
    disposals: Sequence[int],
    loop: int | None,
    comment: bytes,
    note: Note,
) -> bytes:
    """A GIF.

    Args:
        frames: of one size, any modes: what is seen at a time.
        durations: milliseconds, one for each.
        disposals: as GIF counts them, one for each.
        loop: times, 0 for ever; None: once, without saying so.
        comment: b"" for none.
        note: told where colours had to go.
    """
    if any(disposals):  # Pillow takes a 0 for the frame before's
        disposals = [disposal or KEEP for disposal in disposals]
    width, height = frames[0].size
    result = b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)
    if loop is not None:
        result += b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loop) + b"\0"
    if comment:
        parts = (comment[start : start + 255] for start in range(0, len(comment), 255))
        result += b"!\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    for block, duration, disposal in zip(_blocks(frames, disposals, note), durations, disposals, strict=True):
        flags = disposal << 2 | (block.transparent is not None)
        delay = min(round(duration / 10), 65535)
        result += b"!\xf9\x04" + struct.pack("<BHBB", flags, delay, block.transparent or 0, 0)
        bits = max(1, (len(block.colours) - 1).bit_length())
        rows, columns = block.places.shape
        result += b"," + struct.pack("<HHHHB", block.x, block.y, columns, rows, 0x80 | (bits - 1))
        result += block.colours.tobytes().ljust(3 << bits, b"\0") + _codes(block.places)
    return result + b";"


def _blocks(frames: Sequence[Image.Image], disposals: Sequence[int], note: Note) -> Iterator[_Block]:
    """Each draws what isn't there yet; all of it after a frame that is cleared or taken back."""
    # Pillow takes what is see-through in the first frame for black, if the next one has no transparent place.
    see_through = any(frame.has_transparency_data for frame in frames)
    before: np.ndarray | None = None  # what is seen when the frame begins, where that is known
    for frame, disposal in zip(frames, disposals, strict=True):
        if frame.mode == "P" and len(frames) == 1:
            yield _own(frame)
            return
        now = np.array(frame.convert("RGBA"))
        now[..., 3] = np.where(now[..., 3] > 127, 255, 0)
        now[now[..., 3] == 0] = 0
        draw = now[..., 3] > 0
        if before is not None:
            draw &= (now != before).any(2)
        left, top, right, bottom = 0, 0, *frame.size  # what is cleared is a whole one
        if disposal in (0, KEEP, RESTORE):
            left, top, right, bottom = Image.fromarray(draw).getbbox() or (0, 0, 1, 1)  # at least one pixel
        yield _block(left, top, now[top:bottom, left:right], draw[top:bottom, left:right], see_through, note)
        before = now if disposal in (0, KEEP) else None


def _own(frame: Image.Image) -> _Block:
    """A frame with the palette that it has."""
    transparent = frame.info.get("transparency")
    places = np.asarray(frame)
    colours = np.frombuffer(frame.im.getpalette("RGB", "RGB"), np.uint8).reshape(-1, 3)
    return _Block(0, 0, places, colours, transparent if isinstance(transparent, int) else None)


def _block(x: int, y: int, pixels: np.ndarray, draw: np.ndarray, see_through: bool, note: Note) -> _Block:
    room = COLOURS if draw.all() and not see_through else COLOURS - 1
    colours, which = np.unique(pixels[draw][:, :3], axis=0, return_inverse=True)
    if len(colours) > room:
        note(f"more than {COLOURS} colours; the nearest of {COLOURS} take their places")
        opaque = Image.fromarray(np.where(draw[..., None], pixels, 0)[..., :3].astype(np.uint8))
        few = opaque.quantize(room, dither=Image.Dither.NONE)
        colours = np.array(few.getpalette(), np.uint8).reshape(-1, 3)[:room]
        which = np.asarray(few)[draw]
    places = np.full(draw.shape, len(colours), np.uint8) if room < COLOURS else np.zeros(draw.shape, np.uint8)
    places[draw] = which.reshape(-1)
    if room == COLOURS:
        return _Block(x, y, places, colours, None)
    return _Block(x, y, places, np.vstack([colours, np.zeros((1, 3), np.uint8)]), len(colours))


def _codes(places: np.ndarray) -> bytes:
    """The least size of a code, and the codes in blocks, as a GIF has them."""
    data = io.BytesIO()
    Image.fromarray(places).save(data, "GIF", optimize=False, interlace=0)
    file = data.getvalue()
    at = 13 + (3 << ((file[10] & 7) + 1) if file[10] & 0x80 else 0)
    while file[at] != 0x2C:  # extensions
        at += 2
        while file[at]:
            at += 1 + file[at]
        at += 1
    flags = file[at + 9]
    at += 10 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    return file[at:-1]
