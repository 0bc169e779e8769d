"""Versions and aliases: register once by fingerprint, promote by evidence.

What must happen once is decided in the ledger, whose entries are written once. Tags are compared with the version's signed
statement when a version is looked up, artifacts when they are read (`Contents`).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtl.errors import RegistryError
from mtl.registry.aliases import STATEMENT, aliased, lookup_version, point, refuse_gone
from mtl.registry.chain import known_numbers
from mtl.registry.contents import Contents
from mtl.registry.key_files import KeySource
from mtl.registry.ledger import Ledger
from mtl.registry.missing import missing
from mtl.registry.package_cache import PackageCache
from mtl.registry.promotion import Promotions
from mtl.registry.records.entities import ModelVersion
from mtl.registry.signing import SIGNATURE, package_sha256, sign
from mtl.registry.tracking import FINGERPRINT, LINEAGE, explained, pages, reading, refusals
from mtl.registry.trust import Trust
from mtl.registry.version import DECIDED, DECISION, Version, read, recalled, statement
from mtl.registry.version import decision as decided
from mtl.reports import Decision, PackageReport
from mtl.reports.change import Change
from mtl.storage.digest import bytes_sha256, file_sha256

if TYPE_CHECKING:
    import mlflow.entities.model_registry
    from pydantic import JsonValue

CHALLENGER = "challenger"
VERSION = "version"
"""Kind of the ledger's key version/<fingerprint>."""
RUN_STATEMENT, RUN_DECISION = "statement.json", "decided.json"
"""Artifacts of a version's run: what was signed of the version and its decision, for MLflow's page can delete versions."""


