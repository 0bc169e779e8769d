"""Rules about gains over the champion, each with its paired interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mtl.config.gate import GateConfig
from mtl.intervals import Estimate
from mtl.reports import Rule, TaskReport, same_number

Pair = tuple[TaskReport, TaskReport]
"""Challenger's and champion's."""


def gain(new: TaskReport, old: TaskReport) -> Estimate:
    """The challenger's gain over the champion in a task, positive is better; NaN where one of the two has no value."""
    yard = new.yardstick if new.blind else old.yardstick
    after, before = (task.metrics[task.primary].value for task in (new, old))
    if after is None or before is None:
        return Estimate(float("nan"), np.array([]), np.array([]))
    jackknife = yard.gains(*same_number(new.jackknife, old.jackknife))
    return Estimate(yard.gain(after, before), yard.gains(*same_number(new.replicates, old.replicates)), jackknife)


def tails(count: int, config: GateConfig) -> Iterator[float]:
    """What each of the two sides of a family's intervals leaves out, from the surest member on."""
    for i in range(count):
        divisor = {"holm": count - i, "bonferroni": count, "none": 1}[config.correction]
        yield (1 - config.confidence) / 2 / divisor


def not_worse(gains: Mapping[str, Estimate], both: Mapping[str, Pair], config: GateConfig) -> Iterator[Rule]:
    """One rule per task. The surest is judged by the widest interval; after one that fails, none passes."""
    order = sorted(gains, key=lambda n: (_share_below(gains[n], -config.margin), -gains[n].point))
    going = True
    for name, tail in zip(order, tails(len(order), config), strict=True):
        low, high = gains[name].interval(tail) or (-1.0, 1.0)
        alone = low > -config.margin
        note = "" if going or not alone else ", but a surer task already fails"
        going = going and alone
        required = "gain > {} at the interval's low end"
        rule = interval_rule("not worse", required, -config.margin, gains[name].point, low, high, going)
        new, old = (task.metrics[task.primary].value or 0.0 for task in both[name])
        compared = f" ({both[name][0].primary} {new:.4f} after {old:.4f})"
        yield rule.model_copy(update={"task": name, "found": rule.found + compared + note})


def improvement(gains: Mapping[str, Estimate], config: GateConfig) -> Rule:
    """The tasks together. Where an improvement is asked for, no task may be surely worse: its loss cannot be bought."""
    together = Estimate.mean(list(gains.values()))
    low, high = together.interval((1 - config.confidence) / 2) or (-1.0, 1.0)
    if config.min_improvement is None:
        required = "mean gain > {} at the interval's low end"
        return interval_rule("improvement", required, -config.margin, together.point, low, high, low > -config.margin)
    required = "mean gain > {} at the interval's low end, no task surely worse"
    losing = surely_below(gains, 0.0, config)
    passed = low > config.min_improvement and not losing
    rule = interval_rule("improvement", required, config.min_improvement, together.point, low, high, passed)
    worse = f"; surely worse: {', '.join(losing)}, which no other task's gain pays for" if losing else ""
    return rule.model_copy(update={"found": rule.found + worse})


def interval_rule(name: str, required: str, bound: float, point: float, low: float, high: float, passed: bool) -> Rule:
    """A rule about a gain and its interval; `required` has {} for the bound."""
    return Rule(
        name=name,
        required=required.format(f"{bound:+.1%}"),
        found=f"{point:+.2%} [{low:+.2%}, {high:+.2%}]",
        passed=passed,
        bound=bound,
        difference=point,
        low=low,
        high=high,
    )


def surely_below(gains: Mapping[str, Estimate], bound: float, config: GateConfig) -> list[str]:
    """Tasks whose whole interval lies below a bound, corrected for their number."""
    order = sorted(gains, key=lambda n: (-_share_below(gains[n], bound), gains[n].point))
    found: list[str] = []
    for name, tail in zip(order, tails(len(order), config), strict=True):
        ends = gains[name].interval(tail)
        if ends is None or ends[1] >= bound:
            break  # after one that does not surely, none does
        found.append(name)
    return found


def _share_below(found: Estimate, bound: float) -> float:
    known = found.replicates[np.isfinite(found.replicates)]
    return float(np.mean(known <= bound)) if len(known) else 1.0
