"""The base of every section of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Frozen, strict about types, and with no room for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)


Fraction = Annotated[float, Field(ge=0.0, le=1.0, strict=False)]
"""A number from 0 to 1."""

Positive = Annotated[float, Field(gt=0.0, strict=False)]
"""A number above 0."""

NonNegative = Annotated[float, Field(ge=0.0, strict=False)]
"""A number of at least 0."""

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""

Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""Of every random choice."""
