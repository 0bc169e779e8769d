"""One unit for every metric: bounded, the same in metres and millimetres, and worth the same for every task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mtl.evaluate.evaluator import overall
from mtl.yardstick import Yardstick

SHARE = Yardstick("max", blind=0.1)
METRES, MILLIMETRES = Yardstick("min", "m", 0.6), Yardstick("min", "mm", 600.0)
DECIBELS = Yardstick("max", "dB", 12.0)


@pytest.mark.parametrize(("yard", "perfect"), [(SHARE, 1.0), (METRES, 0.0), (DECIBELS, 200.0)])
def test_skill_is_0_for_the_blind_baseline_and_1_if_perfect(yard: Yardstick, perfect: float) -> None:
    assert yard.blind is not None
    assert yard.skill(yard.blind) == pytest.approx(0.0)
    assert yard.skill(perfect) == pytest.approx(1.0)
    towards = np.linspace(yard.blind, perfect, 20)
    values = np.concatenate([yard.blind - (towards[1:] - yard.blind) * 5, towards])  # far worse than blind, too
    values = values[values >= 0] if yard.direction == "min" or yard.is_share else values
    found = [yard.skill(float(value)) for value in sorted(values, reverse=yard.direction == "min")]
    assert found == sorted(found)
    assert -1.0 <= found[0] < found[-1] <= 1.0


def test_skill_where_the_blind_answer_is_perfect_or_not_known() -> None:
    alike = Yardstick("min", blind=0.0)
    assert (alike.skill(0.0), alike.skill(1e-9)) == (0.0, -1.0)
    assert np.isnan(Yardstick("min", "m").skill(0.3))  # no scale
    assert Yardstick("max").skill(0.3) == pytest.approx(0.3)


def test_a_unit_changes_neither_skill_nor_gain() -> None:
    assert METRES.skill(0.2) == pytest.approx(MILLIMETRES.skill(200.0))
    assert METRES.gain(0.2, 0.3) == pytest.approx(MILLIMETRES.gain(200.0, 300.0))


def test_a_gain_is_a_share_of_what_there_is_or_can_still_be() -> None:
    assert SHARE.gain(0.88, 0.8) == pytest.approx(0.1)  # relative to the value, from a half on
    assert SHARE.gain(0.004, 0.002) == pytest.approx(0.002 / 0.998)  # a tiny metric's doubling is tiny
    assert SHARE.gain(1e-4, 0.0) == pytest.approx(1e-4)
    assert SHARE.gain(0.0, 1.0) == -1.0
    assert METRES.gain(0.25, 0.5) == pytest.approx(0.5)  # relative to the error
    assert METRES.gain(0.06, 0.0) == pytest.approx(-0.1)  # a perfect champion: of the way to the blind answer
    assert DECIBELS.gain(18.0 + 10 * np.log10(2), 18.0) == pytest.approx(10**-1.8 / 2 / (10**-1.2 - 10**-1.8))
    assert Yardstick("min").gain(5.0, 0.0) == -1.0  # a perfect champion, no blind answer known
    assert Yardstick("min").gain(0.0, 0.0) == 0.0


@pytest.mark.parametrize("yard", [SHARE, Yardstick("min"), METRES, DECIBELS])
def test_no_gain_is_more_than_a_whole(yard: Yardstick) -> None:
    rng = np.random.default_rng(0)
    high = 40.0 if yard is DECIBELS else 1.0
    for new, old in rng.uniform(0, high, (500, 2)):
        gain = yard.gain(float(new), float(old))
        better = new > old if yard.direction == "max" else new < old
        assert gain <= 1.0
        assert (gain > 0) == better


def task(direction: str, primary: str, unit: str = "", auxiliary: bool = False) -> Any:
    config = SimpleNamespace(auxiliary=auxiliary)
    return SimpleNamespace(config=config, primary=primary, directions={primary: direction}, units={primary: unit})


def scored(**values: float) -> Any:
    return {name: SimpleNamespace(value=lambda value=value: {"it": value}) for name, value in values.items()}


def test_no_tasks_unit_outvotes_another() -> None:
    tasks = {"kind": task("max", "it"), "image": task("max", "it", "dB")}
    yards = {"kind": Yardstick("max", blind=0.3), "image": DECIBELS}
    assert overall(scored(kind=0.95, image=17.4), tasks, yards) > overall(scored(kind=0.5, image=18.0), tasks, yards)
    depth = {"kind": task("max", "it"), "depth": task("min", "it")}
    for factor in (1.0, 1000.0):
        yards = {"kind": Yardstick("max", blind=0.3), "depth": Yardstick("min", blind=0.8 * factor)}
        first = overall(scored(kind=0.80, depth=0.50 * factor), depth, yards)
        second = overall(scored(kind=0.82, depth=0.60 * factor), depth, yards)
        assert first == pytest.approx((0.5 / 0.7 + 0.375) / 2)
        assert first > second


def test_unmeasurable_is_left_out_and_missing_is_the_worst() -> None:
    tasks = {"kind": task("max", "it"), "count": task("min", "it"), "image": task("max", "it", auxiliary=True)}
    kind = Yardstick("max", blind=0.5)
    without = overall(scored(kind=0.75, count=float("nan"), image=0.9), tasks, {"kind": kind, "image": kind})
    assert without == pytest.approx(0.5)
    broken = overall(
        scored(kind=0.75, count=float("nan"), image=0.9), tasks, {"kind": kind, "count": Yardstick("min", blind=1.0)}
    )
    assert broken == pytest.approx((0.5 - 1.0) / 2)
    assert np.isnan(overall(scored(kind=0.75, count=1.0, image=0.9), tasks, {"image": kind}))
