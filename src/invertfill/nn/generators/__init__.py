"""The registry of generators: a new one is a file in this folder and a line in `AnyGeneratorConfig`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from invertfill.nn.generators.migan import MIGANConfig
from invertfill.nn.generators.mobilestylegan import MobileStyleGANConfig
from invertfill.nn.generators.stylegan2 import StyleGAN2Config

AnyGeneratorConfig = Annotated[StyleGAN2Config | MobileStyleGANConfig | MIGANConfig, Field(discriminator="kind")]
