"""Stage 4: weights and the test split → report, metrics, tables and pictures."""

from __future__ import annotations

import logging

from mtl.config.checking import read
from mtl.config.trees.evaluation import EvaluationTree
from mtl.evaluate.evaluation import evaluate_weights
from mtl.evaluate.pictures import draw_curves, draw_predictions
from mtl.evaluate.tables import write_tables
from mtl.reports import TrainReport, read_report
from mtl.reports.notes import notes
from mtl.stages import OUTPUTS, home, run_stage

_LOG = logging.getLogger(__name__)


def main() -> None:
    """Judge the model on the test split."""
    config, out = read(EvaluationTree), OUTPUTS / "evaluate"
    out.mkdir(parents=True, exist_ok=True)
    weights = OUTPUTS / "train" / "weights.safetensors"
    found = evaluate_weights(config, OUTPUTS / "prepared", weights, home=home())
    report = found.report
    (out / "report.json").write_text(report.model_dump_json() + "\n", encoding="utf-8")
    write_tables(out, report, found.scorers)
    draw_curves(out, found.scorers, read_report(TrainReport, OUTPUTS / "train" / "training.json").history)
    draw_predictions(out, found.model, found.tasks, found.scorers, found.split, config.evaluate.num_pictures)
    values = {name: report.primary(name).value for name in report.tasks}
    shown = {name: "unknown" if value is None else f"{value:.4f}" for name, value in values.items()}
    _LOG.info("evaluate: " + " · ".join(f"{n} {t.primary} {shown[n]}" for n, t in report.tasks.items()))
    for line in notes(report):
        _LOG.info(f"evaluate: {line}")


if __name__ == "__main__":
    run_stage(main)
