"""Methods to compare with, one file each: `invertfill evaluate --method NAME`.

A file defines ``BASELINE`` and is named in ``FILES``; nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from invertfill.errors import InputError

FILES = ("telea", "navier_stokes", "biharmonic")


class Filler(Protocol):
    """A method, loaded.

    Attributes:
        identity: implementation, version, settings, hash of weights: while it stays, so do the results.
    """

    identity: str

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """The raw output (H, W, 3) uint8, of image (H, W, 3) uint8, black in the hole, and hole (H, W) bool."""


@dataclass(frozen=True)
class Baseline:
    """A method and where it comes from.

    Attributes:
        name: for the command line.
        paper: authors and title.
        year: of the paper.
        differs: what differs from the original.
        load: opens it; raises InputError where something it needs isn't there.
    """

    name: str
    paper: str
    year: int
    differs: str
    load: Callable[[], Filler]


def list_baselines() -> list[Baseline]:
    """All, in the order of ``FILES``."""
    return [_open(file) for file in FILES]


def find_baseline(name: str) -> Baseline:
    """By its name. Raises InputError where there is none."""
    file = name.replace("-", "_")
    if file not in FILES:
        accepted = ", ".join(file.replace("_", "-") for file in FILES)
        raise InputError(f"method {name!r}; accepted: {accepted}")
    return _open(file)


def _open(file: str) -> Baseline:
    baseline: Baseline = importlib.import_module(f"invertfill.baselines.{file}").BASELINE
    return baseline
