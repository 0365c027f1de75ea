"""Open a picture as it is meant to be seen, and save one without ever leaving half a file."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import TiffImageFile

from invertfill.errors import InputError
from invertfill.imaging import coefficients, depth, gif, tiff
from invertfill.imaging import deep_files as deep
from invertfill.imaging.announced import images_of, others_in, true_description
from invertfill.imaging.colour import WITHOUT_ALPHA, to_srgb
from invertfill.imaging.metadata import kept_info, read_exif, turn, turned
from invertfill.imaging.palette import MODES as FEW_MODES
from invertfill.imaging.palette import remember, restored
from invertfill.imaging.quality import LOSSY, like, lossy, options_for
from invertfill.imaging.quality import depth as file_depth
from invertfill.imaging.sources import Encoded, FileSource, ImageSource, check_there, name_of, settle
from invertfill.notes import Note, log, silent

HEIF = (".heic", ".heif")  # by pillow-heif, the extra "heif"
FORMATS = {  # Pillow's names
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".avif": "AVIF",
    **dict.fromkeys(HEIF, "HEIF"),
    ".gif": "GIF",
}
SUFFIXES = tuple(FORMATS)
AT_HAND = ("PNG", "JPEG", "BMP", "GIF")  # without Pillow's other fifty plugins, which take a tenth of a second to load
# Modes that are filled as they are, so that known pixels keep their exact values.
MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "I;16", "I", "F")
LARGEST = 2 * 89_478_485  # pixels: Pillow's own limit, the measure of which is memory
ACCEPTED = f"accepted: {', '.join(SUFFIXES)}"
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
LOSSY_FORMATS = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF")
DESCRIPTION = 270  # of EXIF and TIFF
MARKER = 65_000  # bytes that a JPEG holds of EXIF or XMP
KEPT = ("icc_profile", "dpi", "exif", "xmp")  # of `info`
unfinished: set[Path] = set()  # files that a process which ends in the middle has to take away


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
        _register_heif(name)
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


def is_image_name(name: str) -> bool:
    """By its suffix. Hidden files are none of the user's pictures: a killed run leaves such behind, macOS adds them."""
    return Path(name).suffix.lower() in SUFFIXES and not Path(name).name.startswith(".")


def list_images(folder: str | Path) -> list[Path]:
    """The image files of a folder, by name. Raises InputError where there are none, or no such folder."""
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder; accepted: a folder of images")
    files = sorted(path for path in Path(folder).iterdir() if is_image_name(path.name) and path.is_file())
    if not files:
        raise InputError(f"{folder}: a folder without images; {ACCEPTED}")
    return files


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


def check_name(name: str | Path) -> None:
    """Raise InputError if the name's suffix is of no format that can be written."""
    if Path(name).suffix.lower() not in SUFFIXES:
        raise InputError(f"{name}: not an image file name that can be written; accepted: {', '.join(SUFFIXES)}")
    if Path(name).suffix.lower() in HEIF:
        _register_heif(name)


def make_folder(path: str | Path) -> Path:
    """Make a folder and its parents. Raises InputError where that cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: not a folder that can be written to ({error.strerror})") from None
    return Path(path)


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


def kind_of(name: str | Path) -> str:
    """Pillow's name of the format. Raises InputError where it can't be written."""
    check_name(name)
    return FORMATS[Path(name).suffix.lower()]


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
    if kind == "PNG" and "xmp" in options:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode("utf-8", "replace"))
    if kind == "TIFF":
        return _encode_tiff(image, options)
    if kind == "GIF":
        return gif.encode([image], [0], [0], None, b"", note)
    data = io.BytesIO()
    image.save(data, format=kind, **options)
    if "qtables" in options and coefficients.FILE in image.info:
        return coefficients.with_coefficients_of(image.info[coefficients.FILE], data.getvalue(), image)
    return data.getvalue()


def _encode_tiff(image: Image.Image, options: dict[str, Any]) -> bytes:
    """With the compression that the picture's file had, if it was a TIFF."""
    compression = image.info.get("compression")
    if compression in LOSSLESS_TIFF or (compression in BILEVEL_TIFF and image.mode == "1"):
        options["compression"] = compression
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


def write_file(path: Path, data: bytes) -> None:
    """Write beside, then rename. Raises InputError where that cannot be."""
    temporary = path.with_name(f".invertfill-{secrets.token_hex(8)}{path.suffix}")
    unfinished.add(temporary)
    try:
        with os.fdopen(_open_beside(temporary), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # some file systems say only now that they are full
            if not temporary.exists():
                # Of an absolute path the directory means nothing; with one, Python follows the link, as it must here.
                opened = f"/proc/self/fd/{file.fileno()}"
                os.link(opened, temporary.absolute(), dst_dir_fd=file.fileno(), follow_symlinks=True)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be written ({error})") from None
    finally:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)
        unfinished.discard(temporary)


def _open_beside(temporary: Path) -> int:
    """A new file to write to: on Linux without a name as yet, so that a process that is killed leaves nothing."""
    if hasattr(os, "O_TMPFILE") and os.path.exists("/proc/self/fd"):
        with contextlib.suppress(OSError):  # some file systems have none
            return os.open(temporary.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
    return os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)


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


def _register_heif(name: str | Path) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ModuleNotFoundError:
        raise InputError(f'{name}: HEIC needs pillow-heif; pip install "invertfill[heif]"') from None
    register_heif_opener(thumbnails=False)


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
        advice = "" if deep.available() else '; pip install "invertfill[deep]" keeps 16'
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
