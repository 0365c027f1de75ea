"""Several pictures in one: contact sheets."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

LINE = 14  # pixels that a label takes
GROUND, INK = (64, 64, 64), "white"  # not the white of holes


def contact_sheet(
    pictures: Sequence[Image.Image], columns: int, *, labels: Sequence[str] = (), side: int | None = None, gap: int = 0
) -> Image.Image:
    """Pictures in rows.

    Args:
        pictures: any sizes and modes; at least one.
        columns: pictures in a row.
        labels: a line above each; none at all, or one for each.
        side: none is longer; larger pictures are made smaller. None: as they are.
        gap: pixels between them and around them all.

    Returns:
        RGB; each picture in the upper left corner of a cell of the largest one's size.
    """
    small = [thumbnail(picture, side) for picture in pictures]
    line = LINE if labels else 0
    width, height = max(p.width for p in small) + gap, max(p.height for p in small) + line + gap
    rows = -(-len(small) // columns)
    sheet = Image.new("RGB", (min(columns, len(small)) * width + gap, rows * height + gap), GROUND)
    draw = ImageDraw.Draw(sheet)
    for index, picture in enumerate(small):
        x, y = index % columns * width + gap, index // columns * height + gap
        if labels:
            draw.text((x, y), labels[index], INK)
        sheet.paste(picture, (x, y + line))
    return sheet


def thumbnail(picture: Image.Image, side: int | None) -> Image.Image:
    """An RGB copy with no side longer than that."""
    copy = picture.convert("RGB")
    if side:
        copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    return copy
