"""Thin holes across large pictures: one square around them, against local squares along them (docs/scratches.md).

`python benchmarks/shapes.py FOLDER --model scenery-256`: the first six photographs by name, 512 px each, in one.
"""

from __future__ import annotations

from pathlib import Path
from time import process_time

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import invertfill
from invertfill.cli import run
from invertfill.evaluation.metrics import as_tensor
from invertfill.imaging.formats import list_images
from invertfill.losses.lpips import lpips
from invertfill.pipeline import pieces
from invertfill.pipeline.thin import find_crops

SIDE, ROWS, COLUMNS = 512, 2, 3


def lines(height: int, width: int) -> np.ndarray:
    y, x = np.indices((height, width))
    return np.asarray((np.abs(y - 120 - x * 0.2) < 3) | (np.abs(y - 950 + x * 0.25) < 2))


def lettering(height: int, width: int) -> np.ndarray:
    page = Image.new("L", (width, height))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(60)
    for y in range(20, height, 170):
        for x in range(y % 100 - 50, width, 420):
            draw.text((x, y), "SAMPLE", 255, font=font)
    return np.asarray(page) > 127


def parts(picture: np.ndarray) -> torch.Tensor:
    tiles = [row for rows in np.split(picture, ROWS) for row in np.split(rows, COLUMNS, 1)]
    return as_tensor(tiles)


def main(folder: Path, model: str = "scenery-256") -> None:
    """Print a line for each kind of hole and square."""
    files = list_images(folder)[: ROWS * COLUMNS]
    tiles = [np.asarray(Image.open(file).convert("RGB").resize((SIDE, SIDE))) for file in files]
    picture = np.vstack([np.hstack(tiles[row * COLUMNS :][:COLUMNS]) for row in range(ROWS)])
    loaded = invertfill.load(model)
    loaded.fill(tiles[0], np.eye(SIDE, dtype=bool))  # loads it
    for hole in (lines(*picture.shape[:2]), lettering(*picture.shape[:2])):
        for thin in (False, True):
            setattr(pieces, "find_crops", find_crops if thin else _compact)  # noqa: B010
            start = process_time()
            filled = np.asarray(loaded.fill(picture, hole).image)
            seconds = process_time() - start
            error = np.square(filled.astype(float) - picture)[hole].mean()
            with torch.no_grad():
                distance = float(lpips(parts(filled), parts(picture)).mean())
            psnr = 10 * np.log10(255**2 / error)
            print(f"hole {hole.mean():.1%} local squares {thin}: {seconds:.1f} s, {psnr:.2f} dB, LPIPS {distance:.4f}")


def _compact(hole: np.ndarray, size: int, context: float | None = None, **_: object) -> list[pieces.Crop]:
    return find_crops(hole, size, context, thin=False)


if __name__ == "__main__":
    run(main)
