"""A report of `invertfill evaluate` as a table beside the paper's: means over seeds and pictures, with intervals."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from table_parts import YARDSTICK, Row, Table

from invertfill.evaluation.metrics import METRICS
from invertfill.evaluation.summary import mean_of_runs

COLUMNS = ("lpips_alex", "lpips_vgg", "ssim", "psnr")
RAW = ("known_colour", "border_jump")
UNTRAINED = "not trained enough"
DECIMALS = {"psnr": 2, "known_colour": 1, "border_jump": 1}  # of others: 3

Values = dict[tuple[str, str, str], dict[str, np.ndarray]]
"""(class, blend, method) -> metric -> (N,)."""


def label(name: str, row: Row, seed: int, seeds: Sequence[int]) -> str:
    """How a report names a row of a seed: rows that nothing is trained for have one for all."""
    return f"{name}.{seed}" if row.trained and len(seeds) > 1 else name


def read_values(report: Path) -> Values:
    """Of the report's pictures, in order."""
    columns: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (report / "values.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            for metric in METRICS:
                if metric in line:
                    columns[line["class"], line["blend"], line["method"]][metric].append(float(line[metric]))
    return {key: {name: np.array(values) for name, values in found.items()} for key, found in columns.items()}


def mean_cell(values: np.ndarray, metric: str, sign: str = "") -> str:
    """Mean and interval of (seeds, pictures)."""
    found, decimals = mean_of_runs(values), DECIMALS.get(metric, 3)
    if np.isnan(found.mean):
        return "-"
    text = f"{found.mean:{sign}.{decimals}f}"
    return text if np.isnan(found.low) else f"{text} [{found.low:{sign}.{decimals}f}, {found.high:{sign}.{decimals}f}]"


def fid_cell(values: list[float | None]) -> str:
    """Mean over seeds, and its range."""
    there = [value for value in values if value is not None]
    if not there:
        return "not measured"
    return f"{np.mean(there):.1f}" + (f" [{min(there):.1f}, {max(there):.1f}]" if len(there) > 1 else "")


def trainings(abouts: dict[str, dict[str, Any]]) -> str:
    """Markdown, from what table_training.py wrote of each."""
    if not abouts:
        return "Nothing was trained.\n"
    lines = ["| trained | steps | pictures seen | parameters | minutes | on |\n|---|---|---|---|---|---|"]
    for name, about in abouts.items():
        if "steps" in about:
            counts = f"{about['steps']} | {about['pictures']} | {about['parameters'] / 1e6:.2f} M"
            lines.append(f"| {name} | {counts} | {about['seconds'] / 60:.1f} | {about['processor']} |")
        else:  # by an earlier version, whose minutes hold start and export, too
            lines.append(f"| {name} | - | - | - | {about['minutes']:.1f} | - |")
    return "\n".join(lines) + "\n"


class Text:
    """What a table says.

    Args:
        table: its rows.
        report: the folder that `invertfill evaluate` wrote.
        seeds: of the trainings.
        blends: that the report has; the first one's columns come first.
    """

    def __init__(self, table: Table, report: Path, seeds: Sequence[int], blends: Sequence[str]) -> None:
        self.table, self.seeds, self.blends = table, seeds, blends
        self.values = read_values(report)
        self.sets: list[dict[str, Any]] = json.loads((report / "report.json").read_text(encoding="utf-8"))["sets"]
        self.fid = {(s["class"], s["blend"], m["name"]): m["fid"]["value"] for s in self.sets for m in s["methods"]}

    def __str__(self) -> str:
        """Markdown, one table for each class of masks."""
        text = []
        for found in self.sets:
            if found["blend"] != self.blends[0]:
                continue
            names = (f"FID (N={found['count']})", *(METRICS[metric].label for metric in COLUMNS))
            head = ["row", *(f"{name}, {blend}" for blend in self.blends for name in names)]
            head += [*(METRICS[metric].label for metric in RAW), "changes", "LPIPS alex to the row before", "the paper"]
            text += [
                f"{found['class']} masks ({found['masks']}, set {found['mask_set_sha256'][:16]}), {found['count']} "
                f"pictures (set {found['picture_set_sha256'][:16]}, FID's reference)\n",
                f"| {' | '.join(head)} |\n|{'---|' * len(head)}",
                *(f"| {' | '.join(self.row(name, found['class']))} |" for name in self.table.rows),
                "",
            ]
        return "\n".join(text)

    def row(self, name: str, coverage: str) -> list[str]:
        row, cells = self.table.rows[name], [name]
        if self.failed(name, coverage):
            metrics = len(self.blends) * (1 + len(COLUMNS)) + len(RAW)
            return [name, *[UNTRAINED] * metrics, row.what or "-", "-", self.paper(row, coverage)]
        for blend in self.blends:
            cells.append(fid_cell([self.fid.get((coverage, blend, method)) for method in self.methods(name)]))
            cells += [self.cell(name, coverage, blend, metric) for metric in COLUMNS]
        cells += [self.cell(name, coverage, self.blends[0], metric) for metric in RAW]
        changes = f"{row.before}: {row.what}" if row.before else row.what
        return [*cells, changes or "-", self.difference(name, coverage), self.paper(row, coverage)]

    def paper(self, row: Row, coverage: str) -> str:
        """The paper's figures of a class."""
        figures = row.paper.split(", ")
        return row.paper if len(figures) == 1 else figures[self.table.coverage.split(",").index(coverage)]

    def failed(self, name: str, coverage: str) -> bool:
        """Whether what was trained can't be told from one colour: its figures would pretend to be a result."""
        if not self.table.rows[name].trained or YARDSTICK not in self.table.rows:
            return False
        metric = next(m for m in (COLUMNS[0], "psnr") if self.of(YARDSTICK, coverage, self.blends[0], m) is not None)
        mine, other = (self.of(row, coverage, self.blends[0], metric) for row in (name, YARDSTICK))
        assert mine is not None and other is not None
        ahead = mean_of_runs(mine - other if METRICS[metric].better == "higher" else other - mine)
        return not (ahead.mean if np.isnan(ahead.low) else ahead.low) > 0

    def methods(self, name: str) -> list[str]:
        """The report's names of a row."""
        return list(dict.fromkeys(label(name, self.table.rows[name], seed, self.seeds) for seed in self.seeds))

    def of(self, name: str, coverage: str, blend: str, metric: str) -> np.ndarray | None:
        """(seeds, pictures); None where the metric wasn't measured."""
        found = [self.values.get((coverage, blend, method), {}).get(metric) for method in self.methods(name)]
        there = [values for values in found if values is not None]
        return np.stack(there) if there else None

    def cell(self, name: str, coverage: str, blend: str, metric: str) -> str:
        values = self.of(name, coverage, blend, metric)
        return "-" if values is None else mean_cell(values, metric)

    def difference(self, name: str, coverage: str) -> str:
        """LPIPS less that of the row before, each blended as it counts."""
        row = self.table.rows[name]
        before = self.table.rows.get(row.before)
        if before is None or not {row.blend, before.blend} <= set(self.blends):
            return "-"
        mine = self.of(name, coverage, row.blend, COLUMNS[0])
        other = self.of(row.before, coverage, before.blend, COLUMNS[0])
        return "-" if mine is None or other is None else mean_cell(mine - other, COLUMNS[0], "+")
