"""Files by path or by address: a local path, or whatever fsspec opens (s3://, gs://, memory:// ...).

Places are strings, since an address is no `Path`. Local ones need no fsspec.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from invertfill.errors import InputError, how_to_install
from invertfill.imaging.files import make_folder, write_file

# Here a file appears whole or not at all; elsewhere it is written beside and then moved, as on the local disk.
WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"}
WILDCARDS = "*?["


def place(text: str | Path) -> str:
    """A path or address as the functions here take it."""
    text = str(text)
    return unquote(text.removeprefix("file://")) if text.startswith("file://") else text


def is_address(place: str) -> bool:
    return "://" in place


def is_glob(place: str) -> bool:
    return any(sign in place for sign in WILDCARDS) and not (not is_address(place) and os.path.exists(place))


def join(folder: str, name: str) -> str:
    """The place of ``name`` in ``folder``; ``name`` itself where it stands for itself."""
    if is_address(folder):
        return name if is_address(name) or os.path.isabs(name) else f"{folder.rstrip('/')}/{name}"
    return name if is_address(name) else os.path.join(folder, name)


def parent(place: str) -> str:
    return place.rpartition("/")[0] if is_address(place) else os.path.dirname(place)


def absolute(place: str) -> str:
    return place if is_address(place) else os.path.abspath(place)


def identity(place: str) -> str:
    """The same for two names of one place. Follows links to folders but not one to a file: a write replaces that."""
    if is_address(place):
        return place.rstrip("/")
    return os.path.join(os.path.realpath(parent(place) or "."), os.path.basename(place))


def is_folder(place: str) -> bool:
    if not is_address(place):
        return os.path.isdir(place)
    fs, path = _open(place)
    with _failing(place, "cannot be read"):
        return bool(fs.isdir(path))


def list_files(folder: str, *, recursive: bool = True) -> list[str]:
    """The files of a folder, relative to it, sorted. Hidden folders are left out."""
    if is_address(folder):
        fs, path = _open(folder)
        with _failing(folder, "cannot be read"):
            found = fs.find(path, maxdepth=None if recursive else 1)
        names = [name.removeprefix(path).lstrip("/") for name in found]
    else:
        names = []

        def stop(error: OSError) -> None:
            raise error

        with _failing(folder, "cannot be read"):
            for here, folders, files in os.walk(folder, onerror=stop):
                folders[:] = [name for name in folders if recursive and not name.startswith(".")]
                names += [os.path.relpath(os.path.join(here, name), folder) for name in files]
    return sorted(names)


def find(pattern: str) -> tuple[str, list[str]]:
    """What a glob matches: the folder before the first wildcard, and the files relative to it, sorted."""
    first = min(pattern.index(sign) for sign in WILDCARDS if sign in pattern)
    folder = parent(pattern[:first])
    if is_address(pattern):
        fs, path = _open(pattern)
        start = len(str(_open(folder)[1]))
        with _failing(pattern, "cannot be read"):
            return folder, sorted(name[start:].lstrip("/") for name in fs.glob(path))
    files = [name for name in glob.glob(pattern, recursive=True) if os.path.isfile(name)]
    return folder, sorted(os.path.relpath(name, folder or ".") for name in files)


def read(place: str) -> bytes:
    """Raises InputError where there is no such file, or it can't be read."""
    data = read_if_there(place)
    if data is None:
        raise InputError(f"{place}: no such file")
    return data


def read_if_there(place: str) -> bytes | None:
    """None where there is no such file. Raises InputError where it can't be read."""
    with _failing(place, "cannot be read"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if is_address(place):
            fs, path = _open(place)
            data: bytes = fs.cat_file(path)
            return data
        if os.path.isfile(place):
            return Path(place).read_bytes()
        if os.path.exists(place):  # nobody knows when a pipe or a device ends
            raise InputError(f"{place}: a folder, a pipe or a device, where a file is wanted")
    return None


def write(place: str, data: bytes) -> None:
    """Write a file whole, with the folders above it. Raises InputError where that cannot be."""
    if not is_address(place):
        make_folder(parent(place) or ".")
        write_file(Path(place), data)
        return
    fs, path = _open(place)
    with _failing(place, "cannot be written"):
        if WHOLE & set(fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)):
            fs.pipe_file(path, data)
            return
        fs.makedirs(parent(path), exist_ok=True)
        beside = f"{parent(path)}/.invertfill-{secrets.token_hex(8)}"
        fs.pipe_file(beside, data)
        fs.mv(beside, path)


def _open(place: str) -> tuple[Any, str]:
    """fsspec's file system, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise InputError(f"{place}: addresses need fsspec; {how_to_install('cluster')}") from None
    with _failing(place, "cannot be opened"):  # an unknown protocol, a package that isn't there, no credentials
        fs, path = url_to_fs(place)
    return fs, path


@contextlib.contextmanager
def _failing(place: str, what: str) -> Iterator[None]:
    """What stores raise, which has no common base but Exception, ends as an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise InputError(f"{place}: {what} ({reason})") from None
