"""Make the start of `faces-256` from two fill networks: one that knows photographs, one whose generator knows faces.

    python recipes/faces-256/join_prior.py scenery-256 PRIOR --images data/faces/train -o joined

PRIOR is a fill network with a MobileStyleGAN, such as recipes/faces-256/inversion.yaml makes.
BODY's MI-GAN draws, without what it has at the coarsest resolutions (`--first` says where it begins): there, PRIOR's
MobileStyleGAN says what is in the picture, by the activations that it has up to `--prior` px. They join by convolutions
that are zero, so that OUT begins by filling as BODY does. Encoder, pre-modulation and mapping network are PRIOR's.

OUT/model.safetensors is what fit_sketch.py goes on from: what the prior draws from w* alone is random till then.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import torch
import torch.nn.functional as F
import typer
from safetensors.torch import load_file
from torch import Tensor, nn

from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.masks.sampler import sample_masks
from invertfill.nn.generators.migan import MIGANGenerator, SeparableConv, StyledConv
from invertfill.nn.generators.mobilestylegan import Level, LowRankInput, MobileStyleGANGenerator, Trunk
from invertfill.nn.generators.mobilestylegan import StyledConv as MobileConv
from invertfill.nn.invertfill import InvertFill
from invertfill.nn.rgb_branch import MIGANBranch
from invertfill.registry import FILES, find_model
from invertfill.training.checkpoint import write_tensors
from invertfill.training.data.readers import decode, open_source

PICTURES = 32  # over which the activations that BODY's coarse layers leave behind are averaged
LATENTS = 8192  # that say which directions of w the low-rank layer keeps


def load(name: str, kind: str) -> InvertFill:
    """A model whose generator is of a kind.

    Raises:
        InputError: no such model, or its generator is of another kind.
    """
    found = find_model(name)
    if (other := found.config["generator"]["kind"]) != kind:
        raise InputError(f"{name}: its generator is a {other}; a {kind} is accepted")
    model = InvertFill(found.config)
    model.load_state_dict(load_file(found.file(FILES[0])))
    return model.eval()


@torch.no_grad()
def copy_body(body: InvertFill, joined: InvertFill, images: Tensor, masks: Tensor) -> None:
    """The MI-GAN's layers at the resolutions that stay, as its own mean style vector scales them."""
    old, new = cast(MIGANGenerator, body.generator), cast(MIGANGenerator, joined.generator)
    w = body.w_mean[None]

    def copy(source: nn.Module, target: nn.Module) -> None:
        state = {k: v.clone() for k, v in source.state_dict().items() if not k.startswith("affine.")}
        scale = cast(StyledConv, source).affine(w)[0]
        if isinstance(target, StyledConv):
            target.affine.bias.copy_(scale)
        else:
            state["depthwise.weight"] *= scale[:, None, None, None]
        target.load_state_dict(state, strict=False)

    skipped = len(old.feature_channels) - len(new.feature_channels)
    activations: list[Tensor] = []
    hook = old.first[skipped - 1].register_forward_hook(lambda _, __, x: activations.append(x.mean(0, keepdim=True)))
    for image, mask in zip(images.split(4), masks.split(4), strict=True):
        body.draw(image, mask, w.expand(len(image), old.num_layers, -1))
    hook.remove()
    new.const.copy_(torch.stack(activations).mean(0))
    for i in range(len(new.feature_channels)):
        copy(old.second[i + skipped], new.second[i])
        new.to_rgb[i].load_state_dict(old.to_rgb[i + skipped].state_dict())
        if i:
            copy(old.first[i + skipped - 1], new.first[i - 1])

    theirs, mine = cast(MIGANBranch, body.rgb_branch), cast(MIGANBranch, joined.rgb_branch)
    state = {k: v for k, v in theirs.state_dict().items() if k in mine.state_dict() and not k.startswith("bottom.")}
    mine.load_state_dict(state, strict=False)
    nn.init.zeros_(cast(SeparableConv, mine.bottom[-1]).pointwise.weight)


