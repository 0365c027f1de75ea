"""tools/draw_portraits.py: pictures named by their seed, and the codes that draw them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from conftest import ROOT, script
from PIL import Image
from safetensors.torch import save_file

from invertfill.nn.generators.mobilestylegan import MobileStyleGANGenerator
from invertfill.training.inversion import load_codes


@torch.no_grad()
def test_a_picture_is_what_its_code_draws(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = MobileStyleGANGenerator().eval()
    weights, out, codes = tmp_path / "generator.safetensors", tmp_path / "drawn", tmp_path / "codes.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in generator.state_dict().items()}, weights)
    tool = script(ROOT / "recipes" / "faces-256" / "draw_portraits.py")
    tool.main(weights, 3, out, codes, first=70, psi=(0.5, 0.5))

    names = sorted(path.name for path in out.iterdir())
    assert names == ["70.png", "71.png", "72.png"]
    w = load_codes(codes, names)
    drawn = generator.synthesis(w[:, None].expand(-1, generator.num_layers, -1)).clamp(-1, 1)
    for picture, name in zip(drawn, names, strict=True):
        stored = torch.from_numpy(np.array(Image.open(out / name))).permute(2, 0, 1) / 127.5 - 1
        assert float((stored - picture).abs().max()) < 2.5 / 255
    assert float((w[0] - w[1]).norm()) > 0.1

    tool.main(weights, 1, tmp_path / "again", codes, first=71, psi=(0.5, 0.5))
    assert (tmp_path / "again" / "71.png").read_bytes() == (out / "71.png").read_bytes()  # of the seed alone
