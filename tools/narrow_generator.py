"""Take channels away from the last two resolutions of a fill network's MobileStyleGAN, and let the rest make up for it.

    python tools/narrow_generator.py MODEL narrow/faces-256 --images data/faces/train

More than half of a fill's time in the model goes into 128 and 256 px. The channels that stay there are those that
contribute most to what follows; then the narrowed levels, toRGB and the RGB branch's outputs to them learn to draw what
the wide ones drew, from the same activations at 64 px: L1, and LPIPS on VGG16, without which fine texture fades. Mostly
these are fills of masked pictures, every fourth time pictures of random latents.

OUT/model.safetensors is what a run's `init` goes on from, with the channels that are printed. The fixed noise of these
levels goes: it can't be seen, and costs a pass of its own.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from invertfill.losses.lpips import LPIPS
from invertfill.nn.generators.mobilestylegan import Level, MobileStyleGANGenerator, StyledConv
from invertfill.nn.invertfill import InvertFill
from invertfill.training.config import AdamConfig, DataConfig, MaskConfig
from invertfill.training.data.batches import Batches
from invertfill.training.data.readers import ImageSet
from invertfill.training.inversion import learning_rate, load_model

MEASURED = 8  # batches over which activations are measured
STRIDE = 7  # of their places every seventh
SCALES = (1, 4, 16)  # px a side of the squares whose means are compared
LPIPS_WEIGHT = 0.5
WINDOW = 96  # px, of which LPIPS sees one of each picture


def parts(model: InvertFill) -> tuple[MobileStyleGANGenerator, Level, Level]:
    """The generator and its last two levels: at 128 and 256 px."""
    generator = cast(MobileStyleGANGenerator, model.generator)
    half, full = cast("list[Level]", list(generator.blocks[-2:]))
    return generator, half, full


def cut(generator: MobileStyleGANGenerator) -> int:
    """The resolution up to which everything stays as it is."""
    return generator.size // 4


def features_of(model: InvertFill, images: Tensor, masks: Tensor) -> dict[int, Tensor]:
    assert model.rgb_branch is not None
    return cast("dict[int, Tensor]", model.rgb_branch(images * (1 - masks), masks))


@torch.no_grad()
def grams(model: InvertFill, batches: Batches) -> list[Tensor]:
    """Second moments (C + 1, C + 1) of what the two levels' pointwise convolutions and toRGB add up, and of 1 (the
    bias): behind half's first, half's second, full's first and full's second convolution."""
    generator, half, full = parts(model)
    found: dict[str, Tensor] = {}

    def count(name: str, x: Tensor) -> None:
        rows = F.pad(x, (0, 0, 0, 0, 0, 1), value=1.0).movedim(1, -1).flatten(0, -2)[::STRIDE]
        found[name] = found.get(name, torch.zeros(())) + rows.T.double() @ rows.double() / len(rows)

    def before(name: str) -> Any:
        def hook(conv: StyledConv, inputs: tuple[Tensor, Tensor]) -> None:
            x = inputs[0] * conv.affine(inputs[1])
            assert conv.depthwise is not None
            count(name, F.conv2d(x, conv.depthwise, padding=1, groups=x.shape[1]))

        return hook

    convs = {"half2": half.conv2, "full1": full.conv1, "full2": full.conv2}
    handles = [conv.register_forward_pre_hook(before(name)) for name, conv in convs.items()]
    for step in range(MEASURED):
        batch = batches(step)
        assert batch.masks is not None
        w = model.encode(batch.images, batch.masks)[0]
        features = features_of(model, batch.images, batch.masks)
        x = generator.head(w, cut(generator))  # without the features up to there: near enough
        for level, i in ((half, -2), (full, -1)):
            place = 3 * len(generator.blocks) + 3 * i + 1
            x = level(x, *w[:, place : place + 3].unbind(1), features.get(generator.size >> (-1 - i)))
        count("rgb", x * generator.rgb_affine(w[:, -1]))
    for handle in handles:
        handle.remove()
    return [found[name] for name in ("half2", "full1", "full2", "rgb")]


def refit(weight: Tensor, gram: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (out, kept) and what they add to the bias (out,), by which the kept inputs come nearest to what all
    inputs (out, in) add up to: least squares."""
    basis = torch.cat([keep, torch.tensor([len(gram) - 1])])
    inside = gram[basis][:, basis]
    inside = inside + 1e-6 * inside.diagonal().diag()
    solved = torch.linalg.solve(inside, gram[basis][:, :-1] @ weight.double().T).float()  # (kept + 1, out)
    return solved[:-1].T, solved[-1]


