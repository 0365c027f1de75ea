"""What a machine can do, for the benchmarks to compare with: its rate of matrix products and of copying; its name."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

SIDE = 2048  # of the matrix product that rates are taken from
FLOPS = 2 * SIDE**3
COPIED = 2**26  # bytes: far more than caches hold


def best(work: Callable[[], object], times: int = 5) -> float:
    """Least seconds of `times` calls after one to warm up: what the work takes when nothing disturbs it."""
    work()
    took = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


class Product:
    """A 2048 x 2048 x 2048 product in float32 on all cores. Called, it multiplies.

    By ONNX Runtime: NumPy's OpenBLAS may be told by OPENBLAS_CORETYPE to use the kernels of an older processor, and a
    machine that looks slow makes a model look fast.
    """

    def __init__(self) -> None:
        ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [SIDE, SIDE]) for name in "abc"]
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["a", "b"], ["c"])], "product", ends[:2], ends[2:]
        )
        opset = [onnx.helper.make_opsetid("", 17)]
        model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        a, b = np.random.default_rng(0).standard_normal((2, SIDE, SIDE), np.float32)
        self.inputs = {"a": a, "b": b}

    def __call__(self) -> None:
        self.session.run(None, self.inputs)


def copy_rate() -> float:
    """Bytes/s read and written by one thread for each core, each with memory of its own."""
    cores = os.cpu_count() or 1
    pairs = [(np.zeros(COPIED, np.uint8), np.ones(COPIED, np.uint8)) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        return 2 * COPIED * cores / best(lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs)))


def describe(*packages: str) -> str:
    """One line: processor, cores, system, Python, versions, commit."""
    processor = platform.processor() or platform.machine()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return (
        f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {versions};"
        f" commit {commit}"
    )
