"""`mtl registry repair`: what was deleted or renamed in MLflow's page, said and mended, with an entry in the history."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from flows.registry.load import load_registry
from flows.registry.mending import put_back
from flows.settings import Settings
from mtl.errors import GoneError, MtlError, RegistryError
from mtl.registry.aliases import has_model, new_name
from mtl.registry.ledger import RUN_TAG
from mtl.registry.promotion import LOSS, REPAIR
from mtl.registry.registry import RUN_DECISION, RUN_STATEMENT
from mtl.registry.signing import package_sha256
from mtl.registry.tracking import FINGERPRINT, LIVING, explained, gone, pages

_LOG = logging.getLogger(__name__)

ROUNDS = 5
"""What is mended may show what else is wrong: the champion, once the ledger is back."""


@dataclass(frozen=True)
class Damage:
    """Something that is not as it was."""

    what: str
    remedy: str = ""
    """What would be done; empty: nothing here can mend it."""
    mend: Callable[[], str] | None = None
    """Does it; what was done. Empty: it is in the history already."""


class Repair:
    """One look at a registry."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        config, self.registry = load_registry(settings)
        self.experiment = config.registry.experiment
        self.client, self.ledger = self.registry.client, self.registry.ledger
        self.promotions, self.model, self.uri = self.registry.promotions, self.registry.model, self.registry.uri
        self.cache = settings.copies

    def look(self) -> list[Damage]:
        """What is damaged. What stands on something that is, is looked at once that is mended."""
        found: list[Damage] = []
        for layer in (self._names, self._ledger, self._versions, self._champion):
            with explained(self.uri):
                found += layer()
            if any(damage.mend for damage in found) or (found and layer == self._ledger):
                break
        return found

    def enter(self, done: list[str]) -> None:
        """Say in the history what was done."""
        if done:
            self.promotions.note(REPAIR, "; ".join(done))

    def _names(self) -> Iterator[Damage]:
        """Experiments in the bin, and what was renamed."""
        for name in (self.experiment, self.ledger.name):
            found = self.client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage != LIVING:
                number = found.experiment_id
                yield Damage(
                    f"the experiment {name!r} was deleted in MLflow",
                    "restored from the bin, with its runs",
                    lambda number=number, name=name: self._restored(number, name),
                )
        if renamed := self.ledger.renamed():
            yield Damage(
                f"the {self.ledger.name} was renamed to {renamed[1]!r} in MLflow",
                "renamed back",
                lambda: self._named_back(renamed[0]),
            )
        if not has_model(self.uri, self.client, self.model) and (name := new_name(self.uri, self.client, self.model)):
            yield Damage(
                f"the model {self.model} was renamed to {name!r} in MLflow",
                "renamed back",
                lambda: self._model_back(name),
            )

    def _restored(self, number: str, name: str) -> str:
        self.client.restore_experiment(number)
        return f"the experiment {name!r} was restored"

    def _named_back(self, number: str) -> str:
        self.client.rename_experiment(number, self.ledger.name)
        return f"the {self.ledger.name} was renamed back"

    def _model_back(self, name: str) -> str:
        self.client.rename_registered_model(name, self.model)
        return f"the model {name!r} was renamed back to {self.model}"

    def _ledger(self) -> Iterator[Damage]:
        """The ledger's run."""
        experiment = self.client.get_experiment_by_name(self.ledger.name)
        run = experiment.tags.get(RUN_TAG) if experiment else None
        try:
            stage = run and self.client.get_run(run).info.lifecycle_stage
        except MlflowException as error:
            if not gone(error):
                raise
            stage = None
        if experiment and run and stage not in (None, LIVING) and self._own(run, experiment.experiment_id):
            yield Damage(
                f"the run of the {self.ledger.name} was deleted in MLflow",
                "restored from the bin",
                lambda: self._run_back(run, f"the run of the {self.ledger.name}"),
            )
        elif stage is None and self.ledger.trust.recall(self.ledger.history):
            copy = self.ledger.trust.load_entries(self.ledger.history)
            what = f"the {self.ledger.name} was deleted in MLflow for good"
            remedy = f"{len(copy)} entries put back from the copy that this home keeps" if copy else ""
            yield Damage(what, remedy, (lambda: self._ledger_back(copy)) if copy else None)

    def _own(self, run: str, experiment: str) -> bool:
        """Whether the ledger is in its own experiment: one that was in Default is in the bin once it has moved."""
        return self.client.get_run(run).info.experiment_id == experiment

    def _run_back(self, run: str, what: str) -> str:
        self.client.restore_run(run)
        return f"{what} was restored"

    def _ledger_back(self, copy: dict[str, str]) -> str:
        self.ledger.put_back(copy)
        return f"the {self.ledger.name} was written again from a copy of {len(copy)} entries"

    def _versions(self) -> Iterator[Damage]:
        """Runs and packages of the versions that there are."""
        for version in self.registry.versions():
            name = f"version {version.number}"
            try:
                run = self.client.get_run(version.run)
            except MlflowException as error:
                if not gone(error):
                    raise
                yield self._nothing_left(version.number)
                continue
            if run.info.lifecycle_stage != LIVING:
                yield Damage(
                    f"the run of {name} was deleted in MLflow: mlflow gc would remove its package",
                    "restored from the bin",
                    lambda run=version.run, name=name: self._run_back(run, f"the run of {name}"),
                )
            if not self.ledger.trust.lets(version.doubt):
                continue
            try:
                self.registry.refuse_listed(version)
            except GoneError:
                yield self._package(version.number)

    def _nothing_left(self, number: int) -> Damage:
        what = f"the run of version {number} was deleted in MLflow for good: nothing of the version is left"

        def mend() -> str:
            self.client.delete_model_version(self.model, str(number))
            return f"version {number}, whose run was deleted in MLflow for good, was removed"

        if number == self.promotions.recorded():  # which is looked at by itself
            return Damage(what)
        return Damage(what, "the version is removed", mend)

    def _package(self, number: int) -> Damage:
        version = self.registry.get(number)
        what = f"the package of version {number} is gone, or a part of it"
        digest = version.tags.get("mtl.package_sha256", "")
        if not self._has_copy(digest):
            return Damage(what)

        def mend() -> str:
            with tempfile.TemporaryDirectory() as scratch:
                package = self.registry.package(version, Path(scratch), self.cache)
                put_back(self.settings, self.registry, version, package)
            return f"the package of version {number} was put back"

        return Damage(what, "put back from the verified copy that this home keeps", mend)

    def _has_copy(self, digest: str) -> bool:
        """Whether this home keeps a package, or the checkout has just made it."""
        made = self.settings.root / "outputs" / "package" / "model"
        if not self.cache.has(digest) and made.is_dir() and package_sha256(made) == digest:
            self.cache.add(digest, made)
        return self.cache.has(digest)

    def _champion(self) -> Iterator[Damage]:
        """The champion, and the one before it, to which a rollback leads."""
        promotions = self.promotions
        number = promotions.recorded()
        before = promotions.before(number)
        for one in (number, before and promotions.now(before)):
            if one is None or self._whole(one):
                continue
            what = f"version {one}, {'the champion' if one == number else 'champion before'}, is gone"
            run = self._kept(one)
            if run:
                remedy = f"registered again from its run {run[:8]}, under a new number"
                yield Damage(what, remedy, lambda one=one, run=run: self._again(one, run))
            elif one == number:
                yield self._without(one)
            else:
                yield Damage(what)

    def _whole(self, number: int) -> bool:
        """Whether a version can be champion."""
        try:
            self.registry.whole(self.registry.former(number))
            return True
        except GoneError:
            return False

    def _kept(self, number: int) -> str | None:
        """The run that kept what was signed of a version that MLflow has no longer, and its package."""
        places = [found.experiment_id for found in self.client.search_experiments(view_type=ViewType.ALL)]
        where = (places, "", ViewType.ALL)
        for run in pages(lambda token: self.client.search_runs(*where, page_token=token)):
            if FINGERPRINT not in run.data.tags:
                continue
            with suppress(MtlError, MlflowException, OSError), tempfile.TemporaryDirectory() as scratch:
                signed, _ = self._statements(run.info.run_id)
                self.registry.package(self.registry.recall(number, signed), Path(scratch), self.cache)
                return str(run.info.run_id)
        return None

    def _statements(self, run: str) -> tuple[str, str]:
        """What a run kept: what was signed of its version, and of its decision."""
        texts = {RUN_STATEMENT: "", RUN_DECISION: ""}
        with tempfile.TemporaryDirectory() as scratch:
            for name in texts:
                with suppress(MlflowException, OSError):
                    texts[name] = Path(self.client.download_artifacts(run, name, scratch)).read_text(encoding="utf-8")
        return texts[RUN_STATEMENT], texts[RUN_DECISION]

    def _again(self, number: int, run: str) -> str:
        if self.client.get_run(run).info.lifecycle_stage != LIVING:
            self.client.restore_run(run)
        made = self.registry.register_again(number, *self._statements(run), self.cache).number
        why = f"version {number} was deleted in MLflow, and registered again as version {made} from run {run}"
        champion = self.promotions.recorded()
        self.promotions.note(REPAIR, why, to=made if champion == number else champion, again={str(number): made})
        return ""

    def _without(self, number: int) -> Damage:
        """The champion is gone for good: who was before, or nobody."""
        earlier = [c.to for c in reversed(self.promotions.moves()) if c.to not in (None, number)]
        heir = next((one for one in map(self.promotions.now, earlier) if self._whole(one)), None)
        why = f"version {number} is gone, and so is its package: {f'version {heir} was champion before' if heir else 'nothing is left of earlier champions'}"
        remedy = (
            f"version {heir}, champion before, is champion again"
            if heir
            else ("nobody is champion; the next one is made by a person (mtl promote N --override --why …)")
        )

        def mend() -> str:
            self.promotions.note(LOSS, why, to=heir)
            return ""

        return Damage(f"version {number}, the champion, is gone, and nothing of it is left here", remedy, mend)


def examine(settings: Settings) -> list[Damage]:
    """What is damaged in the registry."""
    return Repair(settings).look()


def repair(settings: Settings) -> list[Damage]:
    """Mend what can be mended; what is left.

    Raises:
        RegistryError: MLflow refuses it or is out of reach.
    """
    done: list[str] = []
    for _ in range(ROUNDS):
        look = Repair(settings)  # anew: what was read before may be other now
        found = look.look()
        mended = [damage.mend() for damage in found if damage.mend]
        for damage in found:
            if damage.mend:
                _LOG.info(f"mended: {damage.what}: {damage.remedy}")
        done += filter(None, mended)
        if not mended:
            look.enter(done)
            return found
    raise RegistryError(
        "the registry is not whole after all repairs", fix="mtl registry repair, again; or restore a back-up"
    )
