"""Comparisons: what is planned, that selection looks at validation alone, and the arithmetic of the table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.compare import trial as trial_module
from mtl.compare.gains import delta
from mtl.compare.job import trials_of
from mtl.compare.pictures import draw
from mtl.compare.plan import Comparison, Trial, methods, trials, weighted
from mtl.compare.results import (
    Cell,
    ComparisonTable,
    FailedRow,
    FailedTrial,
    MethodRow,
    TrainedTrial,
    TrialResult,
    parse_trial,
)
from mtl.compare.table import best_method, build_table, markdown, mean_weights, selected
from mtl.compare.trial import run_trial
from mtl.config.params import Config
from mtl.errors import ConfigError, DataError, StageError, TrainingError
from mtl.objective.aggregation import AGGREGATORS
from mtl.objective.weighting import WEIGHTINGS
from mtl.reports import EpochRow
from mtl.storage.seal import Seal
from mtl.yardstick import Yardstick
from tests.conftest import mtl


def wanted(**values: Any) -> Comparison:
    base = {"weightings": ("all",), "aggregators": ("all",), "learning_rates": (1e-3, 3e-3), "seeds": 3, "static": 2}
    return Comparison.model_validate({**base, **values})


def test_everything_gets_the_same_grid_and_budget(config: Config) -> None:
    found = methods(config, wanted())
    assert set(WEIGHTINGS) | set(AGGREGATORS) <= set(found)
    assert {f"alone: {n}" for n in ("digit", "species", "objects", "regions", "count")} <= set(found)
    assert "alone: image" not in found  # auxiliary
    planned = trials(found, wanted())
    assert len(planned) == len(found) * 2 * 3
    assert len({trial.key for trial in planned}) == len(planned)
    assert {trial.config.train.epochs for trial in planned} == {config.train.epochs}
    with pytest.raises(ConfigError, match="unknown nonsense"):
        methods(config, wanted(weightings=("nonsense",)))


def test_a_trial_is_known_by_what_it_computes(config: Config) -> None:
    fixed = weighted(config, {"digit": 2.0})
    assert Trial("a", 1e-3, 0, fixed).key == Trial("b", 1e-3, 0, fixed).key
    assert Trial("a", 1e-3, 0, fixed).key != Trial("a", 1e-3, 0, config).key


def test_gradients_are_compared_where_the_settings_say(config: Config) -> None:
    levels = {n: c.objective.level for n, c in methods(config, wanted()).items() if c.objective.compares_gradients}
    assert {n for n, level in levels.items() if level == "parameters"} == {"graddrop", "excess_mtl"}
    there = config.model_copy(update={"objective": config.objective.model_copy(update={"level": "parameters"})})
    found = [c.objective for c in methods(there, wanted()).values() if c.objective.compares_gradients]
    assert len(found) == len(levels)
    assert {objective.level for objective in found} == {"parameters"}


def test_results_of_other_data_are_not_taken(prepared: Path, tmp_path: Path) -> None:
    manifest = (prepared / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(manifest)
    assert trials_of(tmp_path) == trials_of(prepared)
    (tmp_path / "manifest.json").write_text(manifest.replace('"train', '"trial', 1))
    assert trials_of(tmp_path) != trials_of(prepared)


def test_a_trial_without_data_is_not_kept_as_a_result(config: Config, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        run_trial(Trial("a", 1e-3, 0, config), tmp_path / "nowhere", str(tmp_path / "results"), Seal())
    assert not list(tmp_path.rglob("*.json"))


def test_what_another_try_mends_is_not_kept_as_a_method_s_result(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket out of reach says nothing of the method; a loss that is not finite does."""
    trial, results = Trial("a", 1e-3, 0, config), tmp_path / "results"

    def fails_with(error: Exception) -> None:
        def ensure_local(prepared: Path, given: Any) -> Path:
            raise error

        monkeypatch.setattr(trial_module, "ensure_local", ensure_local)

    fails_with(StageError("the bucket is out of reach"))
    with pytest.raises(StageError):
        run_trial(trial, tmp_path, str(results), Seal())
    assert not list(tmp_path.rglob("*.json"))
    fails_with(TrainingError("the loss is not finite"))
    seal = Seal()
    found = run_trial(trial, tmp_path, str(results), seal)
    assert isinstance(found, FailedTrial)
    assert found.error == "TrainingError: the loss is not finite"
    fails_with(AssertionError("it is known"))
    assert run_trial(trial, tmp_path, str(results), seal) == found


@pytest.mark.slow
def test_a_trial_has_the_time_of_its_steps(config: Config, prepared: Path, tmp_path: Path) -> None:
    train = config.train.model_copy(update={"epochs": 1})
    found = run_trial(Trial("a", 1e-3, 0, config.model_copy(update={"train": train})), prepared, str(tmp_path), Seal())
    assert isinstance(found, TrainedTrial)
    assert found.step_seconds > 0


