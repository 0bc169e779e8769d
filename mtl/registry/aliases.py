"""What MLflow has under a name, an alias or a number; and where a model is that it has not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mtl.errors import GoneError
from mtl.registry.records.client import ReadingClient
from mtl.registry.tracking import REPAIR, explained, gone, pages, refusals
from mtl.reports.change import Change

if TYPE_CHECKING:
    from mtl.registry.records.entities import ModelVersion

ATTEMPTS = 3
"""Of setting an alias that others may be setting too."""
LEEWAY_SECONDS = 60.0
"""Between two clocks."""
STATEMENT = "mtl.statement"
"""Tag: what was signed when a version was registered."""
LOST = (
    "mtl registry repair registers it again, or says who is champion instead; mtl promote N --override --why … makes another "
    "version champion"
)


def point(uri: str, client: ReadingClient, model: str, alias: str, number: int) -> None:
    """Let an alias name a version. MLflow looks whether there is one, and inserts it if not: of two that do so at once one is
    refused, and finds it there when it tries again.

    Raises:
        RegistryError: MLflow refuses it or is out of reach.
    """
    with explained(uri):
        for attempt in range(ATTEMPTS):
            try:
                client.set_registered_model_alias(model, alias, str(number))
                return
            except refusals():
                if attempt == ATTEMPTS - 1:
                    raise


def aliased(uri: str, client: ReadingClient, model: str, alias: str) -> ModelVersion | None:
    """MLflow's version that an alias names; None if there is none.

    Raises:
        RegistryError: MLflow refuses it or is out of reach.
    """
    with explained(uri):
        return client.find_alias(model, alias)


def unpoint(uri: str, client: ReadingClient, model: str, alias: str) -> None:
    """Take an alias away, if it is there."""
    if aliased(uri, client, model, alias) is not None:
        with explained(uri):
            client.delete_registered_model_alias(model, alias)


def lookup_version(uri: str, client: ReadingClient, model: str, number: int) -> ModelVersion | None:
    """What MLflow has as a version of this number; None if it has none.

    Raises:
        RegistryError: MLflow refuses it or is out of reach.
    """
    with explained(uri):
        try:
            return client.get_model_version(model, str(number))
        except refusals() as error:
            if gone(error) or client.hides(model, error):
                return None
            raise


def has_model(uri: str, client: ReadingClient, model: str) -> bool:
    """Whether there is a registered model of this name."""
    with explained(uri):
        try:
            client.get_registered_model(model)
            return True
        except refusals() as error:
            if gone(error) or client.hides(model, error):
                return False
            raise


def new_name(uri: str, client: ReadingClient, model: str) -> str | None:
    """What a model is called that was renamed: of the one whose versions say that they were registered under the old name."""
    with explained(uri):
        for found in pages(lambda token: client.search_registered_models(page_token=token)):
            for version in client.search_model_versions(f"name = '{found.name}'", max_results=5):
                if found.name != model and _said_model(version.tags.get(STATEMENT)) == model:
                    return str(found.name)
    return None


def refuse_missing_model(uri: str, client: ReadingClient, model: str, what: str) -> None:
    """Say of a model that is not there whether it was deleted or renamed.

    Args:
        what: is found to be missing with it.

    Raises:
        GoneError: it is not there.
    """
    if has_model(uri, client, model):
        return
    if name := new_name(uri, client, model):
        raise GoneError(
            f"the model {model} was renamed in MLflow",
            found=f"its versions are called {name}; {what}",
            fix="mtl registry repair renames it back; or name it so in registry.model, and sign it anew",
        )
    raise GoneError(f"the model {model} was deleted in MLflow", found=what, fix=REPAIR)


def refuse_gone(
    uri: str,
    client: ReadingClient,
    model: str,
    changes: Sequence[Change],
    number: int,
    found: ModelVersion | None = None,
) -> None:
    """Refuse a version that was champion and that MLflow has no longer under its number.

    Args:
        changes: the history of champions.
        found: what MLflow has there, if that is known already.

    Raises:
        GoneError: it has none; or another, since a model that was deleted begins again with version 1.
    """
    what = f"version {number}, {'the champion' if changes[-1].to == number else 'once champion'} of {model},"
    found = found or lookup_version(uri, client, model, number)
    if found is None:
        refuse_missing_model(uri, client, model, f"version {number} is {what.split(', ')[1]}")
        raise GoneError(f"{what} was deleted in MLflow", found=f"no version {number}", fix=LOST)
    entered = next((e for e in reversed(changes) if e.to == number and e.replaces != number), None)
    if entered is not None and not same_version(entered, found):
        raise GoneError(
            f"{what} was deleted in MLflow: what has its number now is another version",
            found=f"run {found.run_id}, registered after version {number} was made champion",
            fix=LOST,
        )


def same_version(entry: Change, version: ModelVersion) -> bool:
    """Whether what has a version's number is the version that an entry made champion: of the same run; or, of entries that do
    not say it, registered before.
    """
    if entry.run is not None:
        return entry.run == str(version.run_id)
    try:
        entered = datetime.fromisoformat(entry.when).timestamp()
    except ValueError:  # of whoever wrote it before entries were signed, and somebody lets it through
        return True
    return version.creation_timestamp / 1000 <= entered + LEEWAY_SECONDS


def _said_model(text: str | None) -> object:
    try:
        return json.loads(text or "null")["payload"]["model"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
