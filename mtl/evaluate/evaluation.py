"""Trained weights and a split → scorers and report: one way, for the model, the champion, baselines and comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from mtl.config.trees.model import ModelTree
from mtl.data.loading.loader import Split
from mtl.evaluate.blind import score_blind
from mtl.evaluate.evaluator import score
from mtl.evaluate.report import build_report
from mtl.evaluate.robustness import robustness
from mtl.reports import EvalReport
from mtl.tasks import Task, build_model, build_tasks, image_spec
from mtl.tasks.base import Scorer


@dataclass(frozen=True)
class Evaluation:
    """A model on a split, with all that pictures and tables are made of."""

    model: nn.Module
    tasks: dict[str, Task]
    split: Split
    scorers: dict[str, Scorer]
    report: EvalReport


def evaluate_weights(config: ModelTree, prepared: Path, weights: Path, split_name: str = "test") -> Evaluation:
    """Rebuild the model that `config` describes, give it the weights, and evaluate it."""
    split = Split(prepared, split_name)
    tasks = build_tasks(config.tasks, split.spec.targets, image_spec(split.manifest))
    model = build_model(config.model, tasks)
    model.load_state_dict(load_file(weights))
    return evaluate_model(model, tasks, split, config)


def evaluate_model(model: nn.Module, tasks: dict[str, Task], split: Split, config: ModelTree) -> Evaluation:
    """Score a model on the CPU. The thread count is the training's: another one can change the last bits of a metric."""
    torch.set_num_threads(config.train.num_workers * config.train.threads_per_worker)
    settings = config.evaluate
    scorers = score(model, tasks, split, settings.batch_size, device=torch.device("cpu"))
    found = robustness(model, tasks, split, settings.corruptions, settings.num_corrupted, settings.batch_size)
    blind = score_blind(tasks, split, settings.batch_size)
    report = build_report(scorers, tasks, split, config, found, blind)
    return Evaluation(model, tasks, split, scorers, report)
