"""The table of task types, and how a model is built from the tasks of params.yaml."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mtl.config.model import HardSharing, ModelConfig
from mtl.config.tasks import AnyTask
from mtl.data.shards.manifest import Manifest
from mtl.data.spec import TargetSpec
from mtl.errors import ConfigError
from mtl.model.cost import multiply_adds, num_parameters
from mtl.model.sharing import SHARINGS, HeadPlan, MultiTaskModel
from mtl.tasks.base import ImageSpec, Task
from mtl.tasks.classification import Classification
from mtl.tasks.depth import Depth
from mtl.tasks.detection import Detection
from mtl.tasks.edges import Edges
from mtl.tasks.keypoints import Keypoints
from mtl.tasks.multilabel import MultiLabel
from mtl.tasks.normals import Normals
from mtl.tasks.reconstruction import Reconstruction
from mtl.tasks.regression import Regression
from mtl.tasks.rotation import Rotation
from mtl.tasks.segmentation import Segmentation

TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "multilabel": MultiLabel,
    "regression": Regression,
    "detection": Detection,
    "keypoints": Keypoints,
    "segmentation": Segmentation,
    "depth": Depth,
    "normals": Normals,
    "reconstruction": Reconstruction,
    "rotation": Rotation,
    "edges": Edges,
}


def image_spec(manifest: Manifest) -> ImageSpec:
    """The images that a model of this data set takes."""
    statistics = manifest.statistics
    return ImageSpec(manifest.height, manifest.width, manifest.channels, statistics.mean, statistics.std)


def build_tasks(configs: Mapping[str, AnyTask], targets: Mapping[str, TargetSpec], image: ImageSpec) -> dict[str, Task]:
    """Every task of params.yaml, with the target that it learns.

    Raises:
        ConfigError: a task asks for a target that the data do not have, or of another kind.
    """
    tasks: dict[str, Task] = {}
    for name, config in configs.items():
        kind = TASKS[config.type]
        target = targets.get(config.target or name)
        if kind.kind is None:
            target = TargetSpec(kind="mask")
        elif target is None or target.kind != kind.kind:
            fitting = sorted(t for t, spec in targets.items() if spec.kind == kind.kind)
            raise ConfigError(
                f"tasks.{name}: the data have no target {config.target or name!r} of kind {kind.kind!r}",
                found=f"targets of that kind: {', '.join(fitting) or 'none'}",
                fix=f"set tasks.{name}.target to one of them, or remove the task",
            )
        assert target is not None
        tasks[name] = kind(name=name, config=config, target=target, image=image)
    return tasks


def network_cost(config: ModelConfig, tasks: Mapping[str, Task]) -> dict[str, int]:
    """Parameters and multiply-adds of the network, and of one hard-sharing network for each task alone."""
    image = next(iter(tasks.values())).image
    example = torch.zeros(1, image.channels, image.height, image.width)
    with torch.random.fork_rng(devices=[]):  # building networks draws random numbers
        whole = build_model(config, tasks)
        hard = config.model_copy(update={"sharing": HardSharing(type="hard")})
        alone = [build_model(hard, {name: task}) for name, task in tasks.items()]
    return {
        "parameters": num_parameters(whole),
        "multiply_adds": multiply_adds(whole, example),
        "separate_parameters": sum(num_parameters(model) for model in alone),
        "separate_multiply_adds": sum(multiply_adds(model, example) for model in alone),
    }


def build_model(config: ModelConfig, tasks: Mapping[str, Task]) -> MultiTaskModel:
    """The network with a head for each task, randomly initialised."""
    image = next(iter(tasks.values())).image
    plans = {n: HeadPlan(task.build_head, task.config.stride, view=task.view) for n, task in tasks.items()}
    model = SHARINGS[config.sharing.type](config, image.channels, plans)
    with torch.no_grad():
        # Layers whose input depends on other tasks' outputs find their size in a first pass.
        model.eval()(torch.zeros(1, image.channels, image.height, image.width))
    return model.train()
