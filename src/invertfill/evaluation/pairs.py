"""Pairs of picture and mask: the same ones for every method."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from invertfill.errors import InputError, InputErrors
from invertfill.evaluation.metrics import LEAST_SIDE
from invertfill.imaging.colour import to_srgb
from invertfill.imaging.formats import list_images
from invertfill.imaging.masks import read_mask, save_mask
from invertfill.imaging.reading import open_image
from invertfill.imaging.writing import save_image
from invertfill.masks.names import OUTLINED
from invertfill.masks.sampler import check_kind, coverage_range, mask_set_hash, sample_masks
from invertfill.notes import Begin, silent

RESIZE = "Pillow bicubic, antialiased"


@dataclass(frozen=True)
class Pair:
    """A picture and a hole in it.

    Attributes:
        name: of the picture's file, without suffix.
        path: the picture.
        size: side in pixels, of both.
        picture_hash: SHA-256 of the pixels, hex.
        bits: of the hole, packed: thousands are in memory at once.
    """

    name: str
    path: Path
    size: int
    picture_hash: str
    bits: bytes

    @cached_property
    def coverage(self) -> float:
        """Share of the hole."""
        return float(self.hole.mean())

    @cached_property
    def mask_hash(self) -> str:
        """SHA-256 (hex)."""
        return mask_set_hash([self.hole])

    @property
    def hole(self) -> np.ndarray:
        """(H, W) bool."""
        flat = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=self.size**2)
        return flat.reshape(self.size, self.size).astype(bool)

    def truth(self) -> np.ndarray:
        """(H, W, 3) uint8. Raises InputError where the file is no longer what it was."""
        picture = read_picture(self.path, self.size)
        if hash_of(picture) != self.picture_hash:
            raise InputError(f"{self.path}: has changed since the start; accepted: files that stay as they are")
        return picture


@dataclass(frozen=True)
class PairSet:
    """A coverage class, or a folder of masks.

    Attributes:
        name: of the class; "masks" for a folder of any coverage.
        masks: where they come from, for the tables.
        pairs: by name.
    """

    name: str
    masks: str
    pairs: Sequence[Pair]

    @cached_property
    def mask_hash(self) -> str:
        """SHA-256 (hex) of the set, as `invertfill masks` prints it."""
        return mask_set_hash(pair.hole for pair in self.pairs)


class Problems:
    """Collects what is wrong with files, so that all of it is said at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __enter__(self) -> Problems:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        if isinstance(error, InputError):
            self.lines.append(str(error))
            return True
        return False

    def end(self) -> None:
        """Raise them, if there are any."""
        if len(self.lines) == 1:
            raise InputError(self.lines[0])
        if self.lines:
            raise InputErrors(self.lines)


def hash_of(pixels: np.ndarray) -> str:
    """SHA-256 (hex) of shape and pixels."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def read_picture(path: Path, size: int) -> np.ndarray:
    """The largest centred square of a picture at (size, size, 3) uint8, sRGB."""
    picture = to_srgb(open_image(path, note=silent))
    if picture.size != (size, size):
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def by_stem(folder: Path) -> dict[str, Path]:
    """Stem -> image file. Raises InputError where two share one."""
    found: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in found:
            raise InputError(f"{path}: a second picture of its name, beside {found[path.stem].name}")
        found[path.stem] = path
    return found


@dataclass(frozen=True)
class Source:
    """Where pairs come from.

    Attributes:
        images: a folder of pictures.
        size: side that they are brought to.
        masks: a folder of masks with the same names, of that size; `coverage`, if given, is then one class that all
            must lie in. None: masks are drawn.
        coverage: classes or ranges, one set of pairs each.
        kind, outlines, seed: of the masks that are drawn.
        count: how many pictures, the first by name; None: all.
    """

    images: Path
    size: int
    masks: Path | None
    coverage: Sequence[str]
    kind: str
    outlines: Path | None
    seed: int
    count: int | None


def read_pairs(source: Source, begin: Begin) -> list[PairSet]:
    """Read and check every picture and mask.

    Raises:
        InputError: a bad picture, mask or value.
        InputErrors: several.
    """
    images, size, masks, coverage = source.images, source.size, source.masks, source.coverage
    kind, outlines, count = source.kind, source.outlines, source.count
    if size < LEAST_SIDE:
        raise InputError(f"--size {size}; accepted: {LEAST_SIDE} or more")
    files = by_stem(images)
    if count and count > len(files):
        raise InputError(f"{images}: {len(files)} images; accepted: --count up to that")
    files = dict(list(files.items())[:count])
    ranges = {name: coverage_range(name) for name in coverage}
    if masks is None:
        check_kind(kind, outlines)
    problems = Problems()
    step = begin("reading pictures", len(files))
    hashes: dict[str, str] = {}
    for name, path in files.items():
        with problems:
            hashes[name] = hash_of(read_picture(path, size))
        step()
    sets = []
    if masks is not None:
        drawn = _read_masks(masks, files, size, next(iter(ranges.items()), None), problems, begin)
        sets.append((coverage[0] if coverage else "masks", f"folder {masks}", drawn))
    problems.end()
    if masks is None:
        origin = f", outlines {outlines}" if outlines is not None and kind in OUTLINED else ""
        for name in coverage:
            step = begin(f"drawing masks, {name}", len(files))
            drawn = []
            for mask in sample_masks(len(files), size, kind, name, source.seed, outlines):
                drawn.append(np.packbits(mask).tobytes())
                step()
            sets.append((name, f"{kind}, seed {source.seed}{origin}", drawn))
    return [
        PairSet(
            name, about, [Pair(*file, size, hashes[file[0]], b) for file, b in zip(files.items(), bits, strict=True)]
        )
        for name, about, bits in sets
    ]


def write_pairs(sets: Sequence[PairSet], folder: Path, begin: Begin) -> None:
    """Write what an outside method needs, as PNG: FOLDER/CLASS/images/NAME.png and FOLDER/CLASS/masks/NAME.png."""
    for pair_set in sets:
        step = begin(f"writing pairs, {pair_set.name}", len(pair_set.pairs))
        for pair in pair_set.pairs:
            place = folder / pair_set.name
            save_image(Image.fromarray(pair.truth()), place / "images" / f"{pair.name}.png")
            save_mask(pair.hole, place / "masks" / f"{pair.name}.png")
            step()


def _read_masks(
    folder: Path,
    files: dict[str, Path],
    size: int,
    within: tuple[str, tuple[float, float]] | None,
    problems: Problems,
    begin: Begin,
) -> list[bytes]:
    masks = by_stem(folder)
    step = begin("reading masks", len(files))
    found = []
    for name, path in files.items():
        with problems:
            if name not in masks:
                raise InputError(f"{path}: no mask named {name} in {folder}")
            hole = read_mask(masks[name], (size, size))
            share = hole.mean()
            low, high = within[1] if within else (0, 1)
            if hole.all():
                raise InputError(f"{masks[name]}: covers everything, so nothing is known; accepted: less")
            if not low <= share <= high and within:
                raise InputError(
                    f"{masks[name]}: covers {share:.1%}; accepted for {within[0]}: {low:.0%} to {high:.0%}"
                )
            found.append(np.packbits(hole).tobytes())
        step()
    return found
