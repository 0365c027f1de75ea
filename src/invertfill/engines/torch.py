"""PyTorch: for a GPU, and for those who have torch anyway."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from invertfill.engines.base import CropRequest
from invertfill.errors import InputError
from invertfill.nn.invertfill import InvertFill
from invertfill.nn.refine import refine
from invertfill.registry import ModelInfo

STD_SAMPLES = 4096


class TorchEngine:
    """See `invertfill.engines.base.Engine`. Computes in float32, in channels_last memory."""

    name = "torch"

    def __init__(self, model: ModelInfo, device: str = "auto", threads: int = 0) -> None:
        self.model = model
        device = pick_device(device)
        path = model.file("model.safetensors")
        try:
            network = InvertFill(model.config)
            network.load_state_dict(load_file(path))
        except ValidationError as error:
            key, problem = ".".join(map(str, error.errors()[0]["loc"])), error.errors()[0]["msg"]
            raise InputError(f"{path}: a configuration that this version doesn't know ({key}: {problem})") from None
        except (SafetensorError, RuntimeError, OSError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(f"{path}: not the weights of its own configuration ({reason})") from None
        if threads:
            torch.set_num_threads(threads)  # of the whole process
        self.device = torch.device(device)
        network = network.float().eval().requires_grad_(False).to(self.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()  # not inference_mode, whose tensors can't be differentiated
    def fill(self, request: CropRequest) -> np.ndarray:
        picture, hole = self._tensor(request.image), self._tensor(request.mask)
        start = {"deviation" if self.model.guesses_z else "w_mean": self._tensor(request.latent)}
        w_plus, _ = self.network.encode(picture, hole, **start)
        if request.refine:
            w_plus = refine(self.network, picture, hole, w_plus, self.w_std)
        chosen = None if request.noise is None else self._tensor(request.noise)
        return self._array(self.network.draw(picture, hole, w_plus, chosen))

    @cached_property
    def w_std(self) -> torch.Tensor:
        """(D,), of w over the generator's own pictures."""
        z = np.random.default_rng(0).standard_normal((STD_SAMPLES, self.model.z_dim), np.float32)
        return self._tensor(self.mapping(z).std(0))

    @torch.inference_mode()
    def mapping(self, z: np.ndarray) -> np.ndarray:
        return self._array(self.network.generator.mapping(self._tensor(z)))

    @torch.inference_mode()
    def synthesis(self, w: np.ndarray) -> np.ndarray:
        return self._array(self.network.sample(self._tensor(w)))

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.device)

    @staticmethod
    def _array(tensor: torch.Tensor) -> np.ndarray:
        array: np.ndarray = tensor.float().cpu().numpy()
        return array


def pick_device(device: str) -> str:
    """The device itself, or for "auto" the best there is.

    Raises:
        InputError: it isn't there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, there in available.items() if there)
    if not available.get(device):
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise InputError(f"device {device!r} isn't available; accepted here: {there}")
    return device
