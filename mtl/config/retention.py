"""What stays as weeks pass."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mtl.config.section import Count, Section


class RetentionConfig(Section):
    """What is kept as weeks pass (`mtl clean`, and after every run that made a version). Always kept: the champion, the one before
    it, what has an alias, a description or a tag of a person's, and what waits for its decision.
    """

    versions: Count | None = Field(
        default=20, description="the newest that are kept; null: all are, whatever else is said"
    )
    champions: Count = Field(default=5, description="earlier champions that are kept, to go back to")
    runs: Annotated[int, Field(ge=0)] = Field(
        default=20, description="the newest MLflow runs without a version (failed, stopped) that are kept"
    )
    days: Count = Field(default=30, description="what is younger is kept; Prefect's runs and unfinished trainings, too")
