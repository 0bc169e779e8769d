"""The gate: champion and challenger → decision with reasons. Pure: no I/O, no clock, no randomness of its own.

What cannot be judged is not passed. Every task that is not auxiliary needs test samples, of every class, and must surely be
better than the best answer that does not look at the image (`min_skill`): so nothing that has learnt nothing is promoted,
champion or not. A task that does not count in the champion must reach its floor as well, if it has one.

With a champion, both on the same test samples, a gain being positive whatever the metric's direction:

- no task may be worse: the low end of its gain's paired interval lies above minus `margin`;
- the mean gain's interval lies above `min_improvement` (equal models pass in at most 1 - confidence of all cases), and no
  task is surely worse, for no gain pays for another task's loss; where that is null, the mean gain's interval lies above
  minus `margin`;
- no slice is surely worse than minus `slice_margin`. A slice is small: it cannot show that it is as good, so it is enough
  that it does not show the opposite;
- where test samples have arrived since the champion was registered, it must hold without them (`mtl.gate.arrivals`).

Tasks are one family of intervals, slices another; each is corrected for its number (Holm 1979: the i-th of k at
1 - (1 - confidence) / (k - i), from the surest on). Budgets (calibration, robustness, latency, size) hold for the first
version too.
"""

from __future__ import annotations

import numpy as np

from mtl.config.gate import GateConfig
from mtl.gate.arrivals import TITLE, not_compared, without_arrivals
from mtl.gate.budgets import budgets
from mtl.gate.evidence import before_first, comparable, learnt, same_samples, same_tasks
from mtl.gate.gains import gain, improvement, not_worse
from mtl.gate.slices import slices
from mtl.reports import Decision, EvalReport, Rule, TaskReport

__all__ = ["comparable", "decide", "gain", "relative_gains"]


def decide(
    challenger: EvalReport,
    champion: EvalReport | None,
    champion_version: int | None,
    config: GateConfig,
    *,
    num_bytes: int | None = None,
    latency_ms: float | None = None,
    obstacle: str = "",
) -> Decision:
    """Whether the challenger may become champion, and why.

    Args:
        num_bytes: size of the challenger's package, where a budget asks for it.
        latency_ms: of one image through it.
        obstacle: why the champion cannot be judged on these samples at all; then nothing is promoted.
    """
    counting = [name for name, task in challenger.tasks.items() if not task.auxiliary]
    kept = [n for n in counting if champion and n in champion.tasks and not champion.tasks[n].auxiliary]
    rules = [rule for n in counting for rule in learnt(n, challenger.tasks[n], config, new=n not in kept)]
    rules += [rule for n in counting if n not in kept for rule in before_first(n, challenger.tasks[n])]
    rules += budgets(challenger, config, num_bytes, latency_ms)
    if not counting:
        rules.append(Rule(name="evidence", required="a task that counts", found="none", passed=False))
    if obstacle:
        required = (
            f"{f'version {champion_version}' if champion_version else 'the last champion'} on the same test samples"
        )
        rules.insert(0, Rule(name="champion judged", required=required, found=obstacle, passed=False))
        return _decide(rules, champion_version, "")
    if champion is None:
        return _decide(rules, None, _learnt(config))
    first = [same_samples(challenger, champion), *same_tasks(challenger, champion)]
    if not all(rule.passed for rule in first):
        return _decide([*first, *rules], champion_version, "")
    compared, mean = _compare(challenger, champion, counting, config)
    return _decide([*first, *compared, *rules], champion_version, mean)


def relative_gains(challenger: TaskReport, champion: TaskReport) -> tuple[float, np.ndarray]:
    """Gain of the challenger over the champion as a share of what the metric has or can still gain, whichever is more
    (`Yardstick.gain`): on the test split, and on every resample [resamples]; NaN where one of the two has no value.
    """
    found = gain(challenger, champion)
    return found.point, found.replicates


def _compare(
    challenger: EvalReport, champion: EvalReport, counting: list[str], config: GateConfig
) -> tuple[list[Rule], str]:
    """The rules about gains, and what came of them in a few words."""
    both = {n: (challenger.tasks[n], champion.tasks[n]) for n in counting if n in champion.tasks}
    gains = {
        name: found
        for name, (new, old) in both.items()
        if new.primary == old.primary and np.isfinite((found := gain(new, old)).point)
    }
    asking = list(not_compared(champion, config))
    if not gains:
        good = f"no task can be compared with the champion's; {_learnt(config)}"
        return asking, good + _for_a_person(asking)
    rules = [*not_worse(gains, both, config), improvement(gains, config)]
    mean = rules[-1].difference or 0.0
    rules += slices({name: both[name] for name in gains}, config)
    good = f"no task is worse than the margin, mean gain {mean:+.2%}"
    if champion.own is not None:
        asking += without_arrivals(challenger, champion.own, gains, config)
    return [*rules, *asking], good + _for_a_person(asking)


def _learnt(config: GateConfig) -> str:
    """What is known of tasks that had no champion to be compared with, where nothing failed."""
    if config.min_skill is None:
        return "whether tasks are better than without looking at the images was not asked (gate.min_skill: null)"
    return "every task is surely better than without looking at the images"


def _for_a_person(rules: list[Rule]) -> str:
    return "".join(f"; for a person to judge: {rule.found}" for rule in rules if rule.name == TITLE)


def _decide(rules: list[Rule], champion: int | None, good: str) -> Decision:
    failed = [
        f"{r.task + ': ' if r.task else ''}{r.name} requires {r.required}, found {r.found}"
        for r in rules
        if not r.passed
    ]
    against = "no champion yet" if champion is None else f"against champion version {champion}"
    summary = f"not promoted ({against}): " + "; ".join(failed) if failed else f"promoted ({against}): {good}"
    return Decision(promote=not failed, champion=champion, summary=summary, rules=tuple(rules))
