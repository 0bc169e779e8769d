"""What a process tells whoever watches it, line by line: loggers of `logging`, and one handler that shows their lines.

A module says `_LOG.info("train: …")`; a command's own result (a table, JSON) is printed instead. Lines go to standard output,
warnings and errors to standard error, each at once. MTL_LOG_FORMAT says how they look:

    plain   the text alone
    rich    the text, warnings and errors in colour; on a terminal, if nothing else is said
    json    an object per line: time, level, logger, message
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from mtl.errors import ConfigError
from mtl.output.terminal import guard_log

VARIABLE = "MTL_LOG_FORMAT"
FORMATS = ("plain", "rich", "json")
OURS = ("mtl", "flows", "__main__")
"""Packages whose lines are shown, and the module that a process was started with; what libraries log is theirs to show."""
COLOURS = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}


class LineHandler(logging.Handler):
    """Shows records as lines.

    Args:
        form: one of FORMATS; empty: rich on a terminal, else plain.
        run_logger: the logger of a run within which a line was said, which shows it in this handler's place; None: there is none.
    """

    def __init__(self, form: str = "", run_logger: Callable[[], logging.Logger | None] | None = None) -> None:
        super().__init__()
        self.form, self.run_logger = form, run_logger
        self.all_to_stderr = False

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        try:
            run = self.run_logger() if self.run_logger else None
            if run is not None:
                run.log(record.levelno, "%s", self.format(record))
                return
            # Looked up now: whoever replaces the streams gets the lines.
            stream = sys.stderr if self.all_to_stderr or record.levelno >= logging.WARNING else sys.stdout
            self._show(record, stream)
            stream.flush()
        except BrokenPipeError:
            raise
        except Exception:
            self.handleError(record)

    def _show(self, record: logging.LogRecord, stream: TextIO) -> None:
        form = self.form or ("rich" if stream.isatty() else "plain")
        line = self.format(record)
        if form == "json":
            facts = {"level": record.levelname.lower(), "logger": record.name, "message": line}
            time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            line = json.dumps({"time": time, **facts}, ensure_ascii=False)
        if form == "rich" and record.levelno in COLOURS:
            from rich.console import Console
            from rich.text import Text

            Console(file=stream).print(Text(line, COLOURS[record.levelno]), soft_wrap=True)
        else:
            stream.write(f"{line}\n")


def set_up_logging(form: str = "", run_logger: Callable[[], logging.Logger | None] | None = None) -> LineHandler:
    """Let this process show what our modules log, without secrets; once, a second call changes nothing. The handler.

    Args:
        form: one of FORMATS, whatever MTL_LOG_FORMAT says; for a process whose lines another one reads.
        run_logger: as of LineHandler.

    Raises:
        ConfigError: MTL_LOG_FORMAT is none of FORMATS.
    """
    known = next((found for found in logging.getLogger(OURS[0]).handlers if isinstance(found, LineHandler)), None)
    if known is not None:
        return known
    asked = form or os.environ.get(VARIABLE, "")
    if asked and asked not in FORMATS:
        raise ConfigError(f"{VARIABLE} is unknown", found=asked, fix=f"one of {', '.join(FORMATS)}")
    guard_log()
    handler = LineHandler(asked, run_logger)
    for name in OURS:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # else a library that has set up its own log shows them again
    return handler
