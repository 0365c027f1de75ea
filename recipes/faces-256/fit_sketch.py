"""Fit the toRGB of a fill network's prior: what `--quality best` looks at.

    python recipes/faces-256/fit_sketch.py joined weights/face-codes.safetensors data/faces/train -o sketching

MODEL has a MI-GAN with a prior (join_prior.py). The pictures were drawn from the codes; a code's activations in
the prior should give its picture, averaged to their size. The last hundred pictures stay out, to say how well they do.
OUT/model.safetensors is MODEL with that toRGB.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import torch
import torch.nn.functional as F
import typer
from rich.progress import track
from safetensors import SafetensorError, safe_open
from torch import Tensor

from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.nn.generators.migan import MIGANGenerator
from invertfill.nn.invertfill import InvertFill
from invertfill.registry import FILES
from invertfill.training.checkpoint import write_tensors
from invertfill.training.config import AdamConfig
from invertfill.training.data.readers import decode, open_source
from invertfill.training.inversion import learning_rate, load_codes

BATCH, HELD_OUT = 32, 100
SCHEDULE = AdamConfig(lr=3e-3, warmup=20, decay="cosine")


def read_small(pictures: Path, side: int, size: int) -> tuple[list[str], Tensor]:
    """Names, and the pictures at ``size`` px averaged to ``side``: (K, 3, side, side) in [-1, 1]."""
    with open_source(pictures) as (names, reader):
        small = [
            decode(reader(name), size).reshape(side, size // side, side, size // side, 3).mean((1, 3), np.float32)
            for name in track(names, "reading")
        ]
    return list(names), torch.tensor(np.stack(small)).permute(0, 3, 1, 2) / 127.5 - 1


def fit(generator: MIGANGenerator, codes: Tensor, small: Tensor, steps: int) -> float:
    """Train ``generator.prior_rgb`` on all but the last `HELD_OUT`; their mean absolute error, in [-1, 1]."""
    prior, head = generator.prior, generator.prior_rgb
    assert prior is not None
    side = small.shape[-1]

    def activations(w: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            return prior.head(w[:, None].expand(-1, generator.num_layers, -1), side)

    head.requires_grad_(True)
    adam = torch.optim.Adam(head.parameters(), betas=(0.9, 0.99))
    for step in track(range(steps), "fitting"):
        adam.param_groups[0]["lr"] = learning_rate(SCHEDULE, step, steps)
        chosen = torch.randint(len(codes) - HELD_OUT, (BATCH,))
        w = codes[chosen]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            drawn = head(activations(w), w)
        loss = F.l1_loss(drawn.float(), small[chosen])
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    w = codes[-HELD_OUT:]
    with torch.no_grad():
        return float(F.l1_loss(head(activations(w).float(), w), small[-HELD_OUT:]))


def main(
    model_folder: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder with a model.safetensors.")],
    codes: Annotated[Path, typer.Argument(help="safetensors with 'seed' and 'w' (convert_face_generator.py).")],
    pictures: Annotated[Path, typer.Argument(help="Folder of pictures that are named by their seed.")],
    out: Annotated[Path, typer.Option("--out", "-o")],
    steps: Annotated[int, typer.Option(min=1)] = 2500,
) -> None:
    """Write OUT/model.safetensors."""
    torch.manual_seed(0)
    try:
        with safe_open(model_folder / FILES[0], "pt") as file:
            config = json.loads(file.metadata()["config"])
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise InputError(f"{model_folder}: no model there ({error})") from error
    model = InvertFill(config).eval()
    generator = cast(MIGANGenerator, model.generator)
    if getattr(generator, "prior", None) is None:
        raise InputError(f"{model_folder}: its generator has no prior")
    new = {k: v for k, v in model.state_dict().items() if k.startswith("generator.prior_rgb.")}
    model.load_state_dict({k: v for k, v in stored.items() if not k.startswith("generator.prior_rgb.")} | new)
    assert generator.prior is not None
    names, small = read_small(pictures, max(generator.prior.feature_channels), generator.size)
    known = load_codes(codes, names)
    usable = ~known.isnan().any(1)
    if usable.sum() <= HELD_OUT:
        raise InputError(f"{pictures}: {usable.sum()} pictures with a known code; accepted: more than {HELD_OUT}")
    off = fit(generator, known[usable], small[usable], steps)
    print(f"held out: {off * 127.5:.1f} grey levels off")
    write_tensors(out / FILES[0], model.state_dict(), {"config": json.dumps(model.config)})


if __name__ == "__main__":
    run(main)
