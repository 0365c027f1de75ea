"""How `faces-256` was trained on two CPU cores, in two phases, each with a clock-driven schedule.

    python tools/train_faces.py latent --minutes 13 --data FACES --latents W.safetensors --prior G.safetensors --out RUN
    python tools/train_faces.py fill   --minutes 30 --data FACES --latents W.safetensors --prior G.safetensors --out RUN

`latent`: the portraits were drawn by the prior itself, so the style code of each is known: encoder, mapping and
pre-modulation regress it from the masked portrait, without the generator in the loop. `fill`: stage 2 through the
frozen generator, with the RGB branch. Each phase goes on from RUN/model.safetensors if it is there. FACES holds
portraits named by their seed; W.safetensors holds `seed` (sorted) and `w`. G comes from convert_face_generator.py.
Preload jemalloc: without it most of the time goes to page faults.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from invertfill.data.readers import ImageSet
from invertfill.imaging.masks import sample_mask
from invertfill.losses import inpainting
from invertfill.losses.blend import match_border
from invertfill.losses.lpips import LPIPS
from invertfill.models.invertfill import InvertFill

CONFIG = {
    "generator": {"kind": "mobilestylegan", "size": 256},
    "encoder": {"trunk": "compact", "channels": [32, 96, 192], "blocks": [1, 1, 2], "pyramid_channels": 96},
    "premodulation": {"hidden": 32},
    "rgb_branch": {"channels": [16, 32, 64, 96, 128], "bottleneck": 3},
}


def mask_pool(count: int, low: float, high: float, seed: int) -> Tensor:
    """(count, 1, 256, 256) uint8."""
    return torch.from_numpy(
        np.stack(
            [
                sample_mask(256, "freeform" if i % 5 else "mixed", low, high, np.random.default_rng([seed, i]))
                for i in range(count)
            ]
        )[:, None].astype(np.uint8)
    )


def recolour(x: Tensor, strength: float) -> Tensor:
    """Random contrast, brightness, saturation and warmth of each picture, (N, 3, s, s) in [-1, 1]."""

    def u(*shape: int) -> Tensor:
        return (torch.rand(len(x), *shape) * 2 - 1) * strength

    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (1 + u(1, 1, 1))
    return (x * (1 + u(1, 1, 1)) + u(1, 1, 1) + u(3, 1, 1) / 3).clamp(-1, 1)


def normalise(model):  # type: ignore[no-untyped-def]
    """Batch normalisation while the codes are regressed; `fuse` folds it away."""
    for block in (m for m in model.encoder.trunk.modules() if type(m).__name__ == "ResidualBlock"):
        for name in ("conv1", "conv2"):
            conv = getattr(block, name)
            block._modules[name] = torch.nn.Sequential(conv, torch.nn.BatchNorm2d(conv.out_channels, momentum=0.02))
    model.encoder.lateral = torch.nn.ModuleList(
        torch.nn.Sequential(c, torch.nn.BatchNorm2d(c.out_channels, momentum=0.02)) for c in model.encoder.lateral
    )


def fuse(model):  # type: ignore[no-untyped-def]
    from torch.nn.utils.fusion import fuse_conv_bn_eval
    import copy

    model = copy.deepcopy(model).eval()
    for block in (m for m in model.encoder.trunk.modules() if type(m).__name__ == "ResidualBlock"):
        for name in ("conv1", "conv2"):
            block._modules[name] = fuse_conv_bn_eval(*getattr(block, name))
    model.encoder.lateral = torch.nn.ModuleList(fuse_conv_bn_eval(*c) for c in model.encoder.lateral)
    return {k: v for k, v in model.state_dict().items() if not k.startswith("generator.")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=["latent", "fill"])
    parser.add_argument("--data", required=True)
    parser.add_argument("--latents")
    parser.add_argument("--prior", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--init", type=Path, help="start from this model instead of RUN/model.safetensors")
    a = parser.parse_args()
    torch.manual_seed(a.seed)
    a.out.mkdir(parents=True, exist_ok=True)

    model = InvertFill(CONFIG)
    model.generator.load_state_dict(load_file(a.prior))
    with torch.no_grad():
        model.w_mean.copy_(model.generator.mapping(torch.randn(20_000, 512)).mean(0))
        w_std = model.generator.mapping(torch.randn(4_000, 512)).std(0)
    saved = a.init or a.out / "model.safetensors"
    if saved.exists():
        missing = model.load_state_dict(load_file(saved), strict=False)
        print(
            "resumed",
            saved,
            [k for k in missing.missing_keys if not k.startswith("generator")],
            missing.unexpected_keys,
        )
    model.to(memory_format=torch.channels_last)
    images = ImageSet(a.data, 256, limit=a.limit)
    pixels = torch.from_numpy(images.pixels).permute(0, 3, 1, 2)  # channels_last memory
    known = load_file(a.latents)
    seeds = torch.tensor([int(Path(name).stem) for name in images.names])
    targets = known["w"][torch.searchsorted(known["seed"], seeds)]
    masks = mask_pool(3000 if not a.limit else 50, 0.15, 0.9, a.seed)
    print(
        f"{len(images)} pictures, {sum(p.numel() for p in model.trainable_parameters()) / 1e6:.2f} M trained",
        flush=True,
    )

    if a.phase == "latent":
        normalise(model)
        trained = [*model.encoder.parameters(), *model.premodulation.parameters()]
        run = model.encode
    else:
        trained = list(model.trainable_parameters())
        run = model.forward
        lpips = LPIPS("alex")
        if a.compile:
            lpips = torch.compile(lpips, dynamic=False)
    if a.compile:
        run = torch.compile(run, dynamic=False)
    optimizer = torch.optim.Adam(trained, lr=a.lr, betas=(0.9, 0.99), fused=True)
    ema = (
        {}
        if a.phase == "latent"
        else {k: v.detach().clone() for k, v in model.state_dict().items() if not k.startswith("generator.")}
    )
    log = (a.out / "log.jsonl").open("a")
    start = saved_at = time.time()
    step, means = 0, {}

    def save() -> None:
        temporary = a.out / "model.tmp"
        save_file({k: v.contiguous() for k, v in (fuse(model) if a.phase == "latent" else ema).items()}, temporary)
        temporary.rename(a.out / "model.safetensors")

    while True:
        share = (time.time() - start) / (60 * a.minutes)
        if share >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = a.lr * min(1.0, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
        rows = torch.randint(len(pixels), (a.batch,))
        x = pixels[rows].float() / 127.5 - 1
        m = masks[torch.randint(len(masks), (a.batch,))].float()
        if torch.rand(()) < 0.5:
            m = m.flip(-1)
        if a.phase == "latent":
            seen = x.contiguous(memory_format=torch.channels_last)
            w_plus, rgb = run(seen, m)
            loss_w = ((w_plus - targets[rows][:, None]) / w_std).square().mean()
            rec = torch.stack([F.mse_loss(o, F.interpolate(seen, size=o.shape[-2:], mode="area")) for o in rgb]).sum()
            loss, terms = loss_w + 0.5 * rec, {"w": loss_w, "rec": rec}
        else:
            x = recolour(x, 0.15)
            if not a.latents and torch.rand(()) < 0.5:
                x = x.flip(-1)
            x = x.contiguous(memory_format=torch.channels_last)
            # Sec. 3.2: the mean latent of this step is a mean of K = 8 mapped z
            w_o = model.generator.mapping(torch.randn(8, 512)).mean(0) if torch.rand(()) < 0.5 else model.w_mean
            out, w_plus, rgb = run(x, m, w_o[None].contiguous())
            matched = match_border(out, x, m)
            whole = inpainting.composite(matched, x, m)
            hole = ((out - x).abs() * m).mean()
            border = ((matched - x).abs() * m).mean()
            valid = ((out - x).abs() * (1 - m)).mean()
            perceptual = lpips(whole, x).mean()
            rec = torch.stack([F.mse_loss(o, F.interpolate(x, size=o.shape[-2:], mode="area")) for o in rgb]).sum()
            fid = inpainting.fidelity_loss(w_plus, w_o[None])
            loss = hole + 2 * border + 0.5 * valid + 3 * perceptual + 0.1 * rec + 0.002 * fid
            if a.latents:  # the known code, as long as it helps
                loss_w = ((w_plus - targets[rows][:, None]) / w_std).square().mean()
                loss = loss + 0.3 * (1 - share) * loss_w
            terms = {"hole": hole, "border": border, "valid": valid, "lpips": perceptual, "rec": rec, "fid": fid}
            if a.latents:
                terms["w"] = loss_w
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        with torch.no_grad():
            if a.phase != "latent":
                decay = (
                    1 - min(0.1, max(32 / 4000, 1 / (step + 1)))
                    if a.phase == "latent"
                    else min(0.995, (step + 1) / (step + 10))
                )
                state = model.state_dict()
                torch._foreach_lerp_([v for v in ema.values()], [state[k] for k in ema], 1 - decay)
        step += 1
        for k, v in {**terms, "norm": norm}.items():
            means[k] = 0.95 * means.get(k, v.item()) + 0.05 * v.item()
        if step % 25 == 0 or step < 4:
            line = {
                "phase": a.phase,
                "step": step,
                "s": round(time.time() - start),
                "img/s": round(step * a.batch / (time.time() - start), 2),
                **{k: round(v, 4) for k, v in means.items()},
            }
            log.write(json.dumps(line) + "\n")
            log.flush()
            print(line, flush=True)
        if time.time() - saved_at > 240:
            save()
            saved_at = time.time()
            if a.phase != "latent":
                columns = [x * (1 - m), out.detach(), whole.detach(), x]
                grid = torch.cat([torch.cat(list(c[:6]), 2) for c in columns], 1).clamp(-1, 1)
                Image.fromarray(((grid.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()).save(a.out / "grid.png")
    save()


if __name__ == "__main__":
    main()
