"""Direct optimisation: one style vector for each layer, searched for each picture from the mean latent on."""

from __future__ import annotations

from torch import Tensor

from invertfill.baselines import Baseline
from invertfill.baselines.inversion import Inversion


class WPlus(Inversion):
    """See `Inversion`."""

    def __init__(
        self, model: str = "faces-256", steps: int = 100, rate: float = 0.1, lpips: float = 1.0, device: str = "auto"
    ) -> None:
        super().__init__(model, steps, rate, lpips, device)

    def start(self) -> list[Tensor]:
        return [self.w_mean.new_zeros(1, self.generator.num_layers, self.generator.latent_dim)]

    def draw(self, found: list[Tensor]) -> Tensor:
        image: Tensor = self.generator.synthesis(self.w_mean + found[0] * self.w_std, self.features)
        return image


BASELINE = Baseline(
    "w-plus",
    "Abdal, Qin, Wonka, Image2StyleGAN: How to Embed Images Into the StyleGAN Latent Space?",
    2019,
    "only known pixels are compared; L1 and LPIPS (AlexNet) under a soft mask instead of squares and VGG16's features; "
    "codes in standard deviations of w; fewer steps than the 5,000 there, at a falling rate",
    WPlus,
)