@torch.no_grad()
def narrow(model: InvertFill, found: list[Tensor], half_channels: int, full_channels: int) -> InvertFill:
    """A copy with so many channels at 128 and 256 px: those that contribute most, the others' part by least squares."""
    config = json.loads(json.dumps(model.config))
    config["generator"]["channels"][-2:] = [half_channels, full_channels]
    small = InvertFill(config)
    state = model.state_dict()
    a, b = (f"blocks.{len(config['generator']['channels']) - i}" for i in (3, 2))
    readers = (f"{a}.conv2.weight", f"{b}.conv1.weight", f"{b}.conv2.weight", "rgb_weight")
    counts = (half_channels, half_channels // 4, full_channels, full_channels)
    keep = []
    for name, gram, k in zip(readers, found, counts, strict=True):
        weight = state[f"generator.{name}"].flatten(1)
        kept = (gram.diagonal()[:-1] * weight.square().sum(0)).topk(k).indices.sort().values
        fitted, shift = refit(weight, gram, kept)
        state[f"generator.{name}"] = fitted[..., None, None]
        bias = "rgb_bias.bias" if name == "rgb_weight" else name.replace("weight", "bias")
        state[f"generator.{bias}"] = state[f"generator.{bias}"] + shift
        keep.append(kept)
    wide = model.config["generator"]["channels"][-2] // 4
    banded = torch.cat([keep[1] + band * wide for band in range(4)])  # low-pass, vertical, horizontal, diagonal
    inputs = ("affine.weight", "affine.bias", "depthwise")
    for prefix, names, channels in (
        (f"generator.{a}.conv1", ("weight", "bias"), keep[0]),
        (f"generator.{a}.conv2", inputs, keep[0]),
        (f"generator.{a}.conv2", ("weight", "bias"), banded),
        (f"generator.{b}.up", ("weight", "bias"), banded),
        (f"generator.{b}.conv1", inputs, keep[1]),
        (f"generator.{b}.conv1", ("weight", "bias"), keep[2]),
        (f"generator.{b}.conv2", inputs, keep[2]),
        (f"generator.{b}.conv2", ("weight", "bias"), keep[3]),
        ("generator.rgb_affine", ("weight", "bias"), keep[3]),
        ("rgb_branch.outputs.1", ("weight", "bias"), keep[0]),
        ("rgb_branch.outputs.0", ("weight", "bias"), keep[2]),
    ):
        for name in names:
            state[f"{prefix}.{name}"] = state[f"{prefix}.{name}"][channels]
    for block in (a, b):
        for conv in ("conv1", "conv2"):
            state[f"generator.{block}.{conv}.noise"] = torch.zeros_like(state[f"generator.{block}.{conv}.noise"])
    small.load_state_dict(state)
    return small


def distil(
    small: InvertFill,
    model: InvertFill,
    batches: Batches,
    steps: int,
    adam: AdamConfig,
    bf16: bool,
    fills_only: bool,
    lpips: LPIPS | None,
) -> float:
    """Let the narrowed part learn what the wide one draws; the last error, in the range [-1, 1]."""
    small.requires_grad_(False)
    generator, half, full = parts(small)
    assert small.rgb_branch is not None
    outputs = small.rgb_branch.outputs
    learns: list[nn.Parameter] = [
        generator.rgb_weight,
        *generator.rgb_affine.parameters(),
        *generator.rgb_bias.parameters(),
    ]
    learns += [p for part in (half, full, *outputs[:2]) for n, p in part.named_parameters() if "noise" not in n]
    for parameter in learns:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(learns, lr=adam.lr, betas=(adam.beta1, adam.beta2))
    wide = cast(MobileStyleGANGenerator, model.generator)
    at = cut(wide)
    begun, total = time.monotonic(), 0.0
    for step in range(steps):
        batch = batches(step)
        assert batch.masks is not None
        filling = fills_only or step % 4 != 0
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            with torch.no_grad():
                if filling:
                    w = model.encode(batch.images, batch.masks)[0]
                else:
                    z = torch.randn(len(batch.images), wide.latent_dim)
                    w = wide.mapping(z)[:, None].expand(-1, wide.num_layers, -1)
                theirs = features_of(model, batch.images, batch.masks) if filling else {}
                coarse = {r: f for r, f in theirs.items() if r <= at}
                x = wide.head(w, at, coarse)
                wanted = wide.tail(x, w, at, theirs).float()
            ours = features_of(small, batch.images, batch.masks) if filling else {}
            found = generator.tail(x, w, at, ours).float()
        loss = sum((F.avg_pool2d(found - wanted, s).abs().mean() for s in SCALES), torch.zeros(()))
        if lpips:
            y, x = torch.randint(wide.size - WINDOW + 1, (2,)).tolist()
            window = np.s_[..., y : y + WINDOW, x : x + WINDOW]
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = loss + LPIPS_WEIGHT * lpips(found[window], wanted[window].clamp(-1, 1)).mean()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(adam, step, steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learns, 5.0)
        optimizer.step()
        total += float((found.detach() - wanted).abs().mean())
        if (step + 1) % 50 == 0 or step + 1 == steps:
            error, total = total / (step % 50 + 1), 0.0
            speed = (step + 1) * len(w) / (time.monotonic() - begun)
            print(
                f"step {step + 1}/{steps}  {speed:.1f} images/s  mean error {error * 127.5:.2f} grey levels", flush=True
            )
    return error


def read(folder: Path) -> tuple[InvertFill, dict[str, str]]:
    """A model folder's network and its file's metadata."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    model = InvertFill(json.loads(metadata["config"]))
    load_model(model, folder)
    return model, metadata


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--channels", type=int, nargs=2, default=(128, 64), help="at 128 and at 256 px")
    parser.add_argument("--start", type=Path, help="a narrowed model, whose training goes on")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--limit", type=int, default=6000, help="pictures, by name")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--fills-only", action="store_true", help="a generator that knows its encoder's codes alone")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    model, metadata = read(arguments.model)
    model.eval().requires_grad_(False)
    model = cast(InvertFill, model.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    images = ImageSet(arguments.images, model.generator.size, cache=True, limit=arguments.limit, workers=2)
    masks = MaskConfig(kind="mixed", low=0.15, high=0.9, pool=500)
    data = DataConfig(path=arguments.images)
    batches = Batches(images, data, masks, batch=arguments.batch, seed=0, device=torch.device("cpu"))
    small = arguments.start and read(arguments.start)[0]
    small = small or narrow(model, grams(model, batches), *arguments.channels)
    small = cast(InvertFill, small.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    adam = AdamConfig(lr=arguments.lr, warmup=30, decay="cosine", beta2=0.99)
    error = distil(small, model, batches, arguments.steps, adam, arguments.bf16, arguments.fills_only, LPIPS("vgg"))
    batches.close()
    arguments.out.mkdir(parents=True, exist_ok=True)
    made = {"narrowed": small.config["generator"]["channels"], "steps": arguments.steps, "error": error * 127.5}
    provenance = json.loads(metadata["provenance"]) | made
    metadata = {"config": json.dumps(small.config), "provenance": json.dumps(provenance)}
    save_file({k: v.contiguous() for k, v in small.state_dict().items()}, arguments.out / "model.safetensors", metadata)
    print(f"wrote {arguments.out}: channels {small.config['generator']['channels']}")


if __name__ == "__main__":
    main()
