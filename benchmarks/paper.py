"""The paper's Tables 1 to 5, with one's own pictures and budget.

    INVERTFILL_WEIGHTS=weights python benchmarks/paper.py 5 --out runs/tables --images data/faces/val --count 100 \\
        --trunk src/invertfill/weights/faces-256 -- steps=300 prior=... codes=... data.path=data/faces/train
    INVERTFILL_WEIGHTS=weights python benchmarks/paper.py 1 --images data/faces/val --minutes 10 -- \\
        prior=... data.path=data/faces/train
    make table-5 TABLE_ARGS="..."

Trains what the rows need, `configs/tables.yaml` with its parts switched as the row says and the networks of
`configs/baselines`, exports it, and evaluates all rows on the same pairs. What follows `--` overrides the configuration
of every row that has such a key. It goes on where it was stopped, and a row that two tables share is trained once. With
`--trunk` all rows of ours begin with the same trained trunk, pyramid and RGB heads, and only what differs between them
is new: a small budget isn't spent on what they share.

Where a trained row is no better than the mean colour of the known pixels, its budget was too small for the method to
work at all, and the table says that in place of figures.

The paper's figures stand beside, on other data, from another generator, after hundreds of times the budget: only the
order of the rows can be compared.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from typer import Argument, Option

from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.evaluation.summary import mean_of
from invertfill.nn.invertfill import InvertFill
from invertfill.training.checkpoint import newest_checkpoint, read_state, read_tensors, write_tensors
from invertfill.training.config import BaselineConfig, InversionConfig, RunConfig, load_config
from invertfill.training.inversion import load_prior

CONFIGS = Path(__file__).parents[1] / "configs"
CONFIG = CONFIGS / "tables.yaml"
SHARED = ("encoder.trunk.", "encoder.lateral.", "encoder.rgb_heads.")  # what `--trunk` gives
W_PLUS = ["model.rgb_branch.channels=[]"]  # in place of F&W+
STATIC = ["mean_latent.tau=0"]  # in place of the soft-update mean latent (SML)
PLAIN = ["model.premodulation.enabled=false"]  # no pre-modulation (PM)
UNKNOWN = ["codes=null", "code_metric=null", "losses.code=0"]  # the generator didn't draw these pictures
MODELS = {  # what is trained, by name: overrides of the configuration
    "w+": [*W_PLUS, *STATIC, *PLAIN],
    "f+w+": [*STATIC, *PLAIN],
    "f+w+_sml": PLAIN,
    "f+w+_sml_pm": [],
    "w+_sml_pm": W_PLUS,
}
NETWORKS = [file.stem for file in sorted((CONFIGS / "baselines").glob("*.yaml"))]  # trained too, by name
MEAN = "mean"  # the row that trained rows have to be better than


@dataclass(frozen=True)
class Table:
    """Rows by name, each with how `invertfill evaluate` names it ({} is its trained model) and the paper's figures.

    A row without a name is one that only outside predictions can fill: `--predictions NAME=FOLDER`.
    """

    title: str
    rows: dict[str, tuple[str, str]]
    coverage: str
    kind: str = "freeform"
    overrides: tuple[str, ...] = ()
    size: int = 256


def network(name: str) -> str:
    return f"--method={name}:weights={{{name}}}"


OURS, PSP = "--model={f+w+_sml_pm}", "--method=psp:model={w+}"
TABLES = {
    1: Table(
        "mainstream methods (the paper: CelebA-HQ; SSIM / FID / LPIPS of hard, extreme, all)",
        {
            "gc": (network("gc"), "0.790 / 17.38 / 0.170, 0.589 / 41.70 / 0.297, 0.852 / 11.78 / 0.128"),
            "rfr": (network("rfr"), "0.825 / 9.98 / 0.128, 0.641 / 22.07 / 0.241, 0.878 / 7.96 / 0.092"),
            "medfe": (network("medfe"), "0.781 / 21.97 / 0.192, 0.552 / 55.52 / 0.359, 0.846 / 15.52 / 0.142"),
            "profill": ("", "none of CelebA-HQ: a web service"),
            "ctsdg": (network("ctsdg"), "0.818 / 15.13 / 0.151, 0.616 / 33.89 / 0.281, 0.875 / 10.32 / 0.110"),
            "crfill": (network("crfill"), "0.810 / 13.78 / 0.139, 0.639 / 30.19 / 0.275, 0.859 / 11.94 / 0.114"),
            "ours": (OURS, "0.812 / 9.89 / 0.121, 0.652 / 13.21 / 0.214, 0.867 / 7.71 / 0.089"),
            "shipped": ("--model=faces-256", "-"),
            "telea": ("--method=telea", "-"),
            "patchmatch": ("--method=patchmatch", "-"),
            MEAN: (f"--method={MEAN}", "-"),
        },
        "hard,extreme,all",
        overrides=("masks.low=0.1", "masks.pool=2000"),
        size=128,
    ),
    2: Table(
        "methods of GAN inversion (the paper: CelebA-HQ, extreme; FID / LPIPS / SSIM)",
        {
            "mganprior": ("--method=mganprior:model={f+w+_sml_pm}", "29.57 / 0.273 / 0.608"),
            "psp": (PSP, "25.61 / 0.248 / 0.594"),
            "psp-blend": ("--method=psp-blend:model={w+}", "21.96 / 0.240 / 0.602"),
            "ours": (OURS, "13.21 / 0.214 / 0.652"),
            "w-plus": ("--method=w-plus:model={f+w+_sml_pm}", "-"),
            "telea": ("--method=telea", "-"),
            "patchmatch": ("--method=patchmatch", "-"),
        },
        "extreme",
    ),
    3: Table(
        "outpainting, the generator as it is (the paper: Scenery; FID / LPIPS / SSIM)",
        {
            "rfr": (network("rfr"), "138.31 / 0.455 / 0.376"),
            "psp": (PSP, "49.62 / 0.379 / 0.392"),
            "boundless": (network("boundless"), "45.05 / 0.368 / 0.413"),
            "ns-outpaint": (network("ns-outpaint"), "38.95 / 0.342 / 0.410"),
            "ours": (OURS, "20.90 / 0.294 / 0.439"),
            MEAN: (f"--method={MEAN}", "-"),
        },
        "hard",
        "outpaint",
        ("masks.kind=outpaint", "network.size=256", *UNKNOWN),
    ),
    4: Table(
        "an unseen domain, the generator as it is (the paper: MetFaces, easy and extreme; SSIM / FID / LPIPS)",
        {
            "rfr": (network("rfr"), "0.93 / 18.89 / 0.069, 0.52 / 58.24 / 0.315"),
            "crfill": (network("crfill"), "0.95 / 13.67 / 0.042, 0.54 / 50.93 / 0.278"),
            "psp": (PSP, "0.95 / 14.91 / 0.040, 0.49 / 65.04 / 0.341"),
            "ours": (OURS, "0.97 / 8.64 / 0.033, 0.60 / 38.85 / 0.227"),
            MEAN: (f"--method={MEAN}", "-"),
        },
        "easy,extreme",
        overrides=("network.size=256", *UNKNOWN),
    ),
    5: Table(
        "ablation (the paper: Places2, extreme; FID / LPIPS / SSIM / PSNR)",
        {
            name: (f"--model={{{name}}}", paper)
            for name, paper in (
                ("w+", "-"),
                ("f+w+", "35.37 / 0.395 / 0.357 / 13.85"),
                ("f+w+_sml", "24.73 / 0.389 / 0.358 / 13.99"),
                ("f+w+_sml_pm", "21.08 / 0.386 / 0.366 / 14.62"),
                ("w+_sml_pm", "42.85 / 0.392 / 0.361 / 14.25"),
            )
        },
        "extreme",
    ),
}


def invertfill(*arguments: object) -> None:
    if status := subprocess.run([sys.executable, "-m", "invertfill", *map(str, arguments)]).returncode:
        sys.exit(status)  # the command has said why


def write_start(trunk: Path, overrides: list[str], to: Path) -> None:
    """A row's weights before its first step: everything new but the encoder up to its heads."""
    config = load_config(InversionConfig, CONFIG, overrides)
    torch.manual_seed(config.seed)
    model = InvertFill(config.model)
    if config.prior:
        load_prior(model.generator, config.prior)
    shared = {k: v for k, v in read_tensors(trunk).items() if k.startswith(SHARED)}
    write_tensors(to, model.state_dict() | shared)


