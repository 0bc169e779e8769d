"""Images and results in Google Cloud Storage: its API, of an emulator that this test starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from mtl.data.prepare.prepare import prepare
from mtl.data.raw.rows import RawSample
from mtl.data.shards.shards import Shard
from mtl.data.spec import DatasetSpec
from mtl.storage.file_tree import FileTree
from mtl.storage.store import Store
from tests.conftest import free_port
from tests.data.test_formats import TASKS, WRITERS, configured, fetched


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of an emulator."""
    from gcp_storage_emulator.server import create_server

    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="photos")
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        yield "gs://photos"
    server.stop()


@pytest.mark.parametrize(
    "name",
    [
        "image_folder",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("coco", "webdataset", "huggingface_parquet")),
    ],
)
def test_a_bucket_gives_the_shards_of_its_folder(
    name: str, bucket: str, scenes: list[RawSample], spec: DatasetSpec, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    settings = WRITERS[name](given, scenes, spec)
    by_id = {"type": "random", "val": 0.2, "test": 0.2, "group": "(.+)"}
    found: list[dict[str, bytes]] = []
    fsspec.filesystem("gs").put(f"{given}/", f"photos/{name}/", recursive=True)
    for path in (str(given), f"{bucket}/{name}"):
        config = configured({"own": settings | {"path": path}}, {"species": TASKS["species"]}, split=by_id)
        raw_folder, prepared = tmp_path / f"raw-{len(found)}", tmp_path / f"prepared-{len(found)}"
        fetched(config, raw_folder)
        manifest = prepare(config.data, raw_folder, prepared)
        assert not manifest.quarantined
        shards = [Shard(prepared / record.file) for record in manifest.shards]
        found.append(
            {f"{i}": image.tobytes() for s in shards for i, image in zip(s.ids, s.arrays["image"], strict=True)}
        )
    assert found[0] == found[1]
    assert len(found[0]) == len(scenes)


def test_copies_are_known_by_their_content(bucket: str) -> None:
    files = fsspec.filesystem("gs")
    files.pipe({"photos/copies/a.png": b"same", "photos/copies/b.png": b"same", "photos/copies/c.png": b"else"})
    versions = FileTree(f"{bucket}/copies").versions
    assert versions["a.png"] == versions["b.png"] != versions["c.png"]


def test_a_store_in_it(bucket: str) -> None:
    store = Store(f"{bucket}/work")
    store.put("a/one.json", b"{}")
    store.put("a/two.bin", bytes(300_000))
    assert store.names() == ["a/one.json", "a/two.bin"]
    assert store.get("a/two.bin") == bytes(300_000)
    assert "a/one.json" in store
    with pytest.raises(FileNotFoundError):
        store.get("a/three")
    store.remove("a")
    assert store.names() == []