@torch.no_grad()
def low_rank(trunk: Trunk, w: Tensor, rank: int) -> LowRankInput:
    """The layer at 4 px of a MobileStyleGAN, linear in w, as the best of a rank for such w: (N, D)."""
    first, dim = cast(MobileConv, trunk.first), w.shape[1]
    constant, width = cast(Tensor, trunk.input), cast(Level, trunk.blocks[0]).up.out_features

    def linear(w: Tensor) -> Tensor:  # (N, D) -> (N, 16 C)
        x = constant * first.affine(w)
        return (F.conv2d(x, first.weight, first.bias, padding=1) + first.noise).flatten(1)

    bias = linear(torch.zeros(1, dim))
    matrix = (linear(torch.eye(dim)) - bias).T.double()  # (16 C, D)
    mean, centred = w.mean(0).double(), (w - w.mean(0)).double()
    spread = torch.linalg.cholesky(centred.T @ centred / len(w) + 1e-9 * torch.eye(dim))
    left, values, _ = torch.linalg.svd(matrix @ spread, full_matrices=False)
    left = left[:, :rank]
    layer = LowRankInput(dim, width, rank)
    down, up = left.T @ matrix, left
    inwards, outwards = cast(nn.Linear, layer[0]), cast(nn.Linear, layer[1])
    inwards.weight.copy_(down)
    outwards.weight.copy_(up)
    outwards.bias.copy_(bias[0] + (matrix @ mean - up @ (down @ mean)))
    lost = values[rank:].square().sum() / values.square().sum()
    print(f"rank {rank}: {lost:.2%} of the variance at 4 px lost")
    return layer


def main(
    body_name: Annotated[str, typer.Argument(metavar="BODY")],
    prior_name: Annotated[str, typer.Argument(metavar="PRIOR")],
    images: Annotated[Path, typer.Option(help="Photographs or portraits.")],
    out: Annotated[Path, typer.Option("--out", "-o")],
    first: Annotated[int, typer.Option(help="Pixels a side where BODY's generator begins.")] = 8,
    prior: Annotated[int, typer.Option(help="Pixels a side up to which PRIOR's generator draws.")] = 32,
    rank: Annotated[int, typer.Option(help="Of what the prior has at 4 px.")] = 32,
) -> None:
    """Write OUT/model.safetensors."""
    torch.manual_seed(0)
    body, model = load(body_name, "migan"), load(prior_name, "mobilestylegan")
    generator = cast(MobileStyleGANGenerator, model.generator)
    channels = [c for r, c in body.generator.feature_channels.items() if r >= first]
    widths = [
        cast(Level, generator.blocks[0]).up.out_features,
        *(c for r, c in generator.feature_channels.items() if r <= prior),
    ]
    config = model.config | {
        "generator": {
            "kind": "migan",
            "size": body.generator.size,
            "channels": channels,
            "latent_dim": generator.latent_dim,
            "mapping_layers": len(generator.map),
            "prior": widths,
            "prior_rank": rank,
        },
        "rgb_branch": body.config["rgb_branch"],
    }
    joined = InvertFill(config).eval()
    with open_source(images) as (names, reader):
        chosen = np.random.default_rng(0).choice(len(names), PICTURES, replace=False)
        pictures = np.stack([decode(reader(names[i]), generator.size) for i in chosen])
    holes = np.stack(list(sample_masks(PICTURES, generator.size, "freeform", "all", seed=0))) > 0
    copy_body(
        body, joined, torch.tensor(pictures).permute(0, 3, 1, 2) / 127.5 - 1, torch.tensor(holes)[:, None].float()
    )

    target = cast(MIGANGenerator, joined.generator)
    assert target.prior is not None
    state = {
        k: v for k, v in generator.state_dict().items() if k in target.prior.state_dict() and not k.startswith("first.")
    }
    target.prior.load_state_dict(state, strict=False)
    with torch.no_grad():
        w = generator.mapping(torch.randn(LATENTS, generator.latent_dim))
    target.prior.first = low_rank(generator, w, rank)
    target.map.load_state_dict(generator.map.state_dict())
    joined.encoder.load_state_dict(model.encoder.state_dict())
    joined.w_mean.copy_(model.w_mean)
    # Of the levels above the prior, the second convolution's style vector.
    count = len(target.prior.levels)
    kept = [*range(count), *(3 * i + 3 for i, r in enumerate(generator.feature_channels) if r > prior)]
    for mine, theirs in enumerate(kept):
        joined.premodulation.hidden[mine].load_state_dict(model.premodulation.hidden[theirs].state_dict())
        joined.premodulation.affine[mine].load_state_dict(model.premodulation.affine[theirs].state_dict())
    write_tensors(out / FILES[0], joined.state_dict(), {"config": json.dumps(joined.config)})
    print(f"{out / FILES[0]}: {sum(p.numel() for p in joined.parameters()) / 1e6:.2f} M parameters")


if __name__ == "__main__":
    run(main)
