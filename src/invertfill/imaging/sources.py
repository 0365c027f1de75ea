"""What a picture or a mask may be given as, and what of it to call it by."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from invertfill.errors import InputError


@dataclass(frozen=True)
class Encoded:
    """An image's file, read already: its bytes, and the name that messages call it by."""

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


FileSource: TypeAlias = str | Path | Encoded
Settled: TypeAlias = FileSource | Image.Image | np.ndarray
ImageSource: TypeAlias = Settled | bytes | BinaryIO
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/|data:", re.IGNORECASE)  # a Path has one slash left; of a drive, one letter
KINDS = "a path, bytes, an open binary file, a PIL image or an array"


def settle(source: ImageSource, what: str) -> Settled:
    """The source as one of the kinds that readers take. A file is read from where it stands, once.

    Args:
        source: any kind of source.
        what: "image" or "mask": the name of what has none.

    Raises:
        InputError: of another kind, or a file that can't be read.
    """
    # Of a masked array NumPy would take the hidden values, too. There is none before its module is imported.
    if "numpy.ma" in sys.modules and isinstance(source, np.ma.MaskedArray):
        raise InputError(f"{what}: a masked array; accepted: its data as the image, its mask as the mask")
    if isinstance(source, Path | Encoded | Image.Image | np.ndarray | str):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return Encoded(what, bytes(source))
    if isinstance(source, os.PathLike):
        return Path(source)
    if not callable(getattr(source, "read", None)):
        raise InputError(f"{what} of type {type(source).__name__}; accepted: {KINDS}")
    name = getattr(source, "name", what)
    name = name if isinstance(name, str) else what
    try:
        data = source.read()
    except (OSError, ValueError) as error:  # closed, or not open for reading; text that is none
        raise InputError(f"{name}: a file that can't be read ({error}); accepted: one that is open in binary") from None
    if not isinstance(data, bytes):
        raise InputError(f"{name}: a file that is open as text; accepted: one that is open in binary")
    return Encoded(name, data)


def name_of(source: Settled, what: str) -> str:
    """For messages."""
    return str(source) if isinstance(source, FileSource) else str(getattr(source, "filename", "")) or what


def check_there(path: str | Path) -> None:
    """Raise InputError if there is no such file."""
    if os.path.exists(path):  # Path.exists raises where a name is too long
        return
    if ADDRESS.match(str(path)):
        raise InputError(f"{path}: an address, which is not supported; download it first")
    raise InputError(f"{path}: no such file")
