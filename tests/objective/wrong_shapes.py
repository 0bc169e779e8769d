"""That a wrong shape or type is refused, wherever signatures have one; run by test_shapes.py, where they are checked."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from mtl.objective.jacobian import gramian_of, weigh_into_first
from mtl.objective.losses import cross_entropy
from mtl.tasks.boxes import Candidates
from mtl.train.gradients import Outcome


def test_a_wrong_shape_is_refused() -> None:
    labels, present = torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.bool)
    assert cross_entropy(torch.zeros(3, 2), labels, present).shape == ()
    with pytest.raises(TypeCheckError, match="labels"):
        cross_entropy(torch.zeros(4, 2), labels, present)
    with pytest.raises(TypeCheckError, match="present"):
        cross_entropy(torch.zeros(3, 2), labels, present.float())
    with pytest.raises(TypeCheckError, match="jacobian"):
        weigh_into_first(torch.ones(2, dtype=torch.float64), torch.zeros(3, 5))
    with pytest.raises(TypeCheckError, match="jacobian"):
        gramian_of(torch.zeros(3))


def test_a_dataclass_of_wrong_shapes_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="scores"):
        Candidates(torch.zeros(3, 4), torch.zeros(2, 5))
    two, there = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.bool)
    assert Outcome(two, there, two, two).gramian is None
    with pytest.raises(TypeCheckError, match="weights"):
        Outcome(two, there, two.float(), two)
