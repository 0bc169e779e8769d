"""MLflow's client, which does not import MLflow to read: that takes two seconds of CPU, more than all the rest of `mtl status`.

What a registry is asked most is read where it lies: in the database of an embedded one, and behind a server's documented REST
API. Whatever is not plain here (another schema, store or way to log in, an error, an absent thing) and all that writes is
MLflow's own client's: what is found, and what is said of an error, is MLflow's in any case.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.registry.records.database import Database
from mtl.registry.records.entities import Experiment, ModelVersion, Run
from mtl.registry.records.server import Server
from mtl.registry.records.source import NotPlain, Source
from mtl.storage.names import checked_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException


class ReadingClient:
    """`mlflow.MlflowClient`, and light for: get_experiment_by_name, get_run, get_model_version, find_alias, download_artifacts.

    Args:
        full: makes MLflow's own client.
    """

    def __init__(self, uri: str, full: Callable[[str], MlflowClient]) -> None:
        self._uri, self._make = uri, full
        self._source: Source = Database(uri) if uri.startswith("sqlite:///") else Server(uri)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pickle asks for some of an object that has nothing yet
            raise AttributeError(name)
        return getattr(self._full, name)

    @cached_property
    def _full(self) -> MlflowClient:
        return self._make(self._uri)

    def get_experiment_by_name(self, name: str) -> Experiment | None:
        """An experiment, a deleted one too; None if there is none."""
        with suppress(NotPlain):
            return self._source.experiment(name)
        return self._full.get_experiment_by_name(name)

    def get_run(self, run: str) -> Run:
        """A run without its metrics."""
        with suppress(NotPlain):
            return self._source.run(run)
        return self._full.get_run(run)

    def get_model_version(self, model: str, number: str) -> ModelVersion:
        """A version.

        Raises:
            MlflowException: there is none.
        """
        with suppress(NotPlain):
            return self._source.version(model, number)
        return self._full.get_model_version(model, number)

    def find_alias(self, model: str, alias: str) -> ModelVersion | None:
        """The version that an alias names; None if there is none."""
        with suppress(NotPlain):
            return self._source.alias(model, alias)
        from mlflow.exceptions import MlflowException

        try:
            return self._full.get_model_version_by_alias(model, alias)
        except MlflowException as error:
            absent = error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
            if absent or self.hides(model, error):
                return None
            raise

    def hides(self, model: str, error: MlflowException) -> bool:
        """Whether a server refuses because there is no such model: one with accounts says 403 of what is not there to anybody
        but its admin, as of what is another's; who may use a model finds it.
        """
        return error.get_http_status_code() == 403 and not self.search_registered_models(f"name = '{model}'")

    def download_artifacts(self, run_id: str, path: str, dst_path: str | None = None) -> str:
        """Copy a file or a folder of a run's artifacts into a folder that is there; where it is then."""
        with suppress(NotPlain):
            if dst_path is None:
                raise NotPlain
            uri = self._source.run(run_id).info.artifact_uri
            return str(self._source.artifact(uri, checked_name(path, uri), Path(dst_path)))
        return self._full.download_artifacts(run_id, path, dst_path)
