"""Splits that are balanced over several labels at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mtl.data.spec import SPLITS


def stratify(
    units: Sequence[tuple[str, Counter[str]]], known: Mapping[str, str], val: float, test: float
) -> dict[str, str]:
    """A split for every unit that has none, so that every label comes near its share in each split.

    Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011): the label that fewest units are left of goes first,
    each of its units to the split that lacks it most.

    Args:
        units: an image's id, or a group's name, with how often it has each label; in an order that breaks ties.
        known: units that are placed already; they stay and count.
    """
    shares = {"train": 1.0 - val - test, "val": val, "test": test}
    totals: Counter[str] = Counter()
    for _, labels in units:
        totals.update(labels)
        totals[""] += 1
    lacking = {split: {label: share * count for label, count in totals.items()} for split, share in shares.items()}
    result = dict(known)
    waiting = {name: labels for name, labels in units if name not in known}
    for name, labels in units:
        if name in known:
            _take(lacking[known[name]], labels)
    left = Counter({label: sum(labels[label] > 0 for labels in waiting.values()) for label in totals if label})
    order = {name: place for place, (name, _) in enumerate(units)}
    holders: dict[str, list[str]] = {label: [] for label in left}
    for name in waiting:
        for label in waiting[name]:
            holders[label].append(name)
    while waiting:
        rarest = min((label for label in left if left[label] > 0), key=lambda label: (left[label], label), default="")
        names = [n for n in holders.get(rarest, list(waiting)) if n in waiting] if rarest else list(waiting)
        for name in sorted(names, key=order.__getitem__):
            labels = waiting.pop(name)
            chosen = max(SPLITS, key=lambda s: (lacking[s].get(rarest, 0.0), lacking[s][""], shares[s]))
            result[name] = chosen
            _take(lacking[chosen], labels)
            left.subtract(label for label in labels if labels[label] > 0)
    return result


def _take(lacking: dict[str, float], labels: Counter[str]) -> None:
    lacking[""] -= 1
    for label, count in labels.items():
        lacking[label] -= count
