"""The losses of the paper's Sec. 3.3, one function for each equation.

The paper refers to RFR (Li et al. 2020, "Recurrent Feature Reasoning for Image Inpainting") for the terms of Eq. 4
and gives no weights; RFR's are the defaults here. They belong to images in [0, 1], fed to VGG16 without the ImageNet
mean, so the functions that combine terms take images in [-1, 1] and halve the range first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from invertfill.nn.config import NonNegative, Section

PERCEPTUAL_TAPS = (4, 9, 16)  # VGG16 pool1, pool2, pool3: features[:5], [5:10], [10:17]

Features = Callable[[Tensor, Sequence[int]], list[Tensor]]
"""A feature network such as `invertfill.losses.features.vgg16()`."""


class LossWeights(Section):
    """Weights of Eq. 4-7: RFR's for Eq. 4; lambda_msr and lambda_fid are this project's (the paper gives none).

    Attributes:
        composite: as RFR does, perceptual and style of the composite are added to the output's, and TV is the
            composite's. False is the paper's text: all of Eq. 4 is between I and O_G, and TV is that of O_G.
    """

    valid: NonNegative = 1.0
    hole: NonNegative = 6.0
    perceptual: NonNegative = 0.05
    style: NonNegative = 120.0
    tv: NonNegative = 0.1
    composite: bool = True
    msr: NonNegative = 1.0  # lambda_msr, Eq. 5
    fid: NonNegative = 0.005  # lambda_fid, Eq. 6; pSp's weight of its comparable term


Loss = tuple[Tensor, dict[str, Tensor]]
"""The weighted total (scalar, with gradient), and its unweighted terms by name (scalars, detached)."""


def to_unit(image: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]."""
    return (image + 1) / 2


