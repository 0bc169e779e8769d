"""What is kept of a version, compared with what was signed: no artifact reaches its reader otherwise."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mtl.errors import GoneError, RegistryError
from mtl.registry.package_cache import PackageCache
from mtl.registry.records.client import ReadingClient
from mtl.registry.signing import SIGNATURE, verify, what_differs
from mtl.registry.tracking import explained, gone, refusals
from mtl.registry.trust import Trust
from mtl.registry.version import Version
from mtl.reports import EvalReport, TrainReport
from mtl.reports.types import parse_json
from mtl.storage.digest import bytes_sha256

ADDED = "registered_model_meta"
"""MLflow writes this file into a package that it loads by `models:/…` (REGISTERED_MODEL_META_FILE_NAME, of its
models_artifact_repo): of an embedded registry, into the registry's own copy. It is the only one that MLflow adds."""
COMPARISON = "comparison"
EVALUATION, TRAINING = "evaluate/report.json", "lineage/training.json"
"""Artifacts of a version's run."""


class Contents:
    """The artifacts of one model's versions."""

    def __init__(self, uri: str, client: ReadingClient, model: str, trust: Trust) -> None:
        self.uri, self.client, self.model, self.trust = uri, client, model, trust

    def accept(self, version: Version) -> Version:
        """A version that may be used.

        Raises:
            RegistryError: it is unverified, and no setting lets it through; or it was altered.
        """
        if not self.trust.lets(version.doubt):
            raise version.refuse()
        return version

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
        except (OSError, *refusals()) as error:
            if isinstance(error, refusals()) and not gone(error):
                raise
            fix = "restore the registry from a back-up"
            raise GoneError(f"{name} of version {version.number} is gone", found=str(error), fix=fix) from error
        if version.doubt is None and version.files.get(name) != bytes_sha256(data):
            raise RegistryError(
                f"{name} of version {version.number} is not what was registered: it was not used",
                found=f"another content than {str(version.files.get(name))[:16]}…",
                fix="restore the registry from a back-up",
            )
        return data

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
            except (OSError, *refusals()) as error:
                if isinstance(error, refusals()) and not gone(error):
                    raise
                raise self._without_package(version, str(error)) from error
        if (package / ADDED).is_file():
            (package / ADDED).unlink()
        size = sum(path.stat().st_size for path in package.rglob("*") if path.is_file() and path.name != SIGNATURE)
        if size < (version.num_bytes or 1):
            differs = what_differs(package, sha256) if size and sha256 else "missing: all of it"
            if differs.startswith("missing"):  # and nothing was added or changed
                raise self._without_package(version, differs)
        verify(package, sha256, None)
        if cache and sha256:
            cache.add(sha256, package)
        return package

    def refuse_listed(self, version: Version) -> None:
        """Refuse a version of whose package not all is there, by the sizes of the files.

        Raises:
            GoneError: some of it is not.
        """
        there, wanted = self.package_bytes(version, listed=True), version.num_bytes or 1
        if there < wanted:
            raise self._without_package(version, f"{there} of {wanted} bytes are there")

    def _without_package(self, version: Version, found: str) -> GoneError:
        return GoneError(
            f"the package of version {version.number} of {self.model} is gone from the registry, or a part of it",
            found=found,
            fix="mtl registry repair puts it back, if this home has a copy; else restore a back-up",
        )

    def package_bytes(self, version: Version, *, listed: bool = False) -> int:
        """Size of a version's package, without its signature.

        Args:
            listed: of the files that are there, not as it was signed.
        """
        if version.num_bytes is not None and not listed:
            return version.num_bytes

        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with explained(self.uri):
            files = get_artifact_repository(str(self.client.get_run(version.run).info.artifact_uri))

        def size(path: str) -> int:
            found: list[Any] = files.list_artifacts(path)
            return sum(size(f.path) if f.is_dir else f.file_size or 0 for f in found if not f.path.endswith(SIGNATURE))

        with explained(self.uri):
            return size("model")

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

    def training(self, version: Version) -> TrainReport:
        """How a version was trained.

        Raises:
            RegistryError: as `evaluation`.
        """
        self._open(version, shown=False)
        with explained(self.uri), tempfile.TemporaryDirectory() as scratch:
            data = self._content(version, TRAINING, Path(scratch))
        what = f"training.json of version {version.number}"
        return parse_json(TrainReport, data, what, fix="mtl registry check", refusal=RegistryError)

    def save_comparison(self, version: Version, champion: Version, report: EvalReport) -> None:
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
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, *refusals()):
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


def _comparison(champion: Version) -> str:
    return f"comparison/version-{champion.number}.json"
