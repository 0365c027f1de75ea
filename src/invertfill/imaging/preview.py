"""A picture as browsers can show it, for those that they can't decode."""

from __future__ import annotations

import io

from invertfill.imaging.colour import to_srgb
from invertfill.imaging.reading import open_image
from invertfill.imaging.sources import ImageSource
from invertfill.notes import Note

LONGEST = 2048  # pixels, the longer side: more than a screen shows of a page
PREVIEW_SUFFIX = ".webp"


def encode_preview(source: ImageSource, note: Note) -> tuple[bytes, tuple[int, int]]:
    """WebP, sRGB, at most ``LONGEST`` pixels a side: the file's bytes, and (width, height).

    Raises:
        InputError: not a picture.
    """
    picture = open_image(source, note=note)
    small = to_srgb(picture, note=note)
    if picture.mode in ("LA", "RGBA"):
        small.putalpha(picture.getchannel("A"))
    small.thumbnail((LONGEST, LONGEST))
    data = io.BytesIO()
    small.save(data, "WEBP", quality=90)
    return data.getvalue(), small.size
