"""Boundless: one network that extends a picture, its critic told what the picture shows (Teterwak et al. 2019)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from invertfill.baselines.critics import PatchCritic, hinge_critic, hinge_generator
from invertfill.baselines.gated import GatedConv, GatedUp, dilated
from invertfill.baselines.network import IMAGE, Drawn, Judges, Network, NetworkConfig, Terms, trainable
from invertfill.losses.inpainting import Features, composite, to_unit
from invertfill.nn.config import NonNegative

MEANING = (29,)  # VGG16's last ReLU
MEANINGS = 512  # its channels


class Boundless(Network):
    """Fig. 3: gated convolutions with instance normalisation, and skips from encoder to decoder."""

    sees = True

    def __init__(self, config: BoundlessConfig) -> None:
        super().__init__()
        self.config, w = config, config.channels(32)
        self.down = nn.ModuleList(
            [
                GatedConv(4, w, 5, norm=True),
                nn.Sequential(GatedConv(w, 2 * w, stride=2, norm=True), GatedConv(2 * w, 2 * w, norm=True)),
                nn.Sequential(GatedConv(2 * w, 4 * w, stride=2, norm=True), GatedConv(4 * w, 4 * w, norm=True)),
            ]
        )
        self.middle = nn.Sequential(*dilated(4 * w, norm=True), *(GatedConv(4 * w, 4 * w, norm=True) for _ in "12"))
        self.up = nn.ModuleList(
            [
                nn.Sequential(GatedConv(8 * w, 4 * w, norm=True), GatedUp(4 * w, 2 * w, norm=True)),
                nn.Sequential(GatedConv(4 * w, 2 * w, norm=True), GatedUp(2 * w, w, norm=True)),
                nn.Sequential(GatedConv(2 * w, w // 2, norm=True), nn.Conv2d(w // 2, 3, 3, padding=1), nn.Tanh()),
            ]
        )

    def draw(self, known: Tensor, mask: Tensor) -> Drawn:
        x = torch.cat([known, mask], 1)
        skips = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x = self.middle(x)
        for layer, skip in zip(self.up, reversed(skips), strict=True):
            x = layer(torch.cat([x, skip], 1))
        return {IMAGE: x}

    def losses(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Terms:
        assert judges.critic is not None and judges.features is not None
        fake = composite(drawn[IMAGE], real, mask)
        fooled = hinge_generator(judges.critic(fake, mask, meaning(judges.features, real)))
        return {
            "l1": (self.config.l1, (drawn[IMAGE] - real).abs().mean()),
            "adversarial": (self.config.adversarial, fooled),
        }

    def critic(self) -> ConditionalCritic:
        return ConditionalCritic(self.config.channels(64))

    def judge(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Tensor:
        assert judges.critic is not None and judges.features is not None
        shown = meaning(judges.features, real)
        return hinge_critic(
            judges.critic(real, mask, shown), judges.critic(composite(drawn[IMAGE], real, mask), mask, shown)
        )


@torch.no_grad()
def meaning(features: Features, real: Tensor) -> Tensor:
    """What the whole picture shows, a vector of length 1: (N, 3, s, s) -> (N, MEANINGS)."""
    (last,) = features(to_unit(real), MEANING)
    return F.normalize(last.float().mean((2, 3)), dim=1)


class ConditionalCritic(nn.Module):
    """Fig. 4: a critic of the whole picture; what it shows comes in by projection (Miyato and Koyama 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.layers = PatchCritic(4, (w, 2 * w, 4 * w, 4 * w, 4 * w, 4 * w))
        self.score = spectral_norm(nn.Linear(4 * w, 1))
        self.project = spectral_norm(nn.Linear(MEANINGS, 4 * w, bias=False))

    def forward(self, picture: Tensor, mask: Tensor, shown: Tensor) -> Tensor:
        """(N, 3, s, s), (N, 1, s, s), (N, MEANINGS) -> logits (N, 1)."""
        found = F.leaky_relu(self.layers(picture, mask), 0.2).mean((2, 3))
        logits: Tensor = self.score(found) + (self.project(shown) * found).sum(1, keepdim=True)
        return logits


class BoundlessConfig(NetworkConfig):
    """Sec. 3."""

    kind: Literal["boundless"] = "boundless"
    l1: NonNegative = 1.0
    adversarial: NonNegative = 0.01

    def build(self) -> Boundless:
        return Boundless(self)


BASELINE = trainable(
    BoundlessConfig,
    "Teterwak et al., Boundless: Generative Adversarial Networks for Image Extension",
    2019,
    "3.28 M parameters (the paper names no count); VGG16's last features tell the critic what a picture shows, not "
    "those of Inception v3; holes on any side, not the right one alone",
)
