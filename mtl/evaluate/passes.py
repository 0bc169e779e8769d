"""What a test is made of: passes over a split, each of whose batches is the same whoever scores it, and the rows that come of
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from mtl.config.evaluate import Corruption, EvaluateConfig
from mtl.data.loading.ahead import ahead
from mtl.data.loading.loader import Batch, Split, collate, spread
from mtl.errors import DataError
from mtl.evaluate.evaluator import fill, refuse_not_finite
from mtl.evaluate.robustness import damaged
from mtl.tasks import Task
from mtl.tasks.base import Scorer

WHOLE: Literal["whole"] = "whole"
"""The pass over all samples, by which a model is judged."""
CLEAN: Literal["none"] = "none"
"""The pass over the images that are damaged in others, as they are."""
Kind = Corruption | Literal["whole", "none"]


@dataclass(frozen=True)
class Pass:
    """Some samples, as they are or damaged: indices int64 [samples], in order. A part of one has whole batches of it."""

    kind: Kind
    indices: np.ndarray

    def parts(self, samples: int) -> list[Pass]:
        """It in parts of so many samples, a multiple of the batch size; the last may be smaller."""
        starts = range(0, len(self.indices), samples)
        return [Pass(self.kind, self.indices[start : start + samples]) for start in starts]


@dataclass(frozen=True)
class Rows:
    """What scorers keep of a pass: the samples' ids, task → a row of each, and task → ids of those whose answers are not finite."""

    ids: list[str]
    rows: dict[str, list[Any]]
    not_finite: dict[str, list[str]]

    @staticmethod
    def joined(parts: Sequence[Rows]) -> Rows:
        """One after the other."""
        first = parts[0]
        return Rows(
            [found for part in parts for found in part.ids],
            {name: [row for part in parts for row in part.rows[name]] for name in first.rows},
            {name: [found for part in parts for found in part.not_finite[name]] for name in first.not_finite},
        )


def passes_of(num_samples: int, settings: EvaluateConfig) -> list[Pass]:
    """The whole first; then, if there are corruptions, some samples, spread evenly, as they are and under each of them."""
    kinds: tuple[Kind, ...] = (CLEAN, *settings.corruptions) if settings.corruptions else ()
    some = spread(num_samples, settings.num_corrupted)
    return [Pass(WHOLE, np.arange(num_samples)), *(Pass(kind, some) for kind in kinds)]


def judged_in(kind: Kind, tasks: Mapping[str, Task]) -> dict[str, Task]:
    """The tasks that are scored in a pass: robustness is asked of those that are not auxiliary."""
    return {name: task for name, task in tasks.items() if kind == WHOLE or not task.config.auxiliary}


def score_pass(
    model: nn.Module, tasks: dict[str, Task], split: Split, wanted: Pass, batch_size: int, device: torch.device
) -> Rows:
    """Score a pass, or a part of one, in this process."""
    scorers = {name: task.scorer() for name, task in judged_in(wanted.kind, tasks).items()}
    starts = range(0, len(wanted.indices), batch_size)
    indices = (wanted.indices[start : start + batch_size] for start in starts)
    ids: list[str] = []
    not_finite = fill(scorers, model, tasks, _noted(batches(split, wanted.kind, indices, device), ids), device)
    return Rows(
        ids,
        {name: scorer.rows for name, scorer in scorers.items()},
        {name: not_finite.get(name, []) for name in scorers},
    )


def batches(split: Split, kind: Kind, indices: Iterable[np.ndarray], device: torch.device) -> Iterator[Batch]:
    """Loaded ahead."""
    if kind in (WHOLE, CLEAN):
        return ahead(partial(collate, split, device=device), indices, device)
    return ahead(partial(damaged, split, kind), indices, torch.device("cpu"))


def _noted(found: Iterable[Batch], ids: list[str]) -> Iterator[Batch]:
    for batch in found:
        ids += batch.ids
        yield batch


def scorers_of(found: Rows, wanted: Pass, tasks: Mapping[str, Task], split: Split) -> dict[str, Scorer]:
    """Every task's scorer, filled with a pass, from whatever processes its rows came.

    Raises:
        TrainingError: the model gave something that is not finite.
        DataError: other samples were scored than those of the pass.
    """
    refuse_others(found.ids, [split.ids[i] for i in wanted.indices])
    refuse_not_finite(found.not_finite)
    scorers = {name: task.scorer() for name, task in judged_in(wanted.kind, tasks).items()}
    for name, scorer in scorers.items():
        scorer.rows = found.rows[name]
        if len(scorer.rows) != len(wanted.indices):
            refuse_others([], [split.ids[i] for i in wanted.indices])
    return scorers


def refuse_others(found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise DataError if other samples were scored than the split has, or in another order: a test on fewer samples, or rows of
    another sample's, would look like a test.
    """
    if list(found) == list(wanted):
        return
    missing, more = set(wanted) - set(found), set(found) - set(wanted)
    named = sorted(missing or more)
    shown = ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
    what = f"missing: {shown}" if missing else f"not of the split: {shown}" if more else "in another order, or twice"
    raise DataError(
        "what was scored is not the test split",
        found=f"{len(found)} samples for {len(wanted)}; {what}",
        fix="a node may see another prepared folder under the same path: share one, or use a DVC remote in a bucket",
    )
