"""What travels through a bucket and comes back: checkpoints, results, errors, models and jobs, swapped for others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl.cluster.handoff import do
from mtl.cluster.protocol import ERROR, JOB, RESULT, raise_written, write_error
from mtl.cluster.submit import VARIABLE
from mtl.cluster.transfer import LIST, bring, send
from mtl.compare import trial as trials
from mtl.compare.plan import Trial
from mtl.compare.results import TrainedTrial
from mtl.config.params import Config
from mtl.data.prepare.job import RECORDS, SHARDS, _fetched, _known  # pyright: ignore[reportPrivateUsage]
from mtl.data.prepare.plan import Planned
from mtl.data.shards.manifest import ShardRecord
from mtl.errors import SealError, TrainingError
from mtl.serving.job import PredictJob
from mtl.storage.digest import bytes_sha256
from mtl.storage.private import secret_of
from mtl.storage.seal import SECRET, Seal, seal_of
from mtl.storage.store import Store
from mtl.train.checkpoint import Checkpoints, verified, write_manifest
from tests.compare.test_compare import result
from tests.conftest import heard

SEAL = Seal()


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path / "here") if request.param == "folder" else f"memory://{tmp_path.name}")


def copy(store: Store, source: str, target: str) -> None:
    """What somebody does who may write there: put files in the place of others."""
    store.remove(target)
    for name in store.child(source).names():
        store.put(f"{target}/{name}", store.get(f"{source}/{name}"))


def saved(store: Store, seal: Seal, *steps: int) -> None:
    checkpoints = Checkpoints(store, 9, seal)
    for step in steps:
        checkpoints.save(step, {"step": step})
    checkpoints.flush()


def test_another_process_with_the_same_home_goes_on(store: Store, tmp_path: Path) -> None:
    saved(store.child("run/checkpoints"), seal_of("run", tmp_path), 1, 2)
    found = Checkpoints(store.child("run/checkpoints"), 9, seal_of("run", tmp_path)).latest()
    assert found == {"step": 2}
    assert (tmp_path / SECRET).stat().st_mode & 0o077 == 0
    assert (tmp_path / SECRET).parent.stat().st_mode & 0o077 == 0


def _an_older_one(store: Store) -> None:
    copy(store, "run/checkpoints/step-00000001", "run/checkpoints/step-00000003")


def _another_runs(store: Store) -> None:
    saved(store.child("other/checkpoints"), Seal(), 3)
    copy(store, "other/checkpoints/step-00000003", "run/checkpoints/step-00000003")


def _another_runs_of_the_same_key(store: Store) -> None:
    saved(store.child("other/checkpoints"), SEAL, 3)
    copy(store, "other/checkpoints/step-00000003", "run/checkpoints/step-00000003")


def _its_own_hash(store: Store) -> None:
    """A state of the attacker's, and a manifest with its right hash: what the old check took."""
    folder, data = "run/checkpoints/step-00000003", b"evil"
    document = {"files": {"state-evil.pt": bytes_sha256(data)}, "step": 3, "bytes": len(data)}
    store.put(f"{folder}/state-evil.pt", data)
    store.put(f"{folder}/manifest.json", json.dumps(document).encode())


def _its_old_seal(store: Store) -> None:
    folder, data = "run/checkpoints/step-00000003", b"evil"
    document = json.loads(store.get(f"{folder}/manifest.json"))
    store.put(f"{folder}/state-evil.pt", data)
    document["files"] = {"state-evil.pt": bytes_sha256(data)}
    store.put(f"{folder}/manifest.json", json.dumps(document).encode())


def _a_path(store: Store) -> None:
    document = json.loads(store.get("run/checkpoints/step-00000003/manifest.json"))
    document["files"] = {"../../../secret": bytes_sha256(b"secret")}
    store.put("run/checkpoints/step-00000003/manifest.json", json.dumps(document).encode())


def _nonsense(store: Store) -> None:
    store.put("run/checkpoints/step-00000003/manifest.json", b"[" * 100_000)