def fitting(overrides: Sequence[str], schema: type[RunConfig]) -> list[str]:
    """Those whose key a configuration of this kind has."""
    return [text for text in overrides if text.partition("=")[0].partition(".")[0] in schema.model_fields]


def train(name: str, out: Path, overrides: list[str], trunk: Path | None) -> Path:
    """The folder of a model or a network."""
    folder, run_folder = out / name, out / f"run-{name}"
    if folder.is_dir():
        return folder
    out.mkdir(parents=True, exist_ok=True)
    place = [f"name={name}", f"out={run_folder}"]
    if name in NETWORKS:
        changes = [*fitting(overrides, BaselineConfig), *place]
        invertfill("train", "baseline", CONFIGS / "baselines" / f"{name}.yaml", *changes)
    else:
        changes = [*fitting(overrides, InversionConfig), *MODELS[name], *place]
        if trunk:
            start = out / f"start-{name}.safetensors"
            write_start(trunk / "model.safetensors", changes, start)
            changes.append(f"init={start}")
        invertfill("train", "inversion", CONFIG, *changes)
    invertfill("export", run_folder, "-o", folder)
    return folder


def seen(run_folder: Path) -> str:
    """How many pictures a row was trained on, counted as often as they came."""
    newest = newest_checkpoint(run_folder)
    state = read_state(newest) if newest else None
    return f"{state['step'] * state['config']['batch']:,}" if state else "-"


