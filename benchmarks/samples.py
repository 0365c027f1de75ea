"""How different samples of a fill are, and what that costs in quality.

    INVERTFILL_WEIGHTS=weights python benchmarks/samples.py --images data/faces/val --model faces-256 --count 16

Each picture gets a free-form mask and `--samples` fills, seeds 0, 1, 2 and so on. Printed, as LPIPS (AlexNet) of
composites: the mean distance of two samples of a picture to each other; that of seed 0, of the other seeds and of the
best of all to the original.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from typer import Option

import invertfill
from invertfill.cli import run
from invertfill.evaluation.metrics import as_tensor
from invertfill.imaging.colour import to_srgb
from invertfill.imaging.formats import list_images
from invertfill.imaging.reading import open_image
from invertfill.losses.lpips import LPIPS
from invertfill.masks.sampler import sample_masks
from invertfill.notes import silent


@torch.no_grad()
def main(
    images: Annotated[Path, Option(help="A folder of square pictures.")],
    model: Annotated[str, Option(help="A model's name or folder.")] = "faces-256",
    coverage: Annotated[str, Option(help="easy, hard, extreme, all, or such as 0.5-0.6.")] = "hard",
    count: Annotated[int, Option(help="How many pictures, the first by name.")] = 16,
    samples: int = 5,
    seed: Annotated[int, Option(help="Of the masks.")] = 0,
) -> None:
    """Print the means."""
    inpainter, lpips = invertfill.load(model), LPIPS("alex")
    size = inpainter.engine.model.size
    files = list_images(images)[:count]
    masks = sample_masks(len(files), size, "freeform", coverage, seed)
    rows = []
    for file, mask in zip(files, masks, strict=True):
        original = to_srgb(open_image(file, note=silent)).resize((size, size))
        fills = inpainter.iter_samples(original, mask, samples=samples)
        # The features of each picture once: (1 + samples) passes, not one for each pair.
        truth, *drawn = (lpips.stages(as_tensor([np.asarray(picture)])) for picture in (original, *fills))
        first, *others = (float(lpips.distance(sample, truth)) for sample in drawn)
        apart = float(np.mean([float(lpips.distance(a, b)) for a, b in combinations(drawn, 2)]))
        rows.append((apart, first, float(np.mean(others)), min(first, *others)))
    apart, first, rest, best = np.mean(rows, 0)
    print(f"{model}, {images}, {coverage}, {len(rows)} pictures, LPIPS AlexNet")
    print(f"two samples of {samples} to each other  {apart:.3f}")
    print(f"to the original: seed 0 {first:.3f}, other seeds {rest:.3f}, best of all {best:.3f}")


if __name__ == "__main__":
    run(main)
