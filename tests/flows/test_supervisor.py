"""Processes that are started again when they end, and end with all that they started."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from flows.processes.supervisor import Service, supervise
from flows.schedule.ticks import missed, next_ticks
from mtl.config.schedule import ScheduleConfig
from mtl.errors import MtlError
from tests.conftest import heard

LEAVES_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, file=open(sys.argv[1], "a"), flush=True)
time.sleep(600)
"""


def supervised(services: list[Service], lines: list[str], end: threading.Event) -> None:
    """Supervise until the event, as Ctrl-C would end it."""

    def pause(seconds: float) -> None:
        if end.wait(seconds):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), heard(lines):
        supervise(services, pause)


def test_what_is_killed_is_started_again_and_all_ends_together(tmp_path: Path) -> None:
    notes = tmp_path / "children"
    command = [sys.executable, "-c", LEAVES_A_CHILD, str(notes)]
    service = Service("the sleeper", lambda: subprocess.Popen(command))
    lines: list[str] = []
    end = threading.Event()
    watcher = threading.Thread(target=supervised, args=([service], lines, end))
    watcher.start()
    try:
        wait(lambda: notes.exists() and len(notes.read_text().split()) == 1)
        assert service.process is not None
        service.process.kill()
        wait(lambda: len(notes.read_text().split()) == 2)
    finally:
        end.set()
        watcher.join(60)
    assert lines == ["the sleeper ended (exit code -9); started again in 1 s"]
    first, second = (int(pid) for pid in notes.read_text().split())
    assert not psutil.pid_exists(second) or psutil.Process(second).status() == psutil.STATUS_ZOMBIE
    psutil.Process(first).kill()  # of the one that was killed: it may finish what it does


def test_one_that_its_user_must_mend_ends_all() -> None:
    service = Service("broken", lambda: subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]), final=(3,))
    assert supervise([service]) == 3


def test_a_start_that_fails_is_tried_again_later() -> None:
    tries: list[float] = []

    def start() -> subprocess.Popen[bytes]:
        tries.append(time.monotonic())
        if len(tries) < 2:
            raise MtlError("no answer", found="it ended while it was starting")
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])

    lines: list[str] = []
    with heard(lines):
        assert supervise([Service("slow", start, final=(3,))]) == 3
    assert lines == ["slow ended (it ended while it was starting); started again in 1 s"]
    assert tries[1] - tries[0] >= 1.0


def wait(what: Callable[[], bool]) -> None:
    """Until something is true."""
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("policy", "active", "began", "expected"),
    [
        ("once", True, "2026-01-04T10:00:00+00:00", "2026-01-05 03:00"),
        ("once", True, "2026-01-05T03:00:20+00:00", None),
        ("none", True, "2026-01-04T10:00:00+00:00", None),
        ("once", False, "2026-01-04T10:00:00+00:00", None),
        ("once", True, None, None),
    ],
)
def test_missed_ticks_are_one_run_or_none(
    tmp_path: Path, policy: str, active: bool, began: str | None, expected: str | None
) -> None:
    schedule = ScheduleConfig(
        cron="0 3 * * 1",
        timezone="Europe/London",
        active=active,
        overlap="skip",
        catch_up=policy,  # type: ignore[arg-type]
    )
    if began is not None:
        (tmp_path / "last_run.json").write_text(json.dumps({"state": "Completed", "started": began}))
    tick = missed(schedule, tmp_path, datetime(2026, 1, 7, 12, tzinfo=UTC))
    assert (tick and f"{tick:%Y-%m-%d %H:%M}") == expected


def test_the_next_ticks_are_those_of_the_time_zone() -> None:
    schedule = ScheduleConfig(cron="0 3 * * *", timezone="Europe/London", active=True, overlap="skip")
    ticks = next_ticks(schedule, datetime(2026, 10, 24, 12, tzinfo=UTC))  # the clock goes back in the second night
    assert [f"{tick:%d %H:%M %Z}" for tick in ticks] == ["25 03:00 GMT", "26 03:00 GMT", "27 03:00 GMT"]
    assert next_ticks(schedule, datetime(2026, 10, 23, 12, tzinfo=UTC), 1)[0].tzname() == "BST"
    assert next_ticks(schedule.model_copy(update={"active": False}), datetime(2026, 10, 24, tzinfo=UTC)) == []