def result(method: str, rate: float, seed: int, val: float, **test: float | None) -> TrainedTrial:
    return TrainedTrial(
        method=method,
        learning_rate=rate,
        seed=seed,
        val_score=val,
        test=test,
        history=tuple(weights_row(epoch, 1.0 + epoch, 3.0) for epoch in range(2)),
        step_seconds=0.2 if method == "famo" else 0.1,
        peak_mib=100.0,
        directions={"x": "max", "y": "min"},
        metrics={"x": "accuracy", "y": "mae"},
    )


def weights_row(epoch: int, x: float, y: float, **more: Any) -> EpochRow:
    return EpochRow.model_validate({"epoch": epoch, "step": epoch, "train/x/weight": x, "train/y/weight": y, **more})


def failed(method: str, seed: int = 0, rate: float = 1e-3) -> FailedTrial:
    return FailedTrial(method=method, learning_rate=rate, seed=seed, error="ValueError: no")


def row_of(table: ComparisonTable, method: str) -> MethodRow:
    (found,) = (row for row in table.rows if isinstance(row, MethodRow) and row.method == method)
    return found


def changed(results: list[TrialResult], **values: Callable[[TrainedTrial], object]) -> list[TrialResult]:
    """The same results with other values in those that were trained."""
    return [
        r.model_copy(update={k: v(r) for k, v in values.items()}) if isinstance(r, TrainedTrial) else r for r in results
    ]


@pytest.fixture
def results() -> list[TrialResult]:
    found: list[TrialResult] = []
    for seed in range(3):
        found += [
            result("alone: x", 1e-3, seed, 0.5, x=0.5),
            result("alone: y", 1e-3, seed, 0.5, y=2.0),
            result("fixed", 1e-3, seed, 0.6, x=0.60 + 0.01 * seed, y=2.0),
            # Better on test at this rate, but worse on validation: it must not be taken.
            result("fixed", 3e-3, seed, 0.5, x=0.9, y=0.1),
            result("famo", 1e-3, seed, 0.7, x=0.50, y=1.0),
        ]
    return [*found, failed("mgda")]


def test_selection_is_on_validation(results: list[TrialResult]) -> None:
    assert {r.learning_rate for r in selected(results, "fixed")} == {1e-3}
    assert best_method(results, ["fixed", "famo", "mgda"]) == "famo"
    assert mean_weights(results, "famo", ["x", "y"]) == {"x": 1.5, "y": 3.0}


def test_an_epoch_without_a_task_does_not_dilute_its_weight(results: list[TrialResult]) -> None:
    history = (weights_row(0, math.nan, math.nan), weights_row(1, 2.0, math.nan))
    assert mean_weights(changed(results, history=lambda _: history), "famo", ["x", "y"]) == {"x": 2.0}


def test_the_table_has_signs_ranks_costs_and_failures(results: list[TrialResult]) -> None:
    table = build_table(results)
    fixed, famo = row_of(table, "fixed"), row_of(table, "famo")
    assert fixed.delta["x"] == pytest.approx((0.61 - 0.5) / 0.5)
    assert fixed.delta["y"] == 0.0
    assert famo.delta["y"] == 0.5  # less error is a gain
    assert famo.delta_m.mean == 0.25
    assert famo.step == 2.0
    assert fixed.rank == 1.5
    assert fixed.metrics["x"].half == pytest.approx(4.303 * 0.01 / 3**0.5, rel=1e-3)
    assert table.rows[-1] == FailedRow(method="mgda", error="ValueError: no")
    text = markdown(table)
    assert text.index("famo") < text.index("| fixed") < text.index("| mgda")  # by Δm, those without one last
    assert "failed: ValueError: no" in text
    assert text.splitlines()[2].startswith("| *each task alone* | 0.500 ± 0.000 | 2.000 ± 0.000 | 0 |")


def test_one_seed_says_nothing_of_the_spread(results: list[TrialResult]) -> None:
    """A row of a single surviving seed, or a task alone that has one, shows ? and not 0."""
    few = [r for r in results if r.method != "famo" or r.seed == 1]
    table = build_table([*few, failed("famo")])
    fixed, famo = row_of(table, "fixed"), row_of(table, "famo")
    assert famo.delta_m == Cell(mean=0.25, half=None)
    assert famo.metrics["x"].half is None
    assert fixed.delta_m.half is not None
    assert fixed.delta_m.half > 0
    assert "| famo (1 of 3 seeds) | 0.500 ± ? | 1.000 ± ? | +25.0 ± ? |" in markdown(table)
    single = build_table([r for r in results if not r.method.startswith("alone") or r.seed == 0])
    assert all(row.delta_m.half is None for row in single.rows if isinstance(row, MethodRow))


def test_learning_rates_at_which_seeds_fail_are_not_chosen(results: list[TrialResult]) -> None:
    """Not for the one seed that did not fail either."""
    lucky = result("famo", 3e-3, 0, 0.9, x=0.9, y=0.1)
    lost = [failed("famo", seed, 3e-3) for seed in (1, 2)]
    assert {r.learning_rate for r in selected([*results, lucky, *lost], "famo")} == {1e-3}


