"""From what the user names (a folder, a glob, a list) to jobs: a picture, its mask, and where the result goes.

What can be known to be wrong before any work is said here.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from invertfill.batch import storage
from invertfill.errors import InputError
from invertfill.imaging.formats import ACCEPTED, check_name, is_image_name
from invertfill.options import Box, parse_boxes

LISTS = (".csv", ".jsonl")
SOURCES = "a folder of pictures, a glob such as 'photos/*.jpg', or a .csv or .jsonl list"
COLUMNS = "image, out and, if wanted, mask and box"


@dataclass(frozen=True)
class Job:
    """One fill. All places are paths or addresses.

    Attributes:
        image: the picture.
        mask: its mask; None: the hole is where the picture is transparent.
        out: where the result goes.
        problem: why it can't be done, if that is known beforehand.
        box: of this picture, beside the mask or instead of it; see `FillOptions`.
    """

    image: str
    mask: str | None
    out: str
    problem: str = ""
    box: tuple[Box, ...] = ()


def expand(source: str, out: str, masks: str | None = None, *, recursive: bool = False) -> list[Job]:
    """List the jobs that ``source`` stands for.

    Args:
        source: a folder, a glob, or a list: .csv with a header or .jsonl, with image, out and, optionally, mask and box
            (X,Y,W,H, several with a semicolon between); there, relative images and masks start from the list's folder,
            relative outs from ``out``.
        out: the folder of the results. They keep the pictures' names and subfolders.
        masks: a folder of masks with the same subfolders and stems, or one mask for all.
        recursive: the subfolders of a folder too.

    Raises:
        InputError: there is nothing to do, or two results have one place, or a result the place of a picture or mask.
    """
    source, out, masks = storage.place(source), storage.place(out), masks and storage.place(masks)
    if os.path.isfile(out):
        raise InputError(f"{out}: not a folder; accepted: a folder for the results")
    if storage.is_folder(source):
        images = storage.list_files(source, recursive=recursive)
        jobs = _of_files(source, images, out, masks, f"{source}: a folder without images; {ACCEPTED}")
        for inputs in filter(None, (source, masks)):
            _check_apart(out, inputs, recursive)
    elif recursive:
        raise InputError(f"{source}: --recursive; accepted: with a folder (a glob goes deeper by **)")
    elif source.lower().endswith(LISTS):
        if masks is not None:
            raise InputError(f"{source}: a list names its own masks; accepted: --mask with a folder or glob")
        jobs = list(_of_list(source, out))
    elif storage.is_glob(source):
        folder, images = storage.find(source)
        jobs = _of_files(folder, images, out, masks, f"{source}: matches no images; {ACCEPTED}")
    else:
        what = "one file" if storage.read_if_there(source) is not None else "no such file or folder"
        raise InputError(f"{source}: {what}; accepted: {SOURCES}")
    _check_outputs(jobs)
    return jobs


def expand_files(images: Sequence[str], out: str, masks: str | None = None) -> list[Job]:
    """List the jobs of several picture files; see `expand`."""
    if os.path.isfile(out) or (is_image_name(out) and not storage.is_folder(out)):
        raise InputError(f"{out}: not a folder; accepted: a folder for the results of several pictures")
    by_stem = _masks_by_stem(masks, False) if masks is not None else None
    names = map(os.path.basename, images)
    jobs = [
        _job(image, storage.join(out, name), name, masks, by_stem) for image, name in zip(images, names, strict=True)
    ]
    _check_outputs(jobs)
    return jobs


def _of_files(folder: str, files: list[str], out: str, masks: str | None, nothing: str) -> list[Job]:
    images = [name for name in files if is_image_name(name)]
    if not images:
        raise InputError(nothing)
    by_stem = _masks_by_stem(masks, any("/" in name for name in images)) if masks is not None else None
    return [_job(storage.join(folder, name), storage.join(out, name), name, masks, by_stem) for name in images]


def _job(image: str, result: str, name: str, masks: str | None, by_stem: dict[str, str] | None) -> Job:
    if by_stem is None:
        return Job(image, masks, result)
    stem = os.path.splitext(name)[0]
    if stem in by_stem:
        return Job(image, by_stem[stem], result)
    return Job(image, None, result, f"{image}: no mask named {stem} in {masks}")


def _masks_by_stem(masks: str, recursive: bool) -> dict[str, str] | None:
    """Stem with subfolders -> mask; None if ``masks`` is one mask for all."""
    if not storage.is_folder(masks):
        if storage.read_if_there(masks) is None:
            raise InputError(f"{masks}: no such file; accepted: a mask, white = hole, or a folder of masks")
        return None
    found: dict[str, str] = {}
    for name in filter(is_image_name, storage.list_files(masks, recursive=recursive)):
        stem = os.path.splitext(name)[0]
        if stem in found:
            raise InputError(f"{storage.join(masks, name)}: a second mask of its name, beside {found[stem]}")
        found[stem] = storage.join(masks, name)
    if not found:
        raise InputError(f"{masks}: a folder without images; {ACCEPTED}")
    return found


def _of_list(source: str, out: str) -> Iterator[Job]:
    try:
        text = storage.read(source).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{source}: not UTF-8; accepted: a list in UTF-8") from None
    folder, empty = storage.parent(source), True
    for number, row in _csv_rows(source, text) if source.lower().endswith(".csv") else _json_rows(source, text):
        empty, line = False, f"{source}, line {number}"
        for column in ("image", "out"):
            if not row.get(column):
                raise InputError(f"{line}: no {column}; accepted: {COLUMNS}")
        for column in ("image", "out", "mask"):
            if not isinstance(row.get(column) or "", str):
                raise InputError(f"{line}: {column} is {row[column]!r}; accepted: a path or address")
        image, result, mask = (storage.place(row.get(column) or "") for column in ("image", "out", "mask"))
        try:
            check_name(result)
            box = parse_boxes(row.get("box") or ())
        except InputError as error:
            raise InputError(f"{line}: {error}") from None
        given = storage.join(folder, mask) if mask else None
        yield Job(storage.join(folder, image), given, storage.join(out, result), box=box)
    if empty:
        raise InputError(f"{source}: an empty list; accepted: {COLUMNS}")


def _csv_rows(source: str, text: str) -> Iterator[tuple[int, dict]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for column in ("image", "out"):
            if column not in (reader.fieldnames or ()):
                raise InputError(f"{source}: no column {column!r}; accepted: a first line that names {COLUMNS}")
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}: not CSV ({error})") from None


def _json_rows(source: str, text: str) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{source}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise InputError(f"{source}, line {number}: no JSON object; accepted: one a line, with {COLUMNS}")
        yield number, row


def _check_apart(out: str, inputs: str, recursive: bool) -> None:
    # With a slash, so that "photos2" isn't inside "photos".
    inside = storage.identity(storage.join(out, "")), storage.identity(storage.join(inputs, ""))
    if inside[0] == inside[1]:
        raise InputError(f"{out}: the folder of the pictures or masks themselves; accepted: another folder")
    if recursive and f"{inside[0].rstrip('/')}/".startswith(f"{inside[1].rstrip('/')}/"):
        raise InputError(f"{out}: inside {inputs}, where its results would count as inputs; accepted: another folder")


def _check_outputs(jobs: Iterable[Job]) -> None:
    folders: dict[str, str] = {}

    def identity(place: str) -> str:
        """Asks the disk once a folder, not once a file."""
        folder = storage.parent(place)
        if folder not in folders:
            folders[folder] = storage.parent(storage.identity(place))
        return f"{folders[folder]}/{os.path.basename(place)}"

    inputs = {identity(name) for job in jobs for name in (job.image, job.mask) if name}
    taken: dict[str, str] = {}
    for job in jobs:
        out = identity(job.out)
        if out in inputs:
            raise InputError(f"{job.out}: a picture or mask itself; accepted: another place for the result")
        if out in taken:
            raise InputError(f"{job.out}: the result of both {taken[out]} and {job.image}; accepted: one place each")
        taken[out] = job.image
