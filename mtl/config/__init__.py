"""params.yaml as one typed, frozen tree. Imports nothing heavy: `mtl --help` and a no-op flow load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from mtl.config.credentials import problems as credential_problems
from mtl.config.data import DataConfig, Operation, Source
from mtl.config.errors import (
    BusyError,
    ConfigError,
    DataError,
    GoneError,
    MtlError,
    RegistryError,
    SealError,
    StageError,
    TrainingError,
    gist,
)
from mtl.config.explain import explain
from mtl.config.files import AnyFileSet, Split
from mtl.config.gate import EvaluateConfig, FlowConfig, GateConfig, RegistryConfig, ScheduleConfig
from mtl.config.model import Backbone, ModelConfig, Sharing
from mtl.config.monitor import MonitorConfig
from mtl.config.objective import Aggregator, ObjectiveConfig, Weighting
from mtl.config.reading import apply_overrides, read_params
from mtl.config.retention import RetentionConfig
from mtl.config.section import Section
from mtl.config.tasks import AnyTask, TaskConfig
from mtl.config.together import check_together
from mtl.config.train import AugmentConfig, ClusterConfig, Mixing, TrainConfig

__all__ = [
    "AnyTask",
    "AugmentConfig",
    "BusyError",
    "ClusterConfig",
    "Config",
    "ConfigError",
    "DataConfig",
    "DataError",
    "EvaluateConfig",
    "GateConfig",
    "GoneError",
    "Mixing",
    "ModelConfig",
    "MonitorConfig",
    "MtlError",
    "ObjectiveConfig",
    "RegistryError",
    "RetentionConfig",
    "ScheduleConfig",
    "SealError",
    "Section",
    "StageError",
    "TaskConfig",
    "TrainConfig",
    "TrainingError",
    "apply_overrides",
    "choices",
    "first_sentence",
    "gist",
    "load",
    "parse",
    "read_params",
]

TaskName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Config(Section):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    data: DataConfig
    tasks: Annotated[dict[TaskName, AnyTask], Field(min_length=1)]
    model: ModelConfig
    objective: ObjectiveConfig
    augment: AugmentConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    gate: GateConfig
    registry: RegistryConfig
    cluster: ClusterConfig
    flow: FlowConfig
    schedule: ScheduleConfig
    monitor: MonitorConfig = MonitorConfig()
    retention: RetentionConfig = RetentionConfig()

    @field_validator("tasks")
    @classmethod
    def _ordered(cls, tasks: dict[str, AnyTask]) -> dict[str, AnyTask]:
        # Initial weights are drawn task by task: the order of keys in a file must not change them.
        return dict(sorted(tasks.items()))

    @model_validator(mode="after")
    def _together(self) -> Config:
        check_together(self.model, self.objective, self.train, list(self.tasks))
        if all(task.auxiliary for task in self.tasks.values()):
            raise ValueError("every task is auxiliary: the gate would have nothing to compare")
        return self


def parse(values: Mapping[str, Any], *, where: str = "params.yaml") -> Config:
    """Check a tree of plain values.

    Raises:
        ConfigError: names every problem with its path, the value found and what is allowed; credentials are none.
    """
    problems, cause = credential_problems(values), None
    try:
        config = Config.model_validate(_tuples(values))
        if not problems:
            return config
    except ValidationError as error:
        problems, cause = problems + [explain(problem, Config) for problem in error.errors()], error
    plural = "s" if len(problems) > 1 else ""
    raise ConfigError(
        f"{where} has {len(problems)} problem{plural}:\n" + "\n".join(f"  - {p}" for p in problems),
        fix="`mtl list` names what can be chosen; docs/params.md describes every key",
    ) from cause


def load(path: Path = Path("params.yaml"), overrides: Sequence[str] = ()) -> Config:
    """Read and check params.yaml with overrides such as `train.epochs=2`."""
    values = read_params(path)
    apply_overrides(values, overrides)
    return parse(values, where=str(path) if not overrides else f"{path} with {' '.join(overrides)}")


def choices() -> dict[str, dict[str, str]]:
    """What params.yaml can choose from: kind → name → one line."""
    return {
        kind: {name: first_sentence(member) for name, member in found.items()} for kind, found in sections().items()
    }


def sections() -> dict[str, dict[str, type[Any]]]:
    """What params.yaml can choose from: kind → name → its section, which has the facts about it."""
    return {
        "tasks": _members(AnyTask),
        "backbones": _members(Backbone),
        "sharings": _members(Sharing),
        "weightings": _members(Weighting),
        "aggregators": _members(Aggregator),
        "mixings": _members(Mixing),
        "sources": _members(Source),
        "formats": _members(AnyFileSet, "format"),
        "splits": _members(Split),
        "operations": _members(Operation),
    }


def _members(union: Any, key: str = "type") -> dict[str, type[Any]]:
    if isinstance(union, type):
        members: tuple[Any, ...] = (union,)
    else:
        members = get_args(get_args(union)[0])
    found: dict[str, type[Any]] = {}
    for member in members:
        (name,) = get_args(member.model_fields[key].annotation)
        found[name] = member
    return found


def first_sentence(member: type) -> str:
    """The first paragraph of a section's docstring, in one line."""
    return " ".join((member.__doc__ or "").strip().split("\n\n")[0].split())


def _tuples(value: Any) -> Any:
    """Lists become tuples, as the frozen tree has them."""
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value
