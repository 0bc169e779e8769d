"""What reading somebody's files may cost: memory and processor time, in a process of its own.

Readers refuse what is known to be a bomb before they unpack it. What nobody thought of ends here: a process that wants more
than its share is told so, or is killed, and what remains is an error that names the limit.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from mtl.errors import ConfigError, DataError, MtlError

Result = TypeVar("Result")

GIB, SECONDS = "MTL_READ_GIB", "MTL_READ_SECONDS"
"""Of the environment, for they are a machine's matter: memory, and seconds of processor time."""
SHARE, PATIENCE = 0.5, 3600.0
"""Unless they are set: a half of this machine's memory, and an hour, in which ten million images are listed."""
IDLE = 900.0
"""Seconds without work after which it is over: a bucket answers sooner."""


def within_budget(read: Callable[..., Result], *given: object) -> Result:
    """What `read` returns, in a process that is forked from this one; elsewhere than on Linux it runs here, without limits.

    Raises:
        DataError: it wanted more memory or time than it may have, or did not foresee what it found.
        MtlError: what it raised.
    """
    if sys.platform != "linux":
        return read(*given)
    memory, seconds = budget()
    context = multiprocessing.get_context("fork")
    answer, answered = context.Pipe(duplex=False)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    process = context.Process(target=_child, args=(answered, os.getpid(), memory, seconds, read, given))
    process.start()
    answered.close()
    try:
        _wait(answer, process.pid or 0)
        found = answer.recv()
    except EOFError:
        process.join()
        raise _died(process.exitcode or 0, memory, seconds) from None
    finally:
        answer.close()
        if sys.exc_info()[0] is not None:
            process.kill()
        process.join()
    if isinstance(found, MtlError):
        raise found
    return found[0]


def _wait(answer: Any, process: int) -> None:
    """Until there is an answer, or the process has ended.

    Raises:
        DataError: it has done nothing for a long time: a library may wait for ever for what it did not get.
    """
    since, before = time.monotonic(), 0.0
    while not answer.poll(5.0):
        with contextlib.suppress(psutil.Error):
            used = sum(psutil.Process(process).cpu_times())
            if used > before + 1.0:
                since, before = time.monotonic(), used
        if time.monotonic() - since > IDLE:
            fix = "check the network, and that there is enough memory; then try again"
            raise DataError("reading the data does not go on", found=f"nothing was done for {IDLE:.0f} s", fix=fix)


def budget() -> tuple[int, int]:
    """Bytes, and seconds of processor time.

    Raises:
        ConfigError: the environment says something that is no number above 0.
    """
    memory = _number(GIB, SHARE * total_memory() / 2**30) * 2**30
    return int(memory), max(1, int(_number(SECONDS, PATIENCE)))


def total_memory() -> int:
    """Bytes that this machine has, or the container in which we are."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # "max", where there is no limit
            return min(machine, int(Path(path).read_text(encoding="ascii")))
    return machine


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable, "")
    try:
        found = float(text or default)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e9:
        raise ConfigError(f"{variable} is no number above 0", found=text, fix="unset it, or set a number")
    return found


def _child(answered: Any, parent: int, memory: int, seconds: int, read: Callable[..., Any], given: tuple[Any]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_DATA, _held() + memory)
    _lower(resource.RLIMIT_CPU, seconds, seconds + 5)  # told at the first, killed at the second
    try:
        found: Any = (read(*given),)
    except MtlError as error:
        found = error
    except MemoryError:
        found = _too_much(memory)
    except Exception as error:
        found = _too_much(memory) if "start new thread" in str(error) else _unforeseen(error)
    with contextlib.suppress(BrokenPipeError):
        answered.send(found)


def _held() -> int:
    """Bytes that this process has already: a fork has what its parent had."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * os.sysconf("SC_PAGE_SIZE")


def _lower(kind: int, limit: int, most: int | None = None) -> None:
    _, hard = resource.getrlimit(kind)
    most = limit if most is None else most
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (min(limit, most), most))


def _end_with(parent: int) -> None:
    """A parent that was killed cannot end its child: it looks for itself."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _too_much(memory: int) -> DataError:
    return DataError(
        "reading the data takes too much memory",
        found=f"more than {memory / 2**30:.2g} GiB",
        fix=f"a file in it may be a bomb; if it is not, set {GIB} in the environment",
    )


def _unforeseen(error: Exception) -> DataError:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return DataError(
        "reading the data failed in a way that nobody foresaw",
        found=f"{type(error).__name__}: {str(error)[:300]} ({Path(place.filename).name}, line {place.lineno})",
        fix="a file in it is damaged or made to do harm; please report it, with the file",
    )


def _died(code: int, memory: int, seconds: int) -> DataError:
    if code == -signal.SIGXCPU:
        fix = f"a file in it may be a bomb; if it is not, set {SECONDS} in the environment"
        return DataError("reading the data takes too long", found=f"more than {seconds} s of processor time", fix=fix)
    if code in (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS):  # C++ ends so where it gets no memory
        error = _too_much(memory)
        why = f"{error.found}, or a library's fault: {signal.Signals(-code).name}"
        return DataError(error.what, found=why, fix=error.fix)
    return DataError(
        "reading the data was ended from outside", found=f"exit code {code}", fix="is there enough memory?"
    )
