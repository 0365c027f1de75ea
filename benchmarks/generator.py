"""What a model's generator draws without a picture: FID of samples against a folder of pictures, and a full-size grid.

    INVERTFILL_WEIGHTS=weights python benchmarks/generator.py --model faces-256 --images data/faces/train --out out

Samples are by the seeds 0 to --count - 1, with the full variety (truncation 1); the folder's first --count pictures by
name are brought to the model's size by the largest centred square. FID grows as the count falls, so compare at one
count only. FID needs its network in the folder that INVERTFILL_WEIGHTS names; see docs/evaluate.md. Written: fid.json
with what the figure came from, and grid.png, the samples by the seeds 0 to 23, none chosen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image, ImageOps
from rich.progress import track
from typer import Option

import invertfill
from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.evaluation.metrics import Meter, frechet_distance
from invertfill.imaging.files import write_file
from invertfill.imaging.formats import list_images
from invertfill.imaging.reading import open_image
from invertfill.imaging.sheet import contact_sheet
from invertfill.imaging.writing import save_image
from invertfill.registry import fingerprint

SHOWN, COLUMNS = 24, 6
BATCH = 8


def features(meter: Meter, pictures: Iterable[Image.Image], count: int, what: str) -> np.ndarray:
    """FID's features of pictures, (count, 2048)."""
    shown = iter(track(pictures, what, count))
    found = [meter.features([np.asarray(one) for one in part]) for part in iter(lambda: list(islice(shown, BATCH)), [])]
    return np.concatenate(found)


def main(
    images: Annotated[Path, Option(help="A folder, such as the training set.")],
    model: Annotated[str, Option(help="A model's name or folder.")] = "faces-256",
    count: Annotated[int, Option(help="Samples, and as many pictures.")] = 5000,
    truncation: float = 1.0,
    out: Path = Path("out/generator"),
) -> None:
    """Write OUT/fid.json and OUT/grid.png."""
    meter = Meter()
    if "fid" in meter.missing:
        raise InputError(meter.missing["fid"])
    inpainter = invertfill.load(model)
    size, files = inpainter.engine.model.size, list_images(images)[:count]
    if len(files) < count:
        raise InputError(f"{images}: {len(files)} images; accepted: --count up to that")
    save_image(contact_sheet(inpainter.sample(range(min(SHOWN, count)), truncation), COLUMNS), out / "grid.png")
    drawn = (inpainter.sample([seed], truncation)[0] for seed in range(count))
    real = (ImageOps.fit(open_image(file).convert("RGB"), (size, size)) for file in files)
    distance = frechet_distance(features(meter, drawn, count, "samples"), features(meter, real, count, "pictures"))
    report = {
        "fid": distance,
        "count": count,
        "truncation": truncation,
        "seeds": f"0 to {count - 1}",
        "model": model,
        "sha256": fingerprint(model),
        "images": "/".join(images.resolve().parts[-2:]),
        "by": meter.implementations["fid"],
    }
    write_file(out / "fid.json", f"{json.dumps(report, indent=1)}\n".encode())
    print(f"FID {distance:.2f} (N = {count}); {out}")


if __name__ == "__main__":
    run(main)
