"""Meters of energy, read from files as the kernel has them; this machine may have none."""

from __future__ import annotations

from pathlib import Path

import torch

from mtl.train.energy import Meter

CPU = torch.device("cpu")


def zone(folder: Path, name: str, microjoules: int) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "max_energy_range_uj").write_text("1000000000\n")
    (folder / name / "energy_uj").write_text(f"{microjoules}\n")


def test_packages_are_summed_and_counters_begin_again(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", 5_000_000)
    zone(tmp_path, "intel-rapl:1", 999_000_000)
    zone(tmp_path, "intel-rapl:0:0", 1_000_000)  # a part of the first
    meter = Meter(CPU, True, tmp_path)
    zone(tmp_path, "intel-rapl:0", 8_000_000)
    zone(tmp_path, "intel-rapl:1", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", 900_000_000)
    assert meter.joules() == 3.0 + 2.0
    assert Meter(CPU, False, tmp_path).joules() is None  # another worker of the node counts them


def test_where_nothing_can_be_read_nothing_is_said(tmp_path: Path) -> None:
    assert Meter(CPU, True, tmp_path / "absent").joules() is None
    zone(tmp_path, "intel-rapl:0", 1)
    meter = Meter(CPU, True, tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert meter.joules() is None
