"""The report's plots, as SVG: a metric against coverage, and its distribution over the pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from invertfill.evaluation.metrics import METRICS
from invertfill.evaluation.protocol import SetResult
from invertfill.evaluation.summary import coverage_bins, coverages, mean_of, measured

# Okabe and Ito's, told apart by colour-blind people too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":", "-.")  # for more methods than colours
# The same values make the same file, and its text stays text.
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "invertfill",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
}


def against_coverage(result: SetResult) -> str | None:
    """Means and intervals by tenths of coverage; None where there is only one."""
    bins = coverage_bins(result)
    if len(bins) < 2:
        return None
    centres = [100 * float(coverages(result)[which].mean()) for _, which in bins]
    with matplotlib.rc_context(SETTINGS):
        figure = Figure()
        for axes, name in _panels(figure, result):
            for i, method in enumerate(result.methods):
                found = [mean_of(method.values[name][which]) for _, which in bins]
                colour, style = _look(i)
                axes.plot(
                    centres, [m.mean for m in found], style, color=colour, marker="o", ms=3, label=method.method.name
                )
                axes.fill_between(centres, [m.low for m in found], [m.high for m in found], color=colour, alpha=0.15)
            axes.set_xlabel("coverage, %")
        return _svg(figure)


def distributions(result: SetResult) -> str:
    """The share of pictures up to each value."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure()
        for axes, name in _panels(figure, result):
            for i, method in enumerate(result.methods):
                colour, style = _look(i)
                values = method.values[name][~np.isnan(method.values[name])]
                if values.size:
                    axes.ecdf(values, color=colour, ls=style, label=method.method.name)
        return _svg(figure)


def _panels(figure: Figure, result: SetResult) -> Iterator[tuple[Axes, str]]:
    names = measured(result.methods[0])
    columns = 3
    rows = -(-len(names) // columns)
    figure.set_size_inches(3.4 * columns, 2.5 * rows + 0.4)
    for i, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.set_title(METRICS[name].label, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        yield axes, name
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 5), frameon=False)


def _look(index: int) -> tuple[str, str]:
    return COLOURS[index % len(COLOURS)], STYLES[index // len(COLOURS) % len(STYLES)]


def _svg(figure: Figure) -> str:
    figure.set_layout_engine("constrained")
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
