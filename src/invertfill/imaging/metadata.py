"""What a file says about its picture: EXIF, XMP, resolution, orientation."""

from __future__ import annotations

import contextlib
import math
import re
from typing import Any

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.TiffImagePlugin import TiffImageFile

from invertfill.imaging.announced import without_announcements
from invertfill.imaging.coefficients import FILE
from invertfill.imaging.depth import NODATA, SAMPLES, nodata_of
from invertfill.imaging.quality import LOSSY
from invertfill.notes import Note

# EXIF tags that describe the file and not the picture: a TIFF's own layout (its writer makes them anew), orientation.
LAYOUT = {254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 283, 284, 296, 317, 320, 322, 323, 324, 325}
LAYOUT |= {330, 338, 339, 347, 530, 531, 532, 700, 33723, 34377, 34675}
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
IFDS = (EXIF_IFD, GPS_IFD)
WIDTH, HEIGHT = 0xA002, 0xA003
XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"  # how it begins in a JPEG
ELSEWHERE = ("XML:com.adobe.xmp", "Raw profile type")  # of a PNG's text: what Pillow gives as XMP and EXIF
TIE_POINTS, TRANSFORMATION = 33922, 34264  # of GeoTIFF


def read_exif(image: Image.Image, name: object, note: Note) -> Image.Exif:
    """What describes the picture: no layout of the file, no orientation, no thumbnail."""
    try:
        given, kept = image.getexif(), Image.Exif()
        kept.update({tag: value for tag, value in given.items() if tag not in LAYOUT and tag not in IFDS})
        for tag in IFDS:
            if entries := given.get_ifd(tag):
                kept[tag] = kept._ifds[tag] = dict(entries)  # newer Pillows look at the second, older at the first
        kept.tobytes()
        return kept
    except OSError:  # for EXIF data behind the pixels, Pillow decodes these, and they are damaged
        raise
    except Exception:  # the picture itself may be whole
        note(f"{name}: the EXIF data is damaged and goes")
        return Image.Exif()


def turned(image: Image.Image) -> Image.Transpose | None:
    """How the EXIF orientation says that it has to be turned; None where it is upright."""
    orientation = None
    with contextlib.suppress(Exception):  # damaged EXIF data: `read_exif` has said so
        orientation = image.getexif().get(ORIENTATION)
    return TURNS.get(orientation) if isinstance(orientation, int) else None


def turn(image: Image.Image) -> Image.Image:
    """As the EXIF orientation says; the image itself where it is upright."""
    how = turned(image)
    return image if how is None else image.transpose(how)


def kept_info(image: Image.Image, exif: Image.Exif, size: tuple[int, int]) -> dict[str | tuple[int, int], Any]:
    """What `info` is to keep of an opened image, now upright and of that size."""
    info: dict[str | tuple[int, int], Any] = {}
    if profile := image.info.get("icc_profile"):
        info["icc_profile"] = profile
    dpi = image.info.get("dpi")
    if dpi and all(math.isfinite(value) and value > 0 for value in dpi):
        info["dpi"] = dpi
    details = exif.get_ifd(EXIF_IFD)
    if {WIDTH, HEIGHT} & details.keys():
        details[WIDTH], details[HEIGHT] = size
    if len(exif) or details or exif.get_ifd(GPS_IFD):
        info["exif"] = exif.tobytes()
    xmp = _xmp_of(image)
    if xmp and isinstance(xmp, bytes | str):
        text = xmp.encode() if isinstance(xmp, str) else xmp
        # The picture is upright now; what XMP says of that has to agree.
        info["xmp"] = without_announcements(re.sub(rb'(tiff:Orientation(?:="|>))[1-8]', rb"\g<1>1", text))
    if isinstance(compression := image.info.get("compression"), str):  # of a TIFF; a BMP has a number there
        info["compression"] = compression
    if (
        jpeg := (image.quantization, get_sampling(image))
        if isinstance(image, JpegImageFile)
        else image.info.get("jpeg")
    ):
        info["jpeg"] = jpeg
    info |= text_of(image)
    for name in (LOSSY, FILE, SAMPLES):  # of a picture that was opened here before, and so is upright
        if name in image.info:
            info[name] = image.info[name]
    if (nodata := image.info.get(NODATA, nodata_of(image))) is not None:
        info[NODATA] = nodata
    return info


def _xmp_of(image: Image.Image) -> Any:
    xmp = image.info.get("xmp", image.info.get("XML:com.adobe.xmp"))
    if isinstance(image, TiffImageFile):
        xmp = image.tag_v2.get(700)
    if xmp is None and isinstance(image, JpegImageFile):  # older Pillows leave it among the file's segments
        segments = (data for name, data in image.applist if name == "APP1" and data.startswith(XMP_SEGMENT))
        xmp = next((data.removeprefix(XMP_SEGMENT) for data in segments), None)
    return xmp


def text_of(image: Image.Image) -> dict[str | tuple[int, int], Any]:
    """A PNG's text, such as the prompt that made the picture, as "text"; another file's comment, as "comment"."""
    text = getattr(image, "text", None) or image.info.get("text") or {}
    kept = {key: value for key, value in text.items() if not key.startswith(ELSEWHERE)}
    found = {"text": kept, "comment": image.info.get("comment")}
    return {name: value for name, value in found.items() if value}


def moved_georeference(exif: bytes, left: int, top: int) -> bytes:
    """EXIF data whose GeoTIFF tags say where each pixel lies after that many were added on the left and on top."""
    with contextlib.suppress(Exception):  # damaged EXIF data is as it is
        tags = Image.Exif()
        tags.load(exif)
        if points := tags.get(TIE_POINTS):  # column, row and height in the picture, then the place on Earth, of each
            moves = (left, top, 0, 0, 0, 0)
            tags[TIE_POINTS] = tuple(value + moves[i % 6] for i, value in enumerate(points))
        if matrix := tags.get(TRANSFORMATION):  # 4 x 4, from column and row
            a, b, c, d, e, f, g, h, *rest = matrix
            moved = (a, b, c, d - a * left - b * top, e, f, g, h - e * left - f * top)
            tags[TRANSFORMATION] = (*moved, *rest)
        if points or matrix:
            return tags.tobytes()
    return exif
