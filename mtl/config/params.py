"""params.yaml as one typed, frozen tree. Imports nothing heavy: `mtl --help` and a no-op flow load it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl.config.checking import check
from mtl.config.flow import FlowConfig
from mtl.config.gate import GateConfig
from mtl.config.monitor import MonitorConfig
from mtl.config.reading import apply_overrides, read_params
from mtl.config.registry import RegistryConfig
from mtl.config.retention import RetentionConfig
from mtl.config.schedule import ScheduleConfig
from mtl.config.trees.prepare import PrepareTree
from mtl.config.trees.training import TrainingTree
from mtl.config.upgrades import upgrade
from mtl.errors import ConfigError


class Config(TrainingTree, PrepareTree):
    """The whole of params.yaml: what the stages read, and what the flow alone does."""

    gate: GateConfig
    registry: RegistryConfig
    flow: FlowConfig
    schedule: ScheduleConfig
    monitor: MonitorConfig = MonitorConfig()
    retention: RetentionConfig = RetentionConfig()


def parse(values: Mapping[str, Any], *, where: str = "params.yaml") -> Config:
    """Check a tree of plain values.

    Raises:
        ConfigError: names every problem with its path, the value found and what is allowed; credentials are none. Of a file
            that was written for an earlier version it says what moves it forward.
    """
    try:
        return check(Config, values, where=where)
    except ConfigError as error:
        if not (notes := upgrade(copy.deepcopy(dict(values)))):
            raise
        lines = "\n".join(f"  - {note}" for note in notes)
        what = f"{error.what}\nof these, an earlier version of mtl knew:\n{lines}"
        raise ConfigError(what, fix="mtl upgrade-params moves an older file forward, and shows how first") from error


def load(path: Path = Path("params.yaml"), overrides: Sequence[str] = ()) -> Config:
    """Read and check params.yaml with overrides such as `train.epochs=2`."""
    values = read_params(path)
    apply_overrides(values, overrides)
    return parse(values, where=str(path) if not overrides else f"{path} with {' '.join(overrides)}")
