"""What the style code of a model that guesses z is worth: fills with other codes in its place, on the same pairs.

    INVERTFILL_WEIGHTS=WEIGHTS python benchmarks/code.py MODEL --images data/photos/val --count 100

MODEL is a model folder, or a run of stage 2 (its moving average). LPIPS (AlexNet) is of the composite against the
truth; between fills it is divided by the hole's share, which makes it that of the hole. `whole` sees what the hole
hides: how far it beats the rest says what a code can carry. R2 says how much of q's mean p's mean predicts.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from typer import Argument, Option

from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.evaluation.metrics import as_tensor
from invertfill.evaluation.pairs import by_stem, read_picture
from invertfill.losses.lpips import LPIPS
from invertfill.masks.sampler import mask_set_hash, sample_masks
from invertfill.nn.invertfill import InvertFill
from invertfill.training.checkpoint import newest_checkpoint
from invertfill.training.inversion import load_model, model_config
from invertfill.training.mean_latent import long_run_mean

Distance = Callable[[Tensor, Tensor], Tensor]


def open_model(path: Path) -> InvertFill:
    """A model folder's network, or the moving average of a run's newest checkpoint."""
    if checkpoint := newest_checkpoint(path):
        model = InvertFill(model_config(checkpoint))
    else:
        with safe_open(path / "model.safetensors", "pt") as file:
            model = InvertFill(json.loads(file.metadata()["config"]))
    load_model(model, path)
    if not model.guesses_z:
        raise InputError(f"{path}: its encoder guesses no z; a model that does is accepted")
    model.w_mean.copy_(long_run_mean(model.generator.mapping, model.generator.z_dim))
    return model.eval().requires_grad_(False)


@torch.no_grad()
def measure(
    model: InvertFill, truths: list[Tensor], holes: list[Tensor], samples: int, distance: Distance
) -> dict[str, float]:
    """Figures by name, means over pictures (1, 3, s, s) in [-1, 1] and masks (1, 1, s, s)."""
    rng = torch.Generator().manual_seed(0)
    rows: list[dict[str, float]] = []
    means: list[tuple[Tensor, Tensor]] = []
    encoder, mapping = model.encoder, model.generator.mapping
    for truth, hole in zip(truths, holes, strict=True):
        p = encoder.gaussian(encoder.pyramid(truth * (1 - hole), hole))
        q = encoder.gaussian(encoder.pyramid(truth, 0 * hole))
        offset, _ = model.encode(truth, hole, torch.zeros_like(model.w_mean)[None])

        def fill(w: Tensor, truth: Tensor = truth, hole: Tensor = hole, offset: Tensor = offset) -> Tensor:
            drawn = model.draw(truth, hole, offset + w[:, None]).clamp(-1, 1)
            return truth * (1 - hole) + drawn * hole

        normal = partial(torch.randn, p.mean.shape, generator=rng)
        default, mean = fill(mapping(p.mean)), fill(model.w_mean[None])
        others = [fill(mapping(p.at(normal()))) for _ in range(samples)]
        far = [float(distance(other, truth)) for other in others]
        share = float(hole.mean())
        apart = [float(distance(a, b)) / share for a, b in itertools.combinations(others[:4], 2)]
        rows.append(
            {
                "default": float(distance(default, truth)),
                "mean latent": float(distance(mean, truth)),
                "random z": float(distance(fill(mapping(normal())), truth)),
                "whole": float(distance(fill(mapping(q.mean)), truth)),
                "drawn": float(np.mean(far)),
                "best of drawn": min(far),
                "four apart": float(np.mean(apart)),
                "KL, nats": float(q.divergence(p)),
                "spread of p": float((p.log_variance / 2).exp().mean()),
            }
        )
        means.append((p.mean, q.mean))
    found = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    guessed, true = (torch.cat(part) for part in zip(*means, strict=True))
    missed = (guessed - true).square().sum() / (true - true.mean(0)).square().sum()
    return found | {"R2": 1 - float(missed)}


def main(
    model_or_run: Annotated[Path, Argument(metavar="MODEL")],
    images: Annotated[Path, Option()],
    count: int = 24,
    kind: str = "freeform",
    coverage: str = "hard",
    seed: int = 0,
    samples: Annotated[int, Option(help="Fills drawn of each hole.")] = 8,
) -> None:
    """Print what each code is worth."""
    model = open_model(model_or_run)
    size = model.generator.size
    files = list(by_stem(images).values())[:count]
    masks = list(sample_masks(len(files), size, kind, coverage, seed))
    truths = [as_tensor([read_picture(file, size)]) for file in files]
    found = measure(model, truths, [torch.tensor(m)[None, None].float() for m in masks], samples, LPIPS("alex"))
    print(
        f"{model_or_run.name}, {len(files)} pictures of {images.name}, {kind} "
        f"{coverage}, seed {seed}, masks {mask_set_hash(masks)[:16]}, LPIPS AlexNet\n"
    )
    default = found["default"]
    print("| code | LPIPS | to the default |\n|---|---|---|")
    for name in ("default", "mean latent", "random z", "whole", "drawn", "best of drawn"):
        print(f"| {name} | {found[name]:.4f} | {found[name] / default:.3f} |")
    print(f"\n{', '.join(f'{name} {found[name]:.3f}' for name in ('four apart', 'KL, nats', 'spread of p', 'R2'))}")


if __name__ == "__main__":
    run(main)
