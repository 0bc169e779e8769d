"""The gate: champion and challenger → decision with reasons. Pure: no I/O, no clock, no randomness of its own."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from mtl.config import GateConfig
from mtl.reports import Decision, EvalReport, Rule, SliceReport, TaskReport


def judge(
    challenger: EvalReport,
    champion: EvalReport | None,
    champion_version: int | None,
    config: GateConfig,
    *,
    num_bytes: int | None = None,
    latency_ms: float | None = None,
    obstacle: str = "",
) -> Decision:
    """Whether the challenger may become champion. A gain is positive whatever the metric's direction.

    Without a champion, every task that is not auxiliary must reach its floor. With one, both on the same test samples:

    - no task may be worse: the low end of its gain's paired bootstrap interval lies above minus `margin`;
    - the mean gain's interval lies above `min_improvement` (equal models pass in at most 1 - confidence of all
      cases), or above minus `margin` where that is null;
    - no slice is surely worse than minus `slice_margin`. A slice is small: it cannot show that it is as good, so it is
      enough that it does not show the opposite.

    Tasks are one family of intervals, slices another; each is corrected for its number (Holm 1979: the i-th of k at
    1 - (1 - confidence) / (k - i), from the surest on). A task that the champion cannot be judged on must reach its floor.
    Budgets (calibration, robustness, latency, size) hold for the first version too.

    Args:
        num_bytes: size of the challenger's package, where a budget asks for it.
        latency_ms: of one image through it.
        obstacle: why the champion cannot be judged on these samples at all; then nothing is promoted.
    """
    budgets = [*_calibration(challenger, config), *_robustness(challenger, config)]
    budgets += _limit("size", None if num_bytes is None else num_bytes / 2**20, config.max_size_mib, "MiB")
    budgets += _limit("latency", latency_ms, config.max_latency_ms, "ms")
    if obstacle:
        required = f"version {champion_version} on the same test samples"
        rules = [Rule(name="champion judged", required=required, found=obstacle, passed=False)]
        return _decide([*rules, *budgets], champion_version, "")
    if champion is None:
        rules = [_floor(name, task) for name, task in challenger.tasks.items() if not task.auxiliary]
        return _decide([*rules, *budgets], None, "every task reaches its floor")
    rules = [_same_samples(challenger, champion), *_same_tasks(challenger, champion)]
    rules += [_floor(n, t) for n, t in challenger.tasks.items() if not t.auxiliary and n not in champion.tasks]
    if not all(rule.passed for rule in rules):
        return _decide([*rules, *budgets], champion_version, "")
    names = [name for name, task in champion.tasks.items() if not task.auxiliary]
    mean = 0.0
    if names:
        gains = {name: relative_gains(challenger.tasks[name], champion.tasks[name]) for name in names}
        rules += [*_not_worse(gains, config), _improvement(gains, config)]
        mean = rules[-1].difference or 0.0
        rules += _slices(challenger, champion, names, config)
    return _decide([*rules, *budgets], champion_version, f"no task is worse than the margin, mean gain {mean:+.2%}")


def comparable(challenger: EvalReport, champion: EvalReport) -> bool:
    """Whether two reports are of the same samples and the same resamples of them."""
    return _same_samples(challenger, champion).passed


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


def _tails(count: int, config: GateConfig) -> Iterator[float]:
    """What each of the two sides of a family's intervals leaves out, from the surest member on."""
    for i in range(count):
        divisor = {"holm": count - i, "bonferroni": count, "none": 1}[config.correction]
        yield (1 - config.confidence) / 2 / divisor


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


def _same_tasks(challenger: EvalReport, champion: EvalReport) -> Iterator[Rule]:
    kept = {name: task.primary for name, task in champion.tasks.items() if not task.auxiliary}
    for name, required in {**kept, **dict.fromkeys(champion.not_judged, "")}.items():
        other = challenger.tasks.get(name)
        found = "absent" if other is None else "auxiliary" if other.auxiliary else other.primary
        passed = found == required or (not required and found not in ("absent", "auxiliary"))
        why = required or f"any metric (the champion cannot be judged: {champion.not_judged[name]})"
        yield Rule(name="task kept", task=name, required=why, found=found, passed=passed)


def _not_worse(gains: dict[str, tuple[float, np.ndarray]], config: GateConfig) -> Iterator[Rule]:
    """The surest task is judged by the widest interval; after one that fails, none passes."""
    order = sorted(gains, key=lambda name: (float(np.mean(gains[name][1] <= -config.margin)), -gains[name][0]))
    going = True
    for name, tail in zip(order, _tails(len(order), config), strict=True):
        point, paired = gains[name]
        low, high = (float(q) for q in np.quantile(paired, [tail, 1 - tail]))
        alone = low > -config.margin
        note = "" if going or not alone else ", but a surer task already fails"
        going = going and alone
        rule = _interval_rule(
            "not worse", "gain > {} at the interval's low end", -config.margin, point, low, high, going
        )
        yield rule.model_copy(update={"task": name, "found": rule.found + note})


