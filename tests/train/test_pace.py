"""How fast a training is said to go, and when it is read."""

from __future__ import annotations

import pytest

from mtl.train import pace
from mtl.train.pace import Pace


def test_speed_is_of_the_steps_alone_and_time_left_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    told = Pace(images=64, total=40, log_every=10)
    for _ in range(10):
        told.stepped(0.5)
    assert told.due(10) and not told.due(9)
    event = told.event(10, seconds=20.0)  # of which 5 in steps: the rest was evaluation
    assert event.images_per_second == pytest.approx(128)
    assert event.seconds_left == pytest.approx(60)
    told.stepped(2.0)
    now += 6
    assert told.due(11)  # steps are slow
    assert told.event(11, seconds=22.0).images_per_second == pytest.approx(32)
    assert told.event(0, seconds=0.0).seconds_left is None


@pytest.mark.parametrize(("seconds", "read"), [(0.01, [1, 10, 20, 30]), (1.0, [1, 6, 10, 15, 20, 25, 30]), (9.0, None)])
def test_slow_steps_are_read_more_often(seconds: float, read: list[int] | None) -> None:
    """Nobody waits longer than some seconds for a reading, where one step takes less."""
    told, found = Pace(images=1, total=30, log_every=10), []
    for step in range(1, 31):
        told.stepped(seconds)
        if told.reads(step):
            found.append(step)
            told.plan(step, told.ahead())
    assert found == (read or [*range(1, 31)])
