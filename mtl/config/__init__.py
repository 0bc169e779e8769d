"""params.yaml as typed, frozen sections, one per module; `params` has the whole, `trees` what each stage reads.

Here is only what everything needs: a section that were imported here would be part of every stage.
"""

from __future__ import annotations

from mtl.config.reading import apply_overrides, read_params
from mtl.errors import (
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

__all__ = [
    "BusyError",
    "ConfigError",
    "DataError",
    "GoneError",
    "MtlError",
    "RegistryError",
    "SealError",
    "StageError",
    "TrainingError",
    "apply_overrides",
    "gist",
    "read_params",
]
