"""The report: report.html (one file, nothing from a network), report.md, report.json, values.csv, plots and sheets."""

from __future__ import annotations

import base64
import json
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from PIL import Image, ImageDraw

import invertfill
from invertfill.evaluation import plots
from invertfill.evaluation.cache import key_of
from invertfill.evaluation.metrics import METRICS, Meter
from invertfill.evaluation.pairs import RESIZE
from invertfill.evaluation.protocol import Results, SetResult, read_composite
from invertfill.evaluation.summary import (
    INTERVAL,
    Mean,
    coverage_bins,
    difficulty,
    judge,
    mean_of,
    means,
    measured,
    to_csv,
)
from invertfill.imaging.files import write_file
from invertfill.imaging.writing import encode_image, save_image

HOLE = 127  # grey, in a picture of the input
CAPTION = 22  # pixels above a sheet's columns
NO_VALUE = "–"
BLENDED = {
    "auto": "each method in its own way",
    "none": "none: every method's raw output is put into the hole as it is",
    **{way: f"{way}, of every method's raw output" for way in ("membrane", "rim")},
}


@dataclass(frozen=True)
class About:
    """What every table says of itself.

    Attributes:
        images: folder of the pictures.
        size: that they were brought to.
        command: that made the report.
        relative_to: the method that ratios refer to, if any.
    """

    images: str
    size: int
    command: str
    relative_to: str | None = None


def write_report(results: Results, about: About, meter: Meter, folder: Path, gallery: int) -> Path:
    """Write all files of the report.

    Args:
        results: what was measured.
        about: where it comes from.
        meter: what measured it.
        folder: of the report.
        gallery: how many pairs of each set are shown.

    Returns:
        report.html.

    Raises:
        InputError: a file can't be written.
    """
    facts = _facts(results, about, meter)
    sets = [_describe(found, about, meter, folder, gallery) for found in results.sets]
    shown: dict[str, Any] = {
        "facts": facts,
        "sets": sets,
        "metrics": METRICS,
        "interval": INTERVAL,
        "missing": meter.missing,
    }
    shown["methods"] = [found.method for found in results.sets[0].methods]
    templates = Environment(
        loader=PackageLoader("invertfill.evaluation"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_file(folder / "values.csv", to_csv(results).encode())
    write_file(folder / "report.json", f"{json.dumps(_as_json(results, facts), indent=1)}\n".encode())
    write_file(folder / "report.md", templates.get_template("report.md").render(shown).encode())
    page = folder / "report.html"
    write_file(page, templates.get_template("report.html").render(shown).encode())
    return page


def table(result: SetResult, relative_to: str | None) -> tuple[list[str], list[list[str]]]:
    """Head and rows: a method's means with intervals, and ratios to one method's in brackets.

    Args:
        result: of a set of pairs.
        relative_to: a method's name, or None.
    """
    names = measured(result.methods[0])
    base = next((means(found) for found in result.methods if found.method.name == relative_to), None)
    rows = []
    for found in result.methods:
        cells = [_cell(name, mean, base[name] if base else None) for name, mean in means(found).items()]
        fid = f"{found.fid:.2f}" if found.fid is not None else NO_VALUE
        rows.append([found.method.name, *cells, fid])
    return ["method", *(METRICS[name].head for name in names), f"FID (N={len(result.pairs.pairs)}) ↓"], rows


def caption(result: SetResult, about: About, meter: Meter) -> list[tuple[str, str]]:
    """What every table says of itself, by heading."""
    pairs = result.pairs
    return [
        ("data", f"{about.images}, {len(pairs.pairs)} pictures at {about.size} px"),
        ("masks", f"class {pairs.name}, {pairs.masks}, SHA-256 of the set {pairs.mask_hash}"),
        ("blend", BLENDED[result.blend]),
        *((found.method.name, found.method.about) for found in result.methods),
        *((METRICS[name].label if name in METRICS else "FID", by) for name, by in meter.implementations.items()),
        ("intervals", INTERVAL),
        ("by", f"invertfill {invertfill.__version__}, {_device(meter)}, {_today()}"),
        ("command", about.command),
    ]


def _cell(name: str, mean: Mean, base: Mean | None) -> str:
    if math.isnan(mean.mean):
        return NO_VALUE
    decimals = METRICS[name].decimals
    text = f"{mean.mean:.{decimals}f}"
    if base and name.startswith("lpips") and base.mean:
        text = f"{text} ({mean.mean / base.mean:.3f})"
    return text if math.isnan(mean.low) else f"{text} [{mean.low:.{decimals}f}, {mean.high:.{decimals}f}]"


def _describe(result: SetResult, about: About, meter: Meter, folder: Path, gallery: int) -> dict[str, Any]:
    """What the templates show of a set."""
    name = result.name
    head, rows = table(result, about.relative_to)
    bins = coverage_bins(result)
    described: dict[str, Any] = {
        "name": name,
        "title": f"{result.title}: {len(result.pairs.pairs)} pictures, masks {result.pairs.masks}",
        "caption": caption(result, about, meter),
        "head": head,
        "rows": rows,
        "best": _best(result),
        "no_fid": sorted({found.no_fid for found in result.methods if found.no_fid}),
        "bins": [],
        "plots": [],
    }
    if len(bins) > 1:
        described["bins"] = [
            [label, str(int(which.sum())), found.method.name]
            + [_cell(metric, mean, None) for metric, mean in means(found, which).items()]
            for label, which in bins
            for found in result.methods
        ]
    for kind, title, svg in (
        ("coverage", "Against coverage", plots.against_coverage(result)),
        ("distributions", "Distributions: share of pictures up to each value", plots.distributions(result)),
    ):
        if svg:
            write_file(folder / f"{kind}-{name}.svg", svg.encode())
            data = base64.b64encode(svg.encode()).decode()
            described["plots"].append({"file": f"{kind}-{name}.svg", "title": title, "data": data})
    described["gallery"] = _gallery(result, gallery)
    described["sheet"] = f"gallery-{name}.png"
    save_image(_sheet(described["gallery"]), folder / described["sheet"])
    for row in described["gallery"]:
        row["pictures"] = [(label, _data(picture), value) for label, picture, value in row["pictures"]]
    return described


def _best(result: SetResult) -> list[list[int]]:
    """For each column of `table` after the first, the rows of its best value; none where there is no choice."""
    columns = [
        [METRICS[name].worth(mean_of(found.values[name]).mean) for found in result.methods]
        for name in measured(result.methods[0])
    ]
    columns.append([math.nan if found.fid is None else -found.fid for found in result.methods])
    best: list[list[int]] = []
    for column in columns:
        choice = len(set(column)) > 1 and not any(map(math.isnan, column))
        best.append([i for i, worth in enumerate(column) if worth == max(column)] if choice else [])
    return best


def _gallery(result: SetResult, count: int) -> list[dict[str, Any]]:
    """Pairs from the hardest to the easiest, evenly spread: input, every method, truth."""
    order = difficulty(result)
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))]
    metric = judge(result)
    rows = []
    for i in chosen:
        pair = result.pairs.pairs[i]
        truth, hole = pair.truth(), pair.hole
        pictures = [
            ("input", np.where(hole[..., None], np.uint8(HOLE), truth), ""),
            ("hole", np.repeat(hole[..., None].astype(np.uint8) * 255, 3, 2), ""),
        ]
        for found in result.methods:
            value = f"{METRICS[metric].label} {found.values[metric][i]:.{METRICS[metric].decimals - 1}f}"
            pictures.append((found.method.name, read_composite(found.composites[i]), value))
        pictures.append(("truth", truth, ""))
        rows.append({"name": pair.name, "coverage": f"{pair.coverage:.0%}", "pictures": pictures})
    return rows


