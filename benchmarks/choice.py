"""How well `--model auto` chooses, and what it costs, against each installed model by name.

    INVERTFILL_WEIGHTS=weights python benchmarks/choice.py --images data/faces/val --images data/scenery/val
    INVERTFILL_WEIGHTS=weights python benchmarks/choice.py --images photographs --crop 512 --start 24

Pictures are brought to 256 px by the largest centred square; with --crop, squares of that many pixels are cut from
large photographs, at places drawn from the seed, and filled at that size. Masks cycle through the coverages, each with
a seed of its own: the seed plus the picture's number. For each folder, means over the pictures: LPIPS v0.1 (AlexNet) of
the composite against the original, lower is better, of auto, of each model, and of whichever of them is best for each
picture; how often auto picks that one; and processor seconds per fill (of all threads), which a busy machine disturbs
less than the clock. LPIPS needs its feature networks in the folder that INVERTFILL_WEIGHTS names; see
docs/training.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image, ImageOps
from rich.progress import track
from typer import Option

import invertfill
from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.evaluation.metrics import as_tensor
from invertfill.imaging.files import make_folder, write_file
from invertfill.imaging.formats import list_images
from invertfill.imaging.reading import open_image
from invertfill.losses.lpips import lpips
from invertfill.masks.sampler import mask_set_hash, sample_masks
from invertfill.options import AUTO
from invertfill.registry import fingerprint, list_models

SIZE = 256


def read_pictures(folder: Path, start: int, count: int, crop: int | None, seed: int) -> Iterator[Image.Image]:
    """``count`` pictures by name, after the first ``start``; crops go round the folder."""
    files = list_images(folder)
    if crop is None and start + count > len(files):
        raise InputError(f"{folder}: {len(files)} images; accepted: --start and --count up to that together")
    for number in range(start, start + count):
        picture = open_image(files[number % len(files)]).convert("RGB")
        if crop is None:
            yield ImageOps.fit(picture, (SIZE, SIZE))
        elif min(picture.size) < crop:
            raise InputError(f"{files[number % len(files)]}: smaller than --crop {crop}; accepted: larger photographs")
        else:
            rng = np.random.default_rng([seed, number])
            x, y = (int(rng.integers(0, side - crop + 1)) for side in picture.size)
            yield picture.crop((x, y, x + crop, y + crop))


@torch.no_grad()
def distance(filled: Image.Image, truth: Image.Image) -> float:
    """LPIPS, AlexNet."""
    a, b = (as_tensor([np.asarray(image)]) for image in (filled, truth))
    return float(lpips(a, b, "alex"))


def measure(
    folder: Path,
    inpainters: dict[str, invertfill.Inpainter],
    start: int,
    count: int,
    crop: int | None,
    coverages: list[str],
    kind: str,
    seed: int,
) -> dict[str, Any]:
    """Everything about one folder."""
    values: dict[str, list[float]] = {name: [] for name in inpainters}
    seconds: dict[str, list[float]] = {name: [] for name in inpainters}
    masks, picks = [], []
    pictures = read_pictures(folder, start, count, crop, seed)
    for number, picture in track(enumerate(pictures, start), str(folder), count, transient=True):
        coverage = coverages[number % len(coverages)]
        (mask,) = sample_masks(1, picture.width, kind, coverage, seed + number)
        masks.append(mask)
        filled = {}
        for name, inpainter in inpainters.items():
            began = time.process_time()
            filled[name] = inpainter.fill(picture, mask)
            seconds[name].append(time.process_time() - began)
            values[name].append(distance(filled[name].image, picture))
        picks.append(filled[AUTO].model)
    named = [name for name in inpainters if name != AUTO]
    best = np.min([values[name] for name in named], 0)
    return {
        "images": str(folder),
        "mask_set_hash": mask_set_hash(masks),
        "picked_best": float(np.mean(np.asarray(values[AUTO]) == best)),
        "picks": picks,
        "lpips": {name: float(np.mean(v)) for name, v in values.items()} | {"best": float(best.mean())},
        "best_is": {name: float(np.mean(np.asarray(values[name]) == best)) for name in named},
        "seconds": {name: float(np.mean(v)) for name, v in seconds.items()},
        "each": values,
    }


def main(
    images: Annotated[list[Path], Option(help="Folder; may be given several times.")],
    count: Annotated[int, Option(help="Pictures of each folder.")] = 24,
    start: Annotated[int, Option(help="How many to leave out before them.")] = 0,
    crop: Annotated[int | None, Option(help="Side in pixels of squares cut from large photographs.")] = None,
    coverage: Annotated[str, Option(help="Classes or ranges, by comma.")] = "0.05-0.15,0.2-0.3,0.5-0.6",
    kind: str = "mixed",
    seed: int = 0,
    out: Path = Path("out/choice.json"),
) -> None:
    """Write OUT, and print its means."""
    names = [*(model.name for model in list_models()), AUTO]
    asked: dict[str, Any] = {"start": start, "count": count, "crop": crop, "kind": kind, "seed": seed}
    report: dict[str, Any] = {"models": {name: fingerprint(name) for name in names}, **asked, "coverage": coverage}
    report["results"] = []
    inpainters = {name: invertfill.load(name) for name in names}
    for folder in images:
        result = measure(folder, inpainters, coverages=coverage.split(","), **asked)
        report["results"].append(result)
        shown = {"masks": result["mask_set_hash"][:16], "picked the best": f"{result['picked_best']:.2f}"}
        for key in ("lpips", "best_is", "seconds"):
            shown[key] = ", ".join(f"{name} {value:.3f}" for name, value in result[key].items())
        print(f"{folder}: {'; '.join(f'{key} {value}' for key, value in shown.items())}")
        write_file(make_folder(out.parent) / out.name, f"{json.dumps(report, indent=1)}\n".encode())
    print(out)


if __name__ == "__main__":
    run(main)
