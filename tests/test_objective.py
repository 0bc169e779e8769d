"""Every weighting and aggregator: the same gradient on 1, 2 and 4 workers, and the values of the references."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
import torchjd.aggregation as jd
import torchjd.scalarization as sc
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.config import Config, ConfigError, ObjectiveConfig, TaskConfig, parse, read_params
from mtl.config.objective import PARAMETER_LEVEL_ONLY
from mtl.data.augment import augmented, draw_changes
from mtl.data.loader import Batch, Split
from mtl.data.sampler import micro_batches
from mtl.objective.aggregation import AGGREGATORS
from mtl.objective.aggregation.stateful import draws
from mtl.objective.combination import Objective
from mtl.objective.weighting import WEIGHTINGS
from mtl.objective.weighting.base import seeded
from mtl.tasks import build_model, build_tasks, image_spec
from mtl.train.distributed import World
from mtl.train.gradients import FeatureGradients, GradientMethod, ParameterGradients, SumGradients
from mtl.train.optimizer import build_optimizer
from mtl.train.step import train_step
from tests.conftest import ROOT

NUM_IMAGES = 8


def methods() -> list[dict[str, Any]]:
    """Every objective: each weighting (at both levels where it compares gradients), each aggregator at each level."""
    found: list[dict[str, Any]] = []
    for name, kind in WEIGHTINGS.items():
        levels = ["features", "parameters"] if kind.needs_gramian else ["features"]
        found += [{"weighting": {"type": name}, "level": level} for level in levels]
    for name in AGGREGATORS:
        levels = ["parameters"] if name in PARAMETER_LEVEL_ONLY else ["features", "parameters"]
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
    config: Config, prepared: Path, values: dict[str, Any], world: World, divided: bool = False
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


def batches(config: Config, prepared: Path, tasks: Any, world: World, accumulate: int, divided: bool) -> list[Batch]:
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
        batch.targets["objects"] = [table[:0] if i % 2 else table for i, table in zip(places, tables, strict=True)]
        batch.targets["regions"][torch.from_numpy(places == 6)] = 255
        for task in tasks.values():
            task.derive(batch)
        found.append(batch)
    return found


def gradients(
    config: Config, prepared: Path, values: dict[str, Any], world: World, accumulate: int = 1, divided: bool = False
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
        after = method.losses(parts) if method.objective.weighting.needs_losses_after else None
        method.objective.after_step(outcome.losses, after, outcome.present)
        if step == 1:
            method.objective.weighting.end_epoch()
    return found


def _worker(rank: int, size: int, config: Config, prepared: Path, folder: Path) -> None:
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "RANK": str(rank), "WORLD_SIZE": str(size)})
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet-{size}", rank=rank, world_size=size)
    for values in methods():
        for divided in (False, True):
            if divided and objective_config(values).compares_gradients and values["level"] == "features":
                continue
            found = gradients(
                config, prepared, values, World(rank, size), accumulate=2 if size == 2 else 1, divided=divided
            )
            if rank == 0:
                torch.save(found, folder / f"{label(values)}-{size}-{divided}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def distributed(config: Config, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gradients of every method on 2 workers (with accumulation) and on 4, by data and by tasks."""
    folder = tmp_path_factory.mktemp("gradients")
    for size in (2, 4):
        mp.spawn(_worker, args=(size, small(config), prepared, folder), nprocs=size)  # pyright: ignore
    return folder


@pytest.mark.parametrize("values", methods(), ids=label)
def test_any_number_of_workers_agrees_to_rounding(
    values: dict[str, Any], config: Config, prepared: Path, distributed: Path
) -> None:
    torch.set_num_threads(1)
    alone = gradients(small(config), prepared, values, World())
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
    once, four = (gradients(small(config), prepared, values, World(), accumulate=n) for n in (1, 4))
    for name, value in once.items():
        assert ((value - four[name]).abs().max() / value.abs().max().clamp(min=1e-6)) < 1e-10, name


