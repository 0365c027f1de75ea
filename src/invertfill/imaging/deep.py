"""Colour of 16 bits per channel, by libvips (the extra "deep"), since Pillow has no mode for it.

Inside, such a picture is one of 8 bits, the high bytes, with the low bytes beside it: ``info["low"]``, (H, W, C) uint8.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

LOW = "low"
MODES = ("LA", "RGB", "RGBA")
FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    "PNG": (".png", {}),
    "TIFF": (".tif", {"compression": "lzw", "predictor": "horizontal"}),
}


def bits(image: Image.Image) -> int:
    """Bits per channel of a file that Pillow has opened, but not yet loaded."""
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(258, (8,)))
    return 16 if isinstance(image, PngImageFile) and image.tile and "16" in str(image.tile[0].args) else 8


def available() -> bool:
    try:
        import pyvips  # noqa: F401
    except (ImportError, OSError):  # OSError: no libvips under it
        return False
    return True


def read_low(path: Path, picture: Image.Image) -> np.ndarray | None:
    """The low bytes of a file of which the picture, upright, holds the high ones; None where libvips reads others."""
    import pyvips

    try:
        pixels = pyvips.Image.new_from_buffer(path.read_bytes(), "").autorot().numpy()
    except pyvips.Error:
        return None
    if pixels.dtype != np.uint16 or not np.array_equal(pixels >> 8, np.asarray(picture)):
        return None
    return (pixels & 255).astype(np.uint8)


def low_of(picture: Image.Image) -> np.ndarray | None:
    """The low bytes, where the picture has some and still has their size."""
    low = picture.info.get(LOW)
    return low if low is not None and low.shape == (picture.height, picture.width, len(picture.getbands())) else None


def encode(picture: Image.Image, low: np.ndarray, kind: str) -> bytes:
    """A PNG or TIFF of 16 bits with what `info` keeps; a TIFF without EXIF data, which libvips can't write there."""
    import pyvips

    pixels = np.asarray(picture).astype(np.uint16) << 8 | low
    image = pyvips.Image.new_from_array(pixels, interpretation="grey16" if picture.mode == "LA" else "rgb16")
    if "dpi" in picture.info:
        across, down = (float(value) / 25.4 for value in picture.info["dpi"])  # pixels per millimetre
        image = image.copy(xres=across, yres=down)
    for key, name in (("icc_profile", "icc-profile-data"), ("exif", "exif-data"), ("xmp", "xmp-data")):
        if key in picture.info:
            image.set_type(pyvips.GValue.blob_type, name, picture.info[key])
    suffix, options = FORMATS[kind]
    encoded: bytes = image.write_to_buffer(suffix, **options)
    return encoded
