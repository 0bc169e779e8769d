"""A registered version where it is used: by MLflow itself, after a move, in a copy, on another machine, with other keys."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import pytest

from flows.registry.artifact_addresses import plain
from flows.registry.keys import collect as keys
from flows.registry.keys import declare, refuse_strange_key
from flows.registry.keys import show as show_keys
from flows.registry.load import registry_of
from flows.registry.mending import mend
from flows.registry.relocation import refuse_moved, relocate
from flows.settings import Settings
from flows.versions.backup import back_up, restore
from flows.versions.champion import promote, roll_back
from mtl.data.raw.rows import read_split
from mtl.data.spec import DatasetSpec
from mtl.errors import RegistryError
from mtl.package.mlflow_model import write_mlflow_model
from mtl.registry.chain import CHANGE
from mtl.registry.contents import ADDED
from mtl.registry.package_cache import PackageCache
from mtl.registry.promotion import CHAMPION
from mtl.registry.tracking import FINGERPRINT, Tracker, artifact_digests
from mtl.registry.version import Version
from mtl.reports import Decision, PackageReport
from mtl.serving.following import Followed
from tests.conftest import ROOT, clean_environment, dvc, free_port, heard, image_of, set_params
from tests.daily import situation


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
    version = registry.register(run, model[0], model[1], {FINGERPRINT: digest}, {}, settings.ensure_signing_key())
    tracker.finish(run, "FINISHED")
    champion = registry.promotions.champion()
    registry.apply_decision(version, Decision(promote=True, champion=champion, summary="good", rules=()))
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


@situation("a checkout that was moved or renamed")
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


@situation("a checkout that was copied beside its original")
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


@situation("a checkout that was moved into a folder of its own")
def test_a_home_below_its_former_place(registered: Settings, tmp_path: Path) -> None:
    registered.root.rename(tmp_path / "aside")
    inner = registered.root / "project"
    inner.parent.mkdir(parents=True)
    (tmp_path / "aside").rename(inner)
    relocate(home_of(inner))
    assert loaded(home_of(inner), tmp_path / "out") == 1
    assert relocate(home_of(inner)).addresses == 0


@situation("a registry that is used from another home")
def test_a_registry_of_another_home_is_left_alone(registered: Settings, tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    clone = Settings(tmp_path / "clone", tmp_path / "clone" / ".mtl", registered.mlflow_uri, None)
    before = addresses(registered)
    refuse_moved(clone)
    assert relocate(clone).addresses == 0
    assert addresses(registered) == before


@situation("a move that was interrupted while it was mended")
def test_a_killed_relocation_is_done_again(registered: Settings, tmp_path: Path) -> None:
    registered.root.rename(tmp_path / "renamed")
    moved = home_of(tmp_path / "renamed")
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nimport flows.registry.artifact_addresses as a\nfrom flows.settings import Settings\n"
        "import flows.registry.relocation as r\na._whole = lambda *words: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"root = Path({str(moved.root)!r}); r.relocate(Settings(root, root / '.mtl', {moved.mlflow_uri!r}, None))\n"
    )
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(RegistryError, match="addresses are of another place"):
        registry_of(moved, "m")
    relocate(moved)
    assert loaded(moved, tmp_path / "out") == 1


@situation("a history that was cut off while a checkout moved")
def test_what_was_seen_of_a_history_moves_too(registered: Settings, tmp_path: Path) -> None:
    loaded(registered, tmp_path / "out")
    registered.root.rename(tmp_path / "renamed")
    moved = home_of(tmp_path / "renamed")
    with sqlite3.connect(moved.home / "mlflow.db") as link:
        assert link.execute("delete from params where key like ?", (f"{CHANGE}/%",)).rowcount
    relocate(moved)
    with pytest.raises(RegistryError):
        registry_of(moved, "m").promotions.champion()


@situation("a back-up that is restored in another folder")
def test_a_back_up_comes_back_elsewhere(registered: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    back_up(registered, str(tmp_path / "backups"))
    keys = shutil.copytree(registered.home / "keys", tmp_path / "keys")
    shutil.rmtree(registered.root)  # the machine is gone
    monkeypatch.setenv("MTL_SIGNING_KEY", str(keys / "private.pem"))
    (tmp_path / "other").mkdir()
    elsewhere = home_of(tmp_path / "other")
    with heard() as lines:
        restore(elsewhere, str(tmp_path / "backups"), None, replace=False)
    assert "1 versions" in lines[-2]
    assert str(registered.home) in lines[-1]
    assert loaded(elsewhere, tmp_path / "out") == 1
    mlflow.set_tracking_uri(elsewhere.mlflow_uri)
    monkeypatch.setenv("MTL_SIGNING_PUBLIC_KEY", str(keys / "public.pem"))
    mlflow.pyfunc.load_model("models:/m@champion")
    assert not any(str(registered.root) in address for address in addresses(elsewhere))


@pytest.mark.slow
@situation("a restoration that was interrupted")
def test_a_killed_restoration_is_done_again(
    registered: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(registered, str(tmp_path / "backups"))
    monkeypatch.setenv("MTL_SIGNING_KEY", str(registered.home / "keys" / "private.pem"))
    (tmp_path / "other").mkdir()
    elsewhere = home_of(tmp_path / "other")
    script = (
        "import os, signal\nfrom pathlib import Path\nimport flows.versions.backup as b\nfrom flows.settings import Settings\n"
        "b.Store.put = lambda *words: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"root = Path({str(elsewhere.root)!r}); s = Settings(root, root / '.mtl', {elsewhere.mlflow_uri!r}, None)\n"
        f"b.restore(s, {str(tmp_path / 'backups')!r}, None, replace=False)\n"
    )
    environment = clean_environment() | {"PYTHONPATH": str(ROOT), "MTL_SIGNING_KEY": os.environ["MTL_SIGNING_KEY"]}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (elsewhere.home / "mlflow.db").exists()
    restore(elsewhere, str(tmp_path / "backups"), None, replace=False)
    assert loaded(elsewhere, tmp_path / "out") == 1


@situation("a run whose address somebody has changed")
def test_an_address_that_a_writer_made_up_moves_nothing_else(registered: Settings, tmp_path: Path) -> None:
    """It says that artifacts were in the home itself, in which they are: those of others stay where they are."""
    before = addresses(registered)
    run = stored(registered).parents[1].name
    with sqlite3.connect(registered.home / "mlflow.db") as link:
        made_up = (f"{registered.home}/{run}/artifacts", run)
        link.execute("update runs set artifact_uri = ? where run_uuid = ?", made_up)
    with pytest.raises(RegistryError, match="addresses are of another place"):
        registry_of(registered, "m")
    relocate(registered)
    assert sorted(plain(address) for address in addresses(registered)) == sorted(plain(one) for one in before)
    assert loaded(registered, tmp_path / "out") == 1


@situation("a back-up that lost a version's package")
def test_what_a_back_up_lacks_is_said(registered: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder,) = (registered.home / "mlartifacts").rglob("model")
    shutil.rmtree(folder)
    back_up(registered, str(tmp_path / "backups"))
    monkeypatch.setenv("MTL_SIGNING_KEY", str(registered.home / "keys" / "private.pem"))
    (tmp_path / "other").mkdir()
    with heard() as lines:
        restore(home_of(tmp_path / "other"), str(tmp_path / "backups"), None, replace=False)
    assert "1 of 1 versions have no package here" in lines[-1]


def stored(settings: Settings) -> Path:
    """Where an embedded registry keeps the champion's package."""
    (folder,) = (settings.home / "mlartifacts").rglob("model")
    return folder


