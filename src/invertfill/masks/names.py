"""Names of what can be drawn at random: the kinds of masks and the classes of coverage. Imports nothing heavy.

This is their one home: the command's help, the configuration of a run and every message take them from here.
"""

from __future__ import annotations

from typing import Literal, get_args

MaskKind = Literal["freeform", "box", "outpaint", "mixed", "lines", "lettering", "blobs", "objects", "photo"]

KINDS: tuple[str, ...] = get_args(MaskKind)
OUTLINED = ("objects", "photo")  # kinds that draw from a folder of outlines; the first can't do without
WIDE = ("lines", "lettering", "objects", "photo")  # kinds with a coverage of their own, mostly small
COVERAGE: dict[str, tuple[float, float]] = {
    "easy": (0.1, 0.3),
    "hard": (0.5, 0.6),
    "extreme": (0.7, 0.9),
    "all": (0.1, 0.9),
    "small": (0.03, 0.12),
    "any": (0.0005, 0.95),
}
