"""Pictures in any colour space -> sRGB, in which the models work, and back."""

from __future__ import annotations

import contextlib
import io
from functools import lru_cache
from typing import Any

from PIL import Image, ImageCms

from invertfill.imaging.depth import view
from invertfill.notes import Note, log

# The same way there and back: white stays white, black stays black, and colours that both spaces hold stay as they are.
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
FLAGS: Any = 0x2000  # black point compensation, as Little CMS has it: not every Pillow names it
WITHOUT_ALPHA = {"LA": "L", "RGBA": "RGB"}


def to_srgb(image: Image.Image, *, note: Note = log.info) -> Image.Image:
    """The picture in sRGB, mode RGB, without alpha; by its colour profile (`info["icc_profile"]`) if it has one.

    `note` is told where the profile is damaged or belongs to another kind of picture; sRGB is then assumed.
    """
    colours = _colours(image)
    if profile := image.info.get("icc_profile"):
        try:
            return _apply(_transform(profile, colours.mode, True), colours)
        except ImportError:
            if not any("sRGB".encode(way) in profile for way in ("ascii", "utf-16-be")):  # by its own description
                note("this Pillow knows no colour profiles, so sRGB is assumed; the profile itself is kept")
        except (OSError, ImageCms.PyCMSError) as error:
            note(f"the colour profile can't be used ({error}), so sRGB is assumed; the profile itself is kept")
    return colours.convert("RGB")


def from_srgb(rgb: Image.Image, like: Image.Image) -> Image.Image:
    """An sRGB picture in the mode and colour space of another of 8 bits, opaque where that has alpha."""
    mode = like.mode
    if profile := like.info.get("icc_profile"):
        with contextlib.suppress(ImportError, OSError, ImageCms.PyCMSError):  # `to_srgb` has said so
            return _apply(_transform(profile, WITHOUT_ALPHA.get(mode, mode), False), rgb).convert(mode)
    return rgb.convert(mode)


def _colours(image: Image.Image) -> Image.Image:
    """Mode L, RGB or CMYK."""
    image = view(image)
    return image.convert(WITHOUT_ALPHA[image.mode]) if image.mode in WITHOUT_ALPHA else image


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    result = ImageCms.applyTransform(image, transform)
    assert result is not None  # it isn't in place
    return result


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str, there: bool) -> ImageCms.ImageCmsTransform:
    """From the profile's space, mode `mode`, to sRGB, or back."""
    given, standard = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    if there:
        return ImageCms.buildTransform(given, standard, mode, "RGB", INTENT, FLAGS)
    return ImageCms.buildTransform(standard, given, "RGB", mode, INTENT, FLAGS)
