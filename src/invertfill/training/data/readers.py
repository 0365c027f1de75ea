"""Folders, zips and tars of pictures behind one small interface: names, and bytes by name."""

from __future__ import annotations

import io
import logging
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from invertfill.errors import InputError

log = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
CHUNK = 1024  # pictures decoded at a time

Reader = Callable[[str], bytes]


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


@contextmanager
def open_source(path: str | Path) -> Iterator[tuple[list[str], Reader]]:
    """Names of the pictures in a folder (at any depth), zip or tar, sorted, and a thread-safe way to read one.

    Raises:
        InputError: nothing there, no folder/zip/tar, a damaged archive, or no picture inside.
    """
    path = Path(path)
    accepted = f"a folder, zip or tar with {', '.join(SUFFIXES)} files is accepted"
    lock = threading.Lock()  # an archive has one file position
    try:
        if path.is_dir():
            names = [p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file() and _is_picture(p.name)]
            yield _some(names, path, accepted), lambda name: (path / name).read_bytes()
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:

                def read_zip(name: str) -> bytes:
                    with lock:
                        return archive.read(name)

                yield _some([n for n in archive.namelist() if _is_picture(n)], path, accepted), read_zip
        elif path.is_file() and tarfile.is_tarfile(path):
            with tarfile.open(path) as tar:
                members = {m.name: m for m in tar.getmembers() if m.isfile() and _is_picture(m.name)}

                def read_tar(name: str) -> bytes:
                    with lock:
                        stream = tar.extractfile(members[name])
                        return stream.read() if stream else b""

                yield _some(list(members), path, accepted), read_tar
        else:
            raise InputError(f"{path}: {accepted}")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise InputError(f"{path}: damaged archive ({error}); {accepted}") from error


def _some(names: list[str], path: Path, accepted: str) -> list[str]:
    if not names:
        raise InputError(f"{path}: no picture inside; {accepted}")
    return sorted(names)


def decode(data: bytes, size: int) -> np.ndarray:
    """One picture, upright, RGB, centre-cropped and resized: bytes -> (size, size, 3) uint8.

    Raises:
        OSError, ValueError, SyntaxError: whatever Pillow raises on a file that is no whole picture.
    """
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    if upright.size != (size, size):
        upright = ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(upright)


class ImageSet:
    """A set of pictures of one size.

    A file that can't be decoded is named in the log, counted, and skipped: with the cache, by leaving it out; without,
    by taking the next picture in its place. Either way what a number stands for depends on the files alone, so a
    resumed run sees what it would have seen.

    Args:
        path: folder, zip or tar.
        size: side in pixels.
        cache: decode all now and keep them as uint8; otherwise a picture is decoded whenever it is asked for.
        limit: how many names to use, from the first.
        workers: decoding threads.

    Attributes:
        names: the pictures, sorted.
        broken: names of the files that couldn't be decoded so far, with the reason.
        pixels: (N, size, size, 3) uint8, or None without the cache.

    Raises:
        InputError: see `open_source`; or not one picture could be decoded.
    """

    def __init__(
        self, path: str | Path, size: int, *, cache: bool = True, limit: int | None = None, workers: int = 4
    ) -> None:
        self.path, self.size = Path(path), size
        self.broken: dict[str, str] = {}
        self.pixels: np.ndarray | None = None
        self._threads = ThreadPoolExecutor(workers)
        self._closing = ExitStack()
        names, self._read = self._closing.enter_context(open_source(path))
        self.names = names[:limit]
        if cache:
            self._decode_all()

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """Pictures by number: (B,) -> (B, size, size, 3) uint8."""
        if self.pixels is not None:
            return self.pixels[indices]
        return np.stack(list(self._threads.map(self._decode_or_next, indices)))

    def close(self) -> None:
        """Stop the threads and close the archive."""
        self._threads.shutdown(cancel_futures=True)
        self._closing.close()

    def _decode_all(self) -> None:
        pixels = np.empty((len(self.names), self.size, self.size, 3), np.uint8)
        kept: list[str] = []
        for start in range(0, len(self.names), CHUNK):  # by chunks, so that the set is in memory only once
            chunk = self.names[start : start + CHUNK]
            for name, image in zip(chunk, self._threads.map(self._try, chunk), strict=True):
                if image is not None:
                    pixels[len(kept)] = image
                    kept.append(name)
        if not kept:
            raise self._all_broken()
        self.names, self.pixels = kept, pixels[: len(kept)]
        if self.broken:
            log.warning("%s: %d broken files skipped: %s", self.path, len(self.broken), self._reasons())

    def _decode_or_next(self, index: int) -> np.ndarray:
        for offset in range(len(self.names)):
            name = self.names[(index + offset) % len(self.names)]
            known = name in self.broken
            image = None if known else self._try(name)
            if image is not None:
                return image
            if not known:
                log.warning("%s: broken file skipped: %s (%s)", self.path, name, self.broken[name])
        raise self._all_broken()

    def _try(self, name: str) -> np.ndarray | None:
        try:
            return decode(self._read(name), self.size)
        except Exception as error:  # decoders raise KeyError, struct.error and what not
            # Pillow's own text for this names an object in memory.
            self.broken[name] = "no picture" if isinstance(error, UnidentifiedImageError) else str(error)
            return None

    def _reasons(self) -> str:
        return "; ".join(f"{name} ({reason})" for name, reason in sorted(self.broken.items()))

    def _all_broken(self) -> InputError:
        name, reason = next(iter(sorted(self.broken.items())))
        return InputError(f"{self.path}: none of {len(self.broken)} pictures can be decoded, such as {name} ({reason})")
