"""Whether a gain is there without the test samples that have arrived since the champion was registered.

Whoever supplies data supplies test samples too, and may have both say what is not so. So where the champion had to be judged
again, both versions are compared on the test samples that it already had, beside all of them:

- a task that is surely worse there than minus `margin` is refused, and so is a slice by `slice_margin`, as on all samples:
  no gain on what has arrived pays for it;
- a gain that is not shown there (`not worse` and `improvement`, as on all samples) is carried by the arrivals. They may be
  what the champion lacked, or what somebody wants it to learn: a person must say which. The same where more of the
  champion's own samples are gone than `margin`, for what was lost may have been lost on these; where it is not known which
  it had; and where a task cannot be compared at all, because its classes are others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mtl.config.gate import GateConfig
from mtl.gate.gains import Pair, gain, improvement, interval_rule, not_worse, surely_below
from mtl.gate.slices import slices
from mtl.intervals import Estimate
from mtl.reports import EvalReport, OwnSamples, Rule, TaskReport

TITLE = "gain without arrivals"


def not_compared(champion: EvalReport, config: GateConfig) -> Iterator[Rule]:
    """Tasks of the champion that nothing was compared in: a class that the data bring makes any task such a one."""
    for name, why in champion.not_judged.items():
        yield _asking(f"the champion cannot be judged: {why}", config).model_copy(update={"task": name})


def without_arrivals(
    challenger: EvalReport, own: OwnSamples, whole: Mapping[str, Estimate], config: GateConfig
) -> Iterator[Rule]:
    """The rules about the champion's own samples.

    Args:
        whole: gains on all samples, by task.
    """
    if own.num_samples is None:
        yield _asking("the champion does not say which of them it had", config)
        return
    num_arrived = challenger.num_samples - own.num_samples
    gone = f"{own.num_gone} of its {own.num_gone + own.num_samples} samples are changed or gone"
    many_gone = own.num_gone > config.margin * (own.num_gone + own.num_samples)
    if not num_arrived:
        if many_gone:
            yield _asking(gone, config)
        return
    both = _pairs(own.challenger, own.champion, list(whole))
    gains = {name: gain(*pair) for name, pair in both.items()}
    worse = surely_below(gains, -config.margin, config)
    for name, found in gains.items():
        low, high = found.interval((1 - config.confidence) / 2) or (-1.0, 1.0)
        required = f"not surely worse than {{}} on the {own.num_samples} samples that the champion had"
        rule = interval_rule("own samples", required, -config.margin, found.point, low, high, name not in worse)
        yield rule.model_copy(update={"task": name})
    for rule in slices(both, config):
        yield rule.model_copy(update={"name": "slices of own samples"})
    shown, found = _shown(gains, both, whole, config)
    if many_gone or not shown:
        arrived = f"{num_arrived} of {challenger.num_samples} test samples have arrived; without them {found}"
        yield _asking(arrived + (f"; {gone}" if many_gone else ""), config)


def _pairs(new: Mapping[str, TaskReport], old: Mapping[str, TaskReport], names: list[str]) -> dict[str, Pair]:
    """Of tasks that have a value on these samples."""
    both = {name: (new[name], old[name]) for name in names if name in new and name in old}
    return {name: pair for name, pair in both.items() if np.isfinite(gain(*pair).point)}


def _shown(
    gains: Mapping[str, Estimate], both: Mapping[str, Pair], whole: Mapping[str, Estimate], config: GateConfig
) -> tuple[bool, str]:
    """Whether the gain on all samples is there on these too, and what is."""
    unknown = [name for name in whole if name not in gains]
    if not gains:
        return False, "nothing is left to compare"
    mean = improvement(gains, config)
    lacking = [rule.task or "" for rule in not_worse(gains, both, config) if not rule.passed]
    found = f"the mean gain is {mean.found}, with them {Estimate.mean(list(whole.values())).point:+.2%}"
    found += f"; may be worse: {', '.join(lacking)}" if lacking else ""
    found += f"; not known: {', '.join(unknown)}" if unknown else ""
    return mean.passed and not lacking and not unknown, found


def _asking(found: str, config: GateConfig) -> Rule:
    """A rule that a person's yes alone can keep: where one is asked anyway, it does not refuse."""
    required = "shown on the samples that the champion had, or a person's yes"
    if config.approval_minutes is None:
        required += " (gate.approval_minutes, or mtl promote --override --why)"
    return Rule(name=TITLE, required=required, found=found, passed=config.approval_minutes is not None)
