"""Mean cosines between the tasks' gradients: over the steps that had both."""

from __future__ import annotations

import numpy as np
import pytest

from mtl.train.cosines import Counts, Sums, add_cosines, mean_cosines

BOTH = np.array([[4.0, -0.8], [-0.8, 0.25]])  # cosine -0.8
FIRST_ALONE, NONE = np.diag([4.0, 0.0]), np.zeros((2, 2))


def means(steps: list[np.ndarray]) -> list[list[float | None]]:
    sums: Sums = []
    counts: Counts = []
    for gramian in steps:
        sums, counts = add_cosines(sums, counts, gramian)
    return mean_cosines(sums, counts)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_steps_without_a_task_do_not_dilute_its_cosines(scale: float) -> None:
    found = means([scale * gramian for gramian in (FIRST_ALONE, BOTH, NONE, BOTH, FIRST_ALONE)])
    assert found == [[pytest.approx(1.0), pytest.approx(-0.8)], [pytest.approx(-0.8), pytest.approx(1.0)]]


def test_tasks_that_never_met_have_no_cosine() -> None:
    assert means([FIRST_ALONE, NONE]) == [[1.0, None], [None, None]]
    assert means([]) == []
