"""Addresses of Prefect's and MLflow's pages, from the home page: those of servers that `mtl ui` has started log in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

MLFLOW, PREFECT = "MTL_MLFLOW_PAGE", "MTL_PREFECT_PAGE"
"""Addresses of the two, with which `mtl ui` starts this page."""
OWN = "http://127.0.0.1:"


@dataclass(frozen=True)
class Links:
    """Where the two are; None: one is not there.

    Attributes:
        login: of servers on this machine: `user:password`.
    """

    mlflow: str | None
    prefect: str | None
    login: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str], login: str) -> Links:
        """As `mtl ui` says it."""
        return cls(environment.get(MLFLOW), environment.get(PREFECT), login)

    def flow_run(self, identifier: str) -> str | None:
        """A run's page in Prefect."""
        return self._to(self.prefect, f"/runs/flow-run/{quote(identifier, safe='')}")

    def version(self, model: str, number: int) -> str | None:
        """A version's page in MLflow."""
        return self._to(self.mlflow, f"/#/models/{quote(model, safe='')}/versions/{number}")

    def start(self, server: str | None) -> str | None:
        """A server's first page."""
        return self._to(server, "/")

    def _to(self, server: str | None, path: str) -> str | None:
        if not server or not server.startswith(("http://", "https://")):
            return None
        if not server.startswith(OWN):
            return server.rstrip("/") + path
        return f"{server}/login?to={quote(path, safe='')}#{quote(self.login, safe=':')}"
