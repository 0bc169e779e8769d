"""What happened to a registered model, in entries that are written once, signed, and never change.

MLflow's aliases are last-writer-wins. Its runs' params are not: a key that has a value keeps it, in SQLite, in Postgres and
behind a server, whoever writes at the same time. One run per model holds the ledger; who writes a key first has it. Whoever may
write to MLflow may write entries, too; only those that somebody trusted has signed, for this model and this key, count.

The run is the only one of an experiment that is called after the model and says what it is. Ledgers of before that are a run of
the experiment Default: they move at their next entry. MLflow's page can delete a run, so every home keeps a copy of what it saw.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtl.errors import GoneError, RegistryError
from mtl.output.redaction import redacted
from mtl.registry.records.client import ReadingClient
from mtl.registry.tracking import LIVING, explained, gone, refusals
from mtl.registry.trust import Doubt, Trust

if TYPE_CHECKING:
    from pydantic import JsonValue

    from mtl.registry.records.entities import Run

RUN_TAG = "mtl.ledger_run"
MODEL_TAG = "mtl.ledger_of"
MOVED = "moved"
"""Key under which a ledger in Default says which run goes on with it."""
DEFAULT = "0"
MAX_VALUE = 6000
"""Characters of a param's value that every MLflow store takes."""
KIND = "ledger entry"
NOTE = (
    "The signed ledger of the model {model}: which version was champion when, by whom, and why. Written by `mtl`, read by "
    "`mtl history`. Its one run is not a training. Do not delete or rename it: `mtl registry repair` would have to bring it back."
)


@dataclass(frozen=True)
class Entry:
    """What stands under a key."""

    value: dict[str, JsonValue]
    sha256: str
    """Of its text."""
    doubt: Doubt | None
    """Why it does not count, if so."""
    text: str = ""
    """As it was written: whoever has it can put it back."""


def history_name(uri: str, model: str) -> str:
    """The name under which a home remembers what it saw of a model's history."""
    return hashlib.sha256(f"{uri} {model}".encode()).hexdigest()[:16]


