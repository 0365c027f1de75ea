"""Where pictures come from and go to at the command line: files, folders, and "-" for pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from invertfill.errors import InputError

if TYPE_CHECKING:
    from invertfill.imaging.sources import FileSource

PIPE = "-"
STDIN, STDOUT = "standard input", "standard output"
Picture = Annotated[str, typer.Argument(metavar="PICTURE", show_default=False, help="A picture; - reads a pipe.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="SUFFIX",
        help="Of the picture that -o - writes, such as png; without it, the given picture's own.",
    ),
]
NoClobber = Annotated[bool, typer.Option("--no-clobber", help="Leave files alone that are there already.")]


def open_place(place: str) -> FileSource:
    """A file to read: its path, or what a pipe holds.

    Raises:
        InputError: there is no such file, it is an address, or a terminal.
    """
    from invertfill.imaging.sources import Encoded, check_there

    if place != PIPE:
        check_there(place)
        return Path(place)
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("-: standard input is a terminal; accepted: a file, as in < photo.jpg, or a pipe")
    return Encoded(STDIN, sys.stdin.buffer.read())


class Target:
    """Where one picture, or its samples, are to be written.

    Args:
        out: a file, an existing folder for a file of the picture's name, or "-".
        source: the picture, if there is one.
        others: more files that it must not replace.
        suffix: the format wanted of "-"; None is the picture's own.
        no_clobber: a file that is there already is an error.

    Raises:
        InputError: the place can't be written to. Nothing has been read or written yet.

    Attributes:
        piped: the picture goes to standard output.
        path: that it goes to, or for a pipe a name with the suffix.
    """

    def __init__(
        self,
        out: str,
        source: FileSource | None = None,
        *others: FileSource | None,
        suffix: str | None = None,
        no_clobber: bool = False,
    ) -> None:
        from invertfill.imaging.formats import ACCEPTED, FORMATS
        from invertfill.imaging.reading import look
        from invertfill.imaging.sources import ADDRESS

        self.piped = out == PIPE
        self.inputs = [other for other in (source, *others) if isinstance(other, Path)]
        self.no_clobber = no_clobber
        if suffix is not None:
            suffix = f".{suffix.lower().removeprefix('.')}"
            if not self.piped:
                raise InputError("--format; accepted: together with -o -, as a file's name says its format")
            if suffix not in FORMATS:
                raise InputError(f"--format {suffix[1:]}; {ACCEPTED}")
        if self.piped:
            if sys.stdout.isatty():
                raise InputError("-o -: standard output is a terminal; accepted: a pipe, or a file, as in > filled.png")
            own = look(source)[0] if source is not None and suffix is None else ".png"
            self.path = Path(f"{STDOUT}{suffix or own}")
        elif ADDRESS.match(out):
            raise InputError(f"{out}: an address, which is not supported; accepted: a file, which you can upload then")
        elif os.path.isdir(out) or out.endswith(os.sep):
            if not isinstance(source, Path):
                raise InputError(f"{out}: a folder, and the picture has no name; accepted: a file name")
            self.path = Path(out) / source.name
        else:
            self.path = Path(out)

    def check(self, path: Path) -> Path:
        """A file that is to be written, once it is known that it can be."""
        from invertfill.imaging.writing import check_output

        if self.piped:
            return path
        check_output(path, *self.inputs)
        if self.no_clobber and path.exists():
            raise InputError(f"{path}: is there already; accepted: another name, or no --no-clobber")
        return path

    def samples(self, seeds: Sequence[int]) -> list[Path]:
        """One path for each seed, checked."""
        if len(seeds) == 1:
            return [self.check(self.path)]
        if self.piped:
            raise InputError(f"-o - with {len(seeds)} samples; accepted: one, or -o with a file name")
        return [self.check(self.path.with_stem(f"{self.path.stem}-{seed}")) for seed in seeds]

    def write(self, path: Path, data: bytes) -> str:
        """Write a picture's file; where it went."""
        from invertfill.imaging.files import write_file

        if self.piped:
            sys.stdout.buffer.write(data)
            return STDOUT
        write_file(path, data)
        return str(path)
