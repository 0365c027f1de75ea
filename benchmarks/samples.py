"""How different samples of a fill are, and what that costs in quality.

    INVERTFILL_WEIGHTS=weights python benchmarks/samples.py --images data/faces/val --model faces-256 --count 16

Each picture gets a free-form mask and `--samples` fills, seeds 0, 1, 2 and so on. Printed, as LPIPS (AlexNet) of
composites: the mean distance of two samples of a picture to each other; that of seed 0, of the other seeds and of the
best of all to the original.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

import invertfill
from invertfill.imaging.colour import to_srgb
from invertfill.imaging.io import list_images, open_image
from invertfill.losses.lpips import LPIPS
from invertfill.masks.sampler import sample_masks
from invertfill.notes import silent


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="a folder of square pictures")
    parser.add_argument("--model", default="faces-256", help="a model's name or folder")
    parser.add_argument("--coverage", default="hard", help="easy, hard, extreme, all, or such as 0.5-0.6")
    parser.add_argument("--count", type=int, default=16, help="the first so many pictures, by name")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the masks")
    arguments = parser.parse_args()

    inpainter, lpips = invertfill.load(arguments.model), LPIPS("alex")
    size = inpainter.engine.model.size
    files = list_images(arguments.images)[: arguments.count]
    masks = sample_masks(len(files), size, "freeform", arguments.coverage, arguments.seed)
    rows = []
    for file, mask in zip(files, masks, strict=True):
        original = to_srgb(open_image(file, note=silent)).resize((size, size))
        fills = inpainter.fill_samples(original, mask, samples=arguments.samples)
        pixels = np.stack([np.asarray(picture) for picture in (original, *fills)])
        # The features of each picture once: (1 + samples) passes, not one for each pair.
        truth, *samples = (
            lpips.stages(picture[None]) for picture in torch.tensor(pixels).permute(0, 3, 1, 2) / 127.5 - 1
        )
        first, *others = (float(lpips.distance(sample, truth)) for sample in samples)
        apart = float(np.mean([float(lpips.distance(a, b)) for a, b in combinations(samples, 2)]))
        rows.append((apart, first, float(np.mean(others)), min(first, *others)))
    apart, first, others, best = np.mean(rows, 0)
    print(f"{arguments.model}, {arguments.images}, {arguments.coverage}, {len(rows)} pictures, LPIPS AlexNet")
    print(f"two samples of {arguments.samples} to each other  {apart:.3f}")
    print(f"to the original: seed 0 {first:.3f}, other seeds {others:.3f}, best of all {best:.3f}")


if __name__ == "__main__":
    main()
