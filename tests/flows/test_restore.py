"""The registry's back-up: restored, it is what it was; damaged, it touches nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mtl.storage.store import Store
from tests.conftest import mtl


@pytest.fixture(scope="module")
def saved(retrained: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with two back-ups of a registry with a champion."""
    target = str(tmp_path_factory.mktemp("backups"))
    first = json.loads(mtl(retrained, "backup", target, "--json").stdout)
    assert first["copied"] > 10
    # A file of this one is missing: its writer was killed before the list was written.
    Store(target).put("2999-01-01T00-00-00Z/database", b"half")
    return target


def restored(checkout: Path, saved: str, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    key = {"MTL_SIGNING_PUBLIC_KEY": str(checkout / ".mtl" / "keys" / "public.pem")}
    return mtl(checkout, "restore", saved, *words, MTL_HOME=str(home), **key)


def there(checkout: Path, home: Path) -> dict[str, str]:
    """Another home, where the keys that signed are known."""
    return {"MTL_HOME": str(home), "MTL_SIGNING_PUBLIC_KEY": str(checkout / ".mtl" / "keys" / "public.pem")}


def state(checkout: Path, **environment: str) -> dict[str, Any]:
    return json.loads(mtl(checkout, "status", "--json", **environment).stdout)


def test_another_machine_gets_the_same_registry(retrained: Path, saved: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = restored(retrained, saved, home)
    assert done.returncode == 0, done.stderr
    was, now = state(retrained), state(retrained, **there(retrained, home))
    assert now["champion"] == was["champion"]
    history = [
        mtl(retrained, "history", "--json", **environment).stdout for environment in ({}, there(retrained, home))
    ]
    assert json.loads(history[0]) == json.loads(history[1])
    artifacts = [
        sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
        for root in (retrained / ".mtl" / "mlartifacts", home / "mlartifacts")
    ]
    assert artifacts[0] == artifacts[1]
    refused = restored(retrained, saved, home)
    assert refused.returncode == 2
    assert "--replace" in refused.stderr
    assert restored(retrained, saved, home, "--replace").returncode == 0


def test_what_was_copied_is_not_copied_again(retrained: Path, saved: str, tmp_path: Path) -> None:
    again = json.loads(mtl(retrained, "backup", saved, "--json").stdout)
    assert again["copied"] == 0
    assert "there is no back-up 1999" in restored(retrained, saved, tmp_path / "h", "--name", "1999").stderr


def test_a_damaged_one_touches_nothing(retrained: Path, saved: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(saved, copy)
    damaged = sorted((copy / "files").iterdir())[3]
    damaged.write_bytes(b"?")
    done = restored(retrained, str(copy), tmp_path / "home")
    assert done.returncode == 2
    assert "damaged" in done.stderr
    assert not (tmp_path / "home" / "mlflow.db").exists()
    assert not (tmp_path / "home" / "mlartifacts").exists()


def test_a_server_is_not_its_database(retrained: Path, tmp_path: Path) -> None:
    done = mtl(retrained, "backup", str(tmp_path), MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 2
    assert "MLFLOW_BACKEND_STORE_URI" in done.stderr
