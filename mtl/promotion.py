"""The chain of champions: every change names the version that it replaces, and the alias follows the chain.

A change is an entry of the ledger, which only one can write under the next number; so two at once cannot both win, and
none is lost. After a crash between entry and alias, whoever looks next sets the alias.
"""

from __future__ import annotations

import getpass
import os
import uuid
from datetime import UTC, datetime
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mtl.config import RegistryError
from mtl.ledger import Ledger
from mtl.redaction import redact
from mtl.tracking import explained

CHAMPION = "champion"
CHANGE = "change"
"""Kind of the ledger's keys change/000001 and so on."""
PROMOTION, ROLLBACK, OUTSIDE = "promotion", "rollback", "outside"
"""Kinds of changes; the last: the alias was there before the ledger."""
ATTEMPTS = 3
"""Of setting an alias that others may be setting too."""


class Promotions:
    """The champions of one registered model."""

    def __init__(self, client: MlflowClient, model: str, ledger: Ledger) -> None:
        self.client, self.model, self.ledger = client, model, ledger

    def history(self) -> list[dict[str, Any]]:
        """Every change, oldest first: number, kind, from, to, who, when, why, flow_run, id."""
        entries = self.ledger.read()
        keys = sorted(key for key in entries if key.startswith(f"{CHANGE}/"))
        return [entries[key] | {"number": int(key.split("/")[1])} for key in keys]

    def champion(self) -> int | None:
        """The version that is champion: what the chain ends with. An alias that names another one, after a crash or moved
        in MLflow itself, is set back."""
        alias = aliased(self.ledger.uri, self.client, self.model, CHAMPION)
        changes = self.history()  # after the alias, which follows its entry: one without an entry is from elsewhere
        named = int(alias.version) if alias else None
        if not changes and named is not None:
            self._write(changes, named, OUTSIDE, "the alias was there before the ledger")  # or somebody else's: as good
            changes = self.history()
        elif changes and named != changes[-1]["to"]:
            self._settle()
            changes = self.history()
        return changes[-1]["to"] if changes else None

    def promote(
        self, number: int, expected: int | None, *, kind: str = PROMOTION, why: str = "", flow_run: str = ""
    ) -> dict[str, Any]:
        """Make a version champion in place of the one that is expected to be it; the entry.

        Raises:
            RegistryError: another version has become champion since; nothing was changed.
        """
        self.champion()  # an alias from before the ledger is entered
        changes = self.history()
        present = changes[-1]["to"] if changes else None
        if present != expected:
            raise _moved(present, expected)
        entry = self._enter(changes, number, kind, why, flow_run)
        self._settle()
        return entry

    def of(self, number: int) -> dict[str, Any] | None:
        """The entry by which the gate made a version champion, if it did."""
        return next((e for e in self.history() if e["to"] == number and e["kind"] == PROMOTION), None)

    def _enter(
        self, changes: list[dict[str, Any]], to: int | None, kind: str, why: str, flow_run: str = ""
    ) -> dict[str, Any]:
        """The next entry after those that were read.

        Raises:
            RegistryError: somebody else has entered it.
        """
        entry, stands = self._write(changes, to, kind, why, flow_run)
        if stands["id"] != entry["id"]:
            raise _moved(stands["to"], entry["from"])
        return entry

    def _write(
        self, changes: list[dict[str, Any]], to: int | None, kind: str, why: str, flow_run: str = ""
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The next entry after those that were read, and the one that stands in its place: the same, or an earlier one."""
        entry = {
            "from": changes[-1]["to"] if changes else None,
            "to": to,
            "kind": kind,
            "why": redact(why)[:2000],
            "who": actor(),
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "flow_run": flow_run,
            "id": uuid.uuid4().hex,
        }
        return entry, self.ledger.write(f"{CHANGE}/{len(changes) + 1:06d}", entry)

    def _settle(self) -> None:
        """Let the alias name what the chain ends with, whoever else moves it meanwhile."""
        while True:
            last = self.history()[-1]
            point(self.ledger.uri, self.client, self.model, CHAMPION, last["to"])
            if self.history()[-1]["number"] == last["number"]:
                return


def actor() -> str:
    """Who does what is entered: MTL_ACTOR, or this process's user."""
    return os.environ.get("MTL_ACTOR") or getpass.getuser()


def point(uri: str, client: MlflowClient, model: str, alias: str, number: int) -> None:
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
            except MlflowException:
                if attempt == ATTEMPTS - 1:
                    raise


def aliased(uri: str, client: MlflowClient, model: str, alias: str) -> Any:
    """MLflow's version that an alias names; None if there is none.

    Raises:
        RegistryError: MLflow refuses it or is out of reach.
    """
    with explained(uri):
        try:
            return client.get_model_version_by_alias(model, alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def _moved(found: int | None, expected: int | None) -> RegistryError:
    return RegistryError(
        "the champion has changed meanwhile: nothing was promoted",
        found=f"version {found or 'none'} instead of {expected or 'none'}",
        fix="run again: the gate compares with the present champion",
    )
