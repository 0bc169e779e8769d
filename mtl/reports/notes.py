"""What an evaluation does not show, in words."""

from __future__ import annotations

from collections.abc import Iterator

from mtl.reports.evaluation import FEWEST, EvalReport, TaskReport

FEW = 10
"""Samples of a class: with fewer, intervals of means over classes are too narrow (tests/evaluate/test_intervals.py)."""
SHOWN = 12
CHOSEN_ON = (
    "for there is no test split: the best epoch was chosen on the same images, which flatters all values a little"
)


def notes(evaluation: EvalReport) -> list[str]:
    """A line for a split that is no test split, and for each task, class and slice of which nothing or little is known."""
    found = [f"judged on the validation split, {CHOSEN_ON}"] if evaluation.split == "val" else []
    found += [f"{name} was not judged: {why}" for name, why in evaluation.not_judged.items()]
    for name, task in evaluation.tasks.items():
        found += [f"{name}: {line}" for line in _of_task(task)]
    for attribute, count in evaluation.small_slices.items():
        found.append(
            f"{attribute}: {count} of its values have fewer than {FEWEST} images, and are not judged by themselves"
        )
    return found


def _of_task(task: TaskReport) -> Iterator[str]:
    count = task.num_targets
    if count == 0:
        yield "no test sample has its target: nothing is known"
        return
    if count is not None and count < FEWEST:
        yield f"{count} test samples have its target: too few to say much"
    none = [label for label, number in task.support.items() if number == 0]
    few = [f"{label} ({number})" for label, number in task.support.items() if 0 < number < FEW]
    if none:
        yield f"no test sample of {_named(none)}: nothing is known of how it does there"
    if few:
        yield f"few test samples of {_named(few)}: intervals of means over classes are too narrow"


def _named(labels: list[str]) -> str:
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return ", ".join(labels[:SHOWN]) + more
