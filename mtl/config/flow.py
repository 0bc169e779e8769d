"""`flow:` retries and time-outs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mtl.config.section import Count, NonNegative, Section


class FlowConfig(Section):
    """Retries and time-outs of the flow's steps."""

    retries: Annotated[int, Field(ge=0)] = Field(description="times a step is tried again after infrastructure fails")
    retry_delay_seconds: NonNegative = Field(description="before the first new try; twice as long before each next")
    stage_timeout_seconds: Count = Field(description="a stage that takes longer is stopped")
