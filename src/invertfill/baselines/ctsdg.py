"""CTSDG: texture and structure are drawn together, each from what encodes the other (Guo et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invertfill.baselines.critics import PatchCritic
from invertfill.baselines.judging import look
from invertfill.baselines.network import IMAGE, Drawn, Judges, Network, NetworkConfig, Terms, trainable
from invertfill.baselines.partial import PartialConv
from invertfill.losses.inpainting import composite, to_unit
from invertfill.nn.config import NonNegative

KERNELS = (7, 5, 5, 3, 3, 3, 3)  # of the encoders' layers
EDGE = 0.12  # gradient of a grey picture in [0, 1], from which on it is an edge
SCALES = (1, 2, 4, 8)  # dilations of the feature aggregation


class CTSDG(Network):
    """Fig. 2: two streams of partial convolutions, their features fused by gates, then aggregated by context."""

    sees = True

    def __init__(self, config: CTSDGConfig) -> None:
        super().__init__()
        self.config, w = config, config.channels(64)
        widths = (w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w, 8 * w)
        self.texture, self.structure = Encoder(3, widths), Encoder(2, widths)
        self.draw_texture, self.draw_structure = Decoder(3, widths), Decoder(2, widths)
        self.texture_head, self.structure_head = nn.Conv2d(w, 3, 3, padding=1), nn.Conv2d(w, 1, 3, padding=1)
        self.fuse = GatedFusion(w)
        self.aggregate = Aggregation(w)
        self.out = nn.Sequential(nn.Conv2d(2 * w, w, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(w, 3, 1), nn.Tanh())

    def draw(self, known: Tensor, mask: Tensor) -> Drawn:
        """What each stream draws alone, too: a picture, and logits of edges."""
        there = 1 - mask
        sketch = torch.cat([grey(known), edges(known, there)], 1) * there
        textures, structures = self.texture(known, there), self.structure(sketch, there)
        # Each decoder begins with the other stream's deepest features.
        texture = self.draw_texture(structures[-1], textures[:-1], known, there)
        structure = self.draw_structure(textures[-1], structures[:-1], sketch, there)
        fused = self.fuse(texture, structure)
        return {
            IMAGE: self.out(torch.cat([fused, self.aggregate(fused)], 1)),
            "texture": torch.tanh(self.texture_head(texture)),
            "structure": self.structure_head(structure),
        }

    def losses(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Terms:
        config, whole = self.config, composite(drawn[IMAGE], real, mask)
        assert judges.critic is not None
        on_fake = judges.critic(drawn[IMAGE], drawn["structure"].sigmoid())
        wanted = edges(real, torch.ones_like(mask))
        return {
            "l1": (config.l1, (drawn[IMAGE] - real).abs().mean()),
            **look(judges, [drawn[IMAGE], whole], real, config.perceptual, config.style),
            "texture": (config.streams, (drawn["texture"] - real).abs().mean()),
            "structure": (config.streams, F.binary_cross_entropy_with_logits(drawn["structure"], wanted)),
            "adversarial": (config.adversarial, F.softplus(-on_fake).mean()),
        }

    def critic(self) -> TwoStreamCritic:
        return TwoStreamCritic(self.config.channels(64))

    def judge(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Tensor:
        critic = judges.critic
        assert critic is not None
        on_real = critic(real, edges(real, torch.ones_like(mask)))
        on_fake = critic(drawn[IMAGE], drawn["structure"].sigmoid())
        return F.softplus(-on_real).mean() + F.softplus(on_fake).mean()


class Encoder(nn.Module):
    """Seven partial convolutions of stride 2."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        layers = zip((channels, *widths), widths, KERNELS, strict=False)
        self.convs = nn.ModuleList(PartialConv(a, b, kernel, 2, bias=i == 0) for i, (a, b, kernel) in enumerate(layers))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) if i else nn.Identity() for i, width in enumerate(widths))

    def forward(self, x: Tensor, known: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Features and what is known, after each layer."""
        found = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x, known = conv(x, known)
            x = F.relu(norm(x))
            found.append((x, known))
        return found


class Decoder(nn.Module):
    """Seven partial convolutions, each of twice the side and of what the encoder had there."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        skips = (channels, *widths[:-1])[::-1]
        outs = (*widths[:-1][::-1], widths[0])
        ins = (widths[-1], *outs[:-1])
        self.convs = nn.ModuleList(
            PartialConv(a + b, c, bias=i == 6) for i, (a, b, c) in enumerate(zip(ins, skips, outs, strict=True))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) if i < 6 else nn.Identity() for i, width in enumerate(outs))

    def forward(
        self, deepest: tuple[Tensor, Tensor], skips: list[tuple[Tensor, Tensor]], given: Tensor, known: Tensor
    ) -> Tensor:
        """Features and what is known, (N, C, h, w) and (N, 1, h, w) each -> (N, width, s, s)."""
        x, there = deepest
        for conv, norm, (skip, also) in zip(self.convs, self.norms, [*skips[::-1], (given, known)], strict=True):
            x, there = (F.interpolate(part, size=skip.shape[2:]) for part in (x, there))
            # One mask for both: what is unknown of either is 0.
            x, there = conv(torch.cat([x * there, skip * also], 1), torch.maximum(there, also))
            x = F.leaky_relu(norm(x), 0.2)
        return x


