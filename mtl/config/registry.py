"""`registry:` the names in MLflow, and what the model card says."""

from __future__ import annotations

from pydantic import Field

from mtl.config.section import Section


class RegistryConfig(Section):
    """The registry's names."""

    experiment: str = Field(min_length=1, description="MLflow experiment")
    model: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$", description="registered model")
    intended_use: str = Field(default="", description="for the model card: what it is for, and for whom")
    limits: str = Field(default="", description="for the model card: what it must not be used for")
