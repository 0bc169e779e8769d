"""What people read of an evaluation says what is not known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtl.config.gate import GateConfig
from mtl.config.params import Config
from mtl.gate import decide
from mtl.reports import EvalReport, Metric, SliceReport, TrainReport
from mtl.reports.card import write_card
from mtl.reports.notes import notes
from mtl.reports.page import write_page
from tests.gate.test_gate import report, task

COST = {"parameters": 1, "multiply_adds": 1, "separate_parameters": 1, "separate_multiply_adds": 1}


@pytest.fixture
def evaluation() -> EvalReport:
    noise = np.zeros(100)
    small = SliceReport(value=0.1, num_samples=2, replicates=())
    large = SliceReport(value=0.7, num_samples=60, replicates=(0.7,) * 100)
    kind = task(
        0.8,
        noise,
        blind=0.3,
        num_targets=85,
        support={"cat": 80, "dog": 5, "newt": 0},
        slices={"site": {"attic": small, "garden": large}},
    )
    count = task(None, noise, num_targets=0)
    unsure = kind.metrics | {"macro_f1": Metric(value=0.6, direction="max")}
    tasks = {"kind": kind.model_copy(update={"metrics": unsure}), "count": count}
    return report(tasks).model_copy(update={"small_slices": {"site": 3}, "not_judged": {"old": "other classes"}})


def test_what_is_not_known_is_named(evaluation: EvalReport) -> None:
    assert notes(evaluation) == [
        "old was not judged: other classes",
        "kind: no test sample of newt: nothing is known of how it does there",
        "kind: few test samples of dog (5): intervals of means over classes are too narrow",
        "count: no test sample has its target: nothing is known",
        "site: 3 of its values have fewer than 20 images, and are not judged by themselves",
    ]


def test_page_and_card_say_it(evaluation: EvalReport, config: Config, tmp_path: Path) -> None:
    values = {"history": [], "best_epoch": 0, "steps": 1, "seconds": 1.0, "bf16": False, "world_size": 1}
    training = TrainReport(**values, worlds=[[0, 1]], device="cpu", parameters={"shared": 1}, cost=COST)  # type: ignore[arg-type]
    decision = decide(evaluation, None, None, GateConfig(margin=0.02, min_improvement=None, confidence=0.95))
    write_page(tmp_path / "page.html", evaluation, training, decision, {"version": 1}, tmp_path)
    card, _ = write_card(tmp_path, config, evaluation, training, decision, {"version": 1}, [])
    page, text = (tmp_path / "page.html").read_text(), card.read_text()
    for found in (page, text):
        assert "no test sample of newt" in found
        assert "unknown" in found  # of an interval
        assert "0.3000" in found  # without looking
    assert "2 (too few to judge)" in page
    assert "attic" not in text  # where it is weakest is not where two images are
    assert "garden" in text
