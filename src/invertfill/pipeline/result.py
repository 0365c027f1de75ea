"""What a fill gives back: the picture, and what there is to say about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from invertfill.imaging.depth import samples_of, view
from invertfill.imaging.io import save_image
from invertfill.notes import Note, log


@dataclass(frozen=True)
class FillResult:
    """A filled picture. Notebooks show it; `numpy.asarray` takes it, in the type of the picture's own values.

    Attributes:
        image: of the given picture's size and mode, with its metadata in `info`.
        model: the name of the model that filled it; "" where there was no hole.
        why: where several models could have: why this one. Else "".
        notes: what the user should know, one line each: what was lost, changed or guessed.
        seed: that it was filled with.
        seconds: from opening the picture to the finished result; of several filled together, since the last.
        raw: (H, W, 3) uint8, sRGB: what the model draws in the squares around holes, before blending, and the picture
            elsewhere. None unless `FillOptions.keep_raw`.
    """

    image: Image.Image
    model: str
    why: str = ""
    notes: tuple[str, ...] = ()
    seed: int = 0
    seconds: float = 0.0
    raw: np.ndarray | None = field(default=None, repr=False)

    def save(self, path: str | Path, *, note: Note = log.info) -> Path:
        """Write the picture with its metadata; see `invertfill.imaging.io.save_image`.

        Args:
            path: its suffix says the format.
            note: told what the format can't hold.

        Raises:
            InputError: the suffix can't be written, or the place can't.
        """
        return save_image(self.image, path, note=note)

    def _repr_png_(self) -> bytes | None:
        shown = view(self.image) if self.image.mode in ("I", "F") else self.image  # which a PNG can't hold
        png: bytes | None = shown._repr_png_()
        return png

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        samples = samples_of(self.image)
        return np.array(self.image if samples is None else samples, dtype)
