"""Lines that are said within a flow run are that run's: Prefect shows them, and keeps them with it. What a stage's process
prints, and none of our modules has said, is FOREIGN's: it goes to a file of the home (`flows/terminal/log_file.py`), and to nobody.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

from mtl.logs import LineHandler, of, set_up_logging
from mtl.reports.events import StepEvent

_LOG = logging.getLogger(__name__)
FOREIGN = logging.getLogger("flows.foreign")
FOREIGN.propagate = False
FOREIGN.addHandler(logging.NullHandler())  # without a file yet


def show_lines() -> LineHandler:
    """Let this process show what is logged: within a flow run by Prefect's logger, else as lines. The handler."""
    return set_up_logging(run_logger=run_logger)


def run_logger() -> logging.Logger | None:
    """The logger of the flow run, or of the step, within which this is called; None: there is none."""
    if "prefect.context" not in sys.modules:  # it takes a second to import
        return None
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return cast(Any, get_run_logger())
    except MissingContextError:
        return None


@dataclass
class StepEnd:
    """How a step of a run ends: it had nothing to do, or has done it."""

    unchanged: bool = False


@contextmanager
def step(name: str) -> Generator[StepEnd]:
    """Tell whoever watches that a step of a run begins, and how it ended."""
    began = time.monotonic()
    say_step(name, "running")
    end = StepEnd()
    try:
        yield end
    except BaseException as error:
        seconds = time.monotonic() - began
        line = f"{name}: failed after {seconds:.0f} s" if isinstance(error, Exception) else ""
        _LOG.info(line, extra=of(StepEvent(step=name, state="failed", seconds=seconds)))
        raise
    seconds = time.monotonic() - began
    event = StepEvent(step=name, state="unchanged" if end.unchanged else "done", seconds=seconds)
    _LOG.info(f"{name}: {'unchanged' if end.unchanged else f'done in {seconds:.0f} s'}", extra=of(event))


def await_steps(names: Iterable[str]) -> None:
    """Tell which steps a run will have."""
    for name in names:
        say_step(name, "waiting")


def say_step(name: str, state: Literal["waiting", "running", "done"]) -> None:
    """Tell where a step stands, to programs alone."""
    _LOG.info("", extra=of(StepEvent(step=name, state=state)))
