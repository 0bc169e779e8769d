"""A registered version where it is used: by MLflow itself, after a move, in a copy, on another machine, with other keys."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from flows.backup import back_up, restore
from flows.relocation import refuse_moved, relocate
from flows.settings import Settings
from flows.versions import registry_of
from mtl.chain import CHANGE
from mtl.config import RegistryError
from mtl.package.mlflow_model import write_mlflow_model
from mtl.reports import Decision, PackageReport
from mtl.tracking import FINGERPRINT, Tracker
from mtl.version import Version
from tests.conftest import ROOT, clean_environment


@pytest.fixture(scope="module")
def model(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PackageReport]:
    """A package as the last stage makes it."""
    folder = tmp_path_factory.mktemp("made") / "model"
    return folder, write_mlflow_model(folder, bundle)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MTL_SIGNING_KEY", "MTL_SIGNING_PUBLIC_KEY", "MTL_UNVERIFIED", "MTL_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def home_of(checkout: Path) -> Settings:
    return Settings(checkout, checkout / ".mtl", f"sqlite:///{checkout}/.mtl/mlflow.db", None)


def register(settings: Settings, model: tuple[Path, PackageReport], digest: str = "f" * 64) -> Version:
    """A version as the flow registers it, made champion."""
    shutil.copyfile(ROOT / "params.yaml", settings.root / "params.yaml")
    registry = registry_of(settings, "m")
    tracker = Tracker(settings.mlflow_uri, "e", settings.artifacts)
    run = tracker.open_run(digest, "a")
    version = registry.register(run, model[0], model[1], {FINGERPRINT: digest}, {}, settings.signing_key)
    tracker.finish(run, "FINISHED")
    champion = registry.promotions.champion()
    registry.decide(version, Decision(promote=True, champion=champion, summary="good", rules=()))
    return version


@pytest.fixture
def registered(
    model: tuple[Path, PackageReport], database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A checkout with an embedded registry, whose model has a champion."""
    monkeypatch.chdir(tmp_path)
    settings = home_of(tmp_path / "grüner Ordner" / "project")
    settings.home.mkdir(parents=True)
    shutil.copyfile(database, settings.home / "mlflow.db")
    register(settings, model)
    return settings


def loaded(settings: Settings, scratch: Path) -> int:
    """The champion's number, once its package was brought and verified."""
    registry = registry_of(settings, "m")
    champion = registry.champion()
    assert champion is not None
    shutil.rmtree(scratch, ignore_errors=True)
    registry.package(champion, scratch)
    return champion.number


def addresses(settings: Settings) -> list[str]:
    """All that MLflow's database says of places."""
    with sqlite3.connect(settings.mlflow_uri.removeprefix("sqlite:///")) as link:
        queries = (
            *("select artifact_location from experiments", "select artifact_uri from runs"),
            *("select source from model_versions", "select storage_location from model_versions"),
        )
        return [str(row[0]) for query in queries for row in link.execute(query)]


def daily(situation: str) -> pytest.MarkDecorator:
    return pytest.mark.daily(situation=situation)


