"""What happens in a run, for a program: the display of `mtl retrain`, `--json`, MLflow's charts. Each event travels on a line of
the log (`mtl/logs.py`), across processes as `Told`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from mtl.logs import EVENT, OURS, of
from mtl.reports.types import EpochRow, Report


class StepEvent(Report):
    """Where one step of a run stands: a stage of dvc.yaml, or what a flow does after them."""

    kind: Literal["step"] = "step"
    step: str
    state: Literal["waiting", "running", "done", "unchanged", "failed"]
    seconds: float | None = Field(default=None, description="that it took; None: it has not ended")


class ProgressEvent(Report):
    """How far the step that runs is."""

    kind: Literal["progress"] = "progress"
    done: int
    total: int
    unit: Literal["steps", "trials", "images"] = Field(description="what is counted; steps are the optimizer's")
    images_per_second: float | None = Field(default=None, description="of late")
    seconds_left: float | None = Field(default=None, description="if it goes to the end, and as until now")


class EpochEvent(Report):
    """An epoch of the training has ended."""

    kind: Literal["epoch"] = "epoch"
    epochs: int = Field(description="at most")
    row: EpochRow


class ChampionEvent(Report):
    """What the champion had on its own validation samples, to be seen beside the challenger."""

    kind: Literal["champion"] = "champion"
    version: int
    metrics: dict[str, float] = Field(description="by name, as in an EpochRow")


class ResultEvent(Report):
    """A run has ended well."""

    kind: Literal["result"] = "result"
    version: int
    promoted: bool
    reason: str = Field(description="of the decision, or why nothing was done")
    unchanged: bool = Field(default=False, description="the version was there already")
    metrics: dict[str, float | None] = Field(
        default={}, description="`<task>/<primary metric>` → its value on test samples"
    )
    report: str | None = Field(default=None, description="the page")
    seconds: float | None = None


class ErrorEvent(Report):
    """A command ends with an error."""

    kind: Literal["error"] = "error"
    error: str = Field(description="its class")
    what: str
    found: str = ""
    fix: str = ""
    log: str | None = Field(default=None, description="where the lines of the engines are")


Event = StepEvent | ProgressEvent | EpochEvent | ChampionEvent | ResultEvent | ErrorEvent


class Told(Report):
    """One line of the log of another process."""

    level: Literal["debug", "info", "warning", "error", "critical"]
    logger: str
    message: str
    event: Annotated[Event, Field(discriminator="kind")] | None = None


def told(line: str) -> Told | None:
    """What a line of a process below a flow says; None: none of our modules wrote it."""
    if not line.startswith(EVENT):
        return None
    try:
        return Told.model_validate_json(line.removeprefix(EVENT))
    except ValidationError:  # two processes wrote at once
        return None


def say_again(line: Told, on_event: Callable[[Event], None] | None = None) -> None:
    """Log in this process what another one has logged.

    Args:
        on_event: called with its event, if it has one.
    """
    name = line.logger if line.logger.split(".")[0] in OURS else f"{OURS[0]}.{line.logger}"
    extra = of(line.event) if line.event else None
    logging.getLogger(name).log(getattr(logging, line.level.upper()), "%s", line.message, extra=extra)
    if line.event and on_event:
        on_event(line.event)
