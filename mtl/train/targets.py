"""What a training can learn from and be judged by: refused where there is nothing, said where something is missing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtl.data.loading.loader import Split, collate
from mtl.errors import DataError
from mtl.evaluate.blind import yardsticks
from mtl.tasks import Task
from mtl.yardstick import Yardstick


def val_yardsticks(tasks: dict[str, Task], splits: Mapping[str, Split], batch_size: int) -> dict[str, Yardstick]:
    """What each task's metric is measured by on the validation split; of those tasks that have a target there.

    Raises:
        DataError: a task has no target to learn from, or no task that counts has one by which an epoch can be chosen.
    """
    lacking = [name for name, task in tasks.items() if not _has_target(task, splits["train"], batch_size)]
    if lacking:
        raise DataError(
            f"no training image has a target of {', '.join(lacking)}: nothing can be learnt",
            found=_counts(tasks, splits, lacking),
            fix="label some, or remove the task from params.yaml; `mtl data check` names what was left out",
        )
    found = yardsticks(tasks, splits["val"], batch_size)
    counting = [name for name, task in tasks.items() if not task.config.auxiliary]
    if not any(name in found for name in counting):
        raise DataError(
            "no validation image has a target of a task that counts: no epoch can be chosen",
            found=_counts(tasks, splits, counting),
            fix="give the validation split labelled images (data.source.split)",
        )
    return found


def doubts(
    tasks: dict[str, Task], splits: Mapping[str, Split], judged: Mapping[str, Yardstick], batch_size: int
) -> list[str]:
    """What a person should know before a training begins, a line each.

    Args:
        judged: the tasks that have a validation target.
        batch_size: images per optimizer step.
    """
    found: list[str] = []
    size = len(splits["train"])
    if size < batch_size:
        found.append(
            f"{size} training images are fewer than train.batch_size ({batch_size}): every step takes all of them, some "
            "more than once"
        )
    counting = [name for name, task in tasks.items() if not task.config.auxiliary]
    alike = [name for name in counting if name in judged and judged[name].all_alike]
    if alike:
        found.append(
            f"all validation targets of {', '.join(alike)} are alike: whether anything is learnt cannot be seen"
        )
    unjudged = [name for name in counting if name not in judged]
    if unjudged:
        found.append(
            f"no validation image has a target of {', '.join(unjudged)}: the best epoch is chosen by the other tasks"
        )
    untested = [name for name in counting if not _has_target(tasks[name], splits["test"], batch_size)]
    if untested:
        found.append(f"no test image has a target of {', '.join(untested)}: the gate will not let this version pass")
    return found


def _has_target(task: Task, split: Split, batch_size: int) -> bool:
    """Whether a split has anything that the task's loss can be computed from: a mask may be there and know no pixel."""
    chosen = np.flatnonzero(split.present(task.target_name)) if task.kind else np.arange(len(split))
    for start in range(0, len(chosen), batch_size):
        batch = collate(split, chosen[start : start + batch_size])
        task.derive(batch)
        if float(task.target_counts(batch)[0]) > 0:
            return True
    return False


def _counts(tasks: dict[str, Task], splits: Mapping[str, Split], names: list[str]) -> str:
    """Images with each task's target, of all images of each split."""
    lines: list[str] = []
    for name in names:
        task = tasks[name]
        have = {
            split: int(rows.present(task.target_name).sum()) if task.kind else len(rows)
            for split, rows in splits.items()
        }
        lines.append(f"{name}: " + ", ".join(f"{have[s]} of {len(rows)} {s}" for s, rows in splits.items()))
    return "; ".join(lines) + " images"
