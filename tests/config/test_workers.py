"""How many workers `auto` is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.config import read_params, workers
from mtl.config.params import parse
from mtl.registry.fingerprint import fingerprint
from mtl.train import launch
from tests.conftest import ROOT, heard


def wanted(**sections: dict[str, Any]) -> dict[str, Any]:
    values = read_params(ROOT / "params.yaml")
    for name, entries in sections.items():
        values[name] |= entries
    return values


@pytest.mark.parametrize(
    ("gpus", "change", "number"),
    [
        (0, {}, 2),
        (1, {}, 1),
        (4, {}, 4),
        (4, {"train": {"batch_size": 30}}, 3),  # the batch is divided
        (0, {"train": {"batch_size": 15}}, 1),
        (4, {"train": {"num_workers": 2}}, 2),
        (4, {"cluster": {"use_gpu": "never"}}, 2),
        (4, {"cluster": {"address": "10.0.0.1:6379"}}, 2),  # of other machines nothing is known
    ],
)
def test_a_worker_per_gpu_else_two(
    gpus: int, change: dict[str, Any], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "gpus", lambda: gpus)
    assert parse(wanted(**change)).train.num_workers == number


def test_the_driver_is_asked_and_what_is_hidden_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: GPU-1)'\necho 'GPU 1: H200 (UUID: GPU-2)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    for visible, number in ((None, 2), ("0", 1), ("", 0)):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        workers.gpus.cache_clear()
        assert workers.gpus() == number
    workers.gpus.cache_clear()


@pytest.mark.parametrize(
    ("there", "used", "said"), [(4, 2, "2 of 4 GPUs are idle"), (1, 0, "1 of 1 GPUs is idle"), (2, 2, "")]
)
def test_a_gpu_left_idle_is_said(there: int, used: int, said: str) -> None:
    with heard() as lines:
        launch._say_idle(there, used, parse(wanted()))
    assert [said in line for line in lines] == ([True] if said else [])


def test_the_number_is_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "gpus", lambda: 1)
    one = fingerprint(ROOT, wanted())
    assert one == fingerprint(ROOT, wanted(train={"num_workers": 1}))
    monkeypatch.setattr(workers, "gpus", lambda: 0)
    assert one != fingerprint(ROOT, wanted())
