"""mtl data gc in a checkout in which nobody has done anything else: DVC counts what is left, object by object."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.checkout.dvc import output_hash
from flows.registry.garbage import garbage
from mtl.errors import StageError
from tests.conftest import dvc, embedded, make_checkout, mtl
from tests.daily.test_dvc import cached, elsewhere

GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com")


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Path:
    """A checkout of these tests' own after its first run."""
    checkout = make_checkout(tmp_path_factory.mktemp("garbage"), downloads)
    done = mtl(checkout, "retrain")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return checkout


@pytest.mark.slow
@pytest.mark.daily(situation="data gc with a site's shared cache")
def test_gc_keeps_files_of_versions_in_a_shared_cache(here: Path, retrained: Path, tmp_path: Path) -> None:
    """And asks for leave before it removes what is in it."""
    cache = elsewhere(here, tmp_path / "site's cache")
    (here / "dvc.lock").unlink()
    shutil.rmtree(here / "outputs")
    (here / "old.bin").write_bytes(b"nobody needs this")
    dvc(here, "add", "-q", "old.bin")
    for name in ("old.bin", "old.bin.dvc"):
        (here / name).unlink()
    before = cached(cache)
    denied = mtl(here, "data", "gc", "--yes")
    assert denied.returncode == 2
    assert "version 1 needs" in denied.stdout and f"what other checkouts keep in {cache}" in denied.stderr
    assert cached(cache) == before
    with garbage(embedded(here), "multitask", remote=False) as found:
        assert next(iter(found.goes.values()))[0] == 1
        assert found.remove() == "removed; 1 of 1 versions are whole, as before"
    assert len(cached(cache)) == len(before) - 1
    assert output_hash(retrained, "prepare", "outputs/prepared") in cached(cache)


@pytest.mark.slow
@pytest.mark.daily(situation="data gc --remote from a fresh clone with an empty cache")
def test_gc_from_a_fresh_clone_leaves_the_remote_whole(here: Path, retrained: Path) -> None:
    shutil.rmtree(here / ".dvc" / "cache")
    (here / "dvc.lock").unlink()
    remote = here / ".mtl" / "dvc-remote"
    before = cached(remote)
    with garbage(embedded(here), "multitask", remote=True) as found:
        assert found.remove().startswith("removed; 1 of 1")
    assert cached(remote) == before


@pytest.mark.slow
@pytest.mark.daily(situation="data gc beside another project's models on the same MLflow server")
def test_gc_goes_on_despite_a_version_with_data_elsewhere(here: Path, retrained: Path, tmp_path: Path) -> None:
    """Renamed, the only model is another project's."""
    shutil.rmtree(here / ".dvc" / "cache")
    shutil.rmtree(here / ".mtl" / "dvc-remote")
    (here / "dvc.lock").unlink()
    with garbage(embedded(here), "ours", remote=False) as found:
        assert found.needs == {} and found.unknown == []
    with pytest.raises(StageError, match="is not known"), garbage(embedded(here), "multitask", remote=False):
        pass
