"""Faces in photographs: how well `--model auto` fills them, and how often it draws one where there is none.

    INVERTFILL_WEIGHTS=weights python benchmarks/faces.py quality --portraits data/faces/val --grounds photographs
    python benchmarks/faces.py alarms --images data/scenery/val --images houses --count 1000
    python benchmarks/faces.py points --portraits data/faces/val --portraits data/faces-real/val

`quality` puts each aligned portrait into a photograph, turned by up to 45 degrees, with a square of 80 to 400 px (a
face is half of that), and hides part of it. Filled are the photograph, by auto and by auto without faces, and the
portrait's square itself, cut exactly and filled by the portrait model: the best that finding it could give. Printed for
each coverage of the portrait: how often the face was found, and means of LPIPS v0.1 (AlexNet) to the truth within the
square, the three brought there in one way. `--sheet FILE` keeps some: hole, without faces, auto, truth.

`alarms` hides part of pictures without portraits, lets auto fill them, and counts those in which it drew a face. With
`--whole` that part is one of the picture's middle square, which could be a portrait as a whole. `points` measures where
aligned portraits have eyes, nose and mouth, as the detector sees them: mean and deviation, from -1 - i to 1 + i.
"""

from __future__ import annotations

import argparse
import cmath
import math
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Table

import invertfill
from invertfill.imaging.formats import list_images
from invertfill.imaging.reading import open_image
from invertfill.imaging.sheet import contact_sheet
from invertfill.masks.sampler import mask_set_hash, sample_masks
from invertfill.pipeline.face_detector import SIZE, find_faces
from invertfill.pipeline.squares import Square

COVERAGES = ("0.1-0.3", "0.3-0.5", "0.5-0.6")
SIDES, TURN = (80, 400), 45  # pixels of a portrait's square; degrees
EDGE = 0.12  # of half a square: the width over which a portrait fades into the photograph
HOLES = (64, 96, 128, 192, 256)  # sides of the squares in which `alarms` hides


def read(path: Path) -> np.ndarray:
    return np.asarray(open_image(path).convert("RGB"))


def pasted(ground: np.ndarray, portrait: np.ndarray, square: Square) -> np.ndarray:
    """(H, W, 3) uint8 with an aligned portrait, (s, s, 3) uint8, in it."""
    side = round(square.side)
    sized = np.asarray(Image.fromarray(portrait).resize((side, side), Image.Resampling.LANCZOS), np.float32)
    own = square.own(ground.shape)
    weight = ((1 - np.maximum(abs(own.real), abs(own.imag))) / EDGE).clip(0, 1)[..., None]
    mixed = ground * (1 - weight) + square.paint(sized, ground.shape).clip(0, 255) * weight
    return np.asarray(mixed.round().astype(np.uint8))


