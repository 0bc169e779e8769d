"""Which registry, and which of its versions."""

from __future__ import annotations

from flows.registry.relocation import refuse_moved
from flows.settings import Settings
from mtl.config.params import Config, load
from mtl.errors import RegistryError
from mtl.registry.promotion import CHAMPION
from mtl.registry.registry import CHALLENGER, Registry, Version


def opened(settings: Settings) -> tuple[Config, Registry]:
    """The settings of the checkout, and the registry that they name."""
    config = load(settings.root / "params.yaml")
    return config, registry_of(settings, config.registry.model)


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
        raise RegistryError(
            f"{registry.model} has no {name}",
            fix=f"a number, {CHAMPION} or {CHALLENGER}; mtl status shows what there is",
        )
    return found
