"""Which registry, and which of its versions."""

from __future__ import annotations

import os
from difflib import get_close_matches

from flows.registry.relocation import refuse_moved
from flows.settings import Settings
from mtl.config.params import Config, load
from mtl.errors import RegistryError
from mtl.registry.promotion import CHAMPION
from mtl.registry.registry import CHALLENGER, Registry, Version


def load_registry(settings: Settings) -> tuple[Config, Registry]:
    """The settings of the checkout, and the registry that they name."""
    config = load(settings.root / "params.yaml")
    return config, registry_of(settings, config.registry.model)


def load_versions(settings: Settings) -> tuple[Config, Registry]:
    """As `load_registry`, for who needs a version that was registered: a registry that is not there is not made for that.

    Raises:
        RegistryError: nothing was registered yet.
    """
    model = load(settings.root / "params.yaml").registry.model
    if not settings.has_registry:
        raise RegistryError(
            f"no version of {model} was registered yet, so there is no champion",
            found=f"no registry at {settings.mlflow_uri}",
            fix="mtl retrain makes the first version; if there is one elsewhere, set MLFLOW_TRACKING_URI or MTL_HOME",
        )
    return load_registry(settings)


def registry_of(settings: Settings, model: str) -> Registry:
    """A model's registry.

    Raises:
        RegistryError: its addresses are of another place.
    """
    refuse_moved(settings)
    return Registry(settings.mlflow_uri, model, settings.trust)


def resolve(registry: Registry, name: str) -> Version:
    """A version by its number, or by an alias.

    Raises:
        RegistryError: there is none.
    """
    if name.isdecimal():
        return registry.get(int(name))
    found = registry.champion() if name == CHAMPION else registry.at(name)
    if found is None:
        near = get_close_matches(name, (CHAMPION, CHALLENGER), n=1)
        guess = f"did you mean {near[0]}? " if near and near[0] != name else ""
        numbers = ", ".join(str(version.number) for version in registry.versions()[-10:])
        raise RegistryError(
            f"{registry.model} has no {name}",
            found=f"versions: {numbers or 'none'}",
            fix=f"{guess}Name a number, {CHAMPION} or {CHALLENGER}; mtl status shows what there is",
        )
    return found


def addresses(settings: Settings) -> tuple[str, str]:
    """The registry's database and the folder or bucket of its artifacts.

    Raises:
        RegistryError: a server keeps them, and nothing says where.
    """
    database = os.environ.get("MLFLOW_BACKEND_STORE_URI", settings.mlflow_uri)
    if database.startswith("http"):
        raise RegistryError(
            "a back-up reads the registry's database, not its server",
            found=f"MLFLOW_TRACKING_URI={database}",
            fix="set MLFLOW_BACKEND_STORE_URI and MLFLOW_ARTIFACTS_DESTINATION as that server has them",
        )
    return database, os.environ.get("MLFLOW_ARTIFACTS_DESTINATION", str(settings.home / "mlartifacts"))
