"""What a stack is made of: its folder, ports and secrets, chosen once; what clients are told."""

from __future__ import annotations

import json
import secrets
import shlex
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ruamel.yaml import YAML

from flows.stack.accounts import ACCOUNT
from mtl.errors import DataError
from mtl.storage.private import private_folder, write_private
from mtl.surroundings import short_scratch

PORTS = (
    "postgres",
    *(f"store_{part}{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", "_grpc")),
    "mlflow",
    "prefect",
    "ray",
)
SECRETS = ("postgres", "store", "mlflow", "mlflow_admin", "mlflow_cookie", "prefect", "ray")
BUCKET = "mtl"
PLAN, ENVIRONMENT, SECTION = "stack.json", "env", "cluster.yaml"


@dataclass(frozen=True)
class Plan:
    """One stack."""

    folder: str
    scratch: str
    """Ray's: the paths of its sockets may have 107 bytes at most."""
    ports: dict[str, int]
    secrets: dict[str, str]

    @property
    def path(self) -> Path:
        """Where its state is."""
        return Path(self.folder)

    def url(self, port: str) -> str:
        """A server's address."""
        return f"http://127.0.0.1:{self.ports[port]}"

    def database(self, name: str, driver: str) -> str:
        """A database's address, password and all."""
        return f"postgresql+{driver}://mtl:{self.secrets['postgres']}@127.0.0.1:{self.ports['postgres']}/{name}"

    def store_environment(self) -> dict[str, str]:
        """What reaches the object store."""
        return {
            "AWS_ACCESS_KEY_ID": "mtl",
            "AWS_SECRET_ACCESS_KEY": self.secrets["store"],
            "AWS_ENDPOINT_URL": self.url("store_s3"),
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def node_environment(self) -> dict[str, str]:
        """What a node of the Ray cluster has: no way into the records."""
        return {**self.store_environment(), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.secrets["ray"]}

    def environment(self) -> dict[str, str]:
        """What a client of the stack has in its environment."""
        return {
            **self.node_environment(),
            "MLFLOW_TRACKING_URI": self.url("mlflow"),
            "MLFLOW_TRACKING_USERNAME": ACCOUNT,
            "MLFLOW_TRACKING_PASSWORD": self.secrets["mlflow"],
            "PREFECT_API_URL": f"{self.url('prefect')}/api",
            "PREFECT_API_AUTH_STRING": f"mtl:{self.secrets['prefect']}",
        }


def read_plan(folder: Path) -> Plan | None:
    """The stack of a folder, if one was ever made."""
    path = folder / PLAN
    return Plan(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def make_plan(folder: Path) -> Plan:
    """The stack of a folder; at the first time its ports and secrets are chosen, and written for its user alone."""
    known = read_plan(folder)
    chosen = {name: secrets.token_urlsafe(24) for name in SECRETS}
    plan = known or Plan(
        str(folder),
        short_scratch(),
        dict(zip(PORTS, _free_ports(len(PORTS)), strict=True)),
        chosen,
    )
    if "mlflow_admin" not in plan.secrets:  # one of a time when the flows came as MLflow's admin
        was = plan.secrets
        plan = replace(plan, secrets={**chosen, **was, "mlflow_admin": was["mlflow"], "mlflow": chosen["mlflow"]})
    try:
        private_folder(Path(plan.scratch))  # a machine that was started again has an empty /tmp
    except DataError:  # and another user may have been there first
        plan = replace(plan, scratch=short_scratch())
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in plan.environment().items()]
    write_private(folder / ENVIRONMENT, "\n".join(lines) + "\n")
    write_private(folder / PLAN, json.dumps(asdict(plan), indent=1))
    section = {"cluster": {"address": plan.url("ray"), "storage": f"s3://{BUCKET}/trainings"}}
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    with (folder / SECTION).open("w", encoding="utf-8") as file:
        yaml.dump(section, file)
    return plan


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
