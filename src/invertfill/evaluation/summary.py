"""From values of each picture to what a table shows: means with intervals, by class and by coverage, and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import bootstrap

from invertfill.evaluation.metrics import METRICS
from invertfill.evaluation.protocol import MethodResult, Results, SetResult

RESAMPLES = 2000
CONFIDENCE = 0.95
INTERVAL = f"{CONFIDENCE:.0%} bootstrap intervals of the mean (percentile, {RESAMPLES} resamples of the pictures)"
BINS = 10  # of coverage, 10 % each


@dataclass(frozen=True)
class Mean:
    """A mean over pictures.

    Attributes:
        mean, low, high: with its interval; low and high are NaN for one picture. All are NaN where there is no value.
        count: pictures that have a value: a gap needs a border.
    """

    mean: float
    low: float
    high: float
    count: int


def mean_of(values: np.ndarray) -> Mean:
    """Of the values that are there (not NaN), the same for the same values."""
    return _mean_of(values.tobytes())


@cache  # of thousands of pictures an interval takes a moment, and several tables and plots show it
def _mean_of(data: bytes) -> Mean:
    values = np.frombuffer(data)
    there = values[~np.isnan(values)]
    if not there.size:
        return Mean(np.nan, np.nan, np.nan, 0)
    mean = float(there.mean())
    if there.size == 1:
        return Mean(mean, np.nan, np.nan, 1)
    if np.ptp(there) == 0:
        return Mean(mean, mean, mean, there.size)
    found = bootstrap(
        (there,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=100,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Mean(mean, float(found.low), float(found.high), there.size)


def mean_of_runs(values: np.ndarray) -> Mean:
    """Of several trainings on the same pictures, (runs, N): the interval is over both.

    Runs and pictures are drawn again, independently, and all pairs of them count (a crossed bootstrap). Pictures
    without a value (NaN) in a run are left out. Of few runs such an interval is too narrow, as any is.
    """
    there = values[:, ~np.isnan(values).any(0)]
    runs, count = there.shape
    if not there.size:
        return Mean(np.nan, np.nan, np.nan, 0)
    mean = float(there.mean())
    if there.size == 1:
        return Mean(mean, np.nan, np.nan, 1)
    rng = np.random.default_rng(0)
    of_runs, of_pictures = (rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n for n in (runs, count))
    found = ((of_runs @ there) * of_pictures).sum(1)
    edge = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(found, (edge, 100 - edge))
    return Mean(mean, float(low), float(high), count)


def means(result: MethodResult, which: np.ndarray | None = None) -> dict[str, Mean]:
    """Metric -> mean, over all pairs or those chosen by a (N,) bool."""
    return {name: mean_of(result.values[name][... if which is None else which]) for name in measured(result)}


def measured(result: MethodResult) -> list[str]:
    """The metrics, in the order of ``METRICS``."""
    return [name for name in METRICS if name in result.values]


def coverage_bins(result: SetResult) -> list[tuple[str, np.ndarray]]:
    """Label and (N,) bool of each tenth of coverage that holds pairs: 0.5 is in 50-60 %."""
    coverage = coverages(result)
    index = np.minimum((coverage * BINS + 1e-9).astype(int), BINS - 1)
    width = 100 // BINS
    return [(f"{i * width}-{(i + 1) * width} %", index == i) for i in range(BINS) if (index == i).any()]


def coverages(result: SetResult) -> np.ndarray:
    """(N,)."""
    return np.array([pair.coverage for pair in result.pairs.pairs])


def judge(result: SetResult) -> str:
    """The metric by which a pair is hard or easy: LPIPS, or without its weights PSNR."""
    return next(name for name in ("lpips_alex", "lpips_vgg", "psnr") if name in result.methods[0].values)


def difficulty(result: SetResult) -> np.ndarray:
    """Indices of the pairs, the hardest first: by the mean over the methods of `judge`."""
    name = judge(result)
    score = np.mean([method.values[name] for method in result.methods], axis=0)
    return np.argsort([METRICS[name].worth(value) for value in score], kind="stable")


def to_csv(results: Results) -> str:
    """A row for each class, way to blend, method and picture, with the hashes by which it can be told again."""
    names = measured(results.sets[0].methods[0])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["class", "blend", "method", "picture", "coverage", *names, "picture_sha256", "mask_sha256", "about"]
    )
    for found in results.sets:
        for method in found.methods:
            for i, pair in enumerate(found.pairs.pairs):
                row = [found.pairs.name, found.blend, method.method.name, pair.name, f"{pair.coverage:.6f}"]
                values = [f"{method.values[name][i]:.6f}" for name in names]
                writer.writerow([*row, *values, pair.picture_hash, pair.mask_hash, method.method.about])
    return text.getvalue()
