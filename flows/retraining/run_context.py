"""What every step of one retraining works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.settings import Settings
from mtl.config.params import Config
from mtl.registry.registry import Registry
from mtl.registry.tracking import Tracker


@dataclass(frozen=True)
class RunContext:
    """One run of the flow; nothing of it changes while it goes.

    Attributes:
        folder: in which the stages run: the checkout, or a copy of it.
        run: MLflow's, to which the steps record.
        fingerprint: of code, data and params.
    """

    settings: Settings
    config: Config
    folder: Path
    registry: Registry
    tracker: Tracker
    run: str
    fingerprint: str

    @property
    def outputs(self) -> Path:
        """What the stages have written."""
        return self.folder / "outputs"
