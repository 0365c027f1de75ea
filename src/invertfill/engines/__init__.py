"""What runs a model: one small protocol, an engine for each kind. NumPy arrays go in and come out."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Protocol

import numpy as np

from invertfill.errors import InputError
from invertfill.registry import PatchMatch

if TYPE_CHECKING:
    from invertfill.registry import AnyModel

ENGINES = ("auto", "onnx", "openvino", "torch")
DEVICES = ("auto", "cpu", "cuda", "mps")
QUALITIES = ("fast", "best")
MEAN_LATENT_SAMPLES = 8  # K of Sec. 3.2: a mean latent other than the long-run one is the mean of so many mapped z

# From 1.29 on, ONNX Runtime tells its makers about each model that is run, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class Engine(Protocol):
    """A loaded model. All arrays are float32.

    Attributes:
        name: of the engine.
        size: the model's side s in pixels.
        w_mean: (D,), the long-run mean latent.
        z_dim: entries of z.
        guesses_z: the model says which z the known pixels allow, and a fill's latent is a deviation from that.
        blend: how a fill meets the known pixels, one of `invertfill.pipeline.blending.BLENDS`.
        noise: (1, s, s), what the texture of fills is drawn from; None for a model that draws all texture of the rest.
    """

    name: str
    size: int
    w_mean: np.ndarray
    z_dim: int
    guesses_z: bool
    blend: str
    noise: np.ndarray | None

    def fill(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        latent: np.ndarray,
        quality: str = "fast",
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """O_G, (N, 3, s, s): image (N, 3, s, s) in [-1, 1], mask (N, 1, s, s) with 1 = hole, latent as of `latent_of`.

        noise (N, 1, s, s), standard normal, in place of the model's own, makes other texture where the model has any.
        "best" improves the code for the picture at hand, at some forty times the cost, where the engine can.
        """

    def mapping(self, z: np.ndarray) -> np.ndarray:
        """z (N, z_dim) standard normal -> w (N, D)."""

    def synthesis(self, w: np.ndarray) -> np.ndarray:
        """w (N, D), the same for every layer -> pictures (N, 3, s, s), about [-1, 1]."""


def latent_of(engine: Engine, seed: int = 0) -> np.ndarray:
    """What a fill with a seed starts from, (1, D or z_dim).

    A mean latent w_o (Sec. 3.2): with seed 0 the long-run mean, else the mean of a few mapped z, as in training. Where
    the model guesses z: its deviation from the guess's mean in standard deviations, with seed 0 none.
    """
    rng = np.random.default_rng(seed)
    if engine.guesses_z:
        none = np.zeros((1, engine.z_dim), np.float32)
        return rng.standard_normal(none.shape, np.float32) if seed else none
    if seed == 0:
        return engine.w_mean[None]
    z = rng.standard_normal((MEAN_LATENT_SAMPLES, engine.z_dim), np.float32)
    return engine.mapping(z).mean(0, keepdims=True)


def open_engine(
    model: AnyModel,
    engine: str = "auto",
    device: str = "auto",
    quality: str = "fast",
    threads: int = 0,
    stays: bool = False,
) -> Engine:
    """Load a model.

    Args:
        model: from `invertfill.registry.find_models`. The exemplar-based filler has an engine of its own, on the CPU.
        engine: "onnx", "openvino", "torch", or "auto": torch where a CUDA or MPS device is asked for, else ONNX
            Runtime, or OpenVINO for a process that stays, where it is installed and the processor computes in bfloat16.
        device: "cpu", "cuda", "mps", or "auto": with ONNX Runtime the CPU, with torch the best there is.
        quality: that `Engine.fill` will be asked for: "fast", or "best", for which a learned model needs torch.
        threads: of the CPU that one fill may use; 0 leaves it to the engine, which takes them all.
        stays: the process answers for long, so that an engine may take a second longer to open.

    Raises:
        InputError: an unknown name, the engine isn't installed, the device isn't there, or the model is damaged.
    """
    if engine not in ENGINES:
        raise InputError(f"engine {engine!r}; accepted: {', '.join(ENGINES)}")
    if device not in DEVICES:
        raise InputError(f"device {device!r}; accepted: {', '.join(DEVICES)}")
    if quality not in QUALITIES:
        raise InputError(f"quality {quality!r}; accepted: {', '.join(QUALITIES)}")
    if isinstance(model, PatchMatch):
        from invertfill.engines.patchmatch import PatchMatchEngine

        return PatchMatchEngine(model)
    model.verify()
    if engine == "auto":
        on_cpu = "openvino" if stays and _openvino_pays() else "onnx"
        engine = "torch" if device in ("cuda", "mps") or quality == "best" else on_cpu
    if engine == "torch":
        if importlib.util.find_spec("torch") is None or importlib.util.find_spec("safetensors") is None:
            raise InputError(
                'engine torch: torch isn\'t installed; pip install "invertfill[train]", or use engine onnx'
                " and quality fast"
            )
        from invertfill.engines.torch import TorchEngine

        return TorchEngine(model, device, threads)
    if device in ("cuda", "mps"):
        raise InputError(f"device {device!r} with engine {engine}; accepted: cpu, or engine torch")
    if quality == "best":
        raise InputError(f"quality best with engine {engine}; accepted: fast, or engine torch")
    if engine == "openvino":
        if importlib.util.find_spec("openvino") is None:
            raise InputError(
                "engine openvino: it isn't installed; pip install 'invertfill[openvino]', or use engine onnx"
            )
        from invertfill.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(model, threads)
    from invertfill.engines.onnx import OnnxEngine

    return OnnxEngine(model, threads)


def _openvino_pays() -> bool:
    if importlib.util.find_spec("openvino") is None:
        return False
    from invertfill.engines.openvino import has_bf16

    return has_bf16()
