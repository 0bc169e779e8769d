"""Mean cosines between the tasks' gradients, and mean losses: over the steps that were made and had them."""

from __future__ import annotations

import math

import pytest
import torch

from mtl.train.gradients import Outcome
from mtl.train.tally import Tally

BOTH = torch.tensor([[4.0, -0.8], [-0.8, 0.25]], dtype=torch.float64)  # cosine -0.8
FIRST_ALONE, NONE = torch.diag(torch.tensor([4.0, 0.0], dtype=torch.float64)), torch.zeros(2, 2, dtype=torch.float64)


def step(gramian: torch.Tensor, losses: tuple[float, float] = (1.0, 2.0)) -> Outcome:
    present = gramian.diagonal() > 0
    ones = torch.ones(2, dtype=torch.float64)
    return Outcome(torch.tensor(losses, dtype=torch.float64), present, ones, ones, gramian)


def tally(steps: list[torch.Tensor]) -> Tally:
    found = Tally(2, torch.device("cpu"))
    for gramian in steps:
        found.add(step(gramian), torch.tensor(True))
    return found


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_steps_without_a_task_do_not_dilute_its_cosines(scale: float) -> None:
    found = tally([scale * gramian for gramian in (FIRST_ALONE, BOTH, NONE, BOTH, FIRST_ALONE)]).cosines()
    assert found == [[pytest.approx(1.0), pytest.approx(-0.8)], [pytest.approx(-0.8), pytest.approx(1.0)]]


def test_tasks_that_never_met_have_no_cosine() -> None:
    assert tally([FIRST_ALONE, NONE]).cosines() == [[1.0, None], [None, None]]
    assert tally([]).cosines() == []


def test_a_step_that_is_left_out_counts_nowhere() -> None:
    found = tally([BOTH, FIRST_ALONE])
    broken = step(torch.full((2, 2), torch.nan, dtype=torch.float64), (math.nan, math.inf))
    found.add(broken, torch.tensor(False))
    assert found.means(["a", "b"]) == {"a": {"loss": 1.0, "weight": 1.0}, "b": {"loss": 2.0, "weight": 1.0}}
    assert found.cosines()[0][1] == pytest.approx(-0.8)
    found.clear()
    assert math.isnan(found.means(["a", "b"])["a"]["loss"])
