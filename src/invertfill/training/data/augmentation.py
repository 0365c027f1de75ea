"""Augmentation for training: a model of drawn pictures meets photographs with other colours, sharpness and JPEG marks.

The changed picture is both the input and the target, so this widens the domain and doesn't teach restoration.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from invertfill.training.config import AugmentationConfig


def augment(pixels: np.ndarray, config: AugmentationConfig, rng: np.random.Generator) -> np.ndarray:
    """A changed copy of a picture, (s, s, 3) uint8 to the same; `rng` is the only source of chance."""
    if rng.random() >= config.probability:
        return pixels
    image = _move(Image.fromarray(pixels), config, rng)
    if radius := rng.uniform(0, config.blur) if rng.random() < 0.5 else 0.0:
        image = image.filter(ImageFilter.GaussianBlur(radius))
    image = Image.fromarray(_recolour(np.asarray(image, np.float32), config, rng))
    if rng.random() < 0.5 and config.jpeg < 95:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(config.jpeg, 96)))
        image = Image.open(buffer).convert("RGB")
    return np.asarray(image)


def _move(image: Image.Image, config: AugmentationConfig, rng: np.random.Generator) -> Image.Image:
    """Turn, shift and zoom about the centre, by an affine map from output to input; the border is mirrored."""
    side = image.width
    pad = side // 4
    angle = np.deg2rad(rng.uniform(-config.turn, config.turn))
    scale = 1 + rng.uniform(-config.zoom, config.zoom)
    shift = rng.uniform(-config.shift, config.shift, 2) * side
    padded = Image.fromarray(np.pad(np.asarray(image), ((pad, pad), (pad, pad), (0, 0)), "reflect"))
    cos, sin, centre = np.cos(angle) / scale, np.sin(angle) / scale, side / 2
    # (x, y) of the output comes from (a x + b y + c, d x + e y + f) of the padded input.
    c = centre + pad + shift[0] - cos * centre - sin * centre
    f = centre + pad + shift[1] + sin * centre - cos * centre
    affine = (cos, sin, c, -sin, cos, f)
    return padded.transform((side, side), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)


def _recolour(pixels: np.ndarray, config: AugmentationConfig, rng: np.random.Generator) -> np.ndarray:
    """Saturation, contrast, brightness and warmth, then noise: (s, s, 3) float32 in [0, 255] -> uint8."""
    saturation, contrast, brightness = 1 + rng.uniform(-config.colour, config.colour, 3)
    warmth = rng.uniform(-config.colour, config.colour) / 3
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * saturation
    pixels = (pixels - 127.5) * contrast + 127.5
    pixels = pixels * (brightness * np.array([1 + warmth, 1, 1 - warmth], np.float32))
    if config.noise and rng.random() < 0.5:
        pixels = pixels + rng.normal(0, rng.uniform(0, config.noise), pixels.shape)
    return pixels.round().clip(0, 255).astype(np.uint8)
