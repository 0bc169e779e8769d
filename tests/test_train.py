"""Training is exact over workers, resumes to the bit, and stops with a reason."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from mtl.config import Config, TrainingError
from mtl.data.augment import augmented, draw_changes
from mtl.data.loader import Split, collate
from mtl.objective.weighting import WEIGHTINGS
from mtl.train.checkpoint import STATE, Checkpoints
from mtl.train.distributed import World
from mtl.train.loop import Training, run
from mtl.train.optimizer import schedule_factor
from mtl.train.step import combine, refuse_non_finite


def quiet(line: Any) -> None:
    """Say nothing."""


def with_weighting(config: Config, name: str) -> Config:
    weighting = type(config.objective)(weighting={"type": name})  # type: ignore[arg-type]
    return config.model_copy(update={"objective": weighting})


def gradients(config: Config, prepared: Path, world: World) -> dict[str, torch.Tensor]:
    """Gradients of one global batch, with most labels of one task missing and one task absent."""
    training = Training(config, prepared, world)
    model = training.wrapped
    indices = np.arange(8)
    mine = indices[world.rank :: world.size]
    batch = augmented(
        training.train_split, mine, draw_changes(config.augment, 0, 0, 0, 8).share(world.rank, world.size)
    )
    batch.present["digit"] = torch.tensor([i in (0, 1, 3, 7) for i in mine])
    batch.present["count"][:] = False
    outputs = model(batch.images)
    terms = [task.terms(outputs[name], batch) for name, task in training.tasks.items()]
    combine(terms, training.weighting, world).objective.backward()
    return {name: p.grad.clone() for name, p in training.model.named_parameters() if p.grad is not None}


def _gradients_worker(rank: int, size: int, config: Config, prepared: Path, folder: Path) -> None:
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "RANK": str(rank), "WORLD_SIZE": str(size)})
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=size)
    found = gradients(config, prepared, World(rank, size))
    if rank == 0:
        torch.save(found, folder / "gradients.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("weighting", list(WEIGHTINGS))
def test_two_workers_and_one_agree_on_the_gradient(
    weighting: str, config: Config, prepared: Path, tmp_path: Path
) -> None:
    chosen = with_weighting(config, weighting)
    alone = gradients(chosen, prepared, World())
    mp.spawn(_gradients_worker, args=(2, chosen, prepared, tmp_path), nprocs=2)  # pyright: ignore
    together = torch.load(tmp_path / "gradients.pt")
    assert alone.keys() == together.keys()
    # float32 throughout: the sums over workers add no more than its rounding.
    for name, gradient in alone.items():
        scale = gradient.abs().max().clamp(min=1e-3)
        assert ((gradient - together[name]).abs().max() / scale) < 2e-4, name


def test_a_resumed_training_ends_with_the_same_weights(config: Config, prepared: Path, tmp_path: Path) -> None:
    whole = Training(config, prepared, World())
    run(whole, Checkpoints(tmp_path / "whole", 2), report=quiet, say=quiet)

    class Killed(Exception):
        pass

    broken = Training(config, prepared, World())
    original = broken.one_step

    def die_at_step_five(order: np.ndarray) -> list[float]:
        if broken.progress.total_steps == 5:
            raise Killed
        return original(order)

    broken.one_step = die_at_step_five  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run(broken, Checkpoints(tmp_path / "broken", 2), report=quiet, say=quiet)
    resumed = Training(config, prepared, World())
    lines: list[str] = []
    progress = run(resumed, Checkpoints(tmp_path / "broken", 2), report=quiet, say=lines.append)
    assert "train: goes on from step 4" in lines
    assert progress.total_steps == 6
    for name, value in whole.best.items():
        assert torch.equal(value, resumed.best[name]), name


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 3):
        checkpoints.save(step, {"step": step})
    assert not (tmp_path / "step-00000001").exists()
    path = tmp_path / "step-00000003" / STATE
    path.write_bytes(path.read_bytes()[:-1])
    lines: list[str] = []
    assert checkpoints.latest(lines.append) == {"step": 2}
    assert "step-00000003 is damaged" in lines[0]
    (tmp_path / "step-00000002" / "manifest.json").unlink()
    assert checkpoints.latest(quiet) is None


def test_no_space_for_a_checkpoint_is_explained_and_leaves_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, {"x": torch.zeros(10)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(TrainingError, match="cannot write a checkpoint") as caught:
            checkpoints.save(2, {"x": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "MiB free" in str(caught.value)
    assert not (tmp_path / "step-00000002").exists()
    assert checkpoints.latest(quiet) is not None


def test_a_loss_that_is_not_finite_stops_before_the_step(config: Config, prepared: Path) -> None:
    training = Training(config, prepared, World())
    batch = collate(training.train_split, np.arange(4))
    batch.images[2] = torch.nan
    before = {n: v.clone() for n, v in training.model.state_dict().items()}
    outputs = training.model(batch.images)
    terms = [task.terms(outputs[name], batch) for name, task in training.tasks.items()]
    found = combine(terms, training.weighting, World())
    with pytest.raises(TrainingError, match="not finite at step 17") as caught:
        refuse_non_finite(found, terms, training.tasks, batch, 17, World())
    assert "digit" in str(caught.value)
    assert "train-000002" in str(caught.value)
    assert all(torch.equal(v, before[n]) for n, v in training.model.state_dict().items())


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant"])
def test_schedules_rise_then_fall(schedule: str, config: Config) -> None:
    factor = schedule_factor(config.train.model_copy(update={"schedule": schedule, "warmup": 0.2}), 100)
    values = [factor(step) for step in range(100)]
    assert values[0] < 0.1
    assert max(values) == pytest.approx(1.0)
    assert values.index(max(values)) in range(18, 22)
    assert values[-1] == 1.0 if schedule == "constant" else values[-1] < 0.01


def test_the_split_reads_the_same_after_a_copy(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "copy")
    a, b = (collate(Split(folder, "val"), np.arange(5)) for folder in (prepared, tmp_path / "copy"))
    assert torch.equal(a.images, b.images)
