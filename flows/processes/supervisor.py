"""Processes that are started again when they end: the schedule goes on whatever of it is killed."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from mtl.errors import MtlError

_LOG = logging.getLogger(__name__)

STEADY_SECONDS = 60.0
"""A process that ran for so long counts as sound: the pause before its next start is short again."""
LONGEST_PAUSE = 60.0
POLL_SECONDS = 0.5
STOP_SECONDS = 30.0


@dataclass
class Service:
    """One process.

    Args:
        start: starts it, and returns once it can be used.
        final: exit codes after which it is not started again: its user must mend something.
        stop_signal: what ends it in order.
    """

    name: str
    start: Callable[[], subprocess.Popen[Any]]
    final: tuple[int, ...] = ()
    stop_signal: int = signal.SIGTERM
    process: subprocess.Popen[Any] | None = None
    began: float = 0.0
    pause: float = 1.0
    due: float = field(default=0.0)


def supervise(services: list[Service], pause: Callable[[float], None] = time.sleep) -> int:
    """Keep services running, in their order, until this process is interrupted or one ends for good; its exit code.

    Args:
        pause: waits between two looks.
    """
    try:
        while True:
            for service in services:
                code = service.process.poll() if service.process else None
                if code is not None and code in service.final:
                    return code
                if code is not None:
                    _plan(service, f"exit code {code}")
                if service.process is None and time.monotonic() >= service.due:
                    _start(service)
            pause(POLL_SECONDS)
    finally:
        for service in reversed(services):
            _stop(service)


def _start(service: Service) -> None:
    service.began = time.monotonic()
    try:
        service.process = service.start()
    except MtlError as error:
        _plan(service, error.found or error.what)


def _plan(service: Service, why: str) -> None:
    """When to start it again: the sooner, the longer it ran."""
    if time.monotonic() - service.began > STEADY_SECONDS:
        service.pause = 1.0
    _LOG.info(f"{service.name} ended ({why}); started again in {service.pause:.0f} s")
    service.process, service.due = None, time.monotonic() + service.pause
    service.pause = min(LONGEST_PAUSE, service.pause * 2)


def _stop(service: Service) -> None:
    """End a service, then what it had started (a runner leaves its flows); kill what takes too long."""
    if service.process is None or service.process.poll() is not None:
        return
    own = psutil.Process(service.process.pid)
    started, family = own.children(), own.children(recursive=True)
    service.process.send_signal(service.stop_signal)
    with contextlib.suppress(subprocess.TimeoutExpired):
        service.process.wait(STOP_SECONDS)
    for member in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, alive = psutil.wait_procs([own, *family], timeout=STOP_SECONDS)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