@pytest.mark.attack(boundary="bucket writer", attack="a checkpoint swapped: an older one, another run's, one's own")
@pytest.mark.parametrize(
    "attack",
    [_an_older_one, _another_runs, _another_runs_of_the_same_key, _its_own_hash, _its_old_seal, _a_path, _nonsense],
)
def test_a_swapped_checkpoint_is_named_and_not_used(store: Store, attack: Callable[[Store], None]) -> None:
    saved(store.child("run/checkpoints"), SEAL, 1, 2, 3)
    attack(store)
    with heard() as lines:
        found = Checkpoints(store.child("run/checkpoints"), 9, SEAL).latest()
    assert found == {"step": 2}
    assert "step-00000003" in lines[0]
    assert "was not written by this run" in lines[0]


@pytest.mark.attack(boundary="bucket writer", attack="a checkpoint that is a pickle which runs code")
def test_a_checkpoint_runs_no_code(store: Store, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"x": Evil()}, tmp_path / "evil.pt")
    checkpoints, data = store.child("run/checkpoints"), (tmp_path / "evil.pt").read_bytes()
    saved(checkpoints, SEAL, 1)
    # Even with the key.
    checkpoints.put("step-00000002/state.pt", data)
    SEAL.write(checkpoints, "step-00000002/manifest.json", {"files": {"state.pt": bytes_sha256(data)}})
    assert Checkpoints(checkpoints, 9, SEAL).latest() == {"step": 1}
    assert not (tmp_path / "ran").exists()


def test_without_the_key_checkpoints_are_unused_with_a_warning(store: Store, tmp_path: Path) -> None:
    saved(store.child("run/checkpoints"), seal_of("run", tmp_path), 1, 2)
    (tmp_path / SECRET).unlink()
    with heard() as lines:
        assert Checkpoints(store.child("run/checkpoints"), 9, seal_of("run", tmp_path)).latest() is None
    assert len(lines) == 2
    assert all(str(SECRET) in line for line in lines)


@pytest.mark.attack(boundary="bucket writer", attack="a training's result swapped, its hash beside it too")
@pytest.mark.parametrize("seal", [Seal(), None], ids=["another key's", "unsealed"])
def test_a_swapped_result_of_a_training_is_no_result(store: Store, seal: Seal | None) -> None:
    final, evil = store.child("run/final"), b"evil weights"
    final.put("weights.safetensors", evil)
    files = {"weights.safetensors": bytes_sha256(evil)}
    if seal:
        write_manifest(final, seal, files)
    else:
        final.put("manifest.json", json.dumps({"files": files}).encode())
    with heard() as lines:
        assert verified(final, SEAL) is None
    assert "was not written by this run" in lines[0]


@pytest.mark.attack(boundary="bucket writer", attack="a job's result altered or taken from another job")
def test_an_altered_result_is_refused(store: Store) -> None:
    mine, other = store.child("kind/mine"), store.child("kind/other")
    SEAL.write(mine, RESULT, {RESULT: [1]})
    SEAL.write(other, RESULT, {RESULT: [2]})
    assert SEAL.read(mine, RESULT) == {RESULT: [1]}
    for data in (other.get(RESULT), mine.get(RESULT).replace(b"[1]", b"[3]"), b'{"result.json": [3]}', b"[]", b"\xff"):
        store.put(f"kind/mine/{RESULT}", data)
        with pytest.raises(SealError, match=RESULT):
            SEAL.read(mine, RESULT)
    write_error(mine, SEAL, TrainingError("no disk"))
    mine.put(RESULT, mine.get(ERROR))  # one document in the place of another
    with pytest.raises(SealError):
        SEAL.read(mine, RESULT)


@pytest.mark.attack(boundary="bucket writer", attack="an error that names another thing to be called")
def test_a_planted_error_is_not_raised(store: Store) -> None:
    store.put(f"run/{ERROR}", json.dumps({"kind": "_rebuild", "what": "x", "found": "", "fix": "rm -rf /"}).encode())
    with pytest.raises(SealError) as caught:
        raise_written(store.child("run"), SEAL)
    assert "rm -rf" not in str(caught.value)


