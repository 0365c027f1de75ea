"""What the tests of whole training runs share: pictures, a command that trains, and what a run left behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from invertfill.training.data.batches import Batch

ROOT = Path(__file__).parent.parent
TRAIN = (
    "import sys; from invertfill.training import loop; getattr(loop, f'train_{sys.argv[1]}')(sys.argv[2], sys.argv[3:])"
)


def draw_pictures(folder: Path, count: int = 12, size: int = 32) -> Path:
    """Smooth random pictures, each different."""
    folder.mkdir(parents=True)
    for i in range(count):
        coarse = np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{i:02d}.png")
    return folder


def batch_of(images: Tensor, masks: Tensor | None = None) -> Batch:
    """Pictures of a set that they are all of, none mirrored."""
    return Batch(images, masks, torch.arange(len(images)), torch.zeros(len(images)).bool())


def config_of(stage: str) -> Path:
    return ROOT / "configs" / f"tiny-{stage}.yaml"


def train_command(stage: str, *overrides: str) -> list[str]:
    return [sys.executable, "-c", TRAIN, stage, str(config_of(stage)), *overrides]


def log_lines(run: Path) -> list[dict[str, Any]]:
    """The figures of a run's log, without what a clock says."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    clock = {"images_per_second", "data_wait"}
    return [{k: v for k, v in line.items() if k not in clock} for line in lines if "event" not in line]
