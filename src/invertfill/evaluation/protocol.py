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
from invertfill.options import AUTO


@dataclass
class MethodResult:
    """What was measured of a method on a set of pairs, blended in one way.

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
    """What was measured on a set of pairs.

    Attributes:
        pairs: the set.
        blend: how every method's raw output meets the known pixels; "auto": in the method's own way.
        methods: one result for each.
    """

    pairs: PairSet
    blend: str = AUTO
    methods: list[MethodResult] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of its folder and files."""
        return self.pairs.name if self.blend == AUTO else f"{self.pairs.name}-{self.blend}"

    @property
    def title(self) -> str:
        """For people."""
        return self.pairs.name if self.blend == AUTO else f"{self.pairs.name}, blend {self.blend}"


@dataclass
class Results:
    """Of a run.

    Attributes:
        sets: what was measured.
        measured, cached: pictures times methods times ways to blend.
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


def evaluate(
    sets: Sequence[PairSet], methods: Sequence[Method], blends: Sequence[str], meter: Meter, report: Path, begin: Begin
) -> Results:
    """Measure every method on every set of pairs, blended in every way. Each method runs once.

    Args:
        sets: from `read_pairs`.
        methods: checked.
        blends: as of `Output.blended`, each once.
        meter: the metrics.
        report: the folder that gets cache, raw outputs and composites.
        begin: progress.

    Raises:
        InputError: a file that has changed meanwhile, or that can't be written.
    """
    results, cache = Results(), Cache(report)
    try:
        for pair_set in sets:
            done = [SetResult(pair_set, blend) for blend in blends]
            results.sets.extend(done)
            for method in methods:
                run = _Run(done, method, meter, cache, report)
                step = begin(f"{pair_set.name}: {method.name}", len(pair_set.pairs))
                for found, entries in zip(done, run.entries(results, step), strict=True):
                    values = {name: np.array([entry.values[name] for entry in entries]) for name in entries[0].values}
                    places = [run.place(found, pair) for pair in pair_set.pairs]
                    found.methods.append(MethodResult(method, values, places))
                    _add_fid(found, entries, meter, cache, begin)
    finally:
        cache.close()
    return results


class _Run:
    """One method on one set, blended in several ways.

    Args:
        sets: one for each way.
    """

    def __init__(self, sets: Sequence[SetResult], method: Method, meter: Meter, cache: Cache, report: Path) -> None:
        self.sets, self.method, self.meter, self.cache, self.report = sets, method, meter, cache, report
        self.pair_set = sets[0].pairs

    def place(self, found: SetResult, pair: Pair) -> Path:
        return self.report / "composites" / found.name / self.method.name / f"{pair.name}.png"

    def raw(self, pair: Pair) -> Path:
        return self.report / "raw" / self.pair_set.name / self.method.name / f"{pair.name}.png"

    def entries(self, results: Results, step: Callable[[], None]) -> list[list[Entry]]:
        """Of each way to blend, and each pair in order, measured or from the cache."""
        found: dict[str, list[Entry]] = {}
        waiting: list[Pair] = []
        for number, pair in enumerate(self.pair_set.pairs, 1):
            known = [self._known(one, pair) for one in self.sets]
            results.cached += sum(entry is not None for entry in known)
            if self.raw(pair).is_file() and all(known):
                found[pair.name] = [entry for entry in known if entry is not None]
                step()
            else:
                waiting.append(pair)
            if len(waiting) == self.method.batch or (waiting and number == len(self.pair_set.pairs)):
                for done, entries in zip(waiting, self._measure(waiting, results), strict=True):
                    found[done.name] = entries
                    step()
                waiting = []
        return [list(row) for row in zip(*(found[pair.name] for pair in self.pair_set.pairs), strict=True)]

    def _key(self, found: SetResult, pair: Pair) -> str:
        identity = self.method.identity(self.pair_set, pair)
        return key_of(pair.picture_hash, pair.mask_hash, identity, self.meter.identity, found.blend)

    def _known(self, found: SetResult, pair: Pair) -> Entry | None:
        entry = self.cache.get(self._key(found, pair))
        return entry if entry and _hash_of_file(self.place(found, pair)) == entry.composite else None

    def _measure(self, pairs: Sequence[Pair], results: Results) -> list[list[Entry]]:
        """Of each pair and way to blend; where the cache has it, from there."""
        truths, holes = [pair.truth() for pair in pairs], [pair.hole for pair in pairs]
        outputs = list(self.method.outputs(self.pair_set, pairs, truths))
        for pair, output in zip(pairs, outputs, strict=True):
            save_image(Image.fromarray(output.raw), self.raw(pair))
        columns = []
        for found in self.sets:
            entries = [self._known(found, pair) for pair in pairs]
            new = [i for i, entry in enumerate(entries) if entry is None]
            made = [outputs[i].blended(found.blend, truths[i], holes[i]) for i in new]
            raws = [outputs[i].raw for i in new]
            values = self.meter.measure(raws, made, [truths[i] for i in new], [holes[i] for i in new]) if new else []
            for i, composite, value in zip(new, made, values, strict=True):
                save_image(Image.fromarray(composite), self.place(found, pairs[i]))
                entries[i] = entry = Entry(hash_of(composite), value)
                self.cache.add(self._key(found, pairs[i]), entry)
                results.measured += 1
            columns.append([entry for entry in entries if entry is not None])
        return [list(row) for row in zip(*columns, strict=True)]


def read_composite(path: Path) -> np.ndarray:
    """(H, W, 3) uint8."""
    return np.asarray(open_image(path, note=silent))


def _hash_of_file(path: Path) -> str | None:
    try:
        return hash_of(read_composite(path))
    except InputError:  # gone or damaged: made again
        return None


def _add_fid(found: SetResult, entries: Sequence[Entry], meter: Meter, cache: Cache, begin: Begin) -> None:
    """To the newest method of a set: the distance of its composites to the originals of the same set."""
    result, pair_set = found.methods[-1], found.pairs
    count = len(pair_set.pairs)
    if "fid" in meter.missing:
        result.no_fid = meter.missing["fid"]
    elif count < LEAST_FOR_FID:
        result.no_fid = f"{count} pictures; accepted: {LEAST_FOR_FID} or more"
    if result.no_fid:
        return
    step = begin(f"{found.title}: {result.method.name}, FID", 2 * count)

    def features(hashes: Sequence[str], read: Sequence[Callable[[], np.ndarray]]) -> np.ndarray:
        """(N, 2048), of pictures by their hash; read where they aren't known."""
        keys = [key_of(value, meter.implementations["fid"]) for value in hashes]
        rows = {key: known for key in keys if (known := cache.get_features(key)) is not None}
        missing = [(key, open_it) for key, open_it in zip(keys, read, strict=True) if key not in rows]
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            for (key, _), row in zip(part, meter.features([open_it() for _, open_it in part]), strict=True):
                cache.add_features(key, row)
                rows[key] = row
                step()
        for _ in range(count - len(missing)):
            step()
        return np.stack([rows[key] for key in keys])

    real = features([pair.picture_hash for pair in pair_set.pairs], [pair.truth for pair in pair_set.pairs])
    readers = [partial(read_composite, path) for path in result.composites]
    made = features([entry.composite for entry in entries], readers)
    result.fid = frechet_distance(made, real)