@pytest.mark.parametrize("values", methods(), ids=label)
def test_a_checkpoint_of_every_method_resumes_bit_for_bit(
    values: dict[str, Any], config: Config, prepared: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    chosen = small(config)

    def start() -> tuple[GradientMethod, torch.optim.Optimizer]:
        method = build(chosen, prepared, values, World())
        return method, build_optimizer(method.model, method.objective.weighting, chosen.train)

    def steps(method: GradientMethod, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            parts = batches(chosen, prepared, method.tasks, World(), 1, False)
            train_step(method, optimizer, parts, step=step, clip_norm=5.0)
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


JACOBIANS = st.integers(0, 10_000).map(
    lambda seed: torch.randn(4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
)
ROWS = torch.arange(4)


def aggregator(name: str, **options: Any) -> Any:
    values = {"weighting": {"type": "fixed"}, "aggregator": {"type": name, **options}, "level": "parameters"}
    return AGGREGATORS[name](objective_config(values).aggregator, 4, seed=5)


REFERENCES: dict[str, tuple[Any, float]] = {
    # torchjd's own aggregator, and how many times ours is as long: methods that average there, sum here.
    "upgrad": (jd.UPGrad(), 4.0),
    "pcgrad": (jd.PCGrad(), 1.0),
    "cagrad": (jd.CAGrad(c=0.5, norm_eps=0.0), 4.0),
    "mgda": (jd.MGDA(), 4.0),
    "aligned_mtl": (jd.AlignedMTL(), 4.0),
    "imtl_g": (jd.IMTLG(), 4.0),
    "graddrop": (jd.GradDrop(), 1.0),
    "gradvac": (jd.GradVac(), 1.0),
    "config": (jd.ConFIG(), 1.0),
    "excess_mtl": (jd.ExcessMTL(), 4.0),
}


@contextlib.contextmanager
def same_numbers(ours: Any, jacobian: torch.Tensor) -> Iterator[None]:
    """Within it, torch.rand gives the numbers that our GradDrop draws."""
    numbers = draws(jacobian, seeded(ours.seed, int(ours.step)).initial_seed())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda shape, **_: (numbers(shape[0]) + 1.0) / 2.0)
        yield


@pytest.mark.parametrize("name", REFERENCES)
@settings(max_examples=15, deadline=None)
@given(jacobian=JACOBIANS)
def test_aggregators_equal_torchjd(name: str, jacobian: torch.Tensor) -> None:
    reference, factor = REFERENCES[name]
    if hasattr(reference, "reset"):
        reference.reset()
    ours = aggregator(name)
    for _ in range(2):  # twice, for those with a memory
        with ours.drawing(), same_numbers(ours, jacobian):
            wanted = factor * reference(jacobian)
        with ours.drawing():
            if name in PARAMETER_LEVEL_ONLY:
                found = ours.combine(jacobian, ROWS)
            else:
                found = ours.coefficients(jacobian @ jacobian.T, ROWS) @ jacobian
        assert torch.allclose(found, wanted, rtol=1e-6, atol=1e-8)
        ours.end_step()


@settings(max_examples=30, deadline=None)
@given(jacobian=JACOBIANS)
def test_bargaining_and_fairness_solve_their_equations(jacobian: torch.Tensor) -> None:
    gramian = jacobian @ jacobian.T
    for name in ("nash_mtl", "fairgrad"):
        found = aggregator(name, **({"max_norm": 0.0} if name == "nash_mtl" else {})).coefficients(gramian, ROWS)
        gains = found * (gramian @ found)
        assert torch.allclose(gains, gains.mean().expand(4), rtol=1e-4), name  # every task gains alike


@pytest.mark.parametrize("name", [n for n in AGGREGATORS if n not in PARAMETER_LEVEL_ONLY])
@settings(max_examples=15, deadline=None)
@given(jacobian=JACOBIANS)
def test_aggregators_find_a_direction_that_helps(name: str, jacobian: torch.Tensor) -> None:
    """Together the tasks descend; the methods that promise it hurt no single one."""
    gramian = jacobian @ jacobian.T
    ours = aggregator(name)
    with ours.drawing():
        found = ours.coefficients(gramian, ROWS)
    assert torch.isfinite(found).all()
    # IMTL-G's weights can have both signs, so it promises equal projections, not descent.
    if name != "imtl_g":
        assert found @ gramian @ found > 0
    if name in ("upgrad", "mgda", "nash_mtl", "fairgrad", "config"):
        assert (gramian @ found).min() > -1e-3 * gramian.diagonal().max()


@pytest.mark.parametrize("name", [n for n in AGGREGATORS if n not in PARAMETER_LEVEL_ONLY])
def test_one_gradient_ten_thousand_times_the_others_stops_nothing(name: str) -> None:
    jacobian = torch.randn(4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    jacobian[0] *= 1e4
    ours = aggregator(name)
    with ours.drawing():
        found = ours.coefficients(jacobian @ jacobian.T, ROWS) @ jacobian
    assert torch.isfinite(found).all()
    assert found.norm() > 0


LOSSES = [torch.tensor(v, dtype=torch.float64) for v in ([1.0, 0.5, 2.0], [0.8, 0.5, 1.0], [0.9, 0.2, 0.7])]
PRESENT = torch.ones(3, dtype=torch.bool)


def weighting(name: str, **options: Any) -> Any:
    tasks = {n: TaskConfig() for n in ("a", "b", "c")}
    chosen = objective_config({"weighting": {"type": name, **options}}).weighting
    return WEIGHTINGS[name](chosen, tasks, 0)


def derivative(scalarizer: Any, losses: torch.Tensor) -> torch.Tensor:
    """What torchjd's scalarizer multiplies each loss's gradient by."""
    values = losses.clone().requires_grad_()
    return torch.autograd.grad(scalarizer(values), values)[0]


@pytest.mark.parametrize(
    ("name", "options", "reference"),
    [
        ("gls", {}, sc.GeometricMean()),
        ("stch", {"mu": 0.3, "warmup_steps": 0}, sc.STCH(mu=0.3)),
        ("imtl_l", {}, sc.IMTLL(3).double()),
        ("fixed", {}, sc.Sum()),
        ("famo", {}, sc.FAMO(3).double()),
        ("dwa", {}, sc.DWA()),
    ],
)
def test_weightings_equal_torchjd(name: str, options: dict[str, Any], reference: Any) -> None:
    ours = weighting(name, **options)
    for losses in LOSSES:
        assert torch.allclose(ours.weights(losses, PRESENT), derivative(reference, losses), rtol=1e-6)
        after = losses * torch.tensor([0.9, 0.8, 0.99], dtype=torch.float64)
        ours.after_step(losses, after, PRESENT)
        ours.end_epoch()
        if name == "famo":
            reference.update(after)
        if name == "dwa":
            reference.step()


def test_uncertainty_is_twice_torchjds() -> None:
    ours, reference = weighting("uncertainty"), sc.UW(3).double()
    with torch.no_grad():
        for values in (ours.log_variance, reference.log_var):
            values.copy_(torch.tensor([0.1, -0.3, 0.5]))
    assert torch.allclose(ours.weights(LOSSES[0], PRESENT), 2 * derivative(reference, LOSSES[0]))
    assert torch.allclose(ours.own_loss(LOSSES[0], PRESENT), 2 * reference(LOSSES[0]))


FROZEN = {
    "rlw": [2.5339, 0.4047, 0.0614],
    # By hand: norms 1, 0.5, 2.83 against their mean 1.44, Adam's first step 0.025 each way, brought back to a sum of 3.
    "gradnorm": [1.0165, 1.0165, 0.9669],
    # By hand: lengths of the log losses' gradients 1, 1, √2; √2 / (length · loss).
    "db_mtl": [1.4142, 2.8284, 0.5],
}


def test_values_of_the_methods_without_a_reference_here_are_frozen() -> None:
    gramian = torch.diag(torch.tensor([1.0, 0.25, 8.0], dtype=torch.float64))
    for name, wanted in FROZEN.items():
        ours = weighting(name)
        ours.weights(LOSSES[0], PRESENT, gramian)
        ours.after_step(LOSSES[0], None, PRESENT)
        found = weighting(name).weights(LOSSES[0], PRESENT, gramian) if name != "gradnorm" else ours.values
        assert [round(v, 4) for v in found.tolist()] == wanted, name


def test_an_auxiliary_task_is_capped_and_stays_out_of_the_aggregation() -> None:
    tasks = {"a": TaskConfig(), "b": TaskConfig(), "x": TaskConfig(auxiliary=True, weight=0.2)}
    chosen = objective_config({"weighting": {"type": "uncertainty"}, "aggregator": {"type": "upgrad"}})
    objective = Objective(chosen, tasks)
    with torch.no_grad():
        objective.weighting.log_variance.fill_(-3.0)  # type: ignore[union-attr]
    weights = objective.weighting.weights(LOSSES[0], PRESENT)
    assert weights[2] == 0.2
    assert weights[0] > 10
    conflict = torch.tensor([[1.0, -0.5, -0.9], [-0.5, 1.0, -0.9], [-0.9, -0.9, 1.0]], dtype=torch.float64)
    assert objective.coefficients(conflict, PRESENT)[2] == 1.0


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
