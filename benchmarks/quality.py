"""Models against classical inpainting (OpenCV's Telea) on a folder of pictures, with masks drawn from a seed.

    INVERTFILL_WEIGHTS=weights python benchmarks/quality.py --images data/faces/val --coverage hard,extreme
    python benchmarks/quality.py --images photos --model faces-256 --model runs/mine/export --count 32 --out out/quality

Every figure is of the composite (known pixels are the original's) against the original, a mean over the pictures:
LPIPS v0.1 with AlexNet and VGG16 features (lower is better), SSIM (11x11 Gaussian, sigma 1.5) and PSNR in dB (higher is
better). Pictures are brought to the first model's size, by the largest centred square. Written to the output folder:
quality.json, and for each coverage class a contact sheet of input, mask, Telea, each model and the original.
LPIPS needs its feature networks in the folder that INVERTFILL_WEIGHTS names; see docs/training.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

import invertfill
from invertfill.engines import QUALITIES
from invertfill.errors import InputError
from invertfill.imaging.io import list_images, open_image, save_image
from invertfill.imaging.masks import KINDS, mask_set_hash, sample_masks
from invertfill.losses.lpips import lpips
from invertfill.zoo import fingerprint, list_models

TELEA = "telea"
TELEA_RADIUS = 3  # pixels
METRICS = {"lpips_alex": "LPIPS alex", "lpips_vgg": "LPIPS vgg", "ssim": "SSIM", "psnr": "PSNR dB"}
GREY = 127  # of holes in a contact sheet

Pictures = list[np.ndarray]  # of (s, s, 3) uint8


def read_pictures(folder: Path, size: int, count: int | None) -> Pictures:
    """The first ``count`` by name (None: all), each the largest centred square at (size, size, 3)."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; accepted: a folder of images")
    files = list_images(folder)
    if count and count > len(files):
        raise InputError(f"{folder}: {len(files)} images; accepted: --count up to that")
    return [np.asarray(ImageOps.fit(open_image(path).convert("RGB"), (size, size))) for path in files[:count]]


def telea(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(s, s, 3) uint8 and (s, s) bool -> (s, s, 3) uint8."""
    return cv2.inpaint(picture, mask.astype(np.uint8), TELEA_RADIUS, cv2.INPAINT_TELEA)


def batch(pictures: Pictures) -> Tensor:
    """-> (N, 3, s, s) float32 in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def measure(filled: Pictures, truth: Pictures, at_once: int = 4) -> dict[str, float]:
    """Mean of each of METRICS over the pictures."""
    sums = dict.fromkeys(METRICS, 0.0)
    for start in range(0, len(truth), at_once):
        a, b = (batch(pictures[start : start + at_once]) for pictures in (filled, truth))
        values = {
            "lpips_alex": lpips(a * 2 - 1, b * 2 - 1, "alex"),
            "lpips_vgg": lpips(a * 2 - 1, b * 2 - 1, "vgg"),
            "ssim": structural_similarity_index_measure(
                a, b, sigma=1.5, kernel_size=11, data_range=1.0, reduction="none"
            ),
            "psnr": peak_signal_noise_ratio(a, b, data_range=1.0, reduction="none", dim=(1, 2, 3)),
        }
        for name, value in values.items():
            sums[name] += float(torch.as_tensor(value).sum())
    return {name: total / len(truth) for name, total in sums.items()}


def contact_sheet(columns: list[Pictures], rows: int) -> Image.Image:
    """One column for each list, the first ``rows`` pictures of it."""
    return Image.fromarray(np.concatenate([np.concatenate(column[:rows], axis=0) for column in columns], axis=1))


def show(console: Console, title: str, results: list[dict[str, Any]]) -> None:
    """A table with each LPIPS's ratio to Telea's in brackets."""
    console.print(title, soft_wrap=True)
    table = Table()
    table.add_column("method", overflow="fold")
    for label in METRICS.values():
        table.add_column(label, justify="right", no_wrap=True)
    for result in results:
        cells = [f"{result[net]:.4f} ({result[f'{net}_to_telea']:.3f})" for net in ("lpips_alex", "lpips_vgg")]
        cells += [f"{result['ssim']:.4f}", f"{result['psnr']:.2f}"]
        table.add_row(result["method"], *cells)
    console.print(table)


def run(arguments: argparse.Namespace, console: Console) -> None:
    models = arguments.model or [model.name for model in list_models()]
    inpainters = {name: invertfill.load(name, quality=arguments.quality) for name in models}
    size = inpainters[models[0]].engine.size
    truth = read_pictures(arguments.images, size, arguments.count)
    hashes = {name: fingerprint(name) for name in models}
    for name, value in hashes.items():
        console.print(f"{name}: SHA-256 {value}", soft_wrap=True)

    arguments.out.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "images": str(arguments.images),
        "count": len(truth),
        "size": size,
        "kind": arguments.kind,
        "seed": arguments.seed,
        "quality": arguments.quality,
        "models": hashes,
        "telea": {"opencv": cv2.__version__, "radius": TELEA_RADIUS},
        "results": [],
    }
    for coverage in arguments.coverage.split(","):
        masks = list(sample_masks(len(truth), size, arguments.kind, coverage, arguments.seed))
        digest = mask_set_hash(masks)
        pairs = list(zip(truth, masks, strict=True))
        filled = {TELEA: [telea(*pair) for pair in pairs]}
        for name, inpainter in inpainters.items():
            fills = track(
                inpainter.fill_many(pairs), f"{name}, {coverage}", len(pairs), console=console, transient=True
            )
            filled[name] = [np.asarray(fill) for fill in fills]
        results: list[dict[str, Any]] = []
        for method, pictures in filled.items():
            values: dict[str, Any] = {"coverage": coverage, "mask_set_hash": digest, "method": method}
            values |= measure(pictures, truth)
            base = results[0] if results else values  # Telea comes first
            values |= {f"{net}_to_telea": values[net] / base[net] for net in ("lpips_alex", "lpips_vgg")}
            results.append(values)
        report["results"] += results
        title = (
            f"{arguments.images}, {len(truth)} pictures, {coverage} {arguments.kind} masks, seed {arguments.seed}, set"
        )
        show(console, f"{title} {digest[:16]}", results)
        shown = [np.where(mask[..., None], np.uint8(GREY), picture) for picture, mask in pairs]
        drawn = [np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2) for mask in masks]
        sheet = contact_sheet([shown, drawn, *filled.values(), truth], arguments.rows)
        console.print(save_image(sheet, arguments.out / f"quality-{coverage}.png"), soft_wrap=True)
    path = arguments.out / "quality.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print(path, soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--coverage", default="hard,extreme", help="classes or ranges, by comma")
    parser.add_argument("--kind", default="freeform", choices=KINDS)
    parser.add_argument("--count", type=int, help="so many pictures, the first by name (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the masks")
    parser.add_argument("--model", action="append", help="name or folder, several times (default: all)")
    parser.add_argument("--quality", default="fast", choices=QUALITIES, help="of the models' fills")
    parser.add_argument("--rows", type=int, default=8, help="of the contact sheets")
    parser.add_argument("--out", type=Path, default=Path("out/quality"))
    try:
        run(parser.parse_args(), Console())
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
