"""Speed of both training stages on this machine, and what share of its matrix-product rate they reach.

    python benchmarks/training.py compact-256            # configs/compact-256-gan.yaml and -inversion.yaml
    python benchmarks/training.py tiny --batch 8 --out runs/speed.json

For each stage: images/s of the training step on pictures drawn at random, floating-point operations per image (forward
and backward, lazy regularisers at their share of steps; torch.utils.flop_counter, a multiply-add is two), and that rate
as a share of the largest square matrix product's in the same precision. Beside it, images/s of the data alone (order,
flips, masks on the fly), which prepare the next batch while a step runs: above the step's, training isn't starved.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from typer import Argument, Option

from invertfill.cli import run
from invertfill.imaging.files import make_folder
from invertfill.training.config import GanConfig, InversionConfig, MaskConfig, RunConfig, load_config
from invertfill.training.data.batches import Batch, Batches
from invertfill.training.data.readers import ImageSet
from invertfill.training.gan import GanTask
from invertfill.training.inversion import InversionTask
from invertfill.training.loop import Task

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
PICTURES = 64

Step = Callable[[Batch, int], dict[str, Tensor]]


class Operations(TorchDispatchMode):
    """Counts by torch's own formulas; without FlopCounterMode's per-module account, which fails on a frozen network
    in a forward pass without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def seconds(work: Callable[[int], object], times: int, device: torch.device) -> float:
    """Mean seconds of `work(0)`, `work(1)`, ... after one call to warm up."""
    work(0)
    wait(device)
    start = time.perf_counter()
    for i in range(times):
        work(i)
    wait(device)
    return (time.perf_counter() - start) / times


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the best of a few square matrix products."""
    best = 0.0
    for n in (1024, 2048) if device.type == "cpu" else (4096, 8192):
        a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
        best = max(best, *(2 * n**3 / seconds(lambda _, a=a, b=b: a @ b, 5, device) for _ in range(3)))  # type: ignore[misc]
    return best


def flops(step: Step, batch: Batch, period: int, cycles: tuple[int, ...]) -> float:
    """Operations of one step, averaged over `period` steps; those divisible by a cycle do more."""
    total, counted = 0, dict[tuple[bool, ...], int]()
    for number in range(period):
        kind = tuple(number % cycle == 0 for cycle in cycles)
        if kind not in counted:
            with Operations() as operations:
                step(batch, number)
            counted[kind] = operations.total
        total += counted[kind]
    return total / period


def data_rate(batches: Batches, batch: int, times: int) -> float:
    return batch / seconds(batches, times, batches.device)


def measure(
    family: str, stage: str, batch: int | None, steps: int, device: torch.device, folder: Path
) -> dict[str, Any]:
    path = CONFIGS / f"{family}-{stage}.yaml"
    changed = [f"data.path={folder}", *([f"batch={batch}"] if batch else [])]
    config: RunConfig
    task: Task
    cycles: tuple[int, ...] = ()
    masks: MaskConfig | None = None
    if stage == "gan":
        config = gan = load_config(GanConfig, path, changed)
        task, size, cycles = GanTask(gan, device), gan.generator.size, (gan.r1_every, gan.path_every)
    else:
        # Weights don't change the speed, so the generator's random ones will do.
        config = inversion = load_config(InversionConfig, path, [*changed, "prior=null", "init=null"])
        task, size, masks = InversionTask(inversion, device), inversion.model.generator.size, inversion.masks

    images = ImageSet(folder, size)
    batches = Batches(images, config.data, masks, batch=config.batch, seed=0, device=device)
    first = batches(0)
    operations = flops(task.train_step, first, max(cycles, default=1), cycles) / config.batch
    took = seconds(lambda n: task.train_step(first, n), steps, device)
    data = data_rate(batches, config.batch, 20)
    batches.close()
    peak = matmul_rate(device, torch.bfloat16 if task.precision == "bf16" else torch.float32)
    reached = operations * config.batch / took
    return {
        "config": path.name,
        "precision": task.precision,
        "batch": config.batch,
        "images_per_second": config.batch / took,
        "data_images_per_second": data,
        "gflop_per_image": operations / 1e9,
        "tflops_reached": reached / 1e12,
        "tflops_matmul": peak / 1e12,
        "share": reached / peak,
    }


def main(
    family: Annotated[str, Argument(help="paper-256, compact-256, faces-256 or tiny.")] = "compact-256",
    batch: Annotated[int | None, Option(help="The configuration's by default.")] = None,
    steps: Annotated[int, Option(help="Timed steps (16 hold every regulariser).")] = 16,
    out: Annotated[Path | None, Option(help="A JSON file for the figures.")] = None,
) -> None:
    """A table of both stages."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for i in range(PICTURES):
            pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).resize((256, 256)).save(Path(name, f"{i}.png"))
        for stage in ("gan", "inversion"):
            if (CONFIGS / f"{family}-{stage}.yaml").exists():
                rows.append(measure(family, stage, batch, steps, device, Path(name)))
    machine = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    table = Table("", *(Path(row["config"]).stem for row in rows), title=f"{machine}, torch {torch.__version__}")
    for key in list(rows[0])[1:]:
        table.add_row(key, *(f"{row[key]:.4g}" if isinstance(row[key], float) else str(row[key]) for row in rows))
    Console().print(table)
    if out:
        report = {"machine": machine, "torch": torch.__version__, "rows": rows}
        (make_folder(out.parent) / out.name).write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    run(main)
