"""Shards that are fetched as they are read: the same batches, a bounded disk, nothing that is half there or not what it should be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from mtl.config.params import Config, parse
from mtl.data.loading import sampler
from mtl.data.loading.loader import Split
from mtl.data.prepare.prepare import prepare
from mtl.data.shards import manifest as manifests
from mtl.data.shards.cache import PART, ShardCache, Wanted
from mtl.data.shards.lookahead import AHEAD, Lookahead
from mtl.data.shards.node import Found, published, shards_of_node
from mtl.data.shards.staging import ShardManifest
from mtl.data.shards.stream import StreamAddress
from mtl.data.spec import SPLITS
from mtl.errors import DataError, StageError
from mtl.storage.digest import bytes_sha256, file_md5, file_sha256
from mtl.storage.seal import Seal
from mtl.storage.store import Store
from mtl.train.checkpoint import Checkpoints
from mtl.train.loop import run
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Training

GIB = 2**30


@pytest.fixture(scope="module")
def many(config: Config, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny zoo in shards of eight samples."""
    folder = tmp_path_factory.mktemp("many")
    prepare(config.data.model_copy(update={"shard_size": 8}), raw, folder)
    return folder


@pytest.fixture
def streaming(config: Config, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Settings that stream, with room for a part of the shards."""
    monkeypatch.setenv("MTL_SHARDS", str(tmp_path / "node"))
    values = config.model_dump(mode="json")
    values["train"]["order"] = {"type": "window", "shards": 4, "lanes": 2}
    values["cluster"] |= {"shards": "stream", "storage": str(tmp_path / "storage"), "shard_cache_gib": room(many, 3)}
    return parse(values)


def room(prepared: Path, shards: float) -> float:
    """GiB for so many of the largest shard."""
    return shards * max(path.stat().st_size for path in prepared.glob("*.safetensors")) / GIB


def staged(config: Config, prepared: Path, given: ShardManifest | None = None) -> Found:
    address = published(config.cluster, config.train.order, prepared, given)
    return shards_of_node(config.cluster, config.train.order, Path("unseen"), given, address)


def cache_of(tmp_path: Path) -> Path:
    return tmp_path / "node" / f"mtl-shards-{os.getuid()}" / "cache"


def same(one: Any, other: Any) -> bool:
    return all(map(same, one, other)) if isinstance(one, list) else one.tobytes() == other.tobytes()


def test_a_streamed_split_is_the_local_one(streaming: Config, many: Path, tmp_path: Path) -> None:
    found = staged(streaming, many)
    assert "streams" in found.said and "cluster.shards: stream" in found.said
    limit = streaming.cluster.shard_cache_gib
    assert limit is not None
    for name in SPLITS:
        local, streamed = Split(many, name), Split(found.folder, name)
        assert local.ids == streamed.ids and local.digests() == streamed.digests()
        assert local.slices() == streamed.slices() and local.shard_sizes() == streamed.shard_sizes()
        assert (local.present("species") == streamed.present("species")).all()
        for at in np.array_split(np.random.default_rng(0).permutation(len(local)), 5):
            one, other = local.rows(at), streamed.rows(at)
            assert all(same(one[key], other[key]) for key in one)
            assert sum(path.stat().st_size for path in cache_of(tmp_path).glob("*.*")) <= limit * GIB
    assert not list(cache_of(tmp_path).glob(f"*{PART}"))


def test_many_threads_read_through_a_cache_of_two_shards(streaming: Config, many: Path) -> None:
    tight = streaming.cluster.model_copy(update={"shard_cache_gib": room(many, 2.1)})
    found = staged(streaming.model_copy(update={"cluster": tight}), many)
    local, streamed = Split(many, "train"), Split(found.folder, "train")
    wrong: list[int] = []

    def read(seed: int) -> None:
        at = np.random.default_rng(seed).permutation(len(local))[:24]
        wrong.extend([seed] if not same(local.rows(at)["image"], streamed.rows(at)["image"]) else [])

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_what_is_read_next_is_fetched_before(streaming: Config, many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roomy = streaming.cluster.model_copy(update={"shard_cache_gib": room(many, 40)})
    split = Split(staged(streaming.model_copy(update={"cluster": roomy}), many).folder, "train")
    names = [record.file for record in split.manifest.of("train")]
    split.expect(iter([np.arange(8), np.arange(8, 16)]))
    cache = split._shards._cache  # type: ignore[attr-defined]
    deadline = time.monotonic() + 30
    while not cache.has(names[0]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not cache.has(names[-1])


def test_a_cache_too_small_for_two_shards_is_refused(streaming: Config, many: Path) -> None:
    tight = streaming.cluster.model_copy(update={"shard_cache_gib": room(many, 1.9)})
    with pytest.raises(DataError, match="too small for two") as caught:
        staged(streaming.model_copy(update={"cluster": tight}), many)
    assert "cluster.shard_cache_gib" in caught.value.fix and "MiB" in caught.value.found


def test_a_shard_that_was_changed_is_refused(streaming: Config, many: Path, tmp_path: Path) -> None:
    found = staged(streaming, many)
    split = Split(found.folder, "val")
    file = split.manifest.of("val")[0].file
    there = tmp_path / "storage" / "shards" / file
    good = there.read_bytes()
    there.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DataError, match=f"{file} that came") as caught:
        split.rows(np.arange(2))
    assert "SHA-256" in caught.value.found and "mtl retrain" in caught.value.fix
    assert not list(cache_of(tmp_path).glob(f"{file}*"))
    there.unlink()
    with pytest.raises(DataError, match="is not in"):
        split.rows(np.arange(2))
    staged(streaming, many)  # the next training puts it there again
    assert len(split.rows(np.arange(2))["image"]) == 2


def test_a_description_that_was_changed_is_refused(streaming: Config, many: Path, tmp_path: Path) -> None:
    address = published(streaming.cluster, streaming.train.order, many, None)
    assert address is not None
    for name, kind in (("train.index", DataError), ("stream.json", DataError)):
        path = Path(address.url) / name
        path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(kind, match=f"{name} is not what was put there"):
            shards_of_node(streaming.cluster, streaming.train.order, Path("unseen"), None, address)
    (Path(address.url) / "stream.json").unlink()
    with pytest.raises(StageError, match="is not there"):
        shards_of_node(streaming.cluster, streaming.train.order, Path("unseen"), None, address)


def test_shards_in_a_dvc_remote_are_not_put_twice(streaming: Config, many: Path, tmp_path: Path) -> None:
    remote = Store(f"memory://{tmp_path.name}/dvc")
    files = {path.name: file_md5(path) for path in many.iterdir()}
    for name, md5 in files.items():
        remote.put(f"files/md5/{md5[:2]}/{md5[2:]}", (many / name).read_bytes())
    given = ShardManifest(remote.url, files, file_sha256(many / manifests.NAME))
    found = staged(streaming, many, given)
    assert not list((tmp_path / "storage").rglob("*.safetensors"))
    assert Split(found.folder, "val").rows(np.arange(3))["image"].any()


@pytest.mark.parametrize(
    ("free", "order", "expected"), [(GIB, "window", "local"), (0, "window", "streamed"), (0, "whole", "refused")]
)
def test_auto_streams_what_does_not_fit(
    streaming: Config, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, order: str, expected: str
) -> None:
    remote = Store(f"memory://{tmp_path.name}/auto")
    files = {path.name: file_md5(path) for path in many.iterdir()}
    for name, md5 in files.items():
        remote.put(f"files/md5/{md5[:2]}/{md5[2:]}", (many / name).read_bytes())
    given = ShardManifest(remote.url, files, file_sha256(many / manifests.NAME))
    values = streaming.model_dump(mode="json")
    values["cluster"] |= {"shards": "auto", "address": "10.0.0.1:6379"}
    values["train"]["order"] = {"type": "whole"} if order == "whole" else values["train"]["order"]
    config = parse(values)
    address = published(config.cluster, config.train.order, many, given)
    assert shards_of_node(config.cluster, config.train.order, many, given, address).folder == many  # it sees them
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr("mtl.data.shards.node.shutil.disk_usage", lambda path: usage)
    if expected == "refused":
        with pytest.raises(DataError, match=r"train\.order: whole needs all of them"):
            shards_of_node(config.cluster, config.train.order, Path("unseen"), given, address)
        return
    found = shards_of_node(config.cluster, config.train.order, Path("unseen"), given, address)
    assert bool(found.said) == (expected == "streamed")
    assert len(list(found.folder.glob("*.safetensors"))) == (0 if found.said else len(files) - 1)


def test_small_data_takes_the_path_that_it_took(config: Config, prepared: Path) -> None:
    assert published(config.cluster, config.train.order, prepared, None) is None
    assert shards_of_node(config.cluster, config.train.order, prepared, None, None) == Found(prepared)


HOLDER = """
import sys, time
from pathlib import Path
from mtl.data.shards.cache import ShardCache, Wanted
cache, name, sha256, how = ShardCache(Path(sys.argv[1]), 3000), *sys.argv[2:5]
def bring(path):
    path.write_bytes(b"a" * 500)
    if how == "fetching":
        print("now", flush=True)
        time.sleep(600)
    path.write_bytes(b"a" * 1000)
with cache.reading(Wanted(name, sha256, 1000, bring)):
    print("now", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Any]:
    """Starts a process that reads, or fetches, a shard of a cache until it is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(how: str) -> subprocess.Popen[str]:
        (tmp_path / "cache").mkdir(exist_ok=True)
        words = [sys.executable, "-c", HOLDER, str(tmp_path / "cache"), "held", bytes_sha256(b"a" * 1000), how]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout is not None and started[-1].stdout.readline() == "now\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def shard(name: str, data: bytes) -> Wanted:
    return Wanted(name, bytes_sha256(data), len(data), lambda path: _write(path, data))


def test_what_another_process_reads_stays(holder: Any, tmp_path: Path) -> None:
    process = holder("reading")
    cache = ShardCache(tmp_path / "cache", 3000)
    for name in ("one", "two", "three"):
        cache.fetch(shard(name, name.encode() * 300))
    assert cache.has("held") and cache.has("three") and not cache.has("one")
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.utime(cache.folder / "held", (0, 0))
    cache.fetch(shard("four", b"4" * 1000))
    assert not cache.has("held")


def test_what_a_killed_process_left_is_never_used(holder: Any, tmp_path: Path) -> None:
    process = holder("fetching")
    (left,) = (tmp_path / "cache").glob(f"*{PART}")
    cache = ShardCache(tmp_path / "cache", 3000)
    cache.fetch(shard("other", b"o" * 1000))
    assert left.exists()  # somebody is at it
    process.send_signal(signal.SIGKILL)
    process.wait()
    with cache.reading(shard("held", b"a" * 1000)) as path:
        assert path.read_bytes() == b"a" * 1000
    assert not left.exists()


def test_many_threads_share_one_small_cache(tmp_path: Path) -> None:
    """Eight fetch and read what has room for four at a time: nobody meets a file that comes or goes, nobody waits forever."""
    (folder := tmp_path / "cache").mkdir()
    wanted = [shard(f"shard{number}", bytes([number]) * 1000) for number in range(12)]
    read: list[int] = []
    largest = [0]

    def work(seed: int) -> None:
        cache = ShardCache(folder, 4000)
        for number in np.random.default_rng(seed).permutation(np.repeat(np.arange(12), 12)):
            if seed % 2:
                cache.fetch(wanted[number])
                continue
            with cache.reading(wanted[number]) as path:
                assert path.read_bytes() == bytes([number]) * 1000
            largest[0] = max(largest[0], sum(1 for one in folder.iterdir() if one.is_file()))
        read.append(seed)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(read) == list(range(8))
    assert largest[0] <= 4 and not list(folder.glob(f"*{PART}"))


def test_who_fetches_ahead_goes_on_after_an_error() -> None:
    asked: list[int] = []
    done = threading.Event()

    def fetch(number: int) -> None:
        asked.append(number)
        if number == 3 * AHEAD:
            done.set()
        raise RuntimeError("a disk that forgets")

    ahead = Lookahead(fetch, lambda number: False, 1)
    ahead.expect(np.array([number]) for number in range(100))
    for _ in range(3 * AHEAD):
        ahead.advanced(1)
    assert done.wait(30), asked


@pytest.mark.parametrize("size", [1, 2, 3])
def test_workers_read_the_same_batches_through_a_stream(streaming: Config, many: Path, size: int) -> None:
    """Of the middle of an epoch, each worker with its own look ahead, all through one cache of three shards."""
    local, folder = Split(many, "train"), staged(streaming, many).folder
    order = sampler.order_of(streaming.train.order, 0, 1, local.shard_sizes())
    read: list[list[np.ndarray]] = []
    for rank in range(size):
        split = Split(folder, "train")
        split.expect(sampler.of_worker(order, 3, 12, rank, size))
        read.append([split.rows(at)["image"] for at in sampler.of_worker(order, 3, 12, rank, size)])
    parted = list(zip(*read, strict=True))
    assert len(parted) == len(order) // 12 - 3
    for step, parts in enumerate(parted, 3):
        wanted = local.rows(sampler.global_batch(order, step, 12))["image"]
        found = np.empty_like(wanted)
        for rank, part in enumerate(parts):
            found[rank::size] = part
        assert (found == wanted).all()


def _train(rank: int, config: Config, prepared: Path, folder: Path, stop: int) -> None:
    training = Training(config, prepared, ProcessGroup())
    original = training.one_step

    def until(order: np.ndarray) -> None:
        if training.progress.total_steps == stop:
            os.kill(os.getpid(), signal.SIGKILL)
        original(order)

    training.one_step = until  # type: ignore[method-assign]
    run(training, Checkpoints(Store(str(folder / "checkpoints")), 2, Seal(b"k" * 32)), report=lambda row: None)
    torch.save(training.best, folder / "best.pt")


def trained(config: Config, prepared: Path, folder: Path, stop: int = -1) -> dict[str, torch.Tensor]:
    """The weights of a training in a process of its own; none if it was killed."""
    folder.mkdir(exist_ok=True)
    try:
        mp.spawn(_train, (config, prepared, folder, stop))  # pyright: ignore[reportPrivateImportUsage]
    except mp.ProcessExitedException:  # pyright: ignore[reportPrivateImportUsage]
        assert stop >= 0
        return {}
    return torch.load(folder / "best.pt", weights_only=True)


@pytest.mark.slow
def test_a_killed_streamed_training_ends_as_the_local_one(streaming: Config, many: Path, tmp_path: Path) -> None:
    values = streaming.model_dump(mode="json")
    values["train"] |= {"batch_size": 12, "checkpoint_every": 2, "epochs": 1}
    config = parse(values)
    folder = staged(config, many).folder
    local = trained(config, many, tmp_path / "local")
    assert not trained(config, folder, tmp_path / "killed", stop=5)
    again = trained(config, folder, tmp_path / "killed")
    assert all(torch.equal(local[name], again[name]) for name in local)


def test_an_address_is_json(streaming: Config, many: Path) -> None:
    """It travels in the job."""
    from pydantic import TypeAdapter

    address = published(streaming.cluster, streaming.train.order, many, None)
    adapter = TypeAdapter(StreamAddress | None)
    assert adapter.validate_json(adapter.dump_json(address)) == address
