"""`monitor:`: production images, and when what they show starts a retraining."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from mtl.config.schedule import valid_cron
from mtl.config.section import Count, Fraction, NonNegative, Positive, Section


class MonitorConfig(Section):
    """What arrives in production is compared with what the champion was made with (`mtl monitor`)."""

    path: str = Field(default="incoming", description="folder, archive or bucket in which production images arrive")
    labels: str = Field(
        default="",
        description="CSV of labels that come late: `image` (path or id, as in `path`), and a column per task; empty: none",
    )
    keep_days: Positive = Field(
        default=30.0, description="for which answers wait for labels that come after their look"
    )
    min_images: Count = Field(default=100, description="new images that are worth a look; fewer wait for more")
    alpha: Annotated[float, Field(ge=0.001, le=0.2)] = Field(
        default=0.05,
        description="share of looks at unshifted images that may alarm, over all comparisons together; labels that come late have a fifth of it",
    )
    min_psi: NonNegative = Field(default=0.1, description="stability index below which a shift is too small to matter")
    max_unreadable: Fraction = Field(
        default=0.05, description="share of images that cannot be read above which it alarms"
    )
    cooldown_hours: NonNegative = Field(default=24.0, description="after an event, the next one not before this")
    retrain: bool = Field(default=True, description="an event starts a retraining (mtl serve)")
    cron: str = Field(default="", description="when to look (mtl serve), in the schedule's time zone; empty: by hand")

    @field_validator("cron")
    @classmethod
    def _valid(cls, value: str) -> str:
        return valid_cron(value) if value else value
