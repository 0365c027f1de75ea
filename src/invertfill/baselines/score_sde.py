"""Score-SDE: noise is taken away step by step, and what is known put back at each level (Song et al. 2021).

A network learns the score of pictures under noise of every strength; no hole is seen in training. Noise is measured
where pictures span 1, as in the paper's [0, 1]; here they are in [-1/2, 1/2], the model's [-1, 1] halved.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invertfill.baselines import Baseline
from invertfill.baselines.drawing import as_input, as_picture
from invertfill.baselines.network import IMAGE, Drawn, Judges, Network, NetworkConfig, Terms, Trained
from invertfill.losses.inpainting import composite
from invertfill.nn.config import Positive, Size

SPREAD = 0.25  # standard deviation of pictures that span 1, about
ATTENDED = 16  # side in pixels of features that attend to one another; the smallest have half of it

Score = Callable[[Tensor, float], Tensor]
"""Pictures under noise (N, C, h, w), and its sigma -> the gradient of log p_t there, (N, C, h, w)."""


class Sampler(NamedTuple):
    """How a hole is filled."""

    steps: int = 100  # of the predictor, each followed by one of the corrector
    snr: float = 0.16  # the corrector's signal-to-noise ratio, r of Alg. 4; with 0 there is no corrector
    seed: int = 1  # of all noise


DEFAULT = Sampler()


class ScoreSDE(Network):
    """A U-Net from pictures under noise, and its sigma, to pictures without, and so to the score."""

    def __init__(self, config: ScoreSDEConfig) -> None:
        super().__init__()
        self.config, w = config, config.channels(32)
        sides = [config.size >> i for i in range(int(math.log2(config.size // ATTENDED)) + 2)]
        widths = [w * min(2**i, 4) for i in range(len(sides))]
        self.embedding = SigmaEmbedding(4 * w)
        self.enter = nn.Conv2d(3, w, 3, padding=1)
        self.down = nn.ModuleList(
            Block(a, b, 4 * w, side == ATTENDED) for a, b, side in zip((w, *widths), widths, sides, strict=False)
        )
        self.middle = Block(widths[-1], widths[-1], 4 * w, False)
        self.up = nn.ModuleList(
            Block(a + b, b, 4 * w, side == ATTENDED)
            for a, b, side in reversed(list(zip((*widths[1:], widths[-1]), widths, sides, strict=True)))
        )
        self.leave = layer(w, 3)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The mean of the pictures that x (N, 3, s, s) may have been, with sigma (N, 1, 1, 1): the same shape.

        The network draws in units of what is left to say (Karras et al. 2022, Eq. 7). One that gives the noise, as the
        paper's, has to be ever more exact: an error of 1 % is half of a picture's span at sigma 50.
        """
        total = (sigma**2 + SPREAD**2).sqrt()
        level = self.embedding(sigma.flatten())
        y, skips = self.enter(x / total), []
        for i, block in enumerate(self.down):
            y = block(F.avg_pool2d(y, 2) if i else y, level)
            skips.append(y)
        y = self.middle(y, level)
        for i, block in enumerate(self.up):
            y = block(torch.cat([F.interpolate(y, scale_factor=2.0) if i else y, skips.pop()], 1), level)
        return (SPREAD / total) ** 2 * x + sigma * SPREAD / total * self.leave(y).float()

    def score(self, x: Tensor, sigma: float) -> Tensor:
        """See `Score`; by Tweedie's formula."""
        return (self.denoise(x, x.new_full((len(x), 1, 1, 1), sigma)) - x) / sigma**2

    def practise(self, real: Tensor, mask: Tensor) -> Drawn:
        """Whole pictures under noise of a random t, without it; and sigma(t)."""
        sigma = self.config.sigma(torch.rand(len(real), 1, 1, 1, device=real.device))
        picture = real.float() / 2
        return {"denoised": self.denoise(picture + sigma * torch.randn_like(picture), sigma), "sigma": sigma}

    def losses(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Terms:
        """Denoising score matching, Eq. 7: the mean of lambda(t) |s(x(t), t) - grad log p(x(t) | x(0))|^2.

        lambda = sigma^2 (1 + sigma^2 / SPREAD^2): the paper's sigma^2 where noise is weak. The stronger it is, the less
        of the score tells of the pictures, and the more that counts.
        """
        sigma = drawn["sigma"]
        weight = sigma**-2 + SPREAD**-2  # of what is denoised: sigma^2 times the score
        return {"score": (1.0, (weight * (drawn["denoised"] - real.float() / 2).square()).mean())}

    @torch.no_grad()
    def draw(self, known: Tensor, mask: Tensor, sampler: Sampler = DEFAULT) -> Drawn:
        sigmas = self.config.sigma(torch.linspace(1, 0, sampler.steps + 1)).tolist()
        return {IMAGE: 2 * sample(self.score, known.float() / 2, mask, sigmas, sampler)}


def sample(score: Score, known: Tensor, mask: Tensor, sigmas: list[float], sampler: Sampler) -> Tensor:
    """Alg. 2, predictor and corrector for the VE SDE, with the imputation of App. I.2.

    After every step, pixels that are known are the picture's, under new noise of that level.

    Args:
        score: of pictures under noise.
        known, mask: (N, C, h, w), as is what is returned, and (N, 1, h, w), 1 = hole.
        sigmas: levels of noise, falling; each but the first is a step, whatever ``sampler`` says.
        sampler: of the corrector and all noise.
    """
    generator = torch.Generator().manual_seed(sampler.seed)

    def noise() -> Tensor:
        return torch.randn(known.shape, generator=generator).to(known)

    def imputed(x: Tensor, sigma: float) -> Tensor:
        return composite(x, known + sigma * noise(), mask)

    x = imputed(sigmas[0] * noise(), sigmas[0])
    for before, sigma in pairwise(sigmas):
        step = before**2 - sigma**2
        x = imputed(x + step * score(x, before) + math.sqrt(step) * noise(), sigma)
        if sampler.snr:
            gradient, z = score(x, sigma), noise()
            ratio = z.flatten(1).norm(dim=1) / gradient.flatten(1).norm(dim=1)
            epsilon = 2 * (sampler.snr * ratio.view(-1, 1, 1, 1)) ** 2  # Alg. 4
            x = imputed(x + epsilon * gradient + (2 * epsilon).sqrt() * z, sigma)
    x = x + sigmas[-1] ** 2 * score(x, sigmas[-1])  # the last noise goes
    return composite(x, known, mask)


class SigmaEmbedding(nn.Module):
    """Fourier features of log sigma at random frequencies, and two layers on them."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(width // 2))
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, sigma: Tensor) -> Tensor:
        """(N,) -> (N, width)."""
        angles = 2 * math.pi * sigma.log()[:, None] * self.frequencies
        return self.layers(torch.cat([angles.sin(), angles.cos()], 1))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A residual block, told the level of noise."""

    def __init__(self, channels: int, width: int, embedding: int, attends: bool) -> None:
        super().__init__()
        self.first = layer(channels, width)
        self.level = nn.Linear(embedding, width)
        self.second = layer(width, width)
        self.shortcut = nn.Conv2d(channels, width, 1) if channels != width else nn.Identity()
        self.attention = Attention(width) if attends else nn.Identity()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """(N, channels, h, w), (N, embedding) -> (N, width, h, w)."""
        y = self.second(self.first(x) + self.level(level)[:, :, None, None])
        return self.attention((self.shortcut(x) + y) / math.sqrt(2))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Every place looks at all others; one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(width // 4, width)
        self.ask, self.leave = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, h, w) -> the same shape."""
        query, key, value = self.ask(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, 2)  # (N, P, width)
        found = F.scaled_dot_product_attention(query, key, value)
        return (x + self.leave(found.transpose(1, 2).reshape(x.shape))) / math.sqrt(2)


def layer(channels: int, width: int) -> nn.Sequential:
    """Normalised in groups of four channels."""
    return nn.Sequential(nn.GroupNorm(channels // 4, channels), nn.SiLU(), nn.Conv2d(channels, width, 3, padding=1))


class ScoreSDEConfig(NetworkConfig):
    """App. C; ``width`` 1 is not the paper's, but one that a CPU can sample from."""

    kind: Literal["score-sde"] = "score-sde"
    size: Size = 64
    sigma_min: Positive = 0.01
    sigma_max: Positive = 50.0

    def sigma(self, t: Tensor) -> Tensor:
        """Noise at t from 0 to 1: the standard deviation of x(t) - x(0)."""
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def build(self) -> ScoreSDE:
        return ScoreSDE(self)


class ScoreSDEFiller(Trained):
    """See `Trained` and `Sampler`; pictures of any size are filled at the network's."""

    network: ScoreSDE

    def __init__(
        self,
        weights: str = "",
        steps: int = DEFAULT.steps,
        snr: float = DEFAULT.snr,
        seed: int = DEFAULT.seed,
        device: str = "auto",
    ) -> None:
        super().__init__(ScoreSDEConfig, weights, device)
        self.side, self.size, self.sampler = self.network.config.size, None, Sampler(steps, snr, seed)

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        known, mask = (torch.from_numpy(array) for array in as_input(image, hole))
        small, hidden = shrink(known, mask, self.side)
        drawn = self.network.draw(small.to(self.device), hidden.to(self.device), self.sampler)[IMAGE].cpu()
        if drawn.shape[2:] != known.shape[2:]:
            drawn = F.interpolate(drawn, size=known.shape[2:], mode="bicubic", antialias=True)
        return np.where(hole[..., None], as_picture(drawn[0].numpy()), image)


def shrink(known: Tensor, mask: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Means of what is known at side x side pixels, and the hole: pixels with less than half of them known."""
    there = F.adaptive_avg_pool2d(1 - mask, side)
    hidden = (there < 0.5).to(mask)
    return F.adaptive_avg_pool2d(known * (1 - mask), side) / there.clamp(min=0.5) * (1 - hidden), hidden


BASELINE = Baseline(
    "score-sde",
    "Song et al., Score-Based Generative Modeling through Stochastic Differential Equations",
    2021,
    "2.33 M parameters, in a plain U-Net, not NCSN++; 64 px: other pictures are averaged to 64 x 64, where a pixel is "
    "known if half of it is, and the fill comes back by a bicubic resize; the network's input is scaled, it gives "
    "pictures, not noise (Karras et al. 2022), and lambda(t) is sigma^2 (1 + 16 sigma^2), not sigma^2; sigma up to 50, "
    "the paper's for 32 px, in 100 levels, not 1000 or more; trained here, with the batch, rate and minutes that its "
    "configuration says",
    ScoreSDEFiller,
)
