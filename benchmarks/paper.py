"""The paper's Tables 2 to 5, with one's own pictures and budget.

    INVERTFILL_WEIGHTS=weights python benchmarks/paper.py 5 --out runs/tables --images data/faces/val --count 100 \\
        --trunk src/invertfill/weights/faces-256 -- steps=300 prior=... codes=... data.path=data/faces/train
    make table-5 TABLE_ARGS="..."

Trains `configs/tables.yaml` once for each row that has to be trained, its parts switched as the row says, exports it,
and evaluates all rows on the same pairs. What follows `--` overrides the configuration of every row. It goes on where
it was stopped, and a row that two tables share is trained once. With `--trunk` all rows begin with the same trained
trunk, pyramid and RGB heads, and only what differs between them is new: a small budget isn't spent on what they share.

The paper's figures stand beside, on other data, from another generator, after hundreds of times the budget: only the
order of the rows can be compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from typer import Argument, Option

from invertfill.cli import run
from invertfill.nn.invertfill import InvertFill
from invertfill.training.checkpoint import read_tensors, write_tensors
from invertfill.training.config import InversionConfig, load_config
from invertfill.training.inversion import load_prior

CONFIG = Path(__file__).parents[1] / "configs" / "tables.yaml"
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


@dataclass(frozen=True)
class Table:
    """Rows by name, each with how `invertfill evaluate` names it ({} is its trained model) and the paper's figures."""

    title: str
    rows: dict[str, tuple[str, str]]
    coverage: str
    kind: str = "freeform"
    overrides: tuple[str, ...] = ()


OURS, PSP = "--model={f+w+_sml_pm}", "--method=psp:model={w+}"
TABLES = {
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
        {"psp": (PSP, "49.62 / 0.379 / 0.392"), "ours": (OURS, "20.90 / 0.294 / 0.439")},
        "hard",
        "outpaint",
        ("masks.kind=outpaint", *UNKNOWN),
    ),
    4: Table(
        "an unseen domain, the generator as it is (the paper: MetFaces, easy and extreme; SSIM / FID / LPIPS)",
        {
            "psp": (PSP, "0.95 / 14.91 / 0.040, 0.49 / 65.04 / 0.341"),
            "ours": (OURS, "0.97 / 8.64 / 0.033, 0.60 / 38.85 / 0.227"),
        },
        "easy,extreme",
        overrides=tuple(UNKNOWN),
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


def train(name: str, out: Path, overrides: list[str], trunk: Path | None) -> Path:
    """The model's folder."""
    folder = out / name
    if not folder.is_dir():
        out.mkdir(parents=True, exist_ok=True)
        overrides = [*overrides, *MODELS[name], f"name={name}", f"out={out / f'run-{name}'}"]
        if trunk:
            start = out / f"start-{name}.safetensors"
            write_start(trunk / "model.safetensors", overrides, start)
            overrides.append(f"init={start}")
        invertfill("train", "inversion", CONFIG, *overrides)
        invertfill("export", out / f"run-{name}", "-o", folder)
    return folder


def main(
    number: Annotated[int, Argument(metavar="2|3|4|5", min=2, max=5)],
    images: Annotated[Path, Option(help="A folder of pictures to evaluate on.")],
    overrides: Annotated[list[str] | None, Argument(metavar="[KEY=VALUE]...", help="For every row.")] = None,
    out: Annotated[Path, Option(help="Runs, models and reports.")] = Path("runs/tables"),
    count: Annotated[int, Option(help="The first so many pictures, by name.")] = 100,
    trunk: Annotated[Path | None, Option(help="The folder of a model with the same encoder.")] = None,
) -> None:
    """Train what a table needs, evaluate it, and print the table."""
    table = TABLES[number]
    # Tables 2 and 5 share what they train.
    place = out / ("portraits" if number in (2, 5) else f"table-{number}")
    needed = [name for name in MODELS if any(f"{{{name}}}" in how for how, _ in table.rows.values())]
    changes = [*(overrides or []), *table.overrides]
    folders = {name: str(train(name, place, changes, trunk)) for name in needed}
    methods = []
    for name, (how, _) in table.rows.items():
        option, method = how.format(**folders).split("=", 1)
        methods += [option, f"{name}={method}"]
    report = out / f"report-{number}"
    pairs = ["--images", images, "--coverage", table.coverage, "--kind", table.kind]
    invertfill("evaluate", *pairs, "--count", count, *methods, "-o", report)

    print(f"\nTable {number}: {table.title}")
    for found in json.loads((report / "report.json").read_text(encoding="utf-8"))["sets"]:
        print(f"\n{found['count']} pictures, {found['class']} {table.kind} masks\n")
        print(
            "| row | FID | LPIPS AlexNet | LPIPS VGG16 | SSIM | PSNR | the paper |\n|---|---:|---:|---:|---:|---:|---|"
        )
        for method in found["methods"]:
            fid, values = method["fid"]["value"], method["metrics"]
            figures = ["-" if fid is None else f"{fid:.1f}"]
            for metric, digits in (("lpips_alex", 3), ("lpips_vgg", 3), ("ssim", 3), ("psnr", 2)):
                figures.append(f"{values[metric]['mean']:.{digits}f}" if metric in values else "-")
            print(f"| {method['name']} | {' | '.join(figures)} | {table.rows[method['name']][1]} |")


if __name__ == "__main__":
    run(main)
