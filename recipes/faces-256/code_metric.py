"""Measure which differences of style codes are visible, for a run's `code_metric`.

    python recipes/faces-256/code_metric.py weights/face-generator.safetensors weights/face-codes.safetensors \\
        weights/code-metric.safetensors

The LPIPS (AlexNet) of two pictures with nearby codes is about d^T M d, d the codes' difference, M = E[J^T J], J the
Jacobian of the network's weighted features by w. M is estimated from products of J^T with random vectors, one for each
of `--count` codes. For faces-256 sixteen directions hold 96 % of what is visible of the codes' variance: a plain
squared error spends itself on the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from invertfill.cli import run
from invertfill.losses.lpips import LPIPS
from invertfill.nn.generators.mobilestylegan import MobileStyleGANConfig, MobileStyleGANGenerator
from invertfill.training.checkpoint import read_tensors, write_tensors
from invertfill.training.inversion import load_prior

BATCH = 4
PLAIN = 0.1  # share of the plain squared error, in standard deviations: no direction is quite free
MEAN_ERROR = 0.7  # what the metric says, on average, of the mean latent: about what the plain error says


def visible(generator: MobileStyleGANGenerator, codes: Tensor) -> Tensor:
    """M, (D, D), from codes (N, D)."""
    lpips, total = LPIPS("alex"), torch.zeros(codes.shape[1], codes.shape[1])
    for w in codes.split(BATCH):
        w = w.clone().requires_grad_(True)
        picture = generator.synthesis(w[:, None].expand(-1, generator.num_layers, -1))
        projected = torch.zeros(())
        for features, weight in zip(lpips.stages(picture), lpips.heads.parameters(), strict=True):
            places = features.shape[2] * features.shape[3]
            scale = (weight.clamp(min=0) / places).sqrt()  # LPIPS is a mean over places
            projected = projected + (features * torch.randn_like(features) * scale).sum()
        (rows,) = torch.autograd.grad(projected, [w])
        total += rows.T @ rows
    return total / len(codes)


def main(
    weights: Annotated[Path, typer.Argument(exists=True, help="Of the generator (convert_face_generator.py).")],
    codes: Annotated[Path, typer.Argument(exists=True, help="safetensors with 'w'.")],
    out: Annotated[Path, typer.Argument(help="safetensors with 'factor'.")],
    count: Annotated[int, typer.Option(min=1, help="Of codes to measure at.")] = 1200,
) -> None:
    """Write OUT."""
    torch.manual_seed(0)
    generator = MobileStyleGANConfig().build().requires_grad_(False).eval()
    load_prior(generator, weights)
    w = read_tensors(codes, "w")["w"].float()
    metric = visible(generator, w[torch.randperm(len(w))[:count]])
    covariance = torch.cov(w.T)
    plain = torch.diag(1 / covariance.diagonal())
    parts = ((1 - PLAIN, metric), (PLAIN, plain))
    dim = len(metric)
    scaled = sum(share * MEAN_ERROR * dim * part / (part * covariance).sum() for share, part in parts)
    write_tensors(out, {"factor": torch.linalg.cholesky(torch.as_tensor(scaled))})


if __name__ == "__main__":
    run(main)
