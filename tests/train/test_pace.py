"""How fast a training is said to go."""

from __future__ import annotations

import pytest

from mtl.train import pace
from mtl.train.pace import Pace


def test_speed_is_of_the_steps_alone_and_time_left_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    told = Pace(images=64, total=40)
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
