"""OpenVINO on the CPU: ONNX Runtime's graphs in bfloat16 where the processor has it. Faster, but slower to open."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

# Importing OpenVINO reports it to Intel by way of this module, and writes to ~/intel; without it, it does neither.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

from invertfill.engines.onnx import OnnxEngine  # noqa: E402
from invertfill.errors import InputError  # noqa: E402


class OpenVinoEngine(OnnxEngine):
    """See `invertfill.engines.base.Engine`. Without bfloat16 instructions it computes in float32."""

    name = "openvino"

    def _open(self, graph: str) -> Any:
        path = self.model.file(f"{graph}.onnx")
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if has_bf16() else "f32",
            "INFERENCE_NUM_THREADS": self.threads,
        }
        try:
            return openvino.Core().compile_model(path, "CPU", settings)
        except Exception as error:  # whatever OpenVINO's plug-ins throw
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: a graph that OpenVINO can't load ({reason})") from None

    @staticmethod
    def _input_names(session: Any) -> set[str]:
        return {name for one in session.inputs for name in one.names}

    @staticmethod
    def _run(session: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
        # A request of its own for each call: several threads of a server may run one model.
        outputs = session.create_infer_request().infer({k: np.asarray(v, np.float32) for k, v in inputs.items()})
        return np.array(outputs[0], np.float32)


def has_bf16() -> bool:
    """Whether this processor computes in bfloat16 itself."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
