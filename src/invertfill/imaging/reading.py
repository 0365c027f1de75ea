"""Open a picture as it is meant to be seen: upright, fully decoded, in one of a few modes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from invertfill.errors import InputError, how_to_install
from invertfill.imaging import coefficients, depth
from invertfill.imaging import deep_files as deep
from invertfill.imaging.announced import DESCRIPTION, images_of, others_in
from invertfill.imaging.formats import ACCEPTED, FORMATS, HEIF, SUFFIXES, register_heif
from invertfill.imaging.metadata import kept_info, read_exif, turn, turned
from invertfill.imaging.palette import remember
from invertfill.imaging.quality import LOSSY, lossy
from invertfill.imaging.quality import depth as file_depth
from invertfill.imaging.sources import Encoded, FileSource, ImageSource, check_there, name_of, settle
from invertfill.notes import Note, log

AT_HAND = ("PNG", "JPEG", "BMP", "GIF")  # without Pillow's other fifty plugins, which take a tenth of a second to load
# Modes that are filled as they are, so that known pixels keep their exact values.
MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "I;16", "I", "F")
LARGEST = 2 * 89_478_485  # pixels: Pillow's own limit, a measure of memory
LOSSY_FORMATS = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF")


def open_image(source: ImageSource, *, note: Note = log.info) -> Image.Image:
    """Open a picture, upright and fully decoded.

    Args:
        source: a path, a file's bytes, an open binary file, a PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4): uint8 0..255, float 0..1, uint16, or (without alpha) any other integers and floats.
        note: told what is lost: a palette, bits beyond 8 of a colour picture, all frames but the first, damaged EXIF
            data.

    Returns:
        A PIL image of its own in one of ``MODES``. The EXIF orientation is applied; palettes and other ways of
        transparency become plain channels. ``info`` keeps the colour profile, resolution, EXIF (without orientation
        and without the thumbnail, which would show what was there) and XMP, and of a JPEG its quantisation tables and
        subsampling, as "jpeg"; samples of other types than the mode's own, as "samples" (`imaging.depth`).

    Raises:
        InputError: no such file, not an image, truncated, or a mode or array that is not accepted.
    """
    source = settle(source, "image")
    if isinstance(source, np.ndarray):
        source = _from_array(source)
        if source.mode != "1":
            return source
    if isinstance(source, Image.Image):
        with _no_traceback("image"):
            return _upright(source, "image", read_exif(source, "image", note), own=False)
    with _no_traceback(source), _open_file(source) as file:
        name = str(source)
        try:
            image = _identify(file, name)
        except UnidentifiedImageError:
            if (data := _whole_tiff(file)) is None:
                raise
            samples, image = deep.read_tiff(data, name)
            picture = depth.of_samples(samples)
            picture.info |= kept_info(image, read_exif(image, name, note), picture.size)
            return picture
        _say_what_is_lost(image, name, note)
        if isinstance(image, TiffImageFile):
            deep.refuse_bands(name, image.tag_v2.get(277, 1), len(image.getbands()))
        dtype = depth.type_of(image)
        exif = read_exif(image, name, note)  # before loading, at which Pillow turns a TIFF and forgets the rest
        info = dict(image.info)  # which `_upright` replaces
        image.load()
        picture = _upright(image, name, exif, own=True)
        if image.format in LOSSY_FORMATS:
            file.seek(0)
            data = file.read()
            if image.format in ("JPEG", "MPO") and not turned(image) and coefficients.available():
                picture.info[coefficients.FILE] = data
            if given := lossy(image, data, info):
                picture.info[LOSSY] = given
            if (bits := file_depth(image, data, info)) > 8:
                note(f"{name}: {bits} bits per channel become 8")
            if others := others_in(image.format, data, info):
                what = " and a ".join(others)
                note(f"{name}: beside the picture the file holds a {what}, not filled; the result is without")
        return picture if dtype == np.uint8 else _with_depth(picture, file, name, dtype, note)


def open_as_stored(source: FileSource | Image.Image) -> Image.Image:
    """Open a picture upright and fully decoded, in its own mode: labels are no colours.

    Raises:
        InputError: no such file, not an image, truncated, or without pixels.
    """
    with contextlib.ExitStack() as stack:
        name = name_of(source, "image")
        stack.enter_context(_no_traceback(name))
        if isinstance(source, FileSource):
            source = _identify(stack.enter_context(_open_file(source)), name)
        source.load()
        if 0 in source.size:
            raise InputError(f"{name}: no pixels; accepted: at least one")
        return turn(source)


def look(source: FileSource) -> tuple[str, tuple[int, int]]:
    """What a file's header says: the suffix of its own format, ".png" if that can't be written, and (width, height).

    Raises:
        InputError: no such file, or not an image.
    """
    with _no_traceback(source), _open_file(source) as file:
        try:
            image = _identify(file, str(source))
        except UnidentifiedImageError:
            if (data := _whole_tiff(file)) is None:
                raise
            return ".tif", deep.tiff_size(data)
        # An MPO is a JPEG with previews behind it.
        kind = "JPEG" if image.format == "MPO" else image.format
        return next((suffix for suffix in SUFFIXES if FORMATS[suffix] == kind), ".png"), image.size


@contextlib.contextmanager
def opened(source: FileSource) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """A file's picture, not decoded yet, and the file. What goes wrong meanwhile ends as an InputError."""
    with _no_traceback(source), _open_file(source) as file:
        yield _identify(file, str(source)), file


