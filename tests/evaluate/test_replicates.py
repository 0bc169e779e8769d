"""Metrics on resamples as products of matrices are what loops over resamples give."""

from __future__ import annotations

import numpy as np
import pytest

from mtl.evaluate.bootstrap import jackknife_weights, resample_counts
from mtl.tasks import weighted
from tests.evaluate.loops import LOOPS, filled


@pytest.mark.parametrize("kind", LOOPS)
@pytest.mark.parametrize("count", [0, 3, 150])
def test_replicates_are_what_loops_give(kind: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = filled(kind, max(count, 1))
    if not count:
        scorer.rows = [None]
    weights = np.vstack([resample_counts(0, 230, len(scorer.rows)), jackknife_weights(len(scorer.rows))])
    weights = np.vstack([weights, np.zeros(len(scorer.rows))])  # where nothing counts
    found = scorer.metrics(weights)
    if count:
        expected = LOOPS[kind](scorer, weights)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert np.array_equal(np.isnan(found[name]), np.isnan(values)), name
            np.testing.assert_allclose(found[name], values, rtol=1e-12, atol=1e-14, err_msg=name)
    else:
        assert all(np.isnan(values).all() for values in found.values())
    # However few are computed at a time, and however they lie in memory.
    monkeypatch.setattr(weighted, "MOST_NUMBERS", 5_000)
    for name, values in scorer.metrics(np.asfortranarray(weights)).items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", LOOPS)
def test_a_part_has_the_metrics_of_weights_of_0_and_1(kind: str) -> None:
    scorer = filled(kind, 80)
    chosen = np.random.default_rng(1).random(80) < 0.4
    for name, value in scorer.only(chosen).value().items():
        (expected,) = scorer.metrics(chosen[None].astype(float))[name]
        assert value == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert len(scorer.rows) == 80
