"""Randomness and averages that don't depend on how many processes share a batch.

Every process seeds itself alike at every step (`seed_step`), draws for the whole global batch, and keeps its own part
(`my_part`). So two processes see the very draws that one would, what the batch shares (a mean latent, a coin) is the
same everywhere without being sent, and a resumed run draws what the uninterrupted one drew: the state of every random
source is a function of (seed, step).
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Processes that share the batch; 1 outside a distributed run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def my_part(batch: Tensor) -> Tensor:
    """This process's rows of something drawn for the global batch: (N, ...) -> (N / world_size, ...)."""
    each = len(batch) // world_size()
    return batch[rank() * each : (rank() + 1) * each]


def randn(count: int, *shape: int, device: torch.device | str | None = None) -> Tensor:
    """Standard normal (count, *shape) for this process, out of a draw for the global batch."""
    return my_part(torch.randn(count * world_size(), *shape, device=device))


def seed_step(seed: int, step: int) -> None:
    """Put torch's generators into the state that belongs to a step of a run."""
    torch.manual_seed((seed * 1_000_003 + step) % 2**63)


def average_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Mean of the gradients over the processes, sent as one flat tensor; a missing gradient counts as zero."""
    if world_size() == 1:
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in grads])
    dist.all_reduce(flat)
    flat /= world_size()
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad = part.view_as(p).clone()
