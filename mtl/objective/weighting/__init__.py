"""The table of weightings: one weight per task from the globally averaged losses."""

from __future__ import annotations

from typing import Any

from mtl.config import ObjectiveConfig, TaskConfig
from mtl.objective.weighting.base import Weighting
from mtl.objective.weighting.fixed import Fixed
from mtl.objective.weighting.uncertainty import Uncertainty

WEIGHTINGS: dict[str, Any] = {"fixed": Fixed, "uncertainty": Uncertainty}


def build_weighting(config: ObjectiveConfig, tasks: dict[str, TaskConfig]) -> Weighting:
    """The weighting that params.yaml names."""
    return WEIGHTINGS[config.weighting.type](config.weighting, tasks)
