"""Whoever may write to MLflow, and has no key, changes a registered package: nothing of it runs, nor is believed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
import yaml

from flows.settings import Settings
from flows.versions.predict import bring
from mtl.errors import ConfigError, RegistryError
from mtl.package.mlflow_model import write_mlflow_model
from mtl.registry.contents import ADDED
from mtl.registry.registry import Registry
from mtl.registry.signing import SIGNATURE, own_keys, sign
from mtl.registry.tracking import FINGERPRINT, Tracker
from mtl.registry.trust import Trust
from mtl.registry.version import Version
from tests.conftest import ROOT, clean_environment

RUNS = "import pathlib; pathlib.Path({marker!r}).touch()\n"
"""Code of the attacker's; what it says is that it ran."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def registered(place: Path, bundle: Path) -> tuple[Registry, Version]:
    """A real registry, with a package that is signed."""
    report = write_mlflow_model(place / "made", bundle)
    uri = f"sqlite:///{place}/mlflow.db"
    run = Tracker(uri, "e", (place / "artifacts").as_uri()).open_run("f", "f")
    registry = Registry(uri, "m", Trust(own=place / "keys"))
    private, _ = own_keys(place / "keys")
    return registry, registry.register(run, place / "made", report, {FINGERPRINT: "f"}, {}, private)


@pytest.fixture
def stored(registered: tuple[Registry, Version], place: Path, tmp_path: Path) -> Iterator[Path]:
    """Where the registry keeps the package: whoever writes to it may write there. Afterwards all is as it was."""
    (folder,) = (place / "artifacts").rglob("model")
    shutil.copytree(folder, tmp_path / "kept")
    yield folder
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "kept", folder)


def add_a_module(package: Path, code: str) -> None:
    """As packages had it before: the project's own code, found first."""
    (package / "code" / "mtl" / "package").mkdir(parents=True)
    for name in ("__init__.py", "package/__init__.py", "package/pyfunc.py", "package/predictor.py"):
        (package / "code" / "mtl" / name).write_text(code)


def add_start_up_files(package: Path, code: str) -> None:
    (package / "evil.pth").write_text(code.replace("\n", ""))
    (package / "sitecustomize.py").write_text(code)
    (package / "usercustomize.py").write_text(code)
    (package / "artifacts" / "bundle" / "conftest.py").write_text(code)


def add_bytecode(package: Path, code: str) -> None:
    import py_compile

    for folder in (package, package / "artifacts" / "bundle"):
        (folder / "torch.py").write_text(code)
        py_compile.compile(str(folder / "torch.py"))
        py_compile.compile(str(folder / "torch.py"), cfile=str(folder / "mtl.pyc"))
        (folder / "torch.py").unlink()


def add_a_pickle(package: Path, code: str) -> None:
    import pickle

    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (code,)

    data = pickle.dumps(Runs())
    (package / "python_model.pkl").write_bytes(data)
    (package / "artifacts" / "bundle" / "weights.safetensors").write_bytes(data)


def change_classes(package: Path, code: str) -> None:
    path = package / "artifacts" / "bundle" / "bundle.json"
    document = json.loads(path.read_text())
    classes = document["targets"]["species"]["classes"]
    document["targets"]["species"]["classes"] = classes[::-1]
    path.write_text(json.dumps(document))


def change_weights(package: Path, code: str) -> None:
    path = package / "artifacts" / "bundle" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def ask_for_other_software(package: Path, code: str) -> None:
    (package / "requirements.txt").write_text("evil @ file:///tmp/evil\n")
    environment = yaml.safe_load((package / "python_env.yaml").read_text())
    (package / "python_env.yaml").write_text(yaml.safe_dump({**environment, "dependencies": ["evil"]}))
    (package / "conda.yaml").write_text(yaml.safe_dump({"dependencies": [{"pip": ["evil"]}]}))


def sign_it_oneself(package: Path, code: str) -> None:
    change_weights(package, code)
    (package / SIGNATURE).unlink()
    sign(package, own_keys(package.parent / "stranger")[0], package / SIGNATURE)
    shutil.rmtree(package.parent / "stranger")


def take_the_signature_away(package: Path, code: str) -> None:
    change_weights(package, code)
    (package / SIGNATURE).unlink()


def hide_in_what_mlflow_adds(package: Path, code: str) -> None:
    (package / ADDED).mkdir()
    (package / ADDED / "__init__.py").write_text(code)


def name_another_loader(package: Path, code: str) -> None:
    """What MLflow itself would import, so no loader can keep from running: only who verifies before is safe."""
    (package / "code").mkdir()
    (package / "code" / "loader_of_theirs.py").write_text(code)
    _change_mlmodel(package, loader_module="loader_of_theirs", code="code")


def bring_another_mtl(package: Path, code: str) -> None:
    add_a_module(package, code)
    _change_mlmodel(package, code="code")


def unpickle(package: Path, code: str) -> None:
    add_a_pickle(package, code)
    _change_mlmodel(package, loader_module="mlflow.pyfunc.model", python_model="python_model.pkl")


def _change_mlmodel(package: Path, **changes: str) -> None:
    document = yaml.safe_load((package / "MLmodel").read_text())
    document["flavors"]["python_function"] |= changes
    (package / "MLmodel").write_text(yaml.safe_dump(document))


