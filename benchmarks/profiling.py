"""Where the time of one fill goes, layer by layer, and what bounds each: arithmetic or memory.

    python benchmarks/profiling.py --model faces-256 --out profile.md

ONNX Runtime's own profiler times each node of the graph as it runs it: fused, reordered, constants folded. Operations
(a multiply-add is two) and bytes follow from the shapes that it reports. A node can't be faster than its operations at
the machine's rate of matrix products, nor than its bytes at the rate of copying; "limit" is the larger of the two.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
from machine import FLOPS, Product, best, copy_rate, describe
from typer import Option

from invertfill.cli import run
from invertfill.engines.base import CropRequest, Engine, latent_of
from invertfill.engines.onnx import OnnxEngine, session_options
from invertfill.registry import ModelInfo, find_model

PARTS = (
    "encoder",
    "RGB branch",
    "generator, to 32 px",
    *(f"generator, {side} px" for side in (64, 128, 256, 512)),
    "styles and weights",
)


@dataclass(frozen=True)
class Node:
    """One node of the graph that ran.

    Attributes:
        name, kind: its own and its operator's.
        seconds: mean over the runs.
        flops: of products; element by element there are none.
        bytes: read and written.
        shape: of the output.
    """

    name: str
    kind: str
    seconds: float
    flops: int
    bytes: int
    shape: tuple[int, ...]

    @property
    def part(self) -> str:
        if re.search("encoder|map2style|premodulation", self.name):
            return "encoder"
        if "rgb_branch" in self.name:
            return "RGB branch"
        side = math.isqrt(self.shape[-1]) if len(self.shape) == 3 else self.shape[-1]  # the last product's is flat
        if len(self.shape) < 3 or math.prod(self.shape) % side**2 or (len(self.shape) == 4 and self.shape[-2] != side):
            return "styles and weights"
        return f"generator, {side} px" if side > 32 else "generator, to 32 px"


def shapes(reported: list[dict[str, list[int]]]) -> list[tuple[int, ...]]:
    return [tuple(*entry.values()) for entry in reported]


def flops(kind: str, inputs: list[tuple[int, ...]], output: tuple[int, ...]) -> int:
    if kind in ("Conv", "FusedConv"):
        return 2 * math.prod(output) * math.prod(inputs[1][1:])
    if kind in ("Gemm", "FusedGemm", "MatMul", "FusedMatMul"):
        return 2 * math.prod(output) * inputs[0][-1]
    return 0


def example(engine: Engine, count: int = 1) -> CropRequest:
    """Of that many crops; the hole is half of the pixels."""
    size, rng = engine.model.size, np.random.default_rng(0)
    image = rng.uniform(-1, 1, (count, 3, size, size)).astype(np.float32)
    mask = (rng.random((count, 1, size, size)) > 0.5).astype(np.float32)
    return CropRequest(image, mask, latent_of(engine).repeat(count, 0))


def profile(model: ModelInfo, threads: int, times: int) -> list[Node]:
    """The nodes of fill.onnx, in the order in which they run."""
    engine = OnnxEngine(model)
    inputs = engine.inputs(example(engine))
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(model.file("fill.onnx"), options, ["CPUExecutionProvider"])
        for _ in range(times + 1):
            session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            runs[event["name"].removesuffix("_kernel_time")].append(event)
    nodes = []
    for name, timed in runs.items():
        about = timed[0]["args"]
        output = shapes(about["output_type_shape"])[0]
        count = flops(about["op_name"], shapes(about["input_type_shape"]), output)
        moved = sum(int(about[key]) for key in ("activation_size", "parameter_size", "output_size"))
        seconds = float(np.median([event["dur"] for event in timed[1:]])) / 1e6
        nodes.append(Node(name, about["op_name"], seconds, count, moved, output))
    return nodes


def table(nodes: list[Node], rate: float, copied: float, rows: int) -> str:
    """Markdown."""
    lines = ["| part | ms | GFLOP | MB moved | limit ms | ms beyond products |", "|---|---|---|---|---|---|"]
    parts: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        parts[node.part].append(node)
    for part in [*PARTS, "whole"]:
        if not (chosen := nodes if part == "whole" else parts[part]):
            continue
        figures = [sum(node.seconds for node in chosen) * 1e3, sum(node.flops for node in chosen) / 1e9]
        figures += [sum(node.bytes for node in chosen) / 1e6]
        figures += [sum(max(node.flops / rate, node.bytes / copied) for node in chosen) * 1e3]
        figures += [sum(node.seconds for node in chosen if not node.flops) * 1e3]
        lines.append(f"| {part} | " + " | ".join(f"{figure:.3g}" for figure in figures) + " |")
    lines += [
        "",
        "| node | operator | output | ms | GFLOP | MB moved | bound by | limit / time |",
        "|---|" + "---|" * 7,
    ]
    for node in sorted(nodes, key=lambda node: -node.seconds)[:rows]:
        arithmetic, memory = node.flops / rate, node.bytes / copied
        bound = "arithmetic" if arithmetic > memory else "memory"
        name = node.name.removeprefix("/model/").removesuffix("_nchwc").removesuffix("_output_0")
        shape = " x ".join(map(str, node.shape))
        lines.append(
            f"| {name} | {node.kind} | {shape} | {node.seconds * 1e3:.3g} | {node.flops / 1e9:.3g} |"
            f" {node.bytes / 1e6:.3g} | {bound} | {max(arithmetic, memory) / node.seconds:.2f} |"
        )
    return "\n".join(lines)


def main(
    model: str = "faces-256",
    threads: Annotated[int, Option(help="0 takes all cores.")] = 0,
    times: Annotated[int, Option(help="Runs; the median of each node counts.")] = 10,
    rows: Annotated[int, Option(help="Nodes that are listed, slowest first.")] = 30,
    out: Annotated[Path | None, Option(help="A Markdown file; printed without it.")] = None,
) -> None:
    """Tables of the parts and of the slowest nodes."""
    rate, copied = FLOPS / best(Product()), copy_rate()
    nodes = profile(find_model(model), threads, times)
    text = (
        f"{describe('onnxruntime', 'numpy')}\n\nMatrix products at {rate / 1e9:.0f} GFLOP/s, copying at"
        f" {copied / 1e9:.1f} GB/s (read and written).\n\n{table(nodes, rate, copied, rows)}\n"
    )
    if out:
        out.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    run(main)
