"""MLflow's records behind a server."""

from __future__ import annotations

import os
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from mtl.registry.records.entities import ReadData, ReadExperiment, ReadInfo, ReadRun, ReadVersion
from mtl.registry.records.source import RUN_DATA, NotPlain, copied, pairs

if TYPE_CHECKING:
    import requests

API = "api/2.0/mlflow"
SECONDS = 10.0
"""For a server to answer; after that MLflow's own client asks, as often as it does."""
OTHER_WAYS = ("AWS_SIGV4", "AUTH", "CLIENT_CERT_PATH", "SERVER_CERT_PATH", "INSECURE_TLS")
"""Of MLFLOW_TRACKING_…: ways to reach a server that MLflow's client knows."""
Document = dict[str, Any]
"""What the server's API answers."""
Made = TypeVar("Made", ReadExperiment, ReadInfo, ReadVersion)


class Server:
    """An MLflow server, as its REST API is documented."""

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")

    def experiment(self, name: str) -> ReadExperiment | None:
        found = self._ask("experiments/get-by-name", experiment_name=name)
        return None if found is None else _made(ReadExperiment, found["experiment"])

    def run(self, run: str) -> ReadRun:
        found = self._there(self._ask("runs/get", run_id=run))["run"]
        data = {name: pairs(found.get("data", {}).get(name, [])) for name in RUN_DATA}
        return ReadRun(_made(ReadInfo, found["info"]), ReadData(**data))

    def version(self, model: str, number: str) -> ReadVersion:
        return _version(self._there(self._ask("model-versions/get", name=model, version=number)))

    def alias(self, model: str, alias: str) -> ReadVersion | None:
        found = self._ask("registered-models/alias", name=model, alias=alias)
        return None if found is None else _version(found)

    def artifact(self, uri: str, path: str, folder: Path) -> Path:
        """One file that the server hands on."""
        if not uri.startswith("mlflow-artifacts:/") or urlsplit(uri).netloc or not Path(path).suffix:
            return copied(uri, path, folder)
        place = f"api/2.0/mlflow-artifacts/artifacts{urlsplit(uri).path}/{path}"
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self._get(place, {}).content)
        return target

    def _ask(self, what: str, **values: str) -> Document | None:
        """A document; None if the server says that there is no such thing."""
        import requests

        answer = self._get(f"{API}/{what}", values, (200, 400, 404))
        try:
            found = answer.json()
        except requests.JSONDecodeError as error:
            raise NotPlain from error
        if not isinstance(found, dict):
            raise NotPlain
        if answer.status_code == 200:
            return found
        if found.get("error_code") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise NotPlain

    def _there(self, found: Document | None) -> Document:
        if found is None:
            raise NotPlain
        return found

    def _get(self, path: str, values: dict[str, str], statuses: tuple[int, ...] = (200,)) -> requests.Response:
        import requests

        user, password, token = (os.environ.get(f"MLFLOW_TRACKING_{key}") for key in ("USERNAME", "PASSWORD", "TOKEN"))
        headers = {"Authorization": f"Bearer {token}"} if token and not user else {}
        if not self._is_plain(user):
            raise NotPlain
        try:
            answer = requests.get(
                f"{self._uri}/{path}",
                params=values,
                headers=headers,
                auth=(user, password or "") if user else None,
                timeout=SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise NotPlain from error
        if answer.status_code not in statuses:
            raise NotPlain
        return answer

    def _is_plain(self, user: str | None) -> bool:
        """Whether nothing says how a server is to be asked but a user with a password, or a token."""
        others = [name for name in OTHER_WAYS if os.environ.get(f"MLFLOW_TRACKING_{name}")]
        kept = not user and Path("~/.mlflow/credentials").expanduser().exists()
        plugins = any(entry_points(group=f"mlflow.request_{kind}_provider") for kind in ("header", "auth"))
        workspace = os.environ.get("MLFLOW_WORKSPACE")
        return self._uri.startswith(("http://", "https://")) and not (others or kept or plugins or workspace)


def _version(found: Document) -> ReadVersion:
    version = found["model_version"]
    return _made(ReadVersion, {"run_id": "", "source": ""} | version)


def _made(kind: type[Made], found: Document) -> Made:
    """A record of a document, which has more than is asked of it.

    Raises:
        NotPlain: or less.
    """
    wanted = [one.name for one in fields(kind)]
    values: Document = {name: value for name, value in found.items() if name in wanted}
    if "tags" in wanted:
        values["tags"] = pairs(found.get("tags", []))
    try:
        return kind(**values)
    except TypeError as error:
        raise NotPlain from error