class GatedFusion(nn.Module):
    """Bi-directional gated feature fusion: each stream takes of the other what its gate lets in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.texture_gate, self.structure_gate = (nn.Conv2d(2 * width, width, 3, padding=1) for _ in "12")
        self.alpha, self.beta = (nn.Parameter(torch.zeros(())) for _ in "12")
        self.merge = nn.Conv2d(2 * width, width, 1)

    def forward(self, texture: Tensor, structure: Tensor) -> Tensor:
        """(N, C, h, w) each -> (N, C, h, w)."""
        both = torch.cat([texture, structure], 1)
        a = texture + self.alpha * torch.sigmoid(self.texture_gate(both)) * structure
        b = structure + self.beta * torch.sigmoid(self.structure_gate(both)) * texture
        merged: Tensor = F.leaky_relu(self.merge(torch.cat([a, b], 1)), 0.2)
        return merged


class Aggregation(nn.Module):
    """Contextual feature aggregation, at an eighth of the side: places are rebuilt from those alike, then seen at four
    scales, each place choosing among these."""

    def __init__(self, width: int) -> None:
        super().__init__()
        a, b, c = width, 2 * width, 4 * width
        self.down = nn.Sequential(
            *(layer for i, o in ((a, b), (b, c), (c, c)) for layer in (nn.Conv2d(i, o, 3, 2, 1), nn.LeakyReLU(0.2)))
        )
        self.scales = nn.ModuleList(nn.Conv2d(c, c, 3, padding=d, dilation=d) for d in SCALES)
        self.choose = nn.Sequential(nn.Conv2d(c, b, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(b, len(SCALES), 1))
        self.up = nn.Conv2d(c, a, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, s, s) -> the same shape."""
        small = self.down(x)
        rebuilt = attend(small)
        weights = self.choose(rebuilt).softmax(1)  # (N, scales, h, w)
        seen = [weights[:, i : i + 1] * F.leaky_relu(scale(rebuilt), 0.2) for i, scale in enumerate(self.scales)]
        aggregated: Tensor = self.up(small + torch.stack(seen).sum(0))
        return F.interpolate(F.leaky_relu(aggregated, 0.2), size=x.shape[2:], mode="bilinear")


def attend(x: Tensor) -> Tensor:
    """Each place as a mean of all, by the softmax of the cosine similarity of 3 x 3 patches: (N, C, h, w) -> alike."""
    directions = F.normalize(F.unfold(x, 3, padding=1), dim=1)
    weights = (directions.transpose(1, 2) @ directions).softmax(1)  # (N, source, place)
    return (x.flatten(2) @ weights).view_as(x)


class TwoStreamCritic(nn.Module):
    """One critic of the picture, one of its edges with the grey picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.texture, self.structure = (PatchCritic(n, (w, 2 * w, 4 * w, 8 * w, 1), 4, flat=2) for n in (3, 2))

    def forward(self, picture: Tensor, sketch: Tensor) -> Tensor:
        """(N, 3, s, s), edges (N, 1, s, s) in [0, 1] -> logits (N, 2, h, w)."""
        return torch.cat([self.texture(picture), self.structure(grey(picture), sketch)], 1)


def grey(picture: Tensor) -> Tensor:
    """(N, 3, h, w) in [-1, 1] -> luma (N, 1, h, w) in [0, 1]."""
    weights = picture.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (to_unit(picture) * weights).sum(1, keepdim=True)


@torch.no_grad()
def edges(picture: Tensor, known: Tensor) -> Tensor:
    """Where the smoothed luma changes fast, as 1, but beside what is unknown.

    (N, 3, h, w) in [-1, 1], known (N, 1, h, w), 1 = known -> (N, 1, h, w).
    """
    smooth = F.avg_pool2d(F.pad(grey(picture), (1, 1, 1, 1), "replicate"), 3, 1)
    padded = F.pad(smooth, (1, 1, 1, 1), "replicate")
    down, right = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1], padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    safe = 1 - F.max_pool2d(1 - known, 5, 1, 2)
    return ((down.square() + right.square()).sqrt() > EDGE).float() * safe


class CTSDGConfig(NetworkConfig):
    """Sec. 4.1."""

    kind: Literal["ctsdg"] = "ctsdg"
    l1: NonNegative = 10.0
    perceptual: NonNegative = 0.1
    style: NonNegative = 250.0
    adversarial: NonNegative = 0.1
    streams: NonNegative = 1.0  # what each stream draws alone

    def build(self) -> CTSDG:
        return CTSDG(self)


BASELINE = trainable(
    CTSDGConfig,
    "Guo, Yang, Huang, Image Inpainting via Conditional Texture and Structure Dual Generation",
    2021,
    "55.62 M parameters (the paper names no count); edges by thresholded gradients, not by Canny's method; the critic "
    "sees the edges that the structure stream draws; attention at an eighth of the side; no fine-tuning with frozen "
    "batch statistics",
)
