"""MLflow's records as they are read here: MLflow's own entities fit, and those that are read without MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class ModelVersion(Protocol):
    """A version of a registered model."""

    @property
    def version(self) -> str | int: ...
    @property
    def run_id(self) -> str | None: ...
    @property
    def source(self) -> str | None: ...
    @property
    def creation_timestamp(self) -> int:
        """Milliseconds since 1970."""
        ...

    @property
    def tags(self) -> Mapping[str, str]: ...


class RunInfo(Protocol):
    """What MLflow itself says of a run."""

    @property
    def run_id(self) -> str: ...
    @property
    def experiment_id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def lifecycle_stage(self) -> str: ...
    @property
    def artifact_uri(self) -> str | None: ...


class RunData(Protocol):
    """What was logged to a run."""

    @property
    def params(self) -> Mapping[str, str]: ...
    @property
    def tags(self) -> Mapping[str, str]: ...


class Run(Protocol):
    """A run without its metrics."""

    @property
    def info(self) -> RunInfo: ...
    @property
    def data(self) -> RunData: ...


class Experiment(Protocol):
    """An experiment, a deleted one perhaps."""

    @property
    def experiment_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def lifecycle_stage(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class ReadVersion:
    """A `ModelVersion`, read without MLflow."""

    version: str | int
    run_id: str
    source: str
    creation_timestamp: int
    tags: dict[str, str]
    name: str


@dataclass(frozen=True)
class ReadInfo:
    """A `RunInfo`, read without MLflow."""

    run_id: str
    experiment_id: str
    status: str
    lifecycle_stage: str
    artifact_uri: str


@dataclass(frozen=True)
class ReadData:
    """`RunData`, read without MLflow."""

    params: dict[str, str] = field(default_factory=dict[str, str])
    tags: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class ReadRun:
    """A `Run`, read without MLflow."""

    info: ReadInfo
    data: ReadData


@dataclass(frozen=True)
class ReadExperiment:
    """An `Experiment`, read without MLflow."""

    experiment_id: str
    name: str
    lifecycle_stage: str
    artifact_location: str
    tags: dict[str, str]
