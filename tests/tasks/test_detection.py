"""What detectors learn from: small boxes, images without a box; and what a step does where nothing is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mtl.config import tasks as kinds_of_task
from mtl.config.params import Config
from mtl.config.tasks import TaskConfig
from mtl.data.loading.loader import Batch
from mtl.data.spec import TargetSpec
from mtl.objective.combination import Objective
from mtl.objective.losses import dice
from mtl.tasks import Task, build_model, build_tasks
from mtl.tasks.base import ImageSpec
from mtl.tasks.faster_rcnn import FasterRCNN
from mtl.tasks.fcos import assign
from mtl.train.gradients import SumGradients
from mtl.train.process_group import ProcessGroup

SIDE = 32
IMAGE = ImageSpec(SIDE, SIDE, 3, (0.5,) * 3, (0.25,) * 3)
CPU = torch.device("cpu")
METHODS = ["fcos", "faster_rcnn"]


def by_hand(table: np.ndarray, cells: int, stride: int, radius: float) -> list[int]:
    """Which box each cell learns by FCOS' own rule, -1 for none; written cell by cell."""
    found: list[int] = []
    for number in range(cells**2):
        x, y = (number % cells + 0.5) * stride, (number // cells + 0.5) * stride
        mine = [
            ((x2 - x1) * (y2 - y1), i)
            for i, (x1, y1, x2, y2, _) in enumerate(table.tolist())
            if x1 < x < x2 and y1 < y < y2
            if max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) <= radius * stride
        ]
        found.append(min(mine)[1] if mine else -1)
    return found


@pytest.mark.parametrize("stride", [4, 8])
def test_cells_learn_the_smallest_box_and_each_box_has_a_cell(stride: int) -> None:
    rng = np.random.default_rng(stride)
    cells = SIDE // stride
    for _ in range(60):
        corner = rng.uniform(0, SIDE - 8, (int(rng.integers(1, 5)), 2))
        sizes = rng.uniform(0.5, 20, corner.shape)
        table = np.column_stack([corner, np.minimum(corner + sizes, SIDE), np.arange(len(corner))]).astype(np.float32)
        tables = [torch.from_numpy(table)]
        wanted = by_hand(table, cells, stride, 1.5)
        positive, label, sides = assign(tables, cells, cells, stride, 1.5, CPU)
        assert torch.where(positive, label, -1)[0].tolist() == wanted
        learnt, more, _ = assign(tables, cells, cells, stride, 1.5, CPU, every_box=True)
        kept = torch.where(learnt, more, -1)[0].tolist()
        lacking = set(range(len(table))) - set(wanted)
        assert all(a == b or b in lacking for a, b in zip(wanted, kept, strict=True)), "nothing else changes"
        for box in table:
            alone = [torch.from_numpy(box[None])]
            assert assign(alone, cells, cells, stride, 1.5, CPU, every_box=True)[0].any()
        assert (sides[positive] > 0).all()


def test_a_box_between_all_anchors_has_the_nearest_one() -> None:
    task = detector("faster_rcnn", stride=16, anchors=(4.0,))
    method: FasterRCNN = task.method  # type: ignore[attr-defined]
    assert method.target_counts([torch.tensor([[15.0, 15.0, 17.0, 17.0, 0.0]])], torch.tensor([True]))[0] == 1
    state, _ = method._states([torch.tensor([[19.0, 3.0, 20.0, 4.0, 0.0]])], torch.tensor([True]))
    assert state[0].tolist() == [0, 1, 0, 0]


def detector(method: str, **settings: Any) -> Task:
    values = {"type": "detection", "method": method, "hidden": 8, **settings}
    config = kinds_of_task.Detection.model_validate(values)
    return build_tasks({"o": config}, {"o": TargetSpec(kind="boxes", classes=("a", "b"))}, IMAGE)["o"]


def batch_of(number: int, targets: dict[str, Any]) -> Batch:
    generator = torch.Generator().manual_seed(0)
    present = {name: torch.ones(number, dtype=torch.bool) for name in targets}
    images = torch.randn(number, 3, SIDE, SIDE, generator=generator)
    return Batch([str(i) for i in range(number)], images, targets, present, torch.zeros(number, dtype=torch.float64))


