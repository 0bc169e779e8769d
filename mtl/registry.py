"""Versions and aliases: register once by fingerprint, promote by evidence.

What must happen once is decided in the ledger, whose entries are written once.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from mtl.config import RegistryError
from mtl.ledger import Ledger
from mtl.package_cache import PackageCache
from mtl.promotion import Promotions, aliased, point
from mtl.reports import Decision, EvalReport, PackageReport
from mtl.signing import SIGNATURE, package_sha256, sign, verify
from mtl.tracking import FINGERPRINT, connect, explained

ADDED = "registered_model_meta"
"""MLflow writes this file into a package that it loads by `models:/…`: on this machine, into the registry's own copy."""
CHALLENGER = "challenger"
VERSION = "version"
"""Kind of the ledger's key version/<fingerprint>."""


@dataclass(frozen=True)
class Version:
    """A registered version, as its tags describe it."""

    number: int
    run: str
    tags: dict[str, str]

    def describe(self, metrics: dict[str, dict[str, float]]) -> dict[str, Any]:
        """What `mtl status` shows."""
        return {
            "version": self.number,
            "fingerprint": self.tags.get(FINGERPRINT),
            "data": self.tags.get("mtl.data"),
            "commit": self.tags.get("mtl.commit"),
            "dirty": self.tags.get("mtl.dirty") == "true",
            "weights_sha256": self.tags.get("mtl.weights_sha256"),
            "decision": self.tags.get("mtl.decision"),
            "metrics": metrics,
        }


