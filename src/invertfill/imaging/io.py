"""Open a picture as it is meant to be seen, and save one without ever leaving half a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from invertfill.errors import InputError

ImageSource: TypeAlias = str | Path | Image.Image | np.ndarray

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
# Modes that are filled as they are, so that known pixels keep their exact values.
MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "I;16")
ACCEPTED = f"accepted: {', '.join(SUFFIXES)}"
# Lossless wherever the format can be; a JPEG is re-encoded, so at the quality at which it can hardly be seen.
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_lzw"},
}


def open_image(source: ImageSource) -> Image.Image:
    """Open a picture, upright and fully decoded.

    Args:
        source: a path, a PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): uint8 0..255, or float 0..1.

    Returns:
        A PIL image of its own in one of ``MODES``. The EXIF orientation is applied; palettes and other ways of
        transparency become plain channels. ``info`` keeps the colour profile, resolution and EXIF.

    Raises:
        InputError: no such file, not an image, truncated, or a mode or array that is not accepted.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _plain(ImageOps.exif_transpose(source), "image")
    path = Path(source)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path}: a folder, where one image is wanted; {ACCEPTED}")
    try:
        with Image.open(path) as image:
            image.load()
            return _plain(ImageOps.exif_transpose(image), str(path))
    except UnidentifiedImageError:
        raise InputError(f"{path}: not an image that can be read; {ACCEPTED}") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: damaged or truncated image ({error}); {ACCEPTED}") from None


def list_images(folder: str | Path) -> list[Path]:
    """The image files of a folder, by name. Raises InputError where there are none, or no such folder."""
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder; accepted: a folder of images")
    files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise InputError(f"{folder}: a folder without images; {ACCEPTED}")
    return files


def check_output(path: str | Path) -> Path:
    """Raise InputError if an image cannot be written to ``path``; called before the work, not after it."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: not an image file name that can be written; {ACCEPTED}")
    if path.is_dir():
        raise InputError(f"{path}: a folder, where a file name is wanted")
    make_folder(path.parent)
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path.parent}: not a folder that can be written to")
    return path


def make_folder(path: str | Path) -> Path:
    """Make a folder and its parents. Raises InputError where that cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: not a folder that can be written to ({error.strerror})") from None
    return Path(path)


def save_image(image: Image.Image, path: str | Path) -> Path:
    """Save a picture with its colour profile, resolution and EXIF: written beside, then renamed.

    PNG, TIFF, BMP and WebP are written lossless. JPEG has no alpha and re-encodes every pixel.

    Raises:
        InputError: the suffix is not one of ``SUFFIXES``, or the place cannot be written.
    """
    path = check_output(path)
    kind = Image.registered_extensions()[path.suffix.lower()]
    keep = {key: image.info[key] for key in ("icc_profile", "dpi", "exif") if image.info.get(key)}
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".invertfill-", suffix=path.suffix)
        with os.fdopen(handle, "wb") as file:
            _for_format(image, kind).save(file, format=kind, **keep, **SAVE_OPTIONS.get(kind, {}))
        # mkstemp makes files that only their owner reads; a picture gets what any new file here would.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be written ({error})") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path


def _for_format(image: Image.Image, kind: str) -> Image.Image:
    """The image in a mode that the format can hold."""
    if image.mode == "I;16" and kind not in ("PNG", "TIFF"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if kind == "JPEG" and image.mode in ("LA", "RGBA"):
        return image.convert(image.mode[:-1])
    if kind in ("PNG", "WEBP", "BMP") and image.mode == "CMYK":
        return image.convert("RGB")
    return image


def _plain(image: Image.Image, name: str) -> Image.Image:
    """The same picture in one of ``MODES``."""
    info = {key: value for key, value in image.info.items() if key != "transparency"}
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
    else:
        image = image.copy()
    image.info = info
    return image


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise InputError(f"image array of shape {array.shape}; accepted: (H, W), (H, W, 1), (H, W, 3), (H, W, 4)")
    if np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise InputError("float image array outside 0..1; accepted: uint8 0..255, or float 0..1")
        array = np.round(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise InputError(f"image array of type {array.dtype}; accepted: uint8 0..255, or float 0..1")
    return Image.fromarray(np.ascontiguousarray(array))
