"""Which changes the images of a training get, by their source; refused where the targets of a task do not follow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtl.config.augment import AugmentConfig
from mtl.config.together import refused_change
from mtl.data.loading.changes import Changes
from mtl.data.loading.draws import draw_changes
from mtl.data.loading.loader import Split
from mtl.data.loading.mixing import SLICE
from mtl.data.loading.views import read_for
from mtl.errors import ConfigError
from mtl.tasks import Task


class Augmenting:
    """Draws the changes of global batches.

    Raises:
        ConfigError: `sources` has one that the data set has not, or images have a target that does not follow a change.
    """

    def __init__(self, config: AugmentConfig, split: Split, tasks: Mapping[str, Task]) -> None:
        self.config = config
        self._sources = _sources(config, split)
        self._joins = any(any(config.of(source).joins.values()) for source in ("", *config.sources))
        for source in sorted(set(self._sources.tolist())):
            _check(config.of(source), source, self._sources == source, split, tasks)

    def draw(self, indices: np.ndarray, seed: int, epoch: int, step: int) -> Changes:
        """Of the samples of a global batch."""
        sources = self._sources[indices].tolist() if self.config.sources else ()
        return draw_changes(self.config, seed, epoch, step, len(indices), sources)

    def reads(self, indices: np.ndarray, places: np.ndarray, seed: int, epoch: int, step: int) -> np.ndarray:
        """Indices of what is read for some places of a global batch: of images that are made of several, all of them."""
        joins = self.draw(indices, seed, epoch, step).joins if self._joins else None
        return read_for(joins, indices, places)


def _sources(config: AugmentConfig, split: Split) -> np.ndarray:
    """Of each sample, where they differ; else none: str [samples]."""
    if not config.sources:
        return np.full(len(split), "")
    found = split.slices().get(SLICE)
    if found is None:
        raise ConfigError(
            "augment.sources tells sources apart, and this data set has one alone",
            found=f"slices: {', '.join(split.slices()) or 'none'}",
            fix="put what stands under augment.sources into augment itself",
        )
    if unknown := sorted(set(config.sources) - set(found)):
        raise ConfigError(
            f"augment.sources: no training image is of {', '.join(unknown)}",
            found=", ".join(unknown),
            fix=f"choose from {', '.join(sorted(set(found)))}",
        )
    return np.array(found)


def _check(config: AugmentConfig, source: str, chosen: np.ndarray, split: Split, tasks: Mapping[str, Task]) -> None:
    """Of one source, whose samples are marked."""
    for change in config.changes:
        refusals = {name: task.config.refusal(change) for name, task in tasks.items()}
        having = {
            name: int(split.present(tasks[name].target_name)[chosen].sum()) if tasks[name].kind else int(chosen.sum())
            for name, why in refusals.items()
            if why
        }
        refused = {name: refusals[name] for name, number in having.items() if number}
        if refused:
            place = f"augment.sources.{source}.{change}: off" if source else f"augment.{change}: null"
            counts = ", ".join(f"{having[name]} with a target of {name}" for name in refused)
            raise ConfigError(
                refused_change(change, refused),
                found=f"{int(chosen.sum())} training images{f' of {source}' if source else ''}, {counts}",
                fix=f"set {place}, or leave the task out",
            )