def _identify(file: BinaryIO, name: str) -> Image.Image:
    """Not decoded yet."""
    # By name or content: phones and messengers call many a HEIC .jpg.
    if Path(name).suffix.lower() in HEIF or file.read(10)[4:] == b"ftyphe":
        register_heif(name)
    with contextlib.suppress(UnidentifiedImageError):
        return Image.open(file, formats=AT_HAND)
    file.seek(0)
    # Of what Pillow knows, only what is accepted: others run programs (EPS) or are hardly ever looked at.
    known = set(Image.registered_extensions().values())
    return Image.open(file, formats=sorted(known & set(FORMATS.values())))


@contextlib.contextmanager
def _no_traceback(name: object) -> Iterator[None]:
    """Whatever Pillow stumbles over in a file ends as an InputError."""
    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image that can be read; {ACCEPTED}") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name}: too large; accepted: up to {LARGEST // 10**6} million pixels") from None
    except MemoryError:
        raise InputError(f"{name}: not enough memory to open it") from None
    except Exception as error:  # decoders raise KeyError, struct.error and what not
        reason = str(error) or type(error).__name__
        raise InputError(f"{name}: damaged or truncated image ({reason}); {ACCEPTED}") from None


def _open_file(source: FileSource) -> BinaryIO:
    # Never by its name, since Pillow maps a file of that into memory: turned grey TIFFs come out garbled, and a file
    # that is cut short meanwhile ends the process.
    if isinstance(source, Encoded):
        return io.BytesIO(source.data)
    check_there(source)
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{path}: a folder, where one image is wanted; {ACCEPTED}")
    if not path.is_file():  # nobody knows when a pipe or a device ends
        raise InputError(f"{path}: a pipe or a device, where a file is wanted; {ACCEPTED}")
    return path.open("rb")


def _say_what_is_lost(image: Image.Image, name: str, note: Note) -> None:
    """Before loading, while the file's own mode and tables are known."""
    # Their number isn't asked for: that takes a walk through all of them. An MPO's other frames are previews.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        note(f"{name}: several pictures; only the first is filled")
    elif isinstance(image, TiffImageFile) and (count := images_of(str(image.tag_v2.get(DESCRIPTION)))) > 1:
        note(f"{name}: ImageJ's {count} pictures without pages of their own; only the first is filled")


