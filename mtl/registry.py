"""Versions and aliases: register once by fingerprint, promote by compare-and-set."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from mtl.config import RegistryError
from mtl.reports import Decision, EvalReport, PackageReport
from mtl.tracking import FINGERPRINT, explained

CHAMPION, CHALLENGER = "champion", "challenger"


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
            mlflow.set_tracking_uri(uri)
            self.client = mlflow.MlflowClient(uri)

    def find(self, fingerprint: str) -> Version | None:
        """The version that has this fingerprint."""
        with explained(self.uri):
            found = self.client.search_model_versions(
                f"name = '{self.model}' and tags.`{FINGERPRINT}` = '{fingerprint}'"
            )
        versions = sorted((_version(v) for v in found), key=lambda v: v.number)
        return versions[0] if versions else None

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
        try:
            return _version(self.client.get_model_version_by_alias(self.model, alias))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise RegistryError(f"MLflow at {self.uri} is out of reach", found=str(error)[:300]) from error

    def register(self, run: str, model: Path, package: PackageReport, tags: dict[str, str]) -> Version:
        """The version of this run's fingerprint, created if it is not there."""
        existing = self.find(tags[FINGERPRINT])
        if existing is not None:
            return existing
        with explained(self.uri):
            try:
                self.client.get_registered_model(self.model)
            except MlflowException:
                self.client.create_registered_model(self.model)
            self.client.log_artifacts(run, str(model), "model")
            source = f"{self.client.get_run(run).info.artifact_uri}/model"
            tags = tags | {"mtl.weights_sha256": package.weights_sha256}
            created = self.client.create_model_version(self.model, source, run, tags=tags, await_creation_for=60)
        return _version(created)

    def decide(self, version: Version, decision: Decision) -> None:
        """Record the gate's decision and move the alias that it grants.

        Raises:
            RegistryError: the champion is no longer the version that the decision was made against.
        """
        with explained(self.uri):
            text = decision.summary[:4900]
            self.client.set_model_version_tag(self.model, str(version.number), "mtl.decision", text)
            if not decision.promote:
                self.client.set_registered_model_alias(self.model, CHALLENGER, str(version.number))
                return
        present = self.at(CHAMPION)
        number = present.number if present else None
        if number == version.number:
            return
        if number != decision.champion:
            raise RegistryError(
                "the champion has changed since the gate compared with it",
                found=f"version {number} instead of {decision.champion}",
                fix="run again: the gate compares with the present champion",
            )
        with explained(self.uri):
            self.client.set_model_version_tag(self.model, str(version.number), "mtl.promoted_at", f"{time.time():.0f}")
            self.client.set_registered_model_alias(self.model, CHAMPION, str(version.number))

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

    def log_decision(self, version: Version, decision: Decision, page: Path) -> None:
        """Keep the decision and the page with the version's run."""
        with explained(self.uri):
            self.client.log_dict(version.run, json.loads(decision.model_dump_json()), "decision.json")
            self.client.log_artifact(version.run, str(page))


def _version(found: Any) -> Version:
    return Version(int(found.version), str(found.run_id), dict(found.tags))
