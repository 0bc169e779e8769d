"""A home that was moved or copied: `mtl relocate` rewrites the addresses that its registry has, and nothing is trained before."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import Connection

from flows.registry.artifact_addresses import Moved, connected, former, rewrite, rows
from flows.settings import Settings
from mtl.errors import MtlError, RegistryError
from mtl.registry.ledger import history_name
from mtl.registry.trust import COPY
from mtl.storage import atomic


def refuse_moved(settings: Settings) -> None:
    """Look, before anything is done with an embedded registry, whether its addresses are of this home.

    Raises:
        RegistryError: the home was moved or copied.
    """
    database = Path(settings.mlflow_uri.removeprefix("sqlite:///"))
    if not settings.mlflow_uri.startswith("sqlite:///") or not database.exists():
        return
    here = settings.home / "mlartifacts"
    with connected(settings.mlflow_uri) as link:
        roots = former(link, str(here), lambda name: (here / name).exists(), own=database.parent == settings.home)
    if roots:
        raise RegistryError(
            "the registry's addresses are of another place: this home was moved, or is a copy",
            found=f"artifacts in {', '.join(sorted(roots))}; here they are in {here}",
            fix="mtl relocate rewrites them; until then nothing is read from there or written to it",
        )


def relocate(settings: Settings) -> Moved:
    """Let the addresses of an embedded registry be those of this home. Once more changes nothing.

    Raises:
        MtlError: a server keeps the registry, or there is none.
        RegistryError: its database cannot be written.
    """
    database = Path(settings.mlflow_uri.removeprefix("sqlite:///"))
    if not settings.mlflow_uri.startswith("sqlite:///") or not database.exists():
        fix = "a server's addresses are its own: restore a back-up of it where it runs"
        raise MtlError(
            "there is no registry here whose addresses could be rewritten", found=settings.mlflow_uri, fix=fix
        )
    here = settings.home / "mlartifacts"

    def there(name: str) -> bool:
        return (here / name).exists()

    with connected(settings.mlflow_uri) as link:
        own = database.parent == settings.home
        for root in former(link, str(here), there, own=own):
            _take_along(settings, link, root)
        return rewrite(link, str(here), there, own=own)


def _take_along(settings: Settings, link: Connection, root: str) -> None:
    """What this home remembers of a history, under the registry's new address: one that was cut off meanwhile is found."""
    for name, _ in rows(link, "select name, name from registered_models"):
        seen = settings.home / "seen"
        old, new = (
            history_name(uri, name) for uri in (f"sqlite:///{Path(root).parent}/mlflow.db", settings.mlflow_uri)
        )
        for end in (COPY, ""):  # last, what says that there was one
            if (seen / f"{old}{end}").exists() and not (seen / f"{new}{end}").exists():
                with atomic.replacing(seen / f"{new}{end}") as scratch:
                    shutil.copyfile(seen / f"{old}{end}", scratch)
