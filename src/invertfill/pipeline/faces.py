"""Faces that a hole touches, wherever they are: the squares in which a model of aligned portraits fills them.

A first look finds candidates in squares around the holes. Two more, turned and scaled as a candidate's eyes, nose and
mouth ask for, must both find the same face, upright and in its place: what looks like a face in one view only isn't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from invertfill.imaging.resize import resize
from invertfill.pipeline.blending import spread
from invertfill.pipeline.crops import Crop, centred, find_compact_crops, is_nearly_square
from invertfill.pipeline.face_detector import SIZE, find_faces
from invertfill.pipeline.squares import Square

See = Callable[[Square], tuple[np.ndarray, np.ndarray]]
"""What is seen of a square: image (3, 256, 256) in [-1, 1] and mask (1, 256, 256), 1 = hole."""

# Where FFHQ's aligned portraits have eyes, nose and mouth, as the detector sees them: means over 100 real and 100 drawn
# ones (`benchmarks/faces.py points`).
PLACES = np.array([-0.269 - 0.056j, 0.244 - 0.062j, -0.023 + 0.281j, -0.014 + 0.515j])
CONTEXTS = (2.5, 6.0, 20.0)  # sides of the first look's squares, in sides of the hole
CLOSEST = 128  # pixels: no square is smaller
MOST = 8  # squares of one scale; where there are more, that scale is left out
FIRST, AGAIN = 0.4, 0.65  # least scores of the first look and of the others
WIDER = (1.6, 2.0)  # sides of the portrait's square: what these see
KNOWN = 0.3  # of a face and its hair must be known, in the picture: less is a guess
COARSE = 64  # pixels a side: at that size holes are filled for the detector, smoothly, so that none is a face
LEAST = 64  # pixels: side of the least portrait's square, twice a face's
CENTRE, SCALE, TURN = 0.2, 1.3, 15.0  # how far the second look may be off: half sides, times, degrees
HINT, VAGUE = 0.3, 1.7  # least score of what only hints at a portrait; times as far off as a second look may be
HEAD = -0.02j, 0.7, 0.88  # middle and radii of the ellipse that holds face and hair


def find_portraits(hole: np.ndarray, see: See) -> list[Square]:
    """The squares of portraits that a hole touches; where two would show one face, the surer one.

    Args:
        hole: (H, W) bool.
        see: shows a square of the picture.
    """
    candidates = sorted(_candidates(hole, see), key=lambda found: -found[0])
    whole = Square.upright(_whole(hole))
    if is_nearly_square(*hole.shape) and any(_in_place(square, whole, VAGUE) for _, square in candidates):
        candidates.insert(0, (1.0, whole))  # the picture may be one portrait, aligned
    portraits: list[Square] = []
    for _, square in candidates:
        if any(_same(square, other) for other in portraits) or not in_head(square, hole).any():
            continue
        if _share_known(square, see) < KNOWN:
            continue
        again = _look_again(square, WIDER[0], see)
        surest = again and _look_again(square, WIDER[1], see)
        if again and surest:
            portraits.append(Square((again.centre + surest.centre) / 2, (again.half + surest.half) / 2))
    return portraits


def aligned(points: np.ndarray) -> Square:
    """The square in which eyes, nose and mouth, (4,) or more complex, are nearest to their places: least squares."""
    points, own = points[:4], PLACES - PLACES.mean()
    half = (own.conj() @ points) / (own.conj() @ own).real
    return Square(complex(points.mean() - half * PLACES.mean()), complex(half))


def in_head(square: Square, hole: np.ndarray) -> np.ndarray:
    """The part of (H, W) bool in which the face and its hair would be."""
    left, top, right, bottom = square.around.inside(*hole.shape[::-1])
    part = np.zeros_like(hole)
    if right > left and bottom > top:
        at = square.moved(-complex(left, top)).own((bottom - top, right - left)) - HEAD[0]
        within = (at.real / HEAD[1]) ** 2 + (at.imag / HEAD[2]) ** 2 <= 1
        part[top:bottom, left:right] = hole[top:bottom, left:right] & within
    return part


def is_portrait(faces: list[Square], hole: np.ndarray, context: float | None) -> bool:
    """Whether a picture with these faces is, about, a portrait that is aligned, and would be filled as a whole."""
    if len(faces) != 1 or not is_nearly_square(*hole.shape):
        return False
    whole = _whole(hole)
    return find_compact_crops(hole, SIZE, context) == [whole] and _in_place(faces[0], Square.upright(whole))


def hints_at_portrait(hole: np.ndarray, see: See) -> bool:
    """Whether the picture as a whole looks a little like an aligned portrait, too little to say where its face is."""
    whole = Square.upright(_whole(hole))
    views = (Square(whole.centre, whole.half * wider) for wider in (1.0, WIDER[0]))
    return any(_in_place(found, whole, VAGUE) for view in views for _, found in _look(view, see, HINT))


def _whole(hole: np.ndarray) -> Crop:
    """The square around a picture."""
    height, width = hole.shape
    side = max(hole.shape)
    return Crop((width - side) // 2, (height - side) // 2, side)


def _candidates(hole: np.ndarray, see: See) -> Iterator[tuple[float, Square]]:
    for crop in _crops(hole):
        view = Square.upright(crop)
        for score, square in _look(view, see, FIRST):
            if square.side >= LEAST:
                yield score, square


def _share_known(square: Square, see: See) -> float:
    _, mask = see(square)
    half = mask.shape[-1] / 2
    head = in_head(Square(complex(half, half), complex(half)), np.ones(mask.shape[1:], bool))
    return 1 - float(mask[0][head].mean())


def _look_again(square: Square, wider: float, see: See) -> Square | None:
    """What is found in a wider view of a portrait's square, if it is about that square."""
    found = (one for _, one in _look(Square(square.centre, square.half * wider), see, AGAIN))
    return next((one for one in found if _in_place(one, square)), None)


