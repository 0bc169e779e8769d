"""One task alone, with the budget of the whole: what sharing gains or costs. Called with the task's name."""

from __future__ import annotations

import sys

from mtl.compare.plan import single_task
from mtl.config.params import load
from mtl.evaluate.evaluation import evaluate_weights
from mtl.stages import OUTPUTS, home, run_stage
from mtl.train.launch import train


def main() -> None:
    """Train and judge a model of one task."""
    name, out = sys.argv[1], OUTPUTS / "baselines"
    config = single_task(load(), name)
    final = train(config, OUTPUTS / "prepared", home(), from_scratch=False)
    report = evaluate_weights(config, OUTPUTS / "prepared", final / "weights.safetensors", home=home()).report
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(report.model_dump_json() + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)
