"""GC: two networks of gated convolutions, the second with contextual attention (Yu et al. 2019, DeepFill v2)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invertfill.baselines.critics import PatchCritic, hinge_critic, hinge_generator
from invertfill.baselines.gated import coarse, decoder, dilated, encoder
from invertfill.baselines.network import IMAGE, Drawn, Judges, Network, NetworkConfig, Terms, trainable
from invertfill.losses.inpainting import composite
from invertfill.nn.config import NonNegative

SHARPNESS = 10.0  # scores of the attention before the softmax, times this


class GC(Network):
    """Fig. 3: coarse network, then a second one of two branches, one of them with attention."""

    def __init__(self, config: GCConfig) -> None:
        super().__init__()
        self.config, w = config, config.channels(24)
        widths = (w, w, 2 * w, 2 * w, 4 * w)
        self.coarse = coarse(w)
        self.around = nn.Sequential(*encoder(4, widths), *dilated(4 * w))
        self.before = nn.Sequential(*encoder(4, widths))
        self.attention = ContextualAttention()
        self.after = nn.Sequential(*encoder(4 * w, widths)[-1:], *encoder(4 * w, widths)[-1:])
        self.decoder = nn.Sequential(*decoder(8 * w, w))

    def draw(self, known: Tensor, mask: Tensor) -> Drawn:
        """The coarse picture too."""
        first = self.coarse(torch.cat([known, mask], 1))
        seen = torch.cat([composite(first, known, mask), mask], 1)
        attended = self.after(self.attention(self.before(seen), mask))
        return {"coarse": first, IMAGE: self.decoder(torch.cat([self.around(seen), attended], 1))}

    def losses(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Terms:
        assert judges.critic is not None
        fooled = hinge_generator(judges.critic(composite(drawn[IMAGE], real, mask), mask))
        return {
            "coarse": (self.config.l1, (drawn["coarse"] - real).abs().mean()),
            "fine": (self.config.l1, (drawn[IMAGE] - real).abs().mean()),
            "adversarial": (self.config.adversarial, fooled),
        }

    def critic(self) -> PatchCritic:
        w = self.config.channels(64)
        return PatchCritic(4, (w, 2 * w, 4 * w, 4 * w, 4 * w, 4 * w))

    def judge(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Tensor:
        """SN-PatchGAN, which sees the mask too."""
        assert judges.critic is not None
        return hinge_critic(judges.critic(real, mask), judges.critic(composite(drawn[IMAGE], real, mask), mask))


class ContextualAttention(nn.Module):
    """Rebuilds every place from known patches of 3 x 3, by their cosine similarity (Yu et al. 2018, Sec. 4).

    Scores are taken at half of the side and summed over neighbours ("attention propagation"), so that places side by
    side take patches side by side.
    """

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, C, h, w), mask (N, 1, s, s), 1 = hole -> (N, C, h, w); h and w are even."""
        height, width = x.shape[2] // 2, x.shape[3] // 2
        patches = F.unfold(x[:, :, ::2, ::2], 3, padding=1)  # (N, 9C, P)
        hole = F.interpolate(mask, size=(height, width), mode="area")
        usable = F.max_pool2d((hole > 0).float(), 3, 1, 1).flatten(1) == 0  # (N, P): wholly known
        scores = F.normalize(patches, dim=1).transpose(1, 2) @ patches  # (N, source, place)
        scores = scores / patches.norm(dim=1, keepdim=True).clamp(min=1e-4)
        scores = propagate(scores, height, width) * SHARPNESS
        weights = scores.masked_fill(~usable[:, :, None], -1e4).softmax(1) * usable[:, :, None]
        values = F.unfold(x, 4, padding=1, stride=2) @ weights  # each place of the side gets four patches
        return F.fold(values, x.shape[2:], 4, padding=1, stride=2) / 4


def propagate(scores: Tensor, height: int, width: int) -> Tensor:
    """s'(a, b) = the sum over i, j of -1, 0, 1 of s(a + (i, j), b + (i, j)), by rows, then by columns.

    (N, P, P), P = height * width, source and place -> the same shape.
    """
    grid = scores.view(-1, height, width, height, width)
    for axis in (1, 2):
        other, size = axis + 2, grid.shape[axis]
        total = grid.clone()
        inner, shifted = slice(0, size - 1), slice(1, size)
        for to, of in ((inner, shifted), (shifted, inner)):
            place = [slice(None)] * 5
            source = [slice(None)] * 5
            place[axis] = place[other] = to
            source[axis] = source[other] = of
            total[tuple(place)] += grid[tuple(source)]
        grid = total
    return grid.reshape_as(scores)


class GCConfig(NetworkConfig):
    """Sec. 3.4."""

    kind: Literal["gc"] = "gc"
    l1: NonNegative = 1.0  # of each of the two pictures
    adversarial: NonNegative = 1.0

    def build(self) -> GC:
        return GC(self)


BASELINE = trainable(
    GCConfig,
    "Yu et al., Free-Form Image Inpainting with Gated Convolution (DeepFill v2)",
    2019,
    "3.93 M parameters (the paper: 4.1 M, without a list of its layers); no sketch as a guide",
)
