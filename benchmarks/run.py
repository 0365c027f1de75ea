"""How fast a fill is on this machine, as ratios within one run, and how its cost grows.

    python benchmarks/run.py --out out/speed            # targets.md, growth.md and growth.png
    python benchmarks/run.py --only targets --count 50

What is compared is timed in turns, and the median of the turns counts, so that what disturbs the machine disturbs both
sides. The timed path is the shipped one: the model by its engine, everything else by the command `invertfill` in a
process of its own, on files. Rows with other engines need the extras train and openvino, the plots the extra eval.
"""

from __future__ import annotations

import importlib.metadata
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import skimage
from machine import FLOPS, Product, best, copy_rate, describe
from packaging.requirements import Requirement
from PIL import Image, ImageOps
from profiling import example, profile
from rich.console import Console
from typer import Option

import invertfill
from invertfill.cli import run
from invertfill.engines import open_engine
from invertfill.engines.onnx import session_options
from invertfill.errors import InputError
from invertfill.imaging.files import make_folder
from invertfill.options import AUTO, FillOptions
from invertfill.pipeline.inpainter import open_inpainter
from invertfill.pipeline.outpainting import margins_for_aspect
from invertfill.registry import ModelInfo, find_model

EXAMPLES = Path(__file__).parent.parent / "examples"
PHOTO = EXAMPLES / "portrait-astronaut.png"
MASK = EXAMPLES / "masks" / "portrait-astronaut-box.png"
FACELESS, FACE = (Path(skimage.__file__).parent / "data" / name for name in ("coffee.png", "astronaut.png"))
FACE_HOLE = np.zeros((512, 512), bool)
FACE_HOLE[120:300, 180:260] = True  # mouth, chin and chest
TURNS = 9
PAUSE = 0.2  # seconds: the threads of whatever ran before look for more work for a while, and hold the cores
LARGE = (4000, 3000)  # 12 megapixels
OTHERS: tuple[tuple[str, dict[str, Any], str], ...] = (  # title, options, target
    ("OpenVINO", {"engine": "openvino"}, ""),
    ("PyTorch", {"engine": "torch"}, ""),
    ("`--quality best`", {"quality": "best"}, "20"),
)
console = Console(stderr=True)


def turns(*works: Callable[[], object], times: int = TURNS) -> list[float]:
    """Median seconds of each, timed in turns after one call of each to warm up."""
    took: list[list[float]] = [[] for _ in works]
    for turn in range(times + 1):
        for work, seconds in zip(works, took, strict=True):
            time.sleep(PAUSE)
            start = time.perf_counter()
            work()
            if turn:
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in took]


# Linux counts the memory that a process had before it became another program, so a small one stands between.
BETWEEN = """
import resource, subprocess, sys
status = subprocess.run([sys.executable, "-m", "invertfill", *sys.argv[1:]], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
sys.exit(status)
"""


def run_command(*arguments: object) -> float:
    """Run the command; its peak memory in MB."""
    command = [sys.executable, "-S", "-c", BETWEEN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"invertfill {' '.join(map(str, arguments))}: {done.stderr}")
    return float(done.stdout)


def installed_size() -> float:
    """MB of the base package and of all that it needs, as this environment holds them."""
    seen: set[str] = set()
    waiting, total = ["invertfill"], 0
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        files = [Path(str(file.locate())) for file in distribution.files or []]
        if name == "invertfill":  # which may be installed in a form that only refers to its source
            files = list((Path(__file__).parent.parent / "src" / "invertfill").rglob("*"))
        total += sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return total / 2**20


