"""The networks, one file per figure of the paper. `build_generator` is the only registry."""

from __future__ import annotations

from typing import Any

from invertfill.nn.generators.migan import MIGANGenerator
from invertfill.nn.generators.mobilestylegan import MobileStyleGANGenerator
from invertfill.nn.generators.stylegan2 import StyleGAN2Generator

Generator = StyleGAN2Generator | MobileStyleGANGenerator | MIGANGenerator


def build_generator(config: dict[str, Any]) -> Generator:
    """A generator from {"kind": "stylegan2" | "mobilestylegan" | "migan", and the arguments of that class}."""
    kinds: dict[str, type[Generator]] = {
        "stylegan2": StyleGAN2Generator,
        "mobilestylegan": MobileStyleGANGenerator,
        "migan": MIGANGenerator,
    }
    arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k != "kind"}
    if config["kind"] not in kinds:
        raise ValueError(f"generator kind {config['kind']!r}: one of {', '.join(kinds)}")
    return kinds[config["kind"]](**arguments)