@pytest.mark.attack(boundary="bucket writer", attack="the job swapped before the cluster reads it")
def test_a_swapped_job_is_not_done(store: Store, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.child("kind/job")
    job = {
        "config": config.model_dump(mode="json"),
        "model": "abc",
        "chosen": [],
        "out": "s3://mine/out",
        "formats": [],
    }
    run.put(JOB, json.dumps(job | {"out": "s3://evil/out"}).encode())
    monkeypatch.setattr(sys, "argv", ["job", run.url])
    monkeypatch.setenv(VARIABLE, SEAL.key.hex())
    done: list[PredictJob] = []
    assert do(lambda config, job, store, seal: done.append(job), Config, PredictJob) == 1
    with pytest.raises(SealError, match=JOB):
        raise_written(run, SEAL)
    SEAL.write(run, JOB, job)
    assert do(lambda config, job, store, seal: done.append(job), Config, PredictJob) == 0
    assert [one.out for one in done] == ["s3://mine/out"]


@pytest.mark.attack(boundary="bucket writer", attack="a model swapped on its way to the nodes, or put there first")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_swapped_model_is_not_taken(store: Store, tmp_path: Path, when: str) -> None:
    models, (source, target) = store.child("models/abc"), (tmp_path / "source", tmp_path / "target")
    for folder in (source, target):
        folder.mkdir()
    (source / "weights").write_bytes(b"good")
    if when == "before":
        models.put("weights", b"evil")
        models.put(LIST, json.dumps({"files": {"weights": bytes_sha256(b"evil"), "../../x": "0"}}).encode())
    send(models, source, SEAL)
    if when == "after":
        models.put("weights", b"evil")
        models.put("more", b"evil")
        with pytest.raises(SealError, match="weights is not what was sent"):
            bring(models, target, SEAL)
        (source / "weights").write_bytes(b"good")
        send(models, source, SEAL)  # what was found to be swapped is sent again
    bring(models, target, SEAL)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {"weights": b"good"}


@pytest.mark.attack(boundary="bucket writer", attack="a shard, or its record, swapped on its way back")
def test_a_swapped_shard_is_not_taken(store: Store, tmp_path: Path) -> None:
    record = ShardRecord(split="train", file="a.shard", sha256=bytes_sha256(b"good"), num_samples=1)
    store.put(f"{SHARDS}/a.shard", b"evil")
    with pytest.raises(SealError, match="is not what the cluster built"):
        _fetched(store, tmp_path, record)
    assert not (tmp_path / "a.shard").exists()
    planned = Planned("train", 0, 1, "a")
    evil = record.model_copy(update={"sha256": bytes_sha256(b"evil")})
    records = store.child(RECORDS)
    records.put(f"{planned.file}.json", evil.model_dump_json().encode())
    assert not _known(records, planned, SEAL)
    SEAL.write(records, f"{planned.file}.json", record.model_dump(mode="json"))
    assert _known(records, planned, SEAL)


@pytest.mark.attack(boundary="bucket writer", attack="a comparison's trial planted as if it were finished")
def test_a_planted_trial_is_made_again(
    store: Store, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial("a", 1e-3, 0, config)
    store.put(f"{trial.key}.json", json.dumps({"method": "a", "val_score": 9.9}).encode())
    monkeypatch.setattr(trials, "_train", lambda *_: result("a", 1e-3, 0, 0.5))
    monkeypatch.setattr(trials, "ensure_local", lambda *_: tmp_path)
    found = trials.run_trial(trial, tmp_path, store.url, SEAL)
    assert isinstance(found, TrainedTrial)
    assert found.val_score == 0.5
    monkeypatch.setattr(trials, "_train", lambda *_: pytest.fail("made again"))
    found = trials.run_trial(trial, tmp_path, store.url, SEAL)
    assert isinstance(found, TrainedTrial)
    assert found.val_score == 0.5


def test_a_key_is_not_shown_and_is_told_apart(tmp_path: Path) -> None:
    assert SEAL.key.hex() not in repr(SEAL)
    assert repr(SEAL.key)[2:-1] not in repr(SEAL)
    first, second = seal_of("a", tmp_path), seal_of("b", tmp_path)
    assert len({first.key, second.key, secret_of(tmp_path / SECRET)}) == 3
    assert first.name != second.name
