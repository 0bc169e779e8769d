"""Files of a training in a folder and in a bucket that is slow, resets connections, refuses, or is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mtl.errors import StageError, TrainingError
from mtl.storage.seal import Seal
from mtl.storage.store import Store
from mtl.train.checkpoint import Checkpoints, verified, write_manifest
from tests.conftest import heard
from tests.servers import Server, object_store, running, s3_environment
from tests.storage.toxic import Toxic


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(object_store(tmp_path_factory.mktemp("weed"))) as found:
        yield found


@pytest.fixture
def toxic(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toxic]:
    """The way to the store, which can be spoiled; the client's own retries are off, so that ours are seen."""
    import s3fs

    with Toxic(server.address) as found:
        for name, value in (s3_environment(found.address) | {"AWS_MAX_ATTEMPTS": "1"}).items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield found
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store(str(tmp_path / "here"))
    request.getfixturevalue("toxic")
    return Store(f"s3://store/{tmp_path.name}")


def test_files_are_there_as_a_whole(store: Store, tmp_path: Path) -> None:
    assert store.names() == []
    assert "a/b" not in store
    with pytest.raises(FileNotFoundError):
        store.get("a/b")
    store.put("a/b", b"one")
    store.put("a/b", b"two")
    store.child("a").put("c", b"three")
    (tmp_path / "big").write_bytes(b"x" * 1_000_000)
    store.put_file("big/file", tmp_path / "big")
    assert not (tmp_path / "big").exists()
    assert store.names() == ["a/b", "a/c", "big/file"]
    assert store.get("a/b") == b"two"
    assert len(store.get("big/file")) == 1_000_000
    store.remove("a")
    store.remove("not there")
    assert store.names() == ["big/file"]


def test_checkpoints_fall_back_and_are_pruned(store: Store) -> None:
    checkpoints = Checkpoints(store, keep=2)
    for step in (1, 2, 3):
        checkpoints.save(step, {"step": step, "x": torch.full((3,), float(step))})
    checkpoints.flush()
    assert {name.split("/")[0] for name in store.names()} == {"step-00000002", "step-00000003"}
    latest = checkpoints.latest()
    assert latest is not None
    assert latest["step"] == 3
    (state,) = (name for name in store.names() if name.startswith("step-00000003/state"))
    store.put(state, store.get(state)[:-7])
    with heard() as lines:
        found = checkpoints.latest()
    assert found is not None
    assert found["step"] == 2
    assert "step-00000003 is damaged" in lines[0]


def test_a_state_changed_after_save_is_saved_as_it_was(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path)), keep=1)
    weights = torch.zeros(1000)
    for step in range(1, 30):
        checkpoints.save(step, {"weights": weights, "nested": [{"w": weights}], "step": step})
        weights += 1
    checkpoints.flush()
    found = checkpoints.latest()
    assert found is not None
    assert found["step"] == 29
    assert (found["weights"] == 28).all()
    assert (found["nested"][0]["w"] == 28).all()


def test_what_is_declared_is_verified(store: Store) -> None:
    from mtl.storage.digest import bytes_sha256

    store.put("weights", b"abc")
    seal = Seal()
    assert verified(store, seal) is None
    write_manifest(store, seal, {"weights": bytes_sha256(b"abc")})
    assert verified(store, seal) == {"weights": b"abc"}
    assert verified(store, Seal()) is None
    store.put("weights", b"abd")
    assert verified(store, seal) is None


@pytest.mark.parametrize("kind", ["resets", "refusals"])
def test_a_bucket_that_fails_for_a_moment_is_asked_again(toxic: Toxic, tmp_path: Path, kind: str) -> None:
    store = Store(f"s3://store/{tmp_path.name}")
    store.put("b", b"")
    toxic.spoil(2 * (kind == "resets"), 2 * (kind == "refusals"))
    store.put("a", b"one")
    toxic.spoil(2 * (kind == "resets"), 2 * (kind == "refusals"))
    assert store.get("a") == b"one"
    assert toxic.spoiled == 4


def test_a_slow_bucket_does_not_hold_up_the_training(toxic: Toxic, tmp_path: Path) -> None:
    import time

    checkpoints = Checkpoints(Store(f"s3://store/{tmp_path.name}"), keep=1)
    checkpoints.save(1, {"step": 1})
    checkpoints.flush()
    toxic.spoil(seconds=1.5)
    began = time.monotonic()
    checkpoints.save(2, {"step": 2})
    assert time.monotonic() - began < 1.0
    checkpoints.flush()
    assert time.monotonic() - began > 1.5
    toxic.spoil()
    found = checkpoints.latest()
    assert found == {"step": 2}


def test_a_bucket_that_is_gone_is_a_failure_worth_another_try(toxic: Toxic, tmp_path: Path) -> None:
    store = Store(f"s3://store/{tmp_path.name}")
    toxic.spoil(resets=10**6)
    with pytest.raises(StageError, match="out of reach, 5 times in a row") as caught:
        store.put("a", b"one")
    assert "run again" in str(caught.value)


@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", "ExpiredToken", "AccessDenied"])
def test_a_wrong_clock_and_expired_tokens_end_at_once(toxic: Toxic, tmp_path: Path, code: str) -> None:
    store = Store(f"s3://store/{tmp_path.name}")
    store.put("a", b"one")
    toxic.spoil(refusals=10**6, answer=f"403 {code}")
    with pytest.raises(TrainingError, match="is refused") as caught:
        store.put("a", b"two")
    assert toxic.spoiled == 1
    assert "the clock" in str(caught.value)
    toxic.spoil()
    assert store.get("a") == b"one"


@pytest.mark.parametrize(("key", "value"), [("AWS_SECRET_ACCESS_KEY", "expired"), ("AWS_ACCESS_KEY_ID", "nobody")])
def test_credentials_that_are_refused_are_the_users_to_mend(
    toxic: Toxic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    monkeypatch.setenv(key, value)
    with pytest.raises(TrainingError, match="is refused") as caught:
        Store(f"s3://store/{tmp_path.name}").put("a", b"one")
    assert "credentials" in str(caught.value)
    assert value not in str(caught.value) or key == "AWS_ACCESS_KEY_ID"