class Registry:
    """The versions of one registered model."""

    def __init__(self, uri: str, model: str) -> None:
        self.uri, self.model = uri, model
        with explained(uri):
            self.client = connect(uri)
        self.ledger = Ledger(uri, self.client, model)
        self.promotions = Promotions(self.client, model, self.ledger)

    def find(self, fingerprint: str) -> Version | None:
        """The version that has this fingerprint."""
        found = self._with(fingerprint)
        if len(found) < 2:
            return found[0] if found else None
        claimed = self.ledger.write(f"{VERSION}/{fingerprint}", {"version": found[0].number})["version"]
        return next((version for version in found if version.number == claimed), found[0])

    def _with(self, fingerprint: str) -> list[Version]:
        with explained(self.uri):
            found = self.client.search_model_versions(
                f"name = '{self.model}' and tags.`{FINGERPRINT}` = '{fingerprint}'"
            )
        return sorted((_version(v) for v in found), key=lambda v: v.number)

    def versions(self) -> list[Version]:
        """All versions of the model, oldest first."""
        with explained(self.uri):
            found: list[Version] = []
            token: str | None = None
            while True:
                page = self.client.search_model_versions(f"name = '{self.model}'", page_token=token)
                found += [_version(version) for version in page]
                token = page.token
                if not token:
                    return sorted(found, key=lambda version: version.number)

    def lineage(self, version: Version, folder: Path) -> None:
        """Put the files that a version was made from (dvc.lock, params.yaml …) into a folder; none if it kept none."""
        folder.mkdir(parents=True, exist_ok=True)
        with explained(self.uri):
            for item in self.client.list_artifacts(version.run, "lineage"):
                self.client.download_artifacts(version.run, item.path, str(folder))
        for path in list((folder / "lineage").glob("*")):
            path.replace(folder / path.name)

    def at(self, alias: str) -> Version | None:
        """The version that an alias names."""
        found = aliased(self.uri, self.client, self.model, alias)
        return _version(found) if found else None

    def get(self, number: int) -> Version:
        """A version by its number.

        Raises:
            RegistryError: there is none.
        """
        try:
            return _version(self.client.get_model_version(self.model, str(number)))
        except MlflowException as error:
            known = ", ".join(str(v.number) for v in self.versions()[-10:]) or "none"
            raise RegistryError(f"{self.model} has no version {number}", found=f"versions: {known}") from error

    def register(
        self, run: str, model: Path, package: PackageReport, tags: dict[str, str], signing_key: Path | None = None
    ) -> Version:
        """The version of this run's fingerprint, created if it is not there, its package signed if there is a key.

        Whoever registers the same at the same time agrees on one: the ledger has its number, others are deleted.
        """
        found = self._with(tags[FINGERPRINT])
        if not found:
            digests = {"mtl.weights_sha256": package.weights_sha256, "mtl.package_sha256": package_sha256(model)}
            found = [self._create(run, model, tags | digests, signing_key)]
        claimed = self.ledger.write(f"{VERSION}/{tags[FINGERPRINT]}", {"version": found[0].number})["version"]
        if all(version.number != claimed for version in found):
            try:
                found.append(self.get(claimed))
            except RegistryError:
                return found[0]  # it was deleted since: what replaces it counts
        with explained(self.uri):
            for version in found:
                if version.number != claimed:
                    self.client.delete_model_version(self.model, str(version.number))
        return next(version for version in found if version.number == claimed)

    def _create(self, run: str, model: Path, tags: dict[str, str], signing_key: Path | None) -> Version:
        with explained(self.uri):
            try:
                self.client.create_registered_model(self.model)
            except MlflowException:
                self.client.get_registered_model(self.model)  # it is there
            if signing_key is not None:
                with tempfile.TemporaryDirectory() as scratch:
                    sign(model, signing_key, Path(scratch, SIGNATURE))
                    self.client.log_artifact(run, f"{scratch}/{SIGNATURE}", "model")
            source = self._upload(run, model)
            return _version(self.client.create_model_version(self.model, source, run, tags=tags, await_creation_for=60))

    def _upload(self, run: str, model: Path) -> str:
        """The package to the run's artifacts; where it is."""
        self.client.log_artifacts(run, str(model), "model")
        return f"{self.client.get_run(run).info.artifact_uri}/model"

    def package(
        self, version: Version, folder: Path, public_key: Path | None, cache: PackageCache | None = None
    ) -> Path:
        """A version's package in a folder, verified; where it lies there.

        Args:
            public_key: as of `verify`.
            cache: of packages that were fetched before.

        Raises:
            RegistryError: it cannot be fetched, or is not what was registered.
        """
        folder.mkdir(parents=True, exist_ok=True)
        package, sha256 = folder / "model", version.tags.get("mtl.package_sha256")
        if cache and sha256 and cache.bring(sha256, package):
            try:
                verify(package, sha256, public_key)
                return package
            except RegistryError:  # the copy is damaged, or the key is another now: ask the registry
                cache.forget(sha256)
                shutil.rmtree(package)
        with explained(self.uri):
            try:
                self.client.download_artifacts(version.run, "model", str(folder))
            except OSError as error:
                raise RegistryError(f"the package of version {version.number} is gone", found=str(error)) from error
        if (package / ADDED).is_file():
            (package / ADDED).unlink()
        verify(package, sha256, public_key)
        if cache and sha256:
            cache.keep(sha256, package)
        return package

    def package_bytes(self, version: Version) -> int:
        """Size of a version's package, without its signature."""

        def size(path: str) -> int:
            found = self.client.list_artifacts(version.run, path)
            return sum(size(f.path) if f.is_dir else f.file_size or 0 for f in found if not f.path.endswith(SIGNATURE))

        with explained(self.uri):
            return size("model")

    def champion(self) -> Version | None:
        """The version that is champion."""
        number = self.promotions.champion()
        return self.get(number) if number else None

    def decide(self, version: Version, decision: Decision, flow_run: str = "") -> dict[str, Any] | None:
        """Move the alias that the gate's decision grants; the ledger's entry of a promotion.

        Raises:
            RegistryError: the champion is no longer the version that the decision was made against.
        """
        if decision.promote:
            why = decision.summary
            return self.promotions.promote(version.number, decision.champion, why=why, flow_run=flow_run)
        point(self.uri, self.client, self.model, CHALLENGER, version.number)
        return None

    def evaluation(self, version: Version) -> EvalReport:
        """The evaluation with which a version was registered.

        Raises:
            RegistryError: it is not there or cannot be read.
        """
        with explained(self.uri):
            try:
                path = self.client.download_artifacts(version.run, "evaluate/report.json")
                return EvalReport.model_validate_json(Path(path).read_bytes())
            except (OSError, ValueError) as error:
                raise RegistryError(f"version {version.number} has no readable evaluation", found=str(error)) from error

    def params(self, version: Version) -> dict[str, str]:
        """The params of a version's run, which MLflow lets nobody change; flattened."""
        with explained(self.uri):
            return dict(self.client.get_run(version.run).data.params)

    def keep_comparison(self, version: Version, champion: Version, report: EvalReport) -> None:
        """Keep with a version how the champion did on that version's test samples."""
        with explained(self.uri):
            self.client.log_text(version.run, report.model_dump_json(), _comparison(champion))

    def comparison(self, version: Version, champion: Version) -> EvalReport | None:
        """How the champion did on a version's test samples, if that was judged."""
        with explained(self.uri):
            try:
                path = self.client.download_artifacts(version.run, _comparison(champion))
                return EvalReport.model_validate_json(Path(path).read_bytes())
            except (OSError, ValueError, MlflowException):
                return None  # it never was, or by another version of this program

    def metrics(self, version: Version) -> dict[str, dict[str, float]]:
        """Task → metric → value on the test split."""
        with explained(self.uri):
            values = self.client.get_run(version.run).data.metrics
        found: dict[str, dict[str, float]] = {}
        for key, value in values.items():
            parts = key.split("/")
            if parts[0] == "test" and len(parts) == 3:
                found.setdefault(parts[1], {})[parts[2]] = value
        return found

    def log_decision(self, version: Version, decision: Decision, files: Sequence[Path]) -> None:
        """Keep the decision and its pages with the version's run; the version's tag last: with it, all is done."""
        with explained(self.uri):
            self.client.log_dict(version.run, json.loads(decision.model_dump_json()), "decision.json")
            for path in files:
                self.client.log_artifact(version.run, str(path))
            self.client.set_model_version_tag(self.model, str(version.number), "mtl.decision", decision.summary[:4900])


def _comparison(champion: Version) -> str:
    return f"comparison/version-{champion.number}.json"


def _version(found: Any) -> Version:
    return Version(int(found.version), str(found.run_id), dict(found.tags))
