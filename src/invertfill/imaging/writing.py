"""Write a picture in the format that its name says, as much like the file that it was as that can be."""

from __future__ import annotations

import io
import os
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from invertfill.errors import InputError
from invertfill.imaging import coefficients, depth, gif, tiff
from invertfill.imaging import deep_files as deep
from invertfill.imaging.announced import DESCRIPTION, true_description
from invertfill.imaging.colour import WITHOUT_ALPHA, to_srgb
from invertfill.imaging.files import make_folder, write_file
from invertfill.imaging.formats import check_name, kind_of
from invertfill.imaging.metadata import XMP_SEGMENT
from invertfill.imaging.palette import MODES as FEW_MODES
from invertfill.imaging.palette import restored
from invertfill.imaging.quality import LOSSY, like, options_for
from invertfill.imaging.reading import open_image
from invertfill.notes import Note, log, silent

# Lossless wherever the format can be; elsewhere at the quality at which a new encoding can hardly be seen. PNG and WebP
# with less effort than is usual: of photographs of 12 megapixels, the PNG was as long and took 1.6 s instead of 4.1 s,
# the WebP was a fifth longer and took 2.5 s instead of 9.8 s.
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 3},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True, "method": 1, "quality": 20},  # exact: colours under full transparency too
    "TIFF": {"compression": "tiff_lzw"},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    # x265 tries ways to split blocks, which takes most of the time. At its fastest it loses as little.
    "HEIF": {"quality": 100, "chroma": 444, "enc_params": {"preset": "ultrafast"}},
}
SIXTEEN = "16 bits per channel become 8; PNG and TIFF keep them"
LOSSLESS_TIFF = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "lzma", "zstd")
BILEVEL_TIFF = ("tiff_ccitt", "group3", "group4")
LONG = 1000  # characters of text, from which on a PNG has it compressed
MARKER = 65_000  # bytes that a JPEG holds of EXIF or XMP
KEPT = ("icc_profile", "dpi", "exif", "xmp")  # of `info`
DESCRIBED = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIF")
HOLDING = {  # of `info`: what it is, and which formats hold it
    "icc_profile": ("colour profile", DESCRIBED),
    "exif": ("EXIF data", DESCRIBED),
    "xmp": ("XMP data", DESCRIBED),
    "text": ("text", ("PNG",)),
    "comment": ("comment", ("JPEG", "GIF")),
}


def check_output(path: str | Path, *inputs: str | Path | None) -> Path:
    """Raise InputError if an image cannot be written to ``path``; called before the work, not after it.

    ``inputs`` are files that the image is made of, and which it must not replace.
    """
    check_name(path)
    path = Path(path)
    if os.path.exists(path) and not path.is_file():
        raise InputError(f"{path}: a folder, pipe or device, where a file name is wanted")
    if any(source and os.path.exists(source) and path.exists() and path.samefile(source) for source in inputs):
        raise InputError(f"{path}: the picture or mask itself; accepted: another file name")
    make_folder(path.parent)
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path.parent}: not a folder that can be written to")
    return path


def save_image(image: Image.Image, path: str | Path, *, quality: int | None = None, note: Note = log.info) -> Path:
    """Save a picture with its colour profile, resolution, EXIF and XMP.

    It is encoded, written beside, then renamed: whatever happens, ``path`` is as it was or whole. A symbolic link is
    replaced itself, and not what it points to.

    PNG, TIFF, BMP and WebP are written lossless. JPEG has no alpha and re-encodes every pixel; a picture that was
    a JPEG is written with its own quantisation tables and subsampling, unless another `quality`, 1 to 100, is asked
    for.
    `note` is told what the format can't hold.

    Raises:
        InputError: the suffix can't be written, or the place can't.
    """
    path = check_output(path)
    write_file(path, encode_image(image, path, quality=quality, note=note))
    return path


def encode_image(
    image: Image.Image,
    name: str | Path,
    *,
    quality: int | None = None,
    pages: int = 1,
    frames: dict[str, Any] | None = None,
    note: Note = log.info,
) -> bytes:
    """What `save_image` writes.

    Args:
        pages: of the file that this is one of.
        frames: of an animation that begins with this picture: what Pillow's `save` is to be told of the others.

    Raises:
        InputError: the name's suffix can't be written, or the format can't hold the picture.
    """
    kind = kind_of(name)

    def lost(text: str) -> None:
        note(f"{name}: {text}")

    try:
        image = _described(restored(image), pages)
        deep.check_kind(image, kind)
        options = {**SAVE_OPTIONS.get(kind, {}), **_quality(image, kind, quality), **(frames or {})}
        if depth.is_beside(image):
            dtype = image.info[depth.SAMPLES].dtype
            if deep.holds(kind, dtype):
                return deep.encode(image, kind, lambda dot: _encode(dot, kind, SAVE_OPTIONS[kind], lost))
            wide = dtype == np.uint16
            lost(SIXTEEN if wide else f"values of type {dtype.name} become 8 bits per channel; TIFF keeps them")
        return _encode(_for_format(image, kind, lost), kind, options, lost)
    except Exception as error:  # encoders raise struct.error, KeyError and what not
        raise InputError(f"{name}: cannot be written ({error})") from None


