"""What the style code of a model that guesses z is worth: fills with other codes in its place, on the same pairs.

    INVERTFILL_WEIGHTS=WEIGHTS python benchmarks/code.py MODEL --images data/photos/val --count 100

MODEL is a model folder, or a run of stage 2 (its moving average). LPIPS (AlexNet) is of the composite against the
truth; between fills it is divided by the hole's share, which makes it that of the hole. `whole` sees what the hole
hides: how far it beats the rest says what a code can carry. R2 says how much of q's mean p's mean predicts.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

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
        raise SystemExit(f"{path}: its encoder guesses no z; a model that does is accepted")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--kind", default="freeform")
    parser.add_argument("--coverage", default="hard")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=8, help="fills drawn of each hole")
    arguments = parser.parse_args()
    model = open_model(arguments.model)
    size = model.generator.size
    files = list(by_stem(arguments.images).values())[: arguments.count]
    masks = list(sample_masks(len(files), size, arguments.kind, arguments.coverage, arguments.seed))
    truths = [torch.tensor(read_picture(f, size)).permute(2, 0, 1)[None] / 127.5 - 1 for f in files]
    found = measure(
        model, truths, [torch.tensor(m)[None, None].float() for m in masks], arguments.samples, LPIPS("alex")
    )
    print(
        f"{arguments.model.name}, {len(files)} pictures of {arguments.images.name}, {arguments.kind} "
        f"{arguments.coverage}, seed {arguments.seed}, masks {mask_set_hash(masks)[:16]}, LPIPS AlexNet\n"
    )
    default = found["default"]
    print("| code | LPIPS | to the default |\n|---|---|---|")
    for name in ("default", "mean latent", "random z", "whole", "drawn", "best of drawn"):
        print(f"| {name} | {found[name]:.4f} | {found[name] / default:.3f} |")
    print(f"\n{', '.join(f'{name} {found[name]:.3f}' for name in ('four apart', 'KL, nats', 'spread of p', 'R2'))}")


if __name__ == "__main__":
    main()