Attack = Callable[[Path, str], None]
OF_FILES: dict[str, Attack] = {
    "a package with a module of the same name": add_a_module,
    "start-up files in a package": add_start_up_files,
    "bytecode in a package": add_bytecode,
    "a pickle in a package, and in the place of weights": add_a_pickle,
    "classes exchanged in a package's JSON": change_classes,
    "other weights in a package": change_weights,
    "other requirements in a package": ask_for_other_software,
    "a package signed with a stranger's key": sign_it_oneself,
    "a package without its signature": take_the_signature_away,
    "code in the file that MLflow adds": hide_in_what_mlflow_adds,
}
"""Resisted by `mlflow.pyfunc.load_model` too, where mtl is installed."""
OF_THE_LOADER: dict[str, Attack] = {
    "an MLmodel that names another loader": name_another_loader,
    "an MLmodel that brings another mtl": bring_another_mtl,
    "an MLmodel that asks for a pickle": unpickle,
}
"""MLflow alone cannot resist these: it imports what MLmodel names before anything of ours runs."""


def attacks(of: dict[str, Attack], where: str) -> list[object]:
    def mark(name: str) -> pytest.MarkDecorator:
        return pytest.mark.attack(boundary="registry writer", attack=f"{name}, {where}")

    return [pytest.param(attack, id=attack.__name__, marks=mark(name)) for name, attack in of.items()]


@pytest.mark.parametrize("attack", attacks(OF_FILES | OF_THE_LOADER, "by mtl"))
def test_mtl_refuses_before_anything_is_read(
    attack: Attack, stored: Path, registered: tuple[Registry, Version], place: Path, tmp_path: Path
) -> None:
    """`mtl predict`, `shadow`, `endpoint`, `package` and the gate go this way."""
    registry, version = registered
    attack(stored, RUNS.format(marker=str(tmp_path / "it-ran")))
    with pytest.raises(RegistryError, match=r"not what was registered"):
        registry.package(version, tmp_path / "out")
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("attack", attacks(OF_THE_LOADER, "by `mtl package` for MLflow"))
def test_the_copy_for_mlflow_is_a_verified_one(
    attack: Attack,
    stored: Path,
    registered: tuple[Registry, Version],
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry, _ = registered
    monkeypatch.setattr("flows.versions.predict.load_versions", lambda settings: (None, registry))
    settings = Settings(tmp_path, place, registry.uri, None)
    assert bring(settings, "1", tmp_path / "good") == 1
    mlflow.pyfunc.load_model(str(tmp_path / "good"))
    with pytest.raises(ConfigError, match="is there already"):
        bring(settings, "1", tmp_path / "good")
    attack(stored, RUNS.format(marker=str(tmp_path / "it-ran")))
    with pytest.raises(RegistryError, match="not what was registered"):
        bring(settings, "1", tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize("attack", attacks(OF_FILES, "by MLflow"))
def test_mlflow_refuses_where_the_loader_is_installed(
    attack: Attack, stored: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_SIGNING_PUBLIC_KEY", str(place / "keys" / "public.pem"))
    attack(stored, RUNS.format(marker=str(tmp_path / "it-ran")))
    with pytest.raises(RegistryError, match=r"signature is not by|not signed"):
        mlflow.pyfunc.load_model(str(stored))
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize("attack", attacks(dict(list(OF_FILES.items())[:4]), "by a new process"))
def test_nothing_of_it_runs_in_a_new_process(attack: Attack, stored: Path, place: Path, tmp_path: Path) -> None:
    """As users do: a fresh interpreter, the registry's address, the package's own folder as the present one."""
    attack(stored, RUNS.format(marker=str(tmp_path / "it-ran")))
    assert "RegistryError" in load(place, place / "keys" / "public.pem", stored).stderr
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.slow
def test_one_that_nobody_changed_is_loaded(stored: Path, place: Path) -> None:
    assert load(place, place / "keys" / "public.pem", place).returncode == 0
    unknown = load(place, None, place)
    assert unknown.returncode == 0
    assert "unverified" in unknown.stderr


def load(place: Path, key: Path | None, here: Path) -> subprocess.CompletedProcess[str]:
    script = "import mlflow; print(type(mlflow.pyfunc.load_model('models:/m/1')))"
    environment = clean_environment() | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db"}
    environment |= {"MTL_SIGNING_PUBLIC_KEY": str(key)} if key else {}
    command = [sys.executable, "-P", "-c", script]
    return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)


def test_without_a_known_key_weights_are_loaded_and_it_is_said(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MTL_SIGNING_PUBLIC_KEY", "MTL_SIGNING_KEY", "MTL_HOME"):
        monkeypatch.delenv(name, raising=False)
    add_start_up_files(stored, RUNS.format(marker=str(tmp_path / "it-ran")))
    with pytest.warns(UserWarning, match="unverified"):
        mlflow.pyfunc.load_model(str(stored))
    assert not (tmp_path / "it-ran").exists()


def test_what_mlflow_adds_is_no_change(
    stored: Path, place: Path, monkeypatch: pytest.MonkeyPatch, registered: tuple[Registry, Version], tmp_path: Path
) -> None:
    """Of a registry on this machine it adds a file in the registry itself: neither of the two ways may mind it."""
    registry, version = registered
    monkeypatch.setenv("MTL_SIGNING_PUBLIC_KEY", str(place / "keys" / "public.pem"))
    mlflow.set_tracking_uri(registry.uri)
    mlflow.pyfunc.load_model("models:/m/1")
    assert (stored / ADDED).is_file()
    registry.package(version, tmp_path / "out")
