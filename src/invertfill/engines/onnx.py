"""ONNX Runtime on the CPU: the default engine. Its graphs refer to the tensors in model.safetensors by offset."""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import onnxruntime

from invertfill.engines.base import CropRequest
from invertfill.errors import InputError
from invertfill.registry import ModelInfo


class OnnxEngine:
    """The engine of everyday use; see `invertfill.engines.base.Engine`."""

    name = "onnx"
    device = "cpu"

    def __init__(self, model: ModelInfo, threads: int = 0) -> None:
        self.model = model
        self.threads = threads
        self._session = cache(self._open)  # when it is first needed: a fill needs one of the three

    def fill(self, request: CropRequest) -> np.ndarray:
        inputs = self.inputs(request)
        pictures = ({name: array[i : i + 1] for name, array in inputs.items()} for i in range(len(request.image)))
        return np.concatenate(
            [self._run(self._session("fill"), one) for one in pictures]
        )  # the graph takes one at a time

    def inputs(self, request: CropRequest) -> dict[str, np.ndarray]:
        """What fill.onnx takes, by name."""
        image, mask = request.image, request.mask
        inputs = {"image": image, "mask": mask, "deviation" if self.model.guesses_z else "w_mean": request.latent}
        noise = self.model.noise
        if noise is not None and "noise" in self._input_names(
            self._session("fill")
        ):  # graphs of earlier versions hold it
            inputs["noise"] = np.broadcast_to(noise, mask.shape) if request.noise is None else request.noise
        return inputs

    def mapping(self, z: np.ndarray) -> np.ndarray:
        return self._run(self._session("mapping"), {"z": z})

    def synthesis(self, w: np.ndarray) -> np.ndarray:
        return np.concatenate([self._run(self._session("synthesis"), {"w": one}) for one in w[:, None]])

    def _open(self, graph: str) -> onnxruntime.InferenceSession:
        path = self.model.file(f"{graph}.onnx")
        try:
            return onnxruntime.InferenceSession(path, session_options(self.threads), providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's exceptions have no common base but Exception
            raise InputError(f"{path}: a graph that ONNX Runtime can't load ({error})") from None

    @staticmethod
    def _input_names(session: onnxruntime.InferenceSession) -> set[str]:
        return {one.name for one in session.get_inputs()}

    @staticmethod
    def _run(session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray]) -> np.ndarray:
        output: np.ndarray = session.run(None, {k: np.ascontiguousarray(v, np.float32) for k, v in inputs.items()})[0]
        return output


def session_options(threads: int = 0) -> onnxruntime.SessionOptions:
    """How every graph is run.

    Args:
        threads: see `invertfill.engines.open_engine`.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: what is folded at load is no concern of the user
    options.intra_op_num_threads = _within_affinity(threads)
    options.enable_mem_pattern = False  # which plans one block for all activations: a third more memory, no faster
    return options


def _within_affinity(threads: int) -> int:
    """`threads`, but no more than the cores that the process is held to, as by taskset or a container's cpuset.

    By itself the runtime counts all cores of the machine, and ties its threads to them even where the process may not
    run.
    """
    machine = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    return threads if allowed == machine else min(threads or allowed, allowed)