def method_of(config: Config, tasks: dict[str, Task], configs: dict[str, TaskConfig]) -> SumGradients:
    torch.manual_seed(0)
    backbone = config.model.backbone.model_copy(update={"widths": (8, 8, 12, 12), "depths": (1, 1, 1, 1)})
    model = build_model(config.model.model_copy(update={"backbone": backbone, "neck_channels": 12}), tasks)
    return SumGradients(model, tasks, Objective(config.objective, configs), ProcessGroup())


@pytest.mark.parametrize("method", METHODS)
def test_images_without_a_box_teach_that_there_is_none(method: str, config: Config) -> None:
    tasks = {"o": detector(method)}
    steps = method_of(config, tasks, {"o": tasks["o"].config})
    batches = [batch_of(2, {"o": [torch.zeros(0, 5)] * 2}) for _ in range(2)]
    outcome = steps.compute(batches)
    assert outcome.present.tolist() == [True]
    gradients = [p.grad for p in steps.model.parameters() if p.grad is not None]
    assert sum(float(g.abs().sum()) for g in gradients) > 0
    assert all(torch.isfinite(g).all() for g in gradients)
    optimizer = torch.optim.SGD(steps.model.parameters(), 1e-2)
    optimizer.step()
    assert float(steps.losses(batches)) < float(outcome.losses)
    batches[0].present["o"][:] = False
    assert steps.normaliser(batches).present.tolist() == [True]
    batches[1].present["o"][:] = False
    assert steps.normaliser(batches).present.tolist() == [False], "no image has the target"


@pytest.mark.parametrize("method", METHODS)
def test_a_crowd_over_the_whole_image_teaches_nothing(method: str, config: Config) -> None:
    tasks = {"o": detector(method)}
    steps = method_of(config, tasks, {"o": tasks["o"].config})
    everything = torch.tensor([[-64.0, -64.0, 128.0, 128.0, 0.0, 1.0]])
    outcome = steps.compute([batch_of(2, {"o": [everything] * 2})])
    assert outcome.present.tolist() == [False]
    assert all(not p.grad.any() for p in steps.model.parameters() if p.grad is not None)


UNKNOWN = {
    "mask": (kinds_of_task.Segmentation(type="segmentation"), torch.full((3, SIDE, SIDE), 255)),
    "depth": (kinds_of_task.Depth(type="depth"), torch.full((3, SIDE, SIDE), torch.nan)),
    "normals": (kinds_of_task.Normals(type="normals"), torch.full((3, 3, SIDE, SIDE), torch.nan)),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_targets_without_known_pixels_are_absent(kind: str, config: Config) -> None:
    """They change nothing."""
    task_config, nothing = UNKNOWN[kind]
    spec = TargetSpec(kind=kind, classes=("a", "b") if kind == "mask" else ())  # type: ignore[arg-type]
    tasks = build_tasks({"t": task_config}, {"t": spec}, IMAGE)
    steps = method_of(config, tasks, {"t": task_config})
    outcome = steps.compute([batch_of(3, {"t": nothing.clone()})])
    assert outcome.present.tolist() == [False]
    assert outcome.losses.tolist() == [0.0]
    assert all(not p.grad.any() for p in steps.model.parameters() if p.grad is not None)
    known = nothing.clone()
    known[0] = 1
    alone, among = batch_of(1, {"t": known[:1]}), batch_of(3, {"t": known})
    among.images[:] = alone.images
    steps.model.eval()
    one, three = (float(steps.losses([batch])) for batch in (alone, among))
    assert one == pytest.approx(three, rel=1e-6), "images without a known pixel dilute nothing"


def test_dice_has_sums_in_its_denominator() -> None:
    """2 Σpg + 1 over Σp + Σg + 1, by class and image; ignored pixels count nowhere."""
    rng = np.random.default_rng(0)
    logits, masks = torch.from_numpy(rng.normal(size=(3, 4, 5, 5))), torch.from_numpy(rng.integers(0, 4, (3, 5, 5)))
    masks[0, :2] = 255
    wanted = 0.0
    for image, mask in ((logits[i].softmax(0), masks[i]) for i in (0, 2)):
        known = mask != 255
        for c in range(4):
            p, g = image[c][known], (mask == c)[known].double()
            wanted += (1 - (2 * (p * g).sum() + 1) / (p.sum() + g.sum() + 1)) / 4
    assert dice(logits, masks, torch.tensor([True, False, True])).item() == pytest.approx(float(wanted), abs=1e-9)
