"""What a process tells whoever watches it, line by line: loggers of `logging`, and one handler that shows their lines.

A module says `_LOG.info("train: …")`; a command's own result (a table, JSON) is printed instead. A line may carry an event of
`mtl/reports/events.py` (`extra=of(event)`): the same for a program, such as the display of `mtl retrain`. Lines go to standard
output, warnings and errors to standard error, each at once. MTL_LOG_FORMAT says how they look:

    plain   the text alone
    rich    the text, warnings and errors in colour; on a terminal, if nothing else is said
    json    an object per line: time, level, logger, message, and the event if it has one

A process that a flow starts has MTL_EVENTS in its environment: each of its lines is an object behind EVENT, so that the flow
tells them from what libraries print (`mtl/reports/events.py` reads them).
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

from mtl.errors import ConfigError
from mtl.output.terminal import guard_log

VARIABLE = "MTL_LOG_FORMAT"
FORMATS = ("plain", "rich", "json")
EVENTS = "MTL_EVENTS"
EVENT = "@mtl "
"""Before a line that is for the flow that started this process."""
_FOR_FLOW = "events"
OURS = ("mtl", "flows", "__main__")
"""Packages whose lines are shown, and the module that a process was started with; what libraries log is theirs to show."""
COLOURS = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}


class Eventful(Protocol):
    """An event: what `mtl/reports/events.py` has."""

    def model_dump(self, *, mode: str = ..., exclude_none: bool = ...) -> dict[str, Any]:
        """As plain values."""
        ...

    def model_dump_json(self, *, exclude_none: bool = ...) -> str:
        """As JSON, in which what is not finite is null."""
        ...


class Screen(Protocol):
    """What shows lines in the handler's place."""

    def show(self, record: logging.LogRecord, line: str, *, kept: bool) -> None:
        """Show a line; kept: a run's logger has it, too."""
        ...


def of(event: Eventful) -> dict[str, Eventful]:
    """For `extra` of a line that carries an event."""
    return {"event": event}


def event_of(record: logging.LogRecord) -> Any:
    """The event that a line carries; None: it has none."""
    return getattr(record, "event", None)


class LineHandler(logging.Handler):
    """Shows records as lines. One without a text is for programs alone.

    Args:
        form: one of FORMATS; empty: rich on a terminal, else plain.
        run_logger: the logger of a run within which a line was said, which shows it in this handler's place; None: there is none.
    """

    def __init__(self, form: str = "", run_logger: Callable[[], logging.Logger | None] | None = None) -> None:
        super().__init__()
        self.form, self.run_logger = form, run_logger
        self.all_to_stderr = False
        self.screen: Screen | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        try:
            line = self.format(record)
            run = self.run_logger() if self.run_logger else None
            if run is not None and line:
                run.log(record.levelno, "%s", line)
            if self.screen is not None:
                self.screen.show(record, line, kept=run is not None)
            elif run is None:
                # Looked up now: whoever replaces the streams gets the lines.
                self.write(record, line, sys.stderr if self.to_stderr(record) else sys.stdout)
        except BrokenPipeError:
            raise
        except Exception:
            self.handleError(record)

    def to_stderr(self, record: logging.LogRecord) -> bool:
        """Whether a line belongs to standard error."""
        for_people = self.form != _FOR_FLOW
        return for_people and (self.all_to_stderr or record.levelno >= logging.WARNING)

    def write(self, record: logging.LogRecord, line: str, stream: TextIO) -> None:
        """Write a line in the form that is wanted there."""
        form = self.form or ("rich" if stream.isatty() else "plain")
        if form == _FOR_FLOW:
            stream.write(f"{EVENT}{json.dumps(_facts(record, line, for_people=False))}\n")
        elif form == "json":
            time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            stream.write(json.dumps({"time": time, **_facts(record, line)}, ensure_ascii=False) + "\n")
        elif line and form == "rich" and record.levelno in COLOURS:
            from rich.console import Console
            from rich.text import Text

            Console(file=stream).print(Text(line, COLOURS[record.levelno]), soft_wrap=True)
        elif line:
            stream.write(f"{line}\n")
        stream.flush()


def _facts(record: logging.LogRecord, line: str, *, for_people: bool = True) -> Mapping[str, Any]:
    facts = {"level": record.levelname.lower(), "logger": record.name, "message": line}
    event: Eventful | None = event_of(record)
    if event is None:
        return facts
    # JSON has no NaN; between our own processes it is said all the same.
    return facts | {"event": json.loads(event.model_dump_json(exclude_none=True)) if for_people else event.model_dump()}


def pass_on(logger: logging.Logger, line: str) -> None:
    """Show a line of a process on another machine; below a flow as it is, for it may be behind EVENT."""
    if os.environ.get(EVENTS):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    else:
        logger.info(line)


def line_handler() -> LineHandler | None:
    """The handler that this process has set up; None: it has not yet."""
    return next((found for found in logging.getLogger(OURS[0]).handlers if isinstance(found, LineHandler)), None)


def set_up_logging(form: str = "", run_logger: Callable[[], logging.Logger | None] | None = None) -> LineHandler:
    """Let this process show what our modules log, without secrets; once, a second call changes nothing. The handler.

    Args:
        form: one of FORMATS, whatever MTL_LOG_FORMAT says; for a process whose lines another one reads.
        run_logger: as of LineHandler.

    Raises:
        ConfigError: MTL_LOG_FORMAT is none of FORMATS.
    """
    if (known := line_handler()) is not None:
        return known
    asked = form or os.environ.get(VARIABLE, "")
    if asked and asked not in FORMATS:
        raise ConfigError(f"{VARIABLE} is unknown", found=asked, fix=f"one of {', '.join(FORMATS)}")
    guard_log()
    handler = LineHandler(_FOR_FLOW if os.environ.get(EVENTS) else asked, run_logger)
    for name in OURS:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # else a library that has set up its own log shows them again
    return handler
