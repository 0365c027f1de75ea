"""How a model's fills should meet the known pixels: the same outputs, pasted in each way, on the same pairs.

    INVERTFILL_WEIGHTS=WEIGHTS python benchmarks/blending.py MODEL --images data/photos/val --count 40

Printed: LPIPS (AlexNet) of the composite for each kind of hole and each of `invertfill.pipeline.blending.BLENDS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from typer import Argument, Option

from invertfill.cli import run
from invertfill.engines import open_engine
from invertfill.engines.base import CropRequest, latent_of
from invertfill.evaluation.pairs import by_stem, read_picture
from invertfill.losses.lpips import lpips
from invertfill.masks.sampler import sample_masks
from invertfill.options import FillOptions
from invertfill.pipeline.blending import BLENDS
from invertfill.registry import find_model

HOLES = {"small": ("freeform", "small"), "hard": ("freeform", "hard"), "lines": ("lines", "any")}


@torch.no_grad()
def main(
    name: Annotated[str, Argument(metavar="MODEL")], images: Annotated[Path, Option()], count: int = 40, seed: int = 0
) -> None:
    """Print a row for each kind of hole."""
    model = find_model(name)
    engine = open_engine(model, FillOptions())
    files = list(by_stem(images).values())[:count]
    print(f"{name}, {len(files)} pictures, seed {seed}, LPIPS AlexNet\n")
    print(f"| holes | {' | '.join(BLENDS)} |\n|---|{'---|' * len(BLENDS)}")
    for holes, (kind, coverage) in HOLES.items():
        found: dict[str, list[float]] = {way: [] for way in BLENDS}
        masks = sample_masks(len(files), model.size, kind, coverage, seed)
        for path, hole in zip(files, masks, strict=True):
            truth = read_picture(path, model.size).transpose(2, 0, 1) / np.float32(127.5) - 1
            mask = hole[None].astype(np.float32)
            seen = truth * (1 - mask)
            output = engine.fill(CropRequest(seen[None], mask[None], latent_of(engine)))[0]
            for way, blend in BLENDS.items():
                filled = np.where(hole, blend(output, seen, mask).clip(-1, 1), truth)
                distance = lpips(torch.from_numpy(filled)[None].float(), torch.from_numpy(truth)[None].float())
                found[way].append(float(distance))
        print(f"| {holes} | {' | '.join(f'{np.mean(values):.4f}' for values in found.values())} |", flush=True)


if __name__ == "__main__":
    run(main)