def composite(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """O = I * (1 - M) + O_G * M: the known pixels of ``target`` and the hole of ``output``."""
    return target * (1 - mask) + output * mask


def valid_loss(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """L_valid of Eq. 4: mean over all pixels of |I - O_G| * (1 - M). (N, 3, H, W), mask (N, 1, H, W), 1 = hole."""
    return ((output - target).abs() * (1 - mask)).mean()


def hole_loss(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """L_hole of Eq. 4: mean over all pixels of |I - O_G| * M. (N, 3, H, W), mask (N, 1, H, W), 1 = hole."""
    return ((output - target).abs() * mask).mean()


def perceptual_loss(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """L_perc of Eqs. 4 and 5: sum over feature maps (N, C, h, w) of the mean absolute difference."""
    with _full_precision(a[0]):
        return torch.stack([(x.float() - y.float()).abs().mean() for x, y in zip(a, b, strict=True)]).sum()


def gram(features: Tensor) -> Tensor:
    """Channel products over all positions, divided by C*h*w: (N, C, h, w) -> (N, C, C), always in float32."""
    count, channels, height, width = features.shape
    with _full_precision(features):
        flat = features.float().reshape(count, channels, height * width)
        return flat @ flat.transpose(1, 2) / (channels * height * width)


def style_loss(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """L_style of Eqs. 4 and 5: sum over feature maps (N, C, h, w) of the mean absolute difference of Gram matrices."""
    with _full_precision(a[0]):
        return torch.stack([(gram(x) - gram(y)).abs().mean() for x, y in zip(a, b, strict=True)]).sum()


def tv_loss(image: Tensor) -> Tensor:
    """L_tv of Eq. 4: mean absolute difference of vertical neighbours plus that of horizontal ones, (N, C, H, W)."""
    return (image[:, :, 1:] - image[:, :, :-1]).abs().mean() + (image[..., 1:] - image[..., :-1]).abs().mean()


def inpainting_loss(
    output: Tensor, target: Tensor, mask: Tensor, features: Features | None, weights: LossWeights | None = None
) -> Loss:
    """L_ipt, Eq. 4, on the output, and with `LossWeights.composite` on the composite as in RFR.

    Args:
        output: O_G, (N, 3, H, W) in [-1, 1], before compositing.
        target: I, the same shape.
        mask: (N, 1, H, W), 1 = hole.
        features: VGG16; None leaves the perceptual and the style term out.
        weights: RFR's by default.

    Returns:
        The weighted sum, and the terms valid, hole, perceptual, style and tv.
    """
    weights = weights or LossWeights()
    output, target = to_unit(output), to_unit(target)
    seen = [output, composite(output, target, mask)] if weights.composite else [output]
    terms = {
        "valid": (weights.valid, valid_loss(output, target, mask)),
        "hole": (weights.hole, hole_loss(output, target, mask)),
        "tv": (weights.tv, tv_loss(seen[-1])),
    }
    if features is not None:
        wanted = _target_features(features, target)
        # One pass for all: the network's weights are read once.
        stages = [stage.chunk(len(seen)) for stage in features(torch.cat(seen), PERCEPTUAL_TAPS)]
        found = list(zip(*stages, strict=True))  # for each picture, its stages
        terms["perceptual"] = (weights.perceptual, _sum(perceptual_loss(maps, wanted) for maps in found))
        terms["style"] = (weights.style, _sum(style_loss(maps, wanted) for maps in found))
    return _weighted(terms)


def msr_loss(
    rgb: Sequence[Tensor], target: Tensor, features: Features | None, weights: LossWeights | None = None
) -> Loss:
    """L_msr, Eq. 5: perceptual, style and mean-square loss of the encoder's reconstruction at each scale.

    Args:
        rgb: O_E^1 to O_E^3, each (N, 3, h, w) in [-1, 1]; a smaller one is compared with ``target`` averaged down.
        target: I, (N, 3, H, W) in [-1, 1].
        features: VGG16; None leaves the perceptual and the style term out.
        weights: perceptual and style are used; the mean square has weight 1.

    Returns:
        The weighted sum, and the terms msr_perceptual, msr_style and msr_rec, each summed over scales.
    """
    weights = weights or LossWeights()
    pairs = [(to_unit(image), to_unit(_resize(target, image))) for image in rgb]
    terms = {"msr_rec": (1.0, _sum(F.mse_loss(found, wanted) for found, wanted in pairs))}
    if features is not None:
        stages = [(features(found, PERCEPTUAL_TAPS), _target_features(features, wanted)) for found, wanted in pairs]
        terms["msr_perceptual"] = (weights.perceptual, _sum(perceptual_loss(a, b) for a, b in stages))
        terms["msr_style"] = (weights.style, _sum(style_loss(a, b) for a, b in stages))
    return _weighted(terms)


def fidelity_loss(w_plus: Tensor, w_mean: Tensor) -> Tensor:
    """L_fid, Eq. 6: mean squared difference of the style code (N, L, D) and the mean latent (N or 1, D)."""
    return (w_plus - w_mean.unsqueeze(-2)).square().mean()


def total_loss(
    output: Tensor,
    rgb: Sequence[Tensor],
    w_plus: Tensor,
    w_mean: Tensor,
    target: Tensor,
    mask: Tensor,
    features: Features | None,
    weights: LossWeights | None = None,
) -> Loss:
    """L, Eq. 7: L_ipt + lambda_msr * L_msr + lambda_fid * L_fid.

    Args:
        output: O_G, (N, 3, H, W) in [-1, 1], before compositing.
        rgb: O_E^1 to O_E^3, see `msr_loss`.
        w_plus: w*, (N, L, D).
        w_mean: w_o, (N or 1, D).
        target: I, like ``output``.
        mask: (N, 1, H, W), 1 = hole.
        features: VGG16; None leaves the perceptual and the style term out.
        weights: RFR's by default; a lambda of 0 leaves its loss out.

    Returns:
        The weighted sum, and the terms of Eqs. 4 and 5 and fid.
    """
    weights = weights or LossWeights()
    total, terms = inpainting_loss(output, target, mask, features, weights)
    if weights.msr:
        msr, msr_terms = msr_loss(rgb, target, features, weights)
        total, terms = total + weights.msr * msr, terms | msr_terms
    if weights.fid:
        fid = fidelity_loss(w_plus, w_mean)
        total, terms["fid"] = total + weights.fid * fid, fid.detach()
    return total, terms


def _weighted(terms: dict[str, tuple[float, Tensor]]) -> Loss:
    total = torch.stack([weight * term for weight, term in terms.values()]).sum()
    return total, {name: term.detach() for name, (_, term) in terms.items()}


def _sum(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()


@torch.no_grad()
def _target_features(features: Features, target: Tensor) -> list[Tensor]:
    return features(target, PERCEPTUAL_TAPS)


def _resize(target: Tensor, like: Tensor) -> Tensor:
    size = like.shape[-2:]
    return target if target.shape[-2:] == size else F.interpolate(target, size=size, mode="area")


def _full_precision(like: Tensor) -> torch.autocast:
    return torch.autocast(like.device.type, enabled=False)
