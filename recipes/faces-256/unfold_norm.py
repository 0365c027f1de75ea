"""Give a model's encoder the batch normalisation back that was folded away, so that its codes can be learned on.

    python recipes/faces-256/unfold_norm.py faces-256 --images data/faces/train -o weights/unfolded.safetensors
    invertfill train inversion recipes/faces-256/joined-codes.yaml init=weights/unfolded.safetensors

Each normalisation gets the mean and variance that its convolution has on masked pictures, as what it expects and as
what it makes of that: in inference the encoder does what it did. OUT is for `init`, with model.encoder.norm true.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.nn.invertfill import InvertFill
from invertfill.registry import FILES, find_model
from invertfill.training.checkpoint import write_tensors
from invertfill.training.config import DataConfig, MaskConfig
from invertfill.training.data.batches import Batches
from invertfill.training.data.readers import ImageSet
from invertfill.training.inversion import load_model


@torch.no_grad()
def unfold(model: InvertFill, images: Tensor, masks: Tensor) -> InvertFill:
    """A copy whose encoder has normalisation.

    Args:
        model: whose encoder has none.
        images: (N, 3, s, s) in [-1, 1], to measure on.
        masks: (N, 1, s, s), 1 = hole.
    """
    found: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: found.update({name: output.detach()}))
        for name, module in model.encoder.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    model.eval().encode(images, masks)
    for hook in hooks:
        hook.remove()

    config = copy.deepcopy(model.config)
    config["encoder"]["norm"] = True
    unfolded = InvertFill(config).eval()
    stored = model.state_dict()
    state = unfolded.state_dict() | {k: v for k, v in stored.items() if k in unfolded.state_dict()}
    for name, pair in unfolded.encoder.named_modules():
        if isinstance(pair, nn.Sequential) and isinstance(pair[-1], nn.BatchNorm2d):
            variance, mean = torch.var_mean(found[name], (0, 2, 3))
            place = f"encoder.{name}"
            state |= {f"{place}.0.{key}": stored[f"{place}.{key}"] for key in ("weight", "bias")}
            state |= {f"{place}.1.running_mean": mean, f"{place}.1.bias": mean}
            state |= {f"{place}.1.running_var": variance, f"{place}.1.weight": (variance + pair[-1].eps).sqrt()}
    unfolded.load_state_dict(state)
    return unfolded


def main(
    model: Annotated[str, typer.Argument(help="A model's name or folder.")],
    images: Annotated[Path, typer.Option(help="Pictures to measure on: a folder, zip or tar.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A .safetensors file.")],
    count: Annotated[int, typer.Option(min=8)] = 256,
) -> None:
    """Write OUT."""
    found = find_model(model)
    folded = InvertFill(found.config)
    load_model(folded, found.file(FILES[0]).parent)
    pictures = ImageSet(images, folded.generator.size, limit=count)
    if found.config["encoder"].get("norm") or found.config["encoder"].get("trunk") != "compact":
        raise InputError(f"{model}: a compact encoder without normalisation is accepted")
    device = torch.device("cpu")
    batches = Batches(pictures, DataConfig(path=images), MaskConfig(), batch=1, seed=0, device=device)
    examples = batches.examples(count)
    assert examples.masks is not None
    unfolded = unfold(folded, examples.images, examples.masks)
    write_tensors(out, unfolded.state_dict())


if __name__ == "__main__":
    run(main)
