"""A test over several workers: the same rows as in one process, whoever is lost on the way; and where it is scored."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import save
from torch import nn

from mtl.config.params import Config
from mtl.data.loading.loader import Split
from mtl.data.shards.manifest import Statistics
from mtl.errors import DataError, TrainingError
from mtl.evaluate import placement
from mtl.evaluate.blind import score_blind
from mtl.evaluate.evaluation import evaluate_model, evaluate_weights
from mtl.evaluate.launch import describe
from mtl.evaluate.passes import WHOLE, Pass, Rows, judged_in, passes_of, score_pass, scorers_of
from mtl.evaluate.placement import as_served, place
from mtl.evaluate.rows_as_bytes import as_bytes, from_bytes
from mtl.evaluate.workers import EvaluationJob, score_part
from mtl.package.bundle import read_bundle
from mtl.storage.store import Store
from mtl.tasks import TASKS, Task, build_tasks, image_spec
from tests.conftest import free_port, heard
from tests.evaluate.loops import filled
from tests.model.test_sharing import task_configs
from tests.servers import object_store, running, s3_environment

CPU = torch.device("cpu")


def with_(config: Config, **sections: dict[str, Any]) -> Config:
    """Other values of some sections."""
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=values) for name, values in sections.items()}
    )


@pytest.fixture
def judged(bundle: Path, prepared: Path) -> tuple[nn.Module, dict[str, Task], Split]:
    model, tasks, _ = read_bundle(bundle)
    return model, tasks, Split(prepared, "test")


def same(one: Rows, other: Rows) -> bool:
    """To the bit."""
    return as_bytes([one]) == as_bytes([other])


def test_a_pass_in_parts_is_the_whole_pass(config: Config, judged: tuple[nn.Module, dict[str, Task], Split]) -> None:
    """A batch has the same samples, however many parts there are."""
    model, tasks, split = judged
    as_served(1)
    for wanted in passes_of(len(split), config.evaluate)[:3]:
        whole = score_pass(model, tasks, split, wanted, 7, CPU)
        assert set(whole.rows) == set(judged_in(wanted.kind, tasks))
        for samples in (7, 21):
            parts = [score_pass(model, tasks, split, part, 7, CPU) for part in wanted.parts(samples)]
            assert len(parts) == -(-48 // samples)
            assert same(Rows.joined(parts), whole)
        assert whole.ids == split.ids


def test_a_smaller_or_other_test_set_is_refused(judged: tuple[nn.Module, dict[str, Task], Split]) -> None:
    model, tasks, split = judged
    wanted = Pass(WHOLE, np.arange(len(split)))
    found = score_pass(model, tasks, split, wanted, 16, CPU)
    assert [len(scorer.rows) for scorer in scorers_of(found, wanted, tasks, split).values()] == [48] * len(tasks)
    first, second, third = (score_pass(model, tasks, split, part, 16, CPU) for part in wanted.parts(16))
    for parts, said in (
        ([first, third], f"32 samples for 48; missing: {split.ids[16]}, .* and 8 more"),
        ([first, third, second], "in another order, or twice"),
        ([first, second, third, third], "64 samples for 48; in another order, or twice"),
    ):
        with pytest.raises(DataError, match=said):
            scorers_of(Rows.joined(parts), wanted, tasks, split)
    name = next(iter(tasks))
    fewer = Rows(found.ids, found.rows | {name: found.rows[name][1:]}, found.not_finite)
    with pytest.raises(DataError, match="not the test split"):
        scorers_of(fewer, wanted, tasks, split)
    with pytest.raises(TrainingError, match="not finite"):
        scorers_of(Rows(found.ids, found.rows, {name: ["a"]}), wanted, tasks, split)


def test_rows_come_back_from_bytes_as_they_were() -> None:
    rows: dict[str, list[Any]] = {kind: filled(kind, 30).rows for kind in ("classification", "detection", "multilabel")}
    rows["number"] = [*np.random.default_rng(0).normal(size=29).tolist(), None]
    rows["nothing"] = [None] * 30
    rows["classification"] = [None if row is None else tuple(map(float, row)) for row in rows["classification"]]
    before = Rows([f"id {i}" for i in range(30)], rows, {"number": ["id 3"]})
    data = as_bytes([before, Rows([], {}, {})])
    after, empty = from_bytes(data)
    assert (after.ids, after.not_finite, empty) == (before.ids, before.not_finite, Rows([], {}, {}))
    assert [row is None for row in after.rows["detection"]] == [row is None for row in rows["detection"]]
    for name, (one, other) in ((name, (rows[name], after.rows[name])) for name in rows):
        for a, b in zip(one, other, strict=True):
            assert (a is None) == (b is None), name
            np.testing.assert_equal(getattr(b, "__dict__", b), getattr(a, "__dict__", a))
    assert b"pickle" not in data


def test_each_task_type_keeps_rows_that_travel(everything: Path) -> None:
    """A new type of task with rows of a new form would fail on a cluster alone."""
    split = Split(everything, "test")
    tasks = build_tasks(task_configs(), split.spec.targets, image_spec(split.manifest))
    assert {task.config.type for task in tasks.values()} == set(TASKS)
    scorers = score_blind(tasks, split, 8)
    rows = {name: scorer.rows for name, scorer in scorers.items()}
    (found,) = from_bytes(as_bytes([Rows(split.ids, rows, {})]))
    for name, scorer in scorers.items():
        before, again = scorer.value(), tasks[name].scorer()
        again.rows = found.rows[name]
        assert again.value() == before, name
        assert not np.isnan(before[tasks[name].primary]), name


def test_a_worker_scores_what_it_is_told_in_json(
    config: Config, judged: tuple[nn.Module, dict[str, Task], Split]
) -> None:
    """Some samples, some tasks, and the statistics of the model, not of the data."""
    model, tasks, split = judged
    own = Statistics(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    split.manifest = split.manifest.model_copy(update={"statistics": own})
    for task in tasks.values():
        task.image = replace(task.image, mean=own.mean, std=own.std)
    some, mine = split.only(np.arange(48) % 3 != 1), [name for name in tasks if name != "count"]
    told = describe(config, tasks, mine, some, "")
    job = EvaluationJob.model_validate(json.loads(told.model_dump_json()))
    assert job == told
    wanted = passes_of(len(some), config.evaluate)[2]
    found = score_part(job, save(model.state_dict()), False, wanted)
    assert found.ids == some.ids
    known = {name: tasks[name] for name in mine}
    assert same(found, score_pass(model, known, some, wanted, config.evaluate.batch_size, CPU))


def test_where_it_is_scored_follows_from_the_work(
    config: Config, judged: tuple[nn.Module, dict[str, Task], Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tasks, _ = judged
    image = next(iter(tasks.values())).image
    joined = with_(config, cluster={"address": "10.0.0.1:6379"})

    def found(config: Config, images: int, clusters: bool = True) -> tuple[bool, str, str]:
        one = place(config, model, image, images, clusters=clusters)
        return one.workers, one.device.type, one.said

    # One machine without GPUs: Ray has the same cores.
    assert found(config, 10**7) == (False, "cpu", "10000000 images in this process, on the CPU")
    workers, _, said = found(joined, 10**6)
    assert workers
    assert said == "1000000 images over the workers of 10.0.0.1:6379"
    workers, _, said = found(joined, 50)
    assert not workers
    assert "sooner than the cluster's workers have begun" in said
    assert found(joined, 10**7, clusters=False)[0] is False
    monkeypatch.setattr(placement.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(placement.torch.cuda, "device_count", lambda: 2)
    assert found(config, 3500)[:2] == (False, "cuda")
    assert found(config, 10**6)[:2] == (True, "cuda")
    assert found(with_(config, train={"num_workers": 3}), 10**6)[:2] == (False, "cpu")  # nor is it trained on them
    assert found(with_(config, cluster={"use_gpu": "never"}), 10**6)[:2] == (False, "cpu")


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str, str]]:
    """A head without CPUs and two nodes: Ray's own address, that of its Jobs API, and a bucket whose credentials they have."""
    for name, value in {"RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "300"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # as an image has it
    with running(object_store(tmp_path / "store")) as server:
        for name, value in s3_environment(server.address).items():
            monkeypatch.setenv(name, value)
        from ray.cluster_utils import Cluster

        port, memory = free_port(), 80_000_000
        head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": port, "object_store_memory": memory}
        found = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(2):
                found.add_node(num_cpus=1, object_store_memory=memory)
            assert found.address is not None
            yield found.address, f"http://127.0.0.1:{port}", "s3://store/work"
        finally:
            found.shutdown()


def kill_one_worker(killed: list[int]) -> None:
    """The first process in which Ray scores a part, as soon as it does."""
    deadline = time.monotonic() + 120
    while not killed and time.monotonic() < deadline:
        for process in psutil.process_iter(["cmdline"]):
            if f"ray::{score_part.__name__}" in " ".join(process.info["cmdline"] or ()):
                process.kill()
                killed.append(process.pid)
                break
        time.sleep(0.02)


@pytest.mark.slow
def test_nodes_give_the_report_of_one_process_though_one_dies(
    config: Config,
    bundle: Path,
    prepared: Path,
    nodes: tuple[str, str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, jobs, bucket = nodes
    monkeypatch.setattr(placement, "JOIN_SECONDS", 0.0)
    weights = bundle / "weights.safetensors"
    alone = with_(
        config, evaluate={"batch_size": 4, "corruptions": ("noise",)}, train={"num_workers": 1, "threads_per_worker": 1}
    )
    shared = with_(alone, train={"num_workers": 2}, cluster={"address": address})
    expected = evaluate_weights(alone, prepared, weights)
    killed: list[int] = []
    killer = threading.Thread(target=kill_one_worker, args=(killed,))
    killer.start()
    with heard() as lines:
        found = evaluate_weights(shared, prepared, weights, home=tmp_path)
    killer.join()
    assert killed
    assert found.report == expected.report
    told = "\n".join(lines)
    assert f"images over the workers of {address}" in told
    assert "parts over 2 workers on CPUs" in told
    assert "evaluate: 144/144 images" in told
    # A champion's, on some of the samples, by a job; nodes stream them from the bucket.
    chosen = np.arange(48) % 3 != 1
    some = Split(prepared, "test").only(chosen)
    elsewhere = {"address": jobs, "storage": bucket, "shards": "stream"}
    by_job = with_(alone, train={"num_workers": 2}, cluster=elsewhere)
    model, tasks, _ = read_bundle(bundle)
    mine = [name for name in tasks if name != "count"]
    reports = [evaluate_model(model, tasks, some, one, judged=mine, home=tmp_path).report for one in (alone, by_job)]
    assert reports[0] == reports[1]
    assert set(reports[0].tasks) == set(mine)
    assert not [name for name in Store(bucket).names() if name.startswith("evaluations")]
    # What is wrong on a node is said as it is said here.
    some.folder = tmp_path / "nowhere"
    with pytest.raises(DataError, match="this node does not see"):
        evaluate_model(model, tasks, some, shared, judged=mine, home=tmp_path)
