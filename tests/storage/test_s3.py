"""Images in a bucket, and the DVC remote in one: a real S3 API, of a server that this test starts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3fs

from mtl.config import read_params
from mtl.config.cluster import ClusterConfig
from mtl.config.files import FilesSource
from mtl.config.order import WindowOrder
from mtl.data.loading.loader import Split
from mtl.data.raw.listings import sync_listings
from mtl.data.raw.rows import RawSample, read_split
from mtl.data.shards.node import published, shards_of_node
from mtl.data.shards.staging import ensure_local, shard_manifest
from mtl.data.spec import DatasetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from tests.conftest import dvc, mtl
from tests.data.test_formats import TASKS, WRITERS, configured, fetched, image_folder
from tests.end_to_end.test_end_to_end import status
from tests.servers import object_store, running, s3_environment


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that reaches an object store of our own with two buckets."""
    with running(object_store(tmp_path_factory.mktemp("weed"))) as server, pytest.MonkeyPatch.context() as patch:
        environment = s3_environment(server.address)
        for key, value in environment.items():
            patch.setenv(key, value)
        yield environment


@pytest.fixture(scope="module")
def bucket(s3: dict[str, str], raw: Path, spec: DatasetSpec, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Real scenes in a bucket, a folder per class."""
    scenes: list[RawSample] = [s for s in read_split(raw, "train", spec) if "species" in s.targets]
    folder = tmp_path_factory.mktemp("upload") / "animals"
    image_folder(folder, scenes, spec)
    s3fs.S3FileSystem().put(str(folder), "photos/animals", recursive=True)
    return "s3://photos/animals"


def test_a_bucket_is_read_where_it_is(bucket: str, tmp_path: Path) -> None:
    settings = {"format": "image_folder", "path": bucket, "target": "species"}
    config = configured({"own": settings}, {"species": TASKS["species"]})
    found = fetched(config, tmp_path / "raw")
    assert found.roots == {"own": bucket}
    samples = list(read_split(tmp_path / "raw", "train", found))
    assert len(samples) > 30
    from mtl.data.prepare.prepare import prepare

    manifest = prepare(config.data, tmp_path / "raw", tmp_path / "prepared")
    assert not manifest.quarantined


def test_a_bucket_is_listed_in_ranges(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl.storage.walk.PART", 4)
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    found: Any = fs.find("photos/animals", detail=True)
    expected = {p.removeprefix("photos/animals/"): f"{i['size']}:{i['ETag']}" for p, i in found.items()}
    tree = FileTree(bucket)
    assert list(tree.versions.items()) == list(tree.walk()) == sorted(expected.items())
    known = sorted(expected)[::3]
    ranges = tree.ranges(known)
    assert len(ranges) > 5
    assert [file for files in ranges for file in files] == sorted(expected.items())
    source = FilesSource.model_validate({"type": "files", "sets": {"own": {"format": "image_folder", "path": bucket}}})
    assert sync_listings(source, tmp_path, tmp_path) == ["own"]
    listing = (tmp_path / "data/.remote/own.json").read_text()
    assert sync_listings(source, tmp_path, tmp_path) == []  # in ranges that the first listing says
    name = f"{bucket}/zebra/new.png"
    fs.pipe(name, b"1")
    assert sync_listings(source, tmp_path, tmp_path) == ["own"]
    fs.pipe(name, b"2")
    assert sync_listings(source, tmp_path, tmp_path) == ["own"]
    fs.rm(name)
    assert sync_listings(source, tmp_path, tmp_path) == ["own"]
    nothing = {"own": {"format": "image_folder", "path": f"{bucket}/nothing"}}
    with pytest.raises(DataError, match="holds no files"):
        sync_listings(FilesSource.model_validate({"type": "files", "sets": nothing}), tmp_path, tmp_path)
    assert (tmp_path / "data/.remote/own.json").read_text() == listing


@pytest.mark.parametrize("name", ["webdataset", "huggingface", "huggingface_parquet"])
def test_containers_in_a_bucket_are_read_in_parts(
    name: str, s3: dict[str, str], scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path
) -> None:
    from mtl.data.prepare.prepare import prepare

    settings = WRITERS[name](tmp_path, scenes, spec)
    here = configured({"own": settings | {"path": str(tmp_path)}}, {"species": TASKS["species"]})
    fetched(here, tmp_path / "work" / "raw-here")
    wanted = prepare(here.data, tmp_path / "work" / "raw-here", tmp_path / "work" / "here")
    shutil.rmtree(tmp_path / "work")
    s3fs.S3FileSystem().put(str(tmp_path), f"photos/{name}", recursive=True)
    there = configured({"own": settings | {"path": f"s3://photos/{name}"}}, {"species": TASKS["species"]})
    fetched(there, tmp_path / "raw")
    found = prepare(there.data, tmp_path / "raw", tmp_path / "prepared")
    assert [record.sha256 for record in found.shards] == [record.sha256 for record in wanted.shards]


def test_a_bucket_that_is_not_there_is_named(s3: dict[str, str], tmp_path: Path) -> None:
    settings = {"format": "image_folder", "path": "s3://nowhere/at-all", "target": "species"}
    with pytest.raises(DataError, match="nowhere/at-all"):
        fetched(configured({"own": settings}, {"species": TASKS["species"]}), tmp_path / "raw")


def test_shards_are_streamed_from_a_bucket(
    s3: dict[str, str], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_SHARDS", str(tmp_path / "node"))
    values = {"address": "local", "use_gpu": "never", "storage": "s3://store/runs", "shards": "stream"}
    cluster, order = ClusterConfig(**values), WindowOrder(type="window", shards=2)  # type: ignore[arg-type]
    address = published(cluster, order, prepared, None)
    found = shards_of_node(cluster, order, tmp_path / "unseen", None, address)
    local, streamed = Split(prepared, "train"), Split(found.folder, "train")
    assert (streamed.rows(np.arange(40))["image"] == local.rows(np.arange(40))["image"]).all()
    assert "from s3://store/runs/shards" in found.said
    file = local.manifest.of("val")[0].file
    s3fs.S3FileSystem(skip_instance_cache=True).pipe(f"store/runs/shards/{file}", b"something else")
    with pytest.raises(DataError, match="is not the one that was prepared"):
        Split(found.folder, "val").rows(np.arange(2))


@pytest.mark.slow
def test_from_bucket_to_champion_and_back(s3: dict[str, str], bucket: str, checkout: Path, tmp_path: Path) -> None:
    """init → retrain → push; a clone elsewhere pulls what was prepared; a new image in the bucket is noticed."""
    here = tmp_path / "here"
    shutil.copytree(checkout, here, ignore=shutil.ignore_patterns("outputs", ".mtl", "dvc.lock"))

    dvc(here, "remote", "add", "--force", "--default", "team", "s3://store/dvc", **s3)
    assert mtl(here, "data", "init", bucket, "--yes", **s3).returncode == 0
    values = read_params(here / "params.yaml")
    assert values["data"]["source"]["sets"]["images"]["path"] == bucket
    values["tasks"]["label"]["floor"] = 0.0
    values["train"]["epochs"] = 2  # fewer than are proposed, for time's sake
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    with (here / "params.yaml").open("w") as file:
        yaml.dump(values, file)
    done = mtl(here, "retrain", **s3)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    champion = status(here)["champion"]
    assert champion["version"] == 1
    assert "unchanged" in mtl(here, "retrain", **s3).stdout
    # Elsewhere: the lock file and the bucket are all that is needed.
    there = tmp_path / "there"
    shutil.copytree(here, there, ignore=shutil.ignore_patterns("outputs", ".mtl", "cache", "tmp"))
    dvc(there, "pull", "prepare", "package", **s3)
    names = sorted(p.name for p in (here / "outputs" / "prepared").iterdir())
    assert names == sorted(p.name for p in (there / "outputs" / "prepared").iterdir())
    # A node that sees neither: shards by their hashes, once, and not a second time.
    given = shard_manifest(here, here / "outputs" / "prepared")
    assert given is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_SHARDS", str(tmp_path / "node"))
        found = ensure_local(tmp_path / "unseen", given)
        assert {p.name: p.read_bytes() for p in found.iterdir()} == {
            p.name: p.read_bytes() for p in (here / "outputs" / "prepared").iterdir()
        }
        patch.setattr("mtl.data.shards.staging._fetch", lambda *_: pytest.fail("fetched twice"))
        assert ensure_local(tmp_path / "unseen", given) == found
    with pytest.raises(DataError, match="does not see"):
        ensure_local(tmp_path / "unseen", None)
    # A new image: a new data version, and the objects of one shard.
    store = s3fs.S3FileSystem(skip_instance_cache=True)
    first = store.ls(f"{bucket.removeprefix('s3://')}/bear")[0]
    data = store.cat_file(first)
    assert isinstance(data, bytes)
    store.pipe(f"{bucket.removeprefix('s3://')}/bear/zz-new.png", data + b"\0")
    before = set(store.find("store/dvc"))
    assert "images" in mtl(here, "data", "sync", **s3).stdout
    dvc(here, "repro", "--quiet", "prepare", **s3)
    dvc(here, "push", "--quiet", "prepare", **s3)
    store.invalidate_cache()
    assert len(set(store.find("store/dvc")) - before) <= 8
