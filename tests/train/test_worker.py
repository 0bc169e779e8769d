"""What a worker makes of a failure: which is the user's to mend, and which another try may."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl.cluster.protocol import ERROR, STOP
from mtl.config.params import Config
from mtl.errors import StageError
from mtl.storage.seal import Seal
from mtl.storage.store import Store
from mtl.train import worker
from mtl.train.preemption import Preemption
from mtl.train.worker import FAILURE, FINAL, train_worker

SEAL = Seal()


@pytest.fixture
def job(config: Config, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Ray would hand to a single worker, and the place of Ray itself."""
    import ray.train

    context = types.SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1, get_local_rank=lambda: 0)
    monkeypatch.setattr(ray.train, "get_context", lambda: context)
    monkeypatch.setattr(ray.train, "report", lambda row: None)
    monkeypatch.setattr(worker, "_drained", lambda: False)
    return {
        "config": config.model_dump(mode="json"),
        "store": str(tmp_path / "store"),
        "prepared": str(prepared),
        "shard_manifest": None,
        "cache": str(tmp_path),
        "gpu": False,
    }


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the third step raise."""
    original = worker.Training.one_step

    def step(self: Any, order: Any) -> None:
        if self.progress.total_steps == 2:
            raise error
        original(self, order)

    monkeypatch.setattr(worker.Training, "one_step", step)


def told(job: dict[str, Any]) -> dict[str, Any]:
    return SEAL.read(Store(job["store"]), ERROR)


@pytest.mark.parametrize(
    ("error", "fragment"),
    [
        (KeyError("digit"), "a mistake in the program: KeyError"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory with batches of 16 images"),
    ],
)
def test_the_users_errors_are_told_and_not_tried_again(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: Exception, fragment: str
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, error)
        with pytest.raises(type(error)):  # so that the other workers do not wait for this one
            train_worker(job, seal=SEAL)
    assert fragment in told(job)["what"]
    train_worker(job, seal=SEAL)  # Ray's own next try: it ends at once
    assert f"{FINAL}/manifest.json" not in Store(job["store"])


def test_out_of_memory_names_the_batch_size_to_try(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, torch.OutOfMemoryError("no"))
    with pytest.raises(torch.OutOfMemoryError):
        train_worker(job, seal=SEAL)
    assert told(job)["fix"] == "set train.batch_size to 8, or train.accumulate to 2"


def test_a_failure_of_the_machines_is_tried_again(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        with monkeypatch.context() as patch:
            failing(patch, RuntimeError(f"Connection reset by peer: port {number}"))
            with pytest.raises(RuntimeError):
                train_worker(job, seal=SEAL)
        assert ERROR not in Store(job["store"])
    train_worker(job, seal=SEAL)
    assert f"{FINAL}/manifest.json" in Store(job["store"])


def test_the_same_failure_twice_at_one_step_is_told(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RuntimeError("a tensor has the wrong shape"))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            train_worker(job, seal=SEAL)
    assert told(job)["what"] == "the same failure twice at step 2: RuntimeError"
    assert FAILURE in Store(job["store"])


def test_a_store_out_of_reach_is_tried_again(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, StageError("the bucket is out of reach"))
    with pytest.raises(StageError):
        train_worker(job, seal=SEAL)
    assert ERROR not in Store(job["store"])


def test_params_that_do_not_fit_the_data_are_told_by_all(job: dict[str, Any]) -> None:
    job["config"]["tasks"]["digit"]["target"] = "nowhere"
    train_worker(job, seal=SEAL)
    assert "nowhere" in told(job)["what"] + told(job)["found"]


def test_a_notice_to_stop_leaves_a_checkpoint_of_the_last_step(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(job["store"])
    store.put(STOP, b"")
    original = worker.Training.one_step

    def step(self: Any, order: Any) -> None:
        import time

        time.sleep(0.6)  # the notice is looked for once a second
        original(self, order)

    with monkeypatch.context() as patch:
        patch.setattr(worker.Training, "one_step", step)
        train_worker(job, seal=SEAL)
    assert f"{FINAL}/manifest.json" not in store
    steps = [name for name in store.names() if name.endswith("manifest.json")]
    assert steps
    store.remove(STOP)
    train_worker(job, seal=SEAL)
    assert f"{FINAL}/manifest.json" in store


def test_a_drained_node_asks_for_one_checkpoint() -> None:
    notice = Preemption(None, True, lambda: True)
    assert notice.level() == 1
    notice.saved()
    assert notice.level() == 0


def test_rays_view_of_a_drained_node_is_where_we_look() -> None:
    """An internal of Ray, pinned: worker._drained reads it."""
    from ray.train.v2._internal.execution.context import TrainContext

    assert "preemption_context" in TrainContext.__dataclass_fields__
