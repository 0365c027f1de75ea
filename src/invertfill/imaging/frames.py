"""Files with several pictures: the pages of a TIFF, the frames of an animation. Read one by one, written together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from invertfill.errors import InputError
from invertfill.imaging import gif, tiff
from invertfill.imaging.formats import kind_of
from invertfill.imaging.metadata import text_of
from invertfill.imaging.quality import ANIMATION, lossy
from invertfill.imaging.reading import LARGEST, opened
from invertfill.imaging.sources import Encoded, FileSource, ImageSource
from invertfill.imaging.writing import encode_image
from invertfill.notes import Note, log

ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
LARGEST_IN_ALL = 2 * LARGEST  # pixels of all frames
HOLDING = "GIF, PNG, WebP, AVIF and TIFF hold several"


@dataclass(frozen=True)
class Timing:
    """When the frames of an animation are seen.

    Attributes:
        durations: milliseconds, one for each frame.
        disposals: of a GIF: what becomes of each frame afterwards, as GIF counts that.
        loop: as the file says it; None where it says nothing.
        default_image: of an APNG: the first frame is no part of it, but what is seen where none is understood.
        few_colours: each frame has a palette.
        lossy: they were encoded with loss.
    """

    durations: tuple[float, ...]
    disposals: tuple[int, ...] = ()
    loop: int | None = None
    default_image: bool = False
    few_colours: bool = False
    lossy: bool = False


@dataclass(frozen=True)
class Frames:
    """The pictures of one file, in order.

    Attributes:
        pictures: of an animation all of one size and mode.
        timing: None: pages.
    """

    pictures: tuple[Image.Image, ...]
    timing: Timing | None = None


@dataclass(frozen=True)
class Reader:
    """A file with several pictures; `open_image` opens each.

    Attributes:
        count: how many, at least two.
        sources: each in order.
        timing: as of `Frames`.
        notes: what is left out.
    """

    count: int
    sources: Iterator[ImageSource]
    timing: Timing | None
    notes: tuple[str, ...] = ()


def read_frames(source: object, most: int | None = None) -> Reader | None:
    """The pictures of a file, None where there is only one, or where it isn't a file.

    Args:
        most: pixels of all frames that are accepted, since they are in memory together; None: ``LARGEST_IN_ALL``.

    Raises:
        InputError: as of `open_image`.
    """
    if not isinstance(source, FileSource):
        return None
    with ExitStack() as stack:
        try:
            image, file = stack.enter_context(opened(source))
        except InputError:
            return None  # `open_image` reads it otherwise, or says what is wrong
        if not getattr(image, "is_animated", False):
            return None
        if image.format == "TIFF":
            file.seek(0)
            pages, others = tiff.split(file.read())
            notes = (f"{source}: {others} smaller copies or mattes of its pages go",) if others else ()
            if len(pages) == 1 and not others:
                return None
            return Reader(len(pages), (Encoded(str(source), page()) for page in pages), None, notes)
        if image.format not in ANIMATED:
            return None
        pictures, timing = _read_animation(image, str(source), most or LARGEST_IN_ALL)
        file.seek(0)
        timing = replace(timing, lossy=image.format != "PNG" and lossy(image, file.read(), image.info) is not None)
        return Reader(len(pictures), _one_by_one(pictures), timing)


def encode_frames(frames: Frames, name: str | Path, *, quality: int | None = None, note: Note = log.info) -> bytes:
    """One file of all pictures, where the format can hold them; else of the first alone, and `note` is told.

    Args:
        quality: as of `save_image`.

    Raises:
        InputError: as of `encode_image`.
    """
    try:
        return _encode(frames, kind_of(name), name, quality, note)
    except InputError:
        raise
    except Exception as error:  # such as a file too long for its format
        raise InputError(f"{name}: cannot be written ({error})") from None


def _encode(frames: Frames, kind: str, name: str | Path, quality: int | None, note: Note) -> bytes:
    timing, first = frames.timing, frames.pictures[0]
    if kind == "TIFF":
        if timing is not None:
            note(f"{name}: the frames become pages; GIF, PNG, WebP and AVIF keep their durations")
        pages = len(frames.pictures)
        return tiff.join(
            [encode_image(picture, name, quality=quality, pages=pages, note=note) for picture in frames.pictures]
        )
    if timing is None or kind not in ANIMATED:
        what = f"{len(frames.pictures)} {'pages' if timing is None else 'frames'}"
        note(f"{name}: of {what}, only the first is written; {'TIFF holds all' if timing is None else HOLDING}")
        return encode_image(first, name, quality=quality, note=note)
    if kind == "GIF":
        disposals = timing.disposals or (gif.KEEP,) * len(frames.pictures)
        return gif.encode(
            frames.pictures,
            timing.durations,
            disposals,
            timing.loop,
            first.info.get("comment", b""),
            lambda text: note(f"{name}: {text}"),
        )
    more: dict[str, Any] = {
        "save_all": True,
        "append_images": frames.pictures[1:],
        "duration": [round(duration) for duration in timing.durations[timing.default_image :]],
        "loop": 1 if timing.loop is None else timing.loop,
    }
    if kind == "PNG":
        more["default_image"] = timing.default_image
    if quality is None and timing.lossy:
        quality = ANIMATION
    return encode_image(first, name, quality=quality, frames=more, note=note)


def _one_by_one(pictures: list[Image.Image]) -> Iterator[ImageSource]:
    """Each is given up once it is filled, or they would be in memory twice."""
    pictures.reverse()
    while pictures:
        yield pictures.pop()


def _read_animation(image: Image.Image, name: str, most: int) -> tuple[list[Image.Image], Timing]:
    """All frames as they are seen, in RGB, or RGBA where something is see-through."""
    pictures, durations, disposals = [], [], []
    size = image.size
    count: int = image.n_frames  # type: ignore[attr-defined]
    if image.width * image.height * count > most:
        raise InputError(
            f"{name}: {count} frames of {image.width}x{image.height}; accepted: up to {most // 10**6} million pixels"
            " in all"
        )
    timing = Timing(
        (),
        loop=image.info.get("loop"),
        default_image=bool(image.info.get("default_image")),
        few_colours=image.format == "GIF",
    )
    about: dict[Any, Any] = {
        name: image.info[name] for name in ("icc_profile", "dpi", "exif", "xmp") if name in image.info
    } | text_of(image)
    for index in range(count):
        image.seek(index)
        image.load()
        pictures.append(image.convert("RGBA").crop((0, 0, *size)))  # a frame of a GIF may reach beyond its screen
        durations.append(float(image.info.get("duration", 0)))
        if image.format == "GIF":
            disposals.append(int(image.disposal_method))  # type: ignore[attr-defined]
    if all(picture.getchannel("A").getextrema() == (255, 255) for picture in pictures):
        pictures = [picture.convert("RGB") for picture in pictures]
    for picture in pictures:
        picture.info = dict(about)
    return pictures, replace(timing, durations=tuple(durations), disposals=tuple(disposals))
