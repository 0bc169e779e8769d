"""Every weighting and aggregator: the same gradient on 1, 2 and 4 workers, and the values of the references."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp

from mtl.config import read_params
from mtl.config.choices import sections
from mtl.config.objective import ObjectiveConfig
from mtl.config.params import Config, parse
from mtl.data.loading.augment import augmented, draw_changes
from mtl.data.loading.loader import Batch, Split
from mtl.data.loading.padded import Padded
from mtl.data.loading.sampler import micro_batches
from mtl.errors import ConfigError
from mtl.objective.aggregation import AGGREGATORS
from mtl.objective.combination import Objective
from mtl.objective.weighting import WEIGHTINGS
from mtl.tasks import build_model, build_tasks, image_spec
from mtl.train.gradients import FeatureGradients, GradientMethod, ParameterGradients, SumGradients
from mtl.train.optimizer import build_optimizer
from mtl.train.process_group import ProcessGroup
from mtl.train.step import train_step
from mtl.train.verdicts import Verdicts
from tests.conftest import ROOT

NUM_IMAGES = 8


def methods() -> list[dict[str, Any]]:
    """Every objective: each weighting (at both levels where it compares gradients), each aggregator at each level."""
    found: list[dict[str, Any]] = []
    for name in WEIGHTINGS:
        levels = ["features", "parameters"] if sections()["weightings"][name].needs_gramian else ["features"]
        found += [{"weighting": {"type": name}, "level": level} for level in levels]
    for name in AGGREGATORS:
        levels = ["parameters"] if sections()["aggregators"][name].needs_jacobian else ["features", "parameters"]
        found += [{"weighting": {"type": "fixed"}, "aggregator": {"type": name}, "level": level} for level in levels]
    return found


def label(values: dict[str, Any]) -> str:
    return "-".join([values["weighting"]["type"], values.get("aggregator", {}).get("type", "sum"), values["level"]])


def objective_config(values: dict[str, Any]) -> ObjectiveConfig:
    return ObjectiveConfig.model_validate(values)


def small(config: Config) -> Config:
    """A network of a few thousand weights."""
    backbone = config.model.backbone.model_copy(update={"widths": (8, 8, 12, 12), "depths": (1, 1, 1, 1)})
    model = config.model.model_copy(update={"backbone": backbone, "neck_channels": 12})
    tasks = {n: t.model_copy(update={"hidden": 8}) for n, t in config.tasks.items()}
    return config.model_copy(update={"model": model, "tasks": tasks})


def build(
    config: Config, prepared: Path, values: dict[str, Any], world: ProcessGroup, divided: bool = False
) -> GradientMethod:
    """A float64 model with its objective."""
    torch.manual_seed(0)
    split = Split(prepared, "train")
    tasks = build_tasks(config.tasks, split.spec.targets, image_spec(split.manifest))
    model = build_model(config.model, tasks).double()
    objective = Objective(objective_config(values), config.tasks, seed=3)
    mine = list(tasks)[world.rank :: world.size] if divided else None
    if objective.config.compares_gradients:
        kind = FeatureGradients if values["level"] == "features" else ParameterGradients
        return kind(model, tasks, objective, world, mine=mine)
    wrapped = torch.nn.parallel.DistributedDataParallel(model) if world.size > 1 and not divided else None
    return SumGradients(model, tasks, objective, world, mine=mine, wrapped=wrapped)


def batches(
    config: Config, prepared: Path, tasks: Any, world: ProcessGroup, accumulate: int, divided: bool
) -> list[Batch]:
    """A worker's micro-batches of one global batch: one task mostly unlabelled, one absent, every second
    image, so whole workers, without a box, one image without a known pixel."""
    split = Split(prepared, "train")
    rank, size = (0, 1) if divided else (world.rank, world.size)
    found: list[Batch] = []
    changes = draw_changes(config.augment, 0, 0, 0, NUM_IMAGES)
    for places in micro_batches(NUM_IMAGES, rank, size, accumulate):
        batch = augmented(split, places, changes.at(places))
        batch.images = batch.images.double()
        batch.present["digit"] = torch.tensor([int(i) in (0, 1, 3, 7) for i in places])
        batch.present["count"][:] = False
        tables = batch.targets["objects"]
        batch.targets["objects"] = Padded(tables.rows * torch.from_numpy(places % 2 == 0)[:, None, None])
        batch.targets["regions"][torch.from_numpy(places == 6)] = 255
        for task in tasks.values():
            task.derive(batch)
        found.append(batch)
    return found


def gradients(
    config: Config,
    prepared: Path,
    values: dict[str, Any],
    world: ProcessGroup,
    accumulate: int = 1,
    divided: bool = False,
) -> dict[str, torch.Tensor]:
    """Gradients of the third of three steps, so that what a method remembers counts; and its weights."""
    method = build(config, prepared, values, world, divided)
    found: dict[str, torch.Tensor] = {}
    for step in range(3):
        method.model.zero_grad(set_to_none=True)
        parts = batches(config, prepared, method.tasks, world, accumulate, divided)
        outcome = method.compute(parts)
        found = {n: p.grad.clone() for n, p in method.model.named_parameters() if p.grad is not None}
        found |= {"losses": outcome.losses, "weights": outcome.weights * outcome.coefficients}
        with torch.no_grad():
            for parameter in method.model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad
        after = method.losses(parts) if method.objective.weighting.config.needs_losses_after else None
        method.objective.after_step(outcome.losses, after, outcome.present)
        if step == 1:
            method.objective.weighting.end_epoch()
    return found


DECIDED_TOGETHER: list[dict[str, Any]] = [
    {"weighting": {"type": "famo"}, "level": "features"},
    {"weighting": {"type": "uncertainty"}, "level": "features"},
    {"weighting": {"type": "db_mtl"}, "aggregator": {"type": "gradvac"}, "level": "features"},
    {"weighting": {"type": "gradnorm"}, "aggregator": {"type": "excess_mtl"}, "level": "parameters"},
]
"""An objective for each way to a gradient, with all that remembers."""


def _leave_one_out(config: Config, prepared: Path, values: dict[str, Any], world: ProcessGroup) -> None:
    """A sample of one worker is not finite: both leave the step out, are as they were, and go on alike."""
    method = build(config, prepared, values, world)
    optimizer = build_optimizer(method.model, method.objective.weighting, config.train)

    def state() -> dict[str, torch.Tensor]:
        parts = {**method.model.state_dict(), **method.objective.state_dict()}
        return {name: value.clone() for name, value in parts.items() if not name.endswith("_extra_state")}

    for spoiled in (False, True, False):
        parts = batches(config, prepared, method.tasks, world, 1, False)
        if spoiled and world.rank == 1:
            parts[0].images[0] = torch.nan
        before = state()
        verdicts = Verdicts(world, list(method.tasks), 1)
        train_step(method, optimizer, parts, step=0, clip_norm=5.0, verdicts=verdicts)
        (told,) = verdicts.read()
        assert bool(told.left_out) == spoiled
        same = all(torch.equal(value, before[name]) for name, value in state().items())
        assert same == spoiled
    one, two = world.gather(state())
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def _worker(rank: int, size: int, config: Config, prepared: Path, folder: Path) -> None:
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "RANK": str(rank), "WORLD_SIZE": str(size)})
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet-{size}", rank=rank, world_size=size)
    for values in methods():
        for divided in (False, True):
            if divided and objective_config(values).compares_gradients and values["level"] == "features":
                continue
            found = gradients(
                config, prepared, values, ProcessGroup(rank, size), accumulate=2 if size == 2 else 1, divided=divided
            )
            if rank == 0:
                torch.save(found, folder / f"{label(values)}-{size}-{divided}.pt")
    if size == 2:
        for values in DECIDED_TOGETHER:
            _leave_one_out(config, prepared, values, ProcessGroup(rank, size))
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def distributed(config: Config, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gradients of every method on 2 workers (with accumulation) and on 4, by data and by tasks."""
    folder = tmp_path_factory.mktemp("gradients")
    for size in (2, 4):
        mp.spawn(_worker, args=(size, small(config), prepared, folder), nprocs=size)  # pyright: ignore[reportPrivateImportUsage]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("values", methods(), ids=label)
