"""What others could slip in: packages and actions that are not pinned, words that a shell reads, names in a shared folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.stack.plan import make_plan
from mtl.cluster import submit as submission
from mtl.cluster.protocol import Job
from mtl.config.params import Config
from mtl.storage.seal import Seal
from mtl.storage.store import Store
from tests.conftest import ROOT
from tools.sbom import document


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.attack(boundary="neighbour", attack="another package or action under a known name")
def test_what_sets_up_builds_and_tests_is_pinned() -> None:
    workflows = sorted((ROOT / ".github" / "workflows").iterdir())
    used = [one for path in workflows for one in re.findall(r"uses: (\S+)", path.read_text())]
    assert len(used) > len(workflows)
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", one) for one in used)
    installs = [
        line
        for path in (
            ROOT / "Makefile",
            ROOT / "infra" / "docker" / "Dockerfile",
            ROOT / "flows" / "registry" / "restore.py",
        )
        for line in path.read_text().splitlines()
        if re.search(r"pip install|\"pip\", \"install\"", line)
    ]
    assert len(installs) == 9
    for line in installs:
        assert "--require-hashes" in line or ("--no-deps" in line and "--no-build-isolation" in line), line
    for lock in (
        "requirements.lock",
        "requirements-dev.lock",
        "infra/build.lock",
        "infra/checks.lock",
        "infra/audit.lock",
    ):
        blocks = re.split(r"^(?=\S+==)", (ROOT / lock).read_text(), flags=re.M)[1:]
        assert all("--hash=sha256:" in block for block in blocks), lock
    (backend,) = re.findall(r'requires = \["hatchling==(\S+)"\]', (ROOT / "pyproject.toml").read_text())
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)", (ROOT / "infra" / "docker" / "Dockerfile").read_text(), re.M)
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert f"hatchling=={backend} " in (ROOT / "infra" / "build.lock").read_text()


@pytest.mark.attack(boundary="bucket writer", attack="words for a cluster's shell in the address of a store")
def test_the_clusters_shell_reads_one_word(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[str] = []
    client = SimpleNamespace(
        list_jobs=list,
        submit_job=lambda entrypoint, **more: began.append(entrypoint),
        get_job_status=lambda identifier: SimpleNamespace(value="SUCCEEDED"),
        get_job_logs=lambda identifier: "",
    )
    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", lambda address: client)
    store = Store(f"{tmp_path}/a; touch {tmp_path}/made #$(id)")
    work: Any = submission.Work("x", "os", Job(config={}), store, Seal(), "key")
    submission.submit(config, work, lambda: False, 0.0)
    words = shlex.split(began[0])
    assert words == ["python", "-P", "-m", "os", store.url]
    subprocess.run(["sh", "-c", began[0].replace("python", sys.executable, 1)], check=True)
    assert not (tmp_path / "made").exists()


@pytest.mark.attack(boundary="local user", attack="a known name in the temporary directory")
def test_no_name_in_the_temporary_directory_is_known_before() -> None:
    files = [ROOT / "Makefile", ROOT / ".ci" / "run", *(path for path in tracked() if path.suffix == ".py")]
    shipped = [path for path in files if path.parent != ROOT / "tests" and "tests" not in path.parts]
    assert [str(path) for path in shipped if re.search(r"/tmp/\w", path.read_text())] == []


@pytest.mark.attack(boundary="local user", attack="a stack's scratch folder that another user made after a restart")
def test_a_stack_takes_no_foreign_scratch_folder(tmp_path: Path) -> None:
    first = make_plan(tmp_path / "stack")
    try:
        assert make_plan(tmp_path / "stack").scratch == first.scratch
        os.chmod(first.scratch, 0o777)  # noqa: PTH101
        second = make_plan(tmp_path / "stack")
        assert second.scratch != first.scratch
        Path(second.scratch).rmdir()
        Path(second.scratch).symlink_to(first.scratch)
        third = make_plan(tmp_path / "stack")
        assert third.scratch not in (first.scratch, second.scratch)
        Path(second.scratch).unlink()
        Path(third.scratch).rmdir()
    finally:
        Path(first.scratch).rmdir()


def test_sbom_names_every_package_with_its_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    found = document(lock)
    parts = {part["name"]: part for part in found["components"]}
    assert len(found["components"]) == len(re.findall(r"^[\w.-]+==", lock, re.M)) > 100
    assert parts["prefect"]["purl"] == "pkg:pypi/prefect@3.8.8"
    assert all(part["hashes"] for part in parts.values())
    assert sum(len(part["hashes"]) for part in found["components"]) == lock.count("--hash=sha256:")
    json.dumps(found)
