"""Runs as the Prefect server has them: the last ones, and those that it has planned."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mtl.errors import MtlError

SECONDS = 3.0
SHOWN = 10
FLOWS = ("retrain", "monitor")


class FlowRun(BaseModel):
    """One run."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str
    state_type: str | None = None
    state_name: str | None = None
    start_time: str | None = None
    expected_start_time: str | None = None
    total_run_time: float | None = None
    parameters: dict[str, Any] = {}


@dataclass(frozen=True)
class FlowRuns:
    """Those that have begun, the last first; those that are planned, the next first."""

    begun: list[FlowRun]
    planned: list[FlowRun]


def flow_runs(api: str | None, tag: str = "") -> FlowRuns:
    """Ask a server.

    Args:
        api: its address; None: there is none.
        tag: of the project whose runs are meant; all, if it is not known.

    Raises:
        MtlError: it does not answer, or refuses.
    """
    if not api:
        raise MtlError("no Prefect server is named", fix="set PREFECT_API_URL, or start mtl ui")
    planned = {"state": {"type": {"any_": ["SCHEDULED"]}}}
    begun = {"start_time": {"is_null_": False}}
    try:
        with httpx.Client(base_url=f"{api.rstrip('/')}/", headers=_login(), timeout=SECONDS) as client:
            return FlowRuns(
                _ask(client, begun, "START_TIME_DESC", tag), _ask(client, planned, "EXPECTED_START_TIME_ASC", tag)
            )
    except (httpx.HTTPError, ValidationError) as error:
        raise MtlError("the Prefect server does not say", found=type(error).__name__, fix="see that it runs") from error


def _ask(client: httpx.Client, wanted: dict[str, Any], sort: str, tag: str) -> list[FlowRun]:
    runs = wanted | ({"tags": {"all_": [tag]}} if tag else {})
    body = {"sort": sort, "limit": SHOWN, "flow_runs": runs, "flows": {"name": {"any_": list(FLOWS)}}}
    answer = client.post("flow_runs/filter", json=body)
    answer.raise_for_status()
    return TypeAdapter(list[FlowRun]).validate_json(answer.content)


def _login() -> dict[str, str]:
    """As Prefect's own client takes it from the environment."""
    import base64

    if login := os.environ.get("PREFECT_API_AUTH_STRING"):
        return {"authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    if key := os.environ.get("PREFECT_API_KEY"):
        return {"authorization": f"Bearer {key}"}
    return {}
