"""`mtl status`: what is registered and how the last run went."""

from __future__ import annotations

import json
from typing import Any

from flows.leftovers import as_it_is
from flows.settings import Settings
from flows.sizes import line, sizes
from flows.versions import registry_of
from mtl.config import GoneError, RegistryError
from mtl.config.params import load
from mtl.promotion import CHAMPION
from mtl.registry import CHALLENGER, Registry
from mtl.terminal import one_line


def collect(settings: Settings) -> dict[str, Any]:
    """The champion, the challenger and the last run; null where there is none. What is unverified says so."""
    config = load(settings.root / "params.yaml")
    path = settings.mlflow_uri.removeprefix("sqlite:///")
    found: dict[str, Any] = {"champion": None, "challenger": None, "last_run": None}
    if path == settings.mlflow_uri or (settings.root / path).exists():
        registry = registry_of(settings, config.registry.model)
        found["champion"] = _champion(registry)
        challenger = registry.at(CHALLENGER)
        found["challenger"] = challenger and challenger.describe(registry.metrics(challenger))
    last = settings.home / "last_run.json"
    if last.exists():
        found["last_run"] = as_it_is(settings, json.loads(last.read_text()))
    found["bytes"] = sizes(settings)
    return found


def _champion(registry: Registry) -> dict[str, Any] | None:
    """The champion; where nobody who is trusted has made it one, the version that is said to be it, and why not."""
    try:
        number, doubt = registry.promotions.champion(), None
    except GoneError as error:
        gone = {"unverified": None, "weights_sha256": None, "decision": None, "metrics": {}}
        return {"version": _recorded(registry), "gone": error.line, **gone}
    except RegistryError as error:
        alias = registry.at(CHAMPION)
        if alias is None:
            raise
        number, doubt = alias.number, error.line
    if number is None:
        return None
    version = registry.get(number)
    described = version.describe(registry.metrics(version))
    return described | ({"unverified": doubt} if doubt else {})


def _recorded(registry: Registry) -> int | None:
    """Who was champion when it was last seen, if the ledger is there to say it."""
    try:
        return registry.promotions.recorded()
    except RegistryError:
        return None


def show(found: dict[str, Any]) -> None:
    """Print it for a person."""
    for alias in ("champion", "challenger"):
        version = found[alias]
        if version is None:
            print(f"{alias:<11} none")
            continue
        if "gone" in version:
            print(f"{alias:<11} GONE: {one_line(str(version['gone']))}")
            continue
        print(f"{alias:<11} version {version['version']}  weights {str(version['weights_sha256'])[:12]}")
        if version["unverified"]:
            print(f"{'':<11} UNVERIFIED: {one_line(str(version['unverified']))}")
        print(f"{'':<11} {one_line(str(version['decision']))}")
        for task, metrics in version["metrics"].items():
            print(f"{'':<11} {task:<10} " + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    last = found["last_run"]
    print("last run    " + (f"{last['state']} {last.get('ended', '')}: {last.get('reason', '')}" if last else "none"))
    print(f"disk        {line(found['bytes'])}")
