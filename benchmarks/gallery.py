"""Fills that nobody chose: the pictures of a model card.

    INVERTFILL_WEIGHTS=weights python benchmarks/gallery.py --model faces-256 --out gallery.jpg
    INVERTFILL_WEIGHTS=weights python benchmarks/gallery.py --model scenery-256 --images photos --out gallery.jpg

The pictures are a folder's, or one for each of 24 seeds by the model's own generator: these may be shown wherever the
model may, and are what it knows best. Each gets a free-form mask of 50-60 %, and the model fills it. Written: a sheet
of input, fill and original, by seed or file name, and below it again the six with the highest LPIPS. Printed: the
LPIPS (AlexNet) of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from typer import Option

import invertfill
from invertfill.cli import run
from invertfill.evaluation.metrics import as_tensor
from invertfill.imaging.formats import list_images
from invertfill.imaging.reading import open_image
from invertfill.imaging.sheet import contact_sheet
from invertfill.imaging.writing import save_image
from invertfill.losses.lpips import lpips
from invertfill.masks.sampler import sample_masks

FIRST_SEED = 1000  # the fills' mean latent is drawn from small seeds
COUNT, WORST, COLUMNS = 24, 6, 4
SIDE, GAP = 144, 6  # pixels


def main(
    model: Annotated[str, Option(help="A model's name or folder.")] = "faces-256",
    images: Annotated[Path | None, Option(help="A folder of square pictures; the generator's without it.")] = None,
    out: Path = Path("out/gallery.jpg"),
) -> None:
    """Write OUT, and print LPIPS."""
    inpainter = invertfill.load(model)
    size = inpainter.engine.model.size
    if images:
        files = list_images(images)
        names = [file.stem for file in files]
        originals = [open_image(file).convert("RGB").resize((size, size), Image.Resampling.LANCZOS) for file in files]
    else:
        seeds = range(FIRST_SEED, FIRST_SEED + COUNT)
        names, originals = list(map(str, seeds)), inpainter.sample(seeds)
    masks = list(sample_masks(len(names), size, "freeform", "hard", seed=FIRST_SEED))
    fills = [result.image for result in inpainter.fill_many(zip(originals, masks, strict=True))]

    rows = []
    for name, original, mask, fill in zip(names, originals, masks, fills, strict=True):
        hidden = Image.composite(Image.new("RGB", original.size, "grey"), original, Image.fromarray(mask))
        distance = float(lpips(as_tensor([np.asarray(fill)]), as_tensor([np.asarray(original)])))
        rows.append((distance, f"{name}   LPIPS {distance:.3f}", [hidden, fill, original]))
    worst = sorted(rows, key=lambda row: -row[0])[:WORST]
    again = [(f"worst: {text}", pictures) for _, text, pictures in worst]
    groups = [row[1:] for row in rows] + again
    sheets = [contact_sheet(pictures, len(pictures), side=SIDE) for _, pictures in groups]
    save_image(contact_sheet(sheets, COLUMNS, labels=[text for text, _ in groups], gap=GAP), out)
    for distance, text, _ in rows:
        print(text, "(among the worst)" if distance >= worst[-1][0] else "")
    print(f"mean {np.mean([row[0] for row in rows]):.3f}; {out}")


if __name__ == "__main__":
    run(main)