def _improvement(gains: dict[str, tuple[float, np.ndarray]], config: GateConfig) -> Rule:
    point = float(np.mean([gain for gain, _ in gains.values()]))
    together = np.mean([paired for _, paired in gains.values()], axis=0)
    tail = (1 - config.confidence) / 2
    low, high = (float(q) for q in np.quantile(together, [tail, 1 - tail]))
    bound = -config.margin if config.min_improvement is None else config.min_improvement
    required = "mean gain > {} at the interval's low end"
    return _interval_rule("improvement", required, bound, point, low, high, low > bound)


def _interval_rule(name: str, required: str, bound: float, point: float, low: float, high: float, passed: bool) -> Rule:
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


def _slices(challenger: EvalReport, champion: EvalReport, names: list[str], config: GateConfig) -> Iterator[Rule]:
    """One rule a task: its slice whose interval's high end lies lowest under minus the margin."""
    margin = config.slice_margin
    if margin is None:
        return
    found: list[tuple[float, float, str, str]] = []  # gain, its standard error, task, slice
    for name in names:
        new, old = challenger.tasks[name], champion.tasks[name]
        for attribute, values in old.slices.items():
            for value, before in values.items():
                after = new.slices.get(attribute, {}).get(value)
                if after is not None and after.value is not None and before.value:
                    gain, error = _slice_gain(after, before, old.metrics[old.primary].direction)
                    found.append((gain, error, name, f"{attribute} {value}"))
    found.sort(key=lambda one: (one[0] + margin) / max(one[1], 1e-9))
    seen: dict[str, Rule] = {}
    going = True  # after a slice that is not surely worse, none is
    for (gain, error, name, where), tail in zip(found, _tails(len(found), config), strict=True):
        reach = NormalDist().inv_cdf(1 - tail) * error
        going = going and gain + reach < -margin
        if name not in seen:
            required = "no slice is surely worse than {}"
            rule = _interval_rule("slices", required, -margin, gain, gain - reach, gain + reach, not going)
            place = f"worst of {len(found)}: {where} "
            seen[name] = rule.model_copy(update={"task": name, "found": place + rule.found})
    yield from (seen[name] for name in names if name in seen)


def _slice_gain(after: SliceReport, before: SliceReport, direction: str) -> tuple[float, float]:
    """Relative gain on a slice, and its standard error over the resamples."""
    base = before.value or 0.0
    count = min(len(after.replicates), len(before.replicates))
    paired = np.asarray(after.replicates[:count]) - np.asarray(before.replicates[:count])
    error = float(np.std(as_gain(paired, base, direction), ddof=1)) if count > 1 else 0.0
    return as_gain((after.value or 0.0) - base, base, direction), error


def _calibration(report: EvalReport, config: GateConfig) -> Iterator[Rule]:
    for name, task in report.tasks.items():
        if config.max_ece is not None and not task.auxiliary and "ece" in task.metrics:
            metric = task.metrics["ece"]
            value = metric.value if metric.value is not None else float("inf")
            found = f"{value:.4f}" + (f" [{metric.low:.4f}, {metric.high:.4f}]" if metric.low is not None else "")
            required = f"expected calibration error <= {config.max_ece:g}"
            yield Rule(name="calibration", task=name, required=required, found=found, passed=value <= config.max_ece)


def _robustness(report: EvalReport, config: GateConfig) -> Iterator[Rule]:
    for name, task in report.tasks.items():
        if config.max_robustness_loss is None or task.auxiliary:
            continue
        required = f"at most {config.max_robustness_loss:.1%} lost under corruptions"
        clean = task.robustness.get("none")
        direction = task.metrics[task.primary].direction
        damaged = {kind: value for kind, value in task.robustness.items() if kind != "none" and value is not None}
        if clean is None or not damaged:
            found = "not measured: evaluate.corruptions names none"
            yield Rule(name="robustness", task=name, required=required, found=found, passed=False)
            continue
        losses = {kind: -as_gain(value - clean, clean, direction) for kind, value in damaged.items()}
        mean, worst = float(np.mean(list(losses.values()))), max(losses, key=lambda kind: losses[kind])
        found = f"{mean:.1%} on average, {losses[worst]:.1%} under {worst}"
        passed = mean <= config.max_robustness_loss
        yield Rule(name="robustness", task=name, required=required, found=found, passed=passed)


def _limit(name: str, value: float | None, most: float | None, unit: str) -> Iterator[Rule]:
    if most is not None:
        found = "not measured" if value is None else f"{value:.2f} {unit}"
        yield Rule(
            name=name, required=f"at most {most:g} {unit}", found=found, passed=value is not None and value <= most
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
