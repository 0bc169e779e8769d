"""From the scorers of a test run to the EvalReport."""

from __future__ import annotations

import hashlib
import math
from collections import Counter

import numpy as np

from mtl.config.trees.model import ModelTree
from mtl.data.loading.loader import Split
from mtl.evaluate.bootstrap import jackknife_weights, ranks, resample_counts
from mtl.intervals import Estimate
from mtl.reports import FEWEST, METHOD, BlindReport, EvalReport, Metric, Replicates, SliceReport, TaskReport
from mtl.tasks import Task
from mtl.tasks.base import Scorer
from mtl.yardstick import Yardstick

MIN_SLICE = FEWEST
"""An attribute's value that fewer images have is no slice."""
NUM_SLICE_RESAMPLES = 200
"""Enough for a standard error, which is what a slice's interval is made of."""
DIGITS = 9
"""Of replicates, significant ones: a metric may be as small as it likes."""


def build_report(
    scorers: dict[str, Scorer],
    tasks: dict[str, Task],
    split: Split,
    config: ModelTree,
    robustness: dict[str, dict[str, float]] | None = None,
    blind: dict[str, Scorer] | None = None,
) -> EvalReport:
    """Values, intervals, paired replicates and slices of every task; what robustness found, by corruption and task; what
    blind answers reach.
    """
    corrupted, without = robustness or {}, blind or {}
    rank = ranks(split.ids)
    counts = _arranged(resample_counts(config.seed, config.evaluate.num_resamples, len(split)), rank)
    parts = _arranged(jackknife_weights(len(split)), rank)
    groups, small = _slices(split)
    return EvalReport(
        method=METHOD,
        ids_sha256=hashlib.sha256("\0".join(sorted(split.ids)).encode()).hexdigest(),
        samples_sha256=split.manifest.split_sha256[split.name],
        split=split.name,
        num_samples=len(split),
        seed=config.seed,
        num_resamples=config.evaluate.num_resamples,
        confidence=config.evaluate.confidence,
        small_slices=small,
        samples=tuple(split.digests()),
        tasks={
            name: _task_report(
                scorers[name],
                task,
                counts,
                groups,
                config.evaluate.confidence,
                {kind: _finite(found[name]) for kind, found in corrupted.items() if name in found},
                without.get(name),
                parts,
            )
            for name, task in tasks.items()
        },
    )


def _arranged(weights: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Weights [resamples, samples] with their columns in another order; Fortran-contiguous, as sums over samples want them."""
    return np.ascontiguousarray(weights.T)[rank].T


def _task_report(
    scorer: Scorer,
    task: Task,
    counts: np.ndarray,
    groups: dict[str, dict[str, np.ndarray]],
    confidence: float,
    robustness: dict[str, float | None],
    blind: Scorer | None = None,
    parts: np.ndarray | None = None,
) -> TaskReport:
    """One task's.

    Args:
        blind: filled with the best answers that do not look at the images.
        parts: the jackknife's weights, float64 [parts, samples].
    """
    left_out = jackknife_weights(counts.shape[1]) if parts is None else parts
    replicates, jackknife = scorer.metrics(counts), scorer.metrics(left_out)
    slices = {
        attribute: {value: _slice(scorer, task, counts, chosen, blind) for value, chosen in values_of.items()}
        for attribute, values_of in groups.items()
    }
    return TaskReport(
        type=task.config.type,
        auxiliary=task.config.auxiliary,
        primary=task.primary,
        floor=task.config.floor,
        metrics=_metrics(scorer, task, counts, replicates, jackknife, (1 - confidence) / 2),
        replicates=_rounded(replicates[task.primary]),
        jackknife=_rounded(jackknife[task.primary]),
        num_targets=int(_known(scorer).sum()),
        support=scorer.support(),
        blind=_blind(blind, task, counts, left_out),
        slices=slices,
        robustness=robustness,
    )


def _metrics(
    scorer: Scorer,
    task: Task,
    counts: np.ndarray,
    replicates: dict[str, np.ndarray],
    jackknife: dict[str, np.ndarray],
    tail: float,
) -> dict[str, Metric]:
    """Every metric with its interval."""
    own, count = scorer.own_intervals(counts, tail), int(_known(scorer).sum())
    found: dict[str, Metric] = {}
    for name, value in scorer.value().items():
        direction = task.directions.get(name, task.directions[task.primary])
        unit = task.units.get(name, task.target.unit)
        ends = own.get(name) or Estimate(value, replicates[name], jackknife[name]).interval(tail)
        low, high = _possible(ends, value, Yardstick(direction, unit), count, tail)
        found[name] = Metric(value=_finite(value), low=low, high=high, direction=direction, unit=unit)
    return found


def _possible(
    ends: tuple[float, float] | None, value: float, yard: Yardstick, count: int, tail: float
) -> tuple[float | None, float | None]:
    """An interval within what the metric can be. One of width 0, where all samples are alike, shows no spread, not that
    there is none: a share may lack as much as so many samples can miss (the rule of three), of others nothing is known.
    """
    if ends is None:
        return None, None
    low, high = ends
    if low == high and not yard.is_share:
        return None, None
    if low == high:
        unseen = 1 - tail ** (1 / count)
        low, high = value - unseen, value + unseen
    if yard.is_share:
        return max(low, 0.0), min(high, 1.0)
    return (max(low, 0.0) if yard.direction == "min" else low), high


def _known(scorer: Scorer) -> np.ndarray:
    """Which samples have the target: bool [samples]."""
    return ~np.isnan(scorer.sample_scores())


def _blind(scorer: Scorer | None, task: Task, counts: np.ndarray, parts: np.ndarray) -> BlindReport | None:
    value = scorer.value()[task.primary] if scorer else math.nan
    if scorer is None or not math.isfinite(value):
        return None
    replicates, jackknife = (_rounded(scorer.primary(weights, task.primary)) for weights in (counts, parts))
    return BlindReport(value=value, replicates=replicates, jackknife=jackknife)


def _slice(
    scorer: Scorer, task: Task, counts: np.ndarray, chosen: np.ndarray, blind: Scorer | None = None
) -> SliceReport:
    """One task where `chosen` (bool [samples]); without replicates where too few samples have the target."""
    mine = scorer.only(chosen)  # the values of an attribute share the work, and none is done for the others' samples
    num_targets = int(_known(mine).sum())
    resamples = counts[:NUM_SLICE_RESAMPLES] if num_targets >= MIN_SLICE else counts[:0]
    weights = np.vstack([np.ones((1, int(chosen.sum()))), resamples[:, chosen]])
    found = mine.primary(weights, task.primary)
    without = blind.only(chosen).primary(weights[:1], task.primary)[0] if blind else math.nan
    return SliceReport(
        value=_finite(float(found[0])),
        num_samples=num_targets,
        replicates=_rounded(found[1:]),
        blind=_finite(float(without)),
    )


def _rounded(replicates: np.ndarray) -> Replicates:
    return tuple(float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in replicates.tolist())


def _slices(split: Split) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, int]]:
    """Attribute → value → which samples have it; and attribute → how many values are too rare for that."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    small: dict[str, int] = {}
    for attribute, values in split.slices().items():
        array, counts = np.array(values), Counter(values)
        groups[attribute] = {value: array == value for value in sorted(counts) if counts[value] >= MIN_SLICE}
        if rare := len(counts) - len(groups[attribute]):
            small[attribute] = rare
    return groups, small


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
