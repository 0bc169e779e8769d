"""What a training step costs with every weighting and aggregator, beside the plain sum and beside LibMTL.

    python benchmarks/step.py [--rounds 7] [--quick]

Three tasks (two of classes, one of masks) on ResNet-18 with 11.2 M shared parameters, batches of 32 images of 64×64,
float32 on the CPU, one process. Each method runs between two steps of the plain sum; the median of the rounds' ratios
counts. Writes benchmarks/results/step.json. LibMTL 1.1.5 gets the same network, data and losses; its trainer needs
CUDA, so its loop's body runs here on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mtl.config.choices import sections
from mtl.config.model import ModelConfig
from mtl.config.objective import ObjectiveConfig
from mtl.config.tasks import Classification, Segmentation
from mtl.data.loading.loader import Batch
from mtl.data.spec import TargetSpec
from mtl.objective.aggregation import AGGREGATORS
from mtl.objective.combination import Objective
from mtl.objective.weighting import WEIGHTINGS
from mtl.tasks import build_model, build_tasks
from mtl.tasks.base import ImageSpec, Task
from mtl.train.gradients import FeatureGradients, ParameterGradients, SumGradients
from mtl.train.process_group import ProcessGroup
from mtl.train.step import train_step
from mtl.train.verdicts import Verdicts

CONFIGS = {
    "a": Classification(type="classification", stride=8),
    "b": Classification(type="classification", stride=8),
    "c": Segmentation(type="segmentation", stride=8),
}
TARGETS = {
    "a": TargetSpec(kind="label", classes=tuple("0123456789")),
    "b": TargetSpec(kind="label", classes=tuple("0123456789")),
    "c": TargetSpec(kind="mask", classes=("background", "one", "two")),
}
BOUNDS = {"features": 1.10, "parameters": 1.1 * (1 + 2 * len(CONFIGS)) / 3, "famo": 1.35}


def network() -> tuple[Any, dict[str, Task]]:
    """The same network each time."""
    torch.manual_seed(0)
    tasks = build_tasks(CONFIGS, TARGETS, ImageSpec(64, 64, 3, (0.5,) * 3, (0.25,) * 3))
    values = {"backbone": {"type": "resnet18"}, "neck_channels": 64, "sharing": {"type": "hard"}}
    return build_model(ModelConfig.model_validate(values), tasks), tasks


def data() -> Batch:
    """One batch of noise with labels."""
    torch.manual_seed(1)
    targets = {"a": torch.randint(10, (32,)), "b": torch.randint(10, (32,)), "c": torch.randint(3, (32, 64, 64))}
    present = {name: torch.ones(32, dtype=torch.bool) for name in targets}
    return Batch([str(i) for i in range(32)], torch.randn(32, 3, 64, 64), targets, present, torch.rand(32))


def our_step(values: dict[str, Any]) -> Callable[[], None]:
    """A step of ours with one objective."""
    model, tasks = network()
    objective = Objective(ObjectiveConfig.model_validate(values), CONFIGS)
    kind: Any = SumGradients
    if objective.config.compares_gradients:
        kind = FeatureGradients if objective.config.level == "features" else ParameterGradients
    method, batch = kind(model, tasks, objective, ProcessGroup()), data()
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, fused=True)

    def step() -> None:
        verdicts = Verdicts(method.world, list(tasks))
        train_step(method, optimizer, [batch], step=0, clip_norm=0.0, verdicts=verdicts)

    return step


def libmtl_step(name: str) -> Callable[[], None]:
    """The body of LibMTL's training loop with one of its weightings."""
    sys.modules.setdefault("torchvision.models.utils", torch.hub)
    import LibMTL.weighting
    from LibMTL.architecture import HPS

    model, tasks = network()
    batch = data()

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.neck = model.backbone, model.neck

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return model.shared(images, {})[0]

    class Model(HPS, getattr(LibMTL.weighting, name)):
        def __init__(self) -> None:
            super().__init__(list(tasks), Encoder, model.heads, False, False, torch.device("cpu"))
            self.init_param()
            self.epoch = 0

        def zero_grad_share_params(self) -> None:
            self.encoder.zero_grad(set_to_none=False)

    theirs = Model()
    optimizer = torch.optim.SGD(theirs.parameters(), 1e-4)
    counts = {n: [float(c) for c in t.target_counts(batch)] for n, t in tasks.items()}

    def step() -> None:
        outputs = theirs(batch.images)
        losses = torch.zeros(len(tasks))
        for place, (task_name, task) in enumerate(tasks.items()):
            terms = zip(task.loss_terms(outputs[task_name], batch), counts[task_name], strict=True)
            losses[place] = sum(term / count for term, count in terms)
        optimizer.zero_grad(set_to_none=False)
        theirs.backward(losses, **({"mgda_gn": "none"} if name == "MGDA" else {}))
        optimizer.step()

    return step


def timed(step: Callable[[], None]) -> float:
    """Seconds of one step."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def candidates(quick: bool) -> dict[str, Callable[[], None]]:
    """Everything that is timed, the plain sum first."""
    found = {"sum": our_step({"weighting": {"type": "fixed"}})}
    for name in WEIGHTINGS:
        if name != "fixed" and (not quick or name == "famo"):
            found[name] = our_step({"weighting": {"type": name}})
    for name in AGGREGATORS:
        for level in ("features", "parameters"):
            if (level == "features" and sections()["aggregators"][name].needs_jacobian) or (quick and name != "upgrad"):
                continue
            values = {"weighting": {"type": "fixed"}, "aggregator": {"type": name}, "level": level}
            found[f"{name}, {level}"] = our_step(values)
    for name in ("EW", "PCGrad") if quick else ("EW", "GLS", "MGDA", "PCGrad", "IMTL"):
        found[f"LibMTL {name}"] = libmtl_step(name)
    return found


def bound(name: str) -> float | None:
    """The ratio that a method must not exceed."""
    if name in BOUNDS:
        return BOUNDS[name]
    return BOUNDS.get(name.split(", ")[-1]) if ", " in name else None


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one method of each kind")
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    steps = candidates(options.quick)
    plain: list[float] = []
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    ratios: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(options.rounds + 1):
        for name, step in steps.items():
            # The plain sum right before and after each method: a ratio is of steps that the machine was alike to.
            before, taken, after = timed(steps["sum"]), timed(step), timed(steps["sum"])
            if number:  # the first warms up
                plain += [before, after]
                seconds[name].append(taken)
                ratios[name].append(2 * taken / (before + after))
    rows = {
        name: {"seconds": statistics.median(taken), "ratio": statistics.median(ratios[name]), "bound": bound(name)}
        for name, taken in seconds.items()
    }
    for name, row in rows.items():
        limit = f"  (at most {row['bound']:.2f})" if row["bound"] else ""
        print(f"{name:<26} {1000 * row['seconds']:7.0f} ms {row['ratio']:6.2f} × the sum{limit}")
    model, _ = network()
    shared = sum(p.numel() for p in model.shared_parameters())
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "torch": torch.__version__}
    document = {
        "plain_ms": 1000 * statistics.median(plain),
        "shared_parameters": shared,
        "machine": machine,
        "rows": rows,
    }
    path = Path(__file__).parent / "results" / "step.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