def test_a_task_without_a_test_target_is_named_and_in_no_mean(results: list[TrialResult]) -> None:
    table = build_table(changed(results, test=lambda r: r.test | ({"y": None} if "y" in r.test else {})))
    assert table.not_judged == ("y",)
    assert row_of(table, "famo").delta_m.mean == 0.0
    assert "Without a test target, and so in no column: y." in markdown(table)


def test_what_a_method_gains_is_measured_as_the_gate_measures_it(results: list[TrialResult]) -> None:
    """Alone at chance, a gain is no longer divided by nearly nothing; an error alone may be a small part of the blind one."""

    def lower(trial: TrainedTrial) -> dict[str, float | None]:
        return trial.test | ({"x": x - 0.45} if (x := trial.test.get("x")) is not None else {})

    table = build_table(changed(results, blind=lambda _: {"x": 0.1, "y": 8.0}, test=lower))
    assert row_of(table, "fixed").delta["x"] == pytest.approx(0.11 / 0.95)
    assert row_of(table, "famo").delta["y"] == pytest.approx(1.0 / 6.0)


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_mean_gain_interval_covers_under_any_task_noise(spread: float) -> None:
    rng, seeds, draws = np.random.default_rng(0), 3, 400
    truth = {"a": (0.62, 0.60), "b": (0.35, 0.33), "c": (0.80, 0.81), "d": (0.40, 0.42)}
    yards = {task: Yardstick("min" if task == "d" else "max", blind=0.65) for task in truth}
    true = np.mean([yards[task].gain(new, old) for task, (new, old) in truth.items()])
    hits = 0
    for _ in range(draws):
        found, base = (
            {task: pair[side] + noise * rng.normal(0, 0.01, seeds) for task, pair in truth.items()}
            for side, noise in ((0, 1.0), (1, spread))
        )
        cell = delta(found, base, yards)
        assert cell.mean is not None and cell.half is not None
        hits += abs(cell.mean - true) <= cell.half
    assert 0.92 <= hits / draws <= 0.99


def test_cosines_are_drawn_for_each_level(results: list[TrialResult], tmp_path: Path) -> None:
    cosines = [[1.0, -0.2], [-0.2, None]]
    for method, level in (("upgrad", "features"), ("pcgrad", "features"), ("graddrop", "parameters")):
        history = tuple(weights_row(epoch, 1.0 + epoch, 3.0, cosines=cosines) for epoch in range(2))
        trial = result(method, 1e-3, 0, 0.5, x=0.5, y=2.0)
        results.append(trial.model_copy(update={"level": level, "history": history}))
    table = build_table(results)
    assert {level: found.method for level, found in table.cosines.items()} == {
        "features": "upgrad",
        "parameters": "graddrop",
    }
    draw(tmp_path, table)
    assert (tmp_path / "conflict.png").stat().st_size > 5000
    assert (tmp_path / "weights.png").stat().st_size > 5000


def test_a_result_is_read_as_it_was_written(results: list[TrialResult]) -> None:
    """Also one of before blind answers were known, and with what no step had."""
    history = (weights_row(0, math.nan, 3.0, cosines=[[1.0, None], [None, 1.0]]),)
    for trial in changed(results, history=lambda _: history):
        written = json.dumps(trial.as_json())
        assert json.dumps(parse_trial(json.loads(written), "x").as_json()) == written
    old = {k: v for k, v in results[0].as_json().items() if k not in ("blind", "units", "level")}
    assert parse_trial(old, "x") == results[0]
    with pytest.raises(StageError, match="val_score"):
        parse_trial(old | {"val_score": "high"}, "x")


@pytest.mark.slow
def test_a_comparison_from_the_command_line(checkout: Path, tmp_path: Path) -> None:
    words = ["compare", "--weightings", "fixed,famo", "--aggregators", "mgda", "--seeds", "1", "--static", "1"]
    for change in ("train.epochs=2", "tasks.species.weight=1", "tasks.count.weight=1"):
        words += ["--set", change]
    done = mtl(checkout, *words, "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    rows = {row["method"]: row for row in json.loads(done.stdout)["rows"]}
    assert {"fixed", "famo", "mgda", "equal weights", "static 1"} < set(rows)
    assert rows["equal weights"]["metrics"] == rows["fixed"]["metrics"]  # here they are: trained once, named twice
    assert any(name.startswith("frozen") for name in rows)
    assert all("error" not in row for row in rows.values())
    for name in ("table.json", "table.md", "weights.png", "conflict.png"):
        assert (tmp_path / "out" / name).stat().st_size > 500
    # Again: everything is known, nothing is trained.
    again = mtl(checkout, *words, "--out", str(tmp_path / "out"), "--json")
    assert json.loads(again.stdout)["rows"] == json.loads(done.stdout)["rows"]
