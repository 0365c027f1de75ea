"""Damage pictures of every format at random, open each as picture and mask, and save what opened.

    python tools/fuzz_readers.py --seconds 120 --seed 0

Files are read in another process, with limits on time and memory, so that a crash or a hang of a decoder is seen too.
Each must end in a picture or in an InputError; anything else is kept in --keep, and the exit status is 1. The same
seed gives the same files, in the same order.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image, ImageCms, features
from typer import Option

from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.imaging import deep_files
from invertfill.imaging.depth import of_samples
from invertfill.imaging.files import make_folder
from invertfill.imaging.formats import SUFFIXES
from invertfill.imaging.masks import read_mask
from invertfill.imaging.reading import open_image
from invertfill.imaging.writing import save_image

SIZE = (48, 32)
MEMORY = 4 << 30  # bytes of address space for one file
SAVED = 1 << 20  # pixels up to which what opened is saved again: the time for more is the encoder's
SPAWN = multiprocessing.get_context("spawn")  # libvips doesn't survive a fork


def valid_files() -> dict[str, bytes]:
    """Name -> content: small pictures with metadata, in the layouts that each format has."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    deep = Image.fromarray(rng.integers(0, 65536, SIZE[::-1], np.uint16))
    rgba, cmyk, palette = rgb.convert("RGBA"), rgb.convert("CMYK"), rgb.quantize(64)
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6
    exif.get_ifd(0x8769).update({0x9003: "2020:02:03 04:05:06", 0xA002: 48, 0xA003: 32, 0x927C: b"maker's note"})
    exif.get_ifd(0x8825).update({1: "N", 2: (50.0, 6.0, 30.0)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": profile, "dpi": (300, 300)}
    xmp = {"xmp": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6">here</a></x:xmpmeta>'}
    frames: dict[str, Any] = {"save_all": True, "append_images": [rgb.rotate(180)], "duration": 50}
    files: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "rgb.png": (rgb, data),
        "palette.png": (palette, {"transparency": 3, "bits": 8}),
        "deep.png": (deep, {}),
        "frames.png": (rgb, frames),
        "baseline.jpg": (rgb, data | xmp),
        "progressive.jpg": (rgb, {"progressive": True, "subsampling": 2}),
        "cmyk.jpg": (cmyk, {}),
        "lossy.webp": (rgb, data | xmp),
        "lossless.webp": (rgba, {"lossless": True}),
        "frames.webp": (rgb, frames),
        "raw.tif": (rgb, data),
        "lzw.tif": (rgba, {"compression": "tiff_lzw", "icc_profile": profile}),
        "deflate.tif": (deep, {"compression": "tiff_adobe_deflate"}),
        "jpeg.tif": (rgb, {"compression": "jpeg"}),
        "fax.tif": (rgb.convert("1"), {"compression": "group4"}),
        "cmyk.tif": (cmyk, {}),
        "float.tif": (rgb.convert("F"), {}),
        "frames.tif": (rgb, {"save_all": True, "append_images": [rgb.rotate(180)]}),
        "rgb.bmp": (rgb, {}),
        "bits.bmp": (rgb.convert("1"), {}),
        "palette.bmp": (palette, {}),
        "frames.gif": (palette, {"save_all": True, "append_images": [palette.rotate(180)], "transparency": 3}),
    }
    if features.check("avif"):
        files |= {"rgba.avif": (rgba, data | xmp)}
    try:
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False)
        files |= {"rgb.heic": (rgb, data | xmp)}
    except ModuleNotFoundError:
        print("without HEIC: pillow-heif is not installed")
    contents: dict[str, bytes] = {}
    if deep_files.available():
        rgb = of_samples(rng.integers(0, 65536, (*SIZE[::-1], 3), np.uint16))
        rgb.info |= {**data, **xmp}
        for suffix in ("png", "tiff"):
            with tempfile.TemporaryDirectory() as folder:
                contents[f"colour.{suffix}"] = save_image(rgb, Path(folder) / f"a.{suffix}").read_bytes()
        rgb.info = {}
    else:
        print("without colour of 16 bits: pyvips is not installed")
    for name, (image, options) in files.items():
        buffer = io.BytesIO()
        image.save(buffer, Image.registered_extensions()[Path(name).suffix], **options)
        contents[name] = buffer.getvalue()
    return contents


def damage(data: bytes, chance: random.Random) -> bytes:
    """One to four changes: bits, bytes, runs, numbers at their limits, pieces cut out or doubled, an early end."""
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        # Half of the changes hit the head, where sizes and offsets are.
        at = chance.randrange(min(len(damaged), 200) if chance.random() < 0.5 else len(damaged))
        length = min(chance.choice((1, 2, 4, 8, 64, 512)), len(damaged) - at)
        kind = chance.randrange(7)
        if kind == 0:
            damaged[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            damaged[at : at + length] = chance.randbytes(length)
        elif kind == 2:
            damaged[at : at + length] = chance.choice((b"\0", b"\xff")) * length
        elif kind == 3:
            width, order = chance.choice((2, 4, 8)), chance.choice(("little", "big"))
            value = chance.choice((0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)) % (1 << 8 * width)
            damaged[at : at + width] = value.to_bytes(width, order)  # type: ignore[arg-type]
        elif kind == 4:
            del damaged[at : at + length]
        elif kind == 5:
            damaged[at:at] = damaged[at : at + length] * chance.choice((1, 1, 50))
        else:
            del damaged[at:]
        if not damaged:
            break
    # A PNG's checksums would give nearly every change away before anything else is looked at.
    return _with_checksums(bytes(damaged)) if chance.random() < 0.7 else bytes(damaged)


def _with_checksums(data: bytes) -> bytes:
    if not data.startswith(b"\x89PNG"):
        return data
    fixed, at = bytearray(data), 8
    while at + 12 <= len(fixed):
        end = at + 8 + int.from_bytes(fixed[at : at + 4])
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = zlib.crc32(fixed[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(fixed)


def cases(seed: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of damaged files, without end."""
    chance, files = random.Random(seed), valid_files()
    while True:
        name = chance.choice(list(files))
        yield name, damage(files[name], chance)


def read(path: Path) -> tuple[str, str]:
    """("picture" or "line" or "else", and of the last a report)."""
    try:
        with contextlib.suppress(InputError):
            read_mask(path, SIZE)
        image = open_image(path)
    except InputError as error:
        return ("else", str(error)) if "not enough memory" in str(error) else ("line", "")
    except BaseException:
        return "else", traceback.format_exc()
    if image.width * image.height > SAVED:
        return "picture", ""
    try:
        for suffix in {".png", path.suffix} & set(SUFFIXES):
            save_image(image, path.with_name(f"again{suffix}"))
    except BaseException:
        return "else", traceback.format_exc()
    return "picture", ""


def serve(connection: Connection) -> None:
    """Read files as they are named, in a process of its own with a limit on memory."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries in C have much to say of such files
    warnings.simplefilter("ignore")
    while True:
        connection.send(read(connection.recv()))


class Reader:
    """The process that reads; a new one after each that crashed or hung."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._process: BaseProcess | None = None

    def read(self, path: Path) -> tuple[str, str]:
        if self._process is None:
            self._connection, theirs = SPAWN.Pipe()
            self._process = SPAWN.Process(target=serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        self._connection.send(path)
        try:
            if self._connection.poll(self.limit):
                return self._connection.recv()
            reason = f"more than {self.limit} s"
        except (EOFError, ConnectionResetError):
            self._process.join()
            reason = f"crashed, exit status {self._process.exitcode}"
        self._process.kill()
        self._process = None
        return "else", reason


def main(
    seconds: float = 120,
    seed: int = 0,
    limit: Annotated[float, Option(help="Seconds for one file.")] = 20,
    keep: Annotated[Path, Option(help="Where files go that end in anything else.")] = Path("runs/fuzz"),
) -> None:
    """Read damaged files, and count how they end."""
    counts: Counter[tuple[str, str]] = Counter()
    slowest: dict[str, float] = {}
    began, reader = time.monotonic(), Reader(limit)
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, data) in enumerate(cases(seed)):
            if time.monotonic() - began > seconds:
                break
            path = Path(folder) / name
            path.write_bytes(data)
            start = time.monotonic()
            end, report = reader.read(path)
            slowest[path.suffix] = max(slowest.get(path.suffix, 0), time.monotonic() - start)
            counts[path.suffix, end] += 1
            if end == "else":
                kept = make_folder(keep) / f"{seed}-{number}-{name}"
                kept.write_bytes(data)
                print(f"{kept}: {report}", flush=True)
    print(f"{'format':8}{'files':>8}{'picture':>9}{'line':>7}{'else':>6}{'slowest, s':>12}")
    for suffix in sorted(slowest):
        ends = [counts[suffix, end] for end in ("picture", "line", "else")]
        print(f"{suffix[1:]:8}{sum(ends):8}{ends[0]:9}{ends[1]:7}{ends[2]:6}{slowest[suffix]:12.2f}")
    print(f"{counts.total()} files in {time.monotonic() - began:.0f} s, seed {seed}")
    sys.exit(1 if any(end == "else" for _, end in counts) else 0)


if __name__ == "__main__":
    run(main)
