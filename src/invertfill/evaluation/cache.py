"""What was measured before, in the report's folder, so that the same command goes on where it was stopped.

    REPORT/cache/values.jsonl         a line for each picture and method: {"key", "composite", "values"}
    REPORT/cache/features/HASH.npy    FID's features of a picture
    REPORT/composites/CLASS/METHOD/NAME.png

A key is the hash of all that a value depends on: the pixels of picture and mask, and the identities of method and
metrics. A line that a kill cut short is measured again.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import invertfill
from invertfill.errors import InputError
from invertfill.imaging.files import make_folder, write_file

PACKAGE = Path(invertfill.__file__).parent


@dataclass(frozen=True)
class Entry:
    """What is known of a picture and method.

    Attributes:
        composite: hash of the composite's pixels.
        values: metric -> value.
    """

    composite: str
    values: dict[str, float]


class Cache:
    """The cache of a report.

    Args:
        report: the report's folder; made if it isn't there.

    Raises:
        InputError: it can't be read or written.
    """

    def __init__(self, report: Path) -> None:
        self._features = make_folder(report / "cache" / "features")
        self._path = report / "cache" / "values.jsonl"
        self._entries: dict[str, Entry] = {}
        try:
            self._file = self._path.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written ({error.strerror})") from None
        self._file.seek(0)
        text = self._file.read()
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._entries[entry["key"]] = Entry(entry["composite"], dict(entry["values"]))
            except (ValueError, LookupError, TypeError):
                continue  # cut short
        if text and not text.endswith("\n"):
            self._file.write("\n")

    def close(self) -> None:
        self._file.close()

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def add(self, key: str, entry: Entry) -> None:
        self._entries[key] = entry
        line = {"key": key, "composite": entry.composite, "values": entry.values}
        self._file.write(f"{json.dumps(line)}\n")
        self._file.flush()

    def get_features(self, key: str) -> np.ndarray | None:
        path = self._features / f"{key}.npy"
        try:
            features: np.ndarray = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):  # not there, or damaged: computed again
            return None
        return features

    def add_features(self, key: str, features: np.ndarray) -> None:
        data = io.BytesIO()
        np.save(data, features, allow_pickle=False)
        write_file(self._features / f"{key}.npy", data.getvalue())


def key_of(*parts: str) -> str:
    """SHA-256 (hex) of some texts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@cache
def code_version(*sources: str) -> str:
    """Version of the package, and hash of some of its files and folders: results hold while it stays."""
    digest = hashlib.sha256()
    for source in sources:
        place = PACKAGE / source
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes())
    return f"invertfill {invertfill.__version__} (sources {digest.hexdigest()[:16]})"
