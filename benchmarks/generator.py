"""What a model's generator draws by itself: FID of its samples against a folder of pictures, and a grid at full size.

    INVERTFILL_WEIGHTS=weights python benchmarks/generator.py --model faces-256 --images data/faces/train --out out

Samples are by the seeds 0 to --count - 1, with the full variety (truncation 1); the folder's first --count pictures by
name are brought to the model's size by the largest centred square. FID grows as the count falls, so compare at one
count only. FID needs its network in the folder that INVERTFILL_WEIGHTS names; see docs/evaluate.md. Written: fid.json
with what the figure came from, and grid.png, the samples by the seeds 0 to 23, none chosen.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.progress import track

import invertfill
from invertfill.errors import InputError
from invertfill.evaluation.metrics import Meter, frechet_distance
from invertfill.imaging.io import list_images, open_image, save_image
from invertfill.imaging.sheet import contact_sheet
from invertfill.registry import fingerprint

SHOWN, COLUMNS = 24, 6
BATCH = 8


def features(meter: Meter, pictures: Iterable[Image.Image], count: int, what: str) -> np.ndarray:
    """FID's features of pictures, (count, 2048)."""
    found, waiting = [], []
    for picture in track(pictures, what, count):
        waiting.append(np.asarray(picture))
        if len(waiting) == BATCH:
            found.append(meter.features(waiting))
            waiting = []
    if waiting:
        found.append(meter.features(waiting))
    return np.concatenate(found)


def run(arguments: argparse.Namespace) -> None:
    meter = Meter()
    if "fid" in meter.missing:
        raise InputError(meter.missing["fid"])
    inpainter = invertfill.load(arguments.model)
    size, files = inpainter.engine.model.size, list_images(arguments.images)[: arguments.count]
    if len(files) < arguments.count:
        raise InputError(f"{arguments.images}: {len(files)} images; accepted: --count up to that")
    arguments.out.mkdir(parents=True, exist_ok=True)
    shown = inpainter.sample(range(min(SHOWN, arguments.count)), arguments.truncation)
    save_image(contact_sheet(shown, COLUMNS), arguments.out / "grid.png")

    drawn = (inpainter.sample([seed], arguments.truncation)[0] for seed in range(arguments.count))
    real = (ImageOps.fit(open_image(file).convert("RGB"), (size, size)) for file in files)
    distance = frechet_distance(
        features(meter, drawn, arguments.count, "samples"), features(meter, real, arguments.count, "pictures")
    )
    report = {
        "fid": distance,
        "count": arguments.count,
        "truncation": arguments.truncation,
        "seeds": f"0 to {arguments.count - 1}",
        "model": arguments.model,
        "sha256": fingerprint(arguments.model),
        "images": "/".join(arguments.images.resolve().parts[-2:]),
        "by": meter.implementations["fid"],
    }
    (arguments.out / "fid.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"FID {distance:.2f} (N = {arguments.count}); {arguments.out}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="faces-256", help="a model's name or folder")
    parser.add_argument("--images", type=Path, required=True, help="a folder, such as the training set")
    parser.add_argument("--count", type=int, default=5000, help="samples, and as many pictures")
    parser.add_argument("--truncation", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path("out/generator"))
    try:
        run(parser.parse_args())
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
