"""Stage 4: weights and the test split → report, metrics, tables and pictures."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from mtl.config import load
from mtl.data.loader import Split
from mtl.evaluate.evaluator import score
from mtl.evaluate.pictures import draw_curves, draw_predictions
from mtl.evaluate.report import build_report, write_tables
from mtl.reports import TrainReport, read_report
from mtl.stages import OUTPUTS, run_stage
from mtl.tasks import build_model, build_tasks, image_spec


def main() -> None:
    """Judge the model on the test split."""
    config, out = load(), OUTPUTS / "evaluate"
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.train.num_workers * config.train.threads_per_worker)
    split = Split(OUTPUTS / "prepared", "test")
    tasks = build_tasks(config.tasks, split.spec.targets, image_spec(split.manifest))
    model = build_model(config.model, tasks)
    model.load_state_dict(load_file(OUTPUTS / "train" / "weights.safetensors"))
    scorers = score(model, tasks, split, config.evaluate.batch_size, device=torch.device("cpu"))
    report = build_report(scorers, tasks, split, config)
    (out / "report.json").write_text(report.model_dump_json() + "\n", encoding="utf-8")
    write_tables(out, report, scorers)
    draw_curves(out, scorers, read_report(TrainReport, OUTPUTS / "train" / "training.json").history)
    draw_predictions(out, model, tasks, scorers, split, config.evaluate.num_pictures)
    print("evaluate: " + " · ".join(f"{n} {t.primary} {report.primary(n).value}" for n, t in report.tasks.items()))


if __name__ == "__main__":
    run_stage(main)
