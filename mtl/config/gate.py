"""`gate:` what a challenger must show."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtl.config.section import Count, Fraction, NonNegative, Positive, Section


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
