"""params.yaml as one typed, frozen tree. Imports nothing heavy: `mtl --help` and a no-op flow load it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from mtl.config.data import DataConfig, Operation, Source
from mtl.config.errors import (
    BusyError,
    ConfigError,
    DataError,
    MtlError,
    RegistryError,
    StageError,
    TrainingError,
)
from mtl.config.files import AnyFileSet, Split
from mtl.config.gate import EvaluateConfig, FlowConfig, GateConfig, RegistryConfig, ScheduleConfig
from mtl.config.model import Backbone, ModelConfig, Sharing
from mtl.config.monitor import MonitorConfig
from mtl.config.objective import Aggregator, ObjectiveConfig, Weighting
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
    "Mixing",
    "ModelConfig",
    "MonitorConfig",
    "MtlError",
    "ObjectiveConfig",
    "RegistryError",
    "ScheduleConfig",
    "Section",
    "StageError",
    "TaskConfig",
    "TrainConfig",
    "TrainingError",
    "apply_overrides",
    "choices",
    "first_sentence",
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


def read_params(path: Path) -> dict[str, Any]:
    """Read a params file with the YAML reader that DVC uses (1e-3 is a number there).

    Raises:
        ConfigError: the file is missing or is not YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is missing", fix="run from the repository's root, or restore it with git checkout"
        ) from error
    except (YAMLError, UnicodeDecodeError) as error:
        fix = "quote texts with a colon, as in {path: 's3://bucket/photos'}" if "unexpected ':'" in str(error) else ""
        raise ConfigError(f"{path} is not valid YAML", found=" ".join(str(error).split()), fix=fix) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping", found=type(values).__name__)
    return values


def parse(values: Mapping[str, Any], *, where: str = "params.yaml") -> Config:
    """Check a tree of plain values.

    Raises:
        ConfigError: names every problem with its path, the value found and what is allowed.
    """
    try:
        return Config.model_validate(_tuples(values))
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()]
        plural = "s" if len(problems) > 1 else ""
        raise ConfigError(
            f"{where} has {len(problems)} problem{plural}:\n" + "\n".join(f"  - {p}" for p in problems),
            fix="`mtl list` names what can be chosen; docs/params.md describes every key",
        ) from error


def load(path: Path = Path("params.yaml"), overrides: Sequence[str] = ()) -> Config:
    """Read and check params.yaml with overrides such as `train.epochs=2`."""
    values = read_params(path)
    apply_overrides(values, overrides)
    return parse(values, where=str(path) if not overrides else f"{path} with {' '.join(overrides)}")


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Set `a.b.c=value` in a tree, in place; the value is YAML. `a.0` is an item of a list. `@FILE` puts the sections
    of another file in the place of those here.

    Raises:
        ConfigError: an override that has no `=`, or that names a section or a file which is not there. Whether the
            last key exists, `parse` says: it may be one that is at its default.
    """
    from ruamel.yaml import YAML

    for override in overrides:
        if override.startswith("@"):
            values.update(read_params(Path(override[1:])))
            continue
        path, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f"--set {override}", found="no '='", fix="write --set train.epochs=2")
        node: Any = values
        keys = path.split(".")
        for depth, key in enumerate(keys):
            options = [str(i) for i in range(len(node))] if isinstance(node, list) else list(_keys(node))
            declared = depth == len(keys) - 1 and isinstance(node, dict)  # at its default, perhaps: parse knows
            if key not in options and not declared:
                near = difflib.get_close_matches(key, options, n=1)
                raise ConfigError(
                    f"--set {override}: no key {'.'.join(keys[: depth + 1])!r} in params.yaml",
                    found=f"keys here: {', '.join(options) or 'none, this is a value'}",
                    fix=f"did you mean {near[0]!r}?" if near else "",
                )
            index: Any = int(key) if isinstance(node, list) else key
            if depth == len(keys) - 1:
                node[index] = YAML(typ="safe", pure=True).load(text)
            else:
                node = node[index]


def choices() -> dict[str, dict[str, str]]:
    """What params.yaml can choose from: kind → name → one line."""
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


def _members(union: Any, key: str = "type") -> dict[str, str]:
    if isinstance(union, type):
        members: tuple[Any, ...] = (union,)
    else:
        members = get_args(get_args(union)[0])
    found: dict[str, str] = {}
    for member in members:
        (name,) = get_args(member.model_fields[key].annotation)
        found[name] = first_sentence(member)
    return found


def first_sentence(member: type) -> str:
    """The first paragraph of a section's docstring, in one line."""
    return " ".join((member.__doc__ or "").strip().split("\n\n")[0].split())


def _keys(node: Any) -> list[str]:
    return [str(key) for key in node] if isinstance(node, dict) else []


def _tuples(value: Any) -> Any:
    """Lists become tuples, as the frozen tree has them."""
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value


def _explain(problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"]) or "(the whole file)"
    kind, found = problem["type"], problem["input"]
    shown = repr(found) if not isinstance(found, dict) else "{…}"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(problem["loc"][-1]), _siblings(problem["loc"]), n=1)
        return f"{path}: unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    if kind == "missing":
        return f"{path}: this key is missing"
    if kind.startswith("union_tag"):
        ctx = problem.get("ctx", {})
        return f"{path}: unknown type {ctx.get('tag', shown)}; choose from {ctx.get('expected_tags', '?')}"
    if kind == "value_error":
        return f"{path}: {problem['msg'].removeprefix('Value error, ')}"
    return f"{path}: {problem['msg']}, found {shown}"


def _siblings(location: Sequence[Any]) -> list[str]:
    """The keys allowed beside an unknown one, found by walking the tree of sections."""
    section: Any = Config
    for part in location[:-1]:
        fields = getattr(section, "model_fields", {})
        if part in fields:
            section = _unwrap(fields[part].annotation, str(part))
        else:  # a task's name, a list's index or a union's tag
            section = _unwrap(section, str(part))
    return list(getattr(section, "model_fields", {}))


def _unwrap(annotation: Any, tag: str) -> Any:
    """Step into a container or a tagged union."""
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        return annotation
    members = get_args(annotation)
    for member in members:
        fields = getattr(member, "model_fields", {})
        if "type" in fields and tag in get_args(fields["type"].annotation):
            return member
    for member in members:
        if get_args(member):
            return _unwrap(member, tag) if _unwrap(member, tag) is not member else member
    return annotation
