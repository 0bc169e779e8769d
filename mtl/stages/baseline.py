"""One task alone, with the budget of the whole: what sharing gains or costs. Called with the task's name."""

from __future__ import annotations

import sys

import torch
from safetensors.torch import load_file

from mtl.config import ConfigError, load
from mtl.data.loader import Split
from mtl.evaluate.evaluator import score
from mtl.evaluate.report import build_report
from mtl.stages import OUTPUTS, home, run_stage
from mtl.tasks import build_model, build_tasks, image_spec
from mtl.train.launch import train


def main() -> None:
    """Train and judge a model of one task."""
    name, config = sys.argv[1], load()
    if name not in config.tasks:
        raise ConfigError(f"no task {name!r} in params.yaml", fix=f"choose from {', '.join(config.tasks)}")
    task = config.tasks[name].model_copy(update={"weight": 1.0, "auxiliary": False})
    config = config.model_copy(update={"tasks": {name: task}})
    final = train(config, OUTPUTS / "prepared", home(), from_scratch=False)
    split = Split(OUTPUTS / "prepared", "test")
    tasks = build_tasks(config.tasks, split.spec.targets, image_spec(split.manifest))
    model = build_model(config.model, tasks)
    model.load_state_dict(load_file(final / "weights.safetensors"))
    scorers = score(model, tasks, split, config.evaluate.batch_size, device=torch.device("cpu"))
    out = OUTPUTS / "baselines"
    out.mkdir(parents=True, exist_ok=True)
    report = build_report(scorers, tasks, split, config)
    (out / f"{name}.json").write_text(report.model_dump_json() + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)
