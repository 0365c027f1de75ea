"""MEDFE: deep features fill structures, shallow ones textures, and both are made consistent (Liu et al. 2020)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from invertfill.baselines.critics import PatchCritic
from invertfill.baselines.judging import look
from invertfill.baselines.network import IMAGE, Drawn, Judges, Network, NetworkConfig, Terms, trainable
from invertfill.baselines.partial import PartialConv
from invertfill.losses.inpainting import composite
from invertfill.nn.config import NonNegative, Size

DEPTH = 5  # partial convolutions of each branch that fills
KERNELS = (3, 5, 7)  # of these branches


class MEDFE(Network):
    """Fig. 2: encoder, two branches that fill at an eighth of the side, equalisation, decoder."""

    sees = True

    def __init__(self, config: MEDFEConfig) -> None:
        super().__init__()
        self.config, w = config, config.channels(64)
        widths = (w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w)
        self.encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), nn.InstanceNorm2d(b) if 0 < i < 5 else nn.Identity())
            for i, (a, b) in enumerate(zip((4, *widths), widths, strict=False))
        )
        self.texture = Filling(sum(widths[:3]), 4 * w)
        self.structure = Filling(sum(widths[3:]), 4 * w)
        self.equalise = Equalisation(8 * w)
        self.share = nn.ModuleList(nn.Conv2d(8 * w, width, 1) for width in widths)
        outs = (*widths[:-1][::-1], w)
        ins = (widths[-1], *(2 * width for width in widths[:-1][::-1]))
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, 1), nn.InstanceNorm2d(b) if i < 5 else nn.Identity())
            for i, (a, b) in enumerate(zip(ins, outs, strict=True))
        )
        self.out = nn.Sequential(nn.Conv2d(w, 3, 3, padding=1), nn.Tanh())

    def draw(self, known: Tensor, mask: Tensor) -> Drawn:
        """What the two branches draw, too, at an eighth of the side."""
        x, features = torch.cat([known, mask], 1), []
        for layer in self.encoder:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        there = (F.interpolate(mask, size=features[2].shape[2:], mode="area") < 1).to(x.dtype)
        texture, small_texture = self.texture(features[:3], there)
        structure, small_structure = self.structure(features[3:], there)
        equal = self.equalise(torch.cat([structure, texture], 1))
        # Every skip gets its share of the equalised features.
        skips = [
            feature + share(F.interpolate(equal, size=feature.shape[2:], mode="bilinear"))
            for feature, share in zip(features, self.share, strict=True)
        ]
        x = skips[-1]
        for i, layer in enumerate(self.decoder):
            if i:
                x = torch.cat([F.interpolate(x, size=skips[5 - i].shape[2:]), skips[5 - i]], 1)
            x = F.leaky_relu(layer(x), 0.2)
        return {IMAGE: self.out(x), "texture": small_texture, "structure": small_structure}

    def losses(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Terms:
        config, size = self.config, drawn["texture"].shape[2:]
        small, plain = (F.interpolate(picture, size=size, mode="area") for picture in (real, smooth(real)))
        assert judges.critic is not None
        on_real, on_fake = self._relative(drawn, real, mask, judges)
        return {
            "l1": (config.l1, (drawn[IMAGE] - real).abs().mean()),
            "texture": (config.branches, (drawn["texture"] - small).abs().mean()),
            "structure": (config.branches, (drawn["structure"] - plain).abs().mean()),
            **look(judges, [drawn[IMAGE]], real, config.perceptual, config.style),
            "adversarial": (config.adversarial, (on_real + 1).square().mean() + (on_fake - 1).square().mean()),
        }

    def critic(self) -> PatchCritic:
        w = self.config.channels(64)
        return PatchCritic(3, (w, 2 * w, 4 * w, 8 * w, 1), 4, flat=2)

    def judge(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Tensor:
        on_real, on_fake = self._relative(drawn, real, mask, judges)
        return (on_real - 1).square().mean() + (on_fake + 1).square().mean()

    @staticmethod
    def _relative(drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> tuple[Tensor, Tensor]:
        """Relativistic logits: how much more real than the other kind's mean."""
        assert judges.critic is not None
        on_real, on_fake = judges.critic(real), judges.critic(composite(drawn[IMAGE], real, mask))
        return on_real - on_fake.mean(), on_fake - on_real.mean()


