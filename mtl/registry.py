"""Versions and aliases: register once by fingerprint, promote by evidence.

What must happen once is decided in the ledger, whose entries are written once. Whatever is read of a version is compared with
its signed statement here, and nowhere else: no artifact and no tag reaches its reader otherwise.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from mtl.config import RegistryError
from mtl.digest import bytes_sha256, file_sha256
from mtl.ledger import Ledger
from mtl.package_cache import PackageCache
from mtl.promotion import Promotions, aliased, point
from mtl.reports import Decision, EvalReport, PackageReport
from mtl.signing import SIGNATURE, package_sha256, sign, verify
from mtl.tracking import FINGERPRINT, connect, explained
from mtl.trust import Trust
from mtl.version import DECIDED, DECISION, STATEMENT, Version, read, statement
from mtl.version import decision as decided

CHALLENGER = "challenger"
VERSION = "version"
"""Kind of the ledger's key version/<fingerprint>."""
COMPARISON = "comparison"
EVALUATION = "evaluate/report.json"
"""Artifact of a version's run."""


class Registry:
    """The versions of one registered model."""

    def __init__(self, uri: str, model: str, trust: Trust) -> None:
        self.uri, self.model, self.trust = uri, model, trust
        with explained(uri):
            self.client = connect(uri)
        self.ledger = Ledger(uri, self.client, model, trust)
        self.promotions = Promotions(self.client, model, self.ledger)

    def find(self, fingerprint: str) -> Version | None:
        """The version that has this fingerprint."""
        found = self._with(fingerprint)
        if len(found) < 2:
            return found[0] if found else None
        claimed = self._claim(fingerprint, found[0].number)
        return next((version for version in found if version.number == claimed), found[0])

    def _with(self, fingerprint: str) -> list[Version]:
        """Versions of a fingerprint that may be used; others are named."""
        with explained(self.uri):
            found = self.client.search_model_versions(
                f"name = '{self.model}' and tags.`{FINGERPRINT}` = '{fingerprint}'"
            )
        versions = sorted((self._version(v) for v in found), key=lambda v: v.number)
        for version in versions:
            if version.doubt and not self.trust.lets(version.doubt):
                logging.getLogger(__name__).warning(f"version {version.number} does not count: {version.doubt.why}")
        return [v for v in versions if self.trust.lets(v.doubt) and v.tags.get(FINGERPRINT) == fingerprint]

    def _claim(self, fingerprint: str, number: int) -> int:
        """The version that a fingerprint's is: the first that was entered by somebody who is trusted."""
        entry = self.ledger.write(f"{VERSION}/{fingerprint}", {"version": number})
        return int(entry.value["version"]) if self.trust.lets(entry.doubt) and "version" in entry.value else number

    def _version(self, found: Any) -> Version:
        return read(self.trust, self.model, int(found.version), str(found.run_id), dict(found.tags))

    def accept(self, version: Version) -> Version:
        """A version that may be used.

        Raises:
            RegistryError: it is unverified, and no setting lets it through; or it was altered.
        """
        if not self.trust.lets(version.doubt):
            raise version.refuse()
        return version

    def versions(self) -> list[Version]:
        """All versions of the model, oldest first."""
        with explained(self.uri):
            found: list[Version] = []
            token: str | None = None
            while True:
                page = self.client.search_model_versions(f"name = '{self.model}'", page_token=token)
                found += [self._version(version) for version in page]
                token = page.token
                if not token:
                    return sorted(found, key=lambda version: version.number)

    def lineage(self, version: Version, folder: Path, *, shown: bool = False) -> None:
        """Put the files that a version was made from (dvc.lock, params.yaml …) into a folder; none if it kept none.

        Args:
            shown: they are looked at, not used: an unverified version's are brought, too.

        Raises:
            RegistryError: it is unverified; or a file is not what was signed.
        """
        self._open(version, shown)
        folder.mkdir(parents=True, exist_ok=True)
        with explained(self.uri), tempfile.TemporaryDirectory() as scratch:
            if version.doubt is None:
                names = [name for name in version.files if name.startswith("lineage/")]
            else:
                names = [item.path for item in self.client.list_artifacts(version.run, "lineage") if not item.is_dir]
            for name in names:
                (folder / Path(name).name).write_bytes(self._content(version, name, Path(scratch)))

    def _open(self, version: Version, shown: bool) -> None:
        """Refuse what may not be used; what is altered may not be looked at either."""
        if version.doubt is not None and (version.doubt.altered or not shown):
            self.accept(version)

    def _content(self, version: Version, name: str, scratch: Path) -> bytes:
        """An artifact of a version's run, compared with what was signed.

        Raises:
            RegistryError: it is not there, or another.
        """
        try:
            data = Path(self.client.download_artifacts(version.run, name, str(scratch))).read_bytes()
        except OSError as error:
            raise RegistryError(f"{name} of version {version.number} is gone", found=str(error)) from error
        if version.doubt is None and version.files.get(name) != bytes_sha256(data):
            raise RegistryError(
                f"{name} of version {version.number} is not what was registered: it was not used",
                found=f"another content than {str(version.files.get(name))[:16]}…",
                fix="restore the registry from a back-up",
            )
        return data

    def at(self, alias: str) -> Version | None:
        """The version that an alias names."""
        found = aliased(self.uri, self.client, self.model, alias)
        return self._version(found) if found else None

    def get(self, number: int) -> Version:
        """A version by its number.

        Raises:
            RegistryError: there is none.
        """
        try:
            return self._version(self.client.get_model_version(self.model, str(number)))
        except MlflowException as error:
            known = ", ".join(str(v.number) for v in self.versions()[-10:]) or "none"
            raise RegistryError(f"{self.model} has no version {number}", found=f"versions: {known}") from error

    def register(
        self, run: str, model: Path, package: PackageReport, tags: dict[str, str], files: dict[str, str], key: Path
    ) -> Version:
        """The version of this run's fingerprint, created and signed if it is not there, its package signed too.

        Whoever registers the same at the same time agrees on one: the ledger has its number, others are deleted.

        Args:
            files: of the run's artifacts: name → SHA-256.
            key: the private key that signs the package.
        """
        found = self._with(tags[FINGERPRINT])
        if not found:
            digests = {"mtl.weights_sha256": package.weights_sha256, "mtl.package_sha256": package_sha256(model)}
            found = [self._create(run, model, tags | digests, files, package.num_bytes, key)]
        claimed = self._claim(tags[FINGERPRINT], found[0].number)
        if all(version.number != claimed for version in found):
            try:
                found.append(self.accept(self.get(claimed)))
            except RegistryError:
                return found[0]  # it was deleted since, or does not count: what replaces it does
        with explained(self.uri):
            for version in found:
                if version.number != claimed:
                    self.client.delete_model_version(self.model, str(version.number))
        return next(version for version in found if version.number == claimed)

    def _create(
        self, run: str, model: Path, tags: dict[str, str], files: dict[str, str], num_bytes: int, key: Path
    ) -> Version:
        """A version with its statement; one of the same run that was left without, by a crash, gets it now."""
        with explained(self.uri):
            try:
                self.client.create_registered_model(self.model)
            except MlflowException:
                self.client.get_registered_model(self.model)  # it is there
            with tempfile.TemporaryDirectory() as scratch:
                sign(model, key, Path(scratch, SIGNATURE))
                self.client.log_artifact(run, f"{scratch}/{SIGNATURE}", "model")
            source = self._upload(run, model)
            left = self.client.search_model_versions(f"name = '{self.model}' and run_id = '{run}'")
            left = [one for one in left if one.source == source]
            if left:
                made = left[0]
                for name, value in tags.items():
                    self.client.set_model_version_tag(self.model, made.version, name, value)
            else:
                made = self.client.create_model_version(self.model, source, run, tags=tags, await_creation_for=60)
            number = int(made.version)
            signed = statement(self.trust, self.model, number, run, tags, files, num_bytes)
            self.client.set_model_version_tag(self.model, str(number), STATEMENT, signed)
        return self.get(number)

    def _upload(self, run: str, model: Path) -> str:
        """The package to the run's artifacts; where it is."""
        self.client.log_artifacts(run, str(model), "model")
        return f"{self.client.get_run(run).info.artifact_uri}/model"

    def package(self, version: Version, folder: Path, cache: PackageCache | None = None) -> Path:
        """A version's package in a folder, verified; where it lies there.

        Args:
            cache: of packages that were fetched before.

        Raises:
            RegistryError: it cannot be fetched, is unverified, or is not what was registered.
        """
        sha256 = self.accept(version).tags.get("mtl.package_sha256")
        folder.mkdir(parents=True, exist_ok=True)
        package = folder / "model"
        if cache and sha256 and cache.bring(sha256, package):
            try:
                verify(package, sha256, None)
                return package
            except RegistryError:  # the copy is damaged: ask the registry
                cache.forget(sha256)
                shutil.rmtree(package)
        with explained(self.uri):
            try:
                self.client.download_artifacts(version.run, "model", str(folder))
            except OSError as error:
                raise RegistryError(f"the package of version {version.number} is gone", found=str(error)) from error
        verify(package, sha256, None)
        if cache and sha256:
            cache.keep(sha256, package)
        return package

    def package_bytes(self, version: Version) -> int:
        """Size of a version's package, without its signature."""
        if version.num_bytes is not None:
            return version.num_bytes

        def size(path: str) -> int:
            found = self.client.list_artifacts(version.run, path)
            return sum(size(f.path) if f.is_dir else f.file_size or 0 for f in found if not f.path.endswith(SIGNATURE))

        with explained(self.uri):
            return size("model")

    def champion(self) -> Version | None:
        """The version that is champion.

        Raises:
            RegistryError: it, or the history that made it champion, is unverified or altered.
        """
        number = self.promotions.champion()
        return self.accept(self.get(number)) if number else None

    def decide(
        self,
        version: Version,
        decision: Decision,
        flow_run: str = "",
        *,
        why: str = "",
        settings: Mapping[str, Sequence[Any]] | None = None,
    ) -> dict[str, Any] | None:
        """Move the alias that the gate's decision grants; the ledger's entry of a promotion.

        Args:
            why: what its user says to it.
            settings: as of `Promotions.promote`.

        Raises:
            RegistryError: the champion is no longer the version that the decision was made against.
        """
        if decision.promote:
            self.accept(version)
            said = f"{why}; {decision.summary}" if why else decision.summary
            return self.promotions.promote(
                version.number, decision.champion, why=said, flow_run=flow_run, settings=settings
            )
        point(self.uri, self.client, self.model, CHALLENGER, version.number)
        return None

    def evaluation(self, version: Version, *, shown: bool = False) -> EvalReport:
        """The evaluation with which a version was registered.

        Args:
            shown: as of `lineage`.

        Raises:
            RegistryError: it is not there or cannot be read, or is not what was signed.
        """
        data = self._evaluation(version, shown)
        try:
            return EvalReport.model_validate_json(data)
        except ValueError as error:
            raise RegistryError(f"version {version.number} has no readable evaluation", found=str(error)) from error

    def _evaluation(self, version: Version, shown: bool) -> bytes:
        self._open(version, shown)
        with explained(self.uri), tempfile.TemporaryDirectory() as scratch:
            return self._content(version, EVALUATION, Path(scratch))

    def keep_comparison(self, version: Version, champion: Version, report: EvalReport) -> None:
        """Keep with a version how the champion did on that version's test samples, signed."""
        text = report.model_dump_json()
        content = {"kind": COMPARISON, "model": self.model, "version": version.number, "champion": champion.number}
        content |= {"run": version.run, "champion_run": champion.run, "sha256": bytes_sha256(text.encode())}
        with explained(self.uri):
            kept = json.dumps({"statement": self.trust.sign(content), "report": text})
            self.client.log_text(version.run, kept, _comparison(champion))

    def comparison(self, version: Version, champion: Version) -> EvalReport | None:
        """How the champion did on a version's test samples, if that was judged and signed."""
        wanted = {"model": self.model, "version": version.number, "champion": champion.number}
        wanted |= {"run": version.run, "champion_run": champion.run}
        with explained(self.uri), tempfile.TemporaryDirectory() as scratch:
            try:
                path = self.client.download_artifacts(version.run, _comparison(champion), scratch)
                kept = json.loads(Path(path).read_bytes())
                digest = bytes_sha256(kept["report"].encode())
                _, doubt = self.trust.check(kept["statement"], COMPARISON, **wanted, sha256=digest)
                if self.trust.lets(doubt):
                    return EvalReport.model_validate_json(kept["report"])
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MlflowException):
                return None  # it never was, or by another version of this program
        logging.getLogger(__name__).warning(
            f"{_comparison(champion)} of version {version.number} does not count: {doubt}"
        )
        return None

    def metrics(self, version: Version) -> dict[str, dict[str, float]]:
        """Task → metric → value on the test split, for people to look at; none if there is no evaluation."""
        try:
            tasks: dict[str, Any] = json.loads(self._evaluation(version, shown=True))["tasks"]
            return {
                task: {name: one["value"] for name, one in found["metrics"].items() if one["value"] is not None}
                for task, found in tasks.items()
            }
        except (RegistryError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def log_decision(self, version: Version, decision: Decision, files: Sequence[Path]) -> None:
        """Keep the decision and its pages with the version's run; the version's signed tag last: with it, all is done."""
        digests = {path.name: file_sha256(path) for path in files}
        number, text = str(version.number), decision.summary[:4900]
        with explained(self.uri), tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "decision.json")
            path.write_text(decision.model_dump_json(indent=2), encoding="utf-8")
            for file in (path, *files):
                self.client.log_artifact(version.run, str(file))
            digests |= {path.name: file_sha256(path)}
            self.client.set_model_version_tag(self.model, number, DECISION, text)
            signed = decided(self.trust, self.model, version, text, digests)
            self.client.set_model_version_tag(self.model, number, DECIDED, signed)


def _comparison(champion: Version) -> str:
    return f"comparison/version-{champion.number}.json"
