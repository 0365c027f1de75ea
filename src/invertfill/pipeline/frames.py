"""Fill all pictures of a file: pages one by one, frames so that what stands still stays still."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from typing import Any, Protocol

import numpy as np
from PIL import Image

from invertfill.errors import InputError
from invertfill.imaging.frames import Frames, Reader, read_frames
from invertfill.imaging.masks import MaskSource
from invertfill.imaging.palette import nearest, weighted
from invertfill.imaging.reading import open_image
from invertfill.imaging.sources import ImageSource, settle
from invertfill.notes import Notes, silent
from invertfill.options import DEFAULTS, OF_HOLE, FillOptions
from invertfill.pipeline.crops import find_compact_crops
from invertfill.pipeline.holes import read_hole
from invertfill.pipeline.result import FillResult

SIDE, CONTEXT = 32, 1.5  # a hole's surroundings: a square of at least as many pixels, and sides of the hole
STILL = 2.0  # levels on average, and at most a share of the pixels by more: what codecs change of a still picture
MOVED, SHARE = 16, 0.005
READ = {name: DEFAULTS[name] for name in OF_HOLE if name != "feather"}  # a hole that was read already needs no more


class Filler(Protocol):
    """What is needed of an `Inpainter`."""

    options: FillOptions

    def fill(self, image: ImageSource, mask: MaskSource | None = None, **changes: Any) -> FillResult: ...

    def only(self, model: str) -> Filler: ...


def fill_frames(inpainter: Filler, reader: Reader, mask: Any, name: str, **changes: Any) -> FillResult:
    """`Inpainter.fill` for a file with several pictures.

    Args:
        mask: one for all, a file with as many pages or frames, or a list of as many masks.
        name: the picture's, for messages.
        changes: options.

    Returns:
        The first picture, and all of them in `frames`.
    """
    options, notes = inpainter.options.changed(**changes), Notes(reader.notes)
    masks = _masks(mask if mask is None or isinstance(mask, list | tuple) else settle(mask, "mask"), reader)
    results: list[FillResult] = []
    still = _Still()
    for index, (source, one) in enumerate(zip(reader.sources, masks, strict=True)):
        try:
            if reader.timing is None:
                result = inpainter.fill(source, one, **changes)
            else:
                picture = open_image(source, note=silent)
                hole = read_hole(picture, one, name, options, notes)
                result = _fill_frame(inpainter, picture, hole, still, reader.timing.few_colours, **changes | READ)
                if result.model and not result.faces:  # one model for all of them
                    inpainter = inpainter.only(result.model)
        except InputError as error:
            what = "page" if reader.timing is None else "frame"
            raise InputError(f"{_named(str(error), name)} ({what} {index + 1} of {reader.count})") from None
        results.append(result)
    filled = [result for result in results if result.model] or results[:1]
    notes(*(_named(line, name) for result in filled for line in result.notes))
    pictures = tuple(result.image for result in results)
    return replace(
        filled[0],
        image=pictures[0],
        notes=tuple(notes),
        seconds=sum(result.seconds for result in results),
        frames=Frames(pictures, reader.timing),
        output_quality=options.output_quality,
    )


def _named(line: str, name: str) -> str:
    """A frame has no name of its own."""
    return f"{name}{line.removeprefix('image')}" if line.startswith("image: ") else line


def _masks(mask: Any, reader: Reader) -> Iterator[MaskSource | None]:
    """One for each picture; those of a file with several may be empty."""
    several = read_frames(mask)
    if several is None and not isinstance(mask, list | tuple):
        return repeat(mask, reader.count)
    count = several.count if several else len(mask)
    if count != reader.count:
        what = "pages" if reader.timing is None else "frames"
        raise InputError(
            f"{mask if several else 'mask'}: {count} masks for {reader.count} {what}; "
            f"accepted: one for all, or {reader.count}"
        )
    return iter([open_image(source, note=silent) for source in several.sources] if several else mask)


def _fill_frame(
    inpainter: Filler, picture: Image.Image, hole: np.ndarray, still: _Still, few_colours: bool, **changes: Any
) -> FillResult:
    """One frame, in which holes whose surroundings haven't changed are as they were."""
    given = np.array(picture)
    pixels, left = still.reused(given, hole)
    frame = Image.fromarray(pixels)
    frame.info = picture.info
    result = FillResult(frame, "")
    if left.any() or not hole.any():
        result = inpainter.fill(frame, left, **changes)
        if few_colours and left.any():
            result = replace(result, image=_with_few_colours(result.image, left))
    still.keep(given, hole, left, np.array(result.image))
    return result


def _with_few_colours(image: Image.Image, hole: np.ndarray) -> Image.Image:
    """The hole in colours of the rest, so that a palette holds all."""
    pixels = np.array(image.convert("RGBA"))
    colours = np.unique(pixels[~hole], axis=0)
    if hole.all() or len(colours) > 256:
        return image
    pixels[hole] = colours[nearest(weighted(pixels[hole]), weighted(colours))]
    result = Image.fromarray(pixels).convert(image.mode)
    result.info = image.info
    return result


class _Still:
    """The frame from which each part of a fill is, since small changes from frame to frame would add up unseen."""

    def __init__(self) -> None:
        self.given: np.ndarray | None = None  # (H, W, C): of each hole's square, the frame in which it was filled
        self.filled: np.ndarray | None = None
        self.hole: np.ndarray | None = None

    def reused(self, given: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The frame with what can be taken from before, and the hole that is left."""
        pixels, left = given.copy(), hole.copy()
        if self.given is None or self.filled is None or self.hole is None:
            return pixels, left
        for inside in _squares(hole):
            now, part = given[inside], hole[inside]
            if not np.array_equal(part, self.hole[inside]) or part.all():
                continue
            difference = np.abs(now[~part].astype(np.int16) - self.given[inside][~part])
            if difference.mean() <= STILL and (difference > MOVED).mean() <= SHARE:
                pixels[inside][part] = self.filled[inside][part]
                left[inside] = False
        return pixels, left

    def keep(self, given: np.ndarray, hole: np.ndarray, left: np.ndarray, filled: np.ndarray) -> None:
        """Remember what was filled just now."""
        if self.given is None or self.filled is None or self.hole is None:
            self.given, self.filled, self.hole = given.copy(), filled.copy(), hole.copy()
            return
        for inside in _squares(left):
            self.given[inside], self.filled[inside] = given[inside], filled[inside]
        self.hole = hole.copy()


def _squares(hole: np.ndarray) -> list[tuple[slice, slice]]:
    boxes = (crop.inside(hole.shape[1], hole.shape[0]) for crop in find_compact_crops(hole, SIDE, CONTEXT))
    return [np.s_[top:bottom, left:right] for left, top, right, bottom in boxes]
