"""A process whose lines a test waits for."""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil


class Watched:
    """A command, its output as it comes."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.output = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def until(self, text: str, seconds: float) -> float:
        """Wait for a line with a text in it; the seconds that took."""
        began = time.monotonic()
        while True:
            left = began + seconds - time.monotonic()
            try:
                line = self.lines.get(timeout=max(left, 0.01))
            except queue.Empty:
                line = None
            assert line is not None, f"no '{text}' in {seconds:.0f} s:\n{self.output[-4000:]}"
            self.output += line
            if text in line:
                return time.monotonic() - began

    def end(self, number: int = signal.SIGTERM, seconds: float = 60) -> int:
        """Send a signal and wait; kill what does not end."""
        self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            kill_family(self.process.pid)
            raise


def kill_family(process: int) -> None:
    """kill -9 of a process and of all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in [*psutil.Process(process).children(recursive=True), psutil.Process(process)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
