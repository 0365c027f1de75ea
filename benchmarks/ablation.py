"""The paper's ablation (Table 5): what each part of InvertFill brings, on one generator and one budget.

    INVERTFILL_WEIGHTS=weights python benchmarks/ablation.py --out runs/ablation --images data/faces/val --count 100 \\
        -- steps=400 data.path=data/faces/train

Trains `configs/ablation.yaml` once for each row, its parts switched off as the row says, exports it, and evaluates all
rows on the same pairs. What follows `--` overrides the configuration for every row. It goes on where it was stopped.
With `--trunk` all rows begin with the same trained trunk, pyramid and RGB heads, and only what differs between them is
new: a small budget isn't spent on what they share.
In the rows' names f+w+ is F&W+, sml the soft-update mean latent, pm pre-modulation. Printed: a table beside the paper's
figures (Places2, extreme masks). Another generator, other data and hundreds of times the budget gave those, so only the
order of the rows can be compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from invertfill.models.invertfill import InvertFill
from invertfill.training.checkpoint import read_tensors
from invertfill.training.config import InversionConfig, load_config
from invertfill.training.inversion import load_prior

CONFIG = Path(__file__).parents[1] / "configs" / "ablation.yaml"
W_PLUS = ["model.rgb_branch.channels=[]"]  # in place of F&W+
STATIC = ["mean_latent.tau=0"]  # in place of the soft-update mean latent (SML)
PLAIN = ["model.premodulation.enabled=false"]  # no pre-modulation (PM)
ROWS: dict[str, tuple[list[str], str]] = {  # what is overridden, and the paper's FID, LPIPS, SSIM and PSNR
    "w+": ([*W_PLUS, *STATIC, *PLAIN], "-"),
    "f+w+": ([*STATIC, *PLAIN], "35.37 / 0.395 / 0.357 / 13.85"),
    "f+w+_sml": (PLAIN, "24.73 / 0.389 / 0.358 / 13.99"),
    "f+w+_sml_pm": ([], "21.08 / 0.386 / 0.366 / 14.62"),
    "w+_sml_pm": (W_PLUS, "42.85 / 0.392 / 0.361 / 14.25"),
}
SHARED = ("encoder.trunk.", "encoder.lateral.", "encoder.rgb_heads.")


def invertfill(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "invertfill", *map(str, arguments)], check=True)


def write_start(trunk: Path, overrides: list[str], to: Path) -> None:
    """A row's weights before its first step: everything new but the encoder up to its heads."""
    config = load_config(InversionConfig, CONFIG, overrides)
    torch.manual_seed(config.seed)
    model = InvertFill(config.model.model_dump(mode="json"))
    if config.prior:
        load_prior(model.generator, config.prior)
    shared = {k: v for k, v in read_tensors(trunk).items() if k.startswith(SHARED)}
    model.load_state_dict(model.state_dict() | shared)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, to)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="runs, models and the report")
    parser.add_argument("--images", type=Path, required=True, help="a folder of pictures to evaluate on")
    parser.add_argument("--coverage", default="extreme")
    parser.add_argument("--count", type=int, default=100, help="the first so many pictures, by name")
    parser.add_argument("--trunk", type=Path, help="the weights of a model with the same encoder")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="for every row")
    arguments = parser.parse_args()

    models = []
    for number, (name, (overrides, _)) in enumerate(ROWS.items()):
        run, folder = arguments.out / f"run-{number}", arguments.out / f"model-{number}"
        if not folder.is_dir():
            overrides = [*arguments.overrides, *overrides, f"name={name}", f"out={run}"]
            if arguments.trunk:
                start = arguments.out / f"start-{number}.safetensors"
                arguments.out.mkdir(parents=True, exist_ok=True)
                write_start(arguments.trunk, overrides, start)
                overrides.append(f"init={start}")
            invertfill("train", "inversion", CONFIG, *overrides)
            invertfill("export", run, "-o", folder)
        models += ["--model", f"{name}={folder}"]
    report = arguments.out / "report"
    pairs = ["--images", arguments.images, "--coverage", arguments.coverage, "--count", arguments.count]
    invertfill("evaluate", *pairs, *models, "-o", report)

    (found,) = json.loads((report / "report.json").read_text(encoding="utf-8"))["sets"]
    print(f"\n{found['count']} pictures, {found['class']} masks\n")
    print("| row | FID | LPIPS AlexNet | LPIPS VGG16 | SSIM | PSNR | the paper: FID / LPIPS / SSIM / PSNR |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for method in found["methods"]:
        fid, values = method["fid"]["value"], method["metrics"]
        figures = ["-" if fid is None else f"{fid:.1f}"]
        for metric, digits in (("lpips_alex", 3), ("lpips_vgg", 3), ("ssim", 3), ("psnr", 2)):
            figures.append(f"{values[metric]['mean']:.{digits}f}" if metric in values else "-")
        print(f"| {method['name']} | {' | '.join(figures)} | {ROWS[method['name']][1]} |")


if __name__ == "__main__":
    main()
