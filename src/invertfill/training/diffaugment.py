"""Differentiable augmentation for small data sets (Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient
GAN Training"): colour, translation and cutout, drawn afresh for each image of real and generated batches alike.

One departure: the paper's colour changes may leave the range of an image; these are mixtures (with white or black, with
grey, with the mean), so that values stay within [-1, 1] without a clamp, which would stop the gradient.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from invertfill.training.distributed import my_part, world_size


def augment(images: Tensor) -> Tensor:
    """All three in the paper's order: (N, 3, H, W) in [-1, 1] -> the same shape and range, differentiable twice."""
    return cutout(translation(colour(images)))


def colour(images: Tensor) -> Tensor:
    """Brightness by up to half of the way to black or white, saturation 0 to 1, contrast 0.5 to 1."""
    brightness = _rand(images, -0.5, 0.5)
    images = images * (1 - brightness.abs()) + brightness
    grey = images.mean(dim=1, keepdim=True)
    images = grey.lerp(images, _rand(images, 0, 1))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean.lerp(images, _rand(images, 0.5, 1))


def translation(images: Tensor, share: float = 0.125) -> Tensor:
    """Move by whole pixels, up to ``share`` of the side each way; what comes in is middle grey (0)."""
    count, _, height, width = images.shape
    down = (_rand(images, -share, share) * height).round().long().view(count, 1)
    right = (_rand(images, -share, share) * width).round().long().view(count, 1)
    # Gathered, not grid-sampled: grid_sample has no second derivative, which R1 needs. Index 0 and -1 are the padding.
    rows = (torch.arange(1, height + 1, device=images.device) - down).clamp(0, height + 1)  # (N, H)
    columns = (torch.arange(1, width + 1, device=images.device) - right).clamp(0, width + 1)  # (N, W)
    each = torch.arange(count, device=images.device).view(count, 1, 1)
    padded = F.pad(images, (1, 1, 1, 1)).permute(0, 2, 3, 1)  # (N, H + 2, W + 2, 3)
    return padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(images: Tensor, share: float = 0.5) -> Tensor:
    """Set a rectangle with ``share`` of each side, centred anywhere in the image, to middle grey (0)."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device).view(1, 1, height, 1)
    columns = torch.arange(width, device=images.device).view(1, 1, 1, width)
    far_down = (rows - _rand(images, 0, height).floor()).abs() > share * height / 2
    far_right = (columns - _rand(images, 0, width).floor()).abs() > share * width / 2
    return images * (far_down | far_right).to(images.dtype)


def _rand(images: Tensor, low: float, high: float) -> Tensor:
    """A uniform number for each image, (N, 1, 1, 1), out of a draw for the batch of all processes."""
    draw = my_part(torch.rand(len(images) * world_size(), 1, 1, 1, device=images.device))
    return (low + (high - low) * draw).to(images.dtype)
