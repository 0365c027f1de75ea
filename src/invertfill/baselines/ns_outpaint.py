"""NS-outpaint: what is known is carried on, column by column, by a recurrent network (Yang et al. 2019).

The paper extends a picture to the right, from columns that are all known to columns that are all missing. Here a hole
may lie on any side: the recurrence runs along rows and along columns, both ways, and what it says replaces what is
missing.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from invertfill.baselines.critics import PatchCritic, hinge_critic, hinge_generator
from invertfill.baselines.network import IMAGE, Drawn, Judges, Network, NetworkConfig, Terms, trainable
from invertfill.losses.inpainting import composite
from invertfill.nn.config import NonNegative, Size

SQUEEZE = 8  # channels are fewer by this factor inside the recurrence


class NSOutpaint(Network):
    """Fig. 2: residual encoder, recurrent content transfer, decoder with skips that are carried over."""

    def __init__(self, config: NSOutpaintConfig) -> None:
        super().__init__()
        self.config, w = config, config.channels(64)
        widths = (w, 2 * w, 4 * w, 8 * w)
        self.encoder = nn.ModuleList(Block(a, b, 2) for a, b in zip((4, *widths), widths, strict=False))
        self.transfer = ContentTransfer(widths[-1], config.size // 2 ** len(widths))
        self.glance = nn.ModuleList(GlobalBlock(width) for width in (8 * w, 4 * w, 2 * w))
        self.carry = nn.ModuleList(HorizontalSkip(width) for width in (4 * w, 2 * w, w))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in ((8 * w, 4 * w), (4 * w, 2 * w), (2 * w, w), (w, w // 2))
        )
        self.out = nn.Sequential(nn.Conv2d(w // 2, 3, 3, padding=1), nn.Tanh())

    def draw(self, known: Tensor, mask: Tensor) -> Drawn:
        x, skips = torch.cat([known, mask], 1), []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        hole = F.adaptive_max_pool2d(mask, x.shape[2:])
        x = self.transfer(x, hole)
        for i, up in enumerate(self.up):
            if i < len(self.glance):
                x = self.glance[i](x)
            x = F.elu(up(x))
            if i < len(self.carry):
                x = self.carry[i](x, skips[2 - i])
        return {IMAGE: self.out(x)}

    def losses(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Terms:
        assert judges.critic is not None
        fooled = hinge_generator(judges.critic(composite(drawn[IMAGE], real, mask), mask))
        return {
            "l1": (self.config.l1, (drawn[IMAGE] - real).abs().mean()),
            "adversarial": (self.config.adversarial, fooled),
        }

    def critic(self) -> PatchCritic:
        w = self.config.channels(64)
        return PatchCritic(4, (w, 2 * w, 4 * w, 4 * w, 4 * w))

    def judge(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Tensor:
        critic = judges.critic
        assert critic is not None
        return hinge_critic(critic(real, mask), critic(composite(drawn[IMAGE], real, mask), mask))


class ContentTransfer(nn.Module):
    """Recurrent content transfer: a map as a sequence of its columns, and of its rows, each a vector, to an LSTM.

    Args:
        channels: of the map.
        side: of the map.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.inner = max(channels // SQUEEZE, 1)
        self.squeeze = nn.Conv2d(channels, self.inner, 1)
        size = self.inner * side
        self.columns, self.rows = (nn.LSTM(size, size, bidirectional=True, batch_first=True) for _ in "12")
        self.expand = nn.Conv2d(4 * self.inner, channels, 1)

    def forward(self, x: Tensor, hole: Tensor) -> Tensor:
        """x (N, C, side, side), hole (N, 1, side, side), 1 = missing -> x, what is carried where it is missing."""
        small = F.elu(self.squeeze(x)) * (1 - hole)
        along = self.carried(self.columns, small)
        across = self.carried(self.rows, small.transpose(2, 3)).transpose(2, 3)
        carried: Tensor = F.elu(self.expand(torch.cat([along, across], 1)))
        return composite(carried, x, hole)

    def carried(self, lstm: nn.Module, x: Tensor) -> Tensor:
        """(N, c, h, w), read column by column -> what the LSTM says at each, (N, 2c, h, w): rightwards, leftwards."""
        count, channels, height, width = x.shape
        said, _ = lstm(x.permute(0, 3, 1, 2).reshape(count, width, channels * height))
        return said.view(count, width, 2 * channels, height).permute(0, 2, 3, 1)


class Block(nn.Module):
    """A residual block: 1 x 1, 3 x 3 with a stride, 1 x 1, instance normalisation behind each."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        inner = max(width // 2, 1)
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, inner, 1), nn.InstanceNorm2d(inner), nn.ELU()),
            *(nn.Conv2d(inner, inner, 3, stride, 1), nn.InstanceNorm2d(inner), nn.ELU()),
            *(nn.Conv2d(inner, width, 1), nn.InstanceNorm2d(width)),
        )
        # Pooled, not strided: oneDNN's backward of a strided 1 x 1 convolution of 4 channels in channels_last crashes.
        self.short = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(channels, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, width, h / stride, w / stride)."""
        return F.elu(self.short(x) + self.layers(x))


class GlobalBlock(nn.Module):
    """Global residual block: long, thin convolutions along both axes join what lies far apart."""

    def __init__(self, width: int, reach: int = 7) -> None:
        super().__init__()
        half = reach // 2
        inner = max(width // 4, 1)
        self.layers = nn.Sequential(
            *(nn.Conv2d(width, inner, (1, reach), padding=(0, half)), nn.ELU()),
            *(nn.Conv2d(inner, inner, (reach, 1), padding=(half, 0)), nn.ELU()),
            nn.Conv2d(inner, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, h, w) -> the same shape."""
        return F.elu(x + self.layers(x))


class HorizontalSkip(nn.Module):
    """Skip connection from the encoder: both maps through a bottleneck, added to the decoder's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(width // 2, 1)
        self.layers = nn.Sequential(
            *(nn.Conv2d(2 * width, inner, 1), nn.ELU(), nn.Conv2d(inner, inner, 3, padding=1), nn.ELU()),
            nn.Conv2d(inner, width, 1),
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(N, width, h, w) each -> the same shape."""
        return F.elu(x + self.layers(torch.cat([x, skip], 1)))


class NSOutpaintConfig(NetworkConfig):
    """Sec. 3."""

    kind: Literal["ns-outpaint"] = "ns-outpaint"
    size: Annotated[Size, Field(ge=32)] = 128  # four halvings, and features of 2 x 2 at least
    l1: NonNegative = 0.998
    adversarial: NonNegative = 0.002

    def build(self) -> NSOutpaint:
        return NSOutpaint(self)


BASELINE = trainable(
    NSOutpaintConfig,
    "Yang et al., Very Long Natural Scenery Image Prediction by Outpainting",
    2019,
    "13.74 M parameters (the paper names no count); holes on any side, so the recurrence runs along rows and columns, "
    "both ways, and skips come from the same place; fewer residual blocks than ResNet-50; one critic with a hinge "
    "loss, not two of Wasserstein's with a gradient penalty; L1 without a weight by distance",
)
