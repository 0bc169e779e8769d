"""`evaluate:`, `gate:`, `registry:`, `flow:` and `schedule:`."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from mtl.config.section import Count, Fraction, NonNegative, Positive, Section

Corruption = Literal["noise", "blur", "brightness", "contrast", "jpeg"]


class EvaluateConfig(Section):
    """How the test split is judged."""

    batch_size: Count = Field(description="images a forward pass")
    num_resamples: Annotated[int, Field(ge=100)] = Field(description="bootstrap resamples of the test split")
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(description="of the intervals")
    num_pictures: Count = Field(description="predictions drawn, half good and half bad")
    corruptions: tuple[Corruption, ...] = Field(default=(), description="damages of test images, for robustness")
    num_corrupted: Count = Field(default=250, description="test images that each corruption is tried on")


class GateConfig(Section):
    """What a challenger must show to replace the champion."""

    margin: Fraction = Field(
        description="loss of a task that is tolerated, as a share of what its metric has or can still gain, whichever is "
        "more; the interval must stay above it"
    )
    min_improvement: NonNegative | None = Field(
        description="mean gain over the tasks, in the same unit, that the interval must stay above, no task being surely "
        "worse; null: not to be worse is enough"
    )
    min_skill: Fraction | None = Field(
        default=0.0,
        description="what every task must surely exceed, champion or not: 0 is the best answer that does not look at the "
        "image, 1 perfection; null: not asked for, so a model that has learnt nothing may pass",
    )
    max_untested_classes: Fraction = Field(
        default=0.0,
        description="share of the classes that may lack test samples in a task that the champion does not have: nothing is "
        "known of them",
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(description="of the paired intervals, over all tasks")
    correction: Literal["holm", "bonferroni", "none"] = Field(
        default="holm", description="of the tasks' and the slices' intervals, for there are many"
    )
    slice_margin: Fraction | None = Field(
        default=None, description="refused if a slice is surely worse by more than this; null: slices are not looked at"
    )
    max_ece: Fraction | None = Field(default=None, description="calibration error that a classification may have")
    max_robustness_loss: Fraction | None = Field(
        default=None, description="share of a task's metric that may be lost, on average, under evaluate.corruptions"
    )
    max_latency_ms: Positive | None = Field(
        default=None, description="median time of one image through the package, on the machine of the flow"
    )
    max_size_mib: Positive | None = Field(default=None, description="size of the package")
    approval_minutes: Count | None = Field(
        default=None,
        description="a person must agree within this time, else no promotion; null: the gate decides alone",
    )


class RegistryConfig(Section):
    """The registry's names."""

    experiment: str = Field(min_length=1, description="MLflow experiment")
    model: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$", description="registered model")
    intended_use: str = Field(default="", description="for the model card: what it is for, and for whom")
    limits: str = Field(default="", description="for the model card: what it must not be used for")


class FlowConfig(Section):
    """Retries and time-outs of the flow's steps."""

    retries: Annotated[int, Field(ge=0)] = Field(description="times a step is tried again after infrastructure fails")
    retry_delay_seconds: NonNegative = Field(description="before the first new try; twice as long before each next")
    stage_timeout_seconds: Count = Field(description="a stage that takes longer is stopped")


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
