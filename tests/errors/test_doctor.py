"""`mtl doctor`: each check finds what is wrong, says how to mend it, and never says ok of what it could not look at."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.doctor import checkout, machine, services, versions
from flows.doctor.findings import Said, examine, summary
from flows.doctor.subject import NotKnownError, Subject
from flows.doctor.table import CHECKS
from flows.settings import Settings
from mtl.errors import MtlError
from tests.conftest import ROOT, free_port, mtl, set_params


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """Of a checkout in which nothing is wrong; this process's environment stays as it is."""
    for name in ("params.yaml", "dvc.yaml", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    home = tmp_path / ".mtl"
    home.mkdir()
    settings = Settings(tmp_path, home, f"sqlite:///{home}/mlflow.db", None)
    monkeypatch.setattr("flows.doctor.subject.enter_checkout", lambda root: settings)
    for name in ("MTL_SIGNING_KEY", "AWS_ENDPOINT_URL", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return Subject(tmp_path)


def changed(subject: Subject, *overrides: str) -> Subject:
    """With other params."""
    set_params(subject.root / "params.yaml", *overrides)
    return Subject(subject.root)


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    """It says what time it is, and its version."""
    said = SimpleNamespace(url="", seconds=0.0, version="0.0.1", status=200)

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(said.status)
            self.send_header("Date", formatdate(time.time() + said.seconds, usegmt=True))
            self.end_headers()
            self.wfile.write(json.dumps({"ray_version": said.version}).encode())

        def log_message(self, *words: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        said.url = f"http://127.0.0.1:{running.server_port}"
        yield said
        running.shutdown()


def test_a_check_that_cannot_be_done_is_not_known() -> None:
    def refuses(subject: Subject) -> Said:
        raise MtlError("it is broken", found="this", fix="mend it")

    def unforeseen(subject: Subject) -> Said:
        raise ZeroDivisionError

    def needs(subject: Subject) -> Said:
        raise NotKnownError("needs a checkout")

    def waits(subject: Subject) -> Said:
        time.sleep(5)
        return Said("ok", "late")

    subject = Subject(Path("/nonexistent"))
    named = {"refuses": refuses, "unforeseen": unforeseen, "needs": needs, "waits": waits}
    found = list(examine(subject, named, seconds=0.3))
    assert [one.state for one in found] == ["problem", "not known", "not known", "not known"]
    assert found[0].found == "it is broken: this" and found[0].fix == "mend it"
    assert "no answer in 0.3 s" in found[3].found
    assert summary(found) == "1 problem, 3 not known" and summary([]) == "all is well"


def test_outside_of_a_checkout_nothing_of_it_is_ok() -> None:
    found = {one.check: one.state for one in examine(Subject(Path("/nonexistent")), CHECKS)}
    assert found["checkout"] == "problem" and found["git"] == "problem"
    for name in (
        "packages",
        "pins",
        "params",
        "processors",
        "disk",
        "file system",
        "dvc remote",
        "mlflow",
        "ray",
        "keys",
    ):
        assert found[name] == "not known", name


def test_versions_beside_the_lock(subject: Subject) -> None:
    assert versions.python(subject).state == versions.packages(subject).state == versions.pins(subject).state == "ok"
    lock, project = subject.root / "requirements.lock", subject.root / "pyproject.toml"
    lock.write_text(lock.read_text() + "\nnowhere-to-be-found==1.0 \\\n")
    assert versions.packages(subject).state == "problem"
    lock.write_text('filelock==0.1 \\\nnumpy==0.1 ; python_version < "3"\n')
    assert versions.packages(subject).found.startswith("1 of 1 are others: filelock")
    project.write_text(
        project.read_text().replace("sqlalchemy>=2.0,<2.1", "sqlalchemy<2.0").replace(">=3.11", ">=3.99")
    )
    assert "sqlalchemy" in versions.pins(subject).found and versions.pins(subject).state == "problem"
    assert versions.python(subject).state == "problem"
    lock.unlink()
    with pytest.raises(NotKnownError):
        versions.packages(subject)


def test_machine(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.processors(changed(subject, "train.num_workers=1")).state == "ok"
    many = machine.processors(changed(subject, "train.num_workers=4096", "train.batch_size=4096"))
    assert many.state == "warning" and "4096 workers" in many.found
    assert machine.processors(changed(subject, "cluster.address=head:6379")).state == "ok"
    monkeypatch.setattr(machine, "AVAILABLE_BYTES", 2**62)
    monkeypatch.setattr(machine, "SHARED_BYTES", 2**62)
    monkeypatch.setattr(machine, "OPEN_FILES", 2**40)
    for check in (machine.memory, machine.shared_memory, machine.open_files):
        assert check(subject).state == "warning" and check(subject).fix


@pytest.mark.parametrize(
    ("cards", "driver", "torch", "state", "said"),
    [
        (0, "no library", None, "ok", "processors"),
        (2, "no library", None, "problem", "no driver that answers"),
        (1, ("550", ["H100"]), ("2.13.0", None, 0, False), "problem", "for processors alone"),
        (1, ("390", ["H100"]), ("2.13.0", "13.0", 0, False), "problem", "sees 0"),
        (1, ("550", ["H100"]), ("2.13.0", "13.0", 1, True), "warning", "2 workers would run on processors"),
        (2, ("550", ["H100"] * 2), ("2.13.0", "13.0", 2, True), "ok", "2 (H100)"),
        (4, ("550", ["H100"] * 4), ("2.13.0", "13.0", 4, True), "warning", "2 of them idle"),
    ],
)
def test_gpu(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, cards: int, driver: object, torch: object, state: str, said: str
) -> None:
    for name, answer in (("_nvidia_cards", cards), ("_driver", driver), ("_torch", torch)):
        monkeypatch.setattr(machine, name, lambda answer=answer: answer)
    found = machine.gpu(subject)
    assert found.state == state and said in found.found
    assert bool(found.fix) == (state != "ok")


def test_clock(subject: Subject, server: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.clock(subject).state == "not known"
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    assert machine.clock(subject).state == "ok"
    server.seconds, server.status = 600.0, 403
    assert machine.clock(subject).state == "problem" and "behind" in machine.clock(subject).found


def test_git_and_disks(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MtlError, match="no git checkout"):
        checkout.repository(subject)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MtlError, match="git is not installed"):
        checkout.repository(subject)
    assert checkout.identity(subject).state == "warning"
    assert checkout.room(subject).state == checkout.file_system(subject).state == checkout.params(subject).state == "ok"
    assert "the DVC cache" in checkout.room(subject).found
    monkeypatch.setattr(checkout, "_executes", lambda: False)
    assert "noexec" in checkout.file_system(subject).found
    monkeypatch.setattr(checkout, "_locks", lambda path: False)
    assert checkout.file_system(subject).state == "problem"
    monkeypatch.setattr("flows.checks.FREE_BYTES", 2**62)
    with pytest.raises(MtlError, match="nearly full"):
        checkout.room(subject)


def test_services(subject: Subject, server: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "-q"], cwd=subject.root, check=True)
    for check in (services.proxies, services.remote, services.mlflow, services.prefect, services.ray, services.storage,
                  services.keys):  # fmt: skip
        assert check(subject).state == "ok", check(subject)
    assert not list(subject.settings.home.rglob("*.pem")) and not (subject.settings.home / "mlflow.db").exists()
    monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{free_port()}")
    told = services.proxies(subject)
    assert told.state == "problem" and "secret" not in told.found
    monkeypatch.setattr(services, "PORTS", {"a page": (int(server.url.rpartition(":")[2]), "mtl ui --mlflow-port")})
    assert services.ports(subject).state == "warning"
    with pytest.raises(MtlError, match="no Ray cluster answers"):
        services.ray(changed(subject, f"cluster.address=127.0.0.1:{free_port()}"))
    jobs = changed(subject, f"cluster.address={server.url}", "cluster.storage=s3://b/c")
    assert services.ray(jobs).state == "warning" and "ray 0.0.1" in services.ray(jobs).found
    server.status = 401
    with pytest.raises(NotKnownError, match="401"):
        services.ray(jobs)
    monkeypatch.setenv("MTL_SIGNING_KEY", "/nowhere/key.pem")
    with pytest.raises(MtlError):
        services.keys(subject)


@pytest.mark.slow
def test_the_command_says_so_by_its_exit_code(subject: Subject) -> None:
    shutil.rmtree(subject.root / ".dvc")
    done = mtl(subject.root, "doctor", "--json", PYTHONPATH=str(ROOT))
    assert done.returncode == 1, done.stderr
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert list(found) == list(CHECKS)
    assert found["dvc remote"]["state"] == "problem" and found["params"]["state"] == "ok"
    lines = mtl(subject.root, "doctor", PYTHONPATH=str(ROOT))
    assert "PROBLEM    dvc remote" in lines.stdout and lines.stdout.rstrip().endswith("known")
