"""Multi-label metrics against scikit-learn's, with tied scores and with samples repeated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from mtl.tasks.multilabel import MultiLabelScorer


def scorer_of(scores: np.ndarray, truth: np.ndarray) -> MultiLabelScorer:
    scorer = MultiLabelScorer("l", 0.5)
    scorer.rows = [np.array([s, t], np.float64) for s, t in zip(scores, truth, strict=True)]
    return scorer


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 16]))
def test_equals_scikit_learn_with_ties_and_repeated_samples(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    number, classes = int(rng.integers(1, 40)), int(rng.integers(2, 6))
    scores, truth = rng.random((number, classes)).round(digits), (rng.random((number, classes)) < 0.3).astype(int)
    times = rng.integers(0, 3, number)
    found = scorer_of(scores, truth).metrics(np.stack([np.ones(number), times]).astype(float))
    for place, repeats in enumerate((np.ones(number, int), times)):
        s, t = scores.repeat(repeats, 0), truth.repeat(repeats, 0)
        there = [c for c in range(classes) if t[:, c].any()]
        if there:
            wanted = np.mean([average_precision_score(t[:, c], s[:, c]) for c in there])
            assert found["map"][place] == pytest.approx(wanted, abs=1e-12)
            micro = f1_score(t, s >= 0.5, average="micro", zero_division=0)  # type: ignore[arg-type]
            assert found["micro_f1"][place] == pytest.approx(micro, abs=1e-12)
        else:
            assert np.isnan(found["map"][place])


def test_the_order_of_samples_with_one_score_says_nothing() -> None:
    scores, truth = np.full((40, 1), 0.7), np.repeat([[1], [0]], [10, 30], 0)
    values = [scorer_of(scores, t).value()["map"] for t in (truth, truth[::-1])]
    assert values == [0.25, 0.25], "the share of positives"


def test_labels_without_samples_are_unknown() -> None:
    """So is a scorer without any sample."""
    assert np.isnan(scorer_of(np.ones((3, 1)), np.zeros((3, 1))).value()["map"])
    empty = MultiLabelScorer("l", 0.5)
    empty.rows = [None, None]
    assert np.isnan(list(empty.value().values())).all(), "nothing is known: not 0, which of a loss would be the best"
