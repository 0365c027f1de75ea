"""What the methods share that are trained here: a network with its losses, and its weights on disk.

A file of such a method holds, top down, the network as its paper draws it, its configuration, and ``BASELINE``.
`invertfill.training.baseline` trains it, `invertfill export` writes its weights, `Trained` fills with them.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from invertfill.baselines import Baseline
from invertfill.baselines.drawing import as_input, as_picture
from invertfill.engines.torch import pick_device
from invertfill.errors import InputError
from invertfill.losses.inpainting import Features
from invertfill.nn.config import Positive, Section, Size
from invertfill.registry import read_header, sha256_of

FILE = "model.safetensors"
IMAGE = "image"  # among what a network draws: the fill

Drawn = dict[str, Tensor]
"""What a network draws, by name; ``IMAGE`` (N, 3, s, s), about [-1, 1], is the fill."""

Terms = dict[str, tuple[float, Tensor]]
"""Weight and value of losses, by name."""


class Judges(NamedTuple):
    """What looks at a network's pictures while it is trained."""

    critic: nn.Module | None
    features: Features | None  # VGG16


class Network(nn.Module, ABC):
    """A method's network.

    Attributes:
        sees: its losses look through VGG16's features.
    """

    sees = False

    @abstractmethod
    def draw(self, known: Tensor, mask: Tensor) -> Drawn:
        """Draw.

        Args:
            known: (N, 3, s, s) in [-1, 1], 0 in the hole.
            mask: (N, 1, s, s), 1 = hole.
        """

    def practise(self, real: Tensor, mask: Tensor) -> Drawn:
        """What is learned from: what `draw` makes of the known pixels, where a network doesn't learn something else.

        Args:
            real: (N, 3, s, s) in [-1, 1].
            mask: (N, 1, s, s), 1 = hole.
        """
        return self.draw(real * (1 - mask), mask)

    @abstractmethod
    def losses(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Terms:
        """Of what `practise` gave, with ``real`` (N, 3, s, s) in [-1, 1]; the critic's weights are frozen meanwhile."""

    def critic(self) -> nn.Module | None:
        """A new discriminator, for those that have one."""
        return None

    def judge(self, drawn: Drawn, real: Tensor, mask: Tensor, judges: Judges) -> Tensor:
        """The loss of the critic; ``drawn`` has no gradient."""
        raise NotImplementedError

    def forward(self, known: Tensor, mask: Tensor) -> Tensor:
        """The fill, (N, 3, s, s), of what `draw` takes."""
        return self.draw(known, mask)[IMAGE]


class NetworkConfig(Section):
    """Shape of a network, and the weights of its losses; the defaults are its paper's.

    Attributes:
        kind: the method's name.
        size: side of the pictures, in pixels. Not the paper's 256: that would be four times the work.
        width: channels of every layer, the critic's too, times this; 1 is the paper's.
    """

    kind: str
    size: Size = 128
    width: Positive = 1.0

    def channels(self, count: int) -> int:
        """The paper's count of channels, at this network's width: a multiple of 4."""
        return max(4, 4 * round(self.width * count / 4))

    def build(self) -> Network:
        """The network, with new weights."""
        raise NotImplementedError


class Trained:
    """See `invertfill.baselines.Filler`: fills with weights that `invertfill export` wrote.

    Args:
        schema: of the network's configuration.
        weights: a folder with model.safetensors, or such a file.
        device: of torch.

    Raises:
        InputError: no such file, or one of another method or architecture.
    """

    size: int | None

    def __init__(self, schema: type[NetworkConfig], weights: str, device: str) -> None:
        kind = schema.model_fields["kind"].default
        accepted = (
            f"weights=FOLDER, made by `invertfill train baseline configs/baselines/{kind}.yaml` and `invertfill export`"
        )
        path = Path(weights) / FILE if Path(weights).is_dir() else Path(weights)
        if not weights or not path.is_file():
            missing = f"{weights}: no such weights" if weights else "no weights, and none ship"
            raise InputError(f"{kind}: {missing}; accepted: {accepted}")
        try:
            stored = json.loads(read_header(path)[0].get("__metadata__", {}).get("config", "{}"))
            if stored.get("kind") != kind:
                other = stored.get("kind", "something else")
                raise InputError(f"{kind}: {path}: weights of {other}; accepted: {accepted}")
            config = schema.model_validate(stored)
            self.device = torch.device(pick_device(device))
            self.network = config.build()
            self.network.load_state_dict(load_file(path))
        except InputError:
            raise
        except (OSError, ValueError, AttributeError, ValidationError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(f"{kind}: {path}: not the method's weights ({reason}); accepted: {accepted}") from None
        self.network.float().eval().requires_grad_(False).to(self.device)
        self.size = config.size
        self.identity = f"{path.name} SHA-256 {sha256_of(path)[:16]}, torch {torch.__version__} on {self.device}"

    @torch.no_grad()
    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        known, mask = (torch.from_numpy(array).to(self.device) for array in as_input(image, hole))
        return as_picture(self.network(known, mask)[0].float().cpu().numpy())


def trainable(schema: type[NetworkConfig], paper: str, year: int, differs: str) -> Baseline:
    """The method whose network has a configuration of this class; ``differs`` goes on with what all of them have."""

    def load(weights: str = "", device: str = "auto") -> Trained:
        return Trained(schema, weights, device)

    here = "128 px instead of 256, trained here, for as long as its configuration says"
    return Baseline(schema.model_fields["kind"].default, paper, year, f"{differs}; {here}", load)
