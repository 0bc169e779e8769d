"""Finding out that nothing changed: no server, no engine, one look at the registry."""

from __future__ import annotations

import logging
from pathlib import Path

from flows.checkout.installed import stale
from flows.registry.load import registry_of
from flows.settings import Settings
from mtl.config.params import Config
from mtl.errors import MtlError
from mtl.logs import of
from mtl.registry.fingerprint import fingerprint
from mtl.registry.registry import Version
from mtl.reports.events import ResultEvent

_LOG = logging.getLogger(__name__)


def find_registered(settings: Settings, config: Config, digest: str) -> Version | None:
    """The registered version of this fingerprint, if its gate has decided (else the run is to be finished)."""
    path = settings.mlflow_uri.removeprefix("sqlite:///")
    if path != settings.mlflow_uri and not (settings.root / path).exists():
        return None
    version = registry_of(settings, config.registry.model).find(digest)
    return version if version is not None and "mtl.decision" in version.tags else None


def say_unchanged(version: Version, digest: str) -> str:
    """Tell that a run has nothing to do; the reason in one line."""
    line = (
        f"unchanged: code, data and params are those of version {version.number} "
        f"(fingerprint {digest[:12]}); nothing to do"
    )
    _LOG.info(line, extra=of(ResultEvent(version=version.number, promoted=False, reason=line, unchanged=True)))
    return line


def refuse_changes(folder: Path, params: dict[str, object], digest: str) -> None:
    """Look whether what a run works on still has the fingerprint for which it was started.

    Raises:
        MtlError: it has another one.
    """
    if stale(folder) or fingerprint(folder, params) != digest:
        raise MtlError(
            "files of the checkout changed while the run was going: nothing was registered",
            fix="run again; what is done is not done twice",
        )
