"""The `mtl` command, many times: one process has imported what commands need, and makes a copy of itself for each.

A copy has its own folder, environment, arguments and streams, and calls the command's own entry point: what a user would see, without
the second of imports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT, clean_environment

PRELOADED = ("flows.cli", "flows.settings", "flows.checks", "flows.registry.load", "flows.versions.champion", "flows.versions.predict",
             "flows.retraining.gate_settings", "flows.retraining.unchanged", "flows.comparison.compare", "flows.registry.retention", "flows.retraining.monitor", "flows.versions.endpoint",
             "mtl.data.onboard.propose", "mtl.data.sources.budget", "dvc.repo")  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Commands:
    """A process that runs commands until it is closed."""

    def __init__(self) -> None:
        own = clean_environment() | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-m", "tests.errors.commands"]
        self._process = subprocess.Popen(
            words, cwd=ROOT, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, folder: Path, *words: str, **environment: str) -> Ended:
        """`mtl` with these words in a folder; nobody is at the keyboard."""
        own = clean_environment() | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
        assert self._process.stdin is not None and self._process.stdout is not None
        with tempfile.TemporaryDirectory() as scratch:
            order = {"folder": str(folder), "words": words, "environment": own, "scratch": scratch}
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            out, err = (Path(scratch, name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
        return Ended(code, out, err)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(120)


def serve() -> None:
    """Take orders from standard input; say each one's exit code."""
    for name in PRELOADED:
        __import__(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    os._exit(0)  # to take all these modules down takes long


def _run(order: dict[str, object]) -> None:
    from flows.cli import main

    streams = {0: (os.devnull, os.O_RDONLY)}
    streams |= {n: (f"{order['scratch']}/{name}", os.O_WRONLY | os.O_CREAT) for n, name in ((1, "out"), (2, "err"))}
    for number, (path, flags) in streams.items():
        os.dup2(os.open(path, flags, 0o600), number)
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - the parent's has the orders
    os.chdir(str(order["folder"]))
    os.environ.clear()
    os.environ.update(order["environment"])  # type: ignore[call-overload]
    sys.argv = ["mtl", *order["words"]]  # type: ignore[misc]
    code: object = 1
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve()