def python(script: str, settings: Settings) -> subprocess.CompletedProcess[str]:
    """A user's own program beside the checkout."""
    environment = clean_environment() | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": settings.mlflow_uri}
    environment["MTL_SIGNING_PUBLIC_KEY"] = str(settings.home / "keys" / "public.pem")
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=settings.root, capture_output=True, text=True, check=False
    )


CLIENTS = {
    "mlflow.pyfunc.load_model": "import mlflow; mlflow.pyfunc.load_model('models:/m@champion')",
    "mlflow.pyfunc.load_model of a version": "import mlflow; mlflow.pyfunc.load_model('models:/m/1')",
    "mlflow.artifacts.download_artifacts": "import mlflow; mlflow.artifacts.download_artifacts('models:/m@champion')",
    "mlflow.models.get_model_info": "import mlflow; mlflow.models.get_model_info('models:/m@champion')",
    "mlflow.pyfunc.get_model_dependencies": "import mlflow; mlflow.pyfunc.get_model_dependencies('models:/m@champion')",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIENTS)
@situation("MLflow's own functions on the champion of an embedded registry")
def test_a_version_verifies_before_and_after(registered: Settings, tmp_path: Path, name: str) -> None:
    done = python(CLIENTS[name], registered)
    assert done.returncode == 0, done.stderr[-2000:]
    assert loaded(registered, tmp_path / "out") == 1
    assert {path.name for path in (tmp_path / "out" / "model").iterdir()} == {
        path.name for path in stored(registered).iterdir()
    } - {ADDED}


