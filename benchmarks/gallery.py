"""Fills that nobody chose: the pictures of a model card.

    INVERTFILL_WEIGHTS=weights python benchmarks/gallery.py --model faces-256 --out gallery.jpg
    INVERTFILL_WEIGHTS=weights python benchmarks/gallery.py --model scenery-256 --images photos --out gallery.jpg
    INVERTFILL_WEIGHTS=weights python benchmarks/gallery.py --model photos-512 --images photos --holes 4 \\
        --peer migan:file=migan_pipeline_v2.onnx --out gallery.jpg

The pictures are a folder's, or one for each of 24 seeds by the model's own generator: these may be shown wherever the
model may, and are what it knows best. Each gets free-form masks of 50-60 %, and the model fills them. Written: a sheet
of input, fill, a peer's fill if you name one, and original, by seed or file name, and below it again the six with the
highest LPIPS. Printed: the LPIPS (AlexNet) of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from typer import Option

import invertfill
from invertfill.baselines import Filler, parse_method
from invertfill.cli import run
from invertfill.evaluation.metrics import as_tensor
from invertfill.evaluation.pairs import by_stem, read_picture
from invertfill.imaging.sheet import contact_sheet
from invertfill.imaging.writing import save_image
from invertfill.losses.lpips import lpips
from invertfill.masks.sampler import sample_masks

FIRST_SEED = 1000  # the fills' mean latent is drawn from small seeds
COUNT, WORST = 24, 6
GAP = 6  # pixels


def main(
    model: Annotated[str, Option(help="A model's name or folder.")] = "faces-256",
    images: Annotated[
        Path | None, Option(help="A folder of pictures, whose middle squares are taken; the generator's without it.")
    ] = None,
    holes: Annotated[int, Option(min=1, help="Holes in each picture.")] = 1,
    peer: Annotated[str | None, Option(help="A method to show beside, as evaluate's --method takes it.")] = None,
    side: Annotated[int, Option(min=32, help="Of each small picture, in pixels.")] = 144,
    columns: Annotated[int, Option(min=1)] = 4,
    quality: Annotated[int | None, Option(min=1, max=100, help="Of the JPEG.")] = None,
    out: Path = Path("out/gallery.jpg"),
) -> None:
    """Write OUT, and print LPIPS."""
    inpainter = invertfill.load(model)
    size = inpainter.engine.model.size
    if images:
        pictures = {name: read_picture(path, size) for name, path in by_stem(images).items()}
    else:
        seeds = range(FIRST_SEED, FIRST_SEED + COUNT)
        pictures = {str(seed): np.asarray(one) for seed, one in zip(seeds, inpainter.sample(seeds), strict=True)}
    shown = [(name, picture) for name, picture in pictures.items() for _ in range(holes)]
    masks = list(sample_masks(len(shown), size, "freeform", "hard", seed=FIRST_SEED))
    given = ((picture, mask) for (_, picture), mask in zip(shown, masks, strict=True))
    fills = [np.asarray(result) for result in inpainter.iter_many(given)]
    peers: dict[str, Filler] = {}
    if peer:
        label, baseline, arguments = parse_method(peer)
        peers[label] = baseline.load(**arguments)

    rows = []
    distances: dict[str, list[float]] = {}
    for (name, original), mask, fill in zip(shown, masks, fills, strict=True):
        hole = mask[..., None]
        known = np.where(hole, np.uint8(0), original)
        made = {model: fill}
        for label, filler in peers.items():
            made[label] = np.where(hole, filler.fill(known, mask), original)
        for label, picture in made.items():
            distances.setdefault(label, []).append(float(lpips(as_tensor([picture]), as_tensor([original]))))
        strip = [np.where(hole, np.uint8(128), original), *made.values(), original]
        text = f"{name}   LPIPS " + " / ".join(f"{one[-1]:.3f}" for one in distances.values())
        rows.append((distances[model][-1], text, [Image.fromarray(picture) for picture in strip]))
    worst = sorted(rows, key=lambda row: -row[0])[:WORST]
    again = [(f"worst: {text}", pictures) for _, text, pictures in worst]
    groups = [row[1:] for row in rows] + again
    sheets = [contact_sheet(pictures, len(pictures), side=side) for _, pictures in groups]
    save_image(contact_sheet(sheets, columns, labels=[text for text, _ in groups], gap=GAP), out, quality=quality)
    for distance, text, _ in rows:
        print(text, "(among the worst)" if distance >= worst[-1][0] else "")
    print(*(f"{label}: mean {np.mean(one):.3f}" for label, one in distances.items()), out, sep="; ")


if __name__ == "__main__":
    run(main)