class Filling(nn.Module):
    """Multi-scale filling: partial convolutions of three sizes side by side, a small picture drawn of the outcome."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 1)
        self.scales = nn.ModuleList(
            nn.ModuleList(PartialConv(width, width, kernel) for _ in range(DEPTH)) for kernel in KERNELS
        )
        self.merge = nn.Conv2d(len(KERNELS) * width, width, 1)
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, features: list[Tensor], known: Tensor) -> tuple[Tensor, Tensor]:
        """Features of any sizes, known (N, 1, h, w) -> features (N, width, h, w), a picture (N, 3, h, w)."""
        size = known.shape[2:]
        x = self.enter(torch.cat([F.interpolate(f, size=size, mode="bilinear") for f in features], 1))
        filled = []
        for scale in self.scales:
            y, there = x, known
            for conv in scale:  # type: ignore[attr-defined]
                y, there = conv(y, there)
                y = F.leaky_relu(y, 0.2)
            filled.append(y)
        merged = F.leaky_relu(self.merge(torch.cat(filled, 1)), 0.2)
        return merged, torch.tanh(self.head(merged))


class Equalisation(nn.Module):
    """Feature equalisations: channels are weighed (squeeze and excitation), then places by bilateral propagation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(width // 16, 1)
        self.weigh = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width), nn.Sigmoid())
        self.merge = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same shape."""
        weighed = x * self.weigh(x.mean((2, 3)))[:, :, None, None]
        merged: Tensor = self.merge(torch.cat([spread_by_place(weighed), spread_by_value(weighed)], 1))
        return merged


def spread_by_place(x: Tensor, sigma: float = 1.5) -> Tensor:
    """The spatial half of the bilateral propagation: the mean over all places, by a Gaussian of their distance.

    (N, C, h, w) -> the same shape; ``sigma`` in places.
    """
    height, width = x.shape[2:]
    y, row = torch.meshgrid(torch.arange(height, device=x.device), torch.arange(width, device=x.device), indexing="ij")
    places = torch.stack([y.flatten(), row.flatten()], 1).to(x.dtype)
    weights = (-(places[:, None] - places[None]).square().sum(2) / (2 * sigma**2)).exp()
    return (x.flatten(2) @ (weights / weights.sum(0))).view_as(x)


def spread_by_value(x: Tensor) -> Tensor:
    """The range half: the mean over the 3 x 3 neighbours, by their dot product with the place's own vector.

    (N, C, h, w) -> the same shape. The products are divided by C, the mean by 9.
    """
    count, channels, height, width = x.shape
    near = F.unfold(x, 3, padding=1).view(count, channels, 9, height * width)
    likeness = (near * x.flatten(2)[:, :, None]).mean(1, keepdim=True)  # (N, 1, 9, P)
    return (near * likeness).mean(2).view_as(x)


@torch.no_grad()
def smooth(picture: Tensor, radius: int = 3, least: float = 0.02) -> Tensor:
    """Without its texture, edges kept: a guided filter by the picture itself (He et al. 2013).

    (N, 3, h, w) in [-1, 1] -> the same; what varies less than ``least`` (a variance) is smoothed away.
    """

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)

    average = mean(picture)
    variance = (mean(picture * picture) - average.square()).clamp(min=0)
    kept = variance / (variance + least)
    return mean(kept) * picture + mean((1 - kept) * average)


class MEDFEConfig(NetworkConfig):
    """Sec. 4."""

    kind: Literal["medfe"] = "medfe"
    size: Annotated[Size, Field(ge=64)] = 128  # six halvings
    l1: NonNegative = 1.0
    branches: NonNegative = 1.0  # what each of the two branches draws
    perceptual: NonNegative = 0.1
    style: NonNegative = 250.0
    adversarial: NonNegative = 0.2

    def build(self) -> MEDFE:
        return MEDFE(self)


BASELINE = trainable(
    MEDFEConfig,
    "Liu et al., Rethinking Image Inpainting via a Mutual Encoder-Decoder with Feature Equalizations",
    2020,
    "86.25 M parameters (the paper names no count); structures are a guided filter's, not relative total variation's; "
    "the branches fill at an eighth of the side; one critic, without a second one of the hole's surroundings; "
    "gradients are clipped",
)
