"""The paper's four data sets, from their official downloads to its splits at 256 px.

    OUT/train/NAME, OUT/test/NAME    the pictures, PNG; files that are 256 x 256 already are copied as they are
    OUT/split.json                   data set, seed, counts, SHA-256 of the names: the same split can be told again

The paper gives its counts (Sec. 4.1) but, where it splits at random, no list. So the test pictures are drawn from a
seed, or named by a list, as CelebA-HQ's are in the works that the paper follows.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from invertfill.errors import InputError, InputErrors
from invertfill.imaging.files import make_folder, write_file
from invertfill.notes import Begin
from invertfill.training.data.readers import Reader, decode, open_source

SIZE = 256  # pixels
SPLITS = ("train", "test")
SPLIT_FILE = "split.json"
AT_ONCE = 256  # pictures in memory


@dataclass(frozen=True)
class Part:
    """Pictures that lie together in a download.

    Attributes:
        places: folders or archives inside the source; the first that is there holds them; without any, the
            source itself.
        count: how many there are.
        pattern: of their names inside; a group is what they are called in the split.
        name: number -> what it is called, where that is known, and how many of them there have to be.
        optional: may be absent as a whole.
    """

    places: tuple[str, ...]
    count: int
    pattern: str = r"(.+)\.\w+"
    name: Callable[[int], str] | None = None
    optional: bool = False


@dataclass(frozen=True)
class DataSet:
    """What a split is made of.

    Attributes:
        parts: pictures are drawn from these.
        test: how many of them are for testing, unless `test_part` is given.
        test_part: all of its named pictures are for testing.
        train: how many at most are for training; None: all that are left.
    """

    parts: tuple[Part, ...]
    test: int = 0
    test_part: Part | None = None
    train: int | None = None


DATA_SETS = {
    "celeba-hq": DataSet(
        (
            Part(
                ("CelebA-HQ-img", "CelebAMask-HQ/CelebA-HQ-img", "CelebAMask-HQ.zip"),
                30_000,
                r"(?:.*CelebA-HQ-img/)?(\d+)\.(?:jpg|png)",
                str,
            ),
        ),
        test=2_000,
    ),
    "places2": DataSet(
        (
            Part(("data_256", "train_256_places365standard.tar"), 1_803_460, r"(?:data_256/)?(.+)\.jpg"),
            Part(("test_256", "test_256.tar"), 328_500, r"(?:test_256/)?(.+)\.jpg", optional=True),
        ),
        test_part=Part(
            ("val_256", "val_256.tar"),
            5_000,
            r"(?:val_256/)?(Places365_val_0000(?:[0-4]\d{3}|5000))\.jpg",
            lambda i: f"Places365_val_{i + 1:08d}",
        ),
        train=200_000,
    ),
    "metfaces": DataSet((Part(("images", "images.zip"), 1_336),), test=336),
    "scenery": DataSet((Part(("scenery", "scenery.zip"), 6_040),), test=1_000),
}


@dataclass(frozen=True)
class _Picture:
    """One of a source: its own name there, what it is called in the split, and how it is read."""

    source: str
    name: str
    read: Reader


def prepare(
    name: str, source: Path, out: Path, *, seed: int = 0, test_list: Path | None = None, begin: Begin
) -> dict[str, int]:
    """Make a data set's splits. What is there already stays, so the same call goes on where it was stopped.

    Args:
        name: of ``DATA_SETS``.
        source: the download: a folder that holds its folders or archives, or one of these itself.
        out: the folder of the splits.
        seed: of what is drawn.
        test_list: a file with the names of the test pictures, one a line; folders and suffixes in it don't count, nor,
            for pictures that are called by a number, what stands before that number.
        begin: progress.

    Returns:
        Split -> pictures.

    Raises:
        InputError: an unknown data set, another count than the official one, a bad list, or another split in ``out``.
        InputErrors: pictures that are missing or damaged, one line each.
    """
    if name not in DATA_SETS:
        raise InputError(f"data set {name!r}; accepted: {', '.join(DATA_SETS)}")
    if test_list is not None and not DATA_SETS[name].test:
        raise InputError(f"--test-list with {name}; accepted: without, its test pictures are fixed")
    with ExitStack() as stack:
        splits = _split(name, source, seed, test_list, stack)
        counts = {split: len(pictures) for split, pictures in splits.items()}
        _say_which(out, {"data": name, "size": SIZE, "seed": seed, **counts}, splits)
        problems: list[str] = []
        for split, pictures in splits.items():
            problems += _write(pictures, make_folder(out / split), source, begin(split, len(pictures)))
    if problems:
        raise InputErrors(problems)
    return counts


def _split(
    name: str, source: Path, seed: int, test_list: Path | None, stack: ExitStack
) -> dict[str, Sequence[_Picture]]:
    """Split -> its pictures, by name."""
    data = DATA_SETS[name]
    pictures = [picture for part in data.parts for picture in _read_part(name, source, part, stack)]
    rng = np.random.default_rng(seed)
    if data.test_part is not None:
        test = _read_part(name, source, data.test_part, stack)
    else:
        listed = _read_list(test_list) if test_list else None
        keys = [_key(picture.name) for picture in pictures]
        chosen = set(rng.permutation(len(pictures))[: data.test].tolist())
        if listed is not None:
            chosen = {i for i, key in enumerate(keys) if key in listed}
            if unknown := sorted(listed - set(keys)):
                raise InputErrors([f"{test_list}: {key}: no such picture in {source}" for key in unknown])
        test = [pictures[i] for i in sorted(chosen)]
        pictures = [picture for i, picture in enumerate(pictures) if i not in chosen]
    if data.train is not None:
        pictures = [pictures[i] for i in sorted(rng.permutation(len(pictures))[: data.train].tolist())]
    return dict(zip(SPLITS, (pictures, test), strict=True))


def _read_part(name: str, source: Path, part: Part, stack: ExitStack) -> list[_Picture]:
    """Its pictures, by name, once their number is the official one."""
    place = next((source / place for place in part.places if (source / place).exists()), None)
    if place is None:
        if part.optional:
            return []
        place = source
        if len(DATA_SETS[name].parts) > 1:
            raise InputError(f"{source}: no {' and no '.join(part.places)}; accepted: the download of {name}")
    names, read = stack.enter_context(open_source(place))
    found: dict[str, _Picture] = {}
    for inside in names:
        if match := re.fullmatch(part.pattern, inside):
            called = match[1].replace("/", "-")
            found[called] = _Picture(inside, called, read)
    missing = [called for i in range(part.count) if (called := part.name(i)) not in found] if part.name else []
    if missing:
        raise InputErrors([f"{place}: {called} is missing; {part.count:,} pictures make {name}" for called in missing])
    if len(found) != part.count:
        raise InputError(f"{place}: {len(found):,} pictures; accepted for {name}: {part.count:,}, the whole download")
    return [found[called] for called in sorted(found)]


def _read_list(path: Path) -> set[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read ({error}); accepted: names, one a line") from None
    return {_key(PurePosixPath(line.strip()).stem) for line in lines if line.strip()}


def _key(name: str) -> str:
    """What a list is compared by: the number at the end of a name without its zeros, where the rest are letters."""
    match = re.fullmatch(r"[A-Za-z]*0*(\d+)", name)
    return match[1] if match else name


def _say_which(out: Path, facts: dict[str, str | int], splits: dict[str, Sequence[_Picture]]) -> None:
    """Write split.json, or see that it says the same."""
    names = {split: "\n".join(picture.name for picture in pictures) for split, pictures in splits.items()}
    hashes = {f"{split}_names_sha256": hashlib.sha256(text.encode()).hexdigest() for split, text in names.items()}
    text = json.dumps({**facts, **hashes}, indent=1) + "\n"
    path = make_folder(out) / SPLIT_FILE
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
        raise InputError(f"{path}: of another split; accepted: an empty folder, or the same data, seed and list")
    write_file(path, text.encode())


def _write(pictures: Sequence[_Picture], folder: Path, source: Path, step: Callable[[], None]) -> list[str]:
    """Those that aren't there yet; returns what is wrong with any."""
    there = {path.stem for path in folder.iterdir()}

    def one(picture: _Picture) -> str | None:
        try:
            data = picture.read(picture.source)
            suffix, data = _at_size(data)
        except InputError:
            raise
        except Exception as error:  # decoders raise KeyError, struct.error and what not
            return f"{source}: {picture.source}: not a picture that can be read ({error})"
        write_file(folder / f"{picture.name}{suffix}", data)
        return None

    problems: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        waiting = [picture for picture in pictures if picture.name not in there]
        for _ in range(len(pictures) - len(waiting)):
            step()
        for start in range(0, len(waiting), AT_ONCE):
            for problem in threads.map(one, waiting[start : start + AT_ONCE]):
                problems += [problem] if problem else []
                step()
    return problems


def _at_size(data: bytes) -> tuple[str, bytes]:
    """Suffix and content of a file of ``SIZE``."""
    with Image.open(io.BytesIO(data)) as image:
        if image.size == (SIZE, SIZE) and image.mode == "RGB" and image.format in ("JPEG", "PNG"):
            image.load()  # damaged ones are found here
            return ".jpg" if image.format == "JPEG" else ".png", data
    png = io.BytesIO()
    Image.fromarray(decode(data, SIZE)).save(png, "PNG")
    return ".png", png.getvalue()
