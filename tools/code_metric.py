"""Measure which differences of style codes are visible, for a run's `code_metric`.

    INVERTFILL_WEIGHTS=weights python tools/code_metric.py weights/face-generator.safetensors \\
        weights/face-codes.safetensors weights/code-metric.safetensors

The LPIPS (AlexNet) of two pictures with nearby codes is about d^T M d, d the codes' difference, M = E[J^T J], J the
Jacobian of the network's weighted features by w. M is estimated from products of J^T with random vectors, one for each
of `--count` codes. For faces-256 sixteen directions hold 96 % of what is visible of the codes' variance: a plain
squared error spends itself on the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from invertfill.losses.lpips import LPIPS
from invertfill.nn.generators.mobilestylegan import MobileStyleGANConfig, MobileStyleGANGenerator
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator", type=Path)
    parser.add_argument("codes", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=1200)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    generator = MobileStyleGANConfig().build().requires_grad_(False).eval()
    load_prior(generator, arguments.generator)
    codes = load_file(arguments.codes)["w"].float()
    metric = visible(generator, codes[torch.randperm(len(codes))[: arguments.count]])
    covariance = torch.cov(codes.T)
    plain = torch.diag(1 / covariance.diagonal())
    parts = ((1 - PLAIN, metric), (PLAIN, plain))
    dim = len(metric)
    scaled = sum(share * MEAN_ERROR * dim * part / (part * covariance).sum() for share, part in parts)
    save_file({"factor": torch.linalg.cholesky(torch.as_tensor(scaled)).contiguous()}, arguments.out)


if __name__ == "__main__":
    main()
