"""A terminal for a command: what it writes there, and what is to be seen in the end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(\r\n|\r|\n)|([^\x1b\r\n]+)")


def on_terminal(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], *, columns: int = 100, rows: int = 40
) -> tuple[int, str]:
    """Run a command on a pseudo-terminal of its own; its exit code, and all that it wrote there."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    own = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment}
    left = {"NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR"} - environment.keys()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={key: value for key, value in own.items() if key not in left},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    written = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # Linux says so when the last writer has gone
            break
        if not data:
            break
        written += data
    os.close(ours)
    return process.wait(60), written.decode()


def seen(written: str) -> list[str]:
    """The lines that stand on a terminal after it was written to: as much of what it obeys as rich uses."""
    lines, row, column = [""], 0, 0
    for codes, kind, ending, text in SEQUENCE.findall(written):
        number = int(codes) if codes.isdigit() else 1
        if kind == "A":
            row = max(row - number, 0)
        elif kind == "K":
            lines[row] = ""
        elif ending:
            row, column = row + ("\n" in ending), 0
        elif text:
            lines[row] = lines[row].ljust(column)[:column] + text + lines[row][column + len(text) :]
            column += len(text)
        lines += [""] * (row + 1 - len(lines))
    return [line.rstrip() for line in lines]
