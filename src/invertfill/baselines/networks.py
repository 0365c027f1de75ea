"""The networks that `invertfill train baseline` trains: a new one is a file in this folder and a line here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from invertfill.baselines.boundless import BoundlessConfig
from invertfill.baselines.crfill import CRFillConfig
from invertfill.baselines.ctsdg import CTSDGConfig
from invertfill.baselines.gc import GCConfig
from invertfill.baselines.medfe import MEDFEConfig
from invertfill.baselines.ns_outpaint import NSOutpaintConfig
from invertfill.baselines.rfr import RFRConfig
from invertfill.baselines.score_sde import ScoreSDEConfig

AnyNetworkConfig = Annotated[
    GCConfig
    | RFRConfig
    | CRFillConfig
    | BoundlessConfig
    | CTSDGConfig
    | MEDFEConfig
    | NSOutpaintConfig
    | ScoreSDEConfig,
    Field(discriminator="kind"),
]
