"""`schedule:` when the flow runs by itself."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from mtl.config.section import Section


def valid_cron(value: str) -> str:
    """The expression, if it has five fields; whether they can be kept, Prefect says when the schedule is started.

    Raises:
        ValueError: it has not.
    """
    if len(value.split()) != 5:
        raise ValueError(f"a cron expression has five fields, found {len(value.split())} in {value!r}")
    return value


class ScheduleConfig(Section):
    """When the flow runs by itself (`mtl serve`)."""

    cron: str = Field(description="minute hour day-of-month month day-of-week")
    timezone: str = Field(description="IANA name")
    active: bool = Field(description="false keeps the deployment but makes no runs")
    overlap: Literal["skip", "queue"] = Field(description="a tick while a run is going: skipped, or waits")
    catch_up: Literal["none", "once"] = Field(
        default="none",
        description="ticks that were missed while nothing ran: forgotten, or one run at the start for all",
    )
    priority: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="of its runs among those of a work pool (mtl deploy): 1 comes first"
    )

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except Exception as error:
            raise ValueError(f"unknown time zone {value!r}; use an IANA name such as Europe/London") from error
        return value

    @field_validator("cron")
    @classmethod
    def _valid(cls, value: str) -> str:
        return valid_cron(value)