@situation("mlflow.pyfunc.load_model of the champion, as the tutorial has it")
def test_what_mlflow_writes_into_a_package_is_known_by_name(
    registered: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.artifact.models_artifact_repo import REGISTERED_MODEL_META_FILE_NAME

    assert ADDED == REGISTERED_MODEL_META_FILE_NAME
    mlflow.set_tracking_uri(registered.mlflow_uri)
    monkeypatch.setenv("MTL_SIGNING_PUBLIC_KEY", str(registered.home / "keys" / "public.pem"))
    for _ in range(2):
        mlflow.pyfunc.load_model("models:/m@champion")
        assert (stored(registered) / ADDED).is_file()
        assert loaded(registered, tmp_path / "out") == 1


@pytest.mark.slow
@situation("mlflow models serve of the champion")
def test_served_by_mlflow(registered: Settings, tmp_path: Path) -> None:
    port = free_port()
    words = ("serve", "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "-m", "models:/m@champion")
    environment = clean_environment() | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": registered.mlflow_uri}
    environment["MTL_SIGNING_PUBLIC_KEY"] = str(registered.home / "keys" / "public.pem")
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", *words], env=environment, cwd=tmp_path, start_new_session=True
    )
    try:
        for _ in range(360):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                break
            time.sleep(0.5)
            assert server.poll() is None
        else:
            pytest.fail("it does not answer")
        assert (stored(registered) / ADDED).is_file()
        assert loaded(registered, tmp_path / "out") == 1
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


@situation("a file of somebody else's beside a registered package")
def test_foreign_files_and_damage_are_told_apart_by_name(registered: Settings, tmp_path: Path) -> None:
    (stored(registered) / "notes of mine.txt").write_text("mine")
    with pytest.raises(RegistryError, match="not what was registered") as caught:
        loaded(registered, tmp_path / "out")
    assert caught.value.found == "added: notes of mine.txt"
    assert "move away" in caught.value.fix
    (stored(registered) / "notes of mine.txt").unlink()
    (stored(registered) / "requirements.txt").write_text("other\n")
    (stored(registered) / "artifacts" / "bundle" / "bundle.json").unlink()
    with pytest.raises(RegistryError) as caught:
        loaded(registered, tmp_path / "out")
    assert caught.value.found == "changed: requirements.txt; missing: artifacts/bundle/bundle.json"


def register_with_dvc(settings: Settings, model: tuple[Path, PackageReport]) -> None:
    """A version whose package DVC has, as after `mtl retrain`."""
    outputs = settings.root / "outputs" / "package"
    shutil.copytree(model[0], outputs / "model")
    (outputs / "report.json").write_text("{}")
    (settings.root / "dvc.yaml").write_text(
        "stages:\n  package:\n    cmd: 'true'\n    outs: [outputs/package: {persist: true}]\n"
    )
    dvc(settings.root, "init", "--no-scm", "-q")
    dvc(settings.root, "remote", "add", "-d", "-q", "local", str(settings.home / "remote"))
    dvc(settings.root, "repro", "-q")
    dvc(settings.root, "push", "-q")
    shutil.rmtree(outputs)
    shutil.copyfile(ROOT / "params.yaml", settings.root / "params.yaml")
    set_params(settings.root / "params.yaml", "registry.model=m", "registry.experiment=e")
    files = [settings.root / name for name in ("dvc.lock", "dvc.yaml", "params.yaml")]
    tracker = Tracker(settings.mlflow_uri, "e", settings.artifacts)
    run = tracker.open_run("f" * 64, "a")
    tracker.log_lineage(run, {}, files, "d" * 32, "raw")
    tags = {FINGERPRINT: "f" * 64}
    registry_of(settings, "m").register(run, *model, tags, artifact_digests(files), settings.ensure_signing_key())


@pytest.mark.slow
@situation("a registered package that a disk or a person has damaged")
def test_a_damaged_package_is_brought_back(model: tuple[Path, PackageReport], database: Path, tmp_path: Path) -> None:
    settings = home_of(tmp_path / "project")
    settings.home.mkdir(parents=True)
    shutil.copyfile(database, settings.home / "mlflow.db")
    register_with_dvc(settings, model)
    assert "is what was registered" in mend(settings, 1)

    def damage() -> None:
        (stored(settings) / "MLmodel").write_text("?")
        (stored(settings) / "model.sig").write_text("?")
        (stored(settings) / "artifacts" / "bundle" / "weights.safetensors").unlink()

    damage()
    assert "from the DVC cache or remote" in mend(settings, 1)
    assert "is what was registered" in mend(settings, 1)
    (stored(settings) / "model.sig").write_text("?")
    assert "model.sig was none of it" in mend(settings, 1)
    assert python("import mlflow; mlflow.pyfunc.load_model('models:/m/1')", settings).returncode == 0
    damage()
    shutil.rmtree(settings.root / ".dvc" / "cache")  # another machine: the remote has it
    assert "from the DVC cache or remote" in mend(settings, 1)
    registry = registry_of(settings, "m")
    registry.package(registry.get(1), tmp_path / "used", PackageCache(settings.home / "packages"))
    damage()
    for place in (settings.root / ".dvc" / "cache", settings.home / "remote"):
        shutil.rmtree(place)
    assert "from a copy in MTL_HOME/packages" in mend(settings, 1)
    shutil.rmtree(settings.home / "packages")
    damage()
    with pytest.raises(RegistryError, match="no copy of version 1's package") as caught:
        mend(settings, 1)
    assert "mtl restore" in caught.value.fix


ANSWER = """
import base64, json, sys, mlflow, mtl, pandas as pd
assert mtl.__file__.startswith(sys.argv[3]), mtl.__file__
images = [base64.b64decode(text) for text in json.load(open(sys.argv[2]))]
frame = mlflow.pyfunc.load_model(sys.argv[1]).predict(pd.DataFrame({"image": images}))
print("ANSWER" + frame.to_json(orient="records", double_precision=15))
"""


DIRECT = """
import base64, json, sys, mtl, pandas as pd
from pathlib import Path
from mtl.package.predictor import Predictor
assert mtl.__file__.startswith(sys.argv[3]), mtl.__file__
images = [base64.b64decode(text) for text in json.load(open(sys.argv[2]))]
frame = pd.DataFrame(Predictor(Path(sys.argv[1])).predict(images))
print("ANSWER" + frame.to_json(orient="records", double_precision=15))
"""


@pytest.mark.slow
@situation("a package in a fresh environment, made of its own requirements.txt")
def test_a_package_loads_from_its_own_requirements(
    registered: Settings, bundle: Path, raw: Path, spec: DatasetSpec, tmp_path: Path
) -> None:
    """As docs/how-to/registry.md says: `pip install -r`, and the loader's wheel beside it."""
    package = tmp_path / "package"
    registry_of(registered, "m").package(registry_of(registered, "m").get(1), package)
    fresh = tmp_path / "fresh" / "bin" / "python"

    def run(*command: str, code: str = "") -> str:
        environment = clean_environment() | {"PYTHONPATH": code}
        environment["MTL_SIGNING_PUBLIC_KEY"] = str(registered.home / "keys" / "public.pem")
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "fresh"))
    run(*uv, "pip", "install", "-q", "--python", str(fresh), "-r", str(package / "model" / "requirements.txt"))
    run(*uv, "build", "-q", "--wheel", "--out-dir", str(tmp_path / "wheel"), str(ROOT))
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    run(*uv, "pip", "install", "-q", "--python", str(fresh), "--no-deps", str(wheel))
    images = [image_of(sample) for sample, _ in zip(read_split(raw, "test", spec), range(3), strict=False)]
    (tmp_path / "images.json").write_text(json.dumps([base64.b64encode(image).decode() for image in images]))

    def answer(python: Path | str, script: str, model: Path, code: Path) -> Any:
        said = run(str(python), "-c", script, str(model), str(tmp_path / "images.json"), str(code), code=str(code))
        return json.loads(said.rpartition("ANSWER")[2])

    # Both in processes of their own: how many threads a tester has changes last digits.
    found = answer(fresh, ANSWER, package / "model", tmp_path / "fresh")
    assert found == answer(sys.executable, DIRECT, bundle, ROOT)


