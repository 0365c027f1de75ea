"""RFR: the hole shrinks from its border inwards, by one network again and again (Li et al. 2020)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invertfill.baselines.judging import look
from invertfill.baselines.network import IMAGE, Drawn, Judges, Network, NetworkConfig, Terms, trainable
from invertfill.baselines.partial import PartialConv
from invertfill.losses.inpainting import composite, hole_loss, to_unit, tv_loss, valid_loss
from invertfill.nn.config import Count, NonNegative

Scores = tuple[Tensor, Tensor]
"""Of a recurrence: attention (N, P, P), source and place, and what was known (N, 1, P), 1 = known."""


class RFR(Network):
    """Fig. 2: area identification and feature reasoning in turn, then all recurrences' features merged."""

    sees = True

    def __init__(self, config: RFRConfig) -> None:
        super().__init__()
        self.config, w = config, config.channels(64)
        self.enter = nn.ModuleList([PartialConv(3, w, 7, 2, bias=False), PartialConv(w, w, 7, bias=False)])
        self.enter_norms = nn.ModuleList(nn.BatchNorm2d(w) for _ in range(2))
        self.identify = nn.ModuleList([PartialConv(w, w, 7, bias=False), PartialConv(w, w, 7, bias=False)])
        self.identify_norm = nn.BatchNorm2d(w)
        self.reason = Reasoning(w)
        self.grow = nn.Sequential(nn.ConvTranspose2d(w, w, 4, 2, 1, bias=False), nn.BatchNorm2d(w))
        self.tail = PartialConv(w + 3, w // 2)
        self.polish = Bottleneck(w // 2)
        self.out = nn.Conv2d(w + w // 2 + 3, 3, 3, padding=1)

    def draw(self, known: Tensor, mask: Tensor) -> Drawn:
        x, there = known, 1 - mask
        for conv, norm in zip(self.enter, self.enter_norms, strict=True):
            x, there = conv(x, there)
            x = F.relu(norm(x))
        features, areas = [x], [there]
        scores: Scores | None = None
        for _ in range(self.config.recurrences):
            before = there
            for conv in self.identify:
                x, there = conv(x, there)
            x, scores = self.reason(F.leaky_relu(self.identify_norm(x), 0.2), before, scores)
            x = x * there
            features.append(x)
            areas.append(there)
        grown = F.leaky_relu(self.grow(merge(features, areas)), 0.2)
        seen = torch.cat([known, grown], 1)
        tail, _ = self.tail(seen, F.interpolate(there, scale_factor=2))
        polished = self.polish(F.leaky_relu(tail, 0.2))
        return {IMAGE: self.out(torch.cat([seen, polished], 1)) * 2 - 1}

    def losses(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Terms:
        """On pictures in [0, 1]."""
        config, output, target = self.config, to_unit(drawn[IMAGE]), to_unit(real)
        return {
            "valid": (config.valid, valid_loss(output, target, mask)),
            "hole": (config.hole, hole_loss(output, target, mask)),
            **look(judges, [drawn[IMAGE], composite(drawn[IMAGE], real, mask)], real, config.perceptual, config.style),
            "tv": (config.tv, tv_loss(composite(output, target, mask))),
        }


def merge(features: list[Tensor], areas: list[Tensor]) -> Tensor:
    """Of each place, the mean of the recurrences in which it is known; (N, C, h, w) and (N, 1, h, w) each."""
    total = torch.stack([x * area for x, area in zip(features, areas, strict=True)]).sum(0)
    merged: Tensor = total / torch.stack(areas).sum(0).clamp(min=1)
    return merged


class Reasoning(nn.Module):
    """The feature reasoning module : an hourglass of features, attention at its bottom."""

    def __init__(self, width: int) -> None:
        super().__init__()
        a, b, c, d = (width * 2**i for i in range(4))
        self.down = nn.ModuleList(
            [norm_relu(a, b, 2), norm_relu(b, c, 2), norm_relu(c, d, 2), *(norm_relu(d, d, dilation=2) for _ in "123")]
        )
        self.attention = KnowledgeConsistentAttention(d)
        self.flat = nn.ModuleList(nn.Conv2d(2 * d, d, 3, padding=2, dilation=2, bias=False) for _ in "12")
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(2 * d, d, 4, 2, 1, bias=False),
                nn.ConvTranspose2d(d + c, c, 4, 2, 1, bias=False),
                nn.ConvTranspose2d(c + b, a, 4, 2, 1, bias=False),
            ]
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in (d, d, d, c, a))

    def forward(self, x: Tensor, known: Tensor, before: Scores | None) -> tuple[Tensor, Scores]:
        """(N, C, h, w), known before this recurrence (N, 1, h, w), its scores -> (N, C, h, w), scores."""
        skips = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x, scores = self.attention(x, F.interpolate(known, size=x.shape[2:]), before)
        skips = [*skips[3:5][::-1], *skips[:3][::-1]]  # the deepest is where x is
        for i, (layer, norm) in enumerate(zip([*self.flat, *self.up], self.norms, strict=True)):
            x = F.leaky_relu(norm(layer(torch.cat([x, skips[i]], 1))), 0.2)
        return x, scores


class KnowledgeConsistentAttention(nn.Module):
    """Attention whose scores remember those of the recurrence before, where that knew the place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.5))  # lambda: what is new of a score
        self.combine = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor, known: Tensor, before: Scores | None) -> tuple[Tensor, Scores]:
        """(N, C, h, w), known (N, 1, h, w), 1 = known, scores of before -> (N, C, h, w), scores."""
        flat = x.flatten(2)  # (N, C, P)
        scores = self.score(x)
        if before is not None:
            scores = torch.where(before[1] > 0, self.share * scores + (1 - self.share) * before[0], scores)
        rebuilt = (flat @ scores).view_as(x)
        combined: Tensor = self.combine(torch.cat([rebuilt, x], 1))
        return combined, (scores, known.flatten(2))

    @staticmethod
    def score(x: Tensor) -> Tensor:
        """Cosine similarity, its mean over the place's 3 x 3 neighbours, softmax over sources: (N, P, P)."""
        count, _, height, width = x.shape
        directions = F.normalize(x.flatten(2), dim=1)
        similar = directions.transpose(1, 2) @ directions  # (N, source, place)
        smooth = F.avg_pool2d(similar.view(count, -1, height, width), 3, 1, 1, count_include_pad=False)
        return smooth.flatten(2).softmax(1)


class Bottleneck(nn.Module):
    """A residual block: 1 x 1 to a quarter of the channels, 3 x 3, 1 x 1 back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(width // 4, 1)
        self.layers = nn.Sequential(
            *norm_relu(width, inner, kernel=1),
            *norm_relu(inner, inner),
            nn.Conv2d(inner, width, 1),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, h, w) -> the same shape."""
        return F.relu(x + self.layers(x))


def norm_relu(channels: int, width: int, stride: int = 1, dilation: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    conv = nn.Conv2d(channels, width, kernel, stride, dilation * (kernel // 2), dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


class RFRConfig(NetworkConfig):
    """Sec. 4.1."""

    kind: Literal["rfr"] = "rfr"
    recurrences: Count = 6
    valid: NonNegative = 1.0
    hole: NonNegative = 6.0
    perceptual: NonNegative = 0.05
    style: NonNegative = 120.0
    tv: NonNegative = 0.1

    def build(self) -> RFR:
        return RFR(self)


BASELINE = trainable(
    RFRConfig,
    "Li et al., Recurrent Feature Reasoning for Image Inpainting",
    2020,
    "31.23 M parameters (the paper: 31 M); no fine-tuning with frozen batch statistics",
)