def _whole_tiff(file: BinaryIO) -> bytes | None:
    """The bytes of a file, if it is a TIFF."""
    file.seek(0)
    start = file.read(4)
    return start + file.read() if start in deep.TIFF else None


def _with_depth(picture: Image.Image, file: BinaryIO, name: str, dtype: np.dtype, note: Note) -> Image.Image:
    """The picture with its samples in the file's own type, where they can be read."""
    own, samples = np.asarray(picture), None
    if own.dtype == dtype:
        return picture
    if (own.ndim == 2 and own.dtype != np.uint8) or dtype == np.int8:
        samples = own.view(dtype).copy() if own.itemsize == dtype.itemsize else own.astype(dtype)
    elif dtype == np.uint16 and picture.mode in depth.VIEWS.values() and deep.available():
        file.seek(0)
        samples = deep.read_samples(file.read(), dtype)
        if samples is not None and not _agree(samples, own):
            samples = None
    if samples is None:
        advice = "" if deep.available() else f"; {how_to_install('deep')} keeps 16"
        note(f"{name}: {8 * dtype.itemsize} bits per channel become 8{advice}")
        return picture
    if own.dtype == np.uint8 and dtype == np.uint16:  # the view is there already
        picture.info[depth.SAMPLES] = samples
        return picture
    deeper = depth.of_samples(samples)
    deeper.info |= picture.info
    return deeper


def _agree(samples: np.ndarray, high: np.ndarray) -> bool:
    """Whether the high bytes of samples of 16 bits are those that Pillow found."""
    lines = range(0, len(high), depth.LINES)
    parts = (slice(top, top + depth.LINES) for top in lines)
    return samples.shape == high.shape and all(np.array_equal(samples[part] >> 8, high[part]) for part in parts)


def _upright(image: Image.Image, name: str, exif: Image.Exif, own: bool) -> Image.Image:
    """In one of ``MODES``, turned as the EXIF orientation says, with what `info` is to keep.

    The same object where nothing is to be done and it is our `own`: a copy may take hundreds of megabytes.
    """
    if 0 in image.size:
        raise InputError(f"{name}: no pixels; accepted: at least one")
    turned = turn(image)
    plain = _plain(turned, name)
    if plain is image and not own:
        plain = image.copy()
    plain.info = kept_info(image, exif, plain.size)
    if depth.SAMPLES in plain.info and not own:
        plain.info[depth.SAMPLES] = plain.info[depth.SAMPLES].copy()
    remember(plain, turned)
    return plain


def _plain(image: Image.Image, name: str) -> Image.Image:
    """The same picture in one of ``MODES``."""
    if image.has_transparency_data and image.mode not in ("LA", "RGBA"):
        image = image.convert("LA" if image.mode in ("1", "L", "La") else "RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "YCbCr", "LAB", "HSV", "RGBX"):
        image = image.convert("RGB")
    elif image.mode.startswith("I;16"):
        image = Image.fromarray(np.asarray(image).astype(np.uint16))
    elif image.mode not in MODES:
        raise InputError(f"{name}: pixel type {image.mode!r} is not accepted; accepted: {', '.join(MODES)}")
    return image


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise InputError(f"image array of shape {array.shape}; accepted: (H, W), (H, W, 1), (H, W, 3), (H, W, 4)")
    if array.dtype == bool and array.ndim == 2:
        return Image.fromarray(array)
    if array.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(array))
    if array.dtype.name not in depth.TYPES:
        raise InputError(f"image array of type {array.dtype}; accepted: integers, or floats of up to 64 bits")
    shades = depth.within_one(array)
    if array.shape[2:] == (4,) and not (shades or array.dtype == np.uint16):
        raise InputError(
            f"image array (H, W, 4) of type {array.dtype}; accepted: uint8, uint16, float 0..1, or no alpha"
        )
    return depth.of_samples(np.array(array, array.dtype.newbyteorder("="), order="C"), "L" if shades else "")
