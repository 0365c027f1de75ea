"""What the methods share that search, for each picture, the codes with which a generator draws its known pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from invertfill.baselines.drawing import as_input, as_picture
from invertfill.engines.torch import TorchEngine
from invertfill.losses.inpainting import valid_loss
from invertfill.losses.lpips import LPIPS, WEIGHTS
from invertfill.losses.weights import hash_weights
from invertfill.registry import find_model

SOFT = 1 / 32  # of the side: width of the soft rim of the hole


class Inversion(ABC):
    """See `invertfill.baselines.Filler`. A subclass says what is searched for, and what is drawn of it.

    Args:
        model: a name or folder; of the model, the generator draws and the mean latent is the start.
        steps: of Adam; its rate falls to 0 by a cosine.
        rate: the first one; codes are counted in standard deviations of w.
        lpips: weight of LPIPS (AlexNet) beside L1; with 0 its weights aren't needed.
        device: of torch.

    Raises:
        InputError: no such model, or the weights of LPIPS aren't there.
    """

    size: int | None

    def __init__(self, model: str, steps: int, rate: float, lpips: float, device: str) -> None:
        found = find_model(model)
        found.verify()
        engine = TorchEngine(found, device)
        self.generator: Any = engine.network.generator  # of either kind; modules call anything a Tensor
        with torch.no_grad():
            self.features = engine.network.blank_features(engine.network.w_mean[None])
        self.w_mean, self.w_std, self.device = engine.network.w_mean, engine.w_std, engine.device
        self.size = found.size
        self.steps, self.rate, self.weight = steps, rate, lpips
        self.lpips = LPIPS("alex").to(self.device) if lpips else None
        self.identity = (
            f"generator of model.safetensors SHA-256 {found.sha256}, torch {torch.__version__} on {self.device}"
        )
        if lpips:
            self.identity = f"{self.identity}, weights {hash_weights(WEIGHTS['alex'])}"

    @abstractmethod
    def start(self) -> list[Tensor]:
        """What is searched for, at its start."""

    @abstractmethod
    def draw(self, found: list[Tensor]) -> Tensor:
        """(1, 3, s, s), about [-1, 1]."""

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        picture, mask = (torch.from_numpy(array).to(self.device) for array in as_input(image, hole))
        found = self.search(Objective(picture, mask, self.lpips, self.weight))
        with torch.no_grad():
            return as_picture(self.draw(found)[0].cpu().numpy())

    def search(self, objective: Objective) -> list[Tensor]:
        """From `start` downhill."""
        found = [tensor.detach().requires_grad_() for tensor in self.start()]
        adam = torch.optim.Adam(found, lr=self.rate, betas=(0.9, 0.99))
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.steps)
        for _ in range(self.steps):
            adam.zero_grad()
            objective(self.draw(found)).backward()  # type: ignore[no-untyped-call]
            adam.step()
            falling.step()
        return found


class Objective:
    """How far what is drawn is from a picture where it is known: L1, and LPIPS of both under a soft mask.

    Args:
        picture: (1, 3, s, s) in [-1, 1].
        mask: (1, 1, s, s), 1 = hole.
        lpips: None leaves it out.
        weight: of LPIPS.
    """

    def __init__(self, picture: Tensor, mask: Tensor, lpips: LPIPS | None, weight: float) -> None:
        self.picture, self.mask, self.lpips, self.weight = picture, mask, lpips, weight
        # Under a hard mask the hole's outline is the strongest edge that a network sees, and hides those beside it.
        radius = round(mask.shape[-1] * SOFT)
        known = 1 - mask
        self.visible = known * F.avg_pool2d(known, 2 * radius + 1, 1, radius, count_include_pad=False)
        if lpips is not None:
            with torch.no_grad():
                self.wanted = lpips.stages(picture * self.visible)

    def __call__(self, drawn: Tensor) -> Tensor:
        """(1, 3, s, s) -> scalar."""
        loss = valid_loss(drawn, self.picture, self.mask)
        if self.lpips is not None:
            loss = loss + self.weight * self.lpips.distance(self.lpips.stages(drawn * self.visible), self.wanted).sum()
        return loss
