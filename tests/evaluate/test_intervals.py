"""Every interval that is printed holds the truth about as often as it says, over simulated test splits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mtl.config import tasks as configs
from mtl.data.spec import TargetSpec
from mtl.evaluate.bootstrap import jackknife_weights, resample_counts
from mtl.evaluate.report import _task_report
from mtl.gate.gains import gain
from mtl.intervals import Estimate, half_width, wilson
from mtl.reports import TaskReport
from mtl.tasks import TASKS, Task
from mtl.tasks.average_precision import match
from mtl.tasks.base import ImageSpec

Rows = Callable[[np.random.Generator, int], list[Any]]
LETTERS = tuple("abcdefghij")


def made(kind: str, target: TargetSpec) -> Task:
    name = {"multilabel": "MultiLabel"}.get(kind, kind.capitalize())
    config = getattr(configs, name)(type=kind)
    return TASKS[kind](name="it", config=config, target=target, image=ImageSpec(8, 8, 3, (0.5,) * 3, (0.2,) * 3))


def classified(rng: np.random.Generator, count: int, temperature: float = 1.0, correct: float = 2.2) -> list[Any]:
    """Answers whose probabilities are true at temperature 1."""
    truth, logits = rng.integers(0, 10, count), rng.normal(0, 1, (count, 10))
    logits[np.arange(count), truth] += correct
    scores = np.exp(correct * logits * temperature)
    scores /= scores.sum(1, keepdims=True)
    found = scores.argmax(1)
    return [
        (t, p, scores[i, p], scores[i, t]) for i, (t, p) in enumerate(zip(truth.tolist(), found.tolist(), strict=True))
    ]


def labelled(rng: np.random.Generator, count: int, share: float = 0.15) -> list[Any]:
    truth = (rng.random((count, 10)) < share).astype(float)
    scores = 1 / (1 + np.exp(-rng.normal(0, 1, (count, 10)) - 1.5 * truth))
    return list(np.stack([scores, truth], 1))


def segmented(rng: np.random.Generator, count: int, rare: float = 0.25) -> list[Any]:
    rows: list[Any] = []
    for _ in range(count):
        there = np.r_[True, rng.random(4) < rare]
        true = np.where(there, rng.integers(20, 300, 5), 0)
        both = (true * rng.beta(8, 2, 5)).astype(int)
        wrong = rng.poisson(8, 5) * (rng.random(5) < 0.3)
        rows.append(np.stack([both, true + wrong, true]))
    return rows


def detected(rng: np.random.Generator, count: int) -> list[Any]:
    rows: list[Any] = []
    for _ in range(count):
        num = int(rng.integers(0, 4))
        corner = rng.uniform(0, 60, (num, 2))
        truth = np.c_[corner, corner + rng.uniform(8, 40, (num, 2)), rng.integers(0, 3, num)]
        seen = truth[rng.random(num) < 0.85]
        labels = np.where(rng.random(len(seen)) < 0.85, seen[:, 4], rng.integers(0, 3, len(seen))).astype(int)
        extra = rng.uniform(0, 60, (int(rng.integers(0, 3)), 2))
        boxes = np.r_[seen[:, :4] + rng.normal(0, 3, (len(seen), 4)), np.c_[extra, extra + 20]]
        scores = np.r_[rng.beta(4, 2, len(seen)), rng.beta(2, 4, len(extra))]
        rows.append(match(boxes, np.r_[labels, rng.integers(0, 3, len(extra))], scores, truth, 3))
    return rows


def measured(rng: np.random.Generator, count: int) -> list[Any]:
    """Images with more or fewer known pixels, and an error of their own; as `depth._sums` gives them."""
    pixels = rng.integers(20, 400, count)
    error = rng.gamma(3, 0.1, count)
    close = np.clip(1.1 - error, 0, 1)
    return list(np.stack([pixels, pixels * error, pixels * error**2 * 1.5, pixels * error / 2, pixels * close], 1))


def directed(rng: np.random.Generator, count: int) -> list[Any]:
    return [row[[0, 1, 3, 4]] * (1, 30, 1, 1) for row in measured(rng, count)]


CLASSES, BOXES = TargetSpec(kind="label", classes=LETTERS), TargetSpec(kind="boxes", classes=tuple("abc"))
CASES: dict[str, tuple[Task, Rows, int]] = {
    "classification": (made("classification", CLASSES), classified, 200),
    "classification, overconfident": (made("classification", CLASSES), lambda r, n: classified(r, n, 2.0), 200),
    "classification, nearly perfect": (made("classification", CLASSES), lambda r, n: classified(r, n, 1.0, 3.3), 100),
    "multilabel": (made("multilabel", TargetSpec(kind="labels", classes=LETTERS)), labelled, 100),
    "regression": (made("regression", TargetSpec(kind="value")), lambda r, n: list(r.normal(0, 1, n)), 60),
    "segmentation": (made("segmentation", TargetSpec(kind="mask", classes=LETTERS[:5])), segmented, 60),
    "depth": (made("depth", TargetSpec(kind="depth")), measured, 60),
    "normals": (made("normals", TargetSpec(kind="normals")), directed, 60),
    "reconstruction": (made("reconstruction", TargetSpec(kind="mask")), lambda r, n: list(r.normal(20, 4, n)), 40),
    "detection": (made("detection", BOXES), detected, 100),
}


def coverage(task: Task, rows: Rows, num_samples: int, draws: int, resamples: int) -> dict[str, float]:
    """Metric → how often its printed interval holds its value in the population that the test splits are drawn from."""
    rng = np.random.default_rng(0)
    population = rows(rng, 4000)
    whole = task.scorer()
    whole.rows = population
    truth = whole.value()
    counts, hits = resample_counts(0, resamples, num_samples), dict.fromkeys(truth, 0)
    for _ in range(draws):
        scorer = task.scorer()
        scorer.rows = [population[i] for i in rng.integers(len(population), size=num_samples)]
        for name, metric in _task_report(scorer, task, counts, {}, 0.95, {}).metrics.items():
            assert metric.low is not None and metric.high is not None and metric.value is not None, name
            assert metric.low <= metric.value <= metric.high, name
            hits[name] += metric.low <= truth[name] <= metric.high
    return {name: number / draws for name, number in hits.items()}


@pytest.mark.parametrize("case", CASES)
def test_the_interval_of_every_metric_holds(case: str) -> None:
    draws = 30 if case == "detection" else 120
    found = coverage(*CASES[case], draws=draws, resamples=100)
    assert min(found.values()) >= 0.88, found  # 95 % less two or three standard errors of so many draws


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_interval_of_every_metric_holds_closely(case: str) -> None:
    found = coverage(*CASES[case], draws=500, resamples=400)
    print(case, found)
    assert min(found.values()) >= 0.9, found
    assert all(share < 1.0 for name, share in found.items() if name != "ece"), found


def test_percentiles_alone_would_not() -> None:
    """Why it is not the percentiles: what they miss of a mean over rare classes, and of a sum of absolute values."""
    rng = np.random.default_rng(0)
    for (task, rows, num_samples), name in ((CASES["multilabel"], "map"), (CASES["classification"], "ece")):
        population = rows(rng, 4000)
        whole = task.scorer()
        whole.rows = population
        counts, hits = resample_counts(0, 100, num_samples), 0
        for _ in range(60):
            scorer = task.scorer()
            scorer.rows = [population[i] for i in rng.integers(len(population), size=num_samples)]
            low, high = np.quantile(scorer.metrics(counts)[name], [0.025, 0.975])
            hits += low <= whole.value()[name] <= high
        assert hits / 60 < 0.8, name


def report(task: Task, rows: list[Any], counts: np.ndarray) -> TaskReport:
    scorer = task.scorer()
    scorer.rows = rows
    return _task_report(scorer, task, counts, {}, 0.95, {})


@pytest.mark.parametrize("case", ["classification", "multilabel", "segmentation", "regression"])
def test_the_interval_of_a_gain_holds(case: str) -> None:
    """Of two models whose answers to an image have much in common."""
    task, rows, num_samples = CASES[case]
    rng = np.random.default_rng(1)
    old, other = rows(rng, 4000), rows(rng, 4000)
    if case == "regression":
        new = [0.8 * a + 0.1 * b for a, b in zip(old, other, strict=True)]
    elif case == "classification":
        new = [(t, t, c, c) if rng.random() < 0.1 else (t, p, c, q) for t, p, c, q in old]
    else:
        new = [better(row, case) for row in old]
    counts, hits, draws = resample_counts(0, 100, num_samples), 0, 100
    true = gain(report(task, new, np.ones((2, 4000))), report(task, old, np.ones((2, 4000)))).point
    for _ in range(draws):
        chosen = rng.integers(4000, size=num_samples)
        pair = [report(task, [side[i] for i in chosen], counts) for side in (new, old)]
        ends = gain(*pair).interval(0.025)
        assert ends is not None
        hits += ends[0] <= true <= ends[1]
    assert hits / draws >= 0.88


def better(row: np.ndarray, case: str) -> np.ndarray:
    if case == "multilabel":
        return np.stack([row[0] + 0.03 * row[1], row[1]])
    both, either, true = row
    return np.stack([both + (true - both) // 4, either, true])


def test_no_spread_is_not_no_doubt() -> None:
    """All right, in twenty images: as many as one in six may be wrong."""
    task, _, _ = CASES["classification"]
    perfect = report(task, [(i % 10, i % 10, 1.0, 1.0) for i in range(20)], resample_counts(0, 100, 20))
    low, high = perfect.metrics["accuracy"].low, perfect.metrics["accuracy"].high
    assert low == pytest.approx(wilson(1.0, 20, 0.025)[0]) and high == 1.0
    assert perfect.metrics["macro_f1"].low == pytest.approx(1 - (1 - 0.025 ** (1 / 20)))
    value, _, _ = CASES["regression"]
    assert report(value, [0.0] * 20, resample_counts(0, 100, 20)).metrics["mae"].low is None  # nothing is known


def test_wilson_is_the_known_interval() -> None:
    assert all(wilson(1.0, count, 0.025)[1] == 1.0 and wilson(0.0, count, 0.025)[0] == 0.0 for count in range(1, 400))
    assert wilson(0.9, 10, 0.025) == pytest.approx((0.5958, 0.9821), abs=1e-4)


def test_bca_and_jackknife_against_scipy() -> None:
    from scipy import stats

    rng = np.random.default_rng(3)
    values = rng.gamma(4, 1, 25)
    counts = rng.multinomial(25, [1 / 25] * 25, size=4000)
    found = Estimate(float(values.mean()), counts @ values / 25, jackknife_weights(25) @ values / 24)
    low, high = found.interval(0.025) or (0.0, 0.0)
    theirs = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=4000, rng=1).confidence_interval
    t = stats.t.interval(0.95, 24, values.mean(), stats.sem(values))
    assert low == pytest.approx(min(theirs.low, t[0]), rel=0.03)
    assert high == pytest.approx(max(theirs.high, t[1]), rel=0.03)


def test_one_value_says_nothing_of_its_spread() -> None:
    assert half_width([[0.3]], 0.025) is None
    assert half_width([[0.1, 0.2, 0.3], [0.5]], 0.025) is None
    assert half_width([[0.2, 0.2], [0.5, 0.5]], 0.025) == 0.0


def test_the_interval_of_skill_holds() -> None:
    """Beside the best answer without looking, which is another one on every test split."""
    task, _, num_samples = CASES["regression"]
    rng = np.random.default_rng(2)
    truth, error = rng.gamma(3, 1, 4000), rng.normal(0, 1, 4000)
    counts, hits, draws = resample_counts(0, 100, num_samples), 0, 100
    true = 1 - np.abs(error).mean() / np.abs(truth - np.median(truth)).mean()
    for _ in range(draws):
        chosen = rng.integers(4000, size=num_samples)
        own, blind = task.scorer(), task.scorer()
        own.rows = list(error[chosen])
        blind.rows = list(task.blind(list(truth[chosen]))["value"] - truth[chosen])
        skill = _task_report(own, task, counts, {}, 0.95, {}, blind).skill
        ends = skill and skill.interval(0.025)
        assert ends is not None
        hits += ends[0] <= true <= ends[1]
    assert hits / draws >= 0.88
