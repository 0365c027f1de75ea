"""CRFill: GC without attention, taught by a branch that rebuilds the hole from known patches (Zeng et al. 2021).

What the branch makes serves training alone: where no known patch helps, its loss says so, and the networks learn to
draw what could have been copied. A fill costs no attention.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invertfill.baselines.critics import PatchCritic, hinge_critic, hinge_generator
from invertfill.baselines.gated import GatedConv, coarse, decoder, dilated, encoder
from invertfill.baselines.network import IMAGE, Drawn, Judges, Network, NetworkConfig, Terms, trainable
from invertfill.losses.inpainting import composite
from invertfill.nn.config import NonNegative

CELL = 2  # side of a patch, in features; a feature is 4 x 4 pixels
UNKNOWN = -1e4  # score of a patch that isn't wholly known


class CRFill(Network):
    """Coarse network, second network; beside it, while training, the auxiliary branch."""

    def __init__(self, config: CRFillConfig) -> None:
        super().__init__()
        self.config, w = config, config.channels(24)
        widths = (w, w, 2 * w, 2 * w, 4 * w)
        self.coarse = coarse(w)
        self.around = nn.Sequential(*encoder(4, widths), *dilated(4 * w))
        self.before = nn.Sequential(*encoder(4, widths), GatedConv(4 * w, 4 * w), GatedConv(4 * w, 4 * w))
        self.decoder = nn.Sequential(*decoder(8 * w, w))
        self.auxiliary = Auxiliary(w) if config.contextual else None

    def draw(self, known: Tensor, mask: Tensor) -> Drawn:
        """The coarse picture too and, while training, what the auxiliary branch rebuilds."""
        first = self.coarse(torch.cat([known, mask], 1))
        seen = torch.cat([composite(first, known, mask), mask], 1)
        features = torch.cat([self.around(seen), self.before(seen)], 1)
        drawn = {"coarse": first, IMAGE: self.decoder(features)}
        if self.auxiliary is not None and self.training:
            drawn["rebuilt"] = self.auxiliary(composite(drawn[IMAGE], known, mask), features, mask)
        return drawn

    def losses(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Terms:
        assert judges.critic is not None
        config, fooled = self.config, hinge_generator(judges.critic(composite(drawn[IMAGE], real, mask), mask))
        terms: Terms = {
            "coarse": (config.l1, (drawn["coarse"] - real).abs().mean()),
            "fine": (config.l1, (drawn[IMAGE] - real).abs().mean()),
            "adversarial": (config.adversarial, fooled),
        }
        if "rebuilt" in drawn:
            fooled = hinge_generator(judges.critic(composite(drawn["rebuilt"], real, mask), mask))
            terms["contextual"] = (config.contextual * config.l1, (drawn["rebuilt"] - real).abs().mean())
            terms["contextual_adversarial"] = (config.contextual * config.adversarial, fooled)
        return terms

    def critic(self) -> PatchCritic:
        w = self.config.channels(64)
        return PatchCritic(4, (w, 2 * w, 4 * w, 4 * w, 4 * w, 4 * w))

    def judge(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Tensor:
        critic = judges.critic
        assert critic is not None
        pictures = [drawn[name] for name in (IMAGE, "rebuilt") if name in drawn]
        on_fake = torch.cat([critic(composite(picture, real, mask), mask) for picture in pictures])
        return hinge_critic(critic(real, mask), on_fake)


class Auxiliary(nn.Module):
    """Contextual reconstruction: an encoder says which patches are alike, a decoder draws their copies."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.encoder = nn.Sequential(*encoder(4, (w, w, 2 * w, 2 * w, 4 * w)))
        self.decoder = nn.Sequential(*decoder(8 * w, w))

    def forward(self, filled: Tensor, features: Tensor, mask: Tensor) -> Tensor:
        """The picture (N, 3, s, s) that the known features draw, put where ``filled`` looks like them.

        Args:
            filled: (N, 3, s, s) in [-1, 1], the composite.
            features: (N, C, h, w), at a quarter of the side.
            mask: (N, 1, s, s), 1 = hole.
        """
        likeness = self.encoder(torch.cat([filled, mask], 1))
        picture: Tensor = self.decoder(reconstruct(likeness, features, mask))
        return picture


def reconstruct(likeness: Tensor, features: Tensor, mask: Tensor) -> Tensor:
    """Each patch of the hole as a mean of the known patches, by the softmax of their likeness.

    Patches are CELL x CELL features. A patch with a pixel of the hole counts as missing. Where none is known, missing
    patches become 0.

    Args:
        likeness: (N, D, h, w): a patch's vector is its mean; scores are scaled dot products.
        features: (N, C, h, w): what is copied; known patches stay as they are.
        mask: (N, 1, s, s), 1 = hole.

    Returns:
        (N, C, h, w).
    """
    size = features.shape[2:]
    vectors = F.avg_pool2d(likeness, CELL).flatten(2)  # (N, D, P)
    hole = F.adaptive_max_pool2d(mask, (size[0] // CELL, size[1] // CELL)).flatten(2)  # (N, 1, P)
    scores = vectors.transpose(1, 2) @ vectors / vectors.shape[1] ** 0.5  # (N, source, place)
    weights = scores.masked_fill(hole.transpose(1, 2) > 0, UNKNOWN).softmax(1) * (1 - hole.transpose(1, 2))
    patches = F.unfold(features, CELL, stride=CELL)  # (N, C * CELL * CELL, P)
    copied = (patches @ weights) * hole + patches * (1 - hole)
    return F.fold(copied, size, CELL, stride=CELL)


class CRFillConfig(NetworkConfig):
    """Sec. 3 and 4."""

    kind: Literal["crfill"] = "crfill"
    l1: NonNegative = 1.0
    adversarial: NonNegative = 1.0
    contextual: NonNegative = 0.5  # 0 leaves the auxiliary branch out

    def build(self) -> CRFill:
        return CRFill(self)


BASELINE = trainable(
    CRFillConfig,
    "Zeng, Lin, Lu, Patel, CR-Fill: Generative Image Inpainting with Auxiliary Contextual Reconstruction",
    2021,
    "4.91 M parameters, 0.98 M of them in the auxiliary branch, which a fill doesn't use (the paper lists no layers); "
    "the branch has the layers of the other networks, and patches of 8 px",
)
