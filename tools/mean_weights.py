"""Make a model folder of the mean of several runs' weights.

    python tools/mean_weights.py runs/scenery-256-migan=0.7 scenery-256=0.3 -o out/scenery-256

Runs that began from each other lie in one basin, so that the mean of their weights knows what each knows, without what
it forgot (Wortsman et al. 2022, "Model soups", arXiv 2203.05482). A source is a run, one of its checkpoints (of both
the moving average), or a model's name or folder. All are of one architecture, but for noise in the RGB branch, which a
source without it counts as having at strength 0. What the model says of itself is what the first source does; it names
the others.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invertfill.errors import InputError
from invertfill.export import export_model
from invertfill.nn.invertfill import InvertFill
from invertfill.registry import find_model
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
        config, provenance, place = found.config, found.provenance, found.folder
    model = InvertFill(config)
    load_model(model, place)
    return model, provenance


def mean(models: list[InvertFill], shares: list[float]) -> InvertFill:
    """Weights' mean, of which `shares` (that sum to 1) come from each model, as a new model like the first.

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
    if not source:
        raise argparse.ArgumentTypeError(f"{text!r}: SOURCE=SHARE is accepted")
    return source, float(share)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=share_of, nargs="+", metavar="SOURCE=SHARE", help="shares sum to 1")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the model folder")
    parser.add_argument("--name", help="what the model calls itself; the first source's name without it")
    parser.add_argument("--card", type=Path, help="the model card, Markdown")
    parser.add_argument("--pictures", type=Path, help="see `invertfill export`")
    arguments = parser.parse_args()
    names, shares = (list(each) for each in zip(*arguments.sources, strict=True))
    try:
        if abs(sum(shares) - 1) > 1e-6:
            raise InputError(f"the shares sum to {sum(shares):g}; 1 is accepted")
        models, origins = zip(*(read(name) for name in names), strict=True)
        provenance = origins[0] | {
            "mean_of": [
                {"share": share, **{key: origin.get(key) for key in ("name", "step", "commit", "seed")}}
                for share, origin in zip(shares, origins, strict=True)
            ]
        }
        if arguments.name:
            provenance["name"] = arguments.name
        card = arguments.card.read_text(encoding="utf-8") if arguments.card else None
        export_model(mean(list(models), shares), arguments.out, provenance, card, arguments.pictures)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"model: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