def worse(report: Path, coverage: str, method: str) -> bool:
    """Whether a method's fills are no better than a mean fill's: in LPIPS (AlexNet) if it was measured, or in PSNR.

    Better is a mean of the pictures' differences whose 95 % interval lies on the right side of 0.
    """
    values: dict[str, dict[str, dict[str, float]]] = {}
    with (report / "values.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["class"] == coverage and row["method"] in (method, MEAN):
                for metric, sign in (("lpips_alex", -1), ("psnr", 1)):
                    if metric in row:
                        of_metric = values.setdefault(metric, {})
                        of_metric.setdefault(row["method"], {})[row["picture"]] = sign * float(row[metric])
    gains = [np.array([found[method][name] - found[MEAN][name] for name in found[MEAN]]) for found in values.values()]
    return any(mean_of(gain).mean <= 0 or mean_of(gain).low <= 0 for gain in gains)


def cells(method: dict[str, Any]) -> list[str]:
    """FID, then means with their intervals."""
    fid, values = method["fid"]["value"], method["metrics"]
    figures = ["-" if fid is None else f"{fid:.1f}"]
    for metric, digits in (("lpips_alex", 3), ("lpips_vgg", 3), ("ssim", 3), ("psnr", 2)):
        found = values.get(metric)
        if found is None or found["mean"] is None:
            figures.append("-")
        else:
            low, high = (found["mean"] if found[end] is None else found[end] for end in ("low", "high"))
            figures.append(f"{found['mean']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
    return figures


def main(
    number: Annotated[int, Argument(metavar="1|2|3|4|5", min=1, max=5)],
    images: Annotated[Path, Option(help="A folder of pictures to evaluate on.")],
    overrides: Annotated[
        list[str] | None, Argument(metavar="[KEY=VALUE]...", help="For every row with the key.")
    ] = None,
    out: Annotated[Path, Option(help="Runs, models and reports.")] = Path("runs/tables"),
    count: Annotated[int, Option(min=1, help="The first so many pictures, by name.")] = 100,
    trunk: Annotated[Path | None, Option(help="The folder of a model with the same encoder; not for Table 1.")] = None,
    minutes: Annotated[
        float | None, Option(min=0.01, help="Training of every row, in place of its own budget.")
    ] = None,
    predictions: Annotated[
        list[str] | None, Option(metavar="NAME=FOLDER", help="Of a row that nothing here can fill, such as profill.")
    ] = None,
) -> None:
    """Train what a table needs, evaluate it, and print the table."""
    table = TABLES[number]
    if number == 1 and trunk:
        raise InputError("--trunk with Table 1, whose rows have one budget; accepted: Tables 2 to 5")
    outside = dict(text.partition("=")[::2] for text in predictions or [])
    open_rows = [name for name, (how, _) in table.rows.items() if not how]
    if unknown := sorted(outside.keys() - set(open_rows)):
        raise InputError(f"--predictions {unknown[0]}: no such row; accepted: {', '.join(open_rows) or 'none here'}")
    changes = [*(overrides or []), *table.overrides]
    if minutes:
        changes += [f"time_budget={minutes}", "steps=1000000"]
    known = InversionConfig.model_fields.keys() | BaselineConfig.model_fields.keys()
    for text in changes:
        if text.partition("=")[0].partition(".")[0] not in known:
            raise InputError(f"{text}: no key of any row; accepted: {', '.join(sorted(known))}")
    # Tables 2 and 5 share what they train.
    place = out / ("portraits" if number in (2, 5) else f"table-{number}")
    needed = [name for name in (*MODELS, *NETWORKS) if any(f"{{{name}}}" in how for how, _ in table.rows.values())]
    folders = {name: str(train(name, place, changes, trunk)) for name in needed}
    methods = []
    for name, (how, _) in table.rows.items():
        if how:
            option, method = how.format(**folders).split("=", 1)
            methods += [option, f"{name}={method}"]
        elif name in outside:
            methods += ["--predictions", f"{name}={outside[name]}"]
    report = out / f"report-{number}"
    pairs = ["--images", images, "--coverage", table.coverage, "--kind", table.kind, "--size", table.size]
    invertfill("evaluate", *pairs, "--count", count, *methods, "-o", report)
    pictures = {
        name: seen(place / f"run-{model}")
        for name, (how, _) in table.rows.items()
        for model in needed
        if f"{{{model}}}" in how
    }
    print(f"\nTable {number}: {table.title}")
    for found in json.loads((report / "report.json").read_text(encoding="utf-8"))["sets"]:
        coverage, measured = found["class"], {method["name"]: method for method in found["methods"]}
        masks = f"{coverage} {table.kind} masks, set {found['mask_set_sha256'][:16]}"
        print(f"\n{found['count']} pictures of {table.size} px, {masks}\n")
        heads = [f"FID (N={found['count']})", "LPIPS AlexNet", "LPIPS VGG16", "SSIM", "PSNR"]
        print(f"| row | trained on | {' | '.join(heads)} | the paper |\n|---|---:|{'---:|' * len(heads)}---|")
        for name, (_, paper) in table.rows.items():
            if name not in measured:
                figures = ["not run: outside predictions alone can fill it", *[""] * 4]
            elif name in pictures and MEAN in measured and worse(report, coverage, name):
                figures = ["too small a budget: no better than a mean fill", *[""] * 4]
            else:
                figures = cells(measured[name])
            print(f"| {name} | {pictures.get(name, '-')} | {' | '.join(figures)} | {paper} |")


if __name__ == "__main__":
    run(main)
