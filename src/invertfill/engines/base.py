"""What runs a model: one small protocol, on one request. NumPy arrays go in and come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from invertfill.registry import ModelInfo


@dataclass(frozen=True)
class CropRequest:
    """Crops whose holes are to be drawn, all at the model's size s. Arrays are float32.

    Attributes:
        image: I_m, (N, 3, s, s) in [-1, 1], 0 in the hole.
        mask: M, (N, 1, s, s), 1 = hole.
        latent: (N, D or z_dim), from `latent_of`.
        noise: (N, 1, s, s), standard normal, in place of the model's own: other texture, where the model has any.
        refine: improve the code for each crop, at some forty times the cost (quality "best"); PyTorch alone can.
    """

    image: np.ndarray
    mask: np.ndarray
    latent: np.ndarray
    noise: np.ndarray | None = None
    refine: bool = False


class Engine(Protocol):
    """A loaded model. All arrays are float32.

    Attributes:
        name: of the engine.
        model: what is known of the model; its `size` is s, its `z_dim` and `w_mean` (D,) say what latents are.
    """

    name: str
    model: ModelInfo

    @property
    def device(self) -> object:
        """What computes, such as "cpu" or torch.device("cuda")."""

    def fill(self, request: CropRequest) -> np.ndarray:
        """O_G, (N, 3, s, s)."""

    def mapping(self, z: np.ndarray) -> np.ndarray:
        """z (N, z_dim) standard normal -> w (N, D)."""

    def synthesis(self, w: np.ndarray) -> np.ndarray:
        """w (N, D), the same for every layer -> pictures (N, 3, s, s), about [-1, 1]."""


def name_of(engine: Engine) -> str:
    """What runs and where, such as "onnx on cpu"."""
    return f"{engine.name} on {engine.device}"


def latent_of(engine: Engine, seed: int = 0) -> np.ndarray:
    """What a fill with a seed starts from, (1, D or z_dim).

    A mean latent w_o (Sec. 3.2): with seed 0 the long-run mean, else the mean of K mapped z. Where the model guesses z:
    its deviation from the guess's mean in standard deviations, with seed 0 none.
    """
    model, rng = engine.model, np.random.default_rng(seed)
    if model.guesses_z:
        none = np.zeros((1, model.z_dim), np.float32)
        return rng.standard_normal(none.shape, np.float32) if seed else none
    if seed == 0:
        return model.w_mean[None]
    z = rng.standard_normal((model.mean_latent_samples, model.z_dim), np.float32)
    return engine.mapping(z).mean(0, keepdims=True)


def noise_of(engine: Engine, seed: int = 0) -> np.ndarray | None:
    """What the texture of a fill with a seed is drawn from, (1, s, s), where the model has such noise."""
    noise = engine.model.noise
    if seed == 0 or noise is None:
        return noise
    return np.random.default_rng([seed, 1]).standard_normal(noise.shape, np.float32)
