"""DVC, behind one adapter: run a stage, push, and read what dvc.lock says."""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import psutil

from flows.checkout.installed import pin
from flows.run_log import FOREIGN
from mtl.cluster import owner
from mtl.config import read_params
from mtl.errors import MtlError, StageError, raised_elsewhere
from mtl.logs import EVENTS, VARIABLE
from mtl.reports.events import Event, say_again, told
from mtl.stages import ERROR_FILE

OnEvent = Callable[[Event], None]
GRACE_SECONDS = 15.0
LAST_LINES = 8
"""Of a process that ended without an error of its own: they are shown."""
LOCKED = "Unable to acquire lock"
"""What DVC's command says while another one works there: its exit code is that of every error."""
LOCKED_SECONDS = 60.0
"""In which another command of DVC may end: it locks a project for as long as it looks at it."""
_PREFIX = re.compile(r"^\((?:\w+ )?pid=\d+(?:, ip=[^)]*)?\)\s?")
_FAILED = "ERROR: failed to reproduce"
"""What it says last of a stage that failed: nothing that is not known."""
_RUNS = "Running stage '"
"""What DVC's command says of a stage that is not up to date."""
OURS = ("mtl.stages", "mtl.entrypoints")
"""Modules that end in order when they are interrupted."""


class UserStageError(StageError):
    """A stage failed for a reason that only its user can mend."""


def run_stage(
    name: str,
    folder: Path,
    on_event: OnEvent | None = None,
    *,
    force: bool,
    timeout: float,
    python: str = sys.executable,
    more: Mapping[str, str] | None = None,
) -> bool:
    """Bring one stage up to date; whether there was something to do. What it logs is logged here as it comes.

    Args:
        on_event: called with each event that the stage tells of.
        python: of the environment in which the stage runs.
        more: variables of the stage's environment.

    Raises:
        UserStageError: the stage explained what its user must mend.
        StageError: it failed otherwise, or took longer than `timeout` seconds.
        MtlError: of a project, its stages are not those of the installed mtl.
    """
    pin(folder)
    command = [python, "-m", "dvc", "repro", "--single-item", *(["--force"] if force else []), name]
    environment = _environment(folder) | dict(more or {})
    if force:
        environment["MTL_FROM_SCRATCH"] = "1"
    with _error_file() as (said, variable):
        code, lines = _stream(command, folder, environment | variable, timeout, on_event)
        if code == 0:
            return any(line.startswith(_RUNS) for line in lines)
        error = said()
    if error is not None and not isinstance(error, StageError):
        raise UserStageError(error.what, found=error.found, fix=error.fix)
    problem = str(error) if error else "\n".join(lines[-LAST_LINES:])
    raise StageError(f"the stage {name} failed", found=problem, fix="run again to go on; the log has all its lines")


@contextlib.contextmanager
def _error_file() -> Generator[tuple[Callable[[], MtlError | None], dict[str, str]]]:
    """What gives the error with which a stage ended (None: it had no time to say one), and the variable that a stage needs for
    that.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "error.json")

        def said() -> MtlError | None:
            return raised_elsewhere(json.loads(path.read_bytes())) if path.exists() else None

        yield said, {ERROR_FILE: str(path)}


def _first_on_path(folder: Path) -> str:
    """The checkout's own code before whatever else PYTHONPATH names."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))


def run_module(module: str, *words: str, folder: Path) -> None:
    """Run a module that dvc.yaml does not have; what it logs is logged here as it comes.

    Raises:
        MtlError: the module's own; a StageError if it had no time to say one.
    """
    command = [sys.executable, "-m", module, *words]
    with _error_file() as (said, variable):
        code, lines = _stream(command, folder, _environment(folder) | variable, None)
        error = said()
    if code:
        raise error or StageError(
            _what(module, words), found="\n".join(lines[-LAST_LINES:]), fix="the log has all its lines"
        )


def run_for_output(module: str, *words: str, folder: Path) -> None:
    """Run a module whose result is what it prints; it is printed here, and what it logs is logged.

    Raises:
        MtlError: as `run_module`.
    """
    command = [sys.executable, "-m", module, *words]
    with _error_file() as (said, variable):
        environment = _environment(folder) | variable
        done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        error = said()
    for line in done.stdout.splitlines():
        if (logged := told(line)) is not None:
            say_again(logged)
        else:
            sys.stdout.write(f"{line}\n")
    if done.returncode:
        raise error or StageError(
            _what(module, words), found=f"exit code {done.returncode}", fix="its own last lines say why"
        )


def _what(module: str, words: tuple[str, ...]) -> str:
    return " ".join([module.rsplit(".", 1)[-1], *(word for word in words[:1] if word.isidentifier()), "failed"])


