"""Make a model folder of the mean of several runs' weights.

    python recipes/faces-256/mean_weights.py runs/faces-256-joined=0.6 faces-256=0.4 -o out/faces-256

Runs that began from each other lie in one basin, so that the mean of their weights knows what each knows, without what
it forgot (Wortsman et al. 2022, "Model soups", arXiv 2203.05482). A source is a run, one of its checkpoints (of both
the moving average), or a model's name or folder. All are of one architecture, but for noise in the RGB branch, which a
source without it counts as having at strength 0. What the model says of itself is what the first source does; it names
the others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors import safe_open
from torch import Tensor

from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.export import export_model
from invertfill.nn.invertfill import InvertFill
from invertfill.registry import FILES, find_model
from invertfill.training.checkpoint import STATE, newest_checkpoint, provenance_of
from invertfill.training.inversion import load_model, model_config


def read(source: str) -> tuple[InvertFill, dict[str, Any]]:
    """A source's network and provenance.

    Raises:
        InputError: nothing of the kind.
    """
    checkpoint = newest_checkpoint(Path(source)) or Path(source)
    if (checkpoint / STATE).is_file():
        config, provenance, place = model_config(checkpoint), provenance_of(checkpoint), checkpoint
    else:
        found = find_model(source)
        if found.folder is None:
            raise InputError(f"{source}: has no weights; accepted: a run, or a learned model")
        config, place = found.config, found.folder
        with safe_open(place / FILES[0], "pt") as file:
            provenance = json.loads(file.metadata().get("provenance", "{}"))
    model = InvertFill(config)
    load_model(model, place)
    return model, provenance


def mean(models: list[InvertFill], shares: list[float]) -> InvertFill:
    """The mean of models' weights, by `shares` that sum to 1, as a new model like the first.

    Raises:
        InputError: the models differ by more than noise in the RGB branch.
    """
    merged = InvertFill(models[0].config)
    states = [model.state_dict() for model in models]
    tensors: dict[str, Tensor] = {}
    for name, first in states[0].items():
        if name.startswith("rgb_branch.noise"):
            for state in states[1:]:
                state.setdefault(name, first if name == "rgb_branch.noise.pixels" else torch.zeros_like(first))
        if any(name not in state or state[name].shape != first.shape for state in states):
            raise InputError(f"{name}: not alike in all sources; models of one architecture are accepted")
        weighed = [share * state[name] for share, state in zip(shares, states, strict=True)]
        tensors[name] = torch.stack(weighed).sum(0)
    if unknown := {name for state in states[1:] for name in state} - set(tensors):
        raise InputError(f"{min(unknown)}: the first source hasn't it; models of one architecture are accepted")
    merged.load_state_dict(tensors)
    return merged


def share_of(text: str) -> tuple[str, float]:
    """SOURCE=SHARE."""
    source, _, share = text.rpartition("=")
    try:
        return source, float(share)
    except ValueError:
        raise InputError(f"{text}: SOURCE=SHARE is accepted") from None


def main(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE=SHARE...", help="Shares sum to 1.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model folder.")],
    name: Annotated[str, typer.Option(help="What the model calls itself; without it, as the first source.")] = "",
    card: Annotated[Path | None, typer.Option(exists=True, help="The model card, Markdown.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="See `invertfill export`.")] = None,
) -> None:
    """Write the model folder OUT."""
    names, shares = (list(each) for each in zip(*map(share_of, sources), strict=True))
    if abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"the shares sum to {sum(shares):g}; 1 is accepted")
    models, origins = zip(*(read(source) for source in names), strict=True)
    provenance = origins[0] | {
        "mean_of": [
            {"share": share, **{key: origin.get(key) for key in ("name", "step", "commit", "seed")}}
            for share, origin in zip(shares, origins, strict=True)
        ]
    }
    if name:
        provenance["name"] = name
    text = card.read_text(encoding="utf-8") if card else None
    export_model(mean(list(models), shares), out, provenance, text, pictures)
    print(f"model: {out}")


if __name__ == "__main__":
    run(main)
