"""Lines that are said within a flow run are that run's: Prefect shows them, and keeps them with it."""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

from mtl.logs import LineHandler, set_up_logging


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