def hidden(mask: np.ndarray, square: Square, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool: a mask of a portrait, (s, s) bool, where the portrait lies."""
    own, size = square.own(shape), len(mask)
    x, y = (((part + 1) * size / 2).astype(int).clip(0, size - 1) for part in (own.real, own.imag))
    return np.asarray(mask[y, x] & (np.maximum(abs(own.real), abs(own.imag)) < 1))


def quality(arguments: argparse.Namespace, console: Console) -> None:
    import torch

    from invertfill.losses.lpips import lpips

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        a, b = (torch.from_numpy(picture)[None] for picture in (one, other))
        with torch.no_grad():
            return float(lpips(a, b, "alex"))

    auto = invertfill.load()
    exact = auto.only(auto.portraits)
    files = [file for folder in arguments.portraits for file in list_images(folder)[: arguments.count]]
    grounds, found, masks = list_images(arguments.grounds), [], []
    rows: list[Image.Image] = []
    for number, file in enumerate(track(files, console=console, transient=True)):
        rng = np.random.default_rng([arguments.seed, number])
        ground = read(grounds[int(rng.integers(len(grounds)))])
        side = float(np.exp(rng.uniform(*np.log(SIDES))))
        half = cmath.rect(side / 2, math.radians(rng.uniform(-TURN, TURN)))
        across, down = rng.uniform(0.2, 0.8, 2) * (ground.shape[1], ground.shape[0])
        square = Square(complex(across, down), half)
        truth = pasted(ground, read(file), square)
        (mask,) = sample_masks(1, SIZE, "mixed", COVERAGES[number % len(COVERAGES)], arguments.seed + number)
        masks.append(mask)
        hole = hidden(mask > 0, square, truth.shape)
        general, ours = auto.fill(truth, hole, faces="off"), auto.fill(truth, hole)
        there = np.ones_like(hole)
        seen = [square.cut(np.asarray(one), ~there, SIZE)[0] for one in (truth, general, ours)]
        _, missing = square.cut(truth, hole, SIZE)
        pixels = ((seen[0].transpose(1, 2, 0) + 1) * 127.5).round().astype(np.uint8)
        best = np.asarray(exact.fill(pixels, missing[0] > 0)).transpose(2, 0, 1) / np.float32(127.5) - 1
        found.append((number % len(COVERAGES), ours.faces, *(distance(one, seen[0]) for one in (*seen[1:], best))))
        if len(rows) < arguments.rows and ours.faces:
            rows += [_small(one) for one in (np.where(hole[..., None], 255, truth), general, ours, truth)]
    console.print(f"{len(files)} portraits, seed {arguments.seed}, masks {mask_set_hash(masks)[:16]}")
    table = Table("hidden", "found", "auto, faces off", "auto", "exact square", "where found: off", "auto", "exact")
    values = np.array(found)
    for coverage, name in (*enumerate(COVERAGES), (None, "all")):
        part = values if coverage is None else values[values[:, 0] == coverage]
        hits = part[part[:, 1] > 0]
        means = [f"{value:.4f}" for value in (*part[:, 2:].mean(0), *(hits[:, 2:].mean(0) if len(hits) else ()))]
        table.add_row(name, f"{len(hits)} of {len(part)}", *means)
    console.print(table)
    if arguments.sheet and rows:
        contact_sheet(rows, 4).save(arguments.sheet, quality=75)


def _small(picture: object) -> Image.Image:
    image = Image.fromarray(np.asarray(picture).astype(np.uint8))
    image.thumbnail((280, 280))
    return image


def alarms(arguments: argparse.Namespace, console: Console) -> None:
    auto = invertfill.load()
    files = [file for folder in arguments.images for file in list_images(folder)]
    names = []
    for number in track(range(arguments.count), console=console, transient=True):
        rng = np.random.default_rng([arguments.seed, number])
        path, coverage = files[number % len(files)], COVERAGES[number // len(files) % len(COVERAGES)]
        picture = read(path)
        if arguments.whole:
            picture = np.asarray(ImageOps.fit(Image.fromarray(picture), (SIZE, SIZE)))
        side = SIZE if arguments.whole else min(int(rng.choice(HOLES)), *picture.shape[:2])
        y, x = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
        (mask,) = islice(sample_masks(1, side, "mixed", coverage, arguments.seed + number), 1)
        hole = np.zeros(picture.shape[:2], bool)
        hole[y : y + side, x : x + side] = mask > 0
        result = auto.fill(picture, hole)
        if result.faces or result.model == auto.portraits:
            names.append(path.name)
    console.print(f"{arguments.count} holes in {len(files)} pictures: {len(names)} faces {' '.join(names)}")


def points(arguments: argparse.Namespace, console: Console) -> None:
    seen = []
    for file in (file for folder in arguments.portraits for file in list_images(folder)):
        portrait = np.asarray(open_image(file).convert("RGB").resize((SIZE, SIZE)), np.float32)
        seen += [face.points[:4] for face in find_faces(portrait.transpose(2, 0, 1) / np.float32(127.5) - 1, 0.5)[:1]]
    console.print(f"{len(seen)} faces: {np.mean(seen, 0).round(3)}, +- {np.std(seen, 0).round(3)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("quality")
    one.add_argument("--portraits", type=Path, action="append", required=True, help="a folder of aligned portraits")
    one.add_argument("--grounds", type=Path, required=True, help="a folder of photographs")
    one.add_argument("--count", type=int, default=30, help="portraits of each folder")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--sheet", type=Path)
    one.add_argument("--rows", type=int, default=24, help="pictures in the sheet")
    one.set_defaults(run=quality)
    one = commands.add_parser("alarms")
    one.add_argument("--images", type=Path, action="append", required=True, help="a folder of pictures without people")
    one.add_argument("--count", type=int, default=1000, help="holes")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--whole", action="store_true", help="hide that much of each picture's middle square")
    one.set_defaults(run=alarms)
    one = commands.add_parser("points")
    one.add_argument("--portraits", type=Path, action="append", required=True, help="a folder of aligned portraits")
    one.set_defaults(run=points)
    arguments = parser.parse_args()
    arguments.run(arguments, Console(width=120))


if __name__ == "__main__":
    main()