class Ledger:
    """The ledger of one registered model."""

    def __init__(self, uri: str, client: ReadingClient, model: str, trust: Trust) -> None:
        self.uri, self.client, self.model, self.trust = uri, client, model, trust
        self.name = f"ledger of {model}"
        self.history = history_name(uri, model)
        self._run: str | None = None

    def read(self) -> dict[str, Entry]:
        """Every entry by its key; none if nothing has been written yet. What is only marked as deleted is read all the same.

        Raises:
            RegistryError: MLflow is out of reach.
            GoneError: the ledger was deleted there for good, or renamed.
        """
        with explained(self.uri):
            run = self._find() or self._refuse_lost()
            if run is None:
                return {}
            params = self._params(run)
        return {key: self._entry(key, text) for key, text in params.items() if key != MOVED}

    def write(self, key: str, value: dict[str, JsonValue]) -> Entry:
        """The key's entry: this value without secrets, signed, or the one that was there before it.

        Raises:
            RegistryError: MLflow is out of reach or refuses it, or there is no key to sign with.
            GoneError: the ledger was deleted or renamed.
        """
        value = redacted(value)
        text = json.dumps(self.trust.sign({"kind": KIND, "model": self.model, "entry": key, "value": value}))
        if len(text) > MAX_VALUE:
            raise RegistryError(f"an entry of the {self.name} is too long", found=f"{len(text)} characters")
        return self.put(key, text)

    def put(self, key: str, text: str) -> Entry:
        """The key's entry: this signed text, or the one that was there before it.

        Raises:
            GoneError: the ledger was deleted or renamed.
        """
        with explained(self.uri):
            run = self._settled(self._find() or self._refuse_lost() or self._create())
            try:
                self.client.log_param(run, key, text, synchronous=True)
            except refusals():
                # Taken, perhaps: then it can be read. (Not every store says so by its error's code.)
                earlier = self._params(run).get(key)
                if earlier is None:
                    raise
                return self._entry(key, earlier)
        return self._entry(key, text)

    def put_back(self, entries: Mapping[str, str]) -> None:
        """Write a copy of the entries into a new run, in place of the one that is gone for good; each is signed as it was."""
        with explained(self.uri):
            experiment = self.client.get_experiment_by_name(self.name)
            if experiment is None:
                run = self._create()
            else:
                run = str(self.client.create_run(experiment.experiment_id, run_name=self.name).info.run_id)
            for key, text in entries.items():
                self.client.log_param(run, key, text, synchronous=True)
            if experiment is not None:  # last: with it, all is there
                self._describe(experiment.experiment_id, run)
            self._run = run

    def _entry(self, key: str, text: str) -> Entry:
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return Entry({}, sha256, Doubt("it is no entry"), text)
        payload, doubt = self.trust.check(found, KIND, model=self.model, entry=key)
        value = payload.get("value", found)  # from before entries were signed, it stands there by itself
        return Entry(value if isinstance(value, dict) else {}, sha256, doubt, text)

    def _find(self) -> str | None:
        if self._run is None:
            experiment = self.client.get_experiment_by_name(self.name)
            self._run = experiment.tags.get(RUN_TAG) if experiment else None
        return self._run

    def _params(self, run: str) -> dict[str, str]:
        """What a run, or the one that it has moved to, holds.

        Raises:
            GoneError: MLflow does not have the run any more.
        """
        try:
            found = self.client.get_run(run)
            params = dict(found.data.params)
            if found.info.experiment_id == DEFAULT and MOVED in params:
                params |= self.client.get_run(params[MOVED]).data.params  # both: not all may be copied yet
        except refusals() as error:
            if not gone(error):
                raise
            self._run = None
            raise GoneError(
                f"the {self.name} was deleted in MLflow for good: it says which version was champion when",
                found=f"no run {run}",
                fix="mtl registry repair brings it back from the copy that a home keeps; else restore a back-up",
            ) from error
        return params

    def _refuse_lost(self) -> str | None:
        """There is no experiment of this name, or it names no run: was there one? The run, if another has made it just now."""
        renamed = self.renamed()
        if renamed:
            raise GoneError(
                f"the {self.name} was renamed in MLflow",
                found=f"it is called {renamed[1]!r}",
                fix="mtl registry repair",
            )
        if self.trust.recall(self.history) and self._find() is None:
            raise GoneError(
                f"the {self.name} was deleted in MLflow for good: it says which version was champion when",
                found=f"no experiment {self.name!r}, and this home has seen one",
                fix="mtl registry repair brings it back from the copy that this home keeps; else restore a back-up; if you restored an older registry, or began a new one, "
                f"remove {self.trust.seen}",
            )
        return self._find()

    def renamed(self) -> tuple[str, str] | None:
        """Id and name of an experiment that holds this model's ledger under another name."""
        if self.client.get_experiment_by_name(self.name):
            return None
        for experiment in self.client.search_experiments(filter_string=f"tags.`{MODEL_TAG}` = '{self.model}'"):
            if RUN_TAG in experiment.tags and not self._is_own(experiment.name):
                return experiment.experiment_id, experiment.name
        return None

    def _is_own(self, name: str) -> bool:
        """Whether an experiment has the ledger's name, or will have it soon."""
        return name == self.name or name.startswith(f"{self.name} (being made")

    def _settled(self, run: str) -> str:
        """The run that is written to: the one in the ledger's own experiment.

        Raises:
            GoneError: it is marked as deleted.
        """
        found = self.client.get_run(run)
        if found.info.experiment_id == DEFAULT:
            return self._move(run, found.data.params.get(MOVED))
        self._refuse_deleted(found)
        return run

    def refuse_deleted(self) -> None:
        """Refuse a ledger to which nothing can be written, for it was deleted or renamed.

        Raises:
            GoneError: it was.
        """
        with explained(self.uri):
            run = self._find() or self._refuse_lost()
            if run is None:
                return
            self._params(run)
            found = self.client.get_run(run)
        if found.info.experiment_id != DEFAULT:  # a run there moves when it is next written to
            self._refuse_deleted(found)

    def _refuse_deleted(self, found: Run) -> None:
        if found.info.lifecycle_stage != LIVING:
            raise GoneError(
                f"the {self.name} was deleted in MLflow",
                found=f"its run {found.info.run_id} is in the bin, until mlflow gc",
                fix="mtl registry repair restores it",
            )

    def _move(self, old: str, moved: str | None) -> str:
        """Let a run of the ledger's experiment go on with a ledger in Default. Whoever does so at once, or after a crash,
        does the same: the first to enter its run has it, and no entry is written to the old one from then on.
        """
        experiment = self.client.get_experiment_by_name(self.name)
        assert experiment is not None
        if moved is None:
            spare = self.client.create_run(experiment.experiment_id, run_name=self.name).info.run_id
            try:
                self.client.log_param(old, MOVED, spare, synchronous=True)
            except refusals():
                self.client.delete_run(spare)
            moved = str(self.client.get_run(old).data.params[MOVED])
        self.client.delete_run(old)  # from here on, MLflow takes no param for it
        for key, text in self.client.get_run(old).data.params.items():
            if key != MOVED:
                self.client.log_param(moved, key, text, synchronous=True)
        self._describe(experiment.experiment_id, moved)
        self._run = moved
        return moved

    def _describe(self, experiment: str, run: str) -> None:
        """Say in MLflow's page what this is."""
        note = NOTE.format(model=self.model)
        for key, value in ((MODEL_TAG, self.model), ("mlflow.note.content", note), (RUN_TAG, run)):
            self.client.set_experiment_tag(experiment, key, value)
        self.client.set_tag(run, "mlflow.note.content", note)

    def _create(self) -> str:
        """The ledger's run. Its experiment gets its name, which only one can have, once all of it is there."""
        own = self.client.create_experiment(f"{self.name} (being made, {uuid.uuid4().hex[:8]})")
        self._describe(own, self.client.create_run(own, run_name=self.name).info.run_id)
        try:
            self.client.rename_experiment(own, self.name)
        except refusals():  # another was first
            self.client.delete_experiment(own)
        found = self._find()
        if found is None:
            raise RegistryError(
                f"MLflow has an experiment '{self.name}' that is not this program's", fix="rename it in MLflow"
            )
        return found