def _look(view: Square, see: See, least: float) -> Iterator[tuple[float, Square]]:
    image, mask = see(view)
    if not mask.all():
        for face in find_faces(_smooth(image, mask), least):
            yield face.score, view.inner(aligned(face.points))


def _smooth(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The view with its holes filled smoothly."""
    if not mask.any():
        return image
    known, colours = (resize(x[None], COARSE)[0] for x in (1 - mask, image * (1 - mask)))
    small = spread(colours / np.maximum(known, 1e-6), known)
    large = [Image.fromarray(c.astype(np.float32)).resize(mask.shape[1:], Image.Resampling.BILINEAR) for c in small]
    return np.where(mask > 0, np.stack([np.asarray(channel) for channel in large]), image)


def _in_place(square: Square, other: Square, slack: float = 1.0) -> bool:
    """Whether it is about another one."""
    off, half = (square.centre - other.centre) / other.half, square.half / other.half
    turn, scale = abs(np.angle(half, deg=True)), abs(np.log(abs(half)))
    return bool(abs(off) <= CENTRE * slack and scale <= np.log(SCALE) * slack and turn <= TURN * slack)


def _same(one: Square, other: Square) -> bool:
    """Whether they'd show one face: their middles are nearer than the larger face is wide."""
    return abs(one.centre - other.centre) < max(one.side, other.side) / 3


def _crops(hole: np.ndarray) -> list[Crop]:
    """Squares around holes, at several scales."""
    height, width = hole.shape
    found: list[Crop] = []
    for context in CONTEXTS:
        crops = find_compact_crops(hole, SIZE, context)
        if len(crops) > MOST:
            continue
        for crop in crops:
            if crop.side < CLOSEST:
                crop = centred((crop.x, crop.y, crop.x + crop.side, crop.y + crop.side), CLOSEST, width, height)
            if crop not in found:
                found.append(crop)
    return found
