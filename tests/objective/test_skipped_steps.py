"""A step that is left out leaves everything as it was, with every weighting, aggregator and level; the next ones go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl.config.objective import ObjectiveConfig
from mtl.config.params import Config
from mtl.data.loading import sampler
from mtl.data.loading.loader import Batch
from mtl.errors import TrainingError
from mtl.objective.weighting import WEIGHTINGS
from mtl.train.gradients import Outcome
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Training
from tests.objective.tiny_steps import Steps, objectives

QUICK = ("fixed", "uncertainty")
"""Weightings that are tried with every change: one without and one with something of its own to learn."""


def spoil(batch: Batch, how: str) -> Batch:
    if how == "nan":
        batch.images[2] = torch.nan
    if how == "overflow":
        batch.targets["b"][:2] = 3e38
    return batch


def differences(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> list[str]:
    """What is another, or was not there and is not zero."""
    assert before.keys() <= after.keys()
    found = {
        name: before[name] if name in before and before[name].numel() else torch.zeros_like(v)
        for name, v in after.items()
    }
    return [name for name, value in after.items() if not torch.equal(value, found[name])]


@pytest.mark.parametrize(
    "weighting", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in WEIGHTINGS]
)
def test_every_objective_is_as_it_was_and_goes_on(weighting: str) -> None:
    for values in (v for v in objectives() if v["weighting"]["type"] == weighting):
        steps = Steps(values)
        for number, how in enumerate(("nan", "overflow")):  # the very first step is left out too: nothing is known yet
            before = steps.state()
            assert steps.make([spoil(steps.batch(9), how)]) is None, (values, how)
            if number and steps.method.objective.config.compares_gradients:
                # The loss and its gradient are finite, the squares of the gradient are not.
                with steps.multiplied(1e25, "b"):
                    assert steps.make([steps.batch(9)]) is None, values
            assert differences(before, steps.state()) == [], (values, how)
            assert steps.make([steps.batch(number)]) is not None, values
        assert all(torch.isfinite(value).all() for value in steps.state().values()), values


def test_what_a_norm_remembers_of_its_inputs_is_as_it_was() -> None:
    values = {"weighting": {"type": "famo"}}
    steps = Steps(values, {"type": "resnet18", "norm": "batch"})
    steps.make([steps.batch(0)])
    before = steps.state()
    assert any("running_mean" in name for name in before)
    assert steps.make([spoil(steps.batch(9), "nan")]) is None
    assert differences(before, steps.state()) == []


def test_a_step_of_several_micro_batches_is_left_out_whole() -> None:
    for values in ({"weighting": {"type": "famo"}}, {"weighting": {"type": "gradnorm"}}):
        steps = Steps(values)
        steps.make([steps.batch(0), steps.batch(1)])
        before = steps.state()
        assert steps.make([steps.batch(2), spoil(steps.batch(9), "nan")]) is None
        assert differences(before, steps.state()) == []


@pytest.mark.parametrize("figure", ["gramian", "weights", "coefficients", "losses"])
def test_one_figure_that_is_not_finite_is_enough(figure: str) -> None:
    """The gradient may be finite all the same: what the methods would remember is not."""
    steps = Steps({"weighting": {"type": "db_mtl"}, "aggregator": {"type": "gradvac"}})
    steps.make([steps.batch(0)])
    before, compute = steps.state(), steps.method.compute

    def broken(batches: Sequence[Batch]) -> Outcome:
        found = compute(batches)
        getattr(found, figure).view(-1)[0] = torch.inf
        return found

    steps.method.compute = broken  # type: ignore[method-assign]
    assert steps.make([steps.batch(1)]) is None
    assert differences(before, steps.state()) == []


def test_a_forbidden_skip_raises_before_any_change() -> None:
    """Where no step may be left out."""
    steps = Steps({"weighting": {"type": "uncertainty"}, "aggregator": {"type": "imtl_g"}})
    steps.make([steps.batch(0)])
    before = steps.state()
    with pytest.raises(TrainingError, match="the loss of a, b is not finite"):
        steps.make([spoil(steps.batch(9), "nan")], may_skip=False)
    assert differences(before, steps.state()) == []


def test_in_a_training_only_the_places_move_on(config: Config, prepared: Path) -> None:
    values: dict[str, Any] = {"weighting": {"type": "gradnorm"}, "aggregator": {"type": "excess_mtl"}}
    chosen = config.model_copy(
        update={
            "train": config.train.model_copy(update={"max_skipped": 1}),
            "objective": ObjectiveConfig.model_validate({**values, "level": "parameters"}),
        }
    )
    training = Training(chosen, prepared, ProcessGroup())
    order = sampler.epoch_order(0, 0, len(training.train_split))
    training.one_step(order)
    before, rate, original = _flat(training.state()), training.schedule.get_last_lr(), training.batches

    def broken(*turn: Any) -> list[Batch]:
        parts = original(*turn)
        parts[0].images[0] = torch.nan
        return parts

    training.batches = broken  # type: ignore[method-assign]
    training.feed.reset()
    training.one_step(order)
    told = training.read()
    assert [one.left_out[:11] for one in told] == ["", "the loss of"]
    assert "in a batch with the samples train-" in told[1].left_out
    after = _flat(training.state())
    moved = {name for name, value in before.items() if not _equal(value, after[name])}
    places = {"progress/step", "progress/total_steps", "progress/skipped"}
    places |= {f"objective/{method}._extra_state" for method in ("weighting", "aggregator")}  # the number of the step
    assert {n for n in moved if not n.startswith("schedule/") and not n.endswith("/lr")} == places
    assert training.schedule.get_last_lr() != rate
    training.batches = original  # type: ignore[method-assign]
    training.feed.reset()
    training.one_step(order)
    assert not training.read()[0].left_out
    assert training.progress.skipped == 0


def _flat(tree: Any, name: str = "") -> dict[str, Any]:
    """Names of leaves → copies of them."""
    if isinstance(tree, dict | list | tuple):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {k: v for key, item in items for k, v in _flat(item, f"{name}/{key}" if name else str(key)).items()}
    return {name: tree.clone() if isinstance(tree, torch.Tensor) else tree}


def _equal(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