def colleague(registered: Settings, root: Path) -> Settings:
    """A fresh clone with a home of its own, which knows the registry's address."""
    root.mkdir()
    shutil.copyfile(registered.root / "params.yaml", root / "params.yaml")
    set_params(root / "params.yaml", "registry.model=m", "registry.experiment=e")
    return Settings(root, root / ".mtl", registered.mlflow_uri, None)


@situation("a colleague, a job or a new machine without the registry's key")
def test_a_home_that_the_registry_does_not_know_signs_nothing(
    registered: Settings, model: tuple[Path, PackageReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = colleague(registered, tmp_path / "colleague")
    registry = registry_of(other, "m")
    with pytest.raises(RegistryError, match="unverified") as caught:
        promote(other, 1, override=True, why="x")
    assert "MTL_SIGNING_PUBLIC_KEY" in caught.value.fix
    monkeypatch.setenv(
        "MTL_SIGNING_PUBLIC_KEY", str(registered.home / "keys" / "public.pem")
    )  # who may look may not sign
    for attempt in (lambda: refuse_strange_key(other, registry), lambda: roll_back(other, None, "x")):
        with pytest.raises(RegistryError, match="a key of its own, which nobody knows") as caught:
            attempt()
        assert "MTL_SIGNING_KEY" in caught.value.fix
        assert "there is no key yet" in caught.value.found
    assert not (other.home / "keys").exists()
    refuse_strange_key(registered, registry_of(registered, "m"))
    key = (registered.home / "keys" / "private.pem").read_text()
    monkeypatch.delenv("MTL_SIGNING_PUBLIC_KEY")
    for given in (str(registered.home / "keys" / "private.pem"), key):  # a file, or the secret's text
        monkeypatch.setenv("MTL_SIGNING_KEY", given)
        refuse_strange_key(other, registry_of(other, "m"))
        assert loaded(other, tmp_path / "out") == 1
    assert register(other, model, "e" * 64).number == 2
    assert not (other.home / "keys").exists()
    monkeypatch.delenv("MTL_SIGNING_KEY")
    assert loaded(registered, tmp_path / "out") == 2  # the first believes what the second made


@situation("trusted keys that a project declares")
def test_a_clone_trusts_the_keys_that_are_committed(
    registered: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_params(registered.root / "params.yaml", "registry.model=m", "registry.experiment=e")
    other = colleague(registered, tmp_path / "colleague")
    with pytest.raises(RegistryError, match="unverified"):
        loaded(other, tmp_path / "out")
    name = declare(registered)
    (other.root / name).parent.mkdir()
    shutil.copyfile(registered.root / name, other.root / name)
    assert loaded(other, tmp_path / "out") == 1
    # So does an endpoint there, which looks again at every promotion.
    assert Followed(other.mlflow_uri, "m", CHAMPION, other.home, other.root).version()[1].number == 1
    found = keys(other)
    assert found.signs is None
    assert found.trusted == tuple(found.versions) == (keys(registered).signs,)
    assert "(trusted)" in show_keys(found)
    monkeypatch.setenv("MTL_SIGNING_KEY", "-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----")
    with pytest.raises(RegistryError, match="nothing can be signed with the text that a variable has") as caught:
        keys(other)
    assert "none" not in caught.value.found
    ignored = subprocess.run(["git", "check-ignore", "-q", "trusted_keys/a.pem"], cwd=ROOT, check=False)
    assert ignored.returncode == 1
