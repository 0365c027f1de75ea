"""A prior of half the size, for tables at 128 px: a generator without its last level, its toRGB fitted anew.

    python benchmarks/half_prior.py weights/face-generator.safetensors weights/face-generator-128.safetensors

The style codes stay what they are, so `codes` and `code_metric` of the whole generator serve, too. The new toRGB is
fitted by least squares to the whole generator's pictures, brought to half the size; printed is how near it comes to
those of other codes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from invertfill.cli import run
from invertfill.nn.generators.mobilestylegan import MobileStyleGANConfig, MobileStyleGANGenerator
from invertfill.training.checkpoint import write_tensors
from invertfill.training.inversion import load_prior

BATCH = 4
PIXELS = 2048  # of each picture, drawn by chance
HELD_OUT = 32  # codes that the fit doesn't see


def halve(whole: MobileStyleGANGenerator, config: MobileStyleGANConfig, count: int) -> MobileStyleGANGenerator:
    """The generator of half the size, its toRGB fitted on ``count`` codes."""
    shape = config.model_dump() | {"size": config.size // 2, "channels": config.channels[:-1]}
    half = MobileStyleGANConfig.model_validate(shape).build()
    mine = half.state_dict()
    kept = {name: tensor for name, tensor in whole.state_dict().items() if name in mine and not name.startswith("rgb")}
    # Not scaled by the style: a fit with the scales of the cut level comes 3 dB less near.
    kept |= {"rgb_affine.weight": mine["rgb_affine.weight"] * 0, "rgb_affine.bias": mine["rgb_affine.bias"] * 0 + 1}
    half.load_state_dict(mine | kept)

    channels = config.channels[-2]
    size = channels + config.latent_dim + 1
    products, targets = torch.zeros(size, size, dtype=torch.double), torch.zeros(size, 3, dtype=torch.double)
    for w in whole.mapping(torch.randn(count, whole.z_dim)).split(BATCH):
        activations, pictures = both(whole, half, w)
        for x, picture, code in zip(activations.flatten(2), pictures.flatten(2), w, strict=True):
            chosen = torch.randint(x.shape[1], (PIXELS,))
            constant = torch.cat([code, torch.ones(1)]).expand(PIXELS, -1)
            inputs = torch.cat([x[:, chosen].T, constant], 1).double()
            products += inputs.T @ inputs
            targets += inputs.T @ picture[:, chosen].T.double()
    # A touch of ridge, because codes alone vary in few directions.
    ridge = 1e-6 * products.diagonal().mean() * torch.eye(size, dtype=torch.double)
    fitted = torch.linalg.solve(products + ridge, targets).float().T  # (3, size)
    half.rgb_weight.copy_(fitted[:, :channels, None, None])
    half.rgb_bias.weight.copy_(fitted[:, channels:-1])
    half.rgb_bias.bias.copy_(fitted[:, -1])
    return half


def both(whole: MobileStyleGANGenerator, half: MobileStyleGANGenerator, w: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (N, D) -> activations (N, C, s/2, s/2), and the whole generator's pictures at that size."""
    w_plus = w[:, None].expand(-1, whole.num_layers, -1)
    x = whole.head(w_plus, half.size)
    return x, F.avg_pool2d(whole.tail(x, w_plus, half.size), 2)


def drawn(generator: MobileStyleGANGenerator, w: Tensor) -> Tensor:
    return generator.synthesis(w[:, None].expand(-1, generator.num_layers, -1))


@torch.no_grad()
def main(
    weights: Annotated[Path, typer.Argument(exists=True, help="Of the generator (convert_face_generator.py).")],
    out: Annotated[Path, typer.Argument(help="safetensors.")],
    count: Annotated[int, typer.Option(min=1, help="Of codes to fit by.")] = 400,
) -> None:
    """Write OUT."""
    torch.manual_seed(0)
    config = MobileStyleGANConfig()
    whole = config.build().eval()
    load_prior(whole, weights)
    half = halve(whole, config, count)
    errors = [
        F.mse_loss(drawn(half, w), F.avg_pool2d(drawn(whole, w), 2))
        for w in whole.mapping(torch.randn(HELD_OUT, whole.z_dim)).split(BATCH)
    ]
    write_tensors(out, half.state_dict(), {"source": f"{weights.name}, half its size (benchmarks/half_prior.py)"})
    print(f"wrote {out}: {10 * torch.log10(4 / torch.stack(errors).mean()):.1f} dB from the whole generator's pictures")


if __name__ == "__main__":
    run(main)
