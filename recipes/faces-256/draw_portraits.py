"""Draw pictures by a converted generator, with the style codes that they were drawn from, for a run's `codes`.

    python recipes/faces-256/draw_portraits.py weights/face-generator.safetensors 12000 data/drawn \\
        weights/drawn-codes.safetensors

A picture is named by its seed, from which its z comes. Its code lies on the way from the mean latent to the mapped z,
and beyond it where psi is above 1: more varied, and less like what the generator was taught. On a GPU, where there is
one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from rich.progress import track
from torch import Tensor

from invertfill.cli import run
from invertfill.nn.generators.mobilestylegan import MobileStyleGANConfig, MobileStyleGANGenerator
from invertfill.training.checkpoint import write_tensors
from invertfill.training.inversion import load_prior
from invertfill.training.mean_latent import long_run_mean

BATCH = 16


def codes_of(
    generator: MobileStyleGANGenerator, seeds: range, psi: tuple[float, float], device: torch.device
) -> Tensor:
    """w (len(seeds), D), each with a share of its own, between ``psi``, of its way from the mean latent."""
    draws = [np.random.default_rng(seed) for seed in seeds]
    shares = torch.tensor([rng.uniform(*psi) for rng in draws], dtype=torch.float32)
    z = torch.from_numpy(np.stack([rng.standard_normal(generator.latent_dim, np.float32) for rng in draws]))
    mean = long_run_mean(generator.mapping, generator.latent_dim, device)
    w = torch.cat([generator.mapping(part) for part in z.to(device).split(1024)])
    return torch.lerp(mean.expand_as(w), w, shares.to(device)[:, None])


def main(
    weights: Annotated[Path, typer.Argument(help="Of the generator (convert_face_generator.py).")],
    count: Annotated[int, typer.Argument(min=1)],
    out: Annotated[Path, typer.Argument(help="Folder for the pictures, PNG.")],
    codes: Annotated[Path, typer.Argument(help="safetensors with 'seed' and 'w'.")],
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 100_000,
    psi: Annotated[tuple[float, float], typer.Option(help="From, to.")] = (0.7, 1.1),
) -> None:
    """Draw COUNT pictures."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = MobileStyleGANConfig().build().requires_grad_(False).eval()
    load_prior(generator, weights)
    out.mkdir(parents=True, exist_ok=True)
    generator = generator.to(device)
    seeds = range(first, first + count)
    w = codes_of(generator, seeds, psi, device)
    with ThreadPoolExecutor() as threads:
        for start in track(range(0, count, BATCH), "drawing"):
            part = w[start : start + BATCH, None].expand(-1, generator.num_layers, -1)
            pixels = ((generator.synthesis(part).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
            pictures = [Image.fromarray(picture) for picture in pixels.cpu().numpy()]
            paths = [out / f"{seed}.png" for seed in seeds[start : start + BATCH]]
            # As a list: a disk that is full has to be heard of.
            list(threads.map(lambda picture, path: picture.save(path, compress_level=1), pictures, paths))
    write_tensors(codes, {"seed": torch.tensor(seeds), "w": w})


if __name__ == "__main__":
    run(main)
