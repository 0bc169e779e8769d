"""Finding out that nothing changed: no server, no engine, one look at the registry."""

from __future__ import annotations

from flows.settings import Settings
from flows.versions import registry_of
from mtl.config import Config
from mtl.registry import Version


def find_registered(settings: Settings, config: Config, fingerprint: str) -> Version | None:
    """The registered version of this fingerprint, if its gate has decided (else the run is to be finished)."""
    path = settings.mlflow_uri.removeprefix("sqlite:///")
    if path != settings.mlflow_uri and not (settings.root / path).exists():
        return None
    version = registry_of(settings, config.registry.model).find(fingerprint)
    return version if version is not None and "mtl.decision" in version.tags else None


def unchanged_line(version: Version, fingerprint: str) -> str:
    """The reason in one line."""
    return (
        f"unchanged: code, data and params are those of version {version.number} "
        f"(fingerprint {fingerprint[:12]}); nothing to do"
    )