def _environment(folder: Path) -> dict[str, str]:
    """Of a process that tells this one what it does, and ends with it."""
    own = {EVENTS: "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": _first_on_path(folder)}
    return os.environ | own | {owner.VARIABLE: owner.name(os.getpid())}


def run_quietly(module: str, *words: str, folder: Path) -> None:
    """Run a module of stages for its result; its lines are shown only if it fails.

    Raises:
        StageError: it failed, in its own words.
    """
    command = [sys.executable, "-m", module, *words]
    environment = os.environ | {VARIABLE: "plain", "PYTHONPATH": _first_on_path(folder)}
    with _error_file() as (said, variable):
        environment |= variable
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        error = said()
    lines = (done.stdout + done.stderr).strip().splitlines()
    for line in lines:
        FOREIGN.info(line)
    if done.returncode:
        problem = str(error) if error else "\n".join(lines[-LAST_LINES:])
        fix = error.fix if error is not None and error.fix else "mend that, and run it again"
        raise StageError(f"{module.rsplit('.', 1)[-1]} failed", found=problem, fix=fix)


def dvc(folder: Path, *words: str) -> str:
    """Run a DVC command, once no other works in the folder; what it printed.

    Raises:
        StageError: it failed.
    """
    command = [sys.executable, "-m", "dvc", *words]
    deadline = time.monotonic() + LOCKED_SECONDS
    while True:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if LOCKED not in done.stderr or time.monotonic() > deadline:
            break
        time.sleep(1)
    if done.returncode:
        found = "\n".join(done.stderr.strip().splitlines()[-4:])
        raise StageError(f"dvc {words[0]} failed", found=found, fix="check the remote: dvc remote list")
    return done.stdout


def push(folder: Path, timeout: float) -> None:
    """Push what dvc.lock names to the default remote.

    Raises:
        StageError: the remote is out of reach.
    """
    code, lines = _stream([sys.executable, "-m", "dvc", "push", "--quiet"], folder, dict(os.environ), timeout)
    if code:
        raise StageError("dvc push failed", found="\n".join(lines[-3:]), fix="check the remote: dvc remote list")


def output_hash(folder: Path, stage: str, path: str) -> str:
    """The content hash that dvc.lock has for a stage's output."""
    outs = read_params(folder / "dvc.lock")["stages"][stage]["outs"]
    return next(out["md5"] for out in outs if out["path"] == path)


def _stream(
    command: list[str],
    folder: Path,
    environment: dict[str, str],
    timeout: float | None = None,
    on_event: OnEvent | None = None,
) -> tuple[int, list[str]]:
    """Run a command in a process group of its own; nothing of it outlives this call. Its exit code and its lines: our modules'
    are logged as their own, and what else it prints goes to the log alone.
    """
    import threading

    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    timed_out = threading.Event()

    def expire() -> None:
        timed_out.set()
        stop_tree(process)

    timer = threading.Timer(timeout, expire) if timeout else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    lines: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        for raw in process.stdout:
            line = _PREFIX.sub("", raw.rstrip())
            said = told(line)
            if said is not None:
                say_again(said, on_event)
            elif line:
                FOREIGN.info(line)
            if not line.startswith(_FAILED):
                lines.extend(filter(None, [said.message if said else line]))

    try:
        read()
        process.wait()
    finally:
        if timer is not None:
            timer.cancel()
        if process.poll() is None:
            # It has things to say while it ends, and would wait for ever if nobody took them.
            rest = threading.Thread(target=contextvars.copy_context().run, args=(read,), daemon=True)
            rest.start()
            stop_tree(process)
            rest.join(5)
        _end_session(process.pid)
    if timed_out.is_set():
        raise StageError(
            f"{' '.join(command[2:])} was stopped",
            found=f"it took longer than {timeout:g} s",
            fix="run again to go on, or give it more: flow.stage_timeout_seconds",
        )
    return process.returncode, lines


def stop_tree(process: subprocess.Popen[str]) -> None:
    """Interrupt a process and all that it started; kill what is left after a grace."""
    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        return
    _end(family, signal.SIGCONT)


def _end_session(leader: int) -> None:
    """End what a command has left behind: its stage goes on if DVC alone was killed."""
    _end([p for p in psutil.process_iter() if p.pid != leader and _session(p.pid) == leader], signal.SIGTERM)


def _end(members: list[psutil.Process], others: signal.Signals) -> None:
    """Interrupt the stages among some processes, send a signal to the others, and kill what is left after a grace."""
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            ours = any(module in " ".join(member.cmdline()) for module in OURS)
            member.send_signal(signal.SIGINT if ours else others)
    _, alive = psutil.wait_procs(members, timeout=GRACE_SECONDS)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(alive, timeout=5)


def _session(process: int) -> int:
    try:
        return os.getsid(process)
    except OSError:
        return -1
