"""MLflow runs: params, metrics, lineage. One run per training, found again by its fingerprint."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mtl.errors import GoneError, RegistryError
from mtl.output.redaction import redact, secret_in_file
from mtl.registry.mlflow_params import as_params
from mtl.registry.records.client import ReadingClient
from mtl.reports import EpochRow, EvalReport
from mtl.storage import atomic
from mtl.storage.digest import file_sha256

if TYPE_CHECKING:
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.store.entities import PagedList

Found = TypeVar("Found")
FINGERPRINT = "mtl.fingerprint"
LINEAGE = "lineage"
"""Folder of a run's artifacts."""
LIVING = "active"
"""MLflow's stage of runs and experiments that are not deleted."""
REPAIR = "mtl registry repair says what was deleted or renamed, and mends what can be mended"
ATTEMPTS = 5
"""Of writing what others may be writing too."""

# Table creation and monitoring are not news.
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)


def refusals() -> tuple[type[MlflowException], ...]:
    """MLflow's errors, for `except`; none while nobody has imported it, which takes seconds."""
    module = sys.modules.get("mlflow.exceptions")
    return (module.MlflowException,) if module else ()


@contextlib.contextmanager
def explained(uri: str) -> Generator[None]:
    """Turn MLflow's errors into ours."""
    try:
        yield
    except refusals() as error:
        found = str(error).splitlines()[0][:1000]
        if gone(error):
            raise GoneError(
                f"MLflow at {uri} no longer has something that is needed", found=found[:300], fix=REPAIR
            ) from error
        if "must be in the 'active'" in found or "non-active" in found:
            raise GoneError(
                f"something that is needed is deleted in MLflow at {uri}", found=found[:300], fix=REPAIR
            ) from error
        denied = error.get_http_status_code() in (401, 403)
        names = "MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD and what this user may do there"
        raise RegistryError(
            f"MLflow at {uri} refused or is out of reach",
            found=_cause(found),
            fix=f"check {names if denied else 'MLFLOW_TRACKING_URI and that its server runs'}; then run again, nothing is lost",
        ) from error
    except _database_errors() as error:
        if uri.startswith("sqlite"):  # of a disk that is full, which others explain
            raise
        found = " ".join(str(error).split())
        denied = "password" in found or "authentication" in found
        fix = "user and password in MLFLOW_TRACKING_URI" if denied else "MLFLOW_TRACKING_URI and that the database runs"
        raise RegistryError(
            f"MLflow's database at {uri} refused or is out of reach", found=found[:300], fix=f"check {fix}"
        ) from error


def _database_errors() -> tuple[type[Exception], ...]:
    """SQLAlchemy's errors, of an address that names a database; none while nobody has imported it."""
    module = sys.modules.get("sqlalchemy.exc")
    return (module.DBAPIError,) if module else ()


def _cause(said: str) -> str:
    """Of a client's long line about a request that nobody answered, what the network said; other lines as they are, cut."""
    if "Max retries" not in said:
        return said[:300]
    if "ProxyError" in said:
        return "the proxy that the environment names (http_proxy, https_proxy) does not answer"
    network = re.search(r"Connection refused|Name or service not known|[Ff]ailed to resolve|timed out|SSLError", said)
    return f"nobody answers: {network[0]}" if network else said[:300]


def gone(error: MlflowException) -> bool:
    """Whether MLflow says that there is no such thing (any more)."""
    return error.error_code == "RESOURCE_DOES_NOT_EXIST"


def pages(ask: Callable[[str | None], PagedList[Found]]) -> Iterator[Found]:
    """All that a search finds, which MLflow gives page by page.

    Args:
        ask: for the page that a token names; the first one has none.
    """
    token: str | None = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def reading(uri: str) -> ReadingClient:
    """A client for who mostly reads."""
    return ReadingClient(uri, connect)


def connect(uri: str) -> mlflow.MlflowClient:
    """A client; the tables of an embedded database are made first, as a whole: MLflow's own way leaves some if it is killed,
    and two at once get in each other's way.
    """
    import mlflow
    from filelock import FileLock

    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.exists():
        from mlflow.store.db.utils import (
            _initialize_tables,  # pyright: ignore[reportPrivateUsage]
            create_sqlalchemy_engine,
        )

        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                with atomic.replacing(path) as scratch:
                    engine = create_sqlalchemy_engine(f"sqlite:///{scratch}")
                    _initialize_tables(engine)
                    engine.dispose()
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri, registry_uri=uri)  # whatever MLFLOW_REGISTRY_URI says


def refuse_deleted(uri: str, client: ReadingClient | mlflow.MlflowClient, name: str) -> None:
    """Refuse an experiment that was deleted and not removed for good: nothing can be written to it.

    Raises:
        GoneError: it is.
    """
    with explained(uri):
        found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage != LIVING:
        raise GoneError(
            f"the experiment {name} was deleted in MLflow",
            found=f"it is in the bin, until mlflow gc: experiment {found.experiment_id}",
            fix="mtl registry repair restores it; or name another one in registry.experiment",
        )


