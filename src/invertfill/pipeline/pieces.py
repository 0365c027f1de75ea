"""What of a picture is filled, cut into pieces as a model sees them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from invertfill.engines.base import Engine
from invertfill.imaging.colour import to_srgb
from invertfill.imaging.depth import missing, part_of
from invertfill.notes import Note, Notes, silent
from invertfill.options import FillOptions
from invertfill.pipeline.crops import Box, Crop, cut
from invertfill.pipeline.feather import Feather
from invertfill.pipeline.levels import Levels
from invertfill.pipeline.squares import Square, Turned
from invertfill.pipeline.thin import find_crops
from invertfill.pipeline.transparency import alpha_of, erased


@dataclass(frozen=True)
class Piece:
    """What lies inside the picture of one square around holes.

    Attributes:
        box: left, top, right, bottom in the picture.
        hole: (h, w) bool, all of it that lies there.
        part: (h, w) in [0, 1], how much this square has to say on each pixel of it: `Crop.part`.
        unknown: (h, w) bool: the hole, and where nothing is known beside it: erased, NaN or nodata.
        rgb: (h, w, 3) uint8, sRGB; of other than 8 bits (h, w, 1 or 3) float32, as `levels` sees it.
        crop: the square, in the piece's own coordinates.
        seen, seen_mask: what the model sees of it, from `cut`.
        turned: where the square is turned, what of it the crop is.
    """

    box: Box
    hole: np.ndarray
    part: np.ndarray
    unknown: np.ndarray
    rgb: np.ndarray
    crop: Crop
    seen: np.ndarray
    seen_mask: np.ndarray
    levels: Levels | None = None
    turned: Turned | None = None


@dataclass(frozen=True)
class Job:
    """A picture, and what of it is to be filled by which engine."""

    picture: Image.Image
    engine: Engine | None  # None where there is no hole, or none is left
    pieces: list[Piece]
    seed: int
    why: str
    notes: Notes
    by_alpha: bool = False  # the hole is where the picture is transparent
    feather: Feather | None = None
    model: str = ""  # see `FillResult`, as of `faces` and, there called `engine`, `ran`
    faces: list[Square] = field(default_factory=list)
    ran: str = ""


def pieces_of(
    picture: Image.Image, hole: np.ndarray, size: int, options: FillOptions, note: Note, aligned: bool = False
) -> list[Piece]:
    unknown = unknown_in(picture, hole)
    crops = find_crops(hole, size, options.context, thin=not aligned, note=note)
    return [piece_of(picture, hole, unknown, crop, size, note) for crop in crops]


def unknown_in(picture: Image.Image, hole: np.ndarray) -> np.ndarray:
    """(H, W) bool: the hole, and what else nothing is known of."""
    alpha = alpha_of(picture)
    for more in (None if alpha is None else erased(alpha), missing(picture)):
        hole = hole if more is None else hole | more
    return hole


def piece_of(picture: Image.Image, hole: np.ndarray, unknown: np.ndarray, crop: Crop, size: int, note: Note) -> Piece:
    left, top, right, bottom = box = crop.inside(*picture.size)
    inside, hidden = hole[top:bottom, left:right], unknown[top:bottom, left:right]
    filled = inside if crop.part is None else crop.part
    crop = Crop(crop.x - left, crop.y - top, crop.side, crop.part)
    rgb, levels = colours_of(picture, hidden, box, note)
    return Piece(box, inside, filled, hidden, rgb, crop, *cut(rgb, hidden, crop, size), levels)


def face_piece(picture: Image.Image, hole: np.ndarray, part: np.ndarray, square: Square, size: int) -> Piece:
    """A piece that fills `part` of the hole, seen from a turned square."""
    left, top, right, bottom = box = square.around.inside(*picture.size)
    inside = np.s_[top:bottom, left:right]
    hidden = unknown_in(picture, hole)[inside]
    rgb, levels = colours_of(picture, hidden, box, silent)
    turned = Turned.of(square.moved(-complex(left, top)), rgb, hidden)
    crop = Crop(0, 0, len(turned.rgb))
    seen = cut(turned.rgb, turned.hole, crop, size)
    return Piece(box, hole[inside], part[inside], hidden, rgb, crop, *seen, levels, turned)


def colours_of(picture: Image.Image, hidden: np.ndarray, box: Box, note: Note) -> tuple[np.ndarray, Levels | None]:
    """`Piece.rgb` and `levels` of a box in which (h, w) bool is unknown."""
    samples = part_of(picture, box)
    if samples is not None:
        levels = Levels.of(samples, ~hidden)
        return levels.seen(samples), levels
    part = picture.crop(box)
    part.info = picture.info
    return np.asarray(to_srgb(part, note=note)), None
