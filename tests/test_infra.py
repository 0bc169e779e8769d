"""infra/: read by the tools that would run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

COMPOSE = ROOT / "infra" / "compose" / "compose.yaml"
SECRETS = {"POSTGRES_PASSWORD": "p", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "s"}


def compose(*words: str, file: Path = COMPOSE, **environment: str) -> subprocess.CompletedProcess[str]:
    binary = Path(sys.executable).parent / "docker-compose"
    command = [str(binary), "--file", str(file), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_compose_reads_the_stack() -> None:
    done = compose("config", "--format", "json", **SECRETS)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) == {"postgres", "s3", "mlflow", "prefect", "worker", "ray-head", "ray-worker"}
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", f"{name} listens beyond this machine"


def test_compose_refuses_a_missing_secret_and_a_misspelt_key(tmp_path: Path) -> None:
    done = compose("config", "-q", **(SECRETS | {"POSTGRES_PASSWORD": ""}))
    assert done.returncode != 0
    assert "set it in .env" in done.stderr
    broken = tmp_path / "compose.yaml"
    broken.write_text(COMPOSE.read_text().replace("restart:", "restrat:", 1))
    assert compose("config", "-q", file=broken, **SECRETS).returncode != 0


@pytest.mark.parametrize("name", ["compose.yaml"])
def test_no_secret_is_written_down(name: str) -> None:
    text = (COMPOSE.parent / name).read_text()
    assert "change-me" not in text
    assert "${POSTGRES_PASSWORD" in text


def test_the_lock_has_hashes_and_no_addresses() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert "--index-url" not in text
    for line in text.splitlines():
        if line and line[0].isalpha():
            assert "==" in line, line
            assert line.endswith("\\"), line