class Tracker:
    """The runs of one experiment."""

    def __init__(self, uri: str, experiment: str, artifacts: str | None = None) -> None:
        self.uri = uri
        with explained(uri):
            self.client = connect(uri)
            self.experiment = self._found_or_made(experiment, artifacts)

    def _found_or_made(self, name: str, artifacts: str | None) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return self.client.create_experiment(name, artifacts)
            except refusals():  # another machine has just made it, perhaps
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        refuse_deleted(self.uri, self.client, name)
        return found.experiment_id

    def open_run(self, fingerprint: str, name: str) -> str:
        """The run of this fingerprint: the unfinished one of an interrupted attempt, or a new one."""
        with explained(self.uri):
            runs = self.client.search_runs(
                [self.experiment], f"tags.`{FINGERPRINT}` = '{fingerprint}'", order_by=["attributes.start_time DESC"]
            )
            for run in runs:
                if run.info.status != "FINISHED":
                    self.client.update_run(run.info.run_id, status="RUNNING")
                    return run.info.run_id
            created = self.client.create_run(self.experiment, run_name=name, tags={FINGERPRINT: fingerprint})
            return created.info.run_id

    def log_params(self, run: str, params: dict[str, object]) -> None:
        """The whole of params.yaml, flattened to dotted keys. What the run has already stays: a run that goes on may have
        other settings where they make no difference to the version (its schedule).
        """
        from mlflow.entities import Param

        wanted = as_params(params)
        with explained(self.uri):
            for attempt in range(ATTEMPTS):
                known = self.client.get_run(run).data.params
                flat = [Param(key, value) for key, value in wanted.items() if key not in known]
                try:
                    for start in range(0, len(flat), 100):
                        self.client.log_batch(run, params=flat[start : start + 100])
                    return
                except refusals():
                    # Another flow with this fingerprint logs the same at the same time, perhaps: look what is still missing.
                    if attempt == ATTEMPTS - 1:
                        raise

    def log_epoch(self, run: str, row: EpochRow, timestamp: int) -> None:
        """An epoch's metrics at its optimizer step."""
        from mlflow.entities import Metric

        numbers = {k: float(v) for k, v in row.metrics.items()}
        with explained(self.uri):
            self.client.log_batch(run, metrics=[Metric(k, v, timestamp, row.step) for k, v in numbers.items()])

    def logged_steps(self, run: str) -> set[int]:
        """Optimizer steps whose epochs were logged."""
        with explained(self.uri):
            return {metric.step for metric in self.client.get_metric_history(run, "val/score")}

    def log_evaluation(self, run: str, report: EvalReport, timestamp: int) -> None:
        """Every metric of the test split, with its interval."""
        from mlflow.entities import Metric

        metrics: list[Metric] = []
        for task, result in report.tasks.items():
            for name, metric in result.metrics.items():
                bounds = {"": metric.value, "/low": metric.low, "/high": metric.high}
                metrics += [
                    Metric(f"test/{task}/{name}{suffix}", value, timestamp, 0)
                    for suffix, value in bounds.items()
                    if value is not None
                ]
        with explained(self.uri):
            self.client.log_batch(run, metrics=metrics)

    def log_lineage(self, run: str, tags: dict[str, str], files: list[Path], data_hash: str, data_name: str) -> None:
        """Commit, lock, reports and pictures, and the data set as an input of the run.

        Raises:
            RegistryError: MLflow refuses or is out of reach, or a file holds a secret.
        """
        import mlflow
        from mlflow.entities import RunTag

        refuse_secrets(files)
        with explained(self.uri):
            self.client.log_batch(run, tags=[RunTag(key, redact(value)) for key, value in tags.items()])
            for path in files:
                if path.is_dir():
                    self.client.log_artifacts(run, str(path), path.name)
                else:
                    self.client.log_artifact(run, str(path), LINEAGE)
            dataset = mlflow.data.meta_dataset.MetaDataset(  # pyright: ignore[reportPrivateImportUsage]
                mlflow.data.http_dataset_source.HTTPDatasetSource(f"dvc://{data_hash}"),  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
                name=data_name,
                digest=data_hash[:36],
            )
            mlflow.set_tracking_uri(self.uri)
            with mlflow.start_run(run_id=run, log_system_metrics=False):
                mlflow.log_input(dataset, context="training", tags={"dvc_md5": data_hash})

    def finish(self, run: str, status: str) -> None:
        """Mark a run FINISHED, FAILED or KILLED."""
        with explained(self.uri):
            self.client.set_terminated(run, status)


def artifact_digests(files: list[Path]) -> dict[str, str]:
    """The artifacts that `Tracker.log_lineage` makes of some files and folders: name → SHA-256."""
    found = {f"{LINEAGE}/{path.name}": path for path in files if not path.is_dir()}
    for folder in (path for path in files if path.is_dir()):
        found |= {path.relative_to(folder.parent).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: file_sha256(path) for name, path in sorted(found.items())}


def refuse_secrets(files: Iterable[Path]) -> None:
    """What a version keeps is kept as it is, or it could not be built again; so it must hold no secret.

    Raises:
        RegistryError: a file does.
    """
    for path in files:
        if path.is_file() and (what := secret_in_file(path.read_bytes())):
            raise RegistryError(
                f"{path.name} would be kept with the version, where others can read it",
                found=f"it holds {what}",
                fix="take it out, and put it into the environment",
            )
