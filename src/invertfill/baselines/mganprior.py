"""mGANprior: several codes are drawn up to a composing layer, joined there channel by channel, and drawn on as one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invertfill.baselines import Baseline
from invertfill.baselines.inversion import Inversion
from invertfill.errors import InputError


class MGANPrior(Inversion):
    """See `Inversion`.

    Args:
        codes: N of them, which start at mapped z of a seed.
        layer: side in pixels of the activations that are joined.
    """

    def __init__(
        self,
        codes: int = 10,
        layer: int = 16,
        steps: int = 100,
        model: str = "faces-256",
        rate: float = 0.1,
        lpips: float = 1.0,
        device: str = "auto",
    ) -> None:
        super().__init__(model, steps, rate, lpips, device)
        layers = list(self.generator.feature_channels)
        if layer not in layers:
            raise InputError(f"mganprior: layer {layer}; accepted for {model}: {', '.join(map(str, layers))}")
        self.codes, self.layer = codes, layer

    def start(self) -> list[Tensor]:
        z = torch.randn(self.codes, self.generator.latent_dim, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            offsets = (self.generator.mapping(z.to(self.device)) - self.w_mean) / self.w_std
            activations = self.generator.head(
                _for_all_layers(self.generator, self.w_mean[None]), self.layer, self.features
            )
        return [offsets, activations.new_ones(self.codes, activations.shape[1])]

    def draw(self, found: list[Tensor]) -> Tensor:
        offsets, importance = found  # N times the importance, so that one rate suits both
        weights = importance / self.codes
        return compose(self.generator, offsets * self.w_std, weights, self.w_mean, self.layer, self.features)


def compose(
    generator: Any,
    offsets: Tensor,
    importance: Tensor,
    w_mean: Tensor,
    layer: int,
    features: dict[int, Tensor] | None = None,
) -> Tensor:
    """G2(sum_n F_n * a_n), F_n = G1(w_n): activations of all codes, each channel by its importance.

    Layers behind need a style vector too: the mean latent and each code's offset by the mean of its importance, so that
    a single code at full importance draws what it draws alone.

    Args:
        generator: of `invertfill.nn.generators`.
        offsets: (N, D), w_n - w_mean.
        importance: a, (N, C), for the channels of `generator.head`.
        w_mean: (D,).
        layer: resolution of the composing layer.
        features: those without which the generator doesn't draw, (1, C, r, r) each.

    Returns:
        (1, 3, s, s).
    """
    activations = generator.head(_for_all_layers(generator, w_mean + offsets), layer, features)  # (N, C, r, r)
    joined = (activations * importance[:, :, None, None]).sum(0, keepdim=True)
    w = w_mean + (offsets * importance.mean(1, keepdim=True)).sum(0, keepdim=True)
    image: Tensor = generator.tail(joined, _for_all_layers(generator, w), layer, features)
    return image


def _for_all_layers(generator: Any, w: Tensor) -> Tensor:
    """(N, D) -> (N, L, D)."""
    return w[:, None].expand(-1, generator.num_layers, -1)


BASELINE = Baseline(
    "mganprior",
    "Gu, Shen, Zhou, Image Processing Using Multi-Code GAN Prior",
    2020,
    "codes in W instead of Z, in standard deviations of w; the composing layer by its side in pixels; the style vector "
    "behind it is the codes' mean by importance; L1 and LPIPS (AlexNet) under a soft mask; fewer codes and steps",
    MGANPrior,
)
