"""InvertFill (Fig. 2): encoder with pre-modulation, and a generator that is frozen but sees the picture (F&W+)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from invertfill.nn.config import Section
from invertfill.nn.encoder import Encoder, EncoderConfig
from invertfill.nn.generators import AnyGeneratorConfig
from invertfill.nn.generators.stylegan2 import StyleGAN2Config
from invertfill.nn.premodulation import PreModulation, PreModulationConfig
from invertfill.nn.rgb_branch import MIGANBranch, RGBBranchConfig


class InvertFillConfig(Section):
    """Shape of the whole fill network.

    Attributes:
        generator, encoder, premodulation, rgb_branch: of its parts.
        blend: how a fill meets the known pixels (pipeline/blending.py); training leaves out "rim", a matter of four
            pixels.
    """

    generator: AnyGeneratorConfig = StyleGAN2Config()
    encoder: EncoderConfig = EncoderConfig()
    premodulation: PreModulationConfig = PreModulationConfig()
    rgb_branch: RGBBranchConfig = RGBBranchConfig()
    blend: Literal["membrane", "rim", "none"] = "membrane"

    @model_validator(mode="after")
    def _same_z(self) -> Self:
        if self.encoder.z_dim != getattr(self.generator, "z_dim", 0):
            raise ValueError("encoder.z_dim and generator.z_dim differ; z_dim alike in both is accepted")
        return self


class InvertFillOutput(NamedTuple):
    """What one forward pass gives: O_G (N, 3, s, s) not clipped, w* (N, L, D), and O_E at s/16, s/8 and s/4."""

    image: Tensor
    w_plus: Tensor
    rgb: list[Tensor]


class InvertFill(nn.Module):
    """The whole fill network.

    Args:
        config: its shape; or that as plain values, as stored in checkpoints and model folders.

    Where encoder and generator have a `z_dim`, the encoder says what z the known pixels allow, p(z|I_m), and the mean
    latent's place is taken by what z is mapped to: w* = E(I_m) + mapping(z). So a picture has many fills.

    Attributes:
        config: the whole configuration, plain values.
        w_mean: (D,), the long-run mean latent that inference starts from (Sec. 3.2).
        guesses_z: whether the encoder does.

    Raises:
        ValueError: an unknown key or a bad value.
    """

    w_mean: Tensor

    def __init__(self, config: InvertFillConfig | Mapping[str, Any]):
        super().__init__()
        shape = InvertFillConfig.model_validate(config)
        self.config: dict[str, Any] = shape.model_dump(mode="json")
        self.generator = shape.generator.build()
        size, dim = self.generator.size, self.generator.latent_dim
        self.encoder = Encoder(shape.encoder, size, dim)
        self.premodulation = PreModulation(shape.premodulation, self.generator.levels, dim)
        self.rgb_branch = shape.rgb_branch.build(size, self.generator.feature_channels)
        self.guesses_z = self.encoder.map2gaussian is not None
        self.register_buffer("w_mean", torch.zeros(dim))
        self.generator.requires_grad_(False)  # as in the paper; training may free it

    def encode(
        self, image: Tensor, mask: Tensor, w_mean: Tensor | None = None, deviation: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """w* = E(I_m) + w_o (Sec. 3.2): (N, L, D), and the reconstructions O_E.

        Args:
            deviation: (N, z_dim), of z from the mean of p(z|I_m) in its standard deviations, where the encoder guesses
                z and no w_mean is given; left out, 0.
        """
        pyramid = self.encoder.pyramid(image * (1 - mask), mask)
        rgb, codes, structure = self.encoder.heads(pyramid)
        if w_mean is None and self.guesses_z:
            guess = self.encoder.gaussian(pyramid)
            w_mean = self.generator.mapping(guess.mean if deviation is None else guess.at(deviation))
        w_mean = self.w_mean if w_mean is None else w_mean
        return self.premodulation(codes, structure) + w_mean.reshape(-1, 1, w_mean.shape[-1]), rgb

    def forward(
        self,
        image: Tensor,
        mask: Tensor,
        w_mean: Tensor | None = None,
        noise: Tensor | None = None,
        deviation: Tensor | None = None,
    ) -> InvertFillOutput:
        """Eq. 3: O_G = G(E(I_m), I_m).

        Args:
            image: (N, 3, s, s) in [-1, 1]; what it holds inside the hole is not looked at.
            mask: (N, 1, s, s), 1 = hole.
            w_mean: (1 or N, D), the mean latent w_o of this step; if left out, the long-run mean, or what the z that
                the encoder guesses is mapped to.
            noise: see `draw`.
            deviation: see `encode`.
        """
        w_plus, rgb = self.encode(image, mask, w_mean, deviation)
        return InvertFillOutput(self.draw(image, mask, w_plus, noise), w_plus, rgb)

    def sample(self, w: Tensor) -> Tensor:
        """What style vectors (N, D), the same for all layers, draw where nothing is known: (N, 3, s, s).

        Where the encoder guesses z, its offset for a picture that is all hole comes on top, as in training.
        """
        w_plus = w[:, None].expand(-1, self.generator.num_layers, -1)
        if self.guesses_z:
            nothing = self._nothing(w)
            w_plus, _ = self.encode(nothing, nothing[:, :1] + 1, w)
        return self.generator.synthesis(w_plus, self.blank_features(w))

    def _nothing(self, w: Tensor) -> Tensor:
        """A black picture for each w: (N, 3, s, s)."""
        size = self.generator.size
        # Computed from w: an exported graph would hold a constant.
        return (0 * w[:, :1, None, None]).expand(-1, 3, size, size)

    def blank_features(self, w: Tensor) -> dict[int, Tensor]:
        """Those with which the generator draws when nothing is known, for as many pictures as there are w (N, D).

        MI-GAN's: its encoder's, of a picture that is all hole, (N, C, r, r) each. Any other's: none.
        """
        if not isinstance(self.rgb_branch, MIGANBranch):
            return {}
        nothing = self._nothing(w)
        return self.rgb_branch(nothing, nothing[:, :1] + 1)

    def draw(self, image: Tensor, mask: Tensor, w_plus: Tensor, noise: Tensor | None = None) -> Tensor:
        """O_G (N, 3, s, s) of a picture whose style vectors (N, L, D) are known.

        noise (N, 1, s, s), standard normal, is what the RGB branch's texture comes from, where it has
        `NoiseInjection`; the stored one if left out.
        """
        features = self.rgb_branch(image * (1 - mask), mask, noise) if self.rgb_branch is not None else None
        return self.generator.synthesis(w_plus, features)
