"""Settings are read; what a process needs is made, and its environment changed, only where that is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.settings import Settings
from tests.conftest import ROOT, clean_environment


def test_reading_what_a_home_has_makes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    settings = Settings(tmp_path, home, f"sqlite:///{home}/mlflow.db", None)
    for name in (name for name, value in vars(Settings).items() if isinstance(value, property)):
        getattr(settings, name)
    assert list(home.iterdir()) == []


def test_a_home_s_key_and_password_are_made_when_they_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MTL_SIGNING_KEY", raising=False)
    settings = Settings(tmp_path, tmp_path, f"sqlite:///{tmp_path}/mlflow.db", None)
    assert settings.ensure_signing_key() == tmp_path / "keys" / "private.pem"
    assert settings.ensure_login() == settings.ensure_login()
    assert {path.name for path in tmp_path.iterdir()} >= {"keys", "password"}


@pytest.mark.parametrize(("call", "changes"), [("load_settings", False), ("enter_checkout", True)])
def test_only_entering_a_checkout_changes_the_environment(tmp_path: Path, call: str, changes: bool) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    code = f"import os; before = dict(os.environ); from flows.settings import {call}; {call}(); print(before != os.environ)"
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{changes}\n"
    assert (tmp_path / ".mtl").exists() == changes
