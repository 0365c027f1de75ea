"""The encoder's style code, improved for the picture at hand: a few steps of gradient descent on the known pixels.

Inversion by an encoder and then by optimisation, after Zhu et al. 2020, "In-Domain GAN Inversion for Real Image
Editing" (arXiv 2004.00049). The features of F&W+ stay out of it: they carry the known pixels past the code, so that
these would no longer say whether the code is right.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from invertfill.nn.invertfill import InvertFill

STEPS = 60
RATE = 0.06  # of Adam at the first step, in standard deviations of w; falls to 0
KEEP = 0.01  # weight of the mean squared distance to the encoder's code, in the same unit
SCALES = (1, 4, 16)  # pixels; colours that are compared are averages over such squares


def refine(network: InvertFill, image: Tensor, mask: Tensor, w_plus: Tensor, w_std: Tensor) -> Tensor:
    """Move each picture's mean style vector to where the generator draws the known pixels.

    Args:
        network: in float32.
        image: (N, 3, s, s) in [-1, 1].
        mask: (N, 1, s, s), 1 = hole.
        w_plus: (N, L, D), the encoder's.
        w_std: (D,), of w over the generator's own pictures.

    Returns:
        (N, L, D), one style vector for all L; ``w_plus`` as it is where the generator sketches nothing.
    """
    known = 1 - mask
    start = w_plus.mean(1, keepdim=True)
    with torch.enable_grad():
        offset = torch.zeros_like(start, requires_grad=True)
        adam = torch.optim.Adam([offset], lr=RATE, betas=(0.8, 0.99))
        for step in range(STEPS):
            adam.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
            drawn = network.generator.sketch((start + offset * w_std).expand_as(w_plus))
            if drawn is None:
                return w_plus
            loss = known_distance(drawn, image, known) + KEEP * offset.square().mean((1, 2))
            (offset.grad,) = torch.autograd.grad(loss.sum(), [offset])
            adam.step()
    return (start + offset.detach() * w_std).expand_as(w_plus)


def known_distance(drawn: Tensor, image: Tensor, known: Tensor) -> Tensor:
    """Mean absolute difference of the known pixels at each of ``SCALES``, summed, -> (N,).

    Args:
        drawn: (N, 3, r, r), the picture, or a smaller one whose pixels stand for squares; no scale is finer.
        image: (N, 3, s, s).
        known: (N, 1, s, s), 1 = known.
    """
    square = image.shape[-1] // drawn.shape[-1]
    share = F.avg_pool2d(known, square)
    difference = drawn * share - F.avg_pool2d(image * known, square)
    total = image.new_zeros(len(image))
    for scale in {max(scale, square) for scale in SCALES}:
        apart = F.avg_pool2d(difference, scale // square).abs().sum((1, 2, 3))
        weight = F.avg_pool2d(share, scale // square).sum((1, 2, 3)) * image.shape[1]
        total = total + apart / weight.clamp(min=1e-6)
    return total
