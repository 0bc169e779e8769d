"""The gate: champion and challenger → decision with reasons. Pure: no I/O, no clock, no randomness of its own."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from mtl.config import GateConfig
from mtl.reports import Decision, EvalReport, Rule, TaskReport


def judge(
    challenger: EvalReport, champion: EvalReport | None, champion_version: int | None, config: GateConfig
) -> Decision:
    """Whether the challenger may become champion.

    Without a champion, every task that is not auxiliary must reach its floor. With one, on the same test samples:
    no task may be worse than `margin` (relative to the champion) at the low end of its paired bootstrap interval, all
    tasks together at `confidence` (Bonferroni), and the mean relative gain must be at least `min_improvement`, its
    interval not reaching below minus the margin. A gain is positive whatever the metric's direction.
    """
    if champion is None:
        rules = [_floor(name, task) for name, task in challenger.tasks.items() if not task.auxiliary]
        return _decide(rules, None, "every task reaches its floor")
    rules = [_same_samples(challenger, champion), *_same_tasks(challenger, champion)]
    if not all(rule.passed for rule in rules):
        return _decide(rules, champion_version, "")
    names = [name for name, task in champion.tasks.items() if not task.auxiliary]
    gains = {name: relative_gains(challenger.tasks[name], champion.tasks[name]) for name in names}
    tail = (1 - config.confidence) / len(names)
    rules += [_not_worse(name, *gains[name], tail, config) for name in names]
    rules.append(_improvement(gains, config))
    mean = rules[-1].difference or 0.0
    return _decide(rules, champion_version, f"no task is worse than the margin, mean gain {mean:+.2%}")


def relative_gains(challenger: TaskReport, champion: TaskReport) -> tuple[float, np.ndarray]:
    """Gain of the challenger relative to the champion: on the test split, and on every resample [resamples]."""
    new, old = challenger.metrics[challenger.primary], champion.metrics[champion.primary]
    base = old.value or 0.0
    paired = np.asarray(challenger.replicates) - np.asarray(champion.replicates)
    return as_gain((new.value or 0.0) - base, base, old.direction), as_gain(paired, base, old.direction)


Difference = TypeVar("Difference", float, np.ndarray)


def as_gain(difference: Difference, base: float, direction: str) -> Difference:
    """A metric's difference from a base as a share of it; positive is better, whatever the metric's direction."""
    sign = 1.0 if direction == "max" else -1.0
    return sign * difference / max(abs(base), 1e-9)


def _floor(name: str, task: TaskReport) -> Rule:
    metric = task.metrics[task.primary]
    sign = ">=" if metric.direction == "max" else "<="
    value = metric.value
    passed = value is not None and (value >= task.floor if sign == ">=" else value <= task.floor)
    found = "no sample has this target" if value is None else f"{value:.4f}"
    return Rule(name="floor", task=name, required=f"{task.primary} {sign} {task.floor:g}", found=found, passed=passed)


def _same_samples(challenger: EvalReport, champion: EvalReport) -> Rule:
    def describe(report: EvalReport) -> str:
        drawn = f"{report.num_resamples} resamples of seed {report.seed}"
        return f"{report.num_samples} samples {report.samples_sha256[:8]}, {drawn}"

    return Rule(
        name="same test samples",
        required=describe(champion),
        found=describe(challenger),
        passed=describe(champion) == describe(challenger),
    )


def _same_tasks(challenger: EvalReport, champion: EvalReport) -> list[Rule]:
    rules: list[Rule] = []
    for name, task in champion.tasks.items():
        if task.auxiliary:
            continue
        other = challenger.tasks.get(name)
        found = "absent" if other is None else "auxiliary" if other.auxiliary else other.primary
        rules.append(
            Rule(name="task kept", task=name, required=task.primary, found=found, passed=found == task.primary)
        )
    return rules


def _not_worse(name: str, point: float, gains: np.ndarray, tail: float, config: GateConfig) -> Rule:
    low, high = (float(q) for q in np.quantile(gains, [tail, 1 - tail]))
    return Rule(
        name="not worse",
        task=name,
        required=f"gain > {-config.margin:+.1%} at the interval's low end",
        found=f"{point:+.2%} [{low:+.2%}, {high:+.2%}]",
        passed=low > -config.margin,
        difference=point,
        low=low,
        high=high,
    )


def _improvement(gains: dict[str, tuple[float, np.ndarray]], config: GateConfig) -> Rule:
    point = float(np.mean([gain for gain, _ in gains.values()]))
    together = np.mean([paired for _, paired in gains.values()], axis=0)
    tail = (1 - config.confidence) / 2
    low, high = (float(q) for q in np.quantile(together, [tail, 1 - tail]))
    return Rule(
        name="improvement",
        required=f"mean gain >= {config.min_improvement:+.1%}",
        found=f"{point:+.2%} [{low:+.2%}, {high:+.2%}]",
        passed=point >= config.min_improvement and low > -config.margin,
        difference=point,
        low=low,
        high=high,
    )


def _decide(rules: list[Rule], champion: int | None, good: str) -> Decision:
    failed = [
        f"{r.task + ': ' if r.task else ''}{r.name} requires {r.required}, found {r.found}"
        for r in rules
        if not r.passed
    ]
    against = "no champion yet" if champion is None else f"against champion version {champion}"
    summary = f"not promoted ({against}): " + "; ".join(failed) if failed else f"promoted ({against}): {good}"
    return Decision(promote=not failed, champion=champion, summary=summary, rules=tuple(rules))
