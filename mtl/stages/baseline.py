"""One task alone, with the budget of the whole: what sharing gains or costs. Called with the task's name."""

from __future__ import annotations

import sys

from mtl.config import Config, ConfigError, load
from mtl.evaluate.judge import judge_weights
from mtl.stages import OUTPUTS, home, run_stage
from mtl.train.launch import train


def alone(config: Config, name: str) -> Config:
    """The same settings with one task, its weight 1.

    Raises:
        ConfigError: there is no such task.
    """
    if name not in config.tasks:
        raise ConfigError(f"no task {name!r} in params.yaml", fix=f"choose from {', '.join(config.tasks)}")
    task = config.tasks[name].model_copy(update={"weight": 1.0, "auxiliary": False})
    return config.model_copy(update={"tasks": {name: task}})


def main() -> None:
    """Train and judge a model of one task."""
    name, out = sys.argv[1], OUTPUTS / "baselines"
    config = alone(load(), name)
    final = train(config, OUTPUTS / "prepared", home(), from_scratch=False)
    report = judge_weights(config, OUTPUTS / "prepared", final / "weights.safetensors").report
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(report.model_dump_json() + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)
