"""Folders, and files that appear whole or not at all, whatever happens."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from invertfill.errors import InputError

unfinished: set[Path] = set()  # files that a process which ends in the middle has to take away


def make_folder(path: str | Path) -> Path:
    """Make a folder and its parents. Raises InputError where that cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: not a folder that can be written to ({error.strerror})") from None
    return Path(path)


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