class Bench:
    """What is measured, on files in one folder.

    Args:
        model: a learned one.
        folder: for pictures; the caller empties it.
    """

    def __init__(self, model: ModelInfo, folder: Path) -> None:
        self.model, self.folder = model, folder
        self.out = folder / "out.png"

    def fill(self, picture: Path, mask: Path, out: Path | None = None, model: str = "") -> float:
        return run_command("fill", picture, "--mask", mask, "-o", out or self.out, "--model", model or self.model.name)

    def photo(self, width: int, height: int, share: float, of: Path = PHOTO) -> tuple[Path, Path]:
        """A picture at any size as JPEG, the portrait or another, with a disc of so large a share of it as hole."""
        name = f"{of.stem}-{width}x{height}"
        picture, mask = self.folder / f"{name}.jpg", self.folder / f"{name}-{share}.png"
        if not picture.exists():
            fitted = ImageOps.fit(Image.open(of).convert("RGB"), (width, height), Image.Resampling.BICUBIC)
            fitted.save(picture, quality=90)
        y, x = np.ogrid[:height, :width]
        disc = (y - height / 2) ** 2 + (x - width / 2) ** 2 <= width * height * share / np.pi
        Image.fromarray(disc).save(mask)
        return picture, mask

    def many(self, count: int) -> Path:
        """A folder of `count` copies of the example portrait."""
        folder = self.folder / f"{count}"
        folder.mkdir(exist_ok=True)
        for i in range(count):
            (folder / f"{i:04}.png").write_bytes(PHOTO.read_bytes())
        return folder

    def targets(self, count: int, peer: Path | None) -> list[tuple[str, str, float, str]]:
        """Rows: what is compared, the figures, their ratio or value, and the target."""
        rows = []
        console.print("in one process")
        size, large = self.model.size, self.model.size > 256
        files = self.photo(size, size, 0.25)
        picture, hole = (np.asarray(Image.open(path)) for path in files)
        other = self.photo(size, size, 0.25, FACELESS)
        inpainter, auto, portrait = (invertfill.load(name) for name in (self.model.name, AUTO, "faces-256"))
        chosen = invertfill.load(auto.fill(*other).model)
        engine = inpainter.engine
        request = example(engine)

        def graph() -> None:
            engine.fill(request)

        works = {
            "graph": graph,
            "fill": lambda: inpainter.fill(*files),
            "auto": lambda: auto.fill(*other),
            "chosen": lambda: chosen.fill(*other),
            "with a face": lambda: auto.fill(FACE, FACE_HOLE),
            "without": lambda: auto.fill(FACE, FACE_HOLE, faces="off"),
            "portrait": lambda: portrait.fill(PHOTO, MASK),
            "four": lambda: list(inpainter.fill_samples(*files, samples=4)),
            "wide": lambda: inpainter.outpaint(picture, **asdict(margins_for_aspect((size, size), "16:9"))),
        }
        if peer:
            session = onnxruntime.InferenceSession(peer, session_options(), providers=["CPUExecutionProvider"])
            planes = picture.transpose(2, 0, 1)[None], np.where(hole, 0, 255).astype(np.uint8)[None, None]
            inputs = dict(zip(("image", "mask"), planes, strict=True))
            works["peer"] = lambda: session.run(None, inputs)
        took = dict(zip(works, turns(*works.values()), strict=True))
        alone, fill = took["graph"], took["fill"]
        compared = f"fill {fill * 1e3:.0f} ms"
        rows.append(
            (
                "a fill, reading to compositing, against the graph alone",
                f"{compared}, graph {alone * 1e3:.0f} ms",
                fill / alone,
                "1.15",
            )
        )
        rate, copied = FLOPS / best(Product()), copy_rate()
        nodes = profile(self.model, 0, TURNS)
        limit = sum(max(node.flops / rate, node.bytes / copied) for node in nodes)
        what = f"{sum(node.seconds for node in nodes) * 1e3:.0f} ms, limit {limit * 1e3:.0f} ms"
        rows.append(("the graph against its layers' limits", what, sum(node.seconds for node in nodes) / limit, "1.25"))
        if peer:
            what = f"{compared}, MI-GAN {took['peer'] * 1e3:.0f} ms"
            rows.append(("a fill against MI-GAN's own pipeline", what, fill / took["peer"], "0.4" if large else ""))
        rows.append(
            (
                f"`auto`, no face at the hole, against {chosen.engine.model.name} by name",
                f"{took['auto'] * 1e3:.0f} ms, {took['chosen'] * 1e3:.0f} ms",
                took["auto"] / took["chosen"],
                "1.25",
            )
        )
        rows.append(
            (
                "what a face in a photograph adds, against a fill of faces-256",
                f"{took['with a face'] * 1e3:.0f} ms with, {took['without'] * 1e3:.0f} without it,"
                f" {took['portrait'] * 1e3:.0f} ms",
                (took["with a face"] - took["without"]) / took["portrait"],
                "1.1",
            )
        )
        each = (took["four"] - fill) / 3
        what = f"{each * 1e3:.0f} ms, graph {alone * 1e3:.0f} ms"
        rows.append(("each further variant against the graph alone", what, each / alone, "1.15"))
        rows.append(
            (
                f"outpainting {size} px to 16:9 against a fill",
                f"{took['wide'] * 1e3:.0f} ms, {compared}",
                took["wide"] / fill,
                "2.2",
            )
        )
        # Other engines afterwards, one by one: a user's process has none of their threads.
        for title, options, target in OTHERS:
            try:
                varied = open_inpainter(FillOptions(self.model.name, device="cpu", **options))
                again, varied_took = turns(works["fill"], partial(varied.fill, *files), times=3)
            except InputError as error:  # without the extra, or where it can't compute the model
                console.print(f"no row for {title}: {error}")
                continue
            what = f"{varied_took * 1e3:.0f} ms, fill {again * 1e3:.0f} ms"
            rows.append((f"{title} against a fill", what, varied_took / again, target))
            del varied

        console.print("whole processes")
        huge = self.photo(*LARGE, 0.01)
        memory: list[float] = []
        again, whole, by_name, by_auto, twelve = turns(
            works["fill"],
            lambda: memory.append(self.fill(*files)),
            lambda: self.fill(*other, model=chosen.engine.model.name),
            lambda: run_command("fill", other[0], "--mask", other[1], "-o", self.out),
            lambda: self.fill(*huge, self.folder / "out.jpg"),
            times=5,
        )
        what = f"{whole:.2f} s, fill {again:.2f} s"
        rows.append(("`invertfill fill` beyond one steady fill, seconds", what, whole - again, "0.35"))
        rows.append(("peak memory of that process, MB", "", max(memory), "450" if large else "300"))
        rows.append(
            (
                f"`invertfill fill` with `auto`, no face at the hole, against {chosen.engine.model.name} by name",
                f"{by_auto:.2f} s, {by_name:.2f} s",
                by_auto / by_name,
                "1.25",
            )
        )
        what = f"{twelve:.2f} s, {whole:.2f} s"
        rows.append((f"12 megapixels, 1 % hole, against {size} px", what, twelve / whole, "3"))

        console.print(f"{count} photos")
        before, folder, after = (turns(work, times=1)[0] for work in (graph, lambda: self.fill_many(count), graph))
        each = statistics.mean((alone, before, after))
        what = f"{folder:.1f} s, {count} x {each * 1e3:.0f} ms"
        rows.append(
            (f"{count} photos of 256 px against {count} runs of the graph", what, folder / (count * each), "1.1")
        )
        rows.append(("installed base package, MB", "", installed_size(), "250"))
        return rows

    def fill_many(self, count: int) -> float:
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            return self.fill(self.many(count), MASK, Path(out) / "filled")

    def batch(self, count: int, workers: int) -> float:
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            options = ("--masks", MASK, "--model", self.model.name, "--workers", workers)
            return run_command("batch", self.many(count), "-o", Path(out) / "filled", *options)

    def growth(self) -> dict[str, list[tuple[float, float, float]]]:
        """What varies -> (its value, seconds, peak MB; NaN where it isn't a process of its own)."""
        found: dict[str, list[tuple[float, float, float]]] = {}

        def measure(name: str, value: float, work: Callable[[], float]) -> None:
            memory: list[float] = []
            console.print(f"{name}: {value}")
            (seconds,) = turns(lambda: memory.append(work()), times=2)
            found.setdefault(name, []).append((value, seconds, max(memory)))

        def alone(threads: int, batch: int) -> Callable[[], float]:
            engine = open_engine(self.model, FillOptions(), threads)
            request = example(engine, batch)

            def work() -> float:
                engine.fill(request)
                return np.nan

            return work

        hole = 100_000  # pixels
        for megapixels in (0.25, 1, 4, 12, 48):
            height = round((megapixels * 1e6 * 0.75) ** 0.5)
            files = self.photo(round(height / 0.75), height, hole / (megapixels * 1e6))
            measure("megapixels, with a hole of 0.1", megapixels, partial(self.fill, *files))
        for share in (0.001, 0.01, 0.05, 0.2, 0.5):
            measure("hole in % of 12 megapixels", 100 * share, partial(self.fill, *self.photo(*LARGE, share)))
        for count in (1, 4, 16, 48):
            measure("files of 256 px", count, partial(self.fill_many, count))
        for workers in (1, 2, 4):
            measure("workers, 32 files", workers, partial(self.batch, 32, workers))
        for threads in range(1, (os.cpu_count() or 1) + 1):
            measure("threads, model alone", threads, alone(threads, 1))
        for batch in (1, 2, 4, 8):
            measure("pictures at once, model alone", batch, alone(0, batch))
        return found


