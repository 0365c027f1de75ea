"""Loading a model into the engine that runs it; what an engine is stands in base.py, each one in a file of its own."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from invertfill.engines.base import Engine, name_of
from invertfill.errors import InputError
from invertfill.options import AUTO, FillOptions
from invertfill.registry import ModelInfo

if TYPE_CHECKING:
    from invertfill.engines.onnx import OnnxEngine


class Engines(Mapping[str, Engine]):
    """Models by name, each loaded when it is first asked for: `auto` often needs one of them only.

    Args:
        models: in the order in which they are listed.
        options, threads, stays: as of `open_engine`.
    """

    def __init__(
        self, models: Sequence[ModelInfo], options: FillOptions, threads: int = 0, stays: bool = False
    ) -> None:
        self.models = {model.name: model for model in models}
        self._how = options, threads, stays
        self._loaded: dict[str, Engine] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Engine:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = open_engine(self.models[name], *self._how)
            return self._loaded[name]

    def __repr__(self) -> str:
        loaded = dict(self._loaded)
        how = {name: name_of(loaded[name]) if name in loaded else "not loaded yet" for name in self.models}
        return ", ".join(f"{name} ({model.size} px, {how[name]})" for name, model in self.models.items())

    def __iter__(self) -> Iterator[str]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)


def open_engine(model: ModelInfo, options: FillOptions, threads: int = 0, stays: bool = False) -> Engine:
    """Load a model.

    Args:
        model: from `invertfill.registry`. PatchMatch has an engine of its own, on the CPU.
        options: of these, engine, device and quality. Engine "auto": torch where quality "best", an MPS device or,
            with torch installed, a CUDA device is asked for; else ONNX Runtime, or OpenVINO for a process that stays,
            where it is installed, the processor computes in bfloat16, and OpenVINO can compute the model. Device
            "auto": with ONNX Runtime the CPU, with torch the best there is.
        threads: of the CPU that one fill may use; 0 leaves it to the engine, which takes them all.
        stays: the process answers for long, so that an engine may take a second longer to open.

    Raises:
        InputError: the engine isn't installed, the device isn't there, they don't go together, or the model is damaged.
    """
    if model.folder is None:
        from invertfill.engines.patchmatch import PatchMatchEngine

        return PatchMatchEngine(model)
    engine, device, best = _pick(options, stays), options.device, options.quality == "best"
    if engine == "torch":
        model.verify()
        if missing := [name for name in ("torch", "safetensors", "pydantic") if importlib.util.find_spec(name) is None]:
            raise InputError(
                f"engine torch: {missing[0]} isn't installed; pip install 'invertfill[train]', or use engine onnx and"
                " quality fast"
            )
        from invertfill.engines.torch import TorchEngine

        return TorchEngine(model, device, threads)
    if best:
        raise InputError(f"quality best with engine {engine}; accepted: fast, or engine torch")
    opened = _open_graphs(engine, "cpu" if device == AUTO else device, model, threads)
    model.verify()  # while a graph is being opened
    if engine == "openvino" and options.engine == AUTO:  # which can't compute every model on every processor
        try:
            opened.wait()
        except InputError:
            return _open_graphs("onnx", "cpu", model, threads)
    return opened


def _open_graphs(engine: str, device: str, model: ModelInfo, threads: int) -> OnnxEngine:
    if engine == "onnx":
        from invertfill.engines.onnx import PROVIDERS, OnnxEngine

        if device not in PROVIDERS:
            raise InputError(f"device {device!r} with engine onnx; accepted: {', '.join(PROVIDERS)}, or engine torch")
        return OnnxEngine(model, threads, device)
    if device != "cpu":
        raise InputError(f"device {device!r} with engine openvino; accepted: cpu, or another engine")
    if importlib.util.find_spec("openvino") is None:
        raise InputError("engine openvino: it isn't installed; pip install 'invertfill[openvino]', or use engine onnx")
    from invertfill.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(model, threads)


def _pick(options: FillOptions, stays: bool) -> str:
    """The engine's name."""
    if options.engine != AUTO:
        return options.engine
    cuda = options.device == "cuda" and importlib.util.find_spec("torch")
    if cuda or options.device == "mps" or options.quality == "best":
        return "torch"
    if not stays or options.device not in (AUTO, "cpu") or importlib.util.find_spec("openvino") is None:
        return "onnx"
    from invertfill.engines.openvino import has_bf16

    return "openvino" if has_bf16() else "onnx"
