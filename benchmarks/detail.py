"""Large photographs: what detail from the surroundings is worth.

    INVERTFILL_WEIGHTS=weights python benchmarks/detail.py photos --count 8

Hides part of the 1024-px middle of each photograph and fills it at a quarter of the size: with the model, and with the
original itself made small, the best that a model could do. Both are put back by plain enlargement and with detail.
Beside them the model at full size in tiles, the one with most known pixels first, half a tile apart. Printed: the mean
LPIPS (AlexNet) to the original, over the middle 512 px.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import invertfill
from invertfill.cli import run
from invertfill.engines.base import CropRequest, Engine, latent_of
from invertfill.evaluation.metrics import as_tensor
from invertfill.imaging.formats import list_images
from invertfill.imaging.reading import open_image
from invertfill.losses.lpips import lpips
from invertfill.masks.sampler import sample_masks
from invertfill.pipeline.blending import match_border
from invertfill.pipeline.crops import Crop, cut, put_back
from invertfill.pipeline.detail import put_back_with_detail


def main(photos: Path, count: int = 8, model: str = "faces-256") -> None:
    """LPIPS with and without detail."""

    engine = invertfill.load(model).engine
    size, side = engine.model.size, 4 * engine.model.size
    files = list_images(photos)[:count]
    masks = sample_masks(len(files), size, "freeform", "0.3-0.5", seed=0)
    region, found = Crop(0, 0, side), []
    for file, small_hole in zip(files, masks, strict=True):
        picture = open_image(file).convert("RGB")
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        rgb = np.asarray(picture.crop((left, top, left + side, top + side)))
        hole = small_hole.repeat(4, 0).repeat(4, 1)
        seen, mask = cut(rgb, hole, region, size)
        truth, _ = cut(rgb, np.zeros_like(hole), region, size)
        drawn = engine.fill(CropRequest(seen[None], mask[None], latent_of(engine)))[0]
        pictures = [in_tiles(engine, rgb, hole)]
        for output in (match_border(drawn, seen, mask), truth):
            pictures.append(put_back(rgb, hole, region, output))
            pictures.append(put_back_with_detail(rgb, hole, region, output, mask))
        middle = slice(side // 4, -side // 4)
        tensors = [as_tensor([p[middle, middle]]) for p in (rgb, *pictures)]
        found.append([float(lpips(tensor, tensors[0], "alex")) for tensor in tensors[1:]])
    table = Table("fill", "in tiles", "enlarged", "with detail", title=f"LPIPS AlexNet, {len(files)} photographs")
    means = [f"{value:.4f}" for value in np.mean(found, 0)]
    table.add_row("by the model", *means[:3])
    table.add_row("original made small", "", *means[3:])
    Console(width=120).print(table)


def in_tiles(engine: Engine, rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The hole of (H, W, 3) filled at full size, window by window; what one has filled, the next one knows."""

    rgb, hole, size = rgb.copy(), hole.copy(), engine.model.size
    starts = range(0, len(hole) - size + 1, size // 2)
    windows = [np.s_[y : y + size, x : x + size] for y in starts for x in starts]
    region = Crop(0, 0, size)
    while hole.any():
        # Not empty, and as much known as there is. What is nearest to the border comes first.
        window = min((w for w in windows if hole[w].any()), key=lambda w: hole[w].mean())
        seen, mask = cut(rgb[window], hole[window], region, size)
        output = engine.fill(CropRequest(seen[None], mask[None], latent_of(engine)))[0]
        rgb[window] = put_back(rgb[window], hole[window], region, match_border(output, seen, mask))
        hole[window] = False
    return rgb


if __name__ == "__main__":
    run(main)
