"""What configurations are made of: plain values, checked when they are read. Each network's stands beside it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Times = Annotated[int, Field(ge=0)]
Size = Literal[16, 32, 64, 128, 256, 512, 1024]  # side of a picture in pixels


class Section(BaseModel):
    """A part of a configuration: no key that isn't declared, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
