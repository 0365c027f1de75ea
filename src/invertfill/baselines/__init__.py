"""Methods to compare with, one file each: `invertfill evaluate --method NAME`.

A file defines ``BASELINE`` and is named in ``FILES``; nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Protocol

import numpy as np

from invertfill.errors import InputError
from invertfill.registry import FORMER_NAMES, PATCHMATCH

FILES = (
    *("mean", "telea", "navier_stokes", "biharmonic", "patchmatch"),
    *("w_plus", "mganprior", "psp", "psp_blend", "migan"),
    *("gc", "rfr", "crfill", "boundless", "ctsdg", "medfe", "ns_outpaint", "score_sde"),
)
DEVICE = "device"  # an argument that --device stands for

Value = int | float | str


class Filler(Protocol):
    """A method, loaded.

    Attributes:
        identity: implementation, version, settings, hash of weights: while it and the arguments stay, so do the
            results.
        size: side in pixels of the pictures that it takes; None: any.
    """

    identity: str
    size: int | None

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
        load: opens it; raises InputError where something it needs isn't there. Its parameters, which all have a
            default, are the method's arguments.
    """

    name: str
    paper: str
    year: int
    differs: str
    load: Callable[..., Filler]

    @property
    def arguments(self) -> dict[str, Value]:
        """Name -> default, of the type that is accepted; a whole number is 1 or more, another one 0 or more."""
        return {name: parameter.default for name, parameter in signature(self.load).parameters.items()}


def list_baselines() -> list[Baseline]:
    """All, in the order of ``FILES``."""
    return [_open(file) for file in FILES]


def find_baseline(name: str) -> Baseline:
    """By its name. Raises InputError where there is none."""
    file = PATCHMATCH if name in FORMER_NAMES else name.replace("-", "_")
    if file not in FILES:
        accepted = ", ".join(file.replace("_", "-") for file in FILES)
        raise InputError(f"method {name!r}; accepted: {accepted}")
    return _open(file)


def parse_method(text: str) -> tuple[str, Baseline, dict[str, Value]]:
    """What --method gives: METHOD, METHOD:KEY=VALUE,KEY=VALUE, or either behind LABEL=.

    Returns:
        The label (without one, the method's name), the method, and the arguments that were given.

    Raises:
        InputError: no such method or argument, or a bad value.
    """
    head, _, tail = text.partition(":")
    label, labelled, name = head.rpartition("=")
    baseline = find_baseline(name)
    given: dict[str, Value] = {}
    for part in tail.split(",") if tail else ():
        key, equals, value = part.partition("=")
        if key not in baseline.arguments or not equals or key in given:
            accepted = show_arguments(baseline.arguments) or "no arguments"
            raise InputError(f"--method {text}: {part!r}; accepted, each once: {accepted}")
        given[key] = _parse(f"--method {text}: {key}", value, baseline.arguments[key])
    return label if labelled else baseline.name, baseline, given


def show_arguments(arguments: Mapping[str, Value]) -> str:
    """As the command line takes them."""
    return ",".join(f"{key}={value}" for key, value in arguments.items())


def _parse(what: str, text: str, default: Value) -> Value:
    if isinstance(default, str):
        return text
    try:
        value = type(default)(text)
    except ValueError:
        value = -1
    least = 1 if isinstance(default, int) else 0
    if not least <= value < math.inf:
        raise InputError(f"{what} {text!r}; accepted: a {'whole ' if least else ''}number, {least} or more")
    return value


def _open(file: str) -> Baseline:
    baseline: Baseline = importlib.import_module(f"invertfill.baselines.{file}").BASELINE
    return baseline