def _described(image: Image.Image, pages: int) -> Image.Image:
    """With a description that says its shape."""
    exif = Image.Exif()
    exif.load(image.info.get("exif", b""))
    text = exif.get(DESCRIPTION)
    true = true_description(text, image.size, len(image.getbands()), pages) if isinstance(text, str) else text
    if true == text:
        return image
    exif[DESCRIPTION] = true
    image = copy(image)
    image.info = image.info | {"exif": exif.tobytes()}
    return image


def _quality(image: Image.Image, kind: str, asked: int | None) -> dict[str, Any]:
    """What is asked for; else what the picture's own file had."""
    if asked is not None:
        return options_for(kind, asked)
    if kind == "JPEG" and "jpeg" in image.info:
        tables, subsampling = image.info["jpeg"]
        return {"quality": -1, "qtables": tables, "subsampling": subsampling}
    given = image.info.get(LOSSY)
    return like(given, SAVE_OPTIONS[kind]) if given and given.kind == kind else {}


def _encode(image: Image.Image, kind: str, options: dict[str, Any], note: Note) -> bytes:
    options = {**options, **{key: image.info[key] for key in KEPT if image.info.get(key)}}
    for key in ("exif", "xmp"):
        if kind == "JPEG" and len(options.get(key, b"")) > MARKER:
            note(f"{key.upper()} data too long for a JPEG; it goes")
            del options[key]
    for key, (what, kinds) in HOLDING.items():
        if image.info.get(key) and kind not in kinds:
            note(f"the {what} goes; {' and '.join(kinds)} keep it" if len(kinds) < 3 else f"the {what} goes")
    if kind == "PNG":
        options["pnginfo"] = PngInfo()
        if "xmp" in options:
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode("utf-8", "replace"))
        for name, text in image.info.get("text", {}).items():
            options["pnginfo"].add_text(name, text, zip=len(text) > LONG)
    if kind == "JPEG" and "xmp" in options:  # as a segment: older Pillows take no XMP
        segment = XMP_SEGMENT + options.pop("xmp")
        options["extra"] = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    if kind == "JPEG" and "comment" in image.info:
        options["comment"] = image.info["comment"]
    if kind == "TIFF":
        return _encode_tiff(image, options, note)
    if kind == "GIF":
        return gif.encode([image], [0], [0], None, image.info.get("comment", b""), note)
    data = io.BytesIO()
    image.save(data, format=kind, **options)
    if "qtables" in options and coefficients.FILE in image.info:
        return coefficients.with_coefficients_of(image.info[coefficients.FILE], data.getvalue(), image)
    return data.getvalue()


def _encode_tiff(image: Image.Image, options: dict[str, Any], note: Note) -> bytes:
    """With the compression that the picture's file had, if it was a TIFF and lost nothing."""
    compression = image.info.get("compression")
    if compression in LOSSLESS_TIFF or (compression in BILEVEL_TIFF and image.mode == "1"):
        options["compression"] = compression
    elif compression:
        note(f"compressed by {compression} before, now by LZW, which loses nothing")
    described = {name: options.pop(name) for name in ("exif", "xmp") if name in options}
    data = io.BytesIO()
    image.save(data, "TIFF", **options)
    if not described:
        return data.getvalue()
    # Pillow's compressed TIFFs can't hold the EXIF and GPS directories, so these come from one that isn't.
    tags = Image.Exif()
    tags.load(described.get("exif", b""))
    if "xmp" in described:
        tags[700] = described["xmp"]
    dot = io.BytesIO()
    Image.new("L", (1, 1)).save(dot, "TIFF", compression="raw", exif=tags)
    return tiff.with_tags_of(dot.getvalue(), data.getvalue())


def _for_format(image: Image.Image, kind: str, note: Note) -> Image.Image:
    """The image in a mode that the format can hold; where its colour profile doesn't fit that mode, in sRGB."""
    if image.mode in FEW_MODES and kind not in _holding(image):
        image = open_image(image, note=silent)
    info = dict(image.info)
    if image.mode == "I;16" and kind not in ("PNG", "TIFF"):
        note(SIXTEEN)
        image = depth.view(image)
    if kind in ("JPEG", "BMP") and image.mode in WITHOUT_ALPHA:
        if np.asarray(image.getchannel("A")).min() < 255:
            note("the transparency goes; PNG, WebP and TIFF keep it")
        image = image.convert(WITHOUT_ALPHA[image.mode])
    grey, cmyk = image.mode in ("L", "LA"), image.mode == "CMYK"
    if cmyk and kind not in ("JPEG", "TIFF"):
        note("CMYK becomes sRGB; JPEG and TIFF keep it")
    if (cmyk and kind not in ("JPEG", "TIFF")) or (grey and kind in ("WEBP", "AVIF", "HEIF") and "icc_profile" in info):
        alpha = image.getchannel("A") if image.mode == "LA" else None
        image.info = info
        image = to_srgb(image, note=note)
        if alpha:
            image.putalpha(alpha)
        info.pop("icc_profile", None)
    image.info = info
    return image


def _holding(image: Image.Image) -> tuple[str, ...]:
    """The formats that hold a picture of few colours as it is."""
    if image.mode == "P":
        return ("PNG", "GIF") if image.has_transparency_data else ("PNG", "GIF", "TIFF", "BMP")
    return "PNG", "TIFF", "BMP"