def plot(found: dict[str, list[tuple[float, float, float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(2, 3).flat, found.items(), strict=True):
        values, seconds, memory = zip(*points, strict=True)
        axes.plot(values, seconds, "o-")
        axes.set(xlabel=name, ylabel="s", ylim=(0, None))
        if not np.isnan(memory).any():
            right = axes.twinx()
            right.plot(values, memory, "s:", color="grey")
            right.set(ylabel="peak MB (dotted)", ylim=(0, None))
    figure.savefig(path, dpi=100)


def main(
    model: str = "faces-256",
    count: Annotated[int, Option(help="Photos in the folder.")] = 200,
    only: Annotated[str, Option(help="targets or growth.")] = "",
    peer: Annotated[Path | None, Option(help="MI-GAN's own pipeline: see benchmarks/peer.py.")] = None,
    out: Annotated[Path | None, Option(help="A folder for Markdown and plots; printed without it.")] = None,
) -> None:
    """Both tables."""
    found_model, texts = find_model(model), {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(found_model, Path(folder))
        about = f"{describe('onnxruntime', 'numpy')}; model {found_model.name} (SHA-256 {found_model.sha256[:12]})\n\n"
        if only != "growth":
            lines = ["| what | measured | ratio or value | target, at most |", "|---|---|---|---|"]
            lines += [f"| {a} | {b} | {value:.3g} | {target} |" for a, b, value, target in bench.targets(count, peer)]
            texts["targets.md"] = about + "\n".join(lines) + "\n"
        if only != "targets":
            found = bench.growth()
            lines = ["| what varies | value | s | peak MB |", "|---|---|---|---|"]
            for name, points in found.items():
                for value, seconds, memory in points:
                    peak = "" if np.isnan(memory) else f"{memory:.0f}"
                    lines.append(f"| {name} | {value:g} | {seconds:.3g} | {peak} |")
            texts["growth.md"] = about + "\n".join(lines) + "\n"
            if out:
                plot(found, make_folder(out) / "growth.png")
    for name, text in texts.items():
        if out:
            (make_folder(out) / name).write_text(text)
        print(text)


if __name__ == "__main__":
    run(main)
