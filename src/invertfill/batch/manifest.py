"""What is known of the results in a folder, kept beside them, so that the same command goes on where it was stopped.

    OUT/invertfill-batch/TIME-RANDOM.jsonl    one for each run; in an object store, which can't append, one a minute

A line is {"out": ..., "origin": ..., "sha256": ...}: the result's place (relative to OUT if it lies there) and the two
hashes of `Fingerprint`. The last line of a result counts. A file that a kill cut short costs its last line alone.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict
from pathlib import Path
from typing import Self, TextIO

from invertfill.batch import storage
from invertfill.batch.work import Fingerprint, Record
from invertfill.errors import InputError
from invertfill.imaging.files import make_folder

FOLDER = "invertfill-batch"
EVERY = 60.0  # seconds between two files in an object store


class Manifest:
    """The manifest of a folder; a context, at whose end everything is written.

    Args:
        out: the folder of the results.

    Attributes:
        is_new: no batch has run here.

    Raises:
        InputError: it can't be read or written.
    """

    def __init__(self, out: str) -> None:
        self.out = out.rstrip("/")
        self.folder = storage.join(out, FOLDER)
        self.run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
        self._fingerprints: dict[str, Fingerprint] = {}
        self._file: TextIO | None = None  # where files can be appended to
        self._waiting: list[str] = []  # where they can't
        self._parts, self._written = 0, time.monotonic()
        self.is_new = not storage.is_folder(self.folder)
        if not self.is_new:
            for name in storage.list_files(self.folder, recursive=False):
                self._read(storage.join(self.folder, name))

    def __enter__(self) -> Self:
        if not storage.is_address(self.folder):
            path = make_folder(self.folder) / f"{self.run}.jsonl"
            try:
                self._file = path.open("x", encoding="utf-8")
            except OSError as error:
                raise InputError(f"{path}: cannot be written ({error.strerror})") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            if not self._file_path.stat().st_size:
                self._file_path.unlink()
        self._flush()

    def fingerprint(self, out: str) -> Fingerprint | None:
        return self._fingerprints.get(self._name(out))

    def add(self, record: Record) -> None:
        """Keep what is known of a result from now on."""
        found = record.fingerprint
        if found is None or found == self.fingerprint(record.job.out):
            return
        name = self._name(record.job.out)
        self._fingerprints[name] = found
        line = json.dumps({"out": name} | asdict(found))
        if self._file is not None:
            self._file.write(f"{line}\n")
            self._file.flush()
        else:
            self._waiting.append(line)
            if time.monotonic() - self._written > EVERY:
                self._flush()

    @property
    def _file_path(self) -> Path:
        return Path(self.folder) / f"{self.run}.jsonl"

    def _flush(self) -> None:
        if self._waiting:
            part = storage.join(self.folder, f"{self.run}-{self._parts:06d}.jsonl")
            storage.write(part, "".join(f"{line}\n" for line in self._waiting).encode())
            self._waiting, self._parts, self._written = [], self._parts + 1, time.monotonic()

    def _read(self, place: str) -> None:
        for line in storage.read(place).decode("utf-8", "replace").splitlines():
            try:
                entry = json.loads(line)
                self._fingerprints[entry["out"]] = Fingerprint(entry["origin"], entry["sha256"])
            except (ValueError, LookupError, TypeError):
                continue  # cut short, or not ours: its result is made again

    def _name(self, out: str) -> str:
        return out.removeprefix(f"{self.out}/")
