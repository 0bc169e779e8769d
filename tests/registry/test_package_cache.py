"""Packages that were fetched before: taken from here, verified all the same, fetched again when they are damaged."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mtl.errors import RegistryError
from mtl.registry.package_cache import MAX_PACKAGES, PackageCache
from mtl.registry.registry import Registry
from mtl.registry.signing import package_sha256
from mtl.registry.trust import Trust
from mtl.registry.version import Version


def test_a_package_is_fetched_once_and_verified_always(tmp_path: Path, package: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", "model", Trust())
    run = registry.client.create_run(registry.client.create_experiment("one", (tmp_path / "artifacts").as_uri()))
    registry.client.log_artifacts(run.info.run_id, str(package), "model")
    version = Version(1, run.info.run_id, {"mtl.package_sha256": package_sha256(package)}, doubt=None)
    (stored,) = (tmp_path / "artifacts").rglob("model/weights")
    cache = PackageCache(tmp_path / "packages")

    def fetched(name: str) -> bytes:
        return (registry.package(version, tmp_path / name, cache) / "weights").read_bytes()

    assert fetched("first") == bytes(1000)
    stored.rename(tmp_path / "aside")
    assert fetched("second") == bytes(1000)  # the registry's copy was not asked for
    (kept,) = (tmp_path / "packages").rglob("weights")
    kept.write_bytes(b"damaged")
    with pytest.raises(RegistryError):
        fetched("third")
    (tmp_path / "aside").rename(stored)
    assert fetched("fourth") == bytes(1000)
    assert fetched("fifth") == bytes(1000)


def test_the_packages_used_last_are_kept(tmp_path: Path, package: Path) -> None:
    cache = PackageCache(tmp_path / "packages")
    digests = [f"{number:064x}" for number in range(MAX_PACKAGES + 1)]
    for number, digest in enumerate(digests[:MAX_PACKAGES]):
        cache.add(digest, package)
        os.utime(cache.folder / digest, (number, number))
    assert cache.bring(digests[0], tmp_path / "used")
    cache.add(digests[MAX_PACKAGES], package)
    assert sorted(path.name for path in cache.folder.iterdir()) == [digests[0], *digests[2:]]
    assert not cache.bring(digests[1], tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_one_that_goes_while_room_is_made_costs_nothing(tmp_path: Path, package: Path) -> None:
    cache = PackageCache(tmp_path / "packages")
    cache.folder.mkdir()
    (cache.folder / ("f" * 64)).symlink_to("gone")  # listed, and not there when it is looked at
    cache.add("0" * 64, package)
    assert cache.bring("0" * 64, tmp_path / "used")


def test_concurrent_writers_of_one_package_do_not_collide(tmp_path: Path, package: Path) -> None:
    cache = PackageCache(tmp_path / "packages")
    cache.add("one", package)
    cache.add("one", package)
    shutil.rmtree(package)
    cache.add("missing", package)  # cannot be copied: the caller has its package anyway
    assert [path.name for path in cache.folder.iterdir()] == ["one"]
