"""The formats that pictures can have, by the suffixes of their names."""

from __future__ import annotations

from pathlib import Path

from invertfill.errors import InputError, how_to_install

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
ACCEPTED = f"accepted: {', '.join(SUFFIXES)}"


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


def check_name(name: str | Path) -> None:
    """Raise InputError if the name's suffix is of no format that can be written."""
    if Path(name).suffix.lower() not in SUFFIXES:
        raise InputError(f"{name}: not an image file name that can be written; {ACCEPTED}")
    if Path(name).suffix.lower() in HEIF:
        register_heif(name)


def kind_of(name: str | Path) -> str:
    """Pillow's name of the format. Raises InputError where it can't be written."""
    check_name(name)
    return FORMATS[Path(name).suffix.lower()]


def media_type(suffix: str) -> str:
    """Such as "image/jpeg"."""
    return "image/heic" if suffix == ".heic" else f"image/{FORMATS[suffix].lower()}"


def register_heif(name: str | Path) -> None:
    """Let Pillow know HEIC. Raises InputError where the extra is missing."""
    try:
        from pillow_heif import register_heif_opener
    except ModuleNotFoundError:
        raise InputError(f"{name}: HEIC needs pillow-heif; {how_to_install('heif')}") from None
    register_heif_opener(thumbnails=False)
