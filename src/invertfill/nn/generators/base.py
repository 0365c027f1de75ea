"""What every generator has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from invertfill.nn.config import Count, Section, Size

Noise = Literal["const", "random"]


class GeneratorConfig(Section, ABC):
    """Shape of a generator; each kind adds its own.

    Attributes:
        kind: the name by which a configuration asks for it.
        size: side s of its pictures in pixels.
        latent_dim: D, entries of w.
        mapping_layers: fully connected layers from z to w.
    """

    kind: str
    size: Size = 256
    latent_dim: Count = 512
    mapping_layers: Count = 8

    @abstractmethod
    def build(self) -> Generator:
        """A generator of this shape, with random weights."""


class Generator(nn.Module, ABC):
    """A mapping and a synthesis network. One that lacks a method can't be made.

    Attributes:
        size: side s of its pictures in pixels.
        latent_dim: D, entries of w.
        z_dim: Z, entries of z.
        num_layers: L, style vectors in w_plus.
        levels: for each of the L style vectors 0 (coarse), 1 (middle) or 2 (fine): which of the encoder's codes it
            takes.
        feature_channels: resolution -> channels of the activations that F&W+ features are added to, coarse to fine.
        mapping: z (N, Z), standard normal -> w (N, D).
    """

    size: int
    latent_dim: int
    z_dim: int
    num_layers: int
    levels: tuple[int, ...]
    feature_channels: dict[int, int]
    mapping: Callable[[Tensor], Tensor]

    @abstractmethod
    def synthesis(self, w_plus: Tensor, features: dict[int, Tensor] | None = None, noise: Noise = "const") -> Tensor:
        """Eq. 3: the pictures of style codes and, where given, of features.

        Args:
            w_plus: (N, L, D), a style vector for each layer.
            features: resolution r -> (N, feature_channels[r], r, r), added to the activations behind the first
                convolution at r. Any resolutions may be left out.
            noise: the stored noise, the same for every picture, or a fresh one.

        Returns:
            (N, 3, s, s), about [-1, 1], not clipped.

        Raises:
            ValueError: the generator has no fresh noise.
        """

    def sketch(self, w_plus: Tensor) -> Tensor | None:
        """What w_plus (N, L, D) says without features: (N, 3, r, r), r up to s. None: nothing that can be seen."""
        return self.synthesis(w_plus)

    @abstractmethod
    def head(self, w_plus: Tensor, resolution: int, features: dict[int, Tensor] | None = None) -> Tensor:
        """The first part of `synthesis`: w_plus (N, L, D) -> what `tail` goes on with, (N, C, r, r).

        Args:
            w_plus: the style vectors up to r count.
            resolution: r, where the generator is cut, behind the last convolution there: 4, 8, ... s.
            features: see `synthesis`.
        """

    @abstractmethod
    def tail(self, x: Tensor, w_plus: Tensor, resolution: int, features: dict[int, Tensor] | None = None) -> Tensor:
        """The rest: what `head` gives at the same resolution, and w_plus -> pictures; see `synthesis`."""
