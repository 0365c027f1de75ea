"""What `invertfill evaluate` does: check everything that can be checked, measure, write the report."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from invertfill.engines.torch import pick_device
from invertfill.errors import InputError, one_line
from invertfill.evaluation.methods import BaselineMethod, Method, ModelMethod, Predictions
from invertfill.evaluation.metrics import METRICS, Meter
from invertfill.evaluation.pairs import Problems, Source, read_pairs, write_pairs
from invertfill.evaluation.protocol import SetResult, check_names, evaluate
from invertfill.evaluation.report import About, table, write_report
from invertfill.imaging.files import make_folder
from invertfill.notes import Begin
from invertfill.options import AUTO, DECLARED, FillOptions


@dataclass(frozen=True)
class Request:
    """What is asked for; see the command's options."""

    source: Source
    out: Path | None
    models: Sequence[str]
    predictions: Sequence[str]
    methods: Sequence[str]
    relative_to: str | None
    gallery: int
    pairs: Path | None
    options: FillOptions
    command: str
    blends: Sequence[str] = (AUTO,)


@dataclass
class Report:
    """What a person is told at the end.

    Attributes:
        lines: tables, and where the report is.
        notes: what isn't in it, and why.
        pairs: the folder that got the pairs.
        page: the report's.
        results: what report.json holds; None where nothing was measured.
    """

    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pairs: Path | None = None
    page: Path | None = None
    results: dict[str, Any] | None = None


def run(request: Request, begin: Begin) -> Report:
    """Evaluate.

    Args:
        request: what.
        begin: progress.

    Raises:
        InputError: something that can't be used.
        InputErrors: several such files.
    """
    _check(request)
    device = pick_device(request.options.device)  # of the metrics
    methods: list[Method] = [
        *(BaselineMethod(text, request.options.device) for text in request.methods),
        *(Predictions(text) for text in request.predictions),
        *(ModelMethod(text, request.options) for text in request.models),
    ]
    check_names(methods)
    if request.relative_to is not None and request.relative_to not in [method.name for method in methods]:
        accepted = ", ".join(method.name for method in methods)
        raise InputError(f"--relative-to {request.relative_to}; accepted: {accepted}")
    sets = read_pairs(request.source, begin)
    problems = Problems()
    for method in methods:
        method.check(sets, problems)
    problems.end()

    report = Report()
    if request.pairs is not None:
        write_pairs(sets, request.pairs, begin)
        report.pairs = request.pairs
        report.lines.append(f"pairs: {one_line(request.pairs)}")
    if request.out is None or not methods:
        return report
    make_folder(request.out)
    meter = Meter(device)
    results = evaluate(sets, methods, request.blends, meter, request.out, begin)
    about = About(str(request.source.images), request.source.size, request.command, request.relative_to)
    page = write_report(results, about, meter, request.out, request.gallery)
    report.page, report.results = page, json.loads((request.out / "report.json").read_text(encoding="utf-8"))
    for found in results.sets:
        report.lines.extend([f"{found.title}: {len(found.pairs.pairs)} pictures", *_aligned(found, about), ""])
    report.lines.append(f"{results.measured} measured, {results.cached} from the cache")
    report.lines.append(f"report: {one_line(page)}")
    report.notes.extend(
        f"{METRICS[name].label if name in METRICS else 'FID'} not computed: {why}"
        for name, why in meter.missing.items()
    )
    if "fid" not in meter.missing:
        reasons = {f"{s.title}: FID not computed: {m.no_fid}": 0 for s in results.sets for m in s.methods if m.no_fid}
        report.notes.extend(reasons)
    return report


def _check(request: Request) -> None:
    source = request.source
    if source.masks is None and not source.coverage:
        raise InputError("no masks; accepted: --mask FOLDER, or --coverage such as hard,extreme,all")
    if source.masks is not None and len(source.coverage) > 1:
        raise InputError("--mask with several classes of --coverage; accepted: one, which all masks must lie in")
    accepted = DECLARED["blend"].choices
    for blend in request.blends:
        if blend not in accepted or request.blends.count(blend) > 1:
            raise InputError(
                f"--blend {','.join(request.blends)}; accepted: {', '.join(accepted)}, each once, by comma"
            )
    if request.options.feather and tuple(request.blends) != (AUTO,):
        raise InputError("--feather with --blend: the raw output isn't feathered; accepted: --blend auto")
    given = bool(request.models or request.predictions or request.methods)
    if not given and request.pairs is None:
        raise InputError(
            "nothing to evaluate; accepted: --model, --predictions, --method or, for the pairs alone, --pairs"
        )
    if given and request.out is None:
        raise InputError("no -o; accepted: -o with a folder for the report")
    predictions = (Path(text.partition("=")[2]) for text in request.predictions)
    inputs = [source.images, source.masks, source.outlines, *predictions]
    for folder in filter(None, (request.out, request.pairs)):
        for other in filter(None, inputs):
            if os.path.realpath(folder) == os.path.realpath(other):
                raise InputError(f"{folder}: a folder of the inputs themselves; accepted: another folder")


def _aligned(found: SetResult, about: About) -> list[str]:
    head, rows = table(found, about.relative_to)
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in (head, *rows)
    ]
