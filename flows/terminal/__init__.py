"""What whoever calls a command sees of it: a live display or plain lines; the engines' own lines are in a log file."""

from __future__ import annotations

from flows.terminal.screen import Terminal, begin, current, keep_log, stop_display

__all__ = ["Terminal", "begin", "current", "keep_log", "stop_display"]
