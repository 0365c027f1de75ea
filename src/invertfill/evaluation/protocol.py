"""Every method on the same pairs: outputs, values, FID. Nothing that was measured before is measured again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from invertfill.errors import InputError
from invertfill.evaluation.cache import Cache, Entry, key_of
from invertfill.evaluation.methods import BATCH, Method
from invertfill.evaluation.metrics import LEAST_FOR_FID, Meter, frechet_distance
from invertfill.evaluation.pairs import Pair, PairSet, hash_of
from invertfill.imaging.reading import open_image
from invertfill.imaging.writing import save_image
from invertfill.notes import Begin, silent


@dataclass
class MethodResult:
    """What was measured of a method on a set of pairs.

    Attributes:
        method: which.
        values: metric -> (N,), in the order of the pairs.
        composites: of each pair, (H, W, 3) PNG.
        fid: or None; `no_fid` says why.
    """

    method: Method
    values: dict[str, np.ndarray]
    composites: list[Path]
    fid: float | None = None
    no_fid: str = ""


@dataclass
class SetResult:
    """What was measured on a set of pairs."""

    pairs: PairSet
    methods: list[MethodResult] = field(default_factory=list)


@dataclass
class Results:
    """Of a run.

    Attributes:
        sets: what was measured.
        measured, cached: pictures times methods.
    """

    sets: list[SetResult] = field(default_factory=list)
    measured: int = 0
    cached: int = 0


def check_names(methods: Sequence[Method]) -> None:
    """Raise InputError where two methods have one name, or one that can't be a folder's."""
    names = [method.name for method in methods]
    for name in names:
        if not name or not all(c.isalnum() or c in "-_.+ " for c in name) or name.startswith("."):
            raise InputError(f"method name {name!r}; accepted: letters, digits, - _ . +, not . at the start")
        if names.count(name) > 1:
            raise InputError(f"two methods named {name}; accepted: names that differ, as in --model NAME=FOLDER")


def evaluate(sets: Sequence[PairSet], methods: Sequence[Method], meter: Meter, report: Path, begin: Begin) -> Results:
    """Measure every method on every set of pairs.

    Args:
        sets: from `read_pairs`.
        methods: checked.
        meter: the metrics.
        report: the folder that gets cache and composites.
        begin: progress.

    Raises:
        InputError: a file that has changed meanwhile, or that can't be written.
    """
    results, cache = Results(), Cache(report)
    try:
        for pair_set in sets:
            done = SetResult(pair_set)
            results.sets.append(done)
            for method in methods:
                folder = report / "composites" / pair_set.name / method.name
                run = _Run(pair_set, method, meter, cache, folder)
                step = begin(f"{pair_set.name}: {method.name}", len(pair_set.pairs))
                entries = run.entries(results, step)
                values = {name: np.array([entry.values[name] for entry in entries]) for name in entries[0].values}
                done.methods.append(MethodResult(method, values, [run.place(pair) for pair in pair_set.pairs]))
                _add_fid(done.methods[-1], entries, pair_set, meter, cache, begin)
    finally:
        cache.close()
    return results


class _Run:
    """One method on one set."""

    def __init__(self, pair_set: PairSet, method: Method, meter: Meter, cache: Cache, folder: Path) -> None:
        self.pair_set, self.method, self.meter, self.cache, self.folder = pair_set, method, meter, cache, folder

    def place(self, pair: Pair) -> Path:
        return self.folder / f"{pair.name}.png"

    def key(self, pair: Pair) -> str:
        identity = self.method.identity(self.pair_set, pair)
        return key_of(pair.picture_hash, pair.mask_hash, identity, self.meter.identity)

    def entries(self, results: Results, step: Callable[[], None]) -> list[Entry]:
        """Of each pair, in order, measured or from the cache."""
        found: dict[str, Entry] = {}
        waiting: list[tuple[Pair, str]] = []
        for number, pair in enumerate(self.pair_set.pairs, 1):
            key = self.key(pair)
            entry = self.cache.get(key)
            if entry is not None and _hash_of_file(self.place(pair)) == entry.composite:
                found[pair.name] = entry
                results.cached += 1
                step()
            else:
                waiting.append((pair, key))
            if len(waiting) == self.method.batch or (waiting and number == len(self.pair_set.pairs)):
                for (done, key), entry in zip(waiting, self._measure([pair for pair, _ in waiting]), strict=True):
                    self.cache.add(key, entry)
                    found[done.name] = entry
                    results.measured += 1
                    step()
                waiting = []
        return [found[pair.name] for pair in self.pair_set.pairs]

    def _measure(self, pairs: Sequence[Pair]) -> list[Entry]:
        truths = [pair.truth() for pair in pairs]
        outputs = list(self.method.outputs(self.pair_set, pairs, truths))
        composites = [output.composite for output in outputs]
        raws, holes = [output.raw for output in outputs], [pair.hole for pair in pairs]
        values = self.meter.measure(raws, composites, truths, holes)
        for pair, composite in zip(pairs, composites, strict=True):
            save_image(Image.fromarray(composite), self.place(pair))
        return [Entry(hash_of(composite), value) for composite, value in zip(composites, values, strict=True)]


def read_composite(path: Path) -> np.ndarray:
    """(H, W, 3) uint8."""
    return np.asarray(open_image(path, note=silent))


def _hash_of_file(path: Path) -> str | None:
    try:
        return hash_of(read_composite(path))
    except InputError:  # gone or damaged: made again
        return None


def _add_fid(
    result: MethodResult, entries: Sequence[Entry], pair_set: PairSet, meter: Meter, cache: Cache, begin: Begin
) -> None:
    count = len(pair_set.pairs)
    if "fid" in meter.missing:
        result.no_fid = meter.missing["fid"]
    elif count < LEAST_FOR_FID:
        result.no_fid = f"{count} pictures; accepted: {LEAST_FOR_FID} or more"
    if result.no_fid:
        return
    step = begin(f"{pair_set.name}: {result.method.name}, FID", 2 * count)

    def features(hashes: Sequence[str], read: Sequence[Callable[[], np.ndarray]]) -> np.ndarray:
        """(N, 2048), of pictures by their hash; read where they aren't known."""
        keys = [key_of(value, meter.implementations["fid"]) for value in hashes]
        found = {key: known for key in keys if (known := cache.get_features(key)) is not None}
        missing = [(key, open_it) for key, open_it in zip(keys, read, strict=True) if key not in found]
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            for (key, _), row in zip(part, meter.features([open_it() for _, open_it in part]), strict=True):
                cache.add_features(key, row)
                found[key] = row
                step()
        for _ in range(count - len(missing)):
            step()
        return np.stack([found[key] for key in keys])

    real = features([pair.picture_hash for pair in pair_set.pairs], [pair.truth for pair in pair_set.pairs])
    readers = [partial(read_composite, path) for path in result.composites]
    made = features([entry.composite for entry in entries], readers)
    result.fid = frechet_distance(made, real)
