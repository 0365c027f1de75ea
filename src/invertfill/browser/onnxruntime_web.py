"""The part of onnxruntime's interface that InvertFill uses, by ONNX Runtime Web.

In a browser it stands for that package. The graphs run in a worker of their own (page/graphs-worker.js), so a call
hands the inputs over and waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from invertfill_graphs import call
from js import Object
from pyodide.ffi import run_sync, to_js

from invertfill.registry import FILES, WEIGHTS


class SessionOptions:
    """Takes what onnxruntime's takes; the worker decides for itself."""


@dataclass(frozen=True)
class Named:
    """An input of a graph."""

    name: str


class InferenceSession:
    """A graph below ``WEIGHTS``.

    Raises:
        RuntimeError: one that ONNX Runtime Web can't open or run.
    """

    def __init__(self, path: str | Path, options: SessionOptions | None = None, providers: Sequence[str] = ()) -> None:
        path = Path(path)
        weights = path.with_name(FILES[0])
        self._about = {
            "graph": path.relative_to(WEIGHTS.parent).as_posix(),
            "weights": weights.name if weights.exists() else None,
        }
        self._inputs = [Named(name) for name in _ask(self._about)["inputs"]]

    def get_inputs(self) -> list[Named]:
        return self._inputs

    def get_providers(self) -> list[str]:
        return get_available_providers()

    def run(self, _: None, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs; inputs and outputs are float32."""
        given = {
            name: {"data": np.ascontiguousarray(value, np.float32).ravel(), "dims": value.shape}
            for name, value in inputs.items()
        }
        outputs = _ask({**self._about, "inputs": given})["outputs"]
        return [np.frombuffer(output["data"], np.float32).reshape(output["dims"]) for output in outputs]


def get_available_providers() -> list[str]:
    return ["CPUExecutionProvider"]


def _ask(question: Mapping[str, Any]) -> dict[str, Any]:
    answer = call(to_js(question, dict_converter=Object.fromEntries))
    if isinstance(answer, Awaitable):  # memory can't be shared
        answer = run_sync(answer)
    told: dict[str, Any] = answer.to_py()
    if told.get("error"):
        raise RuntimeError(told["error"])
    return told
