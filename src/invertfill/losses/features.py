"""Feature networks of the perceptual losses: VGG16 and AlexNet with torchvision's ImageNet weights.

Only the convolutional part is built, with torchvision's layer indices, so a tap is named by the same number as in
the papers' code (``features[:5]`` ends with layer 4, the first pooling).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from invertfill.losses.weights import load_weights

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


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
        InputError: ``pretrained`` and the weights aren't there; see `invertfill.losses.weights.find_weights`.
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
        InputError: ``pretrained`` and the weights aren't there; see `invertfill.losses.weights.find_weights`.
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
