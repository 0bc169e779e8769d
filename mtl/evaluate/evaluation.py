"""Trained weights and a split → scorers and report: one way, for the model, the champion, baselines and comparisons."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from mtl.config.trees.evaluation import EvaluationTree
from mtl.data.loading.loader import Split
from mtl.evaluate.blind import score_blind
from mtl.evaluate.launch import over_workers
from mtl.evaluate.passes import WHOLE, Pass, Rows, passes_of, score_pass, scorers_of
from mtl.evaluate.placement import as_served, place
from mtl.evaluate.report import build_report
from mtl.reports import EvalReport
from mtl.tasks import Task, build_model, build_tasks, image_spec
from mtl.tasks.base import Scorer

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """A model on a split, with all that pictures and tables are made of."""

    model: nn.Module
    tasks: dict[str, Task]
    split: Split
    scorers: dict[str, Scorer]
    report: EvalReport


def evaluate_weights(
    config: EvaluationTree, prepared: Path, weights: Path, split_name: str = "test", home: Path | None = None
) -> Evaluation:
    """Rebuild the model that `config` describes, give it the weights, and evaluate it; home as in `evaluate_model`."""
    split = Split(prepared, split_name)
    tasks = build_tasks(config.tasks, split.spec.targets, image_spec(split.manifest))
    model = build_model(config.model, tasks)
    model.load_state_dict(load_file(weights))
    return evaluate_model(model, tasks, split, config, home=home)


def evaluate_model(
    model: nn.Module,
    tasks: dict[str, Task],
    split: Split,
    config: EvaluationTree,
    *,
    judged: Collection[str] | None = None,
    home: Path | None = None,
) -> Evaluation:
    """Score a model, where `mtl.evaluate.placement` says.

    Args:
        config: `model` and `tasks` describe this model.
        judged: its tasks that can be judged on this split; all, if not said.
        home: MTL_HOME, which knows what has been handed to clusters; None: score in this process whatever `cluster` says.
    """
    known = {name: task for name, task in tasks.items() if judged is None or name in judged}
    wanted = passes_of(len(split), config.evaluate)
    found = _scored(model, tasks, known, split, config, wanted, home)
    scorers = {one.kind: scorers_of(rows, one, known, split) for one, rows in zip(wanted, found, strict=True)}
    robustness = {
        kind: {name: scorer.value()[known[name].primary] for name, scorer in under.items()}
        for kind, under in scorers.items()
        if kind != WHOLE
    }
    blind = score_blind(known, split, config.evaluate.batch_size)
    report = build_report(scorers[WHOLE], known, split, config, robustness, blind)
    return Evaluation(model, known, split, scorers[WHOLE], report)


def _scored(
    model: nn.Module,
    tasks: dict[str, Task],
    known: dict[str, Task],
    split: Split,
    config: EvaluationTree,
    wanted: list[Pass],
    home: Path | None,
) -> list[Rows]:
    """The rows of each pass. In this process as many threads compute as in all of a training's workers: another number can
    change the last bits of a metric.
    """
    images = sum(len(one.indices) for one in wanted)
    where = place(config, model, next(iter(tasks.values())).image, images, clusters=home is not None)
    _LOG.info(f"evaluate: {where.said}")
    if where.workers and home is not None:
        return over_workers(config, model, tasks, list(known), split, home)
    as_served(config.train.num_workers * config.train.threads_per_worker)
    model.to(where.device)
    found = [score_pass(model, known, split, one, config.evaluate.batch_size, where.device) for one in wanted]
    model.cpu()
    return found
