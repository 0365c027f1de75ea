"""Soft-update mean latent (Sec. 3.2): the style code's anchor wanders over the generator's own mean latents.

A static mean (pSp) teaches the encoder to average textures far from the hole's border. Here the anchor w_o moves a
little every iteration towards a target w_t, the mean of K mapped z, and when it has arrived a new target is drawn.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from invertfill.nn.config import Count, Fraction, Positive, Section

Mapping = Callable[[Tensor], Tensor]

LONG_RUN = 16384  # z in the long-run mean; its standard error is then below 1 % of a latent's deviation


class MeanLatentConfig(Section):
    """How the anchor moves; the paper gives no figure for any of the three.

    Attributes:
        samples: K, mapped z in a target.
        tau: share of the remaining way a step; 0 stays put: the static mean of pSp.
        tolerance: share of the way at the target's drawing that counts as arrived.
    """

    samples: Count = 8
    tau: Fraction = 0.01
    tolerance: Positive = 0.05


class SoftUpdateMeanLatent(nn.Module):
    """w_o <- tau * w_t + (1 - tau) * w_o at every step; a module, so that checkpoints hold it.

    The paper prints "w_t <- tau w_o + (1 - tau)", which moves the target and lacks a factor; its text (w_o is used and
    updated, w_t is fixed until they are equal) fixes the meaning. It gives neither K, nor tau, nor when two vectors
    that only approach each other count as equal: here, when `tolerance` of the way is left, and w_o is then set to w_t.

    Args:
        config: K, tau and tolerance.
        start: (D,), the first w_o: the long-run mean.
        z_dim: entries of z.
    """

    w_o: Tensor
    w_t: Tensor
    way: Tensor

    def __init__(self, config: MeanLatentConfig, start: Tensor, z_dim: int) -> None:
        super().__init__()
        self.samples, self.tau, self.tolerance = config.samples, config.tau, config.tolerance
        self.z_dim = z_dim
        self.register_buffer("w_o", start.detach().clone())
        self.register_buffer("w_t", start.detach().clone())  # arrived: the first step draws a target
        self.register_buffer("way", start.new_zeros(()))  # |w_o - w_t| when w_t was drawn

    @property
    def arrived(self) -> bool:
        """w_o is at w_t: the next step draws a new target."""
        return torch.equal(self.w_o, self.w_t)

    @torch.no_grad()
    def step(self, mapping: Mapping) -> Tensor:
        """Move once.

        Args:
            mapping: the generator's, z (K, D) -> w (K, D). Targets are drawn from torch's default generator, alike in
                every process (training/distributed.py).

        Returns:
            w_o (1, D), of this step; not a view.
        """
        if self.tau:
            if self.arrived:
                z = torch.randn(self.samples, self.z_dim, device=self.w_o.device)
                self.w_t.copy_(mapping(z).mean(0))
                self.way.copy_((self.w_o - self.w_t).norm())
            self.w_o.lerp_(self.w_t, self.tau)
            if (self.w_o - self.w_t).norm() <= self.tolerance * self.way:
                self.w_o.copy_(self.w_t)
        return self.w_o.clone().unsqueeze(0)


@torch.no_grad()
def long_run_mean(mapping: Mapping, dim: int, device: torch.device | str = "cpu") -> Tensor:
    """Mean w of many z, of dim entries each, from a fixed seed: (D,)."""
    z = torch.randn(LONG_RUN, dim, generator=torch.Generator().manual_seed(0))
    return torch.stack([mapping(part.to(device)).mean(0) for part in z.split(1024)]).mean(0)
