"""What a fill gives back: the picture, and what there is to say about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from invertfill.imaging.depth import samples_of, view
from invertfill.imaging.files import write_file
from invertfill.imaging.frames import Frames, encode_frames
from invertfill.imaging.writing import check_output, encode_image
from invertfill.notes import Note, log


@dataclass(frozen=True, repr=False)
class FillResult:
    """A filled picture. Notebooks show it; `numpy.asarray` takes it, in the type of the picture's own values.

    Attributes:
        image: of the given picture's size and mode, with its metadata in `info`.
        model: the name of the model that filled it, or, where others filled its faces, the rest; "" where there was no
            hole.
        why: where several models could have: why this one. Else "".
        notes: what the user should know, one line each: what was lost, changed or guessed.
        seed: that it was filled with.
        seconds: from opening the picture to the finished result; of several filled together, since the last.
        raw: (H, W, 3) uint8, sRGB: what the model draws in the squares around holes, before blending, and the picture
            elsewhere. None unless `FillOptions.keep_raw`.
        frames: all pages or frames of a file with several; `image` is the first. Else None.
        output_quality: at which it is saved; see `FillOptions`.
        faces: how many faces were found and filled by a model of portraits beside `model`; 0 where the whole picture is
            one portrait.
        engine: what ran the model, and where, such as "onnx on cpu"; "" where there was no hole.
    """

    image: Image.Image
    model: str
    why: str = ""
    notes: tuple[str, ...] = ()
    seed: int = 0
    seconds: float = 0.0
    raw: np.ndarray | None = None
    frames: Frames | None = None
    output_quality: int | None = None
    faces: int = 0
    engine: str = ""

    def __repr__(self) -> str:
        width, height = self.size
        pages = f", {len(self.frames.pictures)} pictures" if self.frames else ""
        how = f"{self.model} ({self.engine})" if self.engine else self.model or "no model needed"
        notes = f", {len(self.notes)} notes" if self.notes else ""
        what = f"{width}x{height} {self.image.mode}{pages}"
        return f"FillResult({what}: {how}, seed {self.seed}, {self.seconds:.2f} s{notes})"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size

    def save(self, path: str | Path, *, note: Note = log.info) -> Path:
        """Write the picture with its metadata; see `invertfill.imaging.writing.save_image`.

        Args:
            path: its suffix says the format.
            note: told what the format can't hold.

        Raises:
            InputError: the suffix can't be written, or the place can't.
        """
        path = check_output(path)
        write_file(path, self.encode(path, note=note))
        return path

    def encode(self, name: str | Path, *, note: Note = log.info) -> bytes:
        """What `save` writes to a file of that name."""
        if self.frames is not None:
            return encode_frames(self.frames, name, quality=self.output_quality, note=note)
        return encode_image(self.image, name, quality=self.output_quality, note=note)

    def _repr_png_(self) -> bytes | None:
        shown = view(self.image) if self.image.mode in ("I", "F") else self.image  # which a PNG can't hold
        png: bytes | None = shown._repr_png_()
        return png

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        samples = samples_of(self.image)
        return np.array(self.image if samples is None else samples, dtype)