class Registry(Contents):
    """The versions of one registered model."""

    def __init__(self, uri: str, model: str, trust: Trust) -> None:
        with explained(uri):
            super().__init__(uri, reading(uri), model, trust)
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
        said = entry.value.get("version")
        return said if self.trust.lets(entry.doubt) and isinstance(said, int) else number

    def _version(self, found: ModelVersion) -> Version:
        return read(self.trust, self.model, int(found.version), str(found.run_id), dict(found.tags))

    def versions(self, raw: Sequence[ModelVersion] | None = None) -> list[Version]:
        """All versions of the model, oldest first.

        Args:
            raw: as MLflow has them, if that is known already.
        """
        found = self.raw_versions() if raw is None else raw
        return sorted(map(self._version, found), key=lambda version: version.number)

    def raw_versions(self) -> list[mlflow.entities.model_registry.ModelVersion]:
        """All versions as MLflow has them, in no order."""
        with explained(self.uri):
            ask = self.client.search_model_versions
            return list(pages(lambda token: ask(f"name = '{self.model}'", page_token=token)))

    def at(self, alias: str) -> Version | None:
        """The version that an alias names."""
        found = aliased(self.uri, self.client, self.model, alias)
        return self._version(found) if found else None

    def get(self, number: int) -> Version:
        """A version by its number.

        Raises:
            RegistryError: there is none.
            GoneError: there was one: it, or the model, was deleted, renamed or removed.
        """
        found = lookup_version(self.uri, self.client, self.model, number)
        if found is not None:
            return self._version(found)
        raise missing(self.promotions, number, [version.number for version in self.versions()])

    def former(self, number: int) -> Version:
        """A version that was champion, as it was then.

        Raises:
            RegistryError: it is unverified.
            GoneError: it was deleted, or another one has its number now.
        """
        if number in self.promotions.removed():
            return self.accept(self.get(number))
        refuse_gone(self.uri, self.client, self.model, self.promotions.history(), number)
        return self.accept(self.get(number))

    def register(
        self, run: str, model: Path, package: PackageReport, tags: dict[str, str], files: dict[str, str], key: KeySource
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
                other = self.accept(self.get(claimed))
            except RegistryError:
                return found[0]  # it was deleted since, or does not count: what replaces it does
            if other.tags.get(FINGERPRINT) != tags[FINGERPRINT]:
                return found[0]  # the model was deleted, and another version has the number now
            found.append(other)
        with explained(self.uri):
            for version in found:
                if version.number != claimed:
                    self.client.delete_model_version(self.model, str(version.number))
        return next(version for version in found if version.number == claimed)

    def _create(
        self, run: str, model: Path, tags: dict[str, str], files: dict[str, str], num_bytes: int, key: KeySource | None
    ) -> Version:
        """A version with its statement; one of the same run that was left without, by a crash, gets it now.

        Args:
            key: None: the package is signed.
        """
        with explained(self.uri):
            try:
                self.client.create_registered_model(self.model)
            except refusals():
                self.client.get_registered_model(self.model)  # it is there
            if key is not None:
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
                made = self._numbered(source, run, tags)
            number = int(made.version)
            signed = statement(self.trust, self.model, number, run, tags, files, num_bytes)
            self.client.log_text(run, signed, RUN_STATEMENT)
            self.client.set_model_version_tag(self.model, str(number), STATEMENT, signed)
        return self.get(number)

    def _numbered(self, source: str, run: str, tags: dict[str, str]) -> ModelVersion:
        """A new version of MLflow's. A model that was deleted begins again with version 1 there: numbers that the ledger
        knows are passed over, for they are other versions.
        """
        known = known_numbers(self.ledger.read())
        while True:
            made = self.client.create_model_version(self.model, source, run, tags=tags, await_creation_for=60)
            if int(made.version) not in known:
                return made
            self.client.delete_model_version(self.model, made.version)

    def recall(self, number: int, signed: str, decided_text: str = "") -> Version:
        """A version that MLflow has no longer, by what was signed of it.

        Raises:
            RegistryError: it was not signed as this version by anybody who is trusted.
        """
        return self.accept(recalled(self.trust, self.model, number, signed, decided_text))

    def register_again(
        self, number: int, signed: str, decided_text: str = "", cache: PackageCache | None = None
    ) -> Version:
        """A version that was deleted in MLflow, from its run and what was signed of it, under a new number.

        Args:
            signed: the statement that was kept with the run.
            decided_text: that of its gate's decision, if there was one.
            cache: where the package may be, if the run has it no longer.

        Raises:
            RegistryError: the statement does not hold, or the package is not there or not what was signed.
        """
        lost = self.recall(number, signed, decided_text)
        own = {name: value for name, value in lost.tags.items() if name != DECISION}
        with tempfile.TemporaryDirectory() as scratch:
            package = self.package(lost, Path(scratch), cache)
            made = self._create(lost.run, package, own, lost.files, lost.num_bytes or 0, None)
        if DECISION in lost.tags:
            self._sign_decision(made, lost.tags[DECISION], lost.files)
        return self.get(made.number)

    def _upload(self, run: str, model: Path) -> str:
        """The package to the run's artifacts; where it is."""
        self.client.log_artifacts(run, str(model), "model")
        return f"{self.client.get_run(run).info.artifact_uri}/model"

    def champion(self) -> Version | None:
        """The version that is champion.

        Raises:
            RegistryError: it, or the history that made it champion, is unverified or altered.
        """
        number = self.promotions.champion()
        return self.accept(self.get(number)) if number else None

    def whole(self, version: Version, cache: PackageCache | None = None) -> int:
        """Bytes of a version's package, of which the registry has every file as it was registered.

        Args:
            cache: where a copy stays.

        Raises:
            RegistryError: one is another.
            GoneError: one is not there.
        """
        with tempfile.TemporaryDirectory() as scratch:
            package = self.package(version, Path(scratch))
            if cache is not None and (digest := version.tags.get("mtl.package_sha256")):
                cache.add(digest, package)
            return sum(p.stat().st_size for p in package.rglob("*") if p.is_file() and p.name != SIGNATURE)

    def adopt(self, version: Version) -> Version:
        """Sign for an unverified version, as the registry has it now.

        Raises:
            RegistryError: it was altered, or its package is not what was registered.
        """
        tags = {
            key: value for key, value in self.accept(version).tags.items() if key not in (STATEMENT, DECIDED, DECISION)
        }
        with tempfile.TemporaryDirectory() as scratch:
            package = self.package(version, Path(scratch))
            tags["mtl.package_sha256"] = package_sha256(package)
            with explained(self.uri):
                folders = [self.client.list_artifacts(version.run, name) for name in (LINEAGE, "evaluate")]
                names = [item.path for found in folders for item in found if not item.is_dir]
                files = {name: bytes_sha256(self._content(version, name, Path(scratch))) for name in names}
                number = str(version.number)
                self.client.set_model_version_tag(self.model, number, "mtl.package_sha256", tags["mtl.package_sha256"])
                content = (version.number, version.run, tags, files, self.package_bytes(version))
                self.client.set_model_version_tag(
                    self.model, number, STATEMENT, statement(self.trust, self.model, *content)
                )
                if DECISION in version.tags:
                    signed = decided(self.trust, self.model, version, version.tags[DECISION], {})
                    self.client.set_model_version_tag(self.model, number, DECIDED, signed)
        return self.get(version.number)

    def apply_decision(
        self,
        version: Version,
        decision: Decision,
        flow_run: str = "",
        *,
        why: str = "",
        settings: Mapping[str, Sequence[JsonValue]] | None = None,
        cache: PackageCache | None = None,
    ) -> Change | None:
        """Move the alias that the gate's decision grants; the ledger's entry of a promotion.

        Args:
            cache: where a copy of the champion's package stays.
            why: what its user says to it.
            settings: as of `Promotions.promote`.

        Raises:
            RegistryError: the champion is no longer the version that the decision was made against.
        """
        if decision.promote:
            self.whole(version, cache)
            said = f"{why}; {decision.summary}" if why else decision.summary
            return self.promotions.promote(
                version.number, decision.champion, why=said, flow_run=flow_run, settings=settings
            )
        point(self.uri, self.client, self.model, CHALLENGER, version.number)
        return None

    def log_decision(self, version: Version, decision: Decision, files: Sequence[Path]) -> None:
        """Keep the decision and its pages with the version's run; the version's signed tag last: with it, all is done."""
        digests = {path.name: file_sha256(path) for path in files}
        text = decision.summary[:4900]
        with explained(self.uri), tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "decision.json")
            path.write_text(decision.model_dump_json(indent=2), encoding="utf-8")
            for file in (path, *files):
                self.client.log_artifact(version.run, str(file))
            digests |= {path.name: file_sha256(path)}
            self._sign_decision(version, text, digests)

    def _sign_decision(self, version: Version, text: str, files: Mapping[str, str]) -> None:
        """Enter and sign what the gate has decided; a copy of it stays with the run."""
        signed = decided(self.trust, self.model, version, text, files)
        with explained(self.uri):
            self.client.log_text(version.run, signed, RUN_DECISION)
            self.client.set_model_version_tag(self.model, str(version.number), DECISION, text)
            self.client.set_model_version_tag(self.model, str(version.number), DECIDED, signed)
