"""What reaches whoever called a command, and in which form."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from flows.run_log import FOREIGN, show_lines
from flows.terminal.log_file import divert, keep_foreign, new_log
from mtl.errors import MtlError
from mtl.logs import COLOURS, LineHandler, event_of, line_handler, of
from mtl.output.terminal import Guarded, unguarded
from mtl.reports.events import ErrorEvent, Event, ProgressEvent, ResultEvent, StepEvent

if TYPE_CHECKING:
    from flows.terminal.display import Display

_LOG = logging.getLogger(__name__)
PROGRESS_SECONDS = 30.0
"""Between two lines that say how far a step is, where there is no display."""


class Terminal:
    """The terminal, or the pipe, of one command. It shows our lines; a log file has them, and all others.

    Args:
        command: its name, by which the log file is called.
        quiet: results and errors alone.
        debug: tracebacks of errors, too.
    """

    def __init__(self, handler: LineHandler, command: str, *, quiet: bool = False, debug: bool = False) -> None:
        self.command, self.quiet, self.debug = command, quiet, debug
        self.json = False
        self.log: Path | None = None
        self._handler = handler
        self._err: TextIO | None = None
        self._display: Display | None = None
        self._told_log = False
        self._told_progress: float | None = None

    @property
    def err(self) -> TextIO:
        """What standard error was before it became the log."""
        return self._err or sys.stderr

    @property
    def place(self) -> str:
        """Of the log, as short as it can be said; empty: nothing is in it."""
        if self.log is None or not self.log.exists() or not self.log.stat().st_size:
            return ""
        return self._short()

    def keep_log(self, home: Path) -> None:
        """Let what libraries say go to a log file of the home from now on; a second call changes nothing."""
        if self.log is None:
            self.log = new_log(home, self.command)
            keep_foreign(self.log)
            sys.stderr.flush()
            number = divert(self.log)
            stream = os.fdopen(number, "w", encoding=sys.stderr.encoding, errors="backslashreplace")
            self._err = cast(TextIO, Guarded(stream))

    def use_json(self) -> None:
        """From now on each line is an object on standard output, the result too."""
        self.json, self._handler.form = True, "json"

    def show(self, record: logging.LogRecord, line: str, *, kept: bool) -> None:
        """As of `mtl.logs.Screen`."""
        event: Event | None = event_of(record)
        if line and not kept and not (isinstance(event, ErrorEvent) and event.log is None):
            FOREIGN.log(record.levelno, "%s", line)
        if event is not None and not self.json:
            self._hear(event)
        if not self._wanted(record.levelno, line, event):
            return
        if self._display is not None:
            if isinstance(event, StepEvent):
                return  # it is drawn
            self._display.say(line, COLOURS.get(record.levelno, ""))
            return
        to_stderr = self._handler.to_stderr(record) and not self.json
        self._handler.write(record, line, self.err if to_stderr else sys.stdout)

    def _wanted(self, level: int, line: str, event: Event | None) -> bool:
        if self.quiet:
            return level >= logging.ERROR or isinstance(event, ResultEvent)
        if self._handler.form == "json":
            return True
        if line and isinstance(event, ProgressEvent) and self._display is None:
            now = time.monotonic()
            if self._told_progress is not None and now < self._told_progress + PROGRESS_SECONDS:
                return False
            self._told_progress = now
        return bool(line)

    def _hear(self, event: Event) -> None:
        if isinstance(event, StepEvent):
            self._begin()
        if self._display is not None:
            self._display.hear(event)
        if isinstance(event, ResultEvent):
            self.stop()

    def _begin(self) -> None:
        """A run has begun: say where its log is, and draw it where that can be done."""
        if self._told_log or self.quiet:
            return
        self._told_log = True
        if self.log is not None:
            _LOG.info(f"log      {self._short()}")
        stream = self.err if self._handler.all_to_stderr else sys.stdout
        if self._handler.form in ("", "rich") and stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb"):
            from flows.terminal.display import Display

            self._display = Display(unguarded(stream))

    def _short(self) -> str:
        near = os.path.relpath(self.log) if self.log is not None else ""
        return near if not near.startswith("..") else str(self.log)

    def stop(self) -> None:
        """Leave the display as it is; what is said from now on stands below it."""
        display, self._display = self._display, None
        if display is not None:
            display.stop()

    def fail(self, error: MtlError) -> None:
        """Show the error with which the command ends, and where its log is."""
        self._trace(error)
        self._tell(error, type(error).__name__)

    def _tell(self, error: MtlError, kind: str) -> None:
        place = self.place
        event = ErrorEvent(error=kind, what=error.what, found=error.found, fix=error.fix, log=place or None)
        _LOG.error(f"error: {error}" + (f"\n  log:   {place}" if place else ""), extra=of(event))

    def crash(self, error: Exception) -> None:
        """Show an error that nobody foresaw: in few words, its traceback in the log; without a log, the traceback, too."""
        self.debug = self.debug or self.log is None
        self._trace(error)
        FOREIGN.error("".join(traceback.format_exception(error)))
        first = (str(error).splitlines() or [""])[0][:300]
        what = f"a mistake in the program: {type(error).__name__}{f': {first}' if first else ''}"
        fix = "report it with its traceback: the log has it, and mtl --debug shows it"
        self._tell(MtlError(what, fix=fix), type(error).__name__)

    def _trace(self, error: Exception) -> None:
        self.stop()
        if self.debug:
            self.err.write("".join(traceback.format_exception(error)))
            self.err.flush()


def begin(command: str, *, quiet: bool = False, debug: bool = False) -> Terminal:
    """Let this process's lines be shown as those of one command."""
    handler = show_lines()
    terminal = Terminal(handler, command, quiet=quiet, debug=debug)
    handler.screen = terminal
    return terminal


def keep_log(home: Path, command: str) -> str:
    """Let what stages print beside our lines go to a log file of the home, in whichever process a run is; its path."""
    if (terminal := current()) is not None:
        terminal.keep_log(home)
        return str(terminal.log)
    return keep_foreign(new_log(home, command)).baseFilename


def stop_display() -> None:
    """Before a command prints its result."""
    if (terminal := current()) is not None:
        terminal.stop()


def current() -> Terminal | None:
    """The terminal of the command that this process is; None: it is a server, or a run that one started."""
    handler = line_handler()
    return handler.screen if handler is not None and isinstance(handler.screen, Terminal) else None
