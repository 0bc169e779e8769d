"""DVC as sites set it up: caches elsewhere, links, remotes of one's own; and what `mtl data gc` leaves of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from flows.checkout.dvc import output_hash
from flows.checkout.homes import note_home
from flows.checkout.workspace import workspace
from flows.registry.garbage import garbage
from flows.registry.needs import objects_of, project_of
from flows.settings import Settings
from mtl.data.shards.staging import shard_manifest
from mtl.errors import MtlError, StageError
from mtl.registry.registry import Registry
from mtl.registry.tracking import connect
from tests.conftest import dvc, embedded, mtl

GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com")


def cached(folder: Path) -> set[str]:
    """Every object in a cache or a remote."""
    return {"".join(path.parts[-2:]) for path in (folder / "files" / "md5").glob("*/*")}


def elsewhere(checkout: Path, cache: Path, *more: str) -> Path:
    """A site's cache in place of the checkout's own."""
    shutil.move(checkout / ".dvc" / "cache", cache)
    dvc(checkout, "cache", "dir", "--local", str(cache))
    if more:
        dvc(checkout, "config", "--local", *more)
    return cache


@pytest.mark.daily(situation="data gc while the list of a version's folder is nowhere")
def test_gc_does_not_guess_what_a_lost_list_named(here: Path, retrained: Path) -> None:
    md5 = output_hash(retrained, "prepare", "outputs/prepared")
    for place in (here / ".dvc" / "cache", here / ".mtl" / "dvc-remote"):
        (place / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    with pytest.raises(StageError, match="is not known"), garbage(embedded(here), "multitask", remote=True):
        pass


@pytest.mark.daily(situation="data gc of a home whose checkout other homes use too")
def test_gc_knows_versions_of_other_homes_and_of_other_models(here: Path, retrained: Path, tmp_path: Path) -> None:
    other = Settings(here, tmp_path / "other home", f"sqlite:///{tmp_path}/other home/mlflow.db", None)
    other.home.mkdir()
    connect(other.mlflow_uri)
    note_home(here, embedded(retrained).home)
    for settings, model in ((other, "multitask"), (embedded(here), "renamed")):
        with garbage(settings, model, remote=False) as found:
            assert any(name.endswith("multitask version 1") for name in found.needs), found.needs.keys()


@pytest.mark.daily(situation="data gc and images of an earlier version that dvc add tracked")
def test_images_of_an_earlier_version_are_needed_by_it(here: Path, retrained: Path, tmp_path: Path) -> None:
    (here / "data" / "photos").mkdir()
    (here / "data" / "photos" / "one.png").write_bytes(b"an image of an earlier version")
    dvc(here, "add", "-q", "data/photos")
    for words in (("add", "-f", "data/photos.dvc"), ("commit", "-qm", "photos")):
        subprocess.run([*GIT, *words], cwd=here, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, check=True, capture_output=True, text=True).stdout
    registry = Registry(embedded(retrained).mlflow_uri, "multitask", embedded(retrained).trust)
    known = registry.get(1)
    files = {name: digest for name, digest in known.files.items() if "dvc_files" not in name}
    old = replace(known, tags=known.tags | {"mtl.commit": commit.strip()}, files=files)
    (here / "data" / "photos.dvc").unlink()
    shutil.rmtree(here / "data" / "photos")
    with project_of(embedded(here), registry, old, tmp_path / "project") as project:
        needed = objects_of(project, old)
    photos = cached(here / ".dvc" / "cache") - cached(retrained / ".dvc" / "cache")
    assert len(photos) == 2
    assert photos <= needed


@pytest.mark.daily(situation="--set where .dvc/config.local names the team's remote, credentials and cache")
def test_a_copy_has_the_teams_remote_and_the_sites_cache(here: Path, retrained: Path, tmp_path: Path) -> None:
    cache = elsewhere(here, tmp_path / "cache", "cache.type", "symlink")
    dvc(here, "remote", "add", "--local", "--default", "team", "../team")
    dvc(here, "remote", "modify", "--local", "team", "shared", "group")
    with workspace(embedded(here), ["train.epochs=2"], "run") as folder:
        assert folder != here
        assert dvc(folder, "cache", "dir").strip() == str(cache)
        assert dvc(folder, "config", "cache.type").strip() == "symlink"
        assert (folder / ".dvc" / "config.local").stat().st_mode & 0o777 == 0o600
        shutil.copy(here / "dvc.lock", folder / "dvc.lock")
        dvc(folder, "push", "-q", "package")
    assert output_hash(retrained, "package", "outputs/package") in cached(tmp_path / "team")


@pytest.mark.daily(situation="a cache and a remote that the site's own settings of DVC name")
def test_nodes_get_a_remote_from_user_level_dvc_settings(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    shutil.move(here / ".dvc" / "cache", cache)
    (here / ".dvc" / "config").write_text("")
    site = tmp_path / "site"
    site.mkdir()
    text = f"[core]\n    remote = team\n[cache]\n    dir = {cache}\n['remote \"team\"']\n    url = s3://team/dvc\n"
    (site / "config").write_text(text)
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(site))
    found = shard_manifest(here, here / "outputs" / "prepared")
    assert found is not None
    assert found.url == "s3://team/dvc" and found.files


@pytest.mark.daily(situation="settings of DVC that cannot be read")
def test_broken_settings_of_dvc_are_named(here: Path, retrained: Path) -> None:
    (here / ".dvc" / "config.local").write_text("[cache\n")
    with pytest.raises(MtlError, match="DVC's settings"), workspace(embedded(here), [], "run"):
        pass


@pytest.mark.long
@pytest.mark.daily(situation="a shared cache with symlinks, the team's remote, a whole retraining with --set")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_a_site_with_links_and_a_remote_of_its_own(here: Path, tmp_path: Path, kind: str) -> None:
    cache = elsewhere(here, tmp_path / "cache", "cache.type", kind)
    dvc(here, "remote", "add", "--local", "--default", "team", str(tmp_path / "team"))
    shutil.rmtree(here / "outputs")
    dvc(here, "checkout", "-q")
    assert (here / "outputs" / "train" / "weights.safetensors").is_symlink() == (kind == "symlink")
    environment = {"MTL_HOME": str(tmp_path / "home")}
    before = {path: path.read_bytes() for path in (cache / "files").rglob("*") if path.is_file()}
    for words in (("--set", "train.epochs=2"), ()):
        done = mtl(here, "retrain", *words, **environment)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert all(path.read_bytes() == data for path, data in before.items()), "an object was written through a link"
    assert cached(tmp_path / "team")
    for path in (tmp_path / "cache").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(cache)
    again = mtl(here, "reproduce", "1", "--json", **environment)
    assert again.returncode == 0, again.stdout[-2000:] + again.stderr[-2000:]
    assert json.loads(again.stdout)["verdict"] == "identical"
