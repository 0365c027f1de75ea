"""What is evaluated: models, baselines, and files that something else has made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from invertfill.baselines import DEVICE, parse_method, show_arguments
from invertfill.errors import InputError
from invertfill.evaluation.cache import code_version
from invertfill.evaluation.pairs import Pair, PairSet, Problems, by_stem
from invertfill.imaging.colour import to_srgb
from invertfill.imaging.reading import open_image
from invertfill.notes import silent
from invertfill.options import AUTO, FillOptions
from invertfill.pipeline.blending import BLENDS
from invertfill.pipeline.inpainter import open_inpainter
from invertfill.registry import sha256_of

# What a fill runs through: results in a cache hold while it stays as it is.
SOURCES = ("registry.py", "options.py", "pipeline", "engines", "imaging", "nn", "baselines")
BATCH = 4  # pictures in memory at once


@dataclass(frozen=True)
class Output:
    """What a method makes of a pair.

    Attributes:
        raw: (H, W, 3) uint8, what it draws everywhere.
        composite: (H, W, 3) uint8, as the method makes it: the original outside the hole.
    """

    raw: np.ndarray
    composite: np.ndarray

    def blended(self, how: str, truth: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """The composite, of the raw output in the same way for every method.

        Args:
            how: "none" pastes, O = I (1 - M) + O_G M; others of `BLENDS` blend first; "auto" is `composite`.
            truth: (H, W, 3) uint8; what it holds in the hole is not looked at.
            hole: (H, W) bool.

        Returns:
            (H, W, 3) uint8.
        """
        if how == AUTO:
            return self.composite
        drawn = self.raw
        if how != "none" and not hole.all():
            # Blends work on squares with a power of two as side. What is added is unknown to them.
            side = 1 << (max(hole.shape) - 1).bit_length()
            rest = [(0, side - length) for length in hole.shape]
            output, image = (
                np.pad(picture.astype(np.float32), (*rest, (0, 0))).transpose(2, 0, 1) for picture in (drawn, truth)
            )
            mask = np.pad(hole, rest, constant_values=True)[None].astype(np.float32)
            found = BLENDS[how](output, image * (1 - mask), mask)[:, : hole.shape[0], : hole.shape[1]]
            drawn = found.round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        return np.where(hole[..., None], drawn, truth)


class Method(Protocol):
    """Something that is evaluated.

    Attributes:
        name: in the tables.
        kind: "model", "method" or "predictions".
        batch: pictures that it takes at once. What is measured of them is kept at once too, so one that takes minutes
            a picture takes them one by one.
        about: what it is: hash of weights, implementation, folder.
        paper: where it comes from, if it comes from a paper.
        differs: what differs from that.
    """

    name: str
    kind: str
    batch: int
    about: str
    paper: str
    differs: str

    def check(self, sets: Sequence[PairSet], problems: Problems) -> None:
        """Collect what is known to be wrong before any work."""

    def identity(self, pair_set: PairSet, pair: Pair) -> str:
        """While it stays, so does the output for the pair."""

    def outputs(self, pair_set: PairSet, pairs: Sequence[Pair], truths: Sequence[np.ndarray]) -> Iterator[Output]:
        """One for each of a few pairs, all in memory at once."""


class ModelMethod:
    """A model of ours.

    Args:
        text: NAME or FOLDER, as `invertfill fill` takes it, or NAME=FOLDER to give it another name here.
        options: of all fills, but the model.
    """

    kind, batch, paper = "model", BATCH, "Yu et al., High-Fidelity Image Inpainting with GAN Inversion, 2022"
    differs = "see its model card"

    def __init__(self, text: str, options: FillOptions) -> None:
        name, given, folder = text.partition("=")
        wanted = folder if given else text
        if wanted == AUTO:  # benchmarks/choice.py measures it
            raise InputError(f"{AUTO}: each picture may get another model; accepted: one model's name or folder")
        self._inpainter = open_inpainter(replace(options, model=wanted, keep_raw=True))
        engine = self._inpainter.engine
        model = engine.model
        self.name = name if given else model.name
        self.about = (
            f"{model.name}, SHA-256 {model.sha256}, engine {engine.name} on {engine.device}, "
            f"quality {options.quality}, its own blend {model.blend}, seed {options.seed}"
        )
        self._identity = f"{self.about}, {options.deciding}, {code_version(*SOURCES)}"

    def check(self, sets: Sequence[PairSet], problems: Problems) -> None: ...

    def identity(self, pair_set: PairSet, pair: Pair) -> str:
        return self._identity

    def outputs(self, pair_set: PairSet, pairs: Sequence[Pair], truths: Sequence[np.ndarray]) -> Iterator[Output]:
        given = ((truth, pair.hole) for pair, truth in zip(pairs, truths, strict=True))
        for result in self._inpainter.iter_many(given, batch=len(pairs)):
            assert result.raw is not None
            yield Output(result.raw, np.asarray(result))


class BaselineMethod:
    """One of `invertfill.baselines`.

    Args:
        text: as `parse_method` takes it.
        device: of torch, for those that use it, unless their arguments name one.
    """

    kind, batch = "method", 1

    def __init__(self, text: str, device: str) -> None:
        self.name, baseline, given = parse_method(text)
        arguments = {**baseline.arguments, **given}
        if DEVICE in arguments and DEVICE not in given:
            arguments[DEVICE] = device
        self._filler = baseline.load(**arguments)
        self.paper, self.differs = f"{baseline.paper}, {baseline.year}", baseline.differs
        self.about = ", ".join(filter(None, [show_arguments(arguments), self._filler.identity]))
        self._identity = f"{baseline.name}, {self.about}, {code_version(*SOURCES, 'losses')}"

    def check(self, sets: Sequence[PairSet], problems: Problems) -> None:
        for size in {pair.size for pair_set in sets for pair in pair_set.pairs} - {self._filler.size}:
            if self._filler.size is not None:
                raise InputError(f"--size {size}; accepted with {self.name}: {self._filler.size}, its model's")

    def identity(self, pair_set: PairSet, pair: Pair) -> str:
        return self._identity

    def outputs(self, pair_set: PairSet, pairs: Sequence[Pair], truths: Sequence[np.ndarray]) -> Iterator[Output]:
        for pair, truth in zip(pairs, truths, strict=True):
            hole = pair.hole[..., None]
            raw = self._filler.fill(np.where(hole, np.uint8(0), truth), pair.hole)
            yield Output(raw, np.where(hole, raw, truth))


class Predictions:
    """Files that something else has made of the pairs.

    Args:
        text: NAME=DIR. DIR holds a picture of each pair's name, in a subfolder of each class's name if there are
            several classes (with one, either will do).
    """

    kind, batch, paper, differs = "predictions", BATCH, "", ""

    def __init__(self, text: str) -> None:
        self.name, given, folder = text.partition("=")
        if not (given and self.name and folder):
            raise InputError(f"--predictions {text}; accepted: NAME=DIR")
        self._folder = Path(folder)
        self.about = f"folder {folder}"
        self._files: dict[str, dict[str, Path]] = {}

    def check(self, sets: Sequence[PairSet], problems: Problems) -> None:
        for pair_set in sets:
            folder = self._folder / pair_set.name
            if len(sets) == 1 and not folder.is_dir():
                folder = self._folder
            files: dict[str, Path] = {}
            with problems:
                files = self._files[pair_set.name] = by_stem(folder)
            for pair in pair_set.pairs if files else ():
                with problems:
                    if pair.name not in files:
                        raise InputError(f"{folder / pair.name}.png: no such file; {self.name} lacks this picture")
                    self._read(pair_set, pair)

    def identity(self, pair_set: PairSet, pair: Pair) -> str:
        return f"file {sha256_of(self._files[pair_set.name][pair.name])}"

    def outputs(self, pair_set: PairSet, pairs: Sequence[Pair], truths: Sequence[np.ndarray]) -> Iterator[Output]:
        for pair, truth in zip(pairs, truths, strict=True):
            raw = self._read(pair_set, pair)
            yield Output(raw, np.where(pair.hole[..., None], raw, truth))

    def _read(self, pair_set: PairSet, pair: Pair) -> np.ndarray:
        path = self._files[pair_set.name][pair.name]
        picture = to_srgb(open_image(path, note=silent))
        if picture.size != (pair.size, pair.size):
            width, height = picture.size
            raise InputError(f"{path}: {width}x{height} pixels; accepted: {pair.size}x{pair.size}, as its original")
        return np.asarray(picture)
