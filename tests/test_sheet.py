"""Contact sheets: where each picture lies."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from invertfill.imaging.sheet import LINE, contact_sheet

COLOURS = ("red", "lime", "blue")


def test_plain_rows() -> None:
    pictures = [Image.new("RGB", (4, 3), colour) for colour in COLOURS]
    sheet = contact_sheet(pictures, 2)
    assert sheet.size == (8, 6)
    assert [sheet.getpixel(at) for at in ((0, 0), (7, 2), (0, 5))] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def test_fewer_pictures_than_columns() -> None:
    assert contact_sheet([Image.new("L", (4, 3))], 5).size == (4, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P"])
def test_labels_gaps_and_smaller_copies(mode: str) -> None:
    pictures = [Image.new(mode, (40, 20)), Image.new(mode, (20, 40)), Image.new(mode, (5, 5))]
    sheet = contact_sheet(pictures, 3, labels=["first", "second", "third"], side=20, gap=2)
    assert sheet.mode == "RGB" and sheet.size == (3 * (20 + 2) + 2, 20 + LINE + 2 + 2)
    labels = np.asarray(sheet)[2 : 2 + LINE]
    assert all(np.ptp(labels[:, 2 + i * 22 : 22 + i * 22]) > 100 for i in range(3))
    assert pictures[0].size == (40, 20)  # as it was
