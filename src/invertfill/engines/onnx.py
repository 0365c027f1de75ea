"""ONNX Runtime: the default engine. Its graphs refer to the tensors in model.safetensors by offset."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import onnxruntime

from invertfill.engines.base import CropRequest
from invertfill.errors import InputError
from invertfill.registry import ModelInfo

# Device -> what ONNX Runtime calls it, and the package that has it.
PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime, on a Mac"),
}


class OnnxEngine:
    """The engine of everyday use; see `invertfill.engines.base.Engine`.

    The graph that fills is opened in a thread of its own, so that a picture can be read meanwhile; the two others are
    opened when they are first needed.

    Args:
        device: one of ``PROVIDERS``.

    Raises:
        InputError: the installed ONNX Runtime doesn't have the device.
    """

    name = "onnx"

    def __init__(self, model: ModelInfo, threads: int = 0, device: str = "cpu") -> None:
        provider, package = PROVIDERS[device]
        if provider not in onnxruntime.get_available_providers():
            raise InputError(f"device {device!r}: this ONNX Runtime has no {provider}; accepted: cpu, or {package}")
        self.model = model
        self.threads = threads
        self.device = device
        pool = ThreadPoolExecutor(1)
        self._opened = cache(lambda graph: _begun(pool, self._open, graph))
        self._opened("fill")

    def wait(self) -> None:
        """Until the graph that fills is open.

        Raises:
            InputError: it can't be.
        """
        self._session("fill")

    def _session(self, graph: str) -> Any:
        return self._opened(graph).result()

    def fill(self, request: CropRequest) -> np.ndarray:
        inputs = self.inputs(request)
        pictures = ({name: array[i : i + 1] for name, array in inputs.items()} for i in range(len(request.image)))
        # The graph takes one at a time.
        return np.concatenate([self._run(self._session("fill"), one) for one in pictures])

    def inputs(self, request: CropRequest) -> dict[str, np.ndarray]:
        """What fill.onnx takes, by name."""
        image, mask = request.image, request.mask
        inputs = {"image": image, "mask": mask, "deviation" if self.model.guesses_z else "w_mean": request.latent}
        noise = self.model.noise
        # Graphs of earlier versions hold it.
        if noise is not None and "noise" in self._input_names(self._session("fill")):
            inputs["noise"] = np.broadcast_to(noise, mask.shape) if request.noise is None else request.noise
        return inputs

    def mapping(self, z: np.ndarray) -> np.ndarray:
        return self._run(self._session("mapping"), {"z": z})

    def synthesis(self, w: np.ndarray) -> np.ndarray:
        return np.concatenate([self._run(self._session("synthesis"), {"w": one}) for one in w[:, None]])

    def _open(self, graph: str) -> Any:
        path, provider = self.model.file(f"{graph}.onnx"), PROVIDERS[self.device][0]
        providers = list(dict.fromkeys((provider, "CPUExecutionProvider")))
        try:
            session = onnxruntime.InferenceSession(path, session_options(self.threads), providers=providers)
        except Exception as error:  # the runtime's exceptions have no common base but Exception
            raise InputError(f"{path}: a graph that ONNX Runtime can't load ({error})") from None
        if provider not in session.get_providers():  # it falls back to the CPU without a word
            raise InputError(f"device {self.device!r}: ONNX Runtime can't use it on this machine; accepted: cpu")
        _give_back()
        return session

    @staticmethod
    def _input_names(session: onnxruntime.InferenceSession) -> set[str]:
        return {one.name for one in session.get_inputs()}

    @staticmethod
    def _run(session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray]) -> np.ndarray:
        output: np.ndarray = session.run(None, {k: np.ascontiguousarray(v, np.float32) for k, v in inputs.items()})[0]
        return output


def _give_back() -> None:
    """To the system what opening a graph has used and freed: 50 MB that glibc would keep for the thread's next need."""
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):  # another C library
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)


def _begun(pool: ThreadPoolExecutor, work: Callable[[str], Any], given: str) -> Future[Any]:
    """Work in a thread; done at once where there are none, as in a browser."""
    try:
        return pool.submit(work, given)
    except RuntimeError:
        done: Future[Any] = Future()
        done.set_result(work(given))
        return done


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

    Unasked, the runtime counts all cores of the machine, and ties its threads to them even where the process may not
    run.
    """
    machine = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    return threads if allowed == machine else min(threads or allowed, allowed)