@daily("a checkout that was moved or renamed")
def test_a_moved_checkout_is_said_at_once_and_mended(
    registered: Settings, model: tuple[Path, PackageReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered.root.rename(tmp_path / "renamed")
    moved = home_of(tmp_path / "renamed")
    with pytest.raises(RegistryError, match="addresses are of another place") as caught:
        loaded(moved, tmp_path / "out")
    assert "mtl relocate" in caught.value.fix
    assert str(registered.home / "mlartifacts") in caught.value.found
    assert not registered.root.exists()  # nothing was written where it was
    assert relocate(moved).versions == (1, 1)
    assert loaded(moved, tmp_path / "out") == 1
    before = addresses(moved)
    assert relocate(moved).addresses == 0
    assert addresses(moved) == before
    assert not any("gr%C3%BCner" in address or "grüner" in address for address in before)
    mlflow.set_tracking_uri(moved.mlflow_uri)
    monkeypatch.setenv("MTL_SIGNING_PUBLIC_KEY", str(moved.home / "keys" / "public.pem"))
    mlflow.pyfunc.load_model("models:/m@champion")
    assert register(moved, model, "e" * 64).number == 2
    assert loaded(moved, tmp_path / "out") == 2
    assert not registered.root.exists()


@daily("a checkout that was copied beside its original")
def test_a_copy_never_writes_to_its_original(registered: Settings, tmp_path: Path) -> None:
    shutil.copytree(registered.root, tmp_path / "copy")
    copy = home_of(tmp_path / "copy")
    with pytest.raises(RegistryError, match="is a copy"):
        registry_of(copy, "m")
    refuse_moved(registered)
    relocate(copy)
    assert loaded(copy, tmp_path / "out") == 1
    shutil.rmtree(registered.root)
    assert loaded(copy, tmp_path / "out") == 1


@daily("a checkout that was moved into a folder of its own")
def test_a_home_below_its_former_place(registered: Settings, tmp_path: Path) -> None:
    registered.root.rename(tmp_path / "aside")
    inner = registered.root / "project"
    inner.parent.mkdir(parents=True)
    (tmp_path / "aside").rename(inner)
    relocate(home_of(inner))
    assert loaded(home_of(inner), tmp_path / "out") == 1
    assert relocate(home_of(inner)).addresses == 0


@daily("a registry that is used from another home")
def test_a_registry_of_another_home_is_left_alone(registered: Settings, tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    clone = Settings(tmp_path / "clone", tmp_path / "clone" / ".mtl", registered.mlflow_uri, None)
    before = addresses(registered)
    refuse_moved(clone)
    assert relocate(clone).addresses == 0
    assert addresses(registered) == before


@daily("a move that was interrupted while it was mended")
def test_a_killed_relocation_is_done_again(registered: Settings, tmp_path: Path) -> None:
    registered.root.rename(tmp_path / "renamed")
    moved = home_of(tmp_path / "renamed")
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nimport flows.artifact_addresses as a\nfrom flows.settings import Settings\n"
        "import flows.relocation as r\na._whole = lambda *words: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"root = Path({str(moved.root)!r}); r.relocate(Settings(root, root / '.mtl', {moved.mlflow_uri!r}, None))\n"
    )
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(RegistryError, match="addresses are of another place"):
        registry_of(moved, "m")
    relocate(moved)
    assert loaded(moved, tmp_path / "out") == 1


@daily("a history that was cut off while a checkout moved")
def test_what_was_seen_of_a_history_moves_too(registered: Settings, tmp_path: Path) -> None:
    loaded(registered, tmp_path / "out")
    registered.root.rename(tmp_path / "renamed")
    moved = home_of(tmp_path / "renamed")
    with sqlite3.connect(moved.home / "mlflow.db") as link:
        assert link.execute("delete from params where key like ?", (f"{CHANGE}/%",)).rowcount
    relocate(moved)
    with pytest.raises(RegistryError):
        registry_of(moved, "m").promotions.champion()


@daily("a back-up that is restored in another folder")
def test_a_back_up_comes_back_elsewhere(registered: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    back_up(registered, str(tmp_path / "backups"), lines.append)
    keys = shutil.copytree(registered.home / "keys", tmp_path / "keys")
    shutil.rmtree(registered.root)  # the machine is gone
    monkeypatch.setenv("MTL_SIGNING_KEY", str(keys / "private.pem"))
    (tmp_path / "other").mkdir()
    elsewhere = home_of(tmp_path / "other")
    restore(elsewhere, str(tmp_path / "backups"), None, lines.append, replace=False)
    assert "1 versions" in lines[-2]
    assert str(registered.home) in lines[-1]
    assert loaded(elsewhere, tmp_path / "out") == 1
    mlflow.set_tracking_uri(elsewhere.mlflow_uri)
    monkeypatch.setenv("MTL_SIGNING_PUBLIC_KEY", str(keys / "public.pem"))
    mlflow.pyfunc.load_model("models:/m@champion")
    assert not any(str(registered.root) in address for address in addresses(elsewhere))


@daily("a back-up that lost a version's package")
def test_what_a_back_up_lacks_is_said(registered: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    (folder,) = (registered.home / "mlartifacts").rglob("model")
    shutil.rmtree(folder)
    back_up(registered, str(tmp_path / "backups"), lines.append)
    monkeypatch.setenv("MTL_SIGNING_KEY", str(registered.home / "keys" / "private.pem"))
    (tmp_path / "other").mkdir()
    restore(home_of(tmp_path / "other"), str(tmp_path / "backups"), None, lines.append, replace=False)
    assert "1 of 1 versions have no package there" in lines[-1]
