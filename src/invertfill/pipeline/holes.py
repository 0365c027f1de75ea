"""Where the hole of a picture is: by a mask, boxes, transparency, NaN or nodata."""

from __future__ import annotations

import numpy as np
from PIL import Image

from invertfill.errors import InputError
from invertfill.imaging.depth import missing
from invertfill.imaging.distance import grow
from invertfill.imaging.masks import MaskSource, mark_boxes, read_mask
from invertfill.notes import Note
from invertfill.options import FillOptions
from invertfill.pipeline.transparency import ERASED, alpha_of, soft_hole


def read_hole(picture: Image.Image, mask: MaskSource | None, name: str, options: FillOptions, note: Note) -> np.ndarray:
    """(H, W) bool."""
    if mask is not None:
        how = {"invert": options.invert_mask, "resize": options.resize_mask}
        hole = read_mask(mask, picture.size, **how, picture=picture, note=note)
    elif options.box:
        hole = np.zeros(picture.size[::-1], bool)
    else:
        hole = _transparent(picture, name)
    return grow(mark_boxes(hole, options.box), options.grow)


def why_none(picture: Image.Image, mask: MaskSource | None) -> str:
    """For the user, where there is no hole: how see-through a pixel would have to be. "" with a mask."""
    alpha = None if mask is not None else alpha_of(picture)
    if alpha is None or (least := int(alpha.min())) == 255:
        return ""
    return f" (the least alpha is {least} of 255; {ERASED} or less is a hole)"


def _transparent(picture: Image.Image, name: str) -> np.ndarray:
    alpha, gaps = alpha_of(picture), missing(picture)
    if alpha is not None:
        hole = soft_hole(alpha)
        return hole if gaps is None else hole | gaps
    if gaps is None:
        raise InputError(
            f"{name}: no mask given and no transparency; accepted: a mask, boxes, or an image with transparent holes"
        )
    return gaps