def _sheet(gallery: Sequence[dict[str, Any]]) -> Image.Image:
    """The gallery as one picture, a column for each of its pictures, named at the top."""
    rows = [np.concatenate([picture for _, picture, _ in row["pictures"]], axis=1) for row in gallery]
    body = np.concatenate(rows)
    sheet = Image.new("RGB", (body.shape[1], body.shape[0] + CAPTION), "white")
    sheet.paste(Image.fromarray(body), (0, CAPTION))
    pen, labels = ImageDraw.Draw(sheet), [label for label, _, _ in gallery[0]["pictures"]]
    for i, label in enumerate(labels):
        pen.text((i * body.shape[1] // len(labels) + 4, 4), label, fill="black")
    return sheet


def _data(picture: np.ndarray) -> str:
    """As the page holds it: WebP without loss."""
    return base64.b64encode(encode_image(Image.fromarray(picture), "picture.webp")).decode()


def _facts(results: Results, about: About, meter: Meter) -> dict[str, Any]:
    packages = ("torch", "torchmetrics", "scipy", "numpy", "pillow", "onnxruntime")
    return {
        "command": about.command,
        "date": _today(),
        "data": about.images,
        "size": f"{about.size} px: the largest centred square, {RESIZE}",
        "device": _device(meter),
        "invertfill": invertfill.__version__,
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        "metrics": meter.implementations,
        "counted": f"{results.measured} measured now, {results.cached} from the cache",
    }


def _as_json(results: Results, facts: dict[str, Any]) -> dict[str, Any]:
    def mean(found: Mean) -> dict[str, float | int | None]:
        return {name: None if math.isnan(value) else value for name, value in vars(found).items()}

    sets = [
        {
            "class": found.pairs.name,
            "blend": found.blend,
            "masks": found.pairs.masks,
            "mask_set_sha256": found.pairs.mask_hash,
            "picture_set_sha256": key_of(*(pair.picture_hash for pair in found.pairs.pairs)),
            "count": len(found.pairs.pairs),
            "methods": [
                {
                    "name": method.method.name,
                    "kind": method.method.kind,
                    "about": method.method.about,
                    "metrics": {name: mean(value) for name, value in means(method).items()},
                    "fid": {"value": method.fid, "count": len(found.pairs.pairs), "missing": method.no_fid or None},
                    "coverage": {
                        label: {name: mean(value) for name, value in means(method, which).items()}
                        for label, which in coverage_bins(found)
                    },
                }
                for method in found.methods
            ],
        }
        for found in results.sets
    ]
    return {**facts, "interval": INTERVAL, "sets": sets}


def _device(meter: Meter) -> str:
    kind = torch.cuda.get_device_name() if meter.device.type == "cuda" else platform.machine()
    return f"{meter.device.type} ({kind}), {platform.system()}, Python {platform.python_version()}"


def _today() -> str:
    return time.strftime("%Y-%m-%d")