def test_any_number_of_workers_agrees_to_rounding(
    values: dict[str, Any], config: Config, prepared: Path, distributed: Path
) -> None:
    torch.set_num_threads(1)
    alone = gradients(small(config), prepared, values, ProcessGroup())
    files = sorted(distributed.glob(f"{label(values)}-*.pt"))
    assert len(files) in (2, 4)
    for file in files:
        together = torch.load(file)
        assert alone.keys() <= together.keys()
        for name, value in alone.items():
            scale = value.abs().max().clamp(min=1e-6)
            assert ((value - together[name]).abs().max() / scale) < 1e-10, f"{file.stem}: {name}"


@pytest.mark.parametrize("values", methods(), ids=label)
def test_accumulation_changes_nothing(values: dict[str, Any], config: Config, prepared: Path) -> None:
    torch.set_num_threads(1)
    once, four = (gradients(small(config), prepared, values, ProcessGroup(), accumulate=n) for n in (1, 4))
    for name, value in once.items():
        assert ((value - four[name]).abs().max() / value.abs().max().clamp(min=1e-6)) < 1e-10, name


@pytest.mark.parametrize("values", methods(), ids=label)
def test_a_checkpoint_of_every_method_resumes_bit_for_bit(
    values: dict[str, Any], config: Config, prepared: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    chosen = small(config)

    def start() -> tuple[GradientMethod, torch.optim.Optimizer]:
        method = build(chosen, prepared, values, ProcessGroup())
        return method, build_optimizer(method.model, method.objective.weighting, chosen.train)

    def steps(method: GradientMethod, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        verdicts = Verdicts(ProcessGroup(), list(method.tasks))
        for step in range(first, last):
            parts = batches(chosen, prepared, method.tasks, ProcessGroup(), 1, False)
            train_step(method, optimizer, parts, step=step, clip_norm=5.0, verdicts=verdicts)
            if step % 2:
                method.objective.weighting.end_epoch()

    def state(method: GradientMethod, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        parts = {"model": method.model, "objective": method.objective, "optimizer": optimizer}
        return {name: part.state_dict() for name, part in parts.items()}

    whole, optimizer = start()
    steps(whole, optimizer, 0, 3)
    torch.save(state(whole, optimizer), tmp_path / "state.pt")
    steps(whole, optimizer, 3, 6)
    resumed, other = start()
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed.model.load_state_dict(saved["model"])
    resumed.objective.load_state_dict(saved["objective"])
    other.load_state_dict(saved["optimizer"])
    steps(resumed, other, 3, 6)
    for part in ("model", "objective"):
        one, two = state(whole, optimizer)[part], state(resumed, other)[part]
        assert one.keys() == two.keys()
        assert all(torch.equal(value.nan_to_num(), two[name].nan_to_num()) for name, value in one.items()), part


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"objective": {"aggregator": {"type": "graddrop"}}}, "objective.level to parameters"),
        (
            {"objective": {"aggregator": {"type": "upgrad"}}, "model": {"sharing": {"type": "cross_stitch"}}},
            "no one place",
        ),
        ({"objective": {"weighting": {"type": "gradnorm"}}, "model": {"sharing": {"type": "fusion"}}}, "gradnorm"),
        ({"objective": {"aggregator": {"type": "mgda"}}, "train": {"sharding": "fsdp"}}, "no worker ever holds"),
        ({"objective": {"aggregator": {"type": "mgda"}}, "train": {"parallelism": "tasks"}}, "would have to travel"),
        ({"model": {"sharing": {"type": "mtan"}}, "train": {"sharding": "fsdp"}}, "for hard sharing"),
        ({"train": {"accumulate": 3}}, "multiple"),
    ],
)
def test_what_cannot_work_together_is_refused_with_its_reason(change: dict[str, Any], fragment: str) -> None:
    values = read_params(ROOT / "params.yaml")
    for section, entries in change.items():
        values[section] |= entries
    with pytest.raises(ConfigError, match=fragment):
        parse(values)
