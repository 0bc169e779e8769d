"""The table of task types, and how a model is built from the tasks of params.yaml."""

from __future__ import annotations

from collections.abc import Mapping

from mtl.config import ConfigError, ModelConfig, TaskConfig
from mtl.data.manifest import Manifest
from mtl.data.spec import TargetSpec
from mtl.model.assembly import MultiTaskModel
from mtl.tasks.base import ImageSpec, Task
from mtl.tasks.classification import Classification
from mtl.tasks.detection import Detection
from mtl.tasks.reconstruction import Reconstruction
from mtl.tasks.regression import Regression
from mtl.tasks.segmentation import Segmentation

TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "detection": Detection,
    "segmentation": Segmentation,
    "regression": Regression,
    "reconstruction": Reconstruction,
}


def image_spec(manifest: Manifest) -> ImageSpec:
    """The images that a model of this data set takes."""
    statistics = manifest.statistics
    return ImageSpec(manifest.height, manifest.width, manifest.channels, statistics.mean, statistics.std)


def build_tasks(
    configs: Mapping[str, TaskConfig], targets: Mapping[str, TargetSpec], image: ImageSpec
) -> dict[str, Task]:
    """Every task of params.yaml, with the target that it learns.

    Raises:
        ConfigError: a task asks for a target that the data do not have, or of another kind.
    """
    tasks: dict[str, Task] = {}
    for name, config in configs.items():
        kind = TASKS[config.type]  # pyright: ignore[reportAttributeAccessIssue]  # every union member has it
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


def build_model(config: ModelConfig, tasks: Mapping[str, Task]) -> MultiTaskModel:
    """The network with a head for each task, randomly initialised."""
    heads = {name: (task.build_head(config.neck_channels), task.config.stride) for name, task in tasks.items()}
    return MultiTaskModel(config, next(iter(tasks.values())).image.channels, heads)
