"""Pre-modulation (Sec. 3.1, Fig. 2c, Eq. 1): the structure vectors S denormalise the intermediate codes w'."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invertfill.nn.config import Count, Section


class PreModulationConfig(Section):
    """Shape of the pre-modulation networks.

    Attributes:
        hidden: width of the small networks that turn S into gamma and beta.
        enabled: False is the ablation without pre-modulation: w*_l = w'_r.
        space: "w+", the paper's, has a style vector for each l; "w" gives them all the mean of these.
    """

    hidden: Count = 32
    enabled: bool = True
    space: Literal["w", "w+"] = "w+"


def instance_norm(code: Tensor, eps: float = 1e-5) -> Tensor:
    """Normalise the entries of each vector to mean 0 and variance 1; no affine. (..., D) -> (..., D)."""
    return F.layer_norm(code, (int(code.shape[-1]),), eps=eps)  # int: a constant of the exported graph


def modulate(code: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Eq. 1: w*_l = gamma * IN(w'_r) + beta, all (..., D)."""
    return gamma * instance_norm(code) + beta


class PreModulation(nn.Module):
    """L pre-modulation networks, one for each style vector of the generator.

    Args:
        levels: for each style vector, which code it takes: 0 coarse, 1 middle, 2 fine.
        latent_dim: entries of a code.
    """

    def __init__(self, config: PreModulationConfig, levels: tuple[int, ...], latent_dim: int):
        super().__init__()
        self.levels, self.enabled, self.space = list(levels), config.enabled, config.space
        if not self.enabled:
            return
        self.hidden = nn.ModuleList(nn.Linear(latent_dim, config.hidden) for _ in levels)
        affine = [nn.Linear(config.hidden, 2 * latent_dim) for _ in levels]
        self.affine = nn.ModuleList(affine)
        for layer in affine:
            nn.init.normal_(layer.weight, std=0.01)
            # Style codes start close to the mean latent, where the generator draws well.
            nn.init.constant_(layer.bias[:latent_dim], 0.1)
            nn.init.zeros_(layer.bias[latent_dim:])

    def forward(self, codes: Tensor, structure: Tensor) -> Tensor:
        """codes w' (N, 3, D), structure S (N, 3, D) -> offsets from the mean latent (N, L, D)."""
        offsets = self._modulated(codes, structure) if self.enabled else codes[:, self.levels]
        return offsets.mean(1, keepdim=True).expand_as(offsets) if self.space == "w" else offsets

    def _modulated(self, codes: Tensor, structure: Tensor) -> Tensor:
        out = []
        for level, hidden, affine in zip(self.levels, self.hidden, self.affine, strict=True):
            gamma, beta = affine(F.leaky_relu(hidden(structure[:, level]), 0.2)).chunk(2, 1)
            out.append(modulate(codes[:, level], gamma, beta))
        return torch.stack(out, 1)
