"""What happened to a registered model, in entries that are written once, signed, and never change.

MLflow's aliases are last-writer-wins. Its runs' params are not: a key that has a value keeps it, in SQLite, in Postgres and
behind a server, whoever writes at the same time. One run a model holds the ledger; who writes a key first has it. Whoever may
write to MLflow may write entries, too; only those that somebody trusted has signed, for this model and this key, count.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mtl.config import RegistryError
from mtl.redaction import redacted
from mtl.tracking import explained
from mtl.trust import Doubt, Trust

RUN_TAG = "mtl.ledger_run"
MAX_VALUE = 6000
"""Characters of a param's value that every MLflow store takes."""
KIND = "ledger entry"


@dataclass(frozen=True)
class Entry:
    """What stands under a key."""

    value: dict[str, Any]
    sha256: str
    """Of its text."""
    doubt: Doubt | None
    """Why it does not count, if so."""


def place_of(uri: str, model: str) -> str:
    """The name under which a home remembers what it saw of a model's history."""
    return hashlib.sha256(f"{uri} {model}".encode()).hexdigest()[:16]


class Ledger:
    """The ledger of one registered model."""

    def __init__(self, uri: str, client: MlflowClient, model: str, trust: Trust) -> None:
        self.uri, self.client, self.model, self.trust = uri, client, model, trust
        self.name = f"ledger of {model}"
        self.place = place_of(uri, model)
        self._run: str | None = None

    def read(self) -> dict[str, Entry]:
        """Every entry by its key; none if nothing has been written yet.

        Raises:
            RegistryError: MLflow is out of reach, or the ledger was deleted there.
        """
        with explained(self.uri):
            run = self._find()
            if run is None:
                return {}
            return {key: self._entry(key, text) for key, text in self.client.get_run(run).data.params.items()}

    def write(self, key: str, value: dict[str, Any]) -> Entry:
        """The key's entry: this value without secrets, signed, or the one that was there before it.

        Raises:
            RegistryError: MLflow is out of reach or refuses it, or there is no key to sign with.
        """
        value = redacted(value)
        text = json.dumps(self.trust.sign({"kind": KIND, "model": self.model, "entry": key, "value": value}))
        if len(text) > MAX_VALUE:
            raise RegistryError(f"an entry of the {self.name} is too long", found=f"{len(text)} characters")
        with explained(self.uri):
            run = self._find() or self._create()
            try:
                self.client.log_param(run, key, text, synchronous=True)
            except MlflowException:
                # Taken, perhaps: then it can be read. (Not every store says so by its error's code.)
                earlier = self.client.get_run(run).data.params.get(key)
                if earlier is None:
                    raise
                return self._entry(key, earlier)
        return self._entry(key, text)

    def _entry(self, key: str, text: str) -> Entry:
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return Entry({}, sha256, Doubt("it is no entry"))
        payload, doubt = self.trust.check(found, KIND, model=self.model, entry=key)
        value = payload.get("value", found)  # from before entries were signed, it stands there by itself
        return Entry(value if isinstance(value, dict) else {}, sha256, doubt)

    def _find(self) -> str | None:
        if self._run is None:
            experiment = self.client.get_experiment_by_name(self.name)
            self._run = experiment.tags.get(RUN_TAG) if experiment else None
        return self._run

    def _create(self) -> str:
        """The ledger's run. Its id stands in the tag of an experiment whose name only one can create."""
        spare = self.client.create_run("0", run_name=self.name).info.run_id
        try:
            self.client.create_experiment(self.name, tags={RUN_TAG: spare})
        except MlflowException:
            self.client.delete_run(spare)
        found = self._find()
        if found is None:
            raise RegistryError(
                f"MLflow has an experiment '{self.name}' that is not this program's", fix="rename it in MLflow"
            )
        return found
