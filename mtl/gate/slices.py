"""No slice may be surely worse than the champion's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mtl.config.gate import GateConfig
from mtl.gate.gains import Pair, interval_rule, tails
from mtl.intervals import student
from mtl.reports import FEWEST, Rule, SliceReport, same_number
from mtl.yardstick import Yardstick


@dataclass(frozen=True)
class Slice:
    """A task's gain on one slice, and its standard error over the resamples; `freedom` of Student's t."""

    task: str
    where: str
    gain: float
    error: float
    freedom: int


def slices(both: Mapping[str, Pair], config: GateConfig) -> Iterator[Rule]:
    """One rule per task: its slice whose interval's high end lies lowest under minus the margin."""
    margin = config.slice_margin
    if margin is None:
        return
    found: list[Slice] = []
    unknown = dict.fromkeys(both, 0)
    for task, (new, old) in both.items():
        for attribute, values in old.slices.items():
            for value, before in values.items():
                after = new.slices.get(attribute, {}).get(value)
                one = after and _judged(task, f"{attribute} {value}", after, before, new.yardstick)
                found += [one] if one else []
                unknown[task] += one is None
    found.sort(key=lambda one: (one.gain + margin) / max(one.error, 1e-9))
    seen: dict[str, Rule] = {}
    going = True  # after a slice that is not surely worse, none is
    for one, tail in zip(found, tails(len(found), config), strict=True):
        reach = student(tail, one.freedom) * one.error
        going = going and one.gain + reach < -margin
        if one.task not in seen:
            required = "no slice is surely worse than {}"
            rule = interval_rule("slices", required, -margin, one.gain, one.gain - reach, one.gain + reach, not going)
            place = f"worst of {len(found)}: {one.where} "
            seen[one.task] = rule.model_copy(update={"task": one.task, "found": place + rule.found})
    yield from _said(both, seen, unknown, margin)


def _said(both: Mapping[str, Pair], seen: dict[str, Rule], unknown: dict[str, int], margin: float) -> Iterator[Rule]:
    """The rules in the tasks' order, with what could not be judged."""
    for task in both:
        few = (
            f"{unknown[task]} with fewer than {FEWEST} samples of the target cannot be judged" if unknown[task] else ""
        )
        if task in seen:
            yield seen[task].model_copy(update={"found": seen[task].found + (f"; {few}" if few else "")})
        elif few:
            required = f"no slice is surely worse than {-margin:+.1%}"
            yield Rule(name="slices", task=task, required=required, found=few, passed=True)


def _judged(task: str, where: str, after: SliceReport, before: SliceReport, yard: Yardstick) -> Slice | None:
    """The gain on a slice; None if it has too few samples to say anything."""
    if after.value is None or before.value is None or min(after.num_samples, before.num_samples) < FEWEST:
        return None
    blind = after.blind if after.blind is not None else before.blind
    own = Yardstick(yard.direction, yard.unit, blind)
    gains = own.gains(*same_number(after.replicates, before.replicates))
    known = gains[np.isfinite(gains)]
    if len(known) < 2:
        return None
    return Slice(task, where, own.gain(after.value, before.value), float(np.std(known, ddof=1)), after.num_samples - 1)
